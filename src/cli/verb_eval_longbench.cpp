// eval longbench: the 21 tasks and LongBench-E.
#include "cli/eval_support.h"
#include "cli/verbs.h"

#include "core/error.h"
#include "eval/longbench.h"

namespace tenfold::cli {
namespace {

class EvalLongBenchVerb final : public Verb {
 public:
  std::string name() const override { return "eval longbench"; }
  std::string summary() const override { return "LongBench: 21 tasks of questions, summaries, examples and code; LongBench-E"; }
  std::string examples() const override {
    return "  tenfold eval longbench --model M --data longbench/ --out runs/base\n"
           "  tenfold eval longbench --model M --data longbench/ --tasks published --max-length 31500 --out runs/base\n"
           "  tenfold eval longbench --model M --data multi_news.first20.jsonl --first 5 --out runs/base\n"
           "  tenfold eval longbench --load-result results/longbench/NAME\n";
  }
  void declare(OptionTable& table) override {
    declare_benchmark(
        table, model_, options_, saved_,
        {.group = "LongBench",
         .data = "Folder of TASK.jsonl (or TASK_e.jsonl), or such files",
         .tasks = "Tasks or groups: default (14), published (16), all (21), e (the 13 of LongBench-E); files alone name theirs",
         .prompts_metavar = "DIR",
         .prompts = "Where the benchmark's dataset2prompt.json and dataset2maxlen.json are, if not beside the data",
         .saved = "TASK.json files"});
    table.add_switch("truncate-from-middle", options_.truncate_from_middle,
                     "Cut the middle; --no-truncate-from-middle keeps the end");
    table.add(
        "newline-eos", newline_, "WHICH",
        "Tasks whose answers end at a newline: qa, all, off (default qa; strict: all where the checkpoint lists several ends)");
    table.add("jieba-dir", options_.jieba_directory, "DIR", "Tables of jieba 0.42.1, for the Chinese tasks");
    declare_eval_output(table, output_, "longbench");
  }
  void check(const OptionTable&, std::vector<std::string>& errors) const override {
    check_benchmark(model_, options_, saved_, errors);
    if (!newline_.empty() && newline_ != "qa" && newline_ != "all" && newline_ != "off") {
      errors.push_back(fmt::format("--newline-eos: expected qa, all or off, got {}", newline_));
    }
  }

  int run(Context& context) override {
    if (!saved_.empty()) {
      print(context, rescore_longbench(saved_, options_));
      return 0;
    }
    const PromptedModel prompted(model_, context);
    LoadedModel& loaded = *prompted;
    const ModelConfig& config = loaded.model.config();
    prompted.settle(options_, options_.strict_reference);
    // The published evaluation appends to the checkpoint's own list of ends, so that the newline then ends every task.
    const bool list = options_.strict_reference && config.eos_ids.size() > 1;
    options_.newline_eos = newline_ == "off"                                 ? NewlineEos::kOff
                           : newline_ == "all" || (newline_.empty() && list) ? NewlineEos::kAll
                                                                             : NewlineEos::kQa;
    const LongBenchTask task = make_longbench_task(prompted.tokenizer, prompted.chat, options_);
    if (!task.missing.empty()) context.console.note(fmt::format("without data, left out: {}", fmt::join(task.missing, ", ")));
    if (!task.refusal.empty()) context.console.note(fmt::format("{}; left out", task.refusal));
    const EvalRunOptions run = eval_run_options(output_, loaded, model_, context, task.asked.tokens_needed());
    const auto layout = reference_layout_of(output_, model_, context);
    return run_evaluation(
        context, loaded, task.asked, "questions", run,
        [&](LanguageModel& model, const EvalCallbacks& callbacks) {
          return run_longbench(model, prompted.tokenizer, task, run, callbacks);
        },
        [&](const LongBenchResult& result) {
          print(context, result);
          if (result.run.interrupted || !layout) return;
          write_reference_files(*layout, result.published_files, result.published_metrics, result.scores.categories);
        });
  }

 private:
  static void print(Context& context, const LongBenchResult& result) {
    Console& out = context.console;
    const auto number = [](const Json& value) { return value.is_number() ? fmt::format("{:.2f}", value.get<double>()) : "-"; };
    print_tasks(context, result.metrics, /*scale=*/100, /*digits=*/2);
    for (const auto& [category, mean] : result.scores.categories.items())
      out.line(fmt::format("{:<34}{:>8}", category, number(mean)));
    for (const auto& [bucket, scores] : result.buckets) {
      out.line(fmt::format("{:<34}{:>8}", "LongBench-E " + bucket, number(scores.average)));
    }
    out.line(fmt::format("{:<34}{:>8}", "average", number(result.scores.average)));
    add_summary(context, result.metrics,
                {"scores", "categories", "avg", "mean_of_14", "mean_of_16", "longbench_e", "tasks", "tasks_without_data",
                 "tasks_refused", "truncated", "empty_answers", "timing"});
  }

  ModelOptions model_;
  LongBenchOptions options_;
  EvalOutput output_;
  std::string newline_;
  std::vector<std::string> saved_;
};

}  // namespace

std::unique_ptr<Verb> make_eval_longbench_verb() { return std::make_unique<EvalLongBenchVerb>(); }

}  // namespace tenfold::cli
