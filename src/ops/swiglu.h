#pragma once

#include "core/tensor.h"
#include "device/exec.h"

namespace tenfold::ops {

/// a = silu(gate) * up, all (T, F) in the compute dtype; f32 inside. `a` may be `gate` itself.
void swiglu_forward(Exec& exec, const TensorView& gate, const TensorView& up, const TensorView& a);

/// d_gate, d_up (T, F) compute dtype, = ; d_a (T, F) f32 or compute dtype. They may overwrite gate and up.
void swiglu_backward(Exec& exec, const TensorView& d_a, const TensorView& gate, const TensorView& up, const TensorView& d_gate,
                     const TensorView& d_up);

}  // namespace tenfold::ops
