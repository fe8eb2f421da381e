// eval latent: needles that share no word with their question.
#include "cli/eval_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "eval/latent.h"

namespace tenfold::cli {
namespace {

class EvalLatentVerb final : public Verb {
 public:
  std::string name() const override { return "eval latent"; }
  std::string summary() const override {
    return "Latent needles: sentences that share no word with their question; the effective length";
  }
  std::string examples() const override {
    return "  tenfold eval latent --model M --haystack novels/ --lengths 512,1K,4K,16K --out runs/base\n"
           "  tenfold eval latent --model M --haystack novels/ --lengths 1K,8K --depths 50 --wording mine.json --out runs/base\n";
  }
  void declare(OptionTable& table) override {
    options_.lengths = {512, 1024, 2048, 4096, 8192};
    options_.depths = {0, 25, 50, 75, 100};
    declare_model(table, model_);
    table.group("Latent needles");
    table.add("haystack", options_.haystack, "PATH", "The text to hide them in: a file, or a folder of *.txt and *.md").required =
        true;
    table.add_many("lengths", options_.lengths, "N,...", "Prompt lengths in tokens; one of up to 1K gives the base accuracy");
    table.add_many("depths", options_.depths, "N,...", "Depths in per cent");
    table.add("pairs", options_.pairs, "N", "Only the first N sentences with their questions; 0: all, ours are 20");
    table.add("wording", wording_, "FILE", "JSON with description, ask, pairs [{needle, question}], names (docs/guide.md)");
    table.add("max-new-tokens", options_.decoding.max_new_tokens, "N", "Most tokens of an answer");
    declare_eval_output(table, output_, "latent");
    table.find("reference-layout")->help = "Not for this one: the published system has no latent needles";
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override {
    if (options_.pairs < 0) errors.push_back(fmt::format("--pairs: expected 0 or more, got {}", options_.pairs));
    for (const int64_t depth : options_.depths) {
      if (depth < 0 || depth > 100) errors.push_back(fmt::format("--depths: expected 0 to 100, got {}", depth));
    }
    const int64_t most = options_.decoding.max_new_tokens;
    if (most < 1) errors.push_back(fmt::format("--max-new-tokens: expected 1 or more, got {}", most));
    if (table.given("reference-layout")) errors.push_back("--reference-layout: the published system has no latent needles");
  }

  int run(Context& context) override {
    if (!wording_.empty()) options_.wording = LatentWording::from_json(wording_);
    if (context.options.given("seed")) options_.seed = static_cast<uint64_t>(context.common.seed);
    const PromptedModel prompted(model_, context);
    LoadedModel& loaded = *prompted;
    prompted.settle(options_.decoding);
    const LatentTask task = make_latent_task(prompted.tokenizer, prompted.chat, options_);
    const EvalRunOptions run = eval_run_options(output_, loaded, model_, context, task.tokens_needed());
    return run_evaluation(
        context, loaded, task, "questions", run,
        [&](LanguageModel& model, const EvalCallbacks& callbacks) {
          return run_latent(model, prompted.tokenizer, task, run, callbacks);
        },
        [&](const LatentResult& result) { print(context, result); });
  }

 private:
  static void print(Context& context, const LatentResult& result) {
    context.console.line(fmt::format("{:>8}{:>11}{:>7}{:>10}", "length", "questions", "hits", "accuracy"));
    for (const LatentRow& row : result.lengths)
      context.console.line(fmt::format("{:>8}{:>11}{:>7}{:>10.4f}", row.at, row.questions, row.hits, row.accuracy()));
    const std::string effective = result.effective_length ? std::to_string(*result.effective_length) : "none of these";
    context.console.line(
        fmt::format("effective length ({} of the base accuracy {:.4f} or more): {}", kLatentShare, result.base, effective));
    add_summary(context, result.metrics, {"by_length", "by_depth", "base_accuracy", "effective_length", "questions", "timing"});
  }

  ModelOptions model_;
  LatentOptions options_;
  std::string wording_;
  EvalOutput output_;
};

}  // namespace

std::unique_ptr<Verb> make_eval_latent_verb() { return std::make_unique<EvalLatentVerb>(); }

}  // namespace tenfold::cli
