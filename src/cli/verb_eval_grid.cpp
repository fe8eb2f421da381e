// eval needle and eval passkey: grids of lengths and depths.
#include "cli/eval_support.h"
#include "cli/judge_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "eval/grid.h"
#include "eval/needle.h"
#include "eval/passkey.h"
#include "report/heat_map.h"

namespace tenfold::cli {
namespace {

/// The grid of the published evaluation, or a list.
struct GridChoice {
  std::vector<int64_t> lengths;
  std::vector<int64_t> depths;
  int64_t min_length = 8192;
  int64_t max_length = 131072;
  int64_t num_lengths = 10;
  int64_t min_depth = 0;
  int64_t max_depth = 100;
  int64_t num_depths = 10;
};

class GridVerb : public Verb {
 public:
  void declare(OptionTable& table) override {
    declare_model(table, model_);
    table.group("Grid");
    table.add_many("lengths", grid_.lengths, "N,...", "Prompt lengths in tokens, such as 1K,2K,4K,8K");
    table.add("min-length", grid_.min_length, "N", "Shortest of evenly spread lengths, where --lengths is not given");
    table.add("max-length", grid_.max_length, "N", "Longest of them");
    table.add("num-lengths", grid_.num_lengths, "N", "How many");
    table.add_many("depths", grid_.depths, "N,...", "Depths in per cent, such as 0,25,50,75,100");
    table.add("min-depth", grid_.min_depth, "N", "Least of evenly spread depths, where --depths is not given");
    table.add("max-depth", grid_.max_depth, "N", "Greatest of them");
    table.add("num-depths", grid_.num_depths, "N", "How many");
    table.add("max-new-tokens", max_new_tokens_, "N", "Most tokens of an answer");
    table.add_switch("strict-reference", strict_, "Bug-compatible with the published evaluation (docs/guide.md)");
    declare_task(table);
    declare_eval_output(table, output_, task_name());
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override {
    check_task(table, errors);
    if (grid_.num_lengths < 1) errors.push_back(fmt::format("--num-lengths: expected 1 or more, got {}", grid_.num_lengths));
    if (grid_.num_depths < 1) errors.push_back(fmt::format("--num-depths: expected 1 or more, got {}", grid_.num_depths));
    if (grid_.min_length < 1 || grid_.min_length > grid_.max_length) {
      errors.push_back(fmt::format("--min-length {} and --max-length {}: expected 1 or more, and not falling", grid_.min_length,
                                   grid_.max_length));
    }
    for (const int64_t depth : grid_.depths) {
      if (depth < 0 || depth > 100) errors.push_back(fmt::format("--depths: expected 0 to 100, got {}", depth));
    }
    if (max_new_tokens_ < 1) errors.push_back(fmt::format("--max-new-tokens: expected 1 or more, got {}", max_new_tokens_));
  }

  int run(Context& context) override {
    const PromptedModel prompted(model_, context);
    LoadedModel& loaded = *prompted;
    GridOptions options;
    options.lengths = grid_.lengths.empty() ? linspace(grid_.min_length, grid_.max_length, grid_.num_lengths) : grid_.lengths;
    options.depths = grid_.depths.empty() ? linspace(grid_.min_depth, grid_.max_depth, grid_.num_depths) : grid_.depths;
    options.max_new_tokens = max_new_tokens_;
    prompted.settle(options, strict_);
    options.strict_reference = strict_;
    const GridTask task = make_task(prompted.tokenizer, prompted.chat, options, context);
    const EvalRunOptions run = eval_run_options(output_, loaded, model_, context, task.tokens_needed());
    const auto layout = reference_layout_of(output_, model_, context);
    return run_evaluation(
        context, loaded, task, "questions", run,
        [&](LanguageModel& model, const EvalCallbacks& callbacks) {
          return run_task(model, prompted.tokenizer, task, run, callbacks);
        },
        [&](GridResult& result) {
          print(context, result);
          if (result.run.interrupted) return;
          write_grid_figures(run.directory);
          after(context, task, result, run);
          if (layout && !result.run.interrupted) write_reference_layout(*layout, task_name(), result);
        });
  }

 protected:
  virtual std::string task_name() const = 0;
  virtual void declare_task(OptionTable& table) = 0;
  virtual void check_task(const OptionTable&, std::vector<std::string>&) const {}
  virtual GridTask make_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const GridOptions& grid,
                             const Context& context) const = 0;
  virtual GridResult run_task(LanguageModel& model, const Tokenizer& tokenizer, const GridTask& task, const EvalRunOptions& run,
                              const EvalCallbacks& callbacks) const = 0;
  /// What follows a whole grid, such as a judge's grades.
  virtual void after(Context&, const GridTask&, GridResult&, const EvalRunOptions&) const {}
  /// The summary's own field ("rouge", "accuracy") and its key in the metrics.
  virtual std::pair<std::string, std::string> mean_field() const = 0;

 private:
  void print(Context& context, const GridResult& result) const {
    Console& out = context.console;
    std::string head = fmt::format("{:>8}", "depth %");
    for (const int64_t length : result.options.lengths) head += fmt::format("{:>9}", length);
    out.line(head);
    for (size_t d = 0; d < result.options.depths.size(); ++d) {
      std::string row = fmt::format("{:>8}", result.options.depths[d]);
      for (const auto& column : result.cells) row += cell_text(out, column[d]);
      out.line(row);
    }
    out.line(fmt::format("{} of {} found ({:.0f} % to {:.0f} % at 95 %)", result.hits, result.total, 100 * result.interval.low,
                         100 * result.interval.high));
    context.summary["cells"] = result.total;
    context.summary["hits"] = result.hits;
    const auto [field, key] = mean_field();
    context.summary[field] = result.metrics.value(key, 0.0);
    context.summary["by_length"] = result.metrics.value("by_length", Json::array());
  }

  static std::string cell_text(const Console& out, const GridCell& cell) {
    if (cell.prompt_tokens == 0) return fmt::format("{:>9}", ".");
    const std::string text = fmt::format("{:>4} {:.2f}", cell.hit ? "hit" : "-", cell.score);
    if (!out.out_colours()) return text;
    return fmt::format("{}{}\033[0m", cell.hit ? "\033[32m" : "\033[31m", text);
  }

 protected:
  ModelOptions model_;
  GridChoice grid_;
  EvalOutput output_;
  int64_t max_new_tokens_ = 50;
  bool strict_ = false;
};

class EvalNeedleVerb final : public GridVerb {
 public:
  std::string name() const override { return "eval needle"; }
  std::string summary() const override { return "Find one sentence in a long text: a grid of lengths and depths"; }
  std::string examples() const override {
    return "  tenfold eval needle --model SmolLM2.gguf --haystack novel.txt --lengths 1K,2K,4K,8K --depths 0,25,50,75,100 --out "
           "runs/base\n"
           "  tenfold eval needle --model SmolLM2.gguf --adapter runs/demo/adapter --haystack texts/ --wording "
           "recipes/needle-reference.json \\\n"
           "    --lengths 8K --num-depths 5 --out runs/demo\n";
  }

 protected:
  std::string task_name() const override { return "needle"; }
  void declare_task(OptionTable& table) override {
    table.group("Needle");
    table.add("haystack", haystack_, "PATH", "The text to hide it in: a file, or a folder of *.txt and *.md").required = true;
    table.add("wording", wording_, "FILE", "JSON with description, needle, question, answer; the options below win");
    table.add("description", description_, "TEXT", "What stands before the text");
    table.add("needle", needle_, "TEXT", "The sentence to find");
    table.add("question", question_, "TEXT", "What stands after the text");
    table.add("answer", answer_, "TEXT", "What an output must hold to be a hit; the needle where it is not given");
    declare_judge(table, judge_);
  }
  void check_task(const OptionTable& table, std::vector<std::string>& errors) const override {
    check_judge(table, judge_, errors);
  }
  void after(Context& context, const GridTask& task, GridResult& result, const EvalRunOptions& run) const override {
    judge_grid(context, judge_, task, result, run);
  }
  GridTask make_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const GridOptions& grid,
                     const Context&) const override {
    prove_judge(judge_);
    NeedleOptions options;
    static_cast<GridOptions&>(options) = grid;
    options.haystack = haystack_;
    if (wording_) options.wording = NeedleWording::from_json(*wording_);
    if (description_) options.wording.description = *description_;
    if (needle_) {
      options.wording.needle = *needle_;
      options.wording.answer.clear();  // the answer belonged to the other needle
    }
    if (question_) options.wording.question = *question_;
    if (answer_) options.wording.answer = *answer_;
    return make_needle_task(tokenizer, chat, options);
  }
  GridResult run_task(LanguageModel& model, const Tokenizer& tokenizer, const GridTask& task, const EvalRunOptions& run,
                      const EvalCallbacks& callbacks) const override {
    return run_needle(model, tokenizer, task, run, callbacks);
  }
  std::pair<std::string, std::string> mean_field() const override { return {"rouge", "rouge_mean"}; }

 private:
  JudgeOptions judge_;
  std::string haystack_;
  std::optional<std::string> wording_;
  std::optional<std::string> description_;
  std::optional<std::string> needle_;
  std::optional<std::string> question_;
  std::optional<std::string> answer_;
};

class EvalPasskeyVerb final : public GridVerb {
 public:
  std::string name() const override { return "eval passkey"; }
  std::string summary() const override { return "Find a number in a long filling: a grid of lengths and depths"; }
  std::string examples() const override {
    return "  tenfold eval passkey --model SmolLM2.gguf --lengths 1K,2K,4K,8K --depths 0,25,50,75,100 --out runs/base\n";
  }

 protected:
  std::string task_name() const override { return "passkey"; }
  void declare_task(OptionTable& table) override {
    table.group("Pass key");
    table.add("wording", wording_, "FILE",
              "JSON with description, noise, information (holds {key}), question; the options below win");
    table.add("description", description_, "TEXT", "What stands before the filling");
    table.add("noise", noise_, "TEXT", "The filling, repeated");
    table.add("information", information_, "TEXT", "What tells the key, as {key}");
    table.add("question", question_, "TEXT", "What stands after the filling");
    table.add("digits", digits_, "N", "Digits of a key");
  }
  GridTask make_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const GridOptions& grid,
                     const Context& context) const override {
    PasskeyOptions options;
    static_cast<GridOptions&>(options) = grid;
    if (wording_) options.wording = PasskeyWording::from_json(*wording_);
    if (description_) options.wording.description = *description_;
    if (noise_) options.wording.noise = *noise_;
    if (information_) options.wording.information = *information_;
    if (question_) options.wording.question = *question_;
    options.digits = digits_;
    // The published seed is 123, unless the user names one.
    if (context.options.given("seed")) options.seed = static_cast<uint64_t>(context.common.seed);
    return make_passkey_task(tokenizer, chat, options);
  }
  GridResult run_task(LanguageModel& model, const Tokenizer& tokenizer, const GridTask& task, const EvalRunOptions& run,
                      const EvalCallbacks& callbacks) const override {
    return run_passkey(model, tokenizer, task, run, callbacks);
  }
  std::pair<std::string, std::string> mean_field() const override { return {"accuracy", "accuracy_mean"}; }

 private:
  std::optional<std::string> wording_;
  std::optional<std::string> description_;
  std::optional<std::string> noise_;
  std::optional<std::string> information_;
  std::optional<std::string> question_;
  int64_t digits_ = 5;
};

}  // namespace

std::unique_ptr<Verb> make_eval_needle_verb() { return std::make_unique<EvalNeedleVerb>(); }
std::unique_ptr<Verb> make_eval_passkey_verb() { return std::make_unique<EvalPasskeyVerb>(); }

}  // namespace tenfold::cli
