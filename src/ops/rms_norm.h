#pragma once

#include "core/tensor.h"
#include "device/exec.h"

namespace tenfold::ops {

/// y = x / sqrt(mean(x^2) + eps) * weight over the last dimension; x, y (T, D) f32 or compute dtype, weight (D) f32. f32 inside.
void rms_norm_forward(Exec& exec, const TensorView& x, const TensorView& weight, float eps, const TensorView& y);

/// d_x (T, D) f32 +=, d_weight (D) f32 += (may be empty: not wanted). d_y (T, D) f32 or compute dtype; x as in the forward (the
/// inverse root is recomputed from it). The sum over tokens in d_weight is in a fixed order.
void rms_norm_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const TensorView& weight, float eps,
                       const TensorView& d_x, const TensorView& d_weight);

}  // namespace tenfold::ops
