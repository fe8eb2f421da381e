#pragma once

#include "core/tensor.h"
#include "device/exec.h"

namespace tenfold::cuda {

/// Rows from `row` and columns from `col` of a frozen weight, as many as `out` has (f32 or bf16, rows may be strided):
/// expand_rows for other bodies, untimed. `col` is a multiple of 256.
void expand_block(Exec& exec, const WeightView& weight, int64_t row, int64_t col, const TensorView& out);

/// `to` = `from` * scale, rounded once; zeros where `to` has more rows or columns. Each is f32 or bf16 with strided rows.
void copy_padded(Exec& exec, const TensorView& from, float scale, const TensorView& to);

/// One product that adds a bias (N) f32 exactly: kBiasColumns more columns on both sides. Here those of the weight (N,
/// kBiasColumns): in bf16 the bias as the sum of three values, in f32 itself, then zeros ...
inline constexpr int64_t kBiasColumns = 8;
void bias_columns(Exec& exec, const TensorView& bias, const TensorView& to);
/// ... and those of the activations (T, kBiasColumns): ones to meet them.
void one_columns(Exec& exec, const TensorView& to);

}  // namespace tenfold::cuda
