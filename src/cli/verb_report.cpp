#include "cli/verbs.h"

#include "cli/values.h"
#include "core/error.h"
#include "format/atomic_file.h"
#include "report/report.h"

#include <filesystem>

namespace tenfold::cli {
namespace {

class ReportVerb final : public Verb {
 public:
  std::string name() const override { return "report"; }
  std::string summary() const override {
    return "Run directories as one self-contained HTML page, the one to compare with first";
  }
  std::string examples() const override {
    return "  tenfold report base=runs/demo-base tuned=runs/demo --output runs/demo/report.html\n"
           "  tenfold report runs/demo\n";
  }
  void declare(OptionTable& table) override {
    table.add_positional("runs", inputs_.runs, "[LABEL=]RUNDIR...", "a run directory").required = true;
    table.group("Page");
    table.add("output", output_, "FILE", "The page; report.html in the last run directory where not given");
    table.add("title", inputs_.title, "TEXT", "Its title; made from the result where not given");
  }

  int run(Context& context) override {
    const std::string page = render_report(inputs_);
    std::string output = output_;
    if (output.empty()) {
      const std::string& last = inputs_.runs.back();
      const size_t equals = last.find('=');
      output = (std::filesystem::path(equals == std::string::npos ? last : last.substr(equals + 1)) / "report.html").string();
    }
    if (context.common.dry_run) return 0;
    const std::filesystem::path folder = std::filesystem::path(output).parent_path();
    if (!folder.empty()) make_directories(folder.string());
    write_file_atomically(output, page);
    context.console.line(fmt::format("{} ({})", output, bytes_text(static_cast<int64_t>(page.size()))));
    context.summary["output"] = output;
    context.summary["bytes"] = page.size();
    return 0;
  }

 private:
  ReportInputs inputs_;
  std::string output_;
};

}  // namespace

std::unique_ptr<Verb> make_report_verb() { return std::make_unique<ReportVerb>(); }

}  // namespace tenfold::cli
