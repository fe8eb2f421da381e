#pragma once

#include "eval/grid_task.h"
#include "eval/perplexity.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tenfold {

/// Where and with what the published system's files are written (evaluations.md 1.2).
struct ReferenceLayout {
  std::string directory;   ///< its output_dir, such as data/results/needle
  std::string result_dir;  ///< below it; see reference_result_dir
  std::string command;     ///< the command line, for metrics.log
  Json arguments = Json::object();
  int64_t unix_time = 0;  ///< seconds; shown in UTC+8 as there
};

/// The last two non-empty components of the adapter's path, else of the model's; "." and ".." do not count, so that it stays
/// below the directory.
std::string reference_result_dir(const std::string& model, const std::string& adapter);

/// Writes RESULT_DIR/results.json and RESULT_DIR/config.json and appends an entry to metrics.log, for needle and passkey. Throws
/// IoError.
void write_reference_layout(const ReferenceLayout& layout, const std::string& task, const GridResult& result);

/// The same for a task that makes the text of results.json and the metrics itself.
void write_reference_layout(const ReferenceLayout& layout, const std::string& results, const Json& metrics);

/// The same for a benchmark of several files: their names below RESULT_DIR and their texts. `category_metrics` where it is not
/// null is an entry of its own.
void write_reference_files(const ReferenceLayout& layout, const std::vector<std::pair<std::string, std::string>>& files,
                           const Json& metrics, const Json& category_metrics = nullptr);

/// Appends an entry to DATASET.log, which is all that the published perplexity writes. `peak_bytes` is what the process took.
void write_reference_layout(const ReferenceLayout& layout, const std::string& dataset, const PerplexityResult& result,
                            int64_t peak_bytes);

}  // namespace tenfold
