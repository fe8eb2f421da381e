#pragma once

#include "core/tensor.h"
#include "device/exec.h"

#include <cstdint>
#include <span>

namespace tenfold::ops {

/// y[t] = table[ids[t]], y (T, D) compute dtype or f32. Every id must be inside the table (checked).
void embedding_forward(Exec& exec, std::span<const int32_t> ids, const WeightView& table, const TensorView& y);

/// d_table[ids[t]] += d_y[t] in the order of t; d_y (T, D) f32, d_table (V, D) f32.
void embedding_backward(Exec& exec, std::span<const int32_t> ids, const TensorView& d_y, const TensorView& d_table);

}  // namespace tenfold::ops
