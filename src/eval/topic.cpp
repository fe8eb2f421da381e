#include "eval/topic.h"

#include "core/error.h"
#include "eval/metrics/answers.h"
#include "eval/prompt.h"
#include "format/mapped_file.h"
#include "text/case.h"

#include <algorithm>
#include <map>

namespace tenfold {
namespace {

Json score_of(const EvalQuestion& question, const std::string& output) {
  const std::string target = json_string(question.about, "target", question.id);
  const bool hit = lower_case(output).find(lower_case(target)) != std::string::npos;
  return {{"hit", hit}, {"f1", python_round(qa_f1(output, target), 4)}};
}

std::vector<TopicGroup> groups_of(const std::vector<Answered>& answers) {
  std::map<int64_t, TopicGroup> groups;
  for (const Answered& answer : answers) {
    TopicGroup& group = groups[json_int(answer.question->about, "num_topics", answer.question->id)];
    ++group.questions;
    group.hits += answer.score["hit"].get<bool>() ? 1 : 0;
    group.f1 += answer.score["f1"].get<double>();
    group.mean_tokens += std::ssize(answer.question->prompt);
  }
  std::vector<TopicGroup> out;
  for (auto& [num_topics, group] : groups) {
    group.num_topics = num_topics;
    group.f1 /= static_cast<double>(group.questions);
    group.mean_tokens /= group.questions;
    out.push_back(group);
  }
  return out;
}

void publish(TopicResult& result, bool strict) {
  result.published_results = Json::object();
  result.published_metrics = {{"accuracy", Json::object()}, {"f1", Json::object()}};
  for (const TopicGroup& group : result.groups) {
    std::string key = std::to_string(group.mean_tokens);
    if (!strict && result.published_results.contains(key)) key += fmt::format(" ({} topics)", group.num_topics);
    result.published_metrics["accuracy"][key] = group.accuracy();
    result.published_metrics["f1"][key] = group.f1;
    for (const Answered& answer : result.answers) {
      if (answer.question->about["num_topics"] != group.num_topics) continue;
      result.published_results[key].push_back({{"target", answer.question->about["target"]}, {"prediction", answer.output}});
    }
  }
}

Json metrics_of(const TopicResult& result) {
  Json metrics = {{"task", "topic"}};
  int64_t hits = 0;
  int64_t total = 0;
  metrics["by_num_topics"] = Json::array();
  for (const TopicGroup& group : result.groups) {
    const Interval interval = wilson_interval(group.hits, group.questions);
    metrics["by_num_topics"].push_back({{"num_topics", group.num_topics},
                                        {"questions", group.questions},
                                        {"mean_prompt_tokens", group.mean_tokens},
                                        {"hits", group.hits},
                                        {"accuracy", group.accuracy()},
                                        {"accuracy_interval", {interval.low, interval.high}},
                                        {"f1", group.f1}});
    hits += group.hits;
    total += group.questions;
  }
  const Interval interval = wilson_interval(hits, total);
  metrics["hits"] = hits;
  metrics["total"] = total;
  metrics["hit_rate_interval"] = {interval.low, interval.high};
  metrics.update(result.published_metrics);
  return metrics;
}

}  // namespace

AnswerTask make_topic_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const TopicOptions& options) {
  AnswerTask task;
  task.name = "topic";
  task.decodings = {options.decoding};
  for_each_json_line(options.data, [&](Json& row, int64_t line) {
    const std::string where = fmt::format("{}:{}", options.data, line);
    const int64_t num_topics = json_int(row, "num_topics", where);
    const std::string context = json_string(row, "context", where);
    const std::string text = context + " " + json_string(row, "question", where);
    const auto topics = row_texts(row, "topics", where);
    if (topics.empty()) throw_input("{}: topics: expected at least one, the first of which is asked for, got []", where);
    if (std::find(options.num_topics.begin(), options.num_topics.end(), num_topics) == options.num_topics.end()) return;
    task.questions.push_back({fmt::format("topic-{}", line),
                              chat_prompt(tokenizer, chat, text, options.decoding.clean_up),
                              {{"num_topics", num_topics}, {"target", topics.front()}}});
  });
  if (task.questions.empty()) {
    throw_input("{}: expected records with num_topics among those of --num-topics, got none", options.data);
  }
  task.config = {{"task", "topic"},
                 {"data_hash", hash_of_text(read_text_file(options.data))},
                 {"num_topics", options.num_topics},
                 {"max_new_tokens", options.decoding.max_new_tokens},
                 {"stop_ids", options.decoding.stop_ids},
                 {"chat_template", chat.name()},
                 {"strict_reference", options.strict_reference},
                 {"clean_up_tokenization_spaces", options.decoding.clean_up}};
  task.notes["data"] = options.data;
  return task;
}

TopicResult run_topic(LanguageModel& model, const Tokenizer& tokenizer, const AnswerTask& task, const EvalRunOptions& options,
                      const EvalCallbacks& callbacks) {
  return finish_answers<TopicResult>(run_answers(model, tokenizer, task, score_of, options, callbacks), options,
                                     [&](TopicResult& result) {
                                       result.groups = groups_of(result.answers);
                                       publish(result, task.config["strict_reference"].get<bool>());
                                       result.metrics = metrics_of(result);
                                     });
}

}  // namespace tenfold
