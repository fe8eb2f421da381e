#pragma once

#include "core/tensor.h"
#include "device/exec.h"

namespace tenfold::cpu {

void swiglu_forward(Exec& exec, const TensorView& gate, const TensorView& up, const TensorView& a);
void swiglu_backward(Exec& exec, const TensorView& d_a, const TensorView& gate, const TensorView& up, const TensorView& d_gate,
                     const TensorView& d_up);

}  // namespace tenfold::cpu
