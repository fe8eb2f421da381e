#include "eval/ruler.h"

#include "core/error.h"
#include "data/text_corpus.h"
#include "eval/metrics/numbers.h"
#include "eval/metrics/ruler.h"
#include "eval/prompt.h"

#include <algorithm>
#include <iterator>
#include <set>

namespace tenfold {
namespace {

TaskNames task_names() {
  TaskNames names;
  names.benchmark = "ruler";
  names.tasks = RulerSamples::tasks();
  names.groups = {{"default", {names.tasks.begin(), names.tasks.end() - 2}}, {"all", names.tasks}};
  return names;
}

/// Makes samples that fill a length.
class Fitter {
 public:
  Fitter(const Tokenizer& tokenizer, const ChatTemplate& chat, const RulerSamples& samples, const RulerOptions& options)
      : tokenizer_(tokenizer), chat_(chat), samples_(samples), options_(options) {}

  struct Made {
    RulerSample sample;
    std::vector<int32_t> prompt;
  };

  Made make(const std::string& task, int64_t size, int64_t length, int64_t index) const {
    const std::vector<std::string> tasks = RulerSamples::tasks();
    const auto number = static_cast<uint64_t>(std::find(tasks.begin(), tasks.end(), task) - tasks.begin());
    const uint64_t stream = mix64(mix64(number, static_cast<uint64_t>(length)), static_cast<uint64_t>(index));
    Made made;
    made.sample = samples_.make(task, size, length, index, Rng(options_.seed, stream));
    made.prompt = chat_prompt(tokenizer_, chat_, made.sample.input, options_.clean_up, made.sample.answer_prefix);
    return made;
  }

  bool fits(const Made& made, const std::string& task, int64_t length) const {
    return std::ssize(made.prompt) + RulerSamples::new_tokens(task) <= length;
  }

  /// The most filling with which the first sample fits.
  int64_t size(const std::string& task, int64_t length) const {
    int64_t low = RulerSamples::least(task);
    const int64_t most = samples_.most(task, length);
    if (const Made least = make(task, low, length, 0); !fits(least, task, length)) {
      throw_input("eval ruler: a length of {} tokens is too small for {}, which needs {}; leave it out with --tasks", length,
                  task, std::ssize(least.prompt) + RulerSamples::new_tokens(task));
    }
    int64_t high = low;  // does not fit, once the loop is left
    for (;;) {
      high = std::min(std::max<int64_t>(2 * high, 8), most);
      if (!fits(make(task, high, length, 0), task, length)) break;
      low = high;
      if (high == most) {
        const int64_t tokens = std::ssize(make(task, high, length, 0).prompt) + RulerSamples::new_tokens(task);
        throw_input(
            "eval ruler: {}: all {} of its words or documents fill {} of {} tokens; give it more text or leave it out with "
            "--tasks",
            task, most, tokens, length);
      }
    }
    while (high - low > std::max<int64_t>(1, low / 200)) {
      const int64_t middle = low + (high - low) / 2;
      (fits(make(task, middle, length, 0), task, length) ? low : high) = middle;
    }
    return low;
  }

  /// One sample, with less filling where it would be too long.
  Made fitted(const std::string& task, int64_t size, int64_t length, int64_t index) const {
    for (;;) {
      Made made = make(task, size, length, index);
      if (fits(made, task, length)) return made;
      if (size <= RulerSamples::least(task)) {
        throw_input("eval ruler: a length of {} tokens is too small for sample {} of {}, which needs {}", length, index, task,
                    std::ssize(made.prompt) + RulerSamples::new_tokens(task));
      }
      size = std::max(RulerSamples::least(task), size - std::max<int64_t>(1, size / 100));
    }
  }

 private:
  const Tokenizer& tokenizer_;
  const ChatTemplate& chat_;
  const RulerSamples& samples_;
  const RulerOptions& options_;
};

std::string read_haystack(const std::vector<std::string>& paths) {
  std::string text;
  for (const TextDocument& document : load_text(paths)) text += document.text + "\n";
  return text;
}

void load_documents(RulerSamples& samples, const std::vector<std::string>& tasks, const RulerOptions& options) {
  for (const std::string& task : tasks) {
    if (!task.starts_with("qa_")) continue;
    const bool squad = task == "qa_1";
    if ((squad ? options.squad : options.hotpot).empty()) {
      throw_input("eval ruler: {} needs {}", task,
                  squad ? "--squad FILE, the dev set of SQuAD 2 (dev-v2.0.json)"
                        : "--hotpot FILE, the dev set of HotpotQA with distractors (hotpot_dev_distractor_v1.json)");
    }
    samples.set_documents(task, squad ? RulerDocuments::from_squad(options.squad) : RulerDocuments::from_hotpot(options.hotpot));
  }
}

Json wording_json(const RulerWording& w) {
  return {{"noise", w.noise}, {"needle", w.needle},         {"niah", w.niah}, {"niah_answer", w.niah_answer},
          {"vt", w.vt},       {"vt_answer", w.vt_answer},   {"cwe", w.cwe},   {"cwe_answer", w.cwe_answer},
          {"fwe", w.fwe},     {"fwe_answer", w.fwe_answer}, {"qa", w.qa},     {"qa_answer", w.qa_answer}};
}

Json length_json(const RulerLength& length, const std::vector<Answered>& answers) {
  Json out = {{"length", length.length}, {"average", length.average}, {"tasks", Json::object()}};
  for (const TaskTally& tally : tally_by_task(answers)) {
    out["tasks"][tally.name] = tally.json();
    out["tasks"][tally.name]["score"] = length.tasks.at(tally.name);
  }
  return out;
}

void summarise(RulerResult& result, const RulerTask& task) {
  result.metrics = {{"task", "ruler"}, {"lengths", Json::array()}};
  for (const int64_t length : task.lengths) {
    std::vector<Answered> inside;
    std::copy_if(result.answers.begin(), result.answers.end(), std::back_inserter(inside), [&](const Answered& answer) {
      return json_int(answer.question->about, "length", answer.question->id) == length;
    });
    if (inside.empty()) continue;
    RulerLength row;
    row.length = length;
    double sum = 0;
    for (const TaskTally& tally : tally_by_task(inside)) {
      row.tasks[tally.name] = python_round(100 * tally.mean(), 2);
      sum += row.tasks[tally.name];
    }
    row.average = python_round(sum / static_cast<double>(row.tasks.size()), 2);
    if (row.average >= kRulerThreshold) result.effective_length = length;
    result.metrics["lengths"].push_back(length_json(row, inside));
    result.lengths.push_back(std::move(row));
  }
  result.metrics["threshold"] = kRulerThreshold;
  result.metrics["effective_length"] = result.effective_length ? Json(*result.effective_length) : Json(nullptr);
}

}  // namespace

RulerTask make_ruler_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const RulerOptions& options) {
  const std::vector<std::string> wanted = options.tasks.empty() ? std::vector<std::string>{"default"} : options.tasks;
  const std::vector<std::string> tasks = expand_tasks(wanted, task_names());
  const std::string text = read_haystack(options.haystack);
  RulerSamples samples(text, options.wording);
  load_documents(samples, tasks, options);
  const Fitter fitter(tokenizer, chat, samples, options);

  RulerTask task;
  task.name = "ruler";
  const std::set<int64_t> lengths(options.lengths.begin(), options.lengths.end());
  task.lengths.assign(lengths.begin(), lengths.end());
  for (const std::string& name : tasks)
    task.decodings.push_back({RulerSamples::new_tokens(name), options.stop_ids, options.clean_up});
  for (const int64_t length : task.lengths) {
    for (size_t t = 0; t < tasks.size(); ++t) {
      const int64_t size = fitter.size(tasks[t], length);
      for (int64_t index = 0; index < options.samples; ++index) {
        Fitter::Made made = fitter.fitted(tasks[t], size, length, index);
        EvalQuestion question;
        question.id = fmt::format("{}-{}-{}", tasks[t], length, index);
        question.about = {{"task", tasks[t]}, {"length", length}, {"index", index}, {"outputs", made.sample.outputs}};
        question.prompt = std::move(made.prompt);
        task.questions.push_back(std::move(question));
        task.decoding_of.push_back(t);
        task.outputs.push_back(std::move(made.sample.outputs));
      }
    }
  }
  task.config = {{"task", "ruler"},
                 {"tasks", tasks},
                 {"lengths", task.lengths},
                 {"samples", options.samples},
                 {"seed", options.seed},
                 {"haystack_hash", hash_of_text(text)},
                 {"wording", wording_json(options.wording)},
                 {"stop_ids", options.stop_ids},
                 {"chat_template", chat.name()},
                 {"clean_up_tokenization_spaces", options.clean_up}};
  task.notes["haystack"] = options.haystack;
  return task;
}

RulerResult run_ruler(LanguageModel& model, const Tokenizer& tokenizer, const RulerTask& task, const EvalRunOptions& options,
                      const EvalCallbacks& callbacks) {
  const AnswerScore score = [&](const EvalQuestion& question, const std::string& output) -> Json {
    const std::vector<std::string>& wanted = task.outputs[static_cast<size_t>(&question - task.questions.data())];
    const double share = ruler_share(output, wanted);
    const bool any = json_string(question.about, "task", question.id).starts_with("qa_");  // one of the answers is enough
    const double value = any ? (share > 0 ? 1.0 : 0.0) : share;
    return {{"hit", value == 1.0}, {"score", value}};
  };
  return finish_answers<RulerResult>(run_answers(model, tokenizer, task, score, options, callbacks), options,
                                     [&](RulerResult& result) { summarise(result, task); });
}

}  // namespace tenfold
