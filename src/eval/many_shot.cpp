#include "eval/many_shot.h"

#include "core/error.h"
#include "eval/metrics/answers.h"
#include "eval/metrics/numbers.h"
#include "eval/metrics/text.h"
#include "eval/prompt.h"
#include "format/json.h"
#include "format/names.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace tenfold {
namespace {

/// The first line of an answer that has something in it, without "Label:" before it.
std::string label_of(const std::string& output) {
  std::string_view line = strip(output);
  line = strip(line.substr(0, line.find('\n')));
  if (line.starts_with("Label:") || line.starts_with("label:")) line = strip(line.substr(6));
  return normalize_answer(line);
}

std::vector<LabelledText> read_labelled(const std::string& path) {
  std::vector<LabelledText> out;
  for_each_json_line(path, [&](Json& row, int64_t line) {
    const std::string where = fmt::format("{}:{}", path, line);
    LabelledText text{json_string(row, "text", where), json_string(row, "label", where)};
    if (normalize_answer(text.label).empty() || text.label.find('\n') != std::string::npos) {
      throw_input("{}: label: expected a word or a number on one line, got {}", where, shown(text.label));
    }
    out.push_back(std::move(text));
  });
  if (out.empty()) throw_input("{}: expected rows {{text, label}}, one a line, got none", path);
  return out;
}

/// Where the examples come from, as many as asked for.
class Examples {
 public:
  explicit Examples(const ManyShotOptions& options) : made_(options.seed) {
    if (!options.examples.empty()) read_ = read_labelled(options.examples);
  }
  int64_t most() const { return read_.empty() ? ManyShotTexts::most() : std::ssize(read_); }
  /// "Message: ...\nLabel: ...\n\n" of the first `count`.
  std::string shown_as(int64_t count) {
    if (std::ssize(all_) < count) {
      all_ = read_.empty() ? made_.examples(count) : std::vector<LabelledText>(read_.begin(), read_.begin() + count);
    }
    std::string text;
    for (int64_t i = 0; i < count; ++i) {
      const LabelledText& one = all_[static_cast<size_t>(i)];
      text += fmt::format("Message: {}\nLabel: {}\n\n", one.text, one.label);
    }
    return text;
  }
  /// The labels of the first `count`, normalised.
  std::set<std::string> labels(int64_t count) {
    shown_as(count);
    std::set<std::string> out;
    for (int64_t i = 0; i < count; ++i) out.insert(normalize_answer(all_[static_cast<size_t>(i)].label));
    return out;
  }

 private:
  ManyShotTexts made_;
  std::vector<LabelledText> read_;
  std::vector<LabelledText> all_;
};

class Fitter {
 public:
  Fitter(const Tokenizer& tokenizer, const ChatTemplate& chat, const ManyShotOptions& options, Examples& examples,
         const std::vector<LabelledText>& queries)
      : tokenizer_(tokenizer), chat_(chat), options_(options), examples_(examples), queries_(queries) {}

  std::vector<int32_t> prompt(const std::string& shots, const LabelledText& query) const {
    return chat_prompt(tokenizer_, chat_, fmt::format("{}{}Message: {}\nLabel:", options_.description, shots, query.text),
                       options_.decoding.clean_up);
  }
  int64_t tokens(int64_t count) const {
    const std::string shots = examples_.shown_as(count);
    int64_t most = 0;
    for (const LabelledText& query : queries_) {
      most = std::max(most, std::ssize(prompt(shots, query)));
      if (count > 64) break;  // the questions' lengths differ by little, and by the same whatever stands before them
    }
    return most + spread_ * (count > 64 ? 1 : 0) + options_.decoding.max_new_tokens;
  }
  /// Tokens by which the longest question exceeds the first.
  void measure() {
    int64_t longest = 0;
    for (const LabelledText& query : queries_) longest = std::max(longest, std::ssize(prompt("", query)));
    // One more: what stands before a question may take its first token apart.
    spread_ = longest - std::ssize(prompt("", queries_.front())) + 1;
  }
  /// The most examples with which every question fits.
  int64_t shots(int64_t length) const {
    if (tokens(0) > length) {
      throw_input("eval manyshot: a length of {} tokens has no room for an example; a question alone takes {}", length,
                  tokens(0));
    }
    int64_t low = 0;
    int64_t high = 16;
    while (high < examples_.most() && tokens(high) <= length) {
      low = high;
      high *= 2;
    }
    if (high >= examples_.most()) {
      high = examples_.most();
      if (tokens(high) <= length) {
        throw_input("eval manyshot: all {} examples fill {} of {} tokens; ask for a shorter length or give more examples", high,
                    tokens(high), length);
      }
    }
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      (tokens(middle) <= length ? low : high) = middle;
    }
    return low;
  }

 private:
  const Tokenizer& tokenizer_;
  const ChatTemplate& chat_;
  const ManyShotOptions& options_;
  Examples& examples_;
  const std::vector<LabelledText>& queries_;
  int64_t spread_ = 0;
};

void summarise(ManyShotResult& result, const ManyShotTask& task) {
  result.metrics = {{"task", "manyshot"}, {"classes", task.classes}, {"chance", 1.0 / static_cast<double>(task.classes)}};
  result.metrics["lengths"] = Json::array();
  for (size_t i = 0; i < task.lengths.size(); ++i) {
    ManyShotLength row{task.lengths[i], task.shots[i]};
    for (const Answered& answer : result.answers) {
      if (json_int(answer.question->about, "length", answer.question->id) != row.length) continue;
      ++row.questions;
      row.hits += answer.score["hit"].get<bool>() ? 1 : 0;
    }
    if (row.questions == 0) continue;
    const Interval interval = wilson_interval(row.hits, row.questions);
    result.metrics["lengths"].push_back({{"length", row.length},
                                         {"shots", row.shots},
                                         {"questions", row.questions},
                                         {"hits", row.hits},
                                         {"accuracy", row.accuracy()},
                                         {"interval", {interval.low, interval.high}}});
    result.lengths.push_back(row);
  }
}

}  // namespace

ManyShotTask make_many_shot_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const ManyShotOptions& options) {
  if (options.examples.empty() != options.data.empty()) {
    throw_input("eval manyshot: --examples FILE and --data FILE: expected both or neither");
  }
  if (options.queries < 1) throw_input("eval manyshot: --queries: expected 1 or more, got {}", options.queries);
  Examples examples(options);
  std::vector<LabelledText> queries =
      options.data.empty() ? ManyShotTexts(options.seed).queries(options.queries) : read_labelled(options.data);
  if (std::ssize(queries) > options.queries) queries.resize(static_cast<size_t>(options.queries));

  ManyShotTask task;
  task.name = "manyshot";
  const std::set<int64_t> lengths(options.lengths.begin(), options.lengths.end());
  task.lengths.assign(lengths.begin(), lengths.end());
  if (task.lengths.empty()) throw_input("eval manyshot: no lengths; give --lengths 4K,8K,...");
  Fitter fitter(tokenizer, chat, options, examples, queries);
  fitter.measure();
  std::set<std::string> all_labels;
  for (const int64_t length : task.lengths) {
    const int64_t shots = fitter.shots(length);
    const std::set<std::string> labels = examples.labels(shots);
    task.shots.push_back(shots);
    for (size_t i = 0; i < queries.size(); ++i) {
      if (!labels.contains(normalize_answer(queries[i].label))) {
        throw_input(
            "eval manyshot: the {} examples that {} tokens hold have none of label {}, which question {} asks for; ask for "
            "longer --lengths",
            shots, length, shown(queries[i].label), i);
      }
    }
    const std::string text = examples.shown_as(shots);
    for (size_t i = 0; i < queries.size(); ++i) {
      EvalQuestion question;
      question.id = fmt::format("{}-{}", length, i);
      question.about = {{"length", length}, {"shots", shots}, {"index", i}, {"label", queries[i].label}};
      question.prompt = fitter.prompt(text, queries[i]);
      task.questions.push_back(std::move(question));
    }
    all_labels.insert(labels.begin(), labels.end());
  }
  task.classes = std::ssize(all_labels);
  task.decodings = {options.decoding};
  task.config = {{"task", "manyshot"},
                 {"lengths", task.lengths},
                 {"queries", queries.size()},
                 {"seed", options.seed},
                 {"texts", options.examples.empty() ? "ours" : "files"},
                 {"description", options.description},
                 {"max_new_tokens", options.decoding.max_new_tokens},
                 {"stop_ids", options.decoding.stop_ids},
                 {"chat_template", chat.name()},
                 {"clean_up_tokenization_spaces", options.decoding.clean_up}};
  task.notes = {{"examples", options.examples}, {"data", options.data}};
  return task;
}

ManyShotResult run_many_shot(LanguageModel& model, const Tokenizer& tokenizer, const ManyShotTask& task,
                             const EvalRunOptions& options, const EvalCallbacks& callbacks) {
  const AnswerScore score = [](const EvalQuestion& question, const std::string& output) -> Json {
    return {{"hit", label_of(output) == normalize_answer(json_string(question.about, "label", question.id))}};
  };
  return finish_answers<ManyShotResult>(run_answers(model, tokenizer, task, score, options, callbacks), options,
                                        [&](ManyShotResult& result) { summarise(result, task); });
}

}  // namespace tenfold
