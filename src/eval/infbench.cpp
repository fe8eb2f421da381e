#include "eval/infbench.h"

#include "core/error.h"
#include "eval/metrics/numbers.h"
#include "eval/prompt.h"
#include "eval/python_json.h"
#include "format/mapped_file.h"
#include "format/names.h"
#include "text/case.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <iterator>

namespace tenfold {
namespace {

namespace fs = std::filesystem;

/// What the benchmark fixes for a task (evaluations.md 10), and our own wording.
struct Task {
  std::string_view name;
  int64_t max_new_tokens;
  bool is_hit;  ///< the score is 0 or 1
  std::string_view wording;
};

constexpr std::array<Task, 12> kTasks = {{
    {"passkey", 6, true,
     "One number is hidden in the text below. Remember it; you will be asked for it.\n\n{context}\n\n{input}"},
    {"number_string", 12, true,
     "One long string of digits is hidden in the text below. Remember it; you will be asked for it.\n\n{context}\n\n{input}"},
    {"kv_retrieval", 50, true, "Look up a value in this JSON object. Answer with the value alone.\n\n{context}\n\n{input}"},
    {"longdialogue_qa_eng", 40, true,
     "In the dialogue below one speaker's name was replaced by $$MASK$$.\n\n{context}\n\nWhose name is it? Answer with the name "
     "alone."},
    {"longbook_sum_eng", 1200, false, "Read this book and sum it up.\n\n{context}\n\nSummary of the book:"},
    {"longbook_choice_eng", 40, true,
     "Read this book and choose the right answer to a question about it.\n\n{context}\n\nQuestion: {question}\nA. {OPTION_A}\nB. "
     "{OPTION_B}\nC. {OPTION_C}\nD. {OPTION_D}\n\nAnswer with the letter of the right answer alone."},
    {"longbook_qa_eng", 40, false,
     "Read this book and answer a question about it in as few words as you can.\n\n{context}\n\nQuestion: {question}\nAnswer:"},
    {"longbook_qa_chn", 40, false,
     "\xE8\xAF\xB7\xE8\xAF\xBB\xE4\xB8\x8B\xE9\x9D\xA2\xE7\x9A\x84\xE4\xB9\xA6\xEF\xBC\x8C\xE7\x94\xA8\xE5\xB0\xBD\xE9\x87\x8F"
     "\xE5\xB0"
     "\x91\xE7\x9A\x84\xE5\xAD\x97\xE5\x9B\x9E\xE7\xAD\x94\xE9\x97\xAE\xE9\xA2\x98\xE3\x80\x82\n\n{context}"
     "\n\n\xE9\x97\xAE\xE9\xA2\x98"
     "\xEF\xBC\x9A{question}\n\xE5\x9B\x9E\xE7\xAD\x94\xEF\xBC\x9A"},
    {"math_find", 3, true, "{prefix}\n\n{context}\n\n{input}"},
    {"math_calc", 30000, false,
     "Work out the expression below from left to right and write down the result after every operation, as a list of numbers. "
     "The "
     "first number of the list is the expression's first number.\n\n{context}\n\nList:"},
    {"code_run", 5, true,
     "Below are Python functions that call each other.\n\n{context}\n\nWhat does {func_call} return? Answer with the number that "
     "{func} returns, alone."},
    {"code_debug", 5, true,
     "One of the functions of this code was changed so that it is plainly wrong.\n\n{context}\n\nWhich of these is it?\nA. "
     "{OPTION_A}\nB. {OPTION_B}\nC. {OPTION_C}\nD. {OPTION_D}\n\nAnswer with the letter alone:"},
}};

const Task& task_named(const std::string& name) {
  const auto found = std::find_if(kTasks.begin(), kTasks.end(), [&](const Task& task) { return task.name == name; });
  TENFOLD_CHECK(found != kTasks.end(), "task {}", name);
  return *found;
}

bool has_options(std::string_view task) { return task == "longbook_choice_eng" || task == "code_debug"; }

TaskNames task_names() {
  TaskNames names;
  names.benchmark = "infbench";
  for (const Task& task : kTasks) names.tasks.emplace_back(task.name);
  names.groups = {{"default", {"longbook_qa_eng", "longbook_sum_eng"}}, {"all", names.tasks}};
  // The benchmark's own files of predictions are called MODEL.preds_TASK.jsonl or so.
  names.task_of_file = [tasks = names.tasks](const std::string& path) {
    const std::string name = fs::path(path).filename().string();
    const auto found =
        std::find_if(tasks.begin(), tasks.end(), [&](const std::string& t) { return name.find(t) != std::string::npos; });
    return found == tasks.end() ? std::string() : *found;
  };
  return names;
}

/// The templates of the tasks: those of a file's table, or our own.
std::vector<std::pair<std::string, std::string>> read_templates(const InfBenchOptions& options, const TaskFiles& files) {
  std::vector<std::pair<std::string, std::string>> out;
  if (options.prompts.empty()) {
    for (const TaskFile& file : files.files) out.emplace_back("our wording: " + file.task, task_named(file.task).wording);
    return out;
  }
  if (options.table != "mistral" && options.table != "gpt4") {
    throw_input(
        "eval infbench: --prompt-table: expected mistral or gpt4, got {}; the tables claude2 and kimi ask for what their tasks "
        "do "
        "not have and are not supported",
        shown(options.table));
  }
  const Json json = parse_json(read_text_file(options.prompts), options.prompts);
  const std::string where = options.prompts + ": " + options.table;
  const auto table = json.is_object() ? json.find(options.table) : json.end();
  if (table == json.end() || !table->is_object()) {
    throw_input("{}: expected an object {{task: template}} in an object {{table: ...}}", where);
  }
  for (const TaskFile& file : files.files) out.emplace_back(where + ": " + file.task, json_string(*table, file.task, where));
  return out;
}

/// The four options and what the label is: [text, letter].
Json option_label(const Json& row, const std::vector<std::string>& options, const std::string& where) {
  if (options.size() != 4) throw_input("{}: options: expected 4, got {}", where, options.size());
  std::vector<std::string> answer;
  if (const auto found = row.find("answer"); found != row.end() && found->is_string()) {
    answer.push_back(found->get<std::string>());
  } else {
    answer = row_texts(row, "answer", where);
  }
  if (answer.size() == 2 && answer[1].size() == 1 && answer[1][0] >= 'A' && answer[1][0] <= 'D') return answer;
  if (answer.size() != 1)
    throw_input("{}: answer: expected an option, or an option and its letter, got {} texts", where, answer.size());
  const auto place = std::find(options.begin(), options.end(), answer[0]);
  if (place == options.end()) throw_input("{}: answer: {} is none of the options", where, shown(answer[0]));
  return {answer[0], std::string(1, "ABCD"[place - options.begin()])};
}

/// The first `The ... of` on a line, as long as the line allows, in lower case and without the " of".
std::string wanted_number(const std::string& input, const std::string& where) {
  for (size_t at = input.find("The "); at != std::string::npos; at = input.find("The ", at + 1)) {
    const std::string line = input.substr(at, input.find('\n', at) - at);
    const size_t of = line.rfind(" of");
    if (of != std::string::npos && of >= 5) return lower_case(line.substr(0, of));
  }
  throw_input("{}: input: expected \"The ... of\", which says what to find, got {}", where, shown(input));
}

/// The first `func_N(M)`, M with a minus or without.
std::string called_function(const std::string& input, const std::string& where) {
  const auto digits = [&](size_t at) {
    while (at < input.size() && std::isdigit(static_cast<unsigned char>(input[at])) != 0) ++at;
    return at;
  };
  for (size_t at = input.find("func_"); at != std::string::npos; at = input.find("func_", at + 1)) {
    const size_t open = digits(at + 5);
    if (open == at + 5 || open >= input.size() || input[open] != '(') continue;
    const size_t number = open + 1 + (open + 1 < input.size() && input[open + 1] == '-' ? 1 : 0);
    const size_t close = digits(number);
    if (close > number && close < input.size() && input[close] == ')') return input.substr(at, close + 1 - at);
  }
  throw_input("{}: input: expected a call such as func_1(2), got {}", where, shown(input));
}

/// A record's prompt and label.
struct Question {
  std::string prompt;
  Json label;
};

Question read_question(const std::string& task, const Json& row, const std::string& text, const std::string& text_where,
                       const std::string& where) {
  const std::string context = json_string(row, "context", where);
  const std::string input = json_string_or(row, "input", "", where);
  std::vector<std::pair<std::string_view, std::string_view>> values = {{"context", context}};
  std::vector<std::string> options;
  std::string one;
  std::string two;
  Question question;
  if (has_options(task)) {
    options = row_texts(row, "options", where);
    question.label = option_label(row, options, where);
  } else {
    const auto answer = row.find("answer");
    if (answer == row.end()) throw_input("{}: answer: missing, expected what {} asks for", where, task);
    if (answer->is_array() && answer->empty()) throw_input("{}: answer: expected at least one, got []", where);
    question.label = *answer;
  }
  if (task == "passkey" || task == "number_string" || task == "kv_retrieval" || task == "math_find")
    values.emplace_back("input", input);
  if (task.starts_with("longbook_qa") || task == "longbook_choice_eng") values.emplace_back("question", input);
  constexpr std::array<std::string_view, 4> kOptions = {"OPTION_A", "OPTION_B", "OPTION_C", "OPTION_D"};
  for (size_t i = 0; i < options.size(); ++i) values.emplace_back(kOptions[i], options[i]);
  if (task == "math_find") {
    one = fmt::format("What is {} in the following list?", wanted_number(input, where));
    values.emplace_back("prefix", one);
  }
  if (task == "code_run") {
    one = called_function(input, where);
    two = one.substr(0, one.find('('));
    values.emplace_back("func_call", one);
    values.emplace_back("func", two);
  }
  question.prompt = fill_template(text, values, text_where);
  return question;
}

/// Where one number of a file has a fraction, the published loader reads all of them as floats, and compares them as such.
void type_columns(InfBenchTask& out, size_t begin) {
  const auto each = [&](auto&& visit) {
    for (size_t i = begin; i < out.scores.size(); ++i) {
      for (Json& reference : out.scores[i].item.references) visit(reference);
    }
  };
  bool fractions = false;
  each([&](Json& value) { fractions = fractions || value.is_number_float(); });
  if (fractions) each([](Json& value) { value = value.is_number() ? Json(value.get<double>()) : value; });
}

QuestionScore question_score(const Task& task, Json line, const std::string& where) {
  QuestionScore score;
  if (!line.contains("prediction") && !line.contains("pred")) line["prediction"] = "";
  score.item = Scorer::read(line, "infbench." + std::string(task.name), where);
  score.is_hit = task.is_hit;
  return score;
}

void add_task(InfBenchTask& out, const TaskFile& file, const std::pair<std::string, std::string>& text,
              const Tokenizer& tokenizer, const ChatTemplate& chat, const InfBenchOptions& options) {
  const Task& task = task_named(file.task);
  const size_t begin = out.scores.size();
  const size_t decoding = out.asked.decodings.size();
  out.asked.decodings.push_back({task.max_new_tokens, options.stop_ids, options.clean_up});
  const Truncation cut{options.max_length, /*from_middle=*/true, /*with_bos=*/false, options.clean_up};
  int64_t index = 0;
  for_each_json_line(file.path, [&](Json& row, int64_t line) {
    if (options.first > 0 && index >= options.first) return;
    const std::string where = fmt::format("{}:{}", file.path, line);
    Question made = read_question(file.task, row, text.second, text.first, where);
    CutText prompt = truncate(tokenizer, std::move(made.prompt), cut);
    EvalQuestion question;
    question.id = fmt::format("{}-{}", file.task, index);
    question.about = {{"task", file.task}, {"index", index}, {"label", made.label}};
    if (prompt.truncated) question.about.update({{"truncated", true}, {"whole_prompt_tokens", prompt.tokens}});
    question.prompt = chat_prompt(tokenizer, chat, std::move(prompt.text), options.clean_up);
    out.asked.questions.push_back(std::move(question));
    out.asked.decoding_of.push_back(decoding);
    out.scores.push_back(question_score(task, {{"label", made.label}}, where));
    out.labels.push_back(std::move(made.label));
    ++index;
  });
  if (index == 0) throw_input("{}: expected records of {}, one a line, got none", file.path, file.task);
  type_columns(out, begin);
  out.asked.config["data"][file.task] = {
      {"hash", hash_of_text(read_text_file(file.path))}, {"prompt", text.second}, {"max_new_tokens", task.max_new_tokens}};
}

void summarise(InfBenchResult& result, const InfBenchTask& task) {
  result.metrics = {{"task", "infbench"}, {"scores", Json::object()}, {"avg", 0.0}, {"tasks", Json::object()}};
  double sum = 0;
  for (const TaskTally& tally : tally_by_task(result.answers)) {
    const double score = python_round(tally.mean(), 4);
    sum += score;
    result.scores.emplace_back(tally.name, score);
    result.metrics["scores"][tally.name] = score;
    result.metrics["tasks"][tally.name] = tally.json();
  }
  if (!result.scores.empty()) result.average = python_round(sum / static_cast<double>(result.scores.size()), 4);
  result.metrics["avg"] = result.average;
  result.metrics["tasks_without_data"] = task.missing;
  result.published_metrics = result.metrics["scores"];
  result.published_metrics["avg"] = result.average;
  for (const Answered& answer : result.answers) {
    const Json& about = answer.question->about;
    const std::string name = json_string(about, "task", answer.question->id);
    if (result.published_files.empty() || result.published_files.back().first != name + ".json") {
      result.published_files.emplace_back(name + ".json", python_json(result.metrics["scores"][name], false) + "\n");
    }
    const Json& label = task.labels[static_cast<size_t>(answer.question - task.asked.questions.data())];
    const Json line = {{"index", about["index"]}, {"pred", answer.output}, {"label", label}};
    result.published_files.back().second += python_json(line, /*ensure_ascii=*/false) + "\n";
  }
}

}  // namespace

InfBenchTask make_infbench_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const InfBenchOptions& options) {
  const TaskFiles files = find_task_files(options.data, options.tasks, task_names());
  const auto templates = read_templates(options, files);
  InfBenchTask task;
  task.missing = files.missing;
  task.strict_reference = options.strict_reference;
  task.asked.name = "infbench";
  task.asked.config = benchmark_config("infbench", options, chat.name());
  task.asked.config["prompt_table"] = options.prompts.empty() ? "ours" : options.table;
  for (size_t i = 0; i < files.files.size(); ++i) add_task(task, files.files[i], templates[i], tokenizer, chat, options);
  task.asked.notes["data_paths"] = options.data;
  return task;
}

InfBenchResult run_infbench(LanguageModel& model, const Tokenizer& tokenizer, const InfBenchTask& task,
                            const EvalRunOptions& options, const EvalCallbacks& callbacks) {
  Scorer scorer({.strict_reference = task.strict_reference});
  return finish_answers<InfBenchResult>(run_benchmark(model, tokenizer, task, scorer, options, callbacks), options,
                                        [&](InfBenchResult& result) { summarise(result, task); });
}

InfBenchResult rescore_infbench(const std::vector<std::string>& saved, const InfBenchOptions& options) {
  TaskNames names = task_names();
  std::vector<std::string> paths;
  for (const std::string& path : saved) {
    if (!fs::is_directory(path)) {
      paths.push_back(path);
      continue;
    }
    std::vector<std::string> inside;
    for (const auto& entry : fs::directory_iterator(path)) {
      const std::string file = entry.path().string();
      const bool lines = entry.path().extension() == ".json" || entry.path().extension() == ".jsonl";
      if (lines && !names.task_of_file(file).empty()) inside.push_back(file);
    }
    std::sort(inside.begin(), inside.end());
    paths.insert(paths.end(), inside.begin(), inside.end());
  }
  if (paths.empty())
    throw_input("eval infbench: --load-result {}: expected TASK.json or preds_TASK.jsonl, got none", fmt::join(saved, ", "));
  InfBenchTask task;
  task.strict_reference = options.strict_reference;
  std::vector<std::string> outputs;
  for (const TaskFile& file : find_task_files(paths, options.tasks, names).files) {
    int64_t index = 0;
    for_each_prediction(file.path, [&](const Json& line, const std::string& where) {
      QuestionScore score = question_score(task_named(file.task), line, where);
      outputs.push_back(score.item.prediction);
      const bool label = line.contains("label");
      task.asked.questions.push_back({fmt::format("{}-{}", file.task, index), {}, {{"task", file.task}, {"index", index}}});
      task.labels.push_back(label                           ? line["label"]
                            : line.contains("ground_truth") ? line["ground_truth"]
                                                            : Json(score.item.references));
      task.scores.push_back(std::move(score));
      ++index;
    });
    if (index == 0) throw_input("{}: expected predictions, got only a score", file.path);
  }
  Scorer scorer({.strict_reference = options.strict_reference});
  InfBenchResult result;
  result.answers = score_outputs(task, outputs, scorer);
  summarise(result, task);
  result.answers.clear();  // their questions end here
  return result;
}

}  // namespace tenfold
