#pragma once

namespace tenfold::cuda {

/// 1 / (1 + e^-x) to about 2 ulp, and exactly 1 where e^-x vanishes beside 1. The exponent is held below 2^126, where the
/// hardware's reciprocal and the step that refines it stay finite; a NaN is lost here and returns through the factor x.
__device__ inline float sigmoid(float x) {
  const float y = __fadd_rn(1.0F, expf(fminf(-x, 87.0F)));
  float s = 0;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(s) : "f"(y));
  return fmaf(s, fmaf(-y, s, 1.0F), s);
}

}  // namespace tenfold::cuda
