#include "eval/judge.h"

#include "core/error.h"
#include "eval/metrics/text.h"
#include "eval/prompt.h"
#include "eval/wording.h"
#include "format/atomic_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <unordered_map>
#include <utility>

namespace tenfold {
namespace {

constexpr size_t kFaultsShown = 5;

std::string id_of(const GridCell& cell) { return fmt::format("{}-{}", cell.length, cell.depth); }

std::string filled(const JudgeWording& wording, std::string_view question, std::string_view reference, std::string_view answer) {
  const std::pair<std::string_view, std::string_view> values[] = {
      {"question", question}, {"reference", reference}, {"answer", answer}};
  return fill_template(wording.prompt, values, "the judge's prompt");
}

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size() || !(value >= 1 && value <= 10)) return std::nullopt;
  return value;
}

std::string shortened(std::string_view text) {
  return dump_json(text.size() <= 120 ? std::string(text) : std::string(text.substr(0, 120)) + " ...");
}

void add_fault(Judgement& judgement, const std::string& id, const std::string& what) {
  if (judgement.faults.size() < kFaultsShown) judgement.faults.push_back(fmt::format("{}: {}", id, what));
}

/// Counts a reply; returns its grade.
std::optional<double> count_reply(Judgement& judgement, const std::string& id, const JudgeReply& reply) {
  if (!reply.error.empty()) {
    ++judgement.failed;
    add_fault(judgement, id, reply.error);
    return std::nullopt;
  }
  const std::optional<double> grade = grade_of(reply.text);
  if (grade) {
    judgement.grades[id] = *grade;
  } else {
    ++judgement.nonsense;
    add_fault(judgement, id, fmt::format("the reply has no grade from 1 to 10: {}", shortened(reply.text)));
  }
  return grade;
}

/// Grades of an earlier run that answer the same prompts.
std::map<std::string, double> read_grades(const std::string& path, const std::vector<JudgePrompt>& prompts) {
  std::unordered_map<std::string_view, const JudgePrompt*> by_id;
  for (const JudgePrompt& prompt : prompts) by_id[prompt.id] = &prompt;
  std::map<std::string, double> grades;
  for_each_json_line(path, [&](Json& line, int64_t number) {
    const std::string where = fmt::format("{}:{}", path, number);
    const auto found = by_id.find(json_string(line, "id", where));
    if (found == by_id.end() || json_string(line, "hash", where) != found->second->hash) return;  // another judge's, or answer's
    if (const auto grade = grade_of(json_string_or(line, "reply", "", where))) grades[found->second->id] = *grade;
  });
  return grades;
}

}  // namespace

JudgeWording JudgeWording::from_json(const std::string& path) {
  JudgeWording wording;
  read_wording(path, {{"prompt", &wording.prompt}});
  filled(wording, "", "", "");  // refuses unknown places
  for (const char* place : {"{reference}", "{answer}"}) {
    if (wording.prompt.find(place) == std::string::npos) throw_input("{}: prompt: expected {} in it", path, place);
  }
  return wording;
}

std::vector<JudgePrompt> judge_prompts(const GridTask& task, const GridResult& result, const JudgeWording& wording,
                                       std::string_view judge) {
  const std::string question(strip(json_string(task.config.at("wording"), "question", "wording")));
  std::vector<JudgePrompt> prompts;
  for (const auto& row : result.cells) {
    for (const GridCell& cell : row) {
      if (cell.prompt_tokens == 0) continue;
      JudgePrompt prompt{id_of(cell), "", filled(wording, question, strip(cell.target), cell.output)};
      prompt.hash = hash_of_text(fmt::format("{}\n{}", judge, prompt.text));
      prompts.push_back(std::move(prompt));
    }
  }
  return prompts;
}

std::optional<double> grade_of(std::string_view reply) {
  if (const auto alone = number_of(strip(reply))) return alone;
  const size_t open = reply.rfind("[[");
  const size_t close = open == std::string_view::npos ? open : reply.find("]]", open);
  if (close == std::string_view::npos) return std::nullopt;
  return number_of(strip(reply.substr(open + 2, close - open - 2)));
}

Judgement ask_judge(Judge& judge, const std::vector<JudgePrompt>& prompts, const std::string& directory,
                    const EvalCallbacks& callbacks) {
  Judgement judgement;
  judgement.asked = std::ssize(prompts);
  std::optional<LineAppender> journal;
  std::map<std::string, double> known;
  if (!directory.empty()) {
    const std::string path = (std::filesystem::path(directory) / "judge.jsonl").string();
    journal.emplace(path, /*sync=*/true);  // cuts a torn last line, so before reading
    known = read_grades(path, prompts);
  }
  EvalProgress progress;
  progress.total = judgement.asked;
  int64_t out_of_reach = 0;  // in a row
  for (const JudgePrompt& prompt : prompts) {
    ++progress.done;
    if (const auto found = known.find(prompt.id); found != known.end()) {
      judgement.grades.insert(*found);
      continue;
    }
    if (callbacks.should_stop && callbacks.should_stop()) judgement.interrupted = true;
    if (judgement.interrupted || out_of_reach == kJudgePatience) {
      ++judgement.missing;
      continue;
    }
    const JudgeReply reply = judge.ask(prompt.text);
    out_of_reach = reply.unreachable ? out_of_reach + 1 : 0;
    const std::optional<double> grade = count_reply(judgement, prompt.id, reply);
    if (journal) {
      Json line = {{"id", prompt.id}, {"hash", prompt.hash}, {"judge", judge.name()}, {"grade", grade ? Json(*grade) : Json()}};
      line[reply.error.empty() ? "reply" : "error"] = reply.error.empty() ? reply.text : reply.error;
      journal->append(dump_json(line));
    }
    if (callbacks.on_progress) callbacks.on_progress(progress);
  }
  if (out_of_reach == kJudgePatience && judgement.missing > 0) {
    judgement.faults.push_back(
        fmt::format("nobody answered {} times in a row; the other {} were not asked", kJudgePatience, judgement.missing));
  }
  return judgement;
}

void write_judge_prompts(const std::string& path, const std::vector<JudgePrompt>& prompts) {
  std::string text;
  for (const JudgePrompt& prompt : prompts)
    text += dump_json({{"id", prompt.id}, {"hash", prompt.hash}, {"prompt", prompt.text}}) + "\n";
  write_file_atomically(path, text);
}

Judgement read_judge_scores(const std::string& path, const std::vector<JudgePrompt>& prompts) {
  Judgement judgement;
  judgement.asked = std::ssize(prompts);
  std::unordered_map<std::string, const JudgePrompt*> left;
  for (const JudgePrompt& prompt : prompts) left[prompt.id] = &prompt;
  std::unordered_map<std::string, int64_t> lines;
  for_each_json_line(path, [&](Json& line, int64_t number) {
    const std::string where = fmt::format("{}:{}", path, number);
    const std::string id = json_string(line, "id", where);
    if (const auto [earlier, fresh] = lines.try_emplace(id, number); !fresh) {
      throw_input("{}: id: \"{}\" is there twice, first on line {}", where, id, earlier->second);
    }
    const auto found = left.find(id);
    if (found == left.end()) throw_input("{}: id: no answer of this run is called \"{}\"", where, id);
    if (const std::string hash = json_string_or(line, "hash", found->second->hash, where); hash != found->second->hash) {
      throw_input("{}: hash: expected {}, got {}: another answer was judged; write --judge-prompts anew", where,
                  found->second->hash, hash);
    }
    const auto score = line.find("score");
    JudgeReply reply;
    if (score == line.end()) {
      reply.text = json_string(line, "reply", where);
    } else if (score->is_number()) {
      reply.text = fmt::format("{}", score->get<double>());
    } else {
      reply.text = dump_json(*score);  // null, say: no grade
    }
    count_reply(judgement, id, reply);
    left.erase(found);
  });
  judgement.missing = std::ssize(left);
  return judgement;
}

void add_judgement(GridResult& result, const Judgement& judgement, std::string_view judge, const EvalRunOptions& options) {
  Json table = Json::object();
  double sum = 0;
  for (auto& row : result.cells) {
    for (GridCell& cell : row) {
      const auto grade = judgement.grades.find(id_of(cell));
      if (cell.prompt_tokens == 0 || grade == judgement.grades.end()) continue;
      cell.grade = grade->second;
      sum += grade->second;
      table[std::to_string(cell.length)][std::to_string(cell.depth)] = grade->second;
    }
  }
  const auto graded = std::ssize(judgement.grades);
  result.metrics["gpt"] = std::move(table);
  result.metrics["gpt_mean"] = graded > 0 ? Json(sum / static_cast<double>(graded)) : Json(nullptr);
  result.metrics["judge"] = {{"judge", judge},
                             {"asked", judgement.asked},
                             {"graded", graded},
                             {"failed", judgement.failed},
                             {"nonsense", judgement.nonsense},
                             {"missing", judgement.missing},
                             {"faults", judgement.faults}};
  if (!result.run.interrupted) write_metrics(options, result.metrics);
}

}  // namespace tenfold
