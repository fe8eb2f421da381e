#pragma once

#include "eval/answer_task.h"
#include "text/chat_template.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tenfold {

/// Free generation as the published evaluation does it (evaluations.md 8): the answers to conversations' first user turn, or the
/// continuations of texts, and their rouge.
struct GenerationOptions {
  /// JSON lines {conversations: [{role, content}]} or {text}; or one JSON object {context, answer: [texts]}, whose context is a
  /// whole prompt.
  std::string data;
  int64_t max_num = 0;          ///< rows from the start, before the filter; 0: all
  int64_t min_length = 0;       ///< tokens of a prompt; others are left out, and counted
  int64_t max_length = 100000;  ///< a text that is longer is cut to it, and counted
  Decoding decoding = {.max_new_tokens = 256};
  bool strict_reference = false;
};

struct GenerationTask : AnswerTask {
  std::vector<std::vector<std::string>> targets;  ///< of each question; none where there is nothing to compare with
  int64_t left_out = 0;                           ///< rows outside min_length to max_length
  bool strict_reference = false;
};

struct GenerationResult {
  std::vector<Answered> answers;  ///< score: rouge-1, rouge-2, rouge-l, score (= rouge-l); empty without a target
  Json rouge;                     ///< means over the answers with a target; null without any
  EvalRun run;
  Json metrics;                   ///< what metrics.json holds
  std::string published_results;  ///< lines {prediction, target, index}
};

/// Reads and encodes the rows. InputError: no row left, a malformed one (file and line).
GenerationTask make_generation_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const GenerationOptions& options);

/// Asks, scores, and writes metrics.json when every row is answered.
GenerationResult run_generation(LanguageModel& model, const Tokenizer& tokenizer, const GenerationTask& task,
                                const EvalRunOptions& options, const EvalCallbacks& callbacks = {});

}  // namespace tenfold
