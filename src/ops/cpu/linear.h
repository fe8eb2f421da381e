#pragma once

#include "ops/linear.h"

namespace tenfold::cpu {

void linear_forward(Exec& exec, const TensorView& x, const WeightView& w, const ops::LinearArgs& args, const TensorView& y);
void linear_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const WeightView& w, const ops::LinearArgs& args,
                     const ops::LinearGrads& grads);
int64_t linear_scratch_bytes(const Exec& exec, int64_t tokens, int64_t out_features, int64_t in_features, int64_t rank);

}  // namespace tenfold::cpu
