#pragma once

#include "report/html.h"
#include "report/run_data.h"

#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

using Runs = std::vector<RunData>;

/// The page's style sheet.
std::string_view report_style();

/// An evaluation with the runs that have it, in the order of the runs.
struct ComparedEval {
  const RunData* run = nullptr;
  const EvalData* eval = nullptr;
};
std::vector<ComparedEval> compare(const Runs& runs, const std::string& name);
/// Names of the evaluations of a kind, each once, in order.
std::vector<std::string> eval_names(const Runs& runs, bool (*wanted)(const EvalData&));
/// Whether the grid only adds to one that bears its kind's name: "needle-bridges" beside "needle".
bool is_extra(const Runs& runs, const EvalData& eval);
/// "Needle in a haystack", "Pass key", with the folder's name where it says more.
std::string eval_title(const EvalData& eval);

/// "base" or "tuned" colour class of the i-th of n runs.
std::string run_class(const Runs& runs, const RunData& run);

/// Each writes one part of the page, or nothing when the runs hold nothing for it.
void write_grid_section(Html& html, const Runs& runs, const std::string& name);
/// Grids of the same kind as another, such as needles of one's own beside the published one: one table for all of them.
void write_more_grids_section(Html& html, const Runs& runs, const std::vector<std::string>& names);
void write_loss_section(Html& html, const Runs& runs, const std::string& name);
/// Hits and mean scores of evaluations of any other kind.
void write_scores_section(Html& html, const Runs& runs, const std::vector<std::string>& names);
void write_training_section(Html& html, const RunData& run);
void write_memory_section(Html& html, const RunData& run);
void write_runs_section(Html& html, const Runs& runs);
void write_answers_section(Html& html, const Runs& runs, const std::string& name);

/// "0-1K" with an en dash.
std::string range_text(std::string text);
/// One figure with its name, in a row of such.
void write_tile(Html& html, std::string_view name, std::string_view value, std::string_view note = {});

}  // namespace tenfold
