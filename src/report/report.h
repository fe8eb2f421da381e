#pragma once

#include "report/run_data.h"

#include <string>
#include <vector>

namespace tenfold {

/// What a report shows: run directories, the one to compare with first. Each is "LABEL=PATH" or a path.
struct ReportInputs {
  std::vector<std::string> runs;
  std::string title;  ///< empty: made from the result
};

/// One self-contained HTML page without script or external resource: what changed, heat maps side by side, loss by position,
/// training, memory, commands, every answer. InputError names the run, file and field that is missing or malformed.
std::string render_report(const ReportInputs& inputs);

/// The same from runs already read.
std::string render_report(const std::vector<RunData>& runs, const std::string& title);

}  // namespace tenfold
