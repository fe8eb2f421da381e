#pragma once

#include "ops/cpu/expand.h"
#include "ops/linear.h"

namespace tenfold::cpu {

/// Dot products of a few rows of x with rows [row_begin, row_end) of a weight as it lies, in f32.
struct GemvTask {
  const Source& weight;
  const float* x = nullptr;  ///< (tokens, cols), rows x_stride apart
  int64_t x_stride = 0;
  const float* x_sums = nullptr;      ///< (tokens, cols / 32): the sum of each run of 32 x; null when cols is no multiple of 32
  const std::byte* digits = nullptr;  ///< x in integers (isa/gemv_kernels.h), rows digits_stride bytes apart; null: not wanted
  int64_t digits_stride = 0;
  int tokens = 0;  ///< at most ops::kGemvRows
  int64_t row_begin = 0;
  int64_t row_end = 0;
  float* out = nullptr;  ///< out[token * out_stride + row - row_begin]
  int64_t out_stride = 0;
};

/// Bytes that hold the digits of a row of x, in the order of any layout: 640 for 128 values.
constexpr int64_t digits_bytes(int64_t cols) { return (cols + 127) / 128 * 640; }

using GemvKernel = void (*)(const GemvTask&);

/// The fastest kernel of this CPU.
GemvKernel gemv_kernel();
void gemv_generic(const GemvTask& task);

/// linear_forward for at most ops::kGemvRows rows.
void gemv_forward(Exec& exec, const TensorView& x, const WeightView& w, const ops::LinearArgs& args, const TensorView& y);

}  // namespace tenfold::cpu
