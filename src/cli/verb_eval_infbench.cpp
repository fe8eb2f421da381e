// eval infbench: InfiniteBench's 12 tasks.
#include "cli/eval_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "eval/infbench.h"

namespace tenfold::cli {
namespace {

class EvalInfBenchVerb final : public Verb {
 public:
  std::string name() const override { return "eval infbench"; }
  std::string summary() const override { return "InfiniteBench: 12 tasks of retrieval, books, dialogue, mathematics and code"; }
  std::string examples() const override {
    return "  tenfold eval infbench --model M --data infbench/ --max-length 80000 --out runs/base\n"
           "  tenfold eval infbench --model M --data infbench/ --tasks all --prompts infbench-prompts.json --prompt-table gpt4 "
           "--out "
           "runs/base\n"
           "  tenfold eval infbench --load-result results/infbench/NAME\n";
  }
  void declare(OptionTable& table) override {
    declare_benchmark(table, model_, options_, saved_,
                      {.group = "InfiniteBench",
                       .data = "Folder of TASK.jsonl, or such files",
                       .tasks = "Tasks or groups: default (longbook_qa_eng, longbook_sum_eng), all (12); files alone name theirs",
                       .prompts_metavar = "FILE",
                       .prompts = "JSON {table: {task: template}} with the benchmark's own texts, else our wording",
                       .saved = "TASK.json or preds_TASK.jsonl files"});
    table.add("prompt-table", options_.table, "NAME", "Table of the file of --prompts: mistral or gpt4");
    declare_eval_output(table, output_, "infbench");
  }
  void check(const OptionTable&, std::vector<std::string>& errors) const override {
    check_benchmark(model_, options_, saved_, errors);
  }

  int run(Context& context) override {
    if (!saved_.empty()) {
      print(context, rescore_infbench(saved_, options_));
      return 0;
    }
    const PromptedModel prompted(model_, context);
    LoadedModel& loaded = *prompted;
    prompted.settle(options_, options_.strict_reference);
    const InfBenchTask task = make_infbench_task(prompted.tokenizer, prompted.chat, options_);
    if (!task.missing.empty()) context.console.note(fmt::format("without data, left out: {}", fmt::join(task.missing, ", ")));
    const EvalRunOptions run = eval_run_options(output_, loaded, model_, context, task.asked.tokens_needed());
    const auto layout = reference_layout_of(output_, model_, context);
    return run_evaluation(
        context, loaded, task.asked, "questions", run,
        [&](LanguageModel& model, const EvalCallbacks& callbacks) {
          return run_infbench(model, prompted.tokenizer, task, run, callbacks);
        },
        [&](const InfBenchResult& result) {
          print(context, result);
          if (!result.run.interrupted && layout) write_reference_files(*layout, result.published_files, result.published_metrics);
        });
  }

 private:
  static void print(Context& context, const InfBenchResult& result) {
    print_tasks(context, result.metrics, /*scale=*/1, /*digits=*/4);
    context.console.line(fmt::format("{:<34}{:>8.4f}", "average", result.average));
    add_summary(context, result.metrics,
                {"scores", "avg", "tasks", "tasks_without_data", "truncated", "empty_answers", "timing"});
  }

  ModelOptions model_;
  InfBenchOptions options_;
  EvalOutput output_;
  std::vector<std::string> saved_;
};

}  // namespace

std::unique_ptr<Verb> make_eval_infbench_verb() { return std::make_unique<EvalInfBenchVerb>(); }

}  // namespace tenfold::cli
