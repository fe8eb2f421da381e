#pragma once

#include "eval/benchmark.h"
#include "text/chat_template.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tenfold {

/// InfiniteBench (Zhang et al. 2024) as the published evaluation asks it (evaluations.md 10): 12 tasks.
/// `data`: rows {id, context, input, answer, options}; `tasks`: default (longbook_qa_eng, longbook_sum_eng), all; `prompts`: JSON
/// {table: {task: template}} with the benchmark's own texts, "": our wording.
struct InfBenchOptions : BenchmarkOptions {
  InfBenchOptions() { max_length = 128000; }
  std::string table = "mistral";  ///< of that file: mistral or gpt4
};

struct InfBenchTask : Benchmark {
  std::vector<Json> labels;          ///< of each question, as the published files repeat them
  std::vector<std::string> missing;  ///< tasks of a group without data
  bool strict_reference = false;
};

struct InfBenchResult {
  std::vector<std::pair<std::string, double>> scores;  ///< fractions, rounded to 4 digits as published, by task
  double average = 0;                                  ///< of the rounded scores, rounded
  std::vector<Answered> answers;                       ///< none where saved predictions were scored
  EvalRun run;
  Json metrics;                                                      ///< what metrics.json holds
  std::vector<std::pair<std::string, std::string>> published_files;  ///< TASK.json and its text
  Json published_metrics;                                            ///< {task: score, ..., avg}
};

/// Reads, cuts and encodes the records. InputError: unknown tasks, missing or malformed data (file and line), a template that
/// asks for what its task does not have.
InfBenchTask make_infbench_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const InfBenchOptions& options);

/// Asks, scores, and writes metrics.json when every record is answered.
InfBenchResult run_infbench(LanguageModel& model, const Tokenizer& tokenizer, const InfBenchTask& task,
                            const EvalRunOptions& options, const EvalCallbacks& callbacks = {});

/// Scores saved predictions without a model: TASK.json as published, or InfiniteBench's own preds_TASK.jsonl with the members
/// prediction or pred, ground_truth or label.
InfBenchResult rescore_infbench(const std::vector<std::string>& saved, const InfBenchOptions& options);

}  // namespace tenfold
