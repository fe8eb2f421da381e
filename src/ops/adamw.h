#pragma once

#include "core/tensor.h"
#include "device/exec.h"
#include "ops/adamw_coefficients.h"

#include <cmath>
#include <cstdint>
#include <span>

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

/// The step's coefficients, the same for every device.
inline AdamWCoefficients adamw_coefficients(const AdamWArgs& args) {
  const double beta1 = args.beta1;
  const double beta2 = args.beta2;
  const double learning_rate = args.learning_rate;
  const auto step = static_cast<double>(args.step);
  AdamWCoefficients c;
  c.decay = static_cast<float>(1.0 - learning_rate * static_cast<double>(args.weight_decay));
  c.one_minus_beta1 = static_cast<float>(1.0 - beta1);
  c.beta2 = args.beta2;
  c.one_minus_beta2 = static_cast<float>(1.0 - beta2);
  c.correction2 = static_cast<float>(std::sqrt(1.0 - std::pow(beta2, step)));
  c.step_size = static_cast<float>(learning_rate / (1.0 - std::pow(beta1, step)));
  c.eps = args.eps;
  c.gradient_scale = args.gradient_scale;
  return c;
}

/// One AdamW step as torch.optim.AdamW makes it: p *= 1 - lr wd; m, v; p -= lr m^ / (sqrt(v^) + eps). All f32, same number of
/// elements.
void adamw_step(Exec& exec, const AdamWArgs& args, const TensorView& parameter, const TensorView& gradient, const TensorView& m,
                const TensorView& v);

/// The same for rows `rows` (ascending, distinct) of (R, C) arrays alone. It equals adamw_step bit for bit when the rows left out
/// have had no gradient so far and there is no weight decay: their moments are zero, and so is their change.
void adamw_step_rows(Exec& exec, const AdamWArgs& args, std::span<const int32_t> rows, const TensorView& parameter,
                     const TensorView& gradient, const TensorView& m, const TensorView& v);

/// Sum of squares in f64, in an order that does not depend on the number of threads.
double sum_of_squares(Exec& exec, const TensorView& x);

}  // namespace tenfold::ops
