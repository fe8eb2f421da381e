#include "report/run_data.h"

#include "core/error.h"
#include "format/mapped_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <string_view>

namespace tenfold {
namespace {

namespace fs = std::filesystem;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

bool has_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

Json read_object(const fs::path& path) {
  const std::string name = path.string();
  Json json = parse_json(read_text_file(name), name);
  if (!json.is_object()) throw_input("{}: expected an object, got {}", name, json.type_name());
  return json;
}

/// A number, or NaN where the key is missing or null (a loss that was not finite).
double number_or_nan(const Json& line, std::string_view key, const std::string& where) {
  return json_number_or(line, key, kNaN, where);
}

bool flag(const Json& line, const char* key, const std::string& where) {
  if (!line.contains(key)) throw_input("{}: {}: missing, expected true or false", where, key);
  return json_bool_or(line, key, false, where);
}

std::vector<int64_t> integers(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) throw_input("{}: {}: expected an array of integers", where, key);
  std::vector<int64_t> values;
  for (const Json& value : *found) {
    if (!value.is_number_integer())
      throw_input("{}: {}: expected an array of integers, got {}", where, key, value.dump().substr(0, 80));
    values.push_back(value.get<int64_t>());
  }
  if (values.empty()) throw_input("{}: {}: expected an array of integers, got an empty one", where, key);
  return values;
}

void read_answers(EvalData& eval, const std::string& path) {
  const bool needle = eval.kind == "needle";
  for_each_json_line(path, [&](Json& line, int64_t number) {
    const std::string where = fmt::format("{}:{}", path, number);
    GridAnswer answer;
    answer.length = json_int(line, "length", where);
    answer.depth = json_int(line, "depth", where);
    answer.prompt_tokens = json_int(line, "prompt_tokens", where);
    answer.hit = flag(line, "hit", where);
    answer.exact = flag(line, needle ? "exact" : "accuracy", where);
    answer.score = json_number(line, needle ? "rouge" : "fuzz", where);
    answer.target = json_string(line, "target", where);
    answer.output = json_string(line, "output", where);
    const auto in = [](const std::vector<int64_t>& grid, int64_t value) {
      return std::find(grid.begin(), grid.end(), value) != grid.end();
    };
    if (!in(eval.lengths, answer.length) || !in(eval.depths, answer.depth)) {
      throw_input("{}: length {} at depth {} is not in the grid of config.json", where, answer.length, answer.depth);
    }
    if (eval.find(answer.length, answer.depth) != nullptr) {
      throw_input("{}: length {} at depth {} is answered twice (duplicate)", where, answer.length, answer.depth);
    }
    eval.answers.push_back(std::move(answer));
  });
}

/// What an answer is grouped by: its task, else its class of question.
std::string group_name(const Json& line, const std::string& where) {
  if (line.contains("task")) return json_string(line, "task", where);
  if (line.contains("subject")) return json_string(line, "subject", where);
  if (line.contains("num_topics")) return fmt::format("{} topics", json_int(line, "num_topics", where));
  return "";
}

void add_score(ScoreGroup& group, double value, bool judged) {
  ++group.questions;
  group.sum += value;
  group.judged = group.judged && judged;
}

ScoreGroup& group_named(std::vector<ScoreGroup>& groups, const std::string& name) {
  const auto found = std::find_if(groups.begin(), groups.end(), [&](const ScoreGroup& g) { return g.name == name; });
  return found != groups.end() ? *found : groups.emplace_back(ScoreGroup{name, 0, 0.0, true});
}

/// Answers of any evaluation that gives hits or scores; those with neither (a generation) are left out.
void read_scores(EvalData& eval, const std::string& path) {
  std::map<int64_t, ScoreGroup> lengths;  // by the power of two at or above
  for_each_json_line(path, [&](Json& line, int64_t number) {
    const std::string where = fmt::format("{}:{}", path, number);
    const bool judged = line.contains("hit");
    if (!judged && !line.contains("score")) return;
    const double value = judged ? (flag(line, "hit", where) ? 1.0 : 0.0) : json_number(line, "score", where);
    add_score(group_named(eval.by_task, group_name(line, where)), value, judged);
    const int64_t tokens = json_int(line, "prompt_tokens", where);
    const auto top =
        static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::clamp<int64_t>(tokens, 1024, int64_t{1} << 40))));
    add_score(lengths[top], value, judged);
  });
  for (auto& [top, group] : lengths) {
    group.name = fmt::format("up to {}K tokens", top / 1024);
    eval.by_prompt_tokens.push_back(std::move(group));
  }
}

void read_positions(EvalData& eval, const std::string& path) {
  const auto found = eval.metrics.find("by_position");
  if (found == eval.metrics.end()) return;
  if (!found->is_array()) throw_input("{}: by_position: expected an array, got {}", path, found->type_name());
  for (const Json& bucket : *found) {
    const std::string where = fmt::format("{}: by_position[{}]", path, eval.by_position.size());
    BucketLoss loss;
    loss.positions = json_string(bucket, "positions", where);
    loss.begin = json_int(bucket, "begin", where);
    loss.end = json_int(bucket, "end", where);
    loss.tokens = json_int(bucket, "tokens", where);
    loss.nll = json_number(bucket, "nll", where);
    eval.by_position.push_back(std::move(loss));
  }
}

void read_paired(EvalData& eval, const std::string& path) {
  const auto found = eval.metrics.find("paired");
  if (found == eval.metrics.end()) return;
  const std::string where = path + ": paired";
  if (!found->is_object()) throw_input("{}: expected an object, got {}", where, found->type_name());
  PairedLosses paired;
  paired.positions = json_string(*found, "positions", where);
  paired.windows = json_int(*found, "windows", where);
  paired.far_nll = json_number(*found, "far_nll", where);
  paired.near_nll = json_number(*found, "near_nll", where);
  paired.difference = json_number(*found, "difference", where);
  if (const auto interval = found->find("interval"); interval != found->end()) {
    if (!interval->is_array() || interval->size() != 2 || !(*interval)[0].is_number() || !(*interval)[1].is_number())
      throw_input("{}: interval: expected two numbers, got {}", where, interval->dump());
    paired.low = (*interval)[0].get<double>();
    paired.high = (*interval)[1].get<double>();
  }
  eval.paired = paired;
}

HeldPoint held_point(const Json& line, const std::string& where) {
  const Json& held = line.at("held");
  const std::string at = where + ": held";
  if (!held.is_object()) throw_input("{}: expected an object, got {}", at, held.type_name());
  HeldPoint p;
  p.step = json_int(line, "step", where);
  p.hits = json_int(held, "hits", at);
  p.total = json_int(held, "total", at);
  p.best = json_bool_or(held, "best", false, at);
  const auto lengths = held.find("by_length");
  if (p.total < 1 || p.hits < 0 || p.hits > p.total)
    throw_input("{}: hits, total: expected 0 to total, got {} of {}", at, p.hits, p.total);
  if (lengths == held.end() || !lengths->is_array()) throw_input("{}: by_length: expected a list", at);
  for (const Json& row : *lengths) {
    const auto total = json_int(row, "total", at + ": by_length");
    if (total < 1) throw_input("{}: by_length: total: expected 1 or more, got {}", at, total);
    p.by_length.emplace_back(json_int(row, "length", at + ": by_length"),
                             static_cast<double>(json_int(row, "hits", at + ": by_length")) / static_cast<double>(total));
  }
  return p;
}

HeldLoss held_loss(const Json& line, const std::string& where) {
  const Json& held = line.at("held_loss");
  const std::string at = where + ": held_loss";
  if (!held.is_object()) throw_input("{}: expected an object, got {}", at, held.type_name());
  HeldLoss p{json_int(line, "step", where), json_number(held, "nll", at), {}};
  const auto buckets = held.find("by_position");
  if (buckets == held.end() || !buckets->is_array()) throw_input("{}: by_position: expected a list", at);
  for (const Json& b : *buckets)
    p.by_position.emplace_back(json_string(b, "positions", at + ": by_position"), json_number(b, "nll", at + ": by_position"));
  return p;
}

/// The steps of metrics.jsonl; its checks go into the run.
std::vector<TrainPoint> read_train(const std::string& path, RunData& run) {
  std::vector<TrainPoint> points;
  for_each_json_line(path, [&](Json& line, int64_t number) {
    const std::string where = fmt::format("{}:{}", path, number);
    if (line.contains("held")) run.held.push_back(held_point(line, where));
    if (line.contains("held_loss")) run.held_loss.push_back(held_loss(line, where));
    if (!line.contains("loss")) return;  // an evaluation on the way
    TrainPoint p;
    p.step = static_cast<double>(json_int(line, "step", where));
    p.loss = number_or_nan(line, "loss", where);
    p.answer_loss = number_or_nan(line, "answer_loss", where);
    p.lm_loss = number_or_nan(line, "lm_loss", where);
    p.distill_loss = number_or_nan(line, "distill_loss", where);
    p.learning_rate = number_or_nan(line, "learning_rate", where);
    p.grad_norm = number_or_nan(line, "grad_norm", where);
    p.tokens = number_or_nan(line, "tokens", where);
    p.seconds = number_or_nan(line, "seconds", where);
    p.peak_bytes = number_or_nan(line, "peak_bytes", where);
    points.push_back(p);
  });
  return points;
}

std::vector<PlannedBytes> read_memory(const fs::path& path) {
  const Json json = read_object(path);
  const std::string name = path.string();
  const auto rows = json.find("planned");
  if (rows == json.end() || !rows->is_array()) throw_input("{}: planned: expected an array of {{name, use, bytes}}", name);
  std::vector<PlannedBytes> planned;
  for (const Json& row : *rows) {
    const std::string where = fmt::format("{}: planned[{}]", name, planned.size());
    planned.push_back({json_string(row, "name", where), json_string(row, "use", where), json_number(row, "bytes", where)});
  }
  return planned;
}

/// The "# key: value" lines that a run's config.toml begins with.
std::vector<std::pair<std::string, std::string>> read_headings(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> headings;
  while (text.starts_with("# ")) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(2, end - 2);
    const size_t colon = line.find(": ");
    if (colon != std::string_view::npos) {
      headings.emplace_back(line.substr(0, colon), line.substr(colon + 2));
    } else if (headings.empty()) {
      headings.emplace_back("title", line);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return headings;
}

std::vector<EvalData> read_evals(const fs::path& folder) {
  std::vector<EvalData> evals;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_directory() && has_file(entry.path() / "config.json")) evals.push_back(read_eval(entry.path().string()));
  }
  std::sort(evals.begin(), evals.end(), [](const EvalData& a, const EvalData& b) { return a.name < b.name; });
  return evals;
}

}  // namespace

const GridAnswer* EvalData::find(int64_t length, int64_t depth) const {
  for (const GridAnswer& answer : answers) {
    if (answer.length == length && answer.depth == depth) return &answer;
  }
  return nullptr;
}

int64_t EvalData::hits() const {
  return std::count_if(answers.begin(), answers.end(), [](const GridAnswer& a) { return a.hit; });
}

int64_t EvalData::hits(int64_t length) const {
  return std::count_if(answers.begin(), answers.end(), [&](const GridAnswer& a) { return a.length == length && a.hit; });
}

int64_t EvalData::cells(int64_t length) const {
  return std::count_if(answers.begin(), answers.end(), [&](const GridAnswer& a) { return a.length == length; });
}

const EvalData* RunData::find(const std::string& name) const {
  for (const EvalData& eval : evals) {
    if (eval.name == name) return &eval;
  }
  return nullptr;
}

std::string RunData::heading(const std::string& key) const {
  for (const auto& [name, value] : headings) {
    if (name == key) return value;
  }
  return "";
}

std::string RunData::fact(const std::string& prefix) const {
  for (const auto& [name, value] : headings) {
    if (name == "fact" && value.starts_with(prefix)) return value.substr(prefix.size());
  }
  return "";
}

EvalData read_eval(const std::string& directory) {
  const fs::path folder(directory);
  EvalData eval;
  eval.path = directory;
  eval.name = (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  if (!has_file(folder / "config.json"))
    throw_input("{}: there is no config.json, so this is no evaluation's directory", directory);
  eval.config = read_object(folder / "config.json");
  const std::string config_path = (folder / "config.json").string();
  eval.kind = json_string(eval.config, "task", config_path);
  if (has_file(folder / "metrics.json")) eval.metrics = read_object(folder / "metrics.json");
  if (eval.is_grid()) {
    eval.lengths = integers(eval.config, "lengths", config_path);
    eval.depths = integers(eval.config, "depths", config_path);
    if (has_file(folder / "answers.jsonl")) read_answers(eval, (folder / "answers.jsonl").string());
  }
  if (!eval.is_grid() && eval.kind != "ppl" && has_file(folder / "answers.jsonl"))
    read_scores(eval, (folder / "answers.jsonl").string());
  if (eval.kind == "ppl") {
    read_positions(eval, (folder / "metrics.json").string());
    read_paired(eval, (folder / "metrics.json").string());
  }
  return eval;
}

RunData read_run(const std::string& labelled_path) {
  RunData run;
  const size_t equals = labelled_path.find('=');
  // A path may hold "=" itself: only a label without "/" before it counts.
  const bool labelled = equals != std::string::npos && labelled_path.find('/') > equals;
  run.path = labelled ? labelled_path.substr(equals + 1) : labelled_path;
  const fs::path folder = fs::path(run.path).lexically_normal();
  run.label =
      labelled ? labelled_path.substr(0, equals) : (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  if (run.label.empty()) throw_input("report: \"{}\": expected LABEL=DIRECTORY with a label", labelled_path);
  std::error_code error;
  if (!fs::is_directory(folder, error)) throw_input("report: {}: no such run directory", run.path);
  if (has_file(folder / "config.toml")) {
    run.config_text = read_text_file((folder / "config.toml").string());
    run.headings = read_headings(run.config_text);
  }
  if (has_file(folder / "metrics.jsonl")) run.train = read_train((folder / "metrics.jsonl").string(), run);
  if (has_file(folder / "memory.json")) run.planned = read_memory(folder / "memory.json");
  run.evals = read_evals(folder / "eval");
  if (run.train.empty() && run.evals.empty()) {
    throw_input("report: {}: neither metrics.jsonl nor eval/TASK/config.json is in it; name directories that train or eval wrote",
                run.path);
  }
  return run;
}

}  // namespace tenfold
