#pragma once

#include "core/tensor.h"
#include "device/exec.h"

namespace tenfold::cpu {

void rms_norm_forward(Exec& exec, const TensorView& x, const TensorView& weight, float eps, const TensorView& y);
void rms_norm_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const TensorView& weight, float eps,
                       const TensorView& d_x, const TensorView& d_weight);

}  // namespace tenfold::cpu
