#pragma once

#include "core/tensor.h"
#include "device/exec.h"

#include <cstdint>
#include <span>

namespace tenfold::ops {

/// cos and sin (T, E/2) f32 of position * inv_freq, computed in f64 and times `attention_factor` (yarn; 1 otherwise). inv_freq
/// (E/2) is already rounded to f32, as in HF transformers (modeling_rope_utils.py).
void rope_table(Exec& exec, std::span<const float> inv_freq, std::span<const int64_t> positions, float attention_factor,
                const TensorView& cos, const TensorView& sin);

/// Rotates x (T, heads, E) in place, HF's half layout: (a, b) = (x[i], x[i + E/2]) -> (a cos - b sin, b cos + a sin). f32 or
/// compute dtype, rows may be strided. `inverse` rotates back: the gradient.
void rope_apply(Exec& exec, const TensorView& x, const TensorView& cos, const TensorView& sin, bool inverse);

}  // namespace tenfold::ops
