#pragma once

namespace tenfold::ops {

/// Coefficients of one AdamW step, folded in f64 and rounded once: the same for every device, so that trajectories can be.
struct AdamWCoefficients {
  float decay = 1;  ///< 1 - lr weight_decay
  float one_minus_beta1 = 0;
  float beta2 = 0;
  float one_minus_beta2 = 0;
  float correction2 = 1;  ///< sqrt(1 - beta2^step)
  float step_size = 0;    ///< lr / (1 - beta1^step)
  float eps = 0;
  float gradient_scale = 1;
};

}  // namespace tenfold::ops
