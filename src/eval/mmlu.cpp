#include "eval/mmlu.h"

#include "core/error.h"
#include "eval/answer_task.h"
#include "eval/choice.h"
#include "eval/metrics/text.h"
#include "eval/python_json.h"
#include "format/mapped_file.h"
#include "format/names.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace tenfold {
namespace {

constexpr std::array<std::string_view, 4> kCategories = {"STEM", "Social Sciences", "Humanities", "Others"};
/// Subjects of each category, between spaces. Not hendrycks' own map: anatomy, for one, is among the others (evaluations.md 6).
constexpr std::array<std::string_view, 4> kSubjects = {
    " abstract_algebra astronomy college_biology college_chemistry college_computer_science college_mathematics college_physics "
    "computer_security conceptual_physics electrical_engineering elementary_mathematics high_school_biology "
    "high_school_chemistry "
    "high_school_computer_science high_school_mathematics high_school_physics high_school_statistics machine_learning ",
    " econometrics high_school_geography high_school_government_and_politics high_school_macroeconomics "
    "high_school_microeconomics high_school_psychology human_sexuality professional_psychology public_relations security_studies "
    "sociology us_foreign_policy ",
    " formal_logic high_school_european_history high_school_us_history high_school_world_history international_law jurisprudence "
    "logical_fallacies moral_disputes moral_scenarios philosophy prehistory professional_law world_religions ",
    " anatomy business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing medical_genetics "
    "miscellaneous nutrition professional_accounting professional_medicine virology "};

struct Row {
  std::string subject;
  std::string query;
  std::vector<std::string> choices;
  int64_t answer = 0;
};

Row read_row(const Json& json, const std::string& where) {
  Row row{json_string(json, "subject", where), json_string(json, "query", where), row_texts(json, "choices", where),
          json_int(json, "answer", where)};
  if (mmlu_category(row.subject).empty()) {
    throw_input("{}: subject: expected one of MMLU's 57, got {}{}", where, shown(row.subject),
                near_names(row.subject, [](const std::function<void(std::string_view)>& each) {
                  for (const std::string_view subjects : kSubjects) {
                    for (const std::string_view subject : split_words(subjects)) each(subject);
                  }
                }));
  }
  if (row.choices.size() != 4) throw_input("{}: choices: expected 4, got {}", where, row.choices.size());
  if (row.answer < 0 || row.answer > 3) throw_input("{}: answer: expected 0 to 3, got {}", where, row.answer);
  return row;
}

/// A question with its choices, up to "Answer:".
std::string block_of(std::string_view query, const Row& row) {
  std::string text(query);
  for (size_t i = 0; i < 4; ++i) text += fmt::format("\n{}. {}", kChoiceLetters[i], row.choices[i]);
  return text + "\nAnswer:";
}

/// The first `count` training rows of each subject, as they stand before a question.
std::map<std::string, std::string> read_shots(const std::string& path, int64_t count) {
  std::map<std::string, std::string> shots;
  std::map<std::string, int64_t> taken;
  for_each_json_line(path, [&](Json& json, int64_t line) {
    const Row row = read_row(json, fmt::format("{}:{}", path, line));
    if (taken[row.subject]++ >= count) return;
    shots[row.subject] += fmt::format("{} {}\n\n", block_of(row.query, row), kChoiceLetters[static_cast<size_t>(row.answer)]);
  });
  return shots;
}

ChoicePrompt encode_choice(const Tokenizer& tokenizer, const ChatTemplate& chat, const std::string& message, bool clean_up,
                           const std::string& where) {
  std::string text = message;
  if (chat.name() == "no") text = tokenizer.decode(tokenizer.encode(text), {.skip_special = true, .clean_up = clean_up});
  std::array<std::vector<int32_t>, 4> rows;
  for (size_t i = 0; i < 4; ++i) {
    const std::vector<ChatMessage> turns = {{"user", text}, {"assistant", std::string(1, kChoiceLetters[i])}};
    rows[i] = tokenizer.encode(chat.render_text(turns, /*add_generation_prompt=*/false),
                               {.add_bos = tokenizer.adds_bos(), .parse_special = true});
  }
  return choice_of(rows, where);
}

Json categories_of(const std::map<std::string, MmluSubject>& subjects, bool strict) {
  const auto mean = [&](auto&& belongs) -> Json {
    double sum = 0;
    int64_t n = 0;
    for (const auto& [name, subject] : subjects) {
      if (!belongs(name)) continue;
      sum += subject.accuracy();
      ++n;
    }
    if (n == 0) return strict ? Json::array() : Json(nullptr);
    return sum / static_cast<double>(n);
  };
  Json out = Json::object();
  for (const std::string_view category : kCategories) {
    out[std::string(category)] = mean([&](const std::string& name) { return mmlu_category(name) == category; });
  }
  out["All"] = mean([](const std::string&) { return true; });
  return out;
}

Json metrics_of(const MmluResult& result) {
  Json metrics = {{"task", "mmlu"}};
  metrics.update(result.categories);
  metrics["correct"] = result.correct;
  metrics["total"] = result.total;
  metrics["accuracy_over_questions"] =
      static_cast<double>(result.correct) / std::max<double>(1, static_cast<double>(result.total));
  metrics["accuracy_interval"] = {result.interval.low, result.interval.high};
  metrics["subjects"] = Json::object();
  for (const auto& [name, subject] : result.subjects) {
    const Interval interval = wilson_interval(subject.correct, subject.questions);
    metrics["subjects"][name] = {{"questions", subject.questions},
                                 {"correct", subject.correct},
                                 {"accuracy", subject.accuracy()},
                                 {"accuracy_interval", {interval.low, interval.high}}};
  }
  add_run_fields(metrics, result.run);
  return metrics;
}

}  // namespace

std::string_view mmlu_category(std::string_view subject) {
  if (subject.empty() || subject.find(' ') != std::string_view::npos) return {};
  for (size_t i = 0; i < kSubjects.size(); ++i) {
    if (kSubjects[i].find(fmt::format(" {} ", subject)) != std::string_view::npos) return kCategories[i];
  }
  return {};
}

int64_t MmluTask::tokens_needed() const {
  int64_t most = 0;
  for (const EvalQuestion& question : questions) most = std::max(most, std::ssize(question.prompt));
  return most + 1;
}

MmluTask make_mmlu_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const MmluOptions& options) {
  if (options.few_shot > 0 && options.train_data.empty()) {
    throw_input("eval mmlu: --few-shot {} needs --examples, the file of the examples (MMLU's dev.json)", options.few_shot);
  }
  std::map<std::string, std::string> shots;
  if (options.few_shot > 0) shots = read_shots(options.train_data, options.few_shot);

  MmluTask task;
  for_each_json_line(options.data, [&](Json& json, int64_t line) {
    const std::string where = fmt::format("{}:{}", options.data, line);
    const Row row = read_row(json, where);
    const int64_t id = json_int(json, "query_id", where);
    if (id != std::ssize(task.rows))
      throw_input("{}: query_id: expected {}, the row's number from 0, got {}", where, task.rows.size(), id);
    std::string spaced = row.subject;
    std::replace(spaced.begin(), spaced.end(), '_', ' ');
    const std::string message = fmt::format("The following are multiple choice questions (with answers) about {}.\n\n{}{}",
                                            spaced, shots[row.subject], block_of(strip(row.query), row));
    ChoicePrompt choice = encode_choice(tokenizer, chat, message, options.clean_up, where);
    task.questions.push_back(
        {fmt::format("mmlu-{}", id), std::move(choice.prompt), {{"subject", row.subject}, {"answer", row.answer}}});
    task.letters.push_back(choice.letters);
    task.rows.push_back(json);
  });
  if (task.questions.empty()) throw_input("{}: expected questions, one a line, got none", options.data);

  if (options.strict_reference && !chat.end_of_turn().empty()) {
    const int32_t end = tokenizer.id_of(chat.end_of_turn());
    const bool stops = std::find(options.stop_ids.begin(), options.stop_ids.end(), end) != options.stop_ids.end();
    if (end >= 0 && !stops) task.end_of_turn = end;
  }
  task.config = {{"task", "mmlu"},
                 {"data_hash", hash_of_text(read_text_file(options.data))},
                 {"few_shot", options.few_shot},
                 {"chat_template", chat.name()},
                 {"strict_reference", options.strict_reference},
                 {"clean_up_tokenization_spaces", options.clean_up}};
  if (options.few_shot > 0) task.config["train_data_hash"] = hash_of_text(read_text_file(options.train_data));
  task.notes["data"] = options.data;
  return task;
}

MmluResult run_mmlu(LanguageModel& model, const MmluTask& task, const EvalRunOptions& options, const EvalCallbacks& callbacks) {
  check_capacity("mmlu", task.tokens_needed(), model, "ask for fewer --few-shot examples");
  const AskFunction ask = [&](const EvalQuestion& question, EvalTiming& timing) {
    const std::array<int32_t, 4>& letters = task.letters[static_cast<size_t>(&question - task.questions.data())];
    const NextLogits next = model.next_logits(question.prompt);
    timing.reused_tokens = next.reused_tokens;
    timing.prefill_seconds = next.seconds;
    std::vector<float> nll = nll_of(next.logits, letters);
    for (size_t i = 0; task.end_of_turn >= 0 && i < 4; ++i) {
      std::vector<int32_t> longer = question.prompt;
      longer.push_back(letters[i]);
      const NextLogits after = model.next_logits(longer);
      timing.prefill_seconds += after.seconds;
      nll[i] = (nll[i] + nll_of(after.logits, std::array{task.end_of_turn}).front()) / 2;
    }
    const auto output = std::min_element(nll.begin(), nll.end()) - nll.begin();  // of equal ones the first
    return Json{{"output", output}, {"hit", output == question.about["answer"].get<int64_t>()}, {"nll", nll}};
  };
  EvalRunOptions run_options = options;
  run_options.notes.update(task.notes);

  MmluResult result;
  result.run = run_questions(task.config, task.questions, ask, run_options, callbacks);
  size_t next = 0;
  for (size_t i = 0; i < task.questions.size() && next < result.run.answers.size(); ++i) {
    const Json& line = result.run.answers[next];
    if (json_string(line, "id", "answers.jsonl") != task.questions[i].id) continue;
    ++next;
    const int64_t output = json_int(line, "output", "answers.jsonl: " + task.questions[i].id);
    MmluSubject& subject = result.subjects[task.questions[i].about["subject"].get<std::string>()];
    ++subject.questions;
    subject.correct += output == task.questions[i].about["answer"].get<int64_t>() ? 1 : 0;
    Json row = task.rows[i];
    row["output"] = output;
    result.published_results += python_json(row, /*ensure_ascii=*/false) + "\n";
  }
  for (const auto& [name, subject] : result.subjects) {
    result.correct += subject.correct;
    result.total += subject.questions;
  }
  result.interval = wilson_interval(result.correct, result.total);
  result.categories = categories_of(result.subjects, task.config["strict_reference"].get<bool>());
  result.metrics = metrics_of(result);
  if (!result.run.interrupted) write_metrics(run_options, result.metrics);
  return result;
}

}  // namespace tenfold
