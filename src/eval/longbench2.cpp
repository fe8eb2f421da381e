#include "eval/longbench2.h"

#include "core/error.h"
#include "eval/choice.h"
#include "eval/metrics/numbers.h"
#include "eval/metrics/score.h"
#include "eval/metrics/text.h"
#include "eval/prompt.h"
#include "format/mapped_file.h"
#include "format/names.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace tenfold {
namespace {

constexpr std::array<std::string_view, 4> kLetters = {"A", "B", "C", "D"};
constexpr std::array<std::string_view, 2> kDifficulties = {"easy", "hard"};
constexpr std::array<std::string_view, 3> kLengths = {"short", "medium", "long"};

/// The last line names the sentence that the benchmark's rule looks for.
constexpr std::string_view kWording =
    "Here is a text. A question about it with four possible answers follows.\n\n<text>\n$DOC$\n</text>\n\n$Q$\n\n(A) $C_A$\n(B) "
    "$C_B$\n(C) $C_C$\n(D) $C_D$\n\nSay which one is right in this form, with its letter in the brackets: The correct answer is "
    "(X)";

/// Calls visit(row, where) for each record of a file of JSON lines or of one array, which is how the benchmark is published.
void for_each_record(const std::string& path, const std::function<void(const Json&, const std::string&)>& visit) {
  const std::string text = read_text_file(path);
  if (const size_t first = text.find_first_not_of(" \t\r\n"); first != std::string::npos && text[first] == '[') {
    const Json all = parse_json(text, path);
    for (size_t i = 0; i < all.size(); ++i) {
      const std::string where = fmt::format("{}: [{}]", path, i);
      if (!all[i].is_object()) throw_input("{}: expected an object, got {}", where, all[i].type_name());
      visit(all[i], where);
    }
    return;
  }
  for_each_json_line(path, [&](Json& row, int64_t line) { visit(row, fmt::format("{}:{}", path, line)); });
}

template <size_t N>
std::string one_of(const Json& row, const char* key, const std::array<std::string_view, N>& values, const std::string& where) {
  std::string value = json_string(row, key, where);
  if (std::find(values.begin(), values.end(), value) == values.end()) {
    throw_input("{}: {}: expected one of {}, got {}", where, key, fmt::join(values, ", "), shown(value));
  }
  return value;
}

/// What answers.jsonl repeats of a record, and the groups that it counts in.
Json about_of(const Json& row, const std::string& where) {
  return {{"domain", json_string(row, "domain", where)},
          {"difficulty", one_of(row, "difficulty", kDifficulties, where)},
          {"length", one_of(row, "length", kLengths, where)},
          {"answer", one_of(row, "answer", kLetters, where)}};
}

/// Fills each $PLACE$ once, so that a dollar inside a value stays as it is.
std::string filled(std::string_view text, const std::vector<std::pair<std::string_view, std::string>>& values) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const auto place =
        std::find_if(values.begin(), values.end(), [&](const auto& v) { return text.substr(at).starts_with(v.first); });
    if (place == values.end()) {
      out += text[at++];
      continue;
    }
    out += place->second;
    at += place->first.size();
  }
  return out;
}

std::string prompt_of(const Json& row, std::string_view text, const std::string& where) {
  std::vector<std::pair<std::string_view, std::string>> values;
  const auto add = [&](std::string_view place, const std::string& key) {
    values.emplace_back(place, strip(json_string(row, key, where)));
  };
  add("$DOC$", "context");
  add("$Q$", "question");
  add("$C_A$", "choice_A");
  add("$C_B$", "choice_B");
  add("$C_C$", "choice_C");
  add("$C_D$", "choice_D");
  return filled(text, values);
}

/// {hit, letter}: the letter that the output names by the benchmark's rule, null where it names none.
Json score_of(const EvalQuestion& question, const std::string& output, Scorer& scorer) {
  Json letter =
      scorer.score({.metric = "longbench_v2.extract_answer", .prediction = output, .references = {}, .all_classes = {}});
  const bool hit = letter.is_string() && letter == question.about["answer"];
  return {{"hit", hit}, {"letter", std::move(letter)}};
}

LongBench2Group group_of(const std::vector<Answered>& answers, std::string name, const char* key) {
  LongBench2Group group;
  for (const Answered& answer : answers) {
    if (key != nullptr && answer.question->about[key] != name) continue;
    ++group.questions;
    group.hits += answer.score["hit"].get<bool>() ? 1 : 0;
    group.unanswered += answer.score["letter"].is_null() ? 1 : 0;
  }
  group.name = std::move(name);
  return group;
}

Json group_json(const LongBench2Group& group) {
  const Interval interval = wilson_interval(group.hits, group.questions);
  return {{"questions", group.questions},
          {"hits", group.hits},
          {"score", group.per_cent()},
          {"interval", {interval.low, interval.high}},
          {"unanswered", group.unanswered}};
}

void summarise(LongBench2Result& result, const std::vector<std::string>& domains) {
  const auto take = [&](std::string name, const char* key, std::vector<LongBench2Group>& to) {
    LongBench2Group group = group_of(result.answers, std::move(name), key);
    if (group.questions > 0) to.push_back(std::move(group));
  };
  take("overall", nullptr, result.groups);
  for (const std::string_view name : kDifficulties) take(std::string(name), "difficulty", result.groups);
  for (const std::string_view name : kLengths) take(std::string(name), "length", result.groups);
  for (const std::string& name : domains) take(name, "domain", result.domains);
  result.metrics = {{"task", "longbench2"}, {"groups", Json::object()}, {"domains", Json::object()}};
  for (const LongBench2Group& group : result.groups) result.metrics["groups"][group.name] = group_json(group);
  for (const LongBench2Group& group : result.domains) result.metrics["domains"][group.name] = group_json(group);
}

void note_domain(std::vector<std::string>& domains, const Json& about) {
  const auto domain = about["domain"].get<std::string>();
  if (std::find(domains.begin(), domains.end(), domain) == domains.end()) domains.push_back(domain);
}

std::string read_template(const std::string& path) {
  if (path.empty()) return std::string(kWording);
  std::string text = read_text_file(path, /*limit=*/1 << 20);
  for (const char* place : {"$DOC$", "$Q$", "$C_A$", "$C_B$", "$C_C$", "$C_D$"}) {
    if (text.find(place) == std::string::npos)
      throw_input("{}: expected {} in it, as in the benchmark's prompts/0shot.txt", path, place);
  }
  return text;
}

}  // namespace

double LongBench2Group::per_cent() const {
  return questions > 0 ? python_round(100.0 * static_cast<double>(hits) / static_cast<double>(questions), 1) : 0.0;
}

LongBench2Task make_longbench2_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const LongBench2Options& options) {
  if (options.max_length < 2) throw_input("eval longbench2: --max-length: expected 2 or more, got {}", options.max_length);
  const std::string text = read_template(options.prompts);
  const Truncation cut{options.max_length, /*from_middle=*/true, /*with_bos=*/true, options.decoding.clean_up};
  LongBench2Task task;
  task.name = "longbench2";
  task.decodings = {options.decoding};
  std::set<std::string> ids;
  for_each_record(options.data, [&](const Json& row, const std::string& where) {
    if (options.first > 0 && std::ssize(task.questions) >= options.first) return;
    EvalQuestion question;
    question.id = json_string(row, "_id", where);
    if (!ids.insert(question.id).second) throw_input("{}: _id: \"{}\" is there twice", where, question.id);
    question.about = about_of(row, where);
    note_domain(task.domains, question.about);
    CutText prompt = truncate(tokenizer, prompt_of(row, text, where), cut);
    if (prompt.truncated) question.about.update({{"truncated", true}, {"whole_prompt_tokens", prompt.tokens}});
    if (options.likelihood) {
      std::array<std::vector<int32_t>, 4> rows;
      for (size_t i = 0; i < 4; ++i) {
        const std::string answer = fmt::format("The correct answer is ({})", kLetters[i]);
        rows[i] = chat_prompt(tokenizer, chat, prompt.text, options.decoding.clean_up, answer);
      }
      ChoicePrompt choice = choice_of(rows, where);
      question.prompt = std::move(choice.prompt);
      task.letters.push_back(choice.letters);
    } else {
      question.prompt = chat_prompt(tokenizer, chat, std::move(prompt.text), options.decoding.clean_up);
    }
    task.questions.push_back(std::move(question));
  });
  if (task.questions.empty()) throw_input("{}: expected questions, got none", options.data);
  task.config = {{"task", "longbench2"},
                 {"data_hash", hash_of_text(read_text_file(options.data))},
                 {"prompt", text},
                 {"first", options.first},
                 {"max_length", options.max_length},
                 {"likelihood", options.likelihood},
                 {"max_new_tokens", options.decoding.max_new_tokens},
                 {"stop_ids", options.decoding.stop_ids},
                 {"chat_template", chat.name()},
                 {"clean_up_tokenization_spaces", options.decoding.clean_up}};
  task.notes["data"] = options.data;
  return task;
}

LongBench2Result run_longbench2(LanguageModel& model, const Tokenizer& tokenizer, const LongBench2Task& task,
                                const EvalRunOptions& options, const EvalCallbacks& callbacks) {
  const auto summary = [&](LongBench2Result& result) { summarise(result, task.domains); };
  if (!task.letters.empty()) {
    check_capacity(task.name, task.tokens_needed(), model, "ask for a smaller --max-length");
    const AskFunction likeliest = [&](const EvalQuestion& question, EvalTiming& timing) -> Json {
      const NextLogits next = model.next_logits(question.prompt);
      timing.reused_tokens = next.reused_tokens;
      timing.prefill_seconds = next.seconds;
      const std::vector<float> nll = nll_of(next.logits, task.letters[static_cast<size_t>(&question - task.questions.data())]);
      const auto best = static_cast<size_t>(std::min_element(nll.begin(), nll.end()) - nll.begin());  // of equal ones the first
      return {{"output", kLetters[best]}, {"nll", nll}};
    };
    const AnswerScore score = [](const EvalQuestion& question, const std::string& letter) -> Json {
      return {{"hit", letter == question.about["answer"]}, {"letter", letter}};
    };
    return finish_answers<LongBench2Result>(run_answers(task, one_by_one(likeliest), score, options, callbacks), options,
                                            summary);
  }
  Scorer scorer;
  const AnswerScore score = [&](const EvalQuestion& question, const std::string& output) {
    return score_of(question, output, scorer);
  };
  return finish_answers<LongBench2Result>(run_answers(model, tokenizer, task, score, options, callbacks), options, summary);
}

LongBench2Result rescore_longbench2(const std::string& saved) {
  std::vector<EvalQuestion> questions;
  std::vector<std::string> outputs;
  std::vector<std::string> domains;
  for_each_record(saved, [&](const Json& row, const std::string& where) {
    questions.push_back({json_string(row, "_id", where), {}, about_of(row, where)});
    note_domain(domains, questions.back().about);
    outputs.push_back(json_string(row, "response", where));
  });
  if (questions.empty()) throw_input("{}: expected answers, got none", saved);
  Scorer scorer;
  LongBench2Result result;
  for (size_t i = 0; i < questions.size(); ++i) {
    result.answers.push_back({&questions[i], outputs[i], score_of(questions[i], outputs[i], scorer)});
  }
  summarise(result, domains);
  result.answers.clear();  // their questions end here
  return result;
}

}  // namespace tenfold
