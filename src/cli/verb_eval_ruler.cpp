// eval ruler: made tasks at growing lengths.
#include "cli/eval_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "eval/ruler.h"

namespace tenfold::cli {
namespace {

class EvalRulerVerb final : public Verb {
 public:
  std::string name() const override { return "eval ruler"; }
  std::string summary() const override {
    return "RULER: needles, variables and word counts at growing lengths; the effective length";
  }
  std::string examples() const override {
    return "  tenfold eval ruler --model M --haystack novels/ --lengths 4K,8K,16K --samples 20 --out runs/base\n"
           "  tenfold eval ruler --model M --haystack novels/ --tasks niah_multikey_1,vt,cwe --lengths 4K --out runs/base\n";
  }
  void declare(OptionTable& table) override {
    declare_model(table, model_);
    table.group("RULER");
    table.add_many("haystack", options_.haystack, "PATH...", "Any long text: files, or folders of *.txt and *.md").required =
        true;
    table.add_many(
        "tasks", options_.tasks, "NAME,...",
        "Tasks or groups: default (11), all (13); niah_single_1..3, niah_multikey_1..3, niah_multivalue, niah_multiquery, vt, "
        "cwe, fwe, qa_1, qa_2");
    table.add_many("lengths", options_.lengths, "N,...", "Tokens of a prompt and its answer together");
    table.add("samples", options_.samples, "N", "Of each task and length (published: 500)");
    table.add("wording", wording_, "FILE", "JSON with other texts than ours, such as the benchmark's own (docs/guide.md)");
    table.add("squad", options_.squad, "FILE", "SQuAD 2's dev set, for qa_1");
    table.add("hotpot", options_.hotpot, "FILE", "HotpotQA's dev set with distractors, for qa_2");
    declare_eval_output(table, output_, "ruler");
    table.find("reference-layout")->help = "Not for this one: the published system has no RULER";
  }
  void check(const OptionTable& table, std::vector<std::string>& errors) const override {
    if (options_.samples < 1) errors.push_back(fmt::format("--samples: expected 1 or more, got {}", options_.samples));
    for (const int64_t length : options_.lengths) {
      if (length < 1) errors.push_back(fmt::format("--lengths: expected 1 or more, got {}", length));
    }
    if (table.given("reference-layout")) errors.push_back("--reference-layout: the published system has no RULER");
  }

  int run(Context& context) override {
    const PromptedModel prompted(model_, context);
    LoadedModel& loaded = *prompted;
    if (!wording_.empty()) options_.wording = RulerWording::from_json(wording_);
    if (context.options.given("seed")) options_.seed = static_cast<uint64_t>(context.common.seed);
    prompted.settle(options_);
    const RulerTask task = make_ruler_task(prompted.tokenizer, prompted.chat, options_);
    const EvalRunOptions run = eval_run_options(output_, loaded, model_, context, task.tokens_needed());
    return run_evaluation(
        context, loaded, task, "questions", run,
        [&](LanguageModel& model, const EvalCallbacks& callbacks) {
          return run_ruler(model, prompted.tokenizer, task, run, callbacks);
        },
        [&](const RulerResult& result) { print(context, result); });
  }

 private:
  static void print(Context& context, const RulerResult& result) {
    std::string head = fmt::format("{:<18}", "task");
    for (const RulerLength& length : result.lengths) head += fmt::format("{:>9}", length.length);
    context.console.line(head);
    const auto row = [&](const std::string& name, auto&& value) {
      std::string line = fmt::format("{:<18}", name);
      for (const RulerLength& length : result.lengths) line += value(length);
      context.console.line(line);
    };
    for (const std::string& task : RulerSamples::tasks()) {
      const bool any =
          std::any_of(result.lengths.begin(), result.lengths.end(), [&](const RulerLength& l) { return l.tasks.contains(task); });
      if (!any) continue;
      row(task, [&](const RulerLength& length) {
        const auto score = length.tasks.find(task);
        return score == length.tasks.end() ? fmt::format("{:>9}", ".") : fmt::format("{:>9.2f}", score->second);
      });
    }
    row("average", [](const RulerLength& length) { return fmt::format("{:>9.2f}", length.average); });
    const std::string effective = result.effective_length ? std::to_string(*result.effective_length) : "none of these";
    context.console.line(fmt::format("effective length (average of {} or more): {}", kRulerThreshold, effective));
    add_summary(context, result.metrics, {"lengths", "effective_length", "questions", "timing"});
  }

  ModelOptions model_;
  RulerOptions options_;
  std::string wording_;
  EvalOutput output_;
};

}  // namespace

std::unique_ptr<Verb> make_eval_ruler_verb() { return std::make_unique<EvalRulerVerb>(); }

}  // namespace tenfold::cli
