#pragma once

#include "core/tensor.h"
#include "device/exec.h"

#include <cstdint>

namespace tenfold::ops {

struct AdamWArgs {
  float learning_rate = 0;
  float beta1 = 0.9F;
  float beta2 = 0.999F;
  float eps = 1e-8F;
  float weight_decay = 0;
  int64_t step = 1;          ///< 1-based, for the bias correction
  float gradient_scale = 1;  ///< clipping factor
};

/// One AdamW step as torch.optim.AdamW makes it: p *= 1 - lr wd; m, v; p -= lr m^ / (sqrt(v^) + eps). All f32, same number of
/// elements.
void adamw_step(Exec& exec, const AdamWArgs& args, const TensorView& parameter, const TensorView& gradient, const TensorView& m,
                const TensorView& v);

/// Sum of squares in f64, in an order that does not depend on the number of threads.
double sum_of_squares(Exec& exec, const TensorView& x);

}  // namespace tenfold::ops
