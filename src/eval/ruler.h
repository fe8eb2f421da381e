#pragma once

#include "eval/benchmark.h"
#include "eval/ruler_samples.h"
#include "text/chat_template.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tenfold {

/// RULER (Hsieh et al. 2024; evaluations.md 11): samples made for lengths in tokens, the answer's budget included.
struct RulerOptions {
  std::vector<std::string> tasks;  ///< names or groups: default (11 without qa), all (13)
  std::vector<int64_t> lengths = {4096, 8192, 16384, 32768, 65536, 131072};
  int64_t samples = 100;  ///< of each task and length; published: 500
  uint64_t seed = 42;
  std::vector<std::string> haystack;  ///< text files or folders of them
  std::string squad;                  ///< SQuAD 2 dev, for qa_1
  std::string hotpot;                 ///< HotpotQA dev distractor, for qa_2
  RulerWording wording;
  std::vector<int32_t> stop_ids;
  bool clean_up = false;
};

struct RulerTask : AnswerTask {
  std::vector<std::vector<std::string>> outputs;  ///< of each question, what the answer should hold
  std::vector<int64_t> lengths;
};

/// One length: per cent, rounded to 2 digits.
struct RulerLength {
  int64_t length = 0;
  std::map<std::string, double> tasks;
  double average = 0;  ///< over the tasks
};

/// An average at least this good is as good as Llama-2-7B at 4K, the benchmark's measure of a length that works.
inline constexpr double kRulerThreshold = 85.6;

struct RulerResult {
  std::vector<RulerLength> lengths;         ///< rising
  std::optional<int64_t> effective_length;  ///< the longest with an average of kRulerThreshold or more
  std::vector<Answered> answers;
  EvalRun run;
  Json metrics;  ///< what metrics.json holds
};

/// Makes the samples. InputError: unknown tasks, a length too small for a task, a text with too few words, missing documents.
RulerTask make_ruler_task(const Tokenizer& tokenizer, const ChatTemplate& chat, const RulerOptions& options);

/// Asks, scores, and writes metrics.json when every sample is answered.
RulerResult run_ruler(LanguageModel& model, const Tokenizer& tokenizer, const RulerTask& task, const EvalRunOptions& options,
                      const EvalCallbacks& callbacks = {});

}  // namespace tenfold
