#include "report/report.h"

#include "core/error.h"
#include "report/sections.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace tenfold {
namespace {

bool is_grid(const EvalData& eval) { return eval.is_grid(); }
bool is_ppl(const EvalData& eval) { return eval.kind == "ppl"; }
bool has_scores(const EvalData& eval) { return !eval.by_task.empty(); }

std::string config_text(const EvalData& eval, const char* group, const char* key) {
  const auto object = eval.config.find(group);
  if (object == eval.config.end() || !object->is_object()) return "";
  const auto found = object->find(key);
  if (found == object->end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string what_is_found(const EvalData& eval) { return eval.kind == "needle" ? "The needle" : "The pass key"; }

/// The result in one line: the first grid that the runs share, else the first grid, else the training.
std::string headline(const Runs& runs) {
  std::string best;
  for (const std::string& name : eval_names(runs, is_grid)) {
    if (best.empty() || compare(runs, name).size() > compare(runs, best).size()) best = name;
  }
  if (!best.empty()) {
    const auto compared = compare(runs, best);
    const EvalData& last = *compared.back().eval;
    std::string text = fmt::format("{} is found in {} of {} places", what_is_found(last), last.hits(), last.answers.size());
    if (compared.size() > 1) text += fmt::format("; before, in {}", compared.front().eval->hits());
    return text;
  }
  for (const RunData& run : runs) {
    if (!run.train.empty()) return fmt::format("{} steps, loss {:.3f}", run.train.size(), run.train.back().loss);
  }
  return "Evaluation of " + runs.front().label;
}

std::string model_name(const Runs& runs) {
  for (const RunData& run : runs) {
    for (const EvalData& eval : run.evals) {
      if (std::string name = config_text(eval, "model", "model"); !name.empty()) return name;
    }
  }
  return "";
}

void write_header(Html& html, const Runs& runs, const std::string& title) {
  html.open("header");
  html.element("p", "tenfold report", {{"class", "kicker"}});
  html.element("h1", title);
  html.open("p", {{"class", "lede"}});
  const std::string model = model_name(runs);
  if (!model.empty()) html.text(model).text(": ");
  for (size_t i = 0; i < runs.size(); ++i) {
    if (i > 0) html.text(i + 1 == runs.size() ? " and " : ", ");
    html.element("strong", runs[i].label, {{"class", run_class(runs, runs[i])}});
  }
  html.text(runs.size() > 1 ? ", side by side." : ".");
  html.close();
  html.open("div", {{"class", "tiles"}});
  std::vector<int64_t> extra_hits(runs.size(), 0);
  int64_t extra_cells = 0;
  for (const std::string& name : eval_names(runs, is_grid)) {
    const auto compared = compare(runs, name);
    if (is_extra(runs, *compared.front().eval)) {
      for (const ComparedEval& c : compared) extra_hits[static_cast<size_t>(c.run - runs.data())] += c.eval->hits();
      extra_cells += std::ssize(compared.back().eval->answers);
      continue;
    }
    std::string value;
    for (const ComparedEval& c : compared) value += fmt::format("{}{}", value.empty() ? "" : " \xE2\x86\x92 ", c.eval->hits());
    write_tile(html, compared.front().eval->name == "needle" ? "Needle" : eval_title(*compared.front().eval), value,
               fmt::format("found, of {} places", compared.back().eval->answers.size()));
  }
  if (extra_cells > 0) {
    write_tile(html, "Other needles", fmt::format("{}", fmt::join(extra_hits, " \xE2\x86\x92 ")),
               fmt::format("found, of {} places", extra_cells));
  }
  for (const std::string& name : eval_names(runs, is_ppl)) {
    const auto compared = compare(runs, name);
    const auto& first = compared.front().eval->by_position;
    const auto& last = compared.back().eval->by_position;
    if (first.empty() || last.empty() || compared.size() < 2) continue;
    write_tile(html, "Loss at " + range_text(first.front().positions),
               fmt::format("{:.2f} \xE2\x86\x92 {:.2f}", first.front().nll, last.front().nll), "nats per token");
    write_tile(html, "Loss at " + range_text(first.back().positions),
               fmt::format("{:.2f} \xE2\x86\x92 {:.2f}", first.back().nll, last.back().nll), "nats per token");
  }
  for (const RunData& run : runs) {
    double seconds = 0;
    for (const TrainPoint& p : run.train) seconds += std::isfinite(p.seconds) ? p.seconds : 0;
    if (seconds > 0) write_tile(html, "Training", seconds_text(seconds), fmt::format("{} steps", run.train.size()));
  }
  html.close().close();
}

struct Command {
  std::string what;
  std::string line;
};

std::vector<Command> commands_of(const RunData& run) {
  std::vector<Command> commands;
  if (const std::string line = run.heading("command"); !line.empty())
    commands.push_back({run.train.empty() ? "config.toml" : "train", line});
  for (const EvalData& eval : run.evals) {
    if (const std::string line = config_text(eval, "notes", "command"); !line.empty())
      commands.push_back({"eval " + eval.name, line});
  }
  return commands;
}

/// "version 0.1.0", "threads 2" ... of a run, each once.
std::vector<std::string> facts_of(const RunData& run) {
  std::vector<std::string> facts;
  const auto add = [&](std::string fact) {
    if (!fact.empty() && std::find(facts.begin(), facts.end(), fact) == facts.end()) facts.push_back(std::move(fact));
  };
  for (const auto& [key, value] : run.headings) {
    if (key == "title" || key == "cpu" || key == "fact" || key == "input")
      add(key == "title" || key == "fact" ? value : key + " " + value);
  }
  for (const EvalData& eval : run.evals) {
    for (const char* group : {"model", "notes"}) {
      const auto object = eval.config.find(group);
      if (object == eval.config.end() || !object->is_object()) continue;
      for (const auto& [key, value] : object->items()) {
        if (key != "command" && !value.is_structured() && value != "")
          add(key + " " + (value.is_string() ? value.get<std::string>() : value.dump()));
      }
    }
  }
  return facts;
}

}  // namespace

std::vector<ComparedEval> compare(const Runs& runs, const std::string& name) {
  std::vector<ComparedEval> compared;
  for (const RunData& run : runs) {
    const EvalData* const eval = run.find(name);
    // A folder of the same name may hold another task: it is shown with its own kind.
    if (eval != nullptr && (compared.empty() || compared.front().eval->kind == eval->kind)) compared.push_back({&run, eval});
  }
  return compared;
}

std::vector<std::string> eval_names(const Runs& runs, bool (*wanted)(const EvalData&)) {
  std::set<std::string> names;
  for (const RunData& run : runs) {
    for (const EvalData& eval : run.evals) {
      if (wanted(eval)) names.insert(eval.name);
    }
  }
  return {names.begin(), names.end()};
}

bool is_extra(const Runs& runs, const EvalData& eval) {
  return eval.is_grid() && eval.name != eval.kind && !compare(runs, eval.kind).empty();
}

std::string eval_title(const EvalData& eval) {
  const std::string title = eval.kind == "needle" ? "Needle in a haystack" : eval.kind == "passkey" ? "Pass key" : eval.kind;
  return eval.name == eval.kind ? title : title + ", " + eval.name;
}

std::string run_class(const Runs& runs, const RunData& run) {
  static constexpr const char* kClasses[] = {"run-a", "run-b", "run-c", "run-d"};
  const auto i = static_cast<size_t>(&run - runs.data());
  // One run alone takes the accent; of several, the first is the one to compare with.
  return runs.size() == 1 ? kClasses[1] : kClasses[std::min<size_t>(i, 3)];
}

std::string range_text(std::string text) {
  if (const size_t dash = text.find('-'); dash != std::string::npos) text.replace(dash, 1, "\xE2\x80\x93");
  return text;
}

void write_tile(Html& html, std::string_view name, std::string_view value, std::string_view note) {
  html.open("div", {{"class", "tile"}});
  html.element("span", name, {{"class", "name"}}).element("span", value, {{"class", "value"}});
  if (!note.empty()) html.element("span", note, {{"class", "more"}});
  html.close();
}

void write_runs_section(Html& html, const Runs& runs) {
  html.open("section").element("h2", "How it was made");
  for (const RunData& run : runs) {
    html.element("h3", run.label, {{"class", run_class(runs, run)}});
    for (const Command& command : commands_of(run)) {
      html.element("p", command.what, {{"class", "note"}});
      html.open("pre", {{"class", "command"}}).element("code", command.line).close();
    }
    const auto facts = facts_of(run);
    if (!facts.empty()) {
      html.open("ul", {{"class", "note"}});
      for (const std::string& fact : facts) html.element("li", fact);
      html.close();
    }
    if (!run.config_text.empty()) {
      html.open("details").element("summary", "config.toml, everything resolved");
      html.element("pre", run.config_text).close();
    }
  }
  html.close();
}

std::string render_report(const Runs& runs, const std::string& title) {
  if (runs.empty()) throw_input("report: no run directories; name them, such as base=runs/base tuned=runs/tuned");
  std::set<std::string> labels;
  for (const RunData& run : runs) {
    if (!labels.insert(run.label).second) throw_input("report: two runs are called \"{}\"; give one another LABEL=", run.label);
  }
  const std::string heading = title.empty() ? headline(runs) : title;
  Html html;
  html.raw("<!DOCTYPE html>\n").open("html", {{"lang", "en"}}).open("head");
  html.empty("meta", {{"charset", "utf-8"}})
      .empty("meta", {{"name", "viewport"}, {"content", "width=device-width, initial-scale=1"}});
  html.element("title", heading).open("style").raw(report_style()).close().close();
  html.open("body").open("main");
  write_header(html, runs, heading);
  const auto grids = eval_names(runs, is_grid);
  std::vector<std::string> extras;
  for (const std::string& name : grids) {
    if (is_extra(runs, *compare(runs, name).front().eval)) {
      extras.push_back(name);
    } else {
      write_grid_section(html, runs, name);
    }
  }
  write_more_grids_section(html, runs, extras);
  for (const std::string& name : eval_names(runs, is_ppl)) write_loss_section(html, runs, name);
  write_scores_section(html, runs, eval_names(runs, has_scores));
  for (const RunData& run : runs) {
    write_training_section(html, run);
    write_memory_section(html, run);
  }
  if (!grids.empty()) {
    html.open("section").element("h2", "Every answer");
    html.element("p", "As the model gave it: nothing stripped, nothing left out.", {{"class", "note"}});
    for (const std::string& name : grids) write_answers_section(html, runs, name);
    html.close();
  }
  write_runs_section(html, runs);
  html.open("footer").text("Drawn by tenfold " TENFOLD_VERSION " from run directories; this page loads nothing.").close();
  html.close().close().close();
  return html.take();
}

std::string render_report(const ReportInputs& inputs) {
  Runs runs;
  for (const std::string& run : inputs.runs) runs.push_back(read_run(run));
  return render_report(runs, inputs.title);
}

}  // namespace tenfold
