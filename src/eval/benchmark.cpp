#include "eval/benchmark.h"

#include "core/error.h"
#include "eval/metrics/numbers.h"
#include "format/mapped_file.h"
#include "format/names.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>

namespace tenfold {
namespace {

namespace fs = std::filesystem;

std::string_view first_line(std::string_view output) {
  output.remove_prefix(std::min(output.find_first_not_of('\n'), output.size()));
  return output.substr(0, output.find('\n'));
}

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Names given one by one or with commas between.
std::vector<std::string> split_names(const std::vector<std::string>& given) {
  std::vector<std::string> names;
  for (const std::string& text : given) {
    for (size_t at = 0; at <= text.size();) {
      const size_t end = std::min(text.find(',', at), text.size());
      if (end > at) names.push_back(text.substr(at, end - at));
      at = end + 1;
    }
  }
  return names;
}

/// The tasks that the names and groups stand for; `named` gets those that were named themselves.
std::vector<std::string> expand(const std::vector<std::string>& wanted, const TaskNames& names, std::vector<std::string>& named) {
  std::vector<std::string> all;
  for (const std::string& name : split_names(wanted)) {
    const auto group = std::find_if(names.groups.begin(), names.groups.end(), [&](const auto& g) { return g.first == name; });
    if (group != names.groups.end()) {
      all.insert(all.end(), group->second.begin(), group->second.end());
    } else if (holds(names.tasks, name)) {
      all.push_back(name);
      named.push_back(name);
    } else {
      throw_input("eval {}: --tasks: expected names of tasks or groups, got {}{}; tasks: {}; groups: {}", names.benchmark,
                  shown(name),
                  near_names(name,
                             [&](const std::function<void(std::string_view)>& each) {
                               for (const std::string& task : names.tasks) each(task);
                             }),
                  fmt::join(names.tasks, ", "), [&] {
                    std::string groups;
                    for (const auto& g : names.groups) groups += (groups.empty() ? "" : ", ") + g.first;
                    return groups;
                  }());
    }
  }
  return all;
}

std::string task_of(const std::string& path, const TaskNames& names) {
  const std::string name = fs::path(path).filename().string();
  const std::string stem = name.substr(0, name.find('.'));
  if (holds(names.tasks, stem)) return stem;
  if (fs::exists(path) && names.task_of_file) {
    if (std::string task = names.task_of_file(path); holds(names.tasks, task)) return task;
  }
  throw_input("{}: eval {} does not know which task this is; name the file TASK.jsonl, TASK one of {}", path, names.benchmark,
              fmt::join(names.tasks, ", "));
}

}  // namespace

Json benchmark_config(std::string_view name, const BenchmarkOptions& options, const std::string& template_name) {
  if (options.max_length < 2) throw_input("eval {}: --max-length: expected 2 or more, got {}", name, options.max_length);
  return {{"task", name},
          {"data", Json::object()},
          {"first", options.first},
          {"max_length", options.max_length},
          {"stop_ids", options.stop_ids},
          {"chat_template", template_name},
          {"strict_reference", options.strict_reference},
          {"clean_up_tokenization_spaces", options.clean_up}};
}

Json TaskTally::json() const {
  Json out = {{"questions", questions}, {"mean", mean()}, {"truncated", truncated}, {"empty_answers", empty}};
  if (judged == questions) {
    const Interval interval = wilson_interval(hits, questions);
    out["hits"] = hits;
    out["interval"] = {interval.low, interval.high};
  }
  return out;
}

Json score_output(const QuestionScore& score, std::string_view output, Scorer& scorer) {
  MetricCase item = score.item;
  item.prediction = score.first_line ? first_line(output) : output;
  const double value = scorer.score(item).get<double>();
  if (score.is_hit) return {{"hit", value == 1.0}, {"score", value}};
  return {{"score", value}};
}

std::vector<Answered> score_outputs(const Benchmark& benchmark, const std::vector<std::string>& outputs, Scorer& scorer) {
  std::vector<Answered> answers;
  for (size_t i = 0; i < outputs.size(); ++i)
    answers.push_back({&benchmark.asked.questions[i], outputs[i], score_output(benchmark.scores[i], outputs[i], scorer)});
  return answers;
}

AnswerRun run_benchmark(LanguageModel& model, const Tokenizer& tokenizer, const Benchmark& benchmark, Scorer& scorer,
                        const EvalRunOptions& options, const EvalCallbacks& callbacks) {
  const AnswerScore score = [&](const EvalQuestion& question, const std::string& output) {
    return score_output(benchmark.scores[static_cast<size_t>(&question - benchmark.asked.questions.data())], output, scorer);
  };
  return run_answers(model, tokenizer, benchmark.asked, score, options, callbacks);
}

std::vector<TaskTally> tally_by_task(const std::vector<Answered>& answers) {
  std::vector<TaskTally> tallies;
  std::map<std::string, size_t> index;
  for (const Answered& answer : answers) {
    const EvalQuestion& question = *answer.question;
    const std::string task = json_string(question.about, "task", question.id);
    const auto [entry, fresh] = index.try_emplace(task, tallies.size());
    if (fresh) tallies.emplace_back().name = task;
    TaskTally& tally = tallies[entry->second];
    ++tally.questions;
    tally.sum += json_number(answer.score, "score", question.id);
    if (answer.score.contains("hit")) {
      ++tally.judged;
      tally.hits += answer.score["hit"].get<bool>() ? 1 : 0;
    }
    tally.truncated += json_bool_or(question.about, "truncated", false, question.id) ? 1 : 0;
    tally.empty += answer.output.empty() ? 1 : 0;
  }
  return tallies;
}

std::vector<std::string> expand_tasks(const std::vector<std::string>& wanted, const TaskNames& names) {
  std::vector<std::string> named;
  const std::vector<std::string> asked = expand(wanted, names, named);
  std::vector<std::string> out;
  std::copy_if(names.tasks.begin(), names.tasks.end(), std::back_inserter(out),
               [&](const std::string& task) { return holds(asked, task); });
  return out;
}

TaskFiles find_task_files(const std::vector<std::string>& data, const std::vector<std::string>& wanted, const TaskNames& names) {
  std::vector<std::string> named;
  const std::vector<std::string> asked = expand(wanted, names, named);
  std::map<std::string, std::string> found;
  const auto take = [&](const std::string& task, const std::string& path) {
    const auto [entry, fresh] = found.emplace(task, path);
    if (!fresh) throw_input("eval {}: --data: {} is in {} and in {}; name one", names.benchmark, task, entry->second, path);
  };
  std::vector<std::string> from_folders = asked;
  if (wanted.empty()) from_folders = names.groups.front().second;
  bool folders = false;
  for (const std::string& path : data) {
    if (!fs::is_directory(path)) {
      const std::string task = task_of(path, names);
      if (wanted.empty() || holds(asked, task)) take(task, path);
      continue;
    }
    folders = true;
    for (const std::string& task : names.tasks) {
      const std::string file = (fs::path(path) / (task + ".jsonl")).string();
      if (holds(from_folders, task) && fs::exists(file)) take(task, file);
    }
  }
  TaskFiles files;
  for (const std::string& task : names.tasks) {
    if (const auto entry = found.find(task); entry != found.end()) {
      files.files.push_back({task, entry->second});
    } else if (holds(named, task)) {
      throw_input("eval {}: --tasks {}: no {}.jsonl in --data {}", names.benchmark, task, task, fmt::join(data, ", "));
    } else if (holds(asked, task) || (wanted.empty() && folders && holds(from_folders, task))) {
      files.missing.push_back(task);
    }
  }
  if (files.files.empty()) {
    throw_input("eval {}: --data {}: no file of the tasks asked for; expected TASK.jsonl, TASK one of {}", names.benchmark,
                fmt::join(data, ", "), fmt::join(wanted.empty() ? names.tasks : asked, ", "));
  }
  return files;
}

void for_each_prediction(const std::string& path, const std::function<void(const Json& line, const std::string& where)>& visit) {
  const std::string text = read_text_file(path);
  int64_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    const std::string where = fmt::format("{}:{}", path, ++number);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Json value = parse_json(line, where);
    if (number == 1 && (value.is_number() || (value.is_object() && value.empty()))) continue;  // the score that was written there
    if (!value.is_object()) throw_input("{}: expected a JSON object, got {}", where, value.type_name());
    visit(value, where);
  }
  if (number == 0) throw_input("{}: expected predictions, one a line, got an empty file", path);
}

}  // namespace tenfold
