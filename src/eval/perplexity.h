#pragma once

#include "eval/language_model.h"
#include "eval/metrics/numbers.h"
#include "eval/run.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tenfold {

/// The same target tokens seen with much before them and with little: those at positions `far` of long windows are read again in
/// windows of their own, at positions `near`. As many tokens as `near` has are read again at a time.
struct PairedPositions {
  int64_t far_begin = 0;  ///< positions are tokens of the window, BOS among them
  int64_t far_end = 0;    ///< the long windows' length
  int64_t near_begin = 0;
  int64_t near_end = 0;  ///< the short windows' length

  /// "64K..80K,4K..8K".
  std::string text() const;
  friend bool operator==(const PairedPositions&, const PairedPositions&) = default;
};

struct PerplexityOptions {
  std::vector<std::string> texts;  ///< files or folders of *.txt and *.md (a file is a text), or *.jsonl (a line {text} is one)
  int64_t window = 4096;           ///< tokens that the model reads at once, BOS among them
  int64_t stride = -1;             ///< between the starts of windows; -1: whole windows side by side; 0: the first window alone
  int64_t windows = 0;             ///< at most so many, spread evenly over the texts; 0: all
  int64_t min_length = 0;          ///< texts of fewer tokens are left out
  int64_t max_texts = 0;           ///< 0: all; else the first (strict: the last, as the reference does)
  bool strict_reference = false;
  std::optional<PairedPositions> paired;  ///< `window` is then not used
};

/// Which side of a pair a window is (PairedPositions).
enum class PairSide : uint8_t { kNone, kFar, kNear };

/// One window: tokens [begin, end) of a text, of which those from `first_target` on count. Without BOS the text's very first
/// token has nothing to be predicted from and does not count.
struct TextWindow {
  int64_t text = 0;
  int64_t begin = 0;
  int64_t end = 0;
  int64_t first_target = 0;
  int64_t pair = -1;  ///< number of its long window
  PairSide side = PairSide::kNone;
};

/// The windows of a text of n tokens as the published evaluation lays them (evaluations.md 7): starts 0, stride, 2 stride ...; a
/// window's targets are the tokens after the end of the one before.
std::vector<TextWindow> lay_windows(int64_t text, int64_t n, int64_t length, int64_t stride);
/// At most `limit` of them, evenly spread; shorter ones only where no text fills a window. limit 0: all.
std::vector<TextWindow> spread_windows(const std::vector<TextWindow>& all, int64_t limit);

/// Puts the short windows behind the long one that they share target tokens with; `shift` is 1 where windows begin with BOS.
std::vector<TextWindow> lay_pairs(const std::vector<TextWindow>& far, const PairedPositions& paired, int64_t shift);

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
/// "1K-2K".
std::string bucket_name(const PositionBucket& bucket);

/// What one pair came to: means over the same tokens.
struct PairedLoss {
  int64_t text = 0;
  int64_t begin = 0;  ///< of its long window
  int64_t tokens = 0;
  double far_nll = 0;
  double near_nll = 0;
};
/// The pairs of an evaluation's answers of which both sides are whole, in their order. InputError: malformed lines.
std::vector<PairedLoss> paired_losses(std::span<const Json> answers);

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
  double nll = 0;                           ///< mean over target tokens, or over texts of their means (task.mean_over_texts)
  double perplexity = 0;                    ///< exp(nll)
  int64_t tokens = 0;                       ///< that counted
  std::vector<PositionBucket> by_position;  ///< of the long windows where there are pairs
  std::vector<PairedLoss> pairs;
  MeanInterval more_context;  ///< far - near, over pairs; meaningless without
  EvalRun run;
  Json metrics;
};

/// Reads and encodes the texts and lays the windows. InputError: no text, options out of range, malformed lines (file and line).
PerplexityTask make_perplexity_task(const Tokenizer& tokenizer, const PerplexityOptions& options);

PerplexityResult run_perplexity(LanguageModel& model, const PerplexityTask& task, const EvalRunOptions& options,
                                const EvalCallbacks& callbacks = {});

}  // namespace tenfold
