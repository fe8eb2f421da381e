// eval mmlu: four choices a question.
#include "cli/eval_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "eval/mmlu.h"

namespace tenfold::cli {
namespace {

class EvalMmluVerb final : public Verb {
 public:
  std::string name() const override { return "eval mmlu"; }
  std::string summary() const override { return "MMLU: four choices a question, by the likelihood of the letter"; }
  std::string examples() const override {
    return "  tenfold eval mmlu --model SmolLM2.gguf --data test.json --out runs/base\n"
           "  tenfold eval mmlu --model SmolLM2.gguf --data test.json --examples dev.json --few-shot 5 --task mmlu-5 --out "
           "runs/base\n";
  }
  void declare(OptionTable& table) override {
    declare_model(table, model_);
    table.group("Questions");
    table.add("data", options_.data, "FILE", "JSON lines {query_id, subject, query, choices, answer}").required = true;
    table.add("few-shot", options_.few_shot, "N", "Answered examples before a question, the first of its subject");
    table.add("examples", options_.train_data, "FILE", "Where they are: MMLU's dev.json");
    table.add_switch("strict-reference", options_.strict_reference,
                     "Bug-compatible with the published evaluation (docs/guide.md)");
    declare_eval_output(table, output_, "mmlu", /*answers=*/false);
  }
  void check(const OptionTable&, std::vector<std::string>& errors) const override {
    if (options_.few_shot < 0) errors.push_back(fmt::format("--few-shot: expected 0 or more, got {}", options_.few_shot));
    if (options_.few_shot > 0 && options_.train_data.empty()) {
      errors.push_back("--examples FILE is missing: --few-shot takes its examples from there");
    }
  }

  int run(Context& context) override {
    const PromptedModel prompted(model_, context);
    LoadedModel& loaded = *prompted;
    prompted.settle(options_, options_.strict_reference);
    const MmluTask task = make_mmlu_task(prompted.tokenizer, prompted.chat, options_);
    const EvalRunOptions run = eval_run_options(output_, loaded, model_, context);
    const auto layout = reference_layout_of(output_, model_, context);
    return run_evaluation(
        context, loaded, task, "questions", run,
        [&](LanguageModel& model, const EvalCallbacks& callbacks) { return run_mmlu(model, task, run, callbacks); },
        [&](const MmluResult& result) {
          print(context, result);
          if (!result.run.interrupted && layout) write_reference_layout(*layout, result.published_results, result.categories);
        });
  }

 private:
  static void print(Context& context, const MmluResult& result) {
    for (const auto& [category, mean] : result.categories.items()) {
      context.console.line(
          fmt::format("{:<16} {}", category, mean.is_number() ? fmt::format("{:.4f}", mean.get<double>()) : "-"));
      context.summary[category] = mean;
    }
    context.console.line(fmt::format("{} of {} right ({:.1f} % to {:.1f} % at 95 %)", result.correct, result.total,
                                     100 * result.interval.low, 100 * result.interval.high));
    context.summary["correct"] = result.correct;
    context.summary["total"] = result.total;
    context.summary["timing"] = result.metrics["timing"];
  }

  ModelOptions model_;
  MmluOptions options_;
  EvalOutput output_;
};

}  // namespace

std::unique_ptr<Verb> make_eval_mmlu_verb() { return std::make_unique<EvalMmluVerb>(); }

}  // namespace tenfold::cli
