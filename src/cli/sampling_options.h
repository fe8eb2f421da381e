#pragma once

#include "cli/options.h"
#include "cli/verb.h"
#include "infer/session.h"

namespace tenfold::cli {

/// How an answer is drawn.
struct AnswerOptions {
  int64_t max_new_tokens = 256;
  double temperature = 0;
  double top_p = 1;
  int64_t top_k = 0;
};

inline void declare_sampling(OptionTable& table, AnswerOptions& options) {
  table.add("max-new-tokens", options.max_new_tokens, "N", "Most tokens of the answer");
  table.add("temperature", options.temperature, "X", "0: always the likeliest token");
  table.add("top-p", options.top_p, "X", "Draw from the likeliest tokens of this total probability");
  table.add("top-k", options.top_k, "N", "Draw from the N likeliest tokens; 0: all");
}

inline void check_sampling(const AnswerOptions& options, std::vector<std::string>& errors) {
  if (options.max_new_tokens < 1)
    errors.push_back(fmt::format("--max-new-tokens: expected 1 or more, got {}", options.max_new_tokens));
  if (options.temperature < 0) errors.push_back(fmt::format("--temperature: expected 0 or more, got {}", options.temperature));
  if (!(options.top_p > 0 && options.top_p <= 1))
    errors.push_back(fmt::format("--top-p: expected above 0 and at most 1, got {}", options.top_p));
  if (options.top_k < 0) errors.push_back(fmt::format("--top-k: expected 0 or more, got {}", options.top_k));
}

inline SamplingOptions sampling_of(const AnswerOptions& options, const CommonOptions& common) {
  SamplingOptions sampling;
  sampling.temperature = static_cast<float>(options.temperature);
  sampling.top_p = static_cast<float>(options.top_p);
  sampling.top_k = options.top_k;
  sampling.seed = static_cast<uint64_t>(common.seed);
  return sampling;
}

}  // namespace tenfold::cli
