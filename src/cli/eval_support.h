#pragma once

#include "cli/model_support.h"
#include "cli/verb.h"
#include "eval/benchmark.h"
#include "eval/reference_layout.h"
#include "eval/run.h"
#include "eval/session_model.h"
#include "infer/session.h"

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold::cli {

/// The model that an evaluation asks: the one that `eval all` keeps from evaluation to evaluation, else its own.
class AskedModel {
 public:
  AskedModel(const ModelOptions& options, Context& context);
  LoadedModel& operator*() const { return *model_; }

 private:
  std::unique_ptr<LoadedModel> own_;
  LoadedModel* model_;
};

/// clean_up_tokenization_spaces of a model directory's tokenizer_config.json; false where nothing says so.
bool cleans_up_spaces(const std::string& model_path);

/// A model asked in its chat template: with what its prompts are made by and its answers end with.
class PromptedModel {
 public:
  /// InputError on what tokenizer, template and model refuse, in this order: the model's weights are read last.
  PromptedModel(const ModelOptions& options, Context& context);
  LoadedModel& operator*() const { return *asked_; }

  const Tokenizer tokenizer;
  const ChatTemplate chat;

  /// Sets what a task's decoding takes from the model: the ids that end answers, and whether spaces are cleaned up.
  template <typename Decoding>
  void settle(Decoding& decoding, bool strict_reference = false) const {
    decoding.stop_ids = stop_ids_of((*asked_).model.config(), tokenizer, chat, strict_reference);
    decoding.clean_up = clean_up_;
  }

 private:
  AskedModel asked_;
  bool clean_up_;
};

/// Where an evaluation's answers go.
struct EvalOutput {
  std::string out = "runs/eval";
  std::string task;   ///< folder below eval/
  int64_t batch = 0;  ///< answers written at once; 0: as many as are worth it and fit
  std::string reference_layout;
};
/// `answers`: whether it writes any.
void declare_eval_output(OptionTable& table, EvalOutput& output, const std::string& task, bool answers = true);

/// How a benchmark of task files says in its own words what its options take.
struct BenchmarkTexts {
  std::string group;
  std::string data;
  std::string tasks;
  std::string prompts_metavar;
  std::string prompts;
  std::string saved;  ///< what --load-result reads
};
/// The options that every such benchmark has, the model's among them, which saved answers do without.
void declare_benchmark(OptionTable& table, ModelOptions& model, BenchmarkOptions& options, std::vector<std::string>& saved,
                       const BenchmarkTexts& texts);
void check_benchmark(const ModelOptions& model, const BenchmarkOptions& options, const std::vector<std::string>& saved,
                     std::vector<std::string>& errors);

/// eval/TASK of the run directory, and what tells this model from another: path, weights, adapter, RoPE, template, dtype. With
/// `answer_tokens`, the most that a prompt and its answer take, it settles how many answers are written at once.
EvalRunOptions eval_run_options(const EvalOutput& output, const LoadedModel& loaded, const ModelOptions& options,
                                const Context& context, int64_t answer_tokens = 0);

/// Where --reference-layout writes the published system's files, and with which arguments; nothing where it is not given.
std::optional<ReferenceLayout> reference_layout_of(const EvalOutput& output, const ModelOptions& options, const Context& context);

/// A session for prompts of `capacity` tokens, `sequences` side by side; refuses first what does not fit.
std::unique_ptr<Session> open_session(LoadedModel& loaded, int64_t capacity, int64_t sequences, const CommonOptions& common);

/// Progress over questions and a stop between them.
EvalCallbacks eval_callbacks(const Context& context, Progress& progress);
/// Says what an interrupted evaluation has kept; returns the exit code.
int eval_exit(Context& context, const EvalRun& run, size_t questions, const std::string& directory);

/// A benchmark's tasks as its metrics have them (`tasks`: {name: {questions, mean, truncated, empty_answers}}), a line each; the
/// mean times `scale`.
void print_tasks(Context& context, const Json& metrics, double scale, int digits);
/// Puts those of the fields that the metrics have into the --json summary.
void add_summary(Context& context, const Json& metrics, std::initializer_list<const char*> fields);

/// What every evaluation does with a task once it is made: a dry run says what would be asked; else a session is opened,
/// `ask(model, callbacks)` runs the task under a progress bar and `tell(result)` says what came of it. `unit` is what the
/// questions are. Returns the exit code.
template <typename Task, typename Ask, typename Tell>
int run_evaluation(Context& context, LoadedModel& loaded, const Task& task, std::string_view unit, const EvalRunOptions& run,
                   Ask&& ask, Tell&& tell) {
  if (context.common.dry_run) {
    context.console.line(
        fmt::format("{} {} of up to {} tokens each, into {}", task.questions.size(), unit, task.tokens_needed(), run.directory));
    return 0;
  }
  const auto session = open_session(loaded, task.tokens_needed(), run.at_once, context.common);
  SessionModel model(*session);
  Progress progress(context.console, context.verb, static_cast<int64_t>(task.questions.size()), std::string(unit));
  auto result = ask(model, eval_callbacks(context, progress));
  progress.finish();
  tell(result);
  context.summary["interrupted"] = result.run.interrupted;
  return eval_exit(context, result.run, task.questions.size(), run.directory);
}

}  // namespace tenfold::cli
