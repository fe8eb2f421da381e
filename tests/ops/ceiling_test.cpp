#include "ops/cpu/ceiling.h"

#include "ops/cpu_features.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tenfold::ops {
namespace {

TEST(Ceiling, IsARate) {
  const double f32 = onednn_ceiling_gflops(DType::kF32, 1, 1);
  EXPECT_TRUE(std::isfinite(f32) && f32 > 0) << f32;
  if (default_compute_dtype() != DType::kBF16) GTEST_SKIP() << "this CPU has no bf16 products";
  const double bf16_rate = onednn_ceiling_gflops(DType::kBF16, 1, 1);
  EXPECT_TRUE(std::isfinite(bf16_rate) && bf16_rate > 0) << bf16_rate;
}

}  // namespace
}  // namespace tenfold::ops
