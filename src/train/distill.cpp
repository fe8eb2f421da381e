#include "train/distill.h"

#include "core/error.h"
#include "core/rng.h"
#include "train/plan.h"

#include <algorithm>
#include <numeric>

namespace tenfold {
namespace {

constexpr uint64_t kWindowStream = 0x77696e64;  // "wind"

int64_t rows_of(const DistillOptions& options, int64_t length) {
  const int64_t most = std::min(length - 1, kHeadRows);
  return options.tokens > 0 ? std::min(options.tokens, most) : most;
}

}  // namespace

DistillWindow distill_window(const DistillOptions& options, uint64_t seed, int64_t step) {
  Rng rng(seed, mix64(kWindowStream, static_cast<uint64_t>(step)));
  const int64_t length = options.lengths[rng.below(options.lengths.size())];
  const auto text = static_cast<int64_t>(options.text.size());
  TENFOLD_CHECK(length > 1 && length <= text, "a window of {} tokens from {}", length, text);
  const auto from = static_cast<int64_t>(rng.below(static_cast<uint64_t>(text - length + 1)));
  DistillWindow window;
  window.ids = std::span(options.text).subspan(static_cast<size_t>(from), static_cast<size_t>(length));
  // A partial Fisher-Yates: the first places of a random permutation.
  window.rows.resize(static_cast<size_t>(length - 1));
  std::iota(window.rows.begin(), window.rows.end(), int64_t{0});
  const auto wanted = static_cast<size_t>(rows_of(options, length));
  for (size_t i = 0; i < wanted; ++i) std::swap(window.rows[i], window.rows[i + rng.below(window.rows.size() - i)]);
  window.rows.resize(wanted);
  std::sort(window.rows.begin(), window.rows.end());
  return window;
}

int64_t distill_length(const DistillOptions& options) {
  return options.weight > 0 ? *std::max_element(options.lengths.begin(), options.lengths.end()) : 0;
}

int64_t distill_rows(const DistillOptions& options) { return options.weight > 0 ? rows_of(options, distill_length(options)) : 0; }

}  // namespace tenfold
