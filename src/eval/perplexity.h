#pragma once

#include "eval/language_model.h"
#include "eval/run.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tenfold {

struct PerplexityOptions {
  std::vector<std::string> texts;  ///< files or folders of *.txt and *.md (a file is a text), or *.jsonl (a line {text} is one)
  int64_t window = 4096;           ///< tokens that the model reads at once, BOS among them
  int64_t stride = -1;             ///< between the starts of windows; -1: whole windows side by side; 0: the first window alone
  int64_t windows = 0;             ///< at most so many, spread evenly over the texts; 0: all
  int64_t min_length = 0;          ///< texts of fewer tokens are left out
  int64_t max_texts = 0;           ///< 0: all; else the first (strict: the last, as the reference does)
  bool strict_reference = false;
};

/// One window: tokens [begin, end) of a text, of which those from `first_target` on count. Without BOS the text's very first
/// token has nothing to be predicted from and does not count.
struct TextWindow {
  int64_t text = 0;
  int64_t begin = 0;
  int64_t end = 0;
  int64_t first_target = 0;
};

/// The windows of a text of n tokens as the published evaluation lays them (evaluations.md 7): starts 0, stride, 2 stride ...; a
/// window's targets are the tokens after the end of the one before.
std::vector<TextWindow> lay_windows(int64_t text, int64_t n, int64_t length, int64_t stride);
/// At most `limit` of them, evenly spread; shorter ones only where no text fills a window. limit 0: all.
std::vector<TextWindow> spread_windows(const std::vector<TextWindow>& all, int64_t limit);

/// Sums of the loss at positions [begin, end) of the windows.
struct PositionBucket {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t tokens = 0;
  double nll_sum = 0;

  double nll() const { return tokens > 0 ? nll_sum / static_cast<double>(tokens) : 0.0; }
};
/// 0-1K, 1K-2K, 2K-4K, ... until they hold `window` positions.
std::vector<PositionBucket> position_buckets(int64_t window);

struct PerplexityTask {
  PerplexityOptions options;
  Json config;
  Json notes = Json::object();
  bool has_bos = false;
  bool mean_over_texts = false;  ///< JSON lines: the published mean; else over tokens
  std::vector<std::string> names;
  std::vector<TextWindow> windows;
  std::vector<EvalQuestion> questions;

  int64_t tokens_needed() const;
};

struct PerplexityResult {
  double nll = 0;         ///< mean over target tokens, or over texts of their means (task.mean_over_texts)
  double perplexity = 0;  ///< exp(nll)
  int64_t tokens = 0;     ///< that counted
  std::vector<PositionBucket> by_position;
  EvalRun run;
  Json metrics;
};

/// Reads and encodes the texts and lays the windows. InputError: no text, options out of range, malformed lines (file and line).
PerplexityTask make_perplexity_task(const Tokenizer& tokenizer, const PerplexityOptions& options);

PerplexityResult run_perplexity(LanguageModel& model, const PerplexityTask& task, const EvalRunOptions& options,
                                const EvalCallbacks& callbacks = {});

}  // namespace tenfold
