#include "eval/grid_task.h"

#include "core/error.h"
#include "eval/answer_task.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace tenfold {
namespace {

/// A cell from its line of answers.jsonl, scored anew from its output.
GridCell cell_of(const Json& line, const EvalQuestion& question, const ScoreFunction& score) {
  const std::string where = fmt::format("answers.jsonl: {}", question.id);
  GridCell cell;
  cell.length = json_int(question.about, "length", where);
  cell.depth = json_int(question.about, "depth", where);
  cell.target = json_string(question.about, "target", where);
  cell.prompt_tokens = static_cast<int64_t>(question.prompt.size());
  cell.output = json_string(line, "output", where);
  score(question, cell);
  return cell;
}

Json cell_json(const GridCell& cell, std::string_view score_name, std::string_view exact_name) {
  Json json = {{"length", cell.length}, {"depth", cell.depth}, {"prompt_tokens", cell.prompt_tokens}, {"hit", cell.hit}};
  json[std::string(exact_name)] = cell.exact;
  json[std::string(score_name)] = cell.score;
  json["target"] = cell.target;
  json["output"] = cell.output;
  return json;
}

/// {"8192": {"0": x, ...}}, the published shape of a grid's metric.
template <typename Value>
Json table(const GridResult& result, Value&& value) {
  Json out = Json::object();
  for (const auto& row : result.cells) {
    for (const GridCell& cell : row) {
      if (cell.prompt_tokens > 0) out[std::to_string(cell.length)][std::to_string(cell.depth)] = value(cell);
    }
  }
  return out;
}

void summarise(GridResult& result) {
  for (const auto& row : result.cells) {
    LengthSummary summary;
    double sum = 0;
    for (const GridCell& cell : row) {
      if (cell.prompt_tokens == 0) continue;
      summary.length = cell.length;
      ++summary.cells;
      summary.hits += cell.hit ? 1 : 0;
      sum += cell.score;
    }
    if (summary.cells == 0) continue;
    summary.score = sum / static_cast<double>(summary.cells);
    result.hits += summary.hits;
    result.total += summary.cells;
    result.by_length.push_back(summary);
  }
  result.interval = wilson_interval(result.hits, result.total);
}

Json metrics_of(const GridResult& result, const GridTask& task, std::string_view score_name, std::string_view exact_name) {
  Json metrics = {{"task", task.name}};
  metrics["hits"] = result.hits;
  metrics["total"] = result.total;
  metrics["hit_rate_interval"] = {result.interval.low, result.interval.high};
  double sum = 0;
  double exact = 0;
  for (const auto& row : result.cells) {
    for (const GridCell& cell : row) sum += cell.score, exact += cell.exact ? 1 : 0;
  }
  const double n = std::max<double>(1, static_cast<double>(result.total));
  metrics[fmt::format("{}_mean", score_name)] = sum / n;
  metrics[fmt::format("{}_mean", exact_name)] = exact / n;
  metrics["by_length"] = Json::array();
  for (const LengthSummary& s : result.by_length) {
    const Interval interval = wilson_interval(s.hits, s.cells);
    metrics["by_length"].push_back({{"length", s.length},
                                    {"cells", s.cells},
                                    {"hits", s.hits},
                                    {"hit_rate_interval", {interval.low, interval.high}},
                                    {std::string(score_name), s.score}});
  }
  metrics[std::string(score_name)] = table(result, [](const GridCell& c) { return c.score; });
  metrics[std::string(exact_name)] = table(result, [](const GridCell& c) { return c.exact ? 1.0 : 0.0; });
  metrics["hit"] = table(result, [](const GridCell& c) { return c.hit ? 1.0 : 0.0; });
  metrics["cells"] = Json::array();
  for (const auto& row : result.cells) {
    for (const GridCell& cell : row) {
      if (cell.prompt_tokens > 0) metrics["cells"].push_back(cell_json(cell, score_name, exact_name));
    }
  }
  add_run_fields(metrics, result.run);
  return metrics;
}

size_t index_of(const std::vector<int64_t>& values, int64_t value) {
  return static_cast<size_t>(std::find(values.begin(), values.end(), value) - values.begin());
}

}  // namespace

int64_t GridTask::tokens_needed() const {
  size_t longest = 0;
  for (const EvalQuestion& question : questions) longest = std::max(longest, question.prompt.size());
  return static_cast<int64_t>(longest) + options.max_new_tokens;
}

void add_questions(GridTask& task, std::vector<GridQuestion> cells) {
  std::sort(cells.begin(), cells.end(), [](const GridQuestion& a, const GridQuestion& b) {
    return std::tie(a.before, a.length, a.depth) < std::tie(b.before, b.length, b.depth);
  });
  for (GridQuestion& cell : cells) {
    EvalQuestion question;
    question.id = fmt::format("{}-{}", cell.length, cell.depth);
    question.prompt = std::move(cell.prompt);
    question.about = {{"length", cell.length}, {"depth", cell.depth}, {"target", cell.target}, {"answer", cell.answer}};
    task.questions.push_back(std::move(question));
  }
}

void check_grid(const GridOptions& options, std::string_view task) {
  if (options.lengths.empty()) throw_input("eval {}: no lengths; give --lengths 1K,2K,...", task);
  if (options.depths.empty()) throw_input("eval {}: no depths; give --depths 0,50,100", task);
  for (const int64_t length : options.lengths) {
    if (length < 1) throw_input("eval {}: --lengths: {} is no length in tokens", task, length);
  }
  for (const int64_t depth : options.depths) {
    if (depth < 0 || depth > 100) throw_input("eval {}: --depths: {} is not from 0 to 100 per cent", task, depth);
  }
  if (std::set(options.lengths.begin(), options.lengths.end()).size() != options.lengths.size()) {
    throw_input("eval {}: --lengths: a length is there twice (after truncation to whole tokens)", task);
  }
  if (std::set(options.depths.begin(), options.depths.end()).size() != options.depths.size()) {
    throw_input("eval {}: --depths: a depth is there twice (after truncation to whole per cents)", task);
  }
  if (options.max_new_tokens < 1)
    throw_input("eval {}: --max-new-tokens: expected at least 1, got {}", task, options.max_new_tokens);
}

Json grid_config(const GridOptions& options, std::string_view task, const std::string& template_name) {
  return {{"task", task},
          {"lengths", options.lengths},
          {"depths", options.depths},
          {"max_new_tokens", options.max_new_tokens},
          {"stop_ids", options.stop_ids},
          {"chat_template", template_name},
          {"strict_reference", options.strict_reference},
          {"clean_up_tokenization_spaces", options.clean_up}};
}

GridResult run_grid(LanguageModel& model, const Tokenizer& tokenizer, const GridTask& task, const ScoreFunction& score,
                    std::string_view score_name, std::string_view exact_name, const EvalRunOptions& options,
                    const EvalCallbacks& callbacks) {
  check_capacity(task.name, task.tokens_needed(), model, "ask for shorter --lengths");
  const auto scored = [&](const EvalQuestion& question, const std::string& output) {
    return cell_of({{"output", output}}, question, score);
  };
  const Decoding decoding = {task.options.max_new_tokens, task.options.stop_ids, task.options.clean_up};
  const auto answers = [&](std::span<const EvalQuestion* const> questions, std::span<EvalTiming> timings) {
    std::vector<Json> lines = generated_answers(model, tokenizer, questions, decoding, timings, callbacks.should_stop);
    for (size_t i = 0; i < lines.size(); ++i) {
      const GridCell cell = scored(*questions[i], lines[i]["output"].get<std::string>());
      lines[i]["hit"] = cell.hit;
      lines[i][std::string(exact_name)] = cell.exact;
      lines[i][std::string(score_name)] = cell.score;
    }
    return lines;
  };
  const AskTogether ask{model.at_once(), answers};
  EvalRunOptions run_options = options;
  run_options.notes.update(task.notes);

  GridResult result;
  result.options = task.options;
  result.run = run_questions(task.config, task.questions, ask, run_options, callbacks);
  result.cells.assign(task.options.lengths.size(), std::vector<GridCell>(task.options.depths.size()));
  size_t next = 0;  // answers come in the order of the questions; an interrupted run lacks some
  for (const EvalQuestion& question : task.questions) {
    if (next == result.run.answers.size()) break;
    const Json& line = result.run.answers[next];
    if (json_string(line, "id", "answers.jsonl") != question.id) continue;
    ++next;
    GridCell cell = cell_of(line, question, score);
    result.cells[index_of(task.options.lengths, cell.length)][index_of(task.options.depths, cell.depth)] = std::move(cell);
  }
  summarise(result);
  result.metrics = metrics_of(result, task, score_name, exact_name);
  if (!result.run.interrupted) write_metrics(run_options, result.metrics);
  return result;
}

}  // namespace tenfold
