#include "cli/eval_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "eval/perplexity.h"
#include "format/names.h"

#include <filesystem>

namespace tenfold::cli {
namespace {

class EvalPplVerb final : public Verb {
 public:
  std::string name() const override { return "eval ppl"; }
  std::string summary() const override { return "Perplexity of texts, with the loss by position"; }
  std::string examples() const override {
    return "  tenfold eval ppl --model SmolLM2.gguf --text novel.txt --window 8K --windows 4 --out runs/base\n"
           "  tenfold eval ppl --model SmolLM2.gguf --adapter runs/mine/adapter --text novels/ --paired 64K..80K,4K..8K "
           "--windows 8 \\\n"
           "    --out runs/mine\n";
  }
  void declare(OptionTable& table) override {
    declare_model(table, model_);
    table.group("Windows");
    table.add_many("text", options_.texts, "PATH...", "Files or folders of *.txt and *.md, or *.jsonl with {text}").required =
        true;
    table.add("window", options_.window, "N", "Tokens that the model reads at once");
    table.add(
        "paired", paired_, "A..B,C..D",
        "Windows of B tokens; those at positions A to B are read again at positions C to D of windows of D tokens: what the "
        "context between is worth");
    table.add("stride", options_.stride, "N", "Between the starts of windows; -1: side by side; 0: the first window alone");
    table.add("windows", options_.windows, "N", "At most so many, spread evenly over the texts; 0: all");
    table.add("min-length", options_.min_length, "N", "Leave out texts of fewer tokens");
    table.add("max-texts", options_.max_texts, "N", "At most so many texts; 0: all");
    table.add_switch("strict-reference", options_.strict_reference,
                     "Bug-compatible with the published evaluation (docs/guide.md)");
    declare_eval_output(table, output_, "ppl", /*answers=*/false);
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override {
    if (table.given("paired") && table.given("window"))
      errors.push_back("--window: --paired A..B,C..D says it already (B); give one of the two");
    if (options_.window < 2) errors.push_back(fmt::format("--window: expected 2 or more, got {}", options_.window));
    if (options_.stride < -1) errors.push_back(fmt::format("--stride: expected -1 or more, got {}", options_.stride));
    if (options_.windows < 0) errors.push_back(fmt::format("--windows: expected 0 or more, got {}", options_.windows));
  }

  int run(Context& context) override {
    if (!paired_.empty()) options_.paired = parse_paired(paired_);
    const Tokenizer tokenizer = load_tokenizer(model_.model);
    const PerplexityTask task = make_perplexity_task(tokenizer, options_);
    AskedModel asked(model_, context);
    LoadedModel& loaded = *asked;
    const EvalRunOptions run = eval_run_options(output_, loaded, model_, context);
    const auto layout = reference_layout_of(output_, model_, context);
    return run_evaluation(
        context, loaded, task, "windows", run,
        [&](LanguageModel& model, const EvalCallbacks& callbacks) { return run_perplexity(model, task, run, callbacks); },
        [&](const PerplexityResult& result) {
          print(context, result);
          if (!result.run.interrupted && layout) write_reference_layout(*layout, dataset_name(), result, peak_resident_bytes());
        });
  }

 private:
  static PairedPositions parse_paired(const std::string& text) {
    const auto wrong = [&] { throw_input("--paired: expected A..B,C..D such as 64K..80K,4K..8K, got {}", shown(text)); };
    const auto range = [&](std::string_view part) {
      const size_t dots = part.find("..");
      if (dots == std::string_view::npos) wrong();
      return std::pair(parse_count(part.substr(0, dots)), parse_count(part.substr(dots + 2)));
    };
    const size_t comma = text.find(',');
    if (comma == std::string::npos) wrong();
    const auto far = range(std::string_view(text).substr(0, comma));
    const auto near = range(std::string_view(text).substr(comma + 1));
    return {far.first, far.second, near.first, near.second};
  }

  /// What the published system calls the text: its file's name without the ending.
  std::string dataset_name() const { return std::filesystem::path(options_.texts.front()).stem().string(); }

  static void print(Context& context, const PerplexityResult& result) {
    context.console.line(fmt::format("{:>8} - {:<8} {:>9} {:>9}", "position", "", "tokens", "loss"));
    for (const PositionBucket& bucket : result.by_position) {
      if (bucket.tokens > 0)
        context.console.line(fmt::format("{:>8} - {:<8} {:>9} {:>9.4f}", bucket.begin, bucket.end, bucket.tokens, bucket.nll()));
    }
    context.console.line(
        fmt::format("loss {:.4f}, perplexity {:.3f} over {} tokens", result.nll, result.perplexity, result.tokens));
    if (!result.pairs.empty()) print_pairs(context, result.metrics.at("paired"));
    context.summary["nll"] = result.nll;
    context.summary["perplexity"] = result.perplexity;
    context.summary["tokens"] = result.tokens;
    context.summary["by_position"] = result.metrics.value("by_position", Json::array());
  }

  static void print_pairs(Context& context, const Json& paired) {
    const std::string interval =
        paired.contains("interval")
            ? fmt::format(" (95 %: {:+.4f} to {:+.4f})", paired["interval"][0].get<double>(), paired["interval"][1].get<double>())
            : "";
    context.console.line(fmt::format("the same {} tokens at {}: loss {:.4f} and {:.4f}, difference {:+.4f}{} over {} windows",
                                     paired["tokens"].get<int64_t>(), paired["positions"].get<std::string>(),
                                     paired["far_nll"].get<double>(), paired["near_nll"].get<double>(),
                                     paired["difference"].get<double>(), interval, paired["windows"].get<int64_t>()));
    context.summary["paired"] = paired;
    context.summary["paired"].erase("pairs");
  }

  ModelOptions model_;
  PerplexityOptions options_;
  std::string paired_;
  EvalOutput output_;
};

}  // namespace

std::unique_ptr<Verb> make_eval_ppl_verb() { return std::make_unique<EvalPplVerb>(); }

}  // namespace tenfold::cli
