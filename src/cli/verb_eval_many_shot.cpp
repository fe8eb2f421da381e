// eval manyshot: classification after as many examples as a length holds.
#include "cli/eval_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "eval/many_shot.h"

namespace tenfold::cli {
namespace {

class EvalManyShotVerb final : public Verb {
 public:
  std::string name() const override { return "eval manyshot"; }
  std::string summary() const override { return "Many-shot classification: labels that only the examples in the prompt explain"; }
  std::string examples() const override {
    return "  tenfold eval manyshot --model M --lengths 2K,4K,8K --out runs/base\n"
           "  tenfold eval manyshot --model M --examples train.jsonl --data test.jsonl --lengths 4K,32K --queries 100 --out "
           "runs/base\n";
  }
  void declare(OptionTable& table) override {
    declare_model(table, model_);
    table.group("Many shots");
    table.add_many("lengths", options_.lengths, "N,...", "Tokens of a prompt and its answer together, filled with examples");
    table.add("queries", options_.queries, "N", "Questions of each length, the same ones");
    table.add("examples", options_.examples, "FILE",
              "JSON lines {text, label} in their order, else 20 made-up classes of our own");
    table.add("data", options_.data, "FILE", "What is asked, JSON lines {text, label}; with --examples");
    table.add("description", options_.description, "TEXT", "What stands before the examples");
    table.add("max-new-tokens", options_.decoding.max_new_tokens, "N", "Most tokens of an answer");
    declare_eval_output(table, output_, "manyshot");
    table.find("reference-layout")->help = "Not for this one: the published system has no many-shot evaluation";
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override {
    if (options_.queries < 1) errors.push_back(fmt::format("--queries: expected 1 or more, got {}", options_.queries));
    if (options_.examples.empty() != options_.data.empty()) errors.push_back("--examples and --data: expected both or neither");
    for (const int64_t length : options_.lengths) {
      if (length < 1) errors.push_back(fmt::format("--lengths: expected 1 or more, got {}", length));
    }
    const int64_t most = options_.decoding.max_new_tokens;
    if (most < 1) errors.push_back(fmt::format("--max-new-tokens: expected 1 or more, got {}", most));
    if (table.given("reference-layout")) errors.push_back("--reference-layout: the published system has no many-shot evaluation");
  }

  int run(Context& context) override {
    if (context.options.given("seed")) options_.seed = static_cast<uint64_t>(context.common.seed);
    const PromptedModel prompted(model_, context);
    LoadedModel& loaded = *prompted;
    prompted.settle(options_.decoding);
    const ManyShotTask task = make_many_shot_task(prompted.tokenizer, prompted.chat, options_);
    const EvalRunOptions run = eval_run_options(output_, loaded, model_, context, task.tokens_needed());
    return run_evaluation(
        context, loaded, task, "questions", run,
        [&](LanguageModel& model, const EvalCallbacks& callbacks) {
          return run_many_shot(model, prompted.tokenizer, task, run, callbacks);
        },
        [&](const ManyShotResult& result) { print(context, result, task.classes); });
  }

 private:
  static void print(Context& context, const ManyShotResult& result, int64_t classes) {
    context.console.line(fmt::format("{:>8}{:>10}{:>11}{:>7}{:>10}", "length", "examples", "questions", "hits", "accuracy"));
    for (const ManyShotLength& row : result.lengths) {
      context.console.line(
          fmt::format("{:>8}{:>10}{:>11}{:>7}{:>10.4f}", row.length, row.shots, row.questions, row.hits, row.accuracy()));
    }
    context.console.line(fmt::format("{} classes: a guess is right in {:.1f} %", classes, 100.0 / static_cast<double>(classes)));
    add_summary(context, result.metrics, {"lengths", "classes", "chance", "questions", "timing"});
  }

  ModelOptions model_;
  ManyShotOptions options_;
  EvalOutput output_;
};

}  // namespace

std::unique_ptr<Verb> make_eval_many_shot_verb() { return std::make_unique<EvalManyShotVerb>(); }

}  // namespace tenfold::cli
