#pragma once

#include "eval/answer_task.h"
#include "eval/metrics/score.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenfold {

/// What every benchmark of task files is told.
struct BenchmarkOptions {
  std::vector<std::string> data;   ///< see find_task_files
  std::vector<std::string> tasks;  ///< names or groups
  std::string prompts;             ///< where the benchmark's own prompts are
  int64_t first = 0;               ///< of each task, records from the start; 0: all
  int64_t max_length = 0;          ///< tokens of a prompt without its chat template
  std::vector<int32_t> stop_ids;
  bool clean_up = false;  ///< clean_up_tokenization_spaces of the model's tokenizer_config.json
  bool strict_reference = false;
};

/// The fields of config.json that every benchmark has, `data` still empty. InputError where max_length is too small to cut to.
Json benchmark_config(std::string_view name, const BenchmarkOptions& options, const std::string& template_name);

/// How one question of a benchmark is scored.
struct QuestionScore {
  MetricCase item;          ///< without the prediction
  bool first_line = false;  ///< of the output without leading newlines is all that counts
  bool is_hit = false;      ///< the score is 0 or 1: a hit or a miss
};

/// A benchmark of several tasks on the one runner: every question names its task in about["task"].
struct Benchmark {
  AnswerTask asked;
  std::vector<QuestionScore> scores;  ///< of each question
};

/// What the answers of one task came to.
struct TaskTally {
  std::string name;
  int64_t questions = 0;
  double sum = 0;      ///< of the scores, each 0 to 1
  int64_t judged = 0;  ///< answers that are a hit or a miss
  int64_t hits = 0;
  int64_t truncated = 0;
  int64_t empty = 0;  ///< answers without a character

  double mean() const { return questions > 0 ? sum / static_cast<double>(questions) : 0.0; }
  /// {questions, mean, truncated, empty_answers}; hits and their interval where every answer is one or none.
  Json json() const;
};

/// {score} of an output, 0 to 1, with {hit} where it is one or none.
Json score_output(const QuestionScore& score, std::string_view output, Scorer& scorer);
/// Saved outputs, one of each question, with their scores. They point to the benchmark's questions.
std::vector<Answered> score_outputs(const Benchmark& benchmark, const std::vector<std::string>& outputs, Scorer& scorer);

/// Asks and scores.
AnswerRun run_benchmark(LanguageModel& model, const Tokenizer& tokenizer, const Benchmark& benchmark, Scorer& scorer,
                        const EvalRunOptions& options, const EvalCallbacks& callbacks);

/// Tasks in the order of their first question. An answer's score has `score` and may have `hit`.
std::vector<TaskTally> tally_by_task(const std::vector<Answered>& answers);

/// A data file of a benchmark and the task that it holds.
struct TaskFile {
  std::string task;
  std::string path;
};

/// Which tasks of a benchmark are asked for, and where their data is.
struct TaskFiles {
  std::vector<TaskFile> files;       ///< in the benchmark's order
  std::vector<std::string> missing;  ///< of a group that was asked for, without a file
};

/// Names of tasks and groups of them.
struct TaskNames {
  std::string_view benchmark;
  std::vector<std::string> tasks;                                        ///< all, in order
  std::vector<std::pair<std::string, std::vector<std::string>>> groups;  ///< by name; the first is the default
  std::function<std::string(const std::string& path)> task_of_file;      ///< of a file whose name does not say it; "" if unknown
};

/// The tasks that the names and groups stand for (commas may join them), in the benchmark's order, each once; InputError on an
/// unknown name.
std::vector<std::string> expand_tasks(const std::vector<std::string>& wanted, const TaskNames& names);

/// `data`: folders that hold TASK.jsonl, and files (TASK.jsonl, TASK.anything.jsonl or a file that says its task). `wanted`:
/// names of tasks and groups; empty takes the tasks of the files named, and the first group of folders. A task of a group may
/// lack its file; one that is named may not. InputError: an unknown name, a task without its file or with two, nothing at all.
TaskFiles find_task_files(const std::vector<std::string>& data, const std::vector<std::string>& wanted, const TaskNames& names);

/// Predictions saved by an evaluation: JSON lines, of which a first one may be a number (the published TASK.json). Calls
/// `visit(line, where)`.
void for_each_prediction(const std::string& path, const std::function<void(const Json& line, const std::string& where)>& visit);

}  // namespace tenfold
