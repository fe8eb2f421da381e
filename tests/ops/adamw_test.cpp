#include "ops/adamw.h"
#include "ops/adamw_coefficients.h"

#include "ops/support.h"

#include <gtest/gtest.h>

namespace tenfold {
namespace {

using test::TestExec;

struct State {
  std::vector<float> p, m, v;
};

TensorView flat(const char* name, std::vector<float>& x) {
  return TensorView(name, DType::kF32, {static_cast<int64_t>(x.size())}, x.data());
}

TEST(AdamW, FollowsTheDefinitionInDoubleForManySteps) {
  const int64_t n = 1003;
  State s{test::random_values(n, 1), std::vector<float>(static_cast<size_t>(n)), std::vector<float>(static_cast<size_t>(n))};
  std::vector<double> p = test::to_double(s.p), m(s.p.size()), v(s.p.size());
  ops::AdamWArgs args;
  args.learning_rate = 1e-3F;
  args.weight_decay = 0.1F;
  args.gradient_scale = 0.5F;
  TestExec test;
  for (int64_t step = 1; step <= 20; ++step) {
    auto g = test::random_values(n, 100 + static_cast<uint64_t>(step));
    args.step = step;
    ops::adamw_step(test.exec, args, flat("p", s.p), flat("g", g), flat("m", s.m), flat("v", s.v));
    const double b1 = static_cast<double>(args.beta1), b2 = static_cast<double>(args.beta2),
                 lr = static_cast<double>(args.learning_rate);
    for (size_t i = 0; i < p.size(); ++i) {
      const double gi = static_cast<double>(g[i]) * 0.5;
      p[i] *= 1 - lr * static_cast<double>(args.weight_decay);
      m[i] = b1 * m[i] + (1 - b1) * gi;
      v[i] = b2 * v[i] + (1 - b2) * gi * gi;
      const double m_hat = m[i] / (1 - std::pow(b1, static_cast<double>(step))),
                   v_hat = v[i] / (1 - std::pow(b2, static_cast<double>(step)));
      p[i] -= lr * m_hat / (std::sqrt(v_hat) + static_cast<double>(args.eps));
    }
  }
  // Each step rounds p twice (half an ulp of at most 4) and errs in its update of at most lr / (1 - beta1) by a few roundings.
  EXPECT_TRUE(test::near(s.p, p, 20 * (2 * 4 * 0x1p-24 + 10 * 0x1p-24 * 1e-2)));
  EXPECT_TRUE(test::near(s.m, m, 20 * 8 * 0x1p-24));
  EXPECT_TRUE(test::near(s.v, v, 20 * 16 * 0x1p-24));
}

TEST(AdamW, OfTheRowsThatHadGradientsEqualsAllRows) {
  // Rows come and go; those never met have no moments, and the dense step leaves them as they are.
  for (const int64_t cols : {64, 37}) {
    constexpr int64_t kRows = 50;
    const int64_t n = kRows * cols;
    const auto fresh = [&] {
      return State{test::random_values(n, 1), std::vector<float>(static_cast<size_t>(n)),
                   std::vector<float>(static_cast<size_t>(n))};
    };
    State all = fresh();
    State some = fresh();
    const auto table = [&](std::vector<float>& x) { return TensorView("table", DType::kF32, {kRows, cols}, x.data()); };
    std::vector<int32_t> met;
    TestExec test;
    for (int32_t step = 1; step <= 6; ++step) {
      std::vector<float> g(static_cast<size_t>(n));
      const auto row = static_cast<size_t>(step * 7);
      const auto values = test::random_values(cols, static_cast<uint64_t>(step));
      std::copy(values.begin(), values.end(), g.begin() + static_cast<std::ptrdiff_t>(row * static_cast<size_t>(cols)));
      met.push_back(static_cast<int32_t>(row));
      ops::AdamWArgs args;
      args.learning_rate = 1e-2F;
      args.step = step;
      ops::adamw_step(test.exec, args, table(all.p), table(g), table(all.m), table(all.v));
      ops::adamw_step_rows(test.exec, args, met, table(some.p), table(g), table(some.m), table(some.v));
      test.device.synchronize();
    }
    EXPECT_TRUE(test::bits_equal(some.p, all.p));
    EXPECT_TRUE(test::bits_equal(some.m, all.m));
    EXPECT_TRUE(test::bits_equal(some.v, all.v));
    EXPECT_FALSE(test::bits_equal(some.p, test::random_values(n, 1)));
  }
}

TEST(AdamW, GoldenFromTorch) {
  // torch 2.15.0+cu132 CPU, float32: AdamW([p], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01), gradients g1 then g2.
  State s{{1.0F, -2.0F, 0.5F, 3.0F}, std::vector<float>(4), std::vector<float>(4)};
  std::vector<float> g1 = {0.1F, -0.2F, 0.0F, 1e-6F}, g2 = {-0.3F, 0.4F, 5.0F, 2e-6F};
  ops::AdamWArgs args;
  args.learning_rate = 1e-2F;
  args.weight_decay = 0.01F;
  TestExec test;
  ops::adamw_step(test.exec, args, flat("p", s.p), flat("g", g1), flat("m", s.m), flat("v", s.v));
  args.step = 2;
  ops::adamw_step(test.exec, args, flat("p", s.p), flat("g", g2), flat("m", s.m), flat("v", s.v));
  const std::vector<double> expected = {0.9947428703308105, -1.9932620525360107, 0.49245861172676086, 2.9799089431762695};
  EXPECT_TRUE(test::near(s.p, expected, 4 * 0x1p-24));  // an ulp or two of 3: our betas are f32, torch's f64
}

TEST(AdamW, NanGradientShows) {
  State s{{1.0F}, {0.0F}, {0.0F}};
  std::vector<float> g = {NAN};
  TestExec test;
  ops::adamw_step(test.exec, {}, flat("p", s.p), flat("g", g), flat("m", s.m), flat("v", s.v));
  EXPECT_TRUE(std::isnan(s.p[0]) && std::isnan(s.m[0]) && std::isnan(s.v[0]));
}

TEST(SumOfSquares, IsExactAndIndependentOfThreads) {
  for (const int64_t n : {1, 4095, 4096, 70001, 3000000}) {
    const auto x = test::random_values(n, 1);
    double expected = 0;
    for (const float f : x) expected += static_cast<double>(f) * static_cast<double>(f);
    std::vector<double> seen;
    for (const int threads : {1, 2, 7}) {
      TestExec test(DType::kF32, 64, threads);
      seen.push_back(ops::sum_of_squares(test.exec, TensorView("x", DType::kF32, {n}, const_cast<float*>(x.data()))));
    }
    EXPECT_NEAR(seen[0], expected, static_cast<double>(n) * 0x1p-53 * expected);
    EXPECT_EQ(seen[0], seen[1]);
    EXPECT_EQ(seen[0], seen[2]);
  }
}

TEST(AdamW, CoefficientsAreFoldedInDoubleAndRoundedOnce) {
  ops::AdamWArgs args;
  args.learning_rate = 1e-3F;
  args.weight_decay = 0.1F;
  args.step = 7;
  const ops::AdamWCoefficients c = ops::adamw_coefficients(args);
  const double beta1 = args.beta1, beta2 = args.beta2, rate = args.learning_rate;
  EXPECT_EQ(c.decay, static_cast<float>(1 - rate * static_cast<double>(args.weight_decay)));
  EXPECT_EQ(c.one_minus_beta1, static_cast<float>(1 - beta1));
  EXPECT_EQ(c.correction2, static_cast<float>(std::sqrt(1 - std::pow(beta2, 7))));
  EXPECT_EQ(c.step_size, static_cast<float>(rate / (1 - std::pow(beta1, 7))));
}

}  // namespace
}  // namespace tenfold
