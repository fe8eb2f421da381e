// Evaluations that are neither grids nor losses (MMLU, RULER, topics, LongBench ...): shares and mean scores, run beside run.
#include "report/sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tenfold {
namespace {

constexpr std::string_view kDash = "\xE2\x80\x93";  // en dash
constexpr size_t kManyGroups = 30;                  ///< MMLU's 57 subjects would bury the rest

/// Names of the groups of all the runs, in the order in which they are met.
std::vector<std::string> names_of(const std::vector<ComparedEval>& compared, std::vector<ScoreGroup> EvalData::*groups) {
  std::vector<std::string> names;
  for (const ComparedEval& c : compared) {
    for (const ScoreGroup& group : c.eval->*groups) {
      if (std::find(names.begin(), names.end(), group.name) == names.end()) names.push_back(group.name);
    }
  }
  return names;
}

const ScoreGroup* group_of(const std::vector<ScoreGroup>& groups, const std::string& name) {
  const auto found = std::find_if(groups.begin(), groups.end(), [&](const ScoreGroup& g) { return g.name == name; });
  return found == groups.end() ? nullptr : &*found;
}

void score_cell(Html& html, const std::string& style, const ScoreGroup* group) {
  html.open("td", {{"class", "num"}});
  if (group == nullptr || group->questions == 0) {
    html.text(kDash).close();
    return;
  }
  const double mean = group->sum / static_cast<double>(group->questions);
  html.text(group->judged ? fmt::format("{:.0f} of {} ({:.1f} %)", group->sum, group->questions, 100 * mean)
                          : fmt::format("{:.3f} over {}", mean, group->questions));
  html.open("span", {{"class", "bar " + style}, {"aria-hidden", "true"}});
  html.element("span", "", {{"style", fmt::format("width:{:.0f}%", 100 * std::clamp(mean, 0.0, 1.0))}});
  html.close().close();
}

void rows(Html& html, const Runs& runs, const std::vector<ComparedEval>& compared, std::vector<ScoreGroup> EvalData::*groups) {
  const auto names = names_of(compared, groups);
  if (names.size() < 2 || names.size() > kManyGroups) return;
  for (const std::string& name : names) {
    html.open("tr").element("th", name, {{"scope", "row"}});
    for (const ComparedEval& c : compared) score_cell(html, run_class(runs, *c.run), group_of(c.eval->*groups, name));
    html.close();
  }
}

}  // namespace

void write_scores_section(Html& html, const Runs& runs, const std::vector<std::string>& names) {
  bool begun = false;
  for (const std::string& name : names) {
    std::vector<ComparedEval> compared;
    for (const ComparedEval& c : compare(runs, name)) {
      if (!c.eval->by_task.empty()) compared.push_back(c);
    }
    if (compared.empty()) continue;
    if (!std::exchange(begun, true)) html.open("section").element("h2", "Scores");
    html.element("h3", eval_title(*compared.front().eval));
    html.open("div", {{"class", "scroll"}}).open("table").open("thead").open("tr").element("th", "");
    for (const ComparedEval& c : compared) html.element("th", c.run->label, {{"class", "num"}});
    html.close().close().open("tbody");
    rows(html, runs, compared, &EvalData::by_task);
    rows(html, runs, compared, &EvalData::by_prompt_tokens);
    html.close().open("tfoot").open("tr").element("th", "All", {{"scope", "row"}});
    for (const ComparedEval& c : compared) {
      ScoreGroup all{"", 0, 0.0, true};
      for (const ScoreGroup& group : c.eval->by_task) {
        all.questions += group.questions;
        all.sum += group.sum;
        all.judged = all.judged && group.judged;
      }
      score_cell(html, run_class(runs, *c.run), &all);
    }
    html.close().close().close().close();
    for (const ComparedEval& c : compared) {
      if (!c.eval->is_done()) html.element("p", c.run->label + " has not ended.", {{"class", "note"}});
    }
  }
  if (begun) html.close();
}

}  // namespace tenfold
