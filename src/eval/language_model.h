#pragma once

#include "infer/session.h"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace tenfold {

/// What follows a prompt, not yet sampled.
struct NextLogits {
  std::vector<float> logits;  ///< (V), after the last token
  int64_t reused_tokens = 0;  ///< of the prompt, found in the cache
  double seconds = 0;
};

/// What an evaluation asks of a model: answers, or the likelihood of a text.
class LanguageModel {
 public:
  LanguageModel() = default;
  LanguageModel(const LanguageModel&) = delete;
  LanguageModel& operator=(const LanguageModel&) = delete;
  virtual ~LanguageModel() = default;

  /// Tokens that a prompt and its answer may take together.
  virtual int64_t capacity() const = 0;
  virtual GenerateResult generate(std::span<const int32_t> prompt, int64_t max_new_tokens, std::span<const int32_t> stop_ids,
                                  const SamplingOptions& sampling) = 0;
  /// How many greedy answers it is worth asking for at once.
  virtual int64_t at_once() const { return 1; }
  /// Greedy answers to at most at_once() prompts; which are asked together changes none of them. `should_stop` (may be empty) is
  /// asked between prompts: the answers are then those of the first, at least one.
  virtual std::vector<GenerateResult> generate_together(std::span<const std::span<const int32_t>> prompts, int64_t max_new_tokens,
                                                        std::span<const int32_t> stop_ids,
                                                        const std::function<bool()>& should_stop) = 0;
  virtual NextLogits next_logits(std::span<const int32_t> prompt) = 0;
  /// Negative log-likelihood (natural log) of ids[t] given ids[0..t); 0 at t = 0.
  virtual std::vector<float> score(std::span<const int32_t> ids) = 0;
};

}  // namespace tenfold
