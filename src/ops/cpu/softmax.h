#pragma once

#include <cstdint>

namespace tenfold::cpu {

/// Passes over a run of logits, in one order for a given n.
struct SoftmaxKernels {
  float (*maximum)(const float* x, int64_t n);
  /// out[i] = exp(x[i] - max), f32 or rounded to bf16 (out may be null); returns the sum of the unrounded values. -infinity gives
  /// 0.
  float (*exponentials)(const float* x, int64_t n, float max, void* out, bool out_bf16);
};

/// The fastest kernels of this CPU.
const SoftmaxKernels& softmax_kernels();
const SoftmaxKernels& generic_softmax_kernels();

}  // namespace tenfold::cpu
