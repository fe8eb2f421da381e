// eval longbench2: four choices over very long texts.
#include "cli/eval_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "eval/longbench2.h"

namespace tenfold::cli {
namespace {

class EvalLongBench2Verb final : public Verb {
 public:
  std::string name() const override { return "eval longbench2"; }
  std::string summary() const override { return "LongBench v2: 503 questions of four choices over texts of 8K to 2M words"; }
  std::string examples() const override {
    return "  tenfold eval longbench2 --model M --data data.json --max-length 120000 --out runs/base\n"
           "  tenfold eval longbench2 --model M --data data.json --prompts prompts/0shot.txt --first 50 --out runs/base\n"
           "  tenfold eval longbench2 --load-result results/NAME.jsonl\n";
  }
  void declare(OptionTable& table) override {
    declare_model(table, model_);
    table.find("model")->required = false;
    table.group("LongBench v2");
    table.add("data", options_.data, "FILE", "The benchmark's data.json, an array, or the same records as JSON lines");
    table.add("prompts", options_.prompts, "FILE",
              "The benchmark's prompts/0shot.txt or another text with its places, else our wording");
    table.add("first", options_.first, "N", "Only the first N questions; 0: all");
    table.add("max-length", options_.max_length, "N", "Tokens of a prompt without its template; longer ones lose their middle");
    table.add_switch("likelihood", options_.likelihood,
                     "Take the likeliest letter after one reading instead of an answer's text");
    table.add("max-new-tokens", options_.decoding.max_new_tokens, "N", "Most tokens of an answer");
    table.add("load-result", saved_, "FILE",
              "Score saved lines {_id, domain, difficulty, length, answer, response}, without a model");
    declare_eval_output(table, output_, "longbench2");
    table.find("reference-layout")->help = "Not for this one: the published system has no LongBench v2";
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override {
    if (saved_.empty() && model_.model.empty()) errors.push_back("--model PATH is missing");
    if (saved_.empty() && options_.data.empty()) errors.push_back("--data FILE is missing");
    if (options_.max_length < 2) errors.push_back(fmt::format("--max-length: expected 2 or more, got {}", options_.max_length));
    if (options_.first < 0) errors.push_back(fmt::format("--first: expected 0 or more, got {}", options_.first));
    const int64_t most = options_.decoding.max_new_tokens;
    if (most < 1) errors.push_back(fmt::format("--max-new-tokens: expected 1 or more, got {}", most));
    if (table.given("reference-layout")) errors.push_back("--reference-layout: the published system has no LongBench v2");
  }

  int run(Context& context) override {
    if (!saved_.empty()) {
      print(context, rescore_longbench2(saved_));
      return 0;
    }
    const PromptedModel prompted(model_, context);
    LoadedModel& loaded = *prompted;
    prompted.settle(options_.decoding);
    const LongBench2Task task = make_longbench2_task(prompted.tokenizer, prompted.chat, options_);
    const EvalRunOptions run = eval_run_options(output_, loaded, model_, context, task.tokens_needed());
    return run_evaluation(
        context, loaded, task, "questions", run,
        [&](LanguageModel& model, const EvalCallbacks& callbacks) {
          return run_longbench2(model, prompted.tokenizer, task, run, callbacks);
        },
        [&](const LongBench2Result& result) { print(context, result); });
  }

 private:
  static void print(Context& context, const LongBench2Result& result) {
    context.console.line(fmt::format("{:<34}{:>10}{:>8}{:>12}", "", "questions", "score", "unanswered"));
    const auto rows = [&](const std::vector<LongBench2Group>& groups) {
      for (const LongBench2Group& group : groups) {
        context.console.line(
            fmt::format("{:<34}{:>10}{:>8.1f}{:>12}", group.name, group.questions, group.per_cent(), group.unanswered));
      }
    };
    rows(result.domains);
    rows(result.groups);
    add_summary(context, result.metrics, {"groups", "domains", "questions", "truncated", "empty_answers", "timing"});
  }

  ModelOptions model_;
  LongBench2Options options_;
  EvalOutput output_;
  std::string saved_;
};

}  // namespace

std::unique_ptr<Verb> make_eval_longbench2_verb() { return std::make_unique<EvalLongBench2Verb>(); }

}  // namespace tenfold::cli
