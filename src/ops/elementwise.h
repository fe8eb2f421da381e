#pragma once

#include "core/tensor.h"
#include "device/exec.h"

#include <cstdint>
#include <span>

namespace tenfold::ops {

/// y = x between f32 and bf16 (or a copy), same shape; rows may be strided.
void cast(Exec& exec, const TensorView& x, const TensorView& y);
/// y += x; y f32, x f32 or bf16.
void add(Exec& exec, const TensorView& x, const TensorView& y);
/// y[i] = x[rows[i]]; same dtype, (N, D) from (T, D).
void gather_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y);
/// y[rows[i]] = x[i], and the other rows of y stay as they are; same dtype, (T, D) from (N, D). Rows that are the same get the
/// same values.
void scatter_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y);

/// LoRA dropout: y = x * mask / (1 - p), where the mask of element (t, d) is a function of (seed, stream, token_index[t], d)
/// alone. x, y (T, D), same dtype or y f32; x may be y. Applying it to a gradient is its own backward.
void dropout(Exec& exec, const TensorView& x, std::span<const int64_t> token_index, float p, uint64_t seed, uint64_t stream,
             const TensorView& y);

/// argmax over the last dimension of x (T, V) f32; the lowest index wins a tie.
void argmax(Exec& exec, const TensorView& x, std::span<int32_t> out);

}  // namespace tenfold::ops
