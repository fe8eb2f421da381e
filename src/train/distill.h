#pragma once

#include "model/config.h"

#include <cstdint>
#include <span>
#include <vector>

namespace tenfold {

/// Self-distillation against forgetting: each step reads one window of ordinary text, too, and KL(base || tuned) of its
/// next-token distributions is held down. The base reads at its own RoPE.
struct DistillOptions {
  double weight = 0;                                       ///< of the mean KL in the loss; 0: off
  std::vector<int32_t> text;                               ///< tokens that windows are cut from
  std::vector<int64_t> lengths = {512, 1024, 2048, 4096};  ///< of a window, drawn a step; the text must be longer
  int64_t tokens = 1024;                                   ///< positions sampled a window; 0: all, as far as the head takes
  RopeConfig base_rope;
};

/// A piece of the text and the positions whose predictions are compared, ascending.
struct DistillWindow {
  std::span<const int32_t> ids;
  std::vector<int64_t> rows;
};
/// A function of (seed, step).
DistillWindow distill_window(const DistillOptions& options, uint64_t seed, int64_t step);
/// Most positions and most tokens of any window; 0 when it is off.
int64_t distill_rows(const DistillOptions& options);
int64_t distill_length(const DistillOptions& options);

}  // namespace tenfold
