#include "eval/reference_layout.h"

#include "core/error.h"
#include "eval/metrics/numbers.h"
#include "eval/metrics/text.h"
#include "eval/python_json.h"
#include "format/atomic_file.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <string_view>
#include <vector>

namespace tenfold {
namespace {

std::string local_time(int64_t unix_time) {
  const auto shifted = static_cast<std::time_t>(unix_time + 8 * 3600);  // Asia/Shanghai, UTC+8 all year
  std::tm parts{};
  gmtime_r(&shifted, &parts);
  return fmt::format("{:04}-{:02}-{:02}, {:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                     parts.tm_min, parts.tm_sec);
}

/// {"8192": {"0": value}} over the answered cells.
template <typename Value>
Json by_cell(const GridResult& result, Value&& value) {
  Json out = Json::object();
  for (const auto& row : result.cells) {
    for (const GridCell& cell : row) {
      if (cell.prompt_tokens > 0) out[std::to_string(cell.length)][std::to_string(cell.depth)] = value(cell);
    }
  }
  return out;
}

Json results_of(const std::string& task, const GridResult& result) {
  return by_cell(result, [&](const GridCell& cell) {
    if (task == "needle") return Json::array({{{"target", cell.target}, {"prediction", cell.output}}});
    return Json::array({{{"target", cell.target}, {"prediction", first_digits(cell.output)}, {"output", cell.output}}});
  });
}

Json metrics_of(const std::string& task, const GridResult& result) {
  const Json scores = by_cell(result, [](const GridCell& cell) { return cell.score; });
  if (task == "needle") {
    Json metrics = {{"rouge", scores}};
    if (result.metrics.contains("gpt")) metrics["gpt"] = result.metrics["gpt"];  // what a judge said
    return metrics;
  }
  return {{"accuracy", by_cell(result, [](const GridCell& cell) { return cell.exact ? 1.0 : 0.0; })}, {"fuzz", scores}};
}

void append_log(const ReferenceLayout& layout, const std::string& name, const Json& metrics, const Json& categories = nullptr) {
  LineAppender log((std::filesystem::path(layout.directory) / name).string(), /*sync=*/true);
  const auto line = [&](std::string_view key, const Json& value) {
    log.append(fmt::format("{:<10}: {}", key, python_json(value, /*ensure_ascii=*/false)));
  };
  line("Time", local_time(layout.unix_time));
  line("Command", layout.command);
  line("Args", layout.arguments);
  if (!categories.is_null()) line("Category_Metrics", categories);
  line("Metrics", metrics);
  log.append("");
}

}  // namespace

std::string reference_result_dir(const std::string& model, const std::string& adapter) {
  std::vector<std::string> parts;
  for (const auto& part : std::filesystem::path(adapter.empty() ? model : adapter)) {
    const std::string name = part.string();
    if (!name.empty() && name != "/" && name != "." && name != "..") parts.push_back(name);
  }
  const size_t n = parts.size();
  if (n == 0) return "model";
  return n == 1 ? parts[0] : parts[n - 2] + "/" + parts[n - 1];
}

void write_reference_layout(const ReferenceLayout& layout, const std::string& task, const GridResult& result) {
  TENFOLD_CHECK(task == "needle" || task == "passkey", "task {}", task);
  write_reference_layout(layout, python_json(results_of(task, result), /*ensure_ascii=*/true), metrics_of(task, result));
}

void write_reference_layout(const ReferenceLayout& layout, const std::string& results, const Json& metrics) {
  write_reference_files(layout, {{"results.json", results}}, metrics);
}

void write_reference_files(const ReferenceLayout& layout, const std::vector<std::pair<std::string, std::string>>& files,
                           const Json& metrics, const Json& category_metrics) {
  const std::filesystem::path folder = std::filesystem::path(layout.directory) / layout.result_dir;
  make_directories(folder.string());
  for (const auto& [name, text] : files) write_file_atomically((folder / name).string(), text);
  write_file_atomically((folder / "config.json").string(), python_json(layout.arguments, /*ensure_ascii=*/true));
  append_log(layout, "metrics.log", metrics, category_metrics);
}

void write_reference_layout(const ReferenceLayout& layout, const std::string& dataset, const PerplexityResult& result,
                            int64_t peak_bytes) {
  make_directories(layout.directory);
  const auto windows = static_cast<double>(std::max<size_t>(1, result.run.answers.size()));
  append_log(layout, dataset + ".log",
             {{"perplexity", result.perplexity},
              {"time", python_round(result.run.timing.prefill_seconds / windows, 4)},
              {"memory", static_cast<double>(peak_bytes) / 0x1p20}});
}

}  // namespace tenfold
