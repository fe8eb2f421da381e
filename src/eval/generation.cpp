#include "eval/generation.h"

#include "core/error.h"
#include "eval/metrics/score.h"
#include "eval/prompt.h"
#include "eval/python_json.h"
#include "format/mapped_file.h"

#include <array>
#include <functional>
#include <utility>

namespace tenfold {
namespace {

constexpr std::array<const char*, 3> kKeys = {"rouge-1", "rouge-2", "rouge-l"};

/// One row as it is asked.
struct Row {
  std::vector<int32_t> prompt;
  std::vector<std::string> targets;
  bool truncated = false;
};

class RowReader {
 public:
  RowReader(const Tokenizer& tokenizer, const ChatTemplate& chat, const GenerationOptions& options)
      : tokenizer_(tokenizer), chat_(chat), options_(options) {}

  Row read(const Json& row, const std::string& where) const {
    if (row.contains("conversations")) return conversation(row["conversations"], where);
    if (row.contains("text")) return text(json_string(row, "text", where));
    if (!row.contains("context")) throw_input("{}: expected conversations, text, or context and answer", where);
    const std::string context = json_string(row, "context", where);
    return {chat_prompt(tokenizer_, chat_, context, options_.decoding.clean_up), row_texts(row, "answer", where)};
  }

 private:
  Row conversation(const Json& turns, const std::string& where) const {
    if (!turns.is_array()) throw_input("{}: conversations: expected a list of turns, got {}", where, turns.type_name());
    size_t at = 0;
    const auto turn = [&](std::string_view key) {
      const std::string place = fmt::format("{}: conversations[{}]", where, at);
      if (at >= turns.size()) throw_input("{}: expected a user's turn, got none", place);
      if (!turns[at].is_object()) throw_input("{}: expected an object, got {}", place, turns[at].type_name());
      return json_string(turns[at], key, place);
    };
    if (turn("role") != "user") ++at;  // as there, one turn before the user's is dropped
    if (const std::string role = turn("role"); role != "user") {
      throw_input("{}: conversations[{}]: role: expected user, got {}", where, at, role);
    }
    Row row{chat_prompt(tokenizer_, chat_, turn("content"), options_.decoding.clean_up), {}};
    if (++at < turns.size()) row.targets.push_back(turn("content"));
    return row;
  }

  Row text(const std::string& text) const {
    Row row{tokenizer_.encode(text, {.add_bos = tokenizer_.adds_bos(), .parse_special = true}), {}};
    row.truncated = std::ssize(row.prompt) > options_.max_length;
    if (row.truncated) row.prompt.resize(static_cast<size_t>(options_.max_length));
    const bool shorter = std::ssize(row.prompt) < options_.max_length;
    if (options_.strict_reference && shorter && !options_.decoding.stop_ids.empty()) {
      row.prompt.push_back(options_.decoding.stop_ids.front());
    }
    return row;
  }

  const Tokenizer& tokenizer_;
  const ChatTemplate& chat_;
  const GenerationOptions& options_;
};

/// JSON lines, or one object that may span lines.
void for_each_row(const std::string& path, const std::function<void(const Json&, const std::string&)>& visit) {
  const std::string text = read_text_file(path);
  const std::string_view head = std::string_view(text).substr(0, text.find('\n'));
  if (head.find_first_not_of(" \t\r{") == std::string_view::npos && head.find('{') != std::string_view::npos) {
    visit(parse_json(text, path), path);
    return;
  }
  for_each_json_line(path, [&](Json& row, int64_t line) { visit(row, fmt::format("{}:{}", path, line)); });
}

Json score_of(const std::vector<std::string>& targets, const std::string& output, Scorer& scorer) {
  if (targets.empty()) return Json::object();
  MetricCase item{"generation.rouge", output, {targets.begin(), targets.end()}, {}};
  Json score = scorer.score(item);
  score["score"] = score["rouge-l"];
  return score;
}

Json target_json(const std::vector<std::string>& targets) {
  return targets.empty() ? Json(nullptr) : targets.size() == 1 ? Json(targets.front()) : Json(targets);
}

Json mean_rouge(const std::vector<Answered>& answers) {
  std::array<double, 3> sums{};
  int64_t n = 0;
  for (const Answered& answer : answers) {
    if (answer.score.empty()) continue;
    for (size_t i = 0; i < kKeys.size(); ++i) sums[i] += answer.score[kKeys[i]].get<double>();
    ++n;
  }
  if (n == 0) return nullptr;
  Json out = Json::object();
  for (size_t i = 0; i < kKeys.size(); ++i) out[kKeys[i]] = sums[i] / static_cast<double>(n);
  return out;
}

}  // namespace

GenerationTask make_generation_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const GenerationOptions& options) {
  GenerationTask task;
  task.name = "generation";
  task.strict_reference = options.strict_reference;
  task.decodings = {options.decoding};
  const RowReader reader(tokenizer, chat, options);
  int64_t index = 0;
  for_each_row(options.data, [&](const Json& json, const std::string& where) {
    if (options.max_num > 0 && index >= options.max_num) return;
    Row row = reader.read(json, where);
    const int64_t tokens = std::ssize(row.prompt);
    const int64_t place = index++;
    if (tokens < options.min_length || tokens > options.max_length) {
      ++task.left_out;
      return;
    }
    if (tokens == 0) throw_input("{}: expected a text, got an empty one", where);
    EvalQuestion question{fmt::format("generation-{}", place), std::move(row.prompt), {{"index", place}}};
    question.about["target"] = target_json(row.targets);
    if (row.truncated) question.about["truncated"] = true;
    task.questions.push_back(std::move(question));
    task.targets.push_back(std::move(row.targets));
  });
  if (task.questions.empty()) {
    throw_input("{}: expected rows with prompts of {} to {} tokens, got none of {}", options.data, options.min_length,
                options.max_length, index);
  }
  const SamplingOptions& sampling = options.decoding.sampling;
  task.config = {{"task", "generation"},
                 {"data_hash", hash_of_text(read_text_file(options.data))},
                 {"max_num", options.max_num},
                 {"min_length", options.min_length},
                 {"max_length", options.max_length},
                 {"max_new_tokens", options.decoding.max_new_tokens},
                 {"temperature", sampling.temperature},
                 {"top_p", sampling.top_p},
                 {"top_k", sampling.top_k},
                 {"stop_ids", options.decoding.stop_ids},
                 {"chat_template", chat.name()},
                 {"strict_reference", options.strict_reference},
                 {"clean_up_tokenization_spaces", options.decoding.clean_up}};
  if (sampling.temperature > 0) task.config["seed"] = sampling.seed;
  task.notes["data"] = options.data;
  return task;
}

GenerationResult run_generation(LanguageModel& model, const Tokenizer& tokenizer, const GenerationTask& task,
                                const EvalRunOptions& options, const EvalCallbacks& callbacks) {
  Scorer scorer({.strict_reference = task.strict_reference});
  const auto targets_of = [&](const EvalQuestion& question) -> const std::vector<std::string>& {
    return task.targets[static_cast<size_t>(&question - task.questions.data())];
  };
  const AnswerScore score = [&](const EvalQuestion& question, const std::string& output) {
    return score_of(targets_of(question), output, scorer);
  };
  AnswerRun asked = run_answers(model, tokenizer, task, score, options, callbacks);
  GenerationResult result;
  result.answers = std::move(asked.answers);
  result.run = std::move(asked.run);
  result.rouge = mean_rouge(result.answers);
  int64_t without = 0;
  for (const Answered& answer : result.answers) {
    const Json line = {{"prediction", answer.output},
                       {"target", target_json(targets_of(*answer.question))},
                       {"index", answer.question->about["index"]}};
    result.published_results += python_json(line, /*ensure_ascii=*/false) + "\n";
    without += answer.score.empty() ? 1 : 0;
  }
  result.metrics = {
      {"task", "generation"}, {"rouge", result.rouge}, {"without_target", without}, {"left_out_by_length", task.left_out}};
  add_run_fields(result.metrics, result.run);
  if (!result.run.interrupted) write_metrics(options, result.metrics);
  return result;
}

}  // namespace tenfold
