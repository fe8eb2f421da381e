// What is looked at on the way: needles held back from training (when to stop, which adapter to keep) and the loss on held text.
#pragma once

#include "cli/model_support.h"
#include "cli/options.h"
#include "eval/perplexity.h"
#include "eval/run.h"
#include "infer/session.h"
#include "train/trainer.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tenfold::cli {

struct HeldOptions {
  std::vector<std::string> needles;  ///< files of wording, or folders of *.json; empty: nothing is looked for
  std::string haystack;
  std::vector<int64_t> lengths;  ///< tokens; empty: a quarter, a half and all of --max-length
  std::vector<int64_t> depths = {10, 50, 90};
  int64_t every = 0;     ///< steps; 0: a tenth of the run
  int64_t green = 2;     ///< stop after so many checks in a row that find all; 0: never
  int64_t patience = 0;  ///< stop after so many checks in a row that find no more than the best before; 0: never
  int64_t max_new_tokens = 32;
  std::vector<std::string> texts;  ///< files or folders whose loss by position is measured; empty: no loss
  int64_t window = 0;              ///< tokens; 0: --max-length
  int64_t windows = 2;             ///< spread over the texts

  bool wanted() const { return !needles.empty() || !texts.empty(); }
};
void declare_held(OptionTable& table, HeldOptions& options);
void check_held(const HeldOptions& options, std::vector<std::string>& errors);

/// What the checks so far say: pure bookkeeping, so that a resumed run decides as the straight one.
class HeldHistory {
 public:
  HeldHistory(int64_t green, int64_t patience) : green_(green), patience_(patience) {}
  /// Checks come in the order of their steps.
  void add(int64_t step, int64_t hits, int64_t total);
  /// Step of the check that found most, the latest of equals: it has learnt longest. 0: none.
  int64_t best_step() const { return best_step_; }
  int64_t best_hits() const { return best_hits_; }
  /// Its adapter is gone: the next check is the best.
  void forget_best() { best_step_ = 0, best_hits_ = -1; }
  /// Why the run should end here; empty: it should not.
  std::string why_done() const;

 private:
  int64_t green_;
  int64_t patience_;
  int64_t best_step_ = 0;
  int64_t best_hits_ = -1;
  int64_t most_ = -1;      ///< found by any check
  int64_t all_found_ = 0;  ///< checks in a row
  int64_t no_better_ = 0;  ///< checks in a row
};

/// The checks of one run. Made before the trainer, which plans around their session.
class HeldChecks {
 public:
  /// Makes prompts and windows: InputError from files, haystack, texts and lengths. `steps` of the run decide how often where the
  /// options do not.
  HeldChecks(const HeldOptions& options, const ModelOptions& model, const ModelConfig& config, int64_t max_length, int64_t steps);

  /// About needles; 0: the loss on held text alone is measured, and no adapter is better than another.
  int64_t questions() const { return static_cast<int64_t>(questions_.size()); }
  /// What each check does: "8 questions about held needles and the loss on 2 windows of held text".
  std::string text() const;
  SessionOptions session_options(DType compute) const;
  /// For TrainOptions::beside.
  std::vector<PlannedBuffer> buffers(Device& device, const ModelConfig& config, const LoraConfig& lora, DType compute) const;
  /// Takes the memory. Device, model and adapter outlive this.
  void open(LoadedModel& loaded);
  /// Reads what metrics.jsonl of a resumed run (cut to its checkpoint) says of earlier checks. InputError when those asked other
  /// questions.
  void restore(const std::string& out, Console& console);

  /// TrainCallbacks::check: asks the model as it is; of adapters that looked for needles the best so far goes to
  /// OUT/adapter-best.
  std::optional<StepCheck> check(int64_t step, const LoadedModel& loaded, const TrainOptions& train, Console& console,
                                 const std::function<bool()>& should_stop);
  const HeldHistory& history() const { return history_; }
  /// Copies OUT/adapter-best to OUT/adapter, whole or not at all.
  void keep_best(const std::string& out) const;

 private:
  struct Question {
    std::string needle;  ///< its file's name
    int64_t length = 0;
    int64_t depth = 0;
    std::string answer;
    EvalQuestion ask;
  };
  bool is_due(int64_t step) const { return step > last_step_ && (step % every_ == 0 || step == steps_); }
  /// The line's "held" and "held_loss"; false: stopped in its midst.
  bool look_for_needles(int64_t step, Json& line, Console& console, const std::function<bool()>& should_stop);
  bool measure_loss(int64_t step, Json& line, Console& console, const std::function<bool()>& should_stop);
  void save_best(int64_t step, int64_t hits, const LoadedModel& loaded, const TrainOptions& train) const;

  HeldOptions options_;
  int64_t steps_;
  int64_t every_;
  Tokenizer tokenizer_;
  std::vector<int32_t> stop_ids_;
  bool clean_up_ = false;
  std::vector<Question> questions_;
  std::string hash_;  ///< of all prompts
  std::optional<PerplexityTask> texts_;
  std::string texts_hash_;
  int64_t last_step_ = 0;  ///< that was checked
  HeldHistory history_;
  std::unique_ptr<Session> session_;
};

}  // namespace tenfold::cli
