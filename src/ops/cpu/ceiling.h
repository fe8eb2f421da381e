#pragma once

#include "core/dtype.h"

#include <cstdint>

namespace tenfold::ops {

/// The rate of oneDNN's matrix products on this machine now, in GFLOP/s: the best over 512 x {576, 1536} x {576, 1536} (SmolLM2's
/// products) and `repeats` tries each, with packed weights. The ceiling that benches quote their share of. bf16 needs a CPU that
/// has it.
double onednn_ceiling_gflops(DType dtype, int threads, int repeats = 8);

/// The same for one product (M, K) x (K, N).
double onednn_gflops(DType dtype, int threads, int64_t m, int64_t n, int64_t k, int repeats);

}  // namespace tenfold::ops
