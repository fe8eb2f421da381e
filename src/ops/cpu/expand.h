#pragma once

#include "core/tensor.h"
#include "device/exec.h"

namespace tenfold::cpu {

/// A matrix (rows, cols) of frozen or packed values as a kernel reads it: a WeightView, or a dense tensor with strided rows.
struct Source {
  WeightLayout layout = WeightLayout::kF32;
  const std::byte* data = nullptr;
  int64_t row_bytes = 0;  ///< from one row to the next; unused for NF4, whose blocks run over the flat array
  int64_t first_row = 0;  ///< row 0 is this row of data
  int64_t rows = 0;
  int64_t cols = 0;
  Nf4Scales nf4;
  float scale = 1.0F;  ///< factor of every value; F32 only
};

Source source_of(const WeightView& weight);
/// f32, f16 or bf16 with a contiguous last dimension.
Source source_of(const TensorView& dense, float scale = 1.0F);

Source slice_rows(const Source& source, int64_t begin, int64_t end);

/// Values [col, col + count) of a row as f32, in the arithmetic of ggml-quants.c or bitsandbytes (no fused multiply-add). `col`
/// is a multiple of 32 and `count` too, except for the dense layouts and NF4.
void decode(const Source& source, int64_t row, int64_t col, int64_t count, float* out);

void expand_rows(Exec& exec, const WeightView& weight, int64_t row, const TensorView& out);

}  // namespace tenfold::cpu
