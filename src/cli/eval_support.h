#pragma once

#include "cli/model_support.h"
#include "cli/verb.h"
#include "eval/run.h"
#include "eval/session_model.h"
#include "infer/session.h"

#include <memory>
#include <string>

namespace tenfold::cli {

/// Where an evaluation's answers go.
struct EvalOutput {
  std::string out = "runs/eval";
  std::string task;  ///< folder below eval/
};
void declare_eval_output(OptionTable& table, EvalOutput& output);

/// eval/TASK of the run directory, and what tells this model from another: path, weights, adapter, RoPE, template, dtype.
EvalRunOptions eval_run_options(const EvalOutput& output, const LoadedModel& loaded, const ModelOptions& options,
                                const Context& context);

/// clean_up_tokenization_spaces of a model directory's tokenizer_config.json; false where nothing says so.
bool cleans_up_spaces(const std::string& model_path);

/// A session for prompts of `capacity` tokens; refuses first what does not fit.
std::unique_ptr<Session> open_session(LoadedModel& loaded, int64_t capacity, const CommonOptions& common);

/// Progress over questions and a stop between them.
EvalCallbacks eval_callbacks(const Context& context, Progress& progress);
/// Says what an interrupted evaluation has kept; returns the exit code.
int eval_exit(Context& context, const EvalRun& run, size_t questions, const std::string& directory);

}  // namespace tenfold::cli
