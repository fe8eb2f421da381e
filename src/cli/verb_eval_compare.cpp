// eval compare: two runs, question by question.
#include "cli/verbs.h"

#include "core/error.h"
#include "eval/compare.h"
#include "eval/run.h"
#include "format/atomic_file.h"

#include <algorithm>
#include <filesystem>

namespace tenfold::cli {
namespace {

class EvalCompareVerb final : public Verb {
 public:
  std::string name() const override { return "eval compare"; }
  std::string summary() const override { return "Two runs question by question: what changed, and whether by more than chance"; }
  std::string examples() const override {
    return "  tenfold eval compare runs/base runs/tuned\n"
           "  tenfold eval compare runs/base/eval/mmlu runs/tuned/eval/mmlu-5 --show 10\n";
  }
  void declare(OptionTable& table) override {
    table.add_positional("runs", runs_, "RUN RUN", "Two run directories, or two folders eval/TASK").required = true;
    table.group("Comparison");
    table.add("output", output_, "FILE", "Every figure and every changed answer; compare.json in the second RUN where not given");
    table.add("show", show_, "N", "Print so many changed answers of each evaluation");
  }
  void check(const OptionTable&, std::vector<std::string>& errors) const override {
    if (runs_.size() != 2) errors.push_back(fmt::format("RUN RUN: expected 2, got {}", runs_.size()));
    if (show_ < 0) errors.push_back(fmt::format("--show: expected 0 or more, got {}", show_));
  }

  int run(Context& context) override {
    const RunComparison result = compare_runs(runs_[0], runs_[1]);
    Console& out = context.console;
    size_t width = 12;
    for (const Comparison& task : result.tasks) width = std::max(width, task.name.size());
    out.line(fmt::format("{:<{}}{:>7}{:>11}{:>10}{:>10}{:>8}{:>7}{:>10}", "evaluation", width, "", "questions", "first", "second",
                         "better", "worse", "p"));
    for (const Comparison& c : result.tasks) {
      out.line(fmt::format("{:<{}}{:>7}{:>11}{:>10.4f}{:>10.4f}{:>8}{:>7}{:>10.4g}{}{}", c.name, width, c.measure, c.questions,
                           c.first, c.second, c.better, c.worse, c.p_value, c.p_value < 0.05 ? " *" : "", difference_text(c)));
      if (c.only_first + c.only_second > 0) {
        context.console.note(fmt::format("{}: left out, answered by the first alone {}, by the second alone {}", c.name,
                                         c.only_first, c.only_second));
      }
      if (c.other_prompts > 0)
        context.console.note(fmt::format("{}: {} questions were asked with other tokens", c.name, c.other_prompts));
    }
    for (const std::string& remark : result.remarks) context.console.note(remark);
    out.line(
        "p: exact two-sided binomial over the answers that changed (McNemar's test over hits, sign test over scores); * below "
        "0.05; of a loss the mean difference follows, with Student's 95 % interval over windows");
    for (const Comparison& c : result.tasks) show(out, c);
    if (!context.common.dry_run) {
      const std::string path = output_.empty() ? (std::filesystem::path(runs_[1]) / "compare.json").string() : output_;
      write_file_atomically(path, dump_json(result.json, 2) + "\n");
      context.console.note(fmt::format("every changed answer is in {}", path));
      context.summary["output"] = path;
    }
    context.summary["tasks"] = result.json["tasks"];
    for (Json& task : context.summary["tasks"]) task.erase("changed");
    context.summary["remarks"] = result.remarks;
    return 0;
  }

 private:
  static std::string difference_text(const Comparison& c) {
    if (c.measure != "nll") return "";
    const auto& interval = c.difference.interval;
    return fmt::format("  {:+.4f}{}", c.difference.mean,
                       interval ? fmt::format(" ({:+.4f} to {:+.4f})", interval->low, interval->high) : "");
  }
  void show(Console& out, const Comparison& c) const {
    if (c.name.find('/') != std::string::npos) return;  // shown with the whole benchmark
    for (size_t i = 0; i < std::min(c.changed.size(), static_cast<size_t>(show_)); ++i) {
      const Json& change = c.changed[i];
      out.line(fmt::format("{} {}: {} -> {}", c.name, change["id"].get<std::string>(), dump_json(change["first"]),
                           dump_json(change["second"])));
      for (const char* field : {"first_output", "second_output"}) {
        if (change.contains(field)) out.line("    " + dump_json(change[field]));
      }
    }
  }

  std::vector<std::string> runs_;
  std::string output_;
  int64_t show_ = 0;
};

}  // namespace

std::unique_ptr<Verb> make_eval_compare_verb() { return std::make_unique<EvalCompareVerb>(); }

}  // namespace tenfold::cli
