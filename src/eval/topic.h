#pragma once

#include "eval/answer_task.h"
#include "eval/metrics/numbers.h"
#include "text/chat_template.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tenfold {

/// Topic retrieval (LongEval; evaluations.md 5): a record of conversations on several topics, and the question which was the
/// first.
struct TopicOptions {
  std::string data;  ///< JSON lines {context, question, topics, num_topics}
  std::vector<int64_t> num_topics = {5, 10, 15, 20, 25, 30, 40, 50, 60, 70};  ///< records of other numbers are left out
  Decoding decoding = {.max_new_tokens = 50, .stop_ids = {}, .clean_up = false};
  bool strict_reference = false;
};

/// Records of equally many topics.
struct TopicGroup {
  int64_t num_topics = 0;
  int64_t mean_tokens = 0;  ///< of the prompts, rounded down: the published key of a group
  int64_t questions = 0;
  int64_t hits = 0;  ///< outputs that hold the topic, whatever the case
  double f1 = 0;     ///< mean of the per-record f1, each rounded to 4 digits

  double accuracy() const { return questions > 0 ? static_cast<double>(hits) / static_cast<double>(questions) : 0.0; }
};

struct TopicResult {
  std::vector<TopicGroup> groups;  ///< by number of topics, rising
  std::vector<Answered> answers;
  EvalRun run;
  Json metrics;            ///< what metrics.json holds
  Json published_results;  ///< {mean tokens: [{target, prediction}]}
  Json published_metrics;  ///< {accuracy: {mean tokens: x}, f1: {...}}; strict: groups of equal mean overwrite each other
};

/// Reads and encodes the records. InputError: no record left, a malformed one (file and line).
AnswerTask make_topic_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const TopicOptions& options);

/// Asks, scores, and writes metrics.json when every record is answered.
TopicResult run_topic(LanguageModel& model, const Tokenizer& tokenizer, const AnswerTask& task, const EvalRunOptions& options,
                      const EvalCallbacks& callbacks = {});

}  // namespace tenfold
