#pragma once

#include "eval/benchmark.h"
#include "text/chat_template.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenfold {

/// Which tasks an output ends at a newline: those that are answered in one line, all, or none (evaluations.md 9). The published
/// evaluation meant kQa and did kAll where a checkpoint names its end tokens as a list.
enum class NewlineEos { kQa, kAll, kOff };

/// LongBench (Bai et al. 2023) as the published evaluation asks it (evaluations.md 9): 21 tasks, and the 13 of LongBench-E, whose
/// names end in _e. `data`: rows {input, context, answers, length, dataset, all_classes}; `tasks`: default (14), published (16),
/// all (21), e (13); `prompts`: folder of dataset2prompt.json and dataset2maxlen.json, "": beside the data, or config/ there.
struct LongBenchOptions : BenchmarkOptions {
  LongBenchOptions() { max_length = 31500; }
  bool truncate_from_middle = true;  ///< else the end is kept
  NewlineEos newline_eos = NewlineEos::kQa;
  std::string jieba_directory{kJiebaDirectory};
};

struct LongBenchTask : Benchmark {
  std::vector<Json> rows;            ///< of each question {input, answers, length, dataset}, as the published files repeat them
  std::vector<std::string> missing;  ///< tasks of a group without data
  std::vector<std::string> refused;  ///< tasks that cannot be scored here, left out
  std::string refusal;               ///< and why
  LongBenchOptions options;
};

/// Scores in per cent, rounded to 2 digits as published, of tasks, of categories (mean of their rounded tasks) and of all.
struct LongBenchScores {
  std::map<std::string, double> tasks;
  Json categories = Json::object();
  Json average = nullptr;  ///< over the tasks that ran; null without any
};

struct LongBenchResult {
  LongBenchScores scores;                                        ///< without LongBench-E
  std::vector<std::pair<std::string, LongBenchScores>> buckets;  ///< LongBench-E: 0-4k, 4-8k, 8k+
  std::vector<Answered> answers;                                 ///< none where saved predictions were scored
  EvalRun run;
  Json metrics;                                                      ///< what metrics.json holds
  std::vector<std::pair<std::string, std::string>> published_files;  ///< TASK.json and its text
  Json published_metrics;                                            ///< {task: score, ..., avg}
};

/// Reads, cuts and encodes the records. InputError: unknown tasks, missing or malformed data (file and line), a task that
/// was named, or nothing but such, and jieba's tables are not there for it.
LongBenchTask make_longbench_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const LongBenchOptions& options);

/// Asks, scores, and writes metrics.json when every record is answered.
LongBenchResult run_longbench(LanguageModel& model, const Tokenizer& tokenizer, const LongBenchTask& task,
                              const EvalRunOptions& options, const EvalCallbacks& callbacks = {});

/// Scores predictions that were saved as TASK.json or TASK_e.json (lines {pred, answers, length}), without a model.
/// `options.data` holds the benchmark's own files where a task has classes (trec, lsht), which saved files lack.
LongBenchResult rescore_longbench(const std::vector<std::string>& saved, const LongBenchOptions& options);

}  // namespace tenfold
