#include "eval/compare.h"

#include "core/error.h"
#include "eval/perplexity.h"
#include "format/mapped_file.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

namespace tenfold {
namespace {

namespace fs = std::filesystem;

/// What an answer is worth; more is better.
struct Value {
  std::string measure;
  double number = 0;
};

double sum_of(const Json& line, const char* key, const std::string& where) {
  const Json& list = line.at(key);
  if (!list.is_array()) throw_input("{}: {}: expected a list of numbers, got {}", where, key, list.type_name());
  double sum = 0;
  for (const Json& item : list) {
    if (!item.is_number()) throw_input("{}: {}: expected a list of numbers, got a {} in it", where, key, item.type_name());
    sum += item.get<double>();
  }
  return sum;
}

std::optional<Value> value_of(const Json& line, const std::string& where) {
  // Where both are there the score says more: three of four values found are no hit.
  if (line.contains("score")) return Value{"score", json_number(line, "score", where)};
  if (line.contains("hit")) return Value{"hit", json_bool_or(line, "hit", false, where) ? 1.0 : 0.0};
  if (line.contains("nll_sum") && line.contains("tokens")) {
    const double tokens = sum_of(line, "tokens", where);
    if (tokens <= 0) throw_input("{}: tokens: expected more than 0, got {}", where, tokens);
    return Value{"nll", sum_of(line, "nll_sum", where) / tokens};
  }
  return std::nullopt;
}

struct Answers {
  std::vector<Json> lines;
  std::unordered_map<std::string, size_t> index;  ///< by id
  std::string path;
};

Answers read_answers(const fs::path& folder) {
  Answers answers;
  answers.path = (folder / "answers.jsonl").string();
  for_each_json_line(answers.path, [&](Json& line, int64_t number) {
    const std::string id = json_string(line, "id", fmt::format("{}:{}", answers.path, number));
    if (!answers.index.emplace(id, answers.lines.size()).second) {
      throw_input("{}:{}: id: \"{}\" is answered twice", answers.path, number, id);
    }
    answers.lines.push_back(std::move(line));
  });
  return answers;
}

/// Evaluations of a run: name and folder, by name.
std::map<std::string, fs::path> evaluations_of(const std::string& run) {
  std::map<std::string, fs::path> found;
  const fs::path root(run);
  if (fs::is_regular_file(root / "answers.jsonl")) {
    found.emplace("", root);
    return found;
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root / "eval", error)) {
    if (fs::is_regular_file(entry.path() / "answers.jsonl")) found.emplace(entry.path().filename().string(), entry.path());
  }
  if (found.empty()) throw_input("{}: expected a run directory with eval/TASK/answers.jsonl, or such a TASK folder", run);
  return found;
}

Comparison compare_lines(std::string name, const Answers& first, const Answers& second, const std::string& task) {
  Comparison out;
  out.name = std::move(name);
  const auto wanted = [&](const Json& line) { return task.empty() || json_string_or(line, "task", "", "answers.jsonl") == task; };
  double sums[2] = {0, 0};
  std::vector<double> differences;
  for (const Json& a : first.lines) {
    if (!wanted(a)) continue;
    const std::string id = a.at("id").get<std::string>();
    const auto found = second.index.find(id);
    if (found == second.index.end()) {
      ++out.only_first;
      continue;
    }
    const Json& b = second.lines[found->second];
    const auto x = value_of(a, first.path + ": " + id);
    const auto y = value_of(b, second.path + ": " + id);
    if (!x || !y) continue;
    if (x->measure != y->measure)
      throw_input("{}: {}: has a {} where {} has a {}", second.path, id, y->measure, first.path, x->measure);
    out.measure = x->measure;
    ++out.questions;
    if (a.value("prompt_hash", "") != b.value("prompt_hash", "")) ++out.other_prompts;
    sums[0] += x->number;
    sums[1] += y->number;
    if (x->measure == "nll") differences.push_back(y->number - x->number);
    if (x->number == y->number) continue;
    const bool better = (y->number > x->number) != (x->measure == "nll");
    ++(better ? out.better : out.worse);
    Json change = {{"id", id}, {"first", x->number}, {"second", y->number}};
    if (a.contains("output")) change["first_output"] = a["output"];
    if (b.contains("output")) change["second_output"] = b["output"];
    out.changed.push_back(std::move(change));
  }
  for (const Json& b : second.lines) {
    if (wanted(b) && !first.index.contains(b.at("id").get<std::string>())) ++out.only_second;
  }
  if (out.questions > 0) {
    out.first = sums[0] / static_cast<double>(out.questions);
    out.second = sums[1] / static_cast<double>(out.questions);
  }
  out.p_value = sign_test(out.better, out.worse);
  if (!differences.empty()) out.difference = mean_interval(differences);
  return out;
}

void add_line(Answers& answers, Json line) {
  answers.index.emplace(line.at("id").get<std::string>(), answers.lines.size());
  answers.lines.push_back(std::move(line));
}

/// A window's loss in one bucket as a line of its own, for every window that has tokens there.
Answers bucket_of(const Answers& answers, size_t bucket) {
  Answers out;
  out.path = answers.path;
  for (const Json& line : answers.lines) {
    const Json& tokens = line.at("tokens");
    const Json& sums = line.at("nll_sum");
    if (bucket >= tokens.size() || bucket >= sums.size() || !(tokens[bucket] > 0)) continue;
    Json part = {{"id", line["id"]}, {"tokens", Json::array({tokens[bucket]})}, {"nll_sum", Json::array({sums[bucket]})}};
    if (line.contains("prompt_hash")) part["prompt_hash"] = line["prompt_hash"];
    add_line(out, std::move(part));
  }
  return out;
}

Answers side_of(const Answers& answers, const std::vector<PairedLoss>& pairs, double PairedLoss::*side) {
  Answers out;
  out.path = answers.path;
  for (const PairedLoss& pair : pairs) {
    const auto tokens = static_cast<double>(pair.tokens);
    add_line(out, {{"id", fmt::format("{}:{}", pair.text, pair.begin)},
                   {"tokens", Json::array({tokens})},
                   {"nll_sum", Json::array({pair.*side * tokens})}});
  }
  return out;
}

/// Lines that hold a loss by position, short windows of pairs apart: they repeat tokens of the long ones.
Answers windows_of(const Answers& answers) {
  Answers out;
  out.path = answers.path;
  for (const Json& line : answers.lines) {
    const auto is_list = [&](const char* key) { return line.contains(key) && line[key].is_array(); };
    const bool near = line.contains("side") && line["side"] == "near";
    if (is_list("nll_sum") && is_list("tokens") && !near) add_line(out, line);
  }
  return out;
}

/// The rows of a loss: whole windows, each bucket, pairs.
std::vector<Comparison> compare_losses(const std::string& name, const Answers& first, const Answers& second) {
  const Answers x = windows_of(first);
  const Answers y = windows_of(second);
  std::vector<Comparison> rows = {compare_lines(name, x, y, "")};
  const auto add = [&](const std::string& part, const Answers& a, const Answers& b) {
    if (Comparison row = compare_lines(name + "/" + part, a, b, ""); row.questions > 0) rows.push_back(std::move(row));
  };
  size_t buckets = 0;
  for (const Json& line : x.lines) buckets = std::max(buckets, line.at("tokens").size());
  for (size_t i = 0; buckets > 1 && i < buckets; ++i) {
    const auto all = position_buckets(int64_t{1024} << std::min<size_t>(i, 40));
    add(bucket_name(all.back()), bucket_of(x, i), bucket_of(y, i));
  }
  const auto pairs_x = paired_losses(first.lines);
  const auto pairs_y = paired_losses(second.lines);
  add("far", side_of(first, pairs_x, &PairedLoss::far_nll), side_of(second, pairs_y, &PairedLoss::far_nll));
  add("near", side_of(first, pairs_x, &PairedLoss::near_nll), side_of(second, pairs_y, &PairedLoss::near_nll));
  add("near-far", side_of(first, pairs_x, &PairedLoss::near_nll), side_of(second, pairs_y, &PairedLoss::far_nll));
  return rows;
}

/// The tasks that the answers name, in their order.
std::vector<std::string> tasks_of(const Answers& answers) {
  std::vector<std::string> tasks;
  for (const Json& line : answers.lines) {
    std::string task = json_string_or(line, "task", "", answers.path);
    if (!task.empty() && std::find(tasks.begin(), tasks.end(), task) == tasks.end()) tasks.push_back(std::move(task));
  }
  return tasks;
}

/// Settings of the evaluations, other than the model, that differ: the comparison is of more than the models then.
void remark_settings(const fs::path& first, const fs::path& second, const std::string& name, std::vector<std::string>& remarks) {
  Json configs[2];
  for (size_t i = 0; i < 2; ++i) {
    const fs::path path = (i == 0 ? first : second) / "config.json";
    if (!fs::is_regular_file(path)) return;
    configs[i] = parse_json(read_text_file(path.string()), path.string());
    if (!configs[i].is_object()) throw_input("{}: expected an object, got {}", path.string(), configs[i].type_name());
    configs[i].erase("model");
    configs[i].erase("notes");
  }
  std::string differing;
  for (const auto& [key, value] : configs[0].items()) {
    if (!configs[1].contains(key) || configs[1][key] != value) differing += (differing.empty() ? "" : ", ") + key;
  }
  for (const auto& [key, value] : configs[1].items()) {
    if (!configs[0].contains(key)) differing += (differing.empty() ? "" : ", ") + key;
  }
  if (!differing.empty()) remarks.push_back(fmt::format("{}: not only the models differ: {}", name, differing));
}

Json json_of(const Comparison& c) {
  Json json = {{"name", c.name},
               {"measure", c.measure},
               {"questions", c.questions},
               {"only_first", c.only_first},
               {"only_second", c.only_second},
               {"other_prompts", c.other_prompts},
               {"first", c.first},
               {"second", c.second},
               {"better", c.better},
               {"worse", c.worse},
               {"p_value", c.p_value},
               {"test", c.measure == "hit" ? "McNemar, exact binomial" : "sign test, exact binomial"},
               {"changed", c.changed}};
  if (c.measure == "nll") {
    json["difference"] = c.difference.mean;
    if (const auto& interval = c.difference.interval) json["interval"] = {interval->low, interval->high};
  }
  return json;
}

}  // namespace

double sign_test(int64_t better, int64_t worse) {
  const int64_t n = better + worse;
  const auto log_choose = [&](int64_t k) {
    return std::lgamma(static_cast<double>(n) + 1) - std::lgamma(static_cast<double>(k) + 1) -
           std::lgamma(static_cast<double>(n - k) + 1);
  };
  double tail = 0;
  for (int64_t k = 0; k <= std::min(better, worse); ++k) {
    tail += std::exp(log_choose(k) - static_cast<double>(n) * std::log(2.0));
  }
  return std::min(1.0, 2 * tail);
}

RunComparison compare_runs(const std::string& first, const std::string& second) {
  const auto a = evaluations_of(first);
  const auto b = evaluations_of(second);
  RunComparison out;
  const auto add_pair = [&](const std::string& name, const fs::path& one, const fs::path& two) {
    const Answers x = read_answers(one);
    const Answers y = read_answers(two);
    Comparison whole = compare_lines(name, x, y, "");
    if (whole.questions == 0) {
      out.remarks.push_back(fmt::format("{}: no question that both answered with a hit, a score or a loss", name));
      return;
    }
    remark_settings(one, two, name, out.remarks);
    if (whole.measure == "nll") {
      for (Comparison& row : compare_losses(name, x, y)) out.tasks.push_back(std::move(row));
      return;
    }
    out.tasks.push_back(std::move(whole));
    const std::vector<std::string> tasks = tasks_of(x);
    if (tasks.size() < 2) return;
    for (const std::string& task : tasks) {
      if (Comparison part = compare_lines(name + "/" + task, x, y, task); part.questions > 0)
        out.tasks.push_back(std::move(part));
    }
  };
  if (a.contains("") || b.contains("")) {
    if (a.size() != 1 || b.size() != 1) {
      throw_input("eval compare: {} and {}: expected two run directories or two folders of one evaluation each", first, second);
    }
    add_pair(a.begin()->second.filename().string(), a.begin()->second, b.begin()->second);
  } else {
    for (const auto& [name, folder] : a) {
      if (const auto other = b.find(name); other != b.end()) {
        add_pair(name, folder, other->second);
      } else {
        out.remarks.push_back(fmt::format("{}: only in {}", name, first));
      }
    }
    for (const auto& [name, folder] : b) {
      if (!a.contains(name)) out.remarks.push_back(fmt::format("{}: only in {}", name, second));
    }
  }
  if (out.tasks.empty()) {
    std::string why;
    for (const std::string& remark : out.remarks) why += "\n  " + remark;
    throw_input("eval compare: {} and {} have no answered question in common{}", first, second, why);
  }
  out.json = {{"first", first}, {"second", second}, {"tasks", Json::array()}, {"remarks", out.remarks}};
  for (const Comparison& task : out.tasks) out.json["tasks"].push_back(json_of(task));
  return out;
}

}  // namespace tenfold
