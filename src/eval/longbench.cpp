#include "eval/longbench.h"

#include "core/error.h"
#include "eval/metrics/numbers.h"
#include "eval/prompt.h"
#include "eval/python_json.h"
#include "format/mapped_file.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <optional>
#include <span>

namespace tenfold {
namespace {

namespace fs = std::filesystem;

/// What the benchmark fixes for a task (evaluations.md 9); prompt and budget come from its own files.
struct Task {
  std::string_view name;
  std::string_view category;
  std::string_view metric;
  bool chat = true;           ///< else the prompt is encoded as it is
  bool newline_stop = false;  ///< with NewlineEos::kQa
  bool first_line = false;    ///< all that is scored
};

constexpr std::string_view kSingle = "EN Single-Doc QA";
constexpr std::string_view kMulti = "EN Multi-Doc QA";
constexpr std::string_view kSummary = "EN Summarization";
constexpr std::string_view kFewShot = "EN Few-Shot Learning";
constexpr std::string_view kCode = "Code Completion";
constexpr std::string_view kF1 = "longbench.qa_f1_score";
constexpr std::string_view kRouge = "longbench.rouge_score";
constexpr std::string_view kClasses = "longbench.classification_score";
constexpr std::string_view kRougeZh = "longbench.rouge_zh_score";
constexpr std::string_view kF1Zh = "longbench.qa_f1_zh_score";
constexpr std::string_view kCodeSim = "longbench.code_sim_score";

constexpr std::array<Task, 21> kTasks = {{
    {"narrativeqa", kSingle, kF1, true, true},
    {"qasper", kSingle, kF1, true, true},
    {"multifieldqa_en", kSingle, kF1, true, true},
    {"multifieldqa_zh", "CN Single-Doc QA", kF1Zh},
    {"hotpotqa", kMulti, kF1, true, true},
    {"2wikimqa", kMulti, kF1, true, true},
    {"musique", kMulti, kF1, true, true},
    {"dureader", "CN Multi-Doc QA", kRougeZh},
    {"gov_report", kSummary, kRouge},
    {"qmsum", kSummary, kRouge},
    {"multi_news", kSummary, kRouge},
    {"vcsum", "CN Summarization", kRougeZh},
    {"trec", kFewShot, kClasses, false, false, true},
    {"triviaqa", kFewShot, kF1, false, false, true},
    {"samsum", kFewShot, kRouge, false, true, true},
    {"lsht", "CN Few-Shot Learning", kClasses, false, false, true},
    {"passage_count", "EN Synthetic Task", "longbench.count_score", true, true},
    {"passage_retrieval_en", "EN Synthetic Task", "longbench.retrieval_score", true, true},
    {"passage_retrieval_zh", "CN Synthetic Task", "longbench.retrieval_zh_score", true, true},
    {"lcc", kCode, kCodeSim, false},
    {"repobench-p", kCode, kCodeSim, false},
}};

std::string base_name(std::string_view task) {
  return std::string(task.ends_with("_e") ? task.substr(0, task.size() - 2) : task);
}

const Task& task_named(const std::string& name) {
  const std::string base = base_name(name);
  const auto found = std::find_if(kTasks.begin(), kTasks.end(), [&](const Task& task) { return task.name == base; });
  TENFOLD_CHECK(found != kTasks.end(), "task {}", name);
  return *found;
}

bool is_chinese(const Task& task) { return task.category.starts_with("CN "); }
bool is_synthetic(const Task& task) { return task.category.ends_with("Synthetic Task"); }
bool needs_jieba(const Task& task) { return task.metric == kRougeZh || task.metric == kF1Zh; }

/// The task that the rows of a file name.
std::string dataset_of(const std::string& path) {
  std::string name;
  struct Enough {};
  try {
    for_each_json_line(path, [&](Json& row, int64_t) {
      name = json_string_or(row, "dataset", "", path);
      throw Enough();
    });
  } catch (const Enough&) {
  }
  return name;
}

TaskNames task_names() {
  TaskNames names;
  names.benchmark = "longbench";
  std::vector<std::string> all;
  std::vector<std::string> usual;
  std::vector<std::string> published;
  for (const Task& task : kTasks) {
    all.emplace_back(task.name);
    if (is_chinese(task)) continue;
    published.emplace_back(task.name);
    if (!is_synthetic(task)) usual.emplace_back(task.name);
  }
  std::vector<std::string> extended;
  for (const char* name : {"qasper", "multifieldqa_en", "hotpotqa", "2wikimqa", "gov_report", "multi_news", "trec", "triviaqa",
                           "samsum", "passage_count", "passage_retrieval_en", "lcc", "repobench-p"}) {
    extended.push_back(std::string(name) + "_e");
  }
  names.tasks = all;
  names.tasks.insert(names.tasks.end(), extended.begin(), extended.end());
  names.groups = {{"default", usual}, {"published", published}, {"all", all}, {"e", extended}};
  names.task_of_file = dataset_of;
  return names;
}

/// The benchmark's prompts and budgets.
struct PromptFiles {
  Json prompts;
  Json budgets;
  std::string prompts_path;
  std::string budgets_path;
};

PromptFiles read_prompts(const LongBenchOptions& options) {
  std::vector<fs::path> folders;
  if (!options.prompts.empty()) folders.emplace_back(options.prompts);
  for (const std::string& path : options.data) {
    if (!options.prompts.empty()) break;
    const fs::path folder = fs::is_directory(path) ? fs::path(path) : fs::path(path).parent_path();
    folders.push_back(folder);
    folders.push_back(folder / "config");
  }
  for (const fs::path& folder : folders) {
    PromptFiles files;
    files.prompts_path = (folder / "dataset2prompt.json").string();
    files.budgets_path = (folder / "dataset2maxlen.json").string();
    if (!fs::exists(files.prompts_path)) continue;
    files.prompts = parse_json(read_text_file(files.prompts_path), files.prompts_path);
    files.budgets = parse_json(read_text_file(files.budgets_path), files.budgets_path);
    for (const auto& [json, path] :
         {std::pair(&files.prompts, &files.prompts_path), std::pair(&files.budgets, &files.budgets_path)}) {
      if (!json->is_object()) throw_input("{}: expected an object by task, got {}", *path, json->type_name());
    }
    return files;
  }
  throw_input(
      "eval longbench: dataset2prompt.json is not {}; it and dataset2maxlen.json are the benchmark's own (LongBench/config at "
      "github.com/THUDM/LongBench): put them beside the data or name their folder with --prompts",
      options.prompts.empty() ? "beside the data" : "in " + options.prompts);
}

struct Row {
  std::string input;
  std::string context;
  std::vector<std::string> answers;
  Json published;
};

Row read_row(const Json& json, const std::string& task, const std::string& where) {
  Row row{json_string(json, "input", where), json_string(json, "context", where), row_texts(json, "answers", where), {}};
  if (row.answers.empty()) throw_input("{}: answers: expected at least one, got []", where);
  row.published = {{"input", row.input},
                   {"answers", row.answers},
                   {"length", json_int(json, "length", where)},
                   {"dataset", json_string_or(json, "dataset", base_name(task), where)}};
  return row;
}

/// all_classes of a file's first row; InputError where a task needs it and it is not there.
std::vector<std::string> classes_of(const Task& task, const Json& row, const std::string& where) {
  const auto found = row.find("all_classes");
  const bool given = found != row.end() && !found->is_null();
  if (task.metric != kClasses && !given) return {};
  return row_texts(given ? row : Json::object(), "all_classes", where);
}

Json length_bucket(int64_t length) { return length < 4000 ? "0-4k" : length < 8000 ? "4-8k" : "8k+"; }

Decoding decoding_of(const Task& task, int64_t budget, const Tokenizer& tokenizer, const LongBenchOptions& options) {
  Decoding decoding{budget, options.stop_ids, options.clean_up};
  const bool newline = options.newline_eos == NewlineEos::kAll || (options.newline_eos == NewlineEos::kQa && task.newline_stop);
  if (const std::vector<int32_t> ids = tokenizer.encode("\n"); newline && !ids.empty()) decoding.stop_ids.push_back(ids.back());
  return decoding;
}

/// Takes the tasks out that cannot be scored without jieba's tables and returns why, "" where there is none. InputError where one
/// was named itself or none is left: they are never scored with other words.
std::string refuse_without_jieba(TaskFiles& files, const LongBenchOptions& options, std::vector<std::string>& refused) {
  for (const TaskFile& file : files.files) {
    if (needs_jieba(task_named(file.task))) refused.push_back(file.task);
  }
  if (refused.empty()) return "";
  try {
    const Segmenter segmenter(options.jieba_directory);
  } catch (const InputError& error) {
    std::erase_if(files.files, [](const TaskFile& file) { return needs_jieba(task_named(file.task)); });
    std::string why = fmt::format("eval longbench: {} cannot be scored: {}", fmt::join(refused, ", "), error.what());
    const bool named = std::any_of(refused.begin(), refused.end(), [&](const std::string& task) {
      return std::any_of(options.tasks.begin(), options.tasks.end(),
                         [&](const std::string& name) { return ("," + name + ",").find("," + task + ",") != std::string::npos; });
    });
    if (named || files.files.empty()) throw_input("{}; or leave these tasks out with --tasks", why);
    return why;
  }
  refused.clear();
  return "";
}

std::string_view name_of(NewlineEos newline) {
  return newline == NewlineEos::kQa ? "qa" : newline == NewlineEos::kAll ? "all" : "off";
}

LongBenchScores scores_of(const std::vector<Answered>& answers) {
  LongBenchScores scores;
  std::vector<std::pair<std::string_view, std::vector<double>>> categories;
  double sum = 0;
  for (const TaskTally& tally : tally_by_task(answers)) {
    const double score = python_round(100 * tally.mean(), 2);
    scores.tasks[tally.name] = score;
    sum += score;
    const std::string_view category = task_named(tally.name).category;
    auto found = std::find_if(categories.begin(), categories.end(), [&](const auto& c) { return c.first == category; });
    if (found == categories.end()) found = categories.insert(found, {category, {}});
    found->second.push_back(score);
  }
  for (const auto& [category, members] : categories) {
    double total = 0;
    for (const double score : members) total += score;
    scores.categories[std::string(category)] = python_round(total / static_cast<double>(members.size()), 2);
  }
  if (!scores.tasks.empty()) scores.average = python_round(sum / static_cast<double>(scores.tasks.size()), 2);
  return scores;
}

/// The mean over a published selection of tasks; null unless every one of them ran.
Json mean_over(const LongBenchScores& scores, std::string_view group) {
  const TaskNames names = task_names();
  const auto found = std::find_if(names.groups.begin(), names.groups.end(), [&](const auto& g) { return g.first == group; });
  double sum = 0;
  for (const std::string& task : found->second) {
    const auto score = scores.tasks.find(task);
    if (score == scores.tasks.end()) return nullptr;
    sum += score->second;
  }
  return python_round(sum / static_cast<double>(found->second.size()), 2);
}

Json scores_json(const LongBenchScores& scores) {
  Json out = {{"scores", Json::object()}, {"categories", scores.categories}, {"avg", scores.average}};
  for (const auto& [task, score] : scores.tasks) out["scores"][task] = score;
  return out;
}

bool is_extended(const Answered& answer) { return json_string(answer.question->about, "task", "").ends_with("_e"); }

Json metrics_of(const LongBenchResult& result, const LongBenchTask& task) {
  Json metrics = {{"task", "longbench"}};
  metrics.update(scores_json(result.scores));
  metrics["mean_of_14"] = mean_over(result.scores, "default");
  metrics["mean_of_16"] = mean_over(result.scores, "published");
  if (!result.buckets.empty()) {
    metrics["longbench_e"] = Json::object();
    for (const auto& [bucket, scores] : result.buckets) metrics["longbench_e"][bucket] = scores_json(scores);
  }
  metrics["tasks"] = Json::object();
  for (const TaskTally& tally : tally_by_task(result.answers)) metrics["tasks"][tally.name] = tally.json();
  metrics["tasks_without_data"] = task.missing;
  metrics["tasks_refused"] = task.refused;
  return metrics;
}

/// TASK.json: the score, then the predictions.
void publish(LongBenchResult& result, const LongBenchTask& task) {
  for (const Answered& answer : result.answers) {
    const std::string name = json_string(answer.question->about, "task", answer.question->id);
    if (result.published_files.empty() || result.published_files.back().first != name + ".json") {
      Json score = Json::object();
      if (const auto whole = result.scores.tasks.find(name); whole != result.scores.tasks.end()) score = whole->second;
      for (const auto& [bucket, scores] : result.buckets) {
        if (!is_extended(answer)) break;
        const auto part = scores.tasks.find(name);
        score[bucket] = part == scores.tasks.end() ? Json(nullptr) : Json(part->second);
      }
      result.published_files.emplace_back(name + ".json", python_json(score, /*ensure_ascii=*/false) + "\n");
    }
    Json line = task.rows[static_cast<size_t>(answer.question - task.asked.questions.data())];
    line["pred"] = answer.output;
    result.published_files.back().second += python_json(line, /*ensure_ascii=*/false) + "\n";
  }
  result.published_metrics = Json::object();
  for (const auto& [name, score] : result.scores.tasks) result.published_metrics[name] = score;
  result.published_metrics["avg"] = result.scores.average;
}

void summarise(LongBenchResult& result, const LongBenchTask& task) {
  std::vector<Answered> plain;
  std::vector<Answered> extended;
  for (const Answered& answer : result.answers) (is_extended(answer) ? extended : plain).push_back(answer);
  result.scores = scores_of(plain);
  for (const char* bucket : {"0-4k", "4-8k", "8k+"}) {
    if (extended.empty()) break;
    std::vector<Answered> inside;
    std::copy_if(extended.begin(), extended.end(), std::back_inserter(inside), [&](const Answered& answer) {
      return length_bucket(json_int(answer.question->about, "length", answer.question->id)) == bucket;
    });
    result.buckets.emplace_back(bucket, scores_of(inside));
  }
  publish(result, task);
  result.metrics = metrics_of(result, task);
}

QuestionScore question_score(const Task& task, const std::vector<std::string>& answers, const std::vector<std::string>& classes) {
  QuestionScore score;
  score.item.metric = task.metric;
  score.item.references.assign(answers.begin(), answers.end());
  score.item.all_classes = classes;
  score.first_line = task.first_line;
  return score;
}

void add_task(LongBenchTask& out, const TaskFile& file, const PromptFiles& prompts, const Tokenizer& tokenizer,
              const ChatTemplate& chat) {
  const LongBenchOptions& options = out.options;
  const Task& task = task_named(file.task);
  const std::string base = base_name(file.task);
  const std::string text = json_string(prompts.prompts, base, prompts.prompts_path);
  const int64_t budget = json_int(prompts.budgets, base, prompts.budgets_path);
  if (budget < 1) throw_input("{}: {}: expected 1 or more new tokens, got {}", prompts.budgets_path, base, budget);
  const size_t decoding = out.asked.decodings.size();
  out.asked.decodings.push_back(decoding_of(task, budget, tokenizer, options));
  const Truncation cut{options.max_length, options.truncate_from_middle, /*with_bos=*/true, options.clean_up};
  std::vector<std::string> classes;
  int64_t index = 0;
  for_each_json_line(file.path, [&](Json& json, int64_t line) {
    if (options.first > 0 && index >= options.first) return;
    const std::string where = fmt::format("{}:{}", file.path, line);
    Row row = read_row(json, file.task, where);
    if (index == 0) classes = classes_of(task, json, where);
    const std::array<std::pair<std::string_view, std::string_view>, 2> values = {
        {{"context", row.context}, {"input", row.input}}};
    CutText prompt = truncate(tokenizer, fill_template(text, values, prompts.prompts_path + ": " + base), cut);
    EvalQuestion question;
    question.id = fmt::format("{}-{}", file.task, index);
    question.about = {{"task", file.task}, {"index", index}, {"length", row.published["length"]}, {"answers", row.answers}};
    if (prompt.truncated) question.about.update({{"truncated", true}, {"whole_prompt_tokens", prompt.tokens}});
    question.prompt = task.chat ? chat_prompt(tokenizer, chat, std::move(prompt.text), options.clean_up)
                                : tokenizer.encode(prompt.text, {.add_bos = tokenizer.adds_bos(), .parse_special = true});
    out.asked.questions.push_back(std::move(question));
    out.asked.decoding_of.push_back(decoding);
    out.scores.push_back(question_score(task, row.answers, classes));
    out.rows.push_back(std::move(row.published));
    ++index;
  });
  if (index == 0) throw_input("{}: expected records of {}, one a line, got none", file.path, file.task);
  out.asked.config["data"][file.task] = {
      {"hash", hash_of_text(read_text_file(file.path))}, {"prompt", text}, {"max_new_tokens", budget}};
}

Scorer scorer_of(const LongBenchOptions& options) {
  return Scorer({.strict_reference = options.strict_reference, .jieba_directory = options.jieba_directory});
}

}  // namespace

LongBenchTask make_longbench_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const LongBenchOptions& options) {
  LongBenchTask task;
  task.asked.config = benchmark_config("longbench", options, chat.name());
  task.asked.config["truncate_from_middle"] = options.truncate_from_middle;
  task.asked.config["newline_eos"] = name_of(options.newline_eos);
  TaskFiles files = find_task_files(options.data, options.tasks, task_names());
  task.refusal = refuse_without_jieba(files, options, task.refused);
  const PromptFiles prompts = read_prompts(options);
  task.options = options;
  task.missing = files.missing;
  task.asked.name = "longbench";
  for (const TaskFile& file : files.files) add_task(task, file, prompts, tokenizer, chat);
  task.asked.notes["data_paths"] = options.data;
  return task;
}

LongBenchResult run_longbench(LanguageModel& model, const Tokenizer& tokenizer, const LongBenchTask& task,
                              const EvalRunOptions& options, const EvalCallbacks& callbacks) {
  Scorer scorer = scorer_of(task.options);
  return finish_answers<LongBenchResult>(run_benchmark(model, tokenizer, task, scorer, options, callbacks), options,
                                         [&](LongBenchResult& result) { summarise(result, task); });
}

LongBenchResult rescore_longbench(const std::vector<std::string>& saved, const LongBenchOptions& options) {
  std::vector<std::string> files;
  for (const std::string& path : saved) {
    if (!fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const std::string& name : task_names().tasks) {
      if (const fs::path file = fs::path(path) / (name + ".json"); fs::exists(file)) files.push_back(file.string());
    }
  }
  if (files.empty()) throw_input("eval longbench: --load-result {}: expected TASK.json, got none", fmt::join(saved, ", "));
  LongBenchTask task;
  TaskFiles found = find_task_files(files, options.tasks, task_names());
  task.refusal = refuse_without_jieba(found, options, task.refused);
  std::vector<std::string> outputs;
  for (const TaskFile& file : found.files) {
    const Task& info = task_named(file.task);
    std::vector<std::string> classes;
    if (info.metric == kClasses) {
      bool first = true;
      for (const TaskFile& data : find_task_files(options.data, {file.task}, task_names()).files) {
        for_each_json_line(data.path, [&](Json& row, int64_t line) {
          if (std::exchange(first, false)) classes = classes_of(info, row, fmt::format("{}:{}", data.path, line));
        });
      }
    }
    int64_t index = 0;
    for_each_prediction(file.path, [&](const Json& line, const std::string& where) {
      const std::vector<std::string> answers = row_texts(line, "answers", where);
      if (answers.empty()) throw_input("{}: answers: expected at least one, got []", where);
      const int64_t length = json_int(line, "length", where);
      outputs.push_back(json_string(line, "pred", where));
      EvalQuestion question{
          fmt::format("{}-{}", file.task, index), {}, {{"task", file.task}, {"index", index}, {"length", length}}};
      task.asked.questions.push_back(std::move(question));
      task.scores.push_back(question_score(info, answers, classes));
      task.rows.push_back({{"input", json_string_or(line, "input", "", where)},
                           {"answers", answers},
                           {"length", length},
                           {"dataset", json_string_or(line, "dataset", base_name(file.task), where)}});
      ++index;
    });
    if (index == 0) throw_input("{}: expected predictions, got only a score", file.path);
  }
  Scorer scorer = scorer_of(options);
  LongBenchResult result;
  result.answers = score_outputs(task, outputs, scorer);
  summarise(result, task);
  result.answers.clear();  // their questions end here
  return result;
}

}  // namespace tenfold
