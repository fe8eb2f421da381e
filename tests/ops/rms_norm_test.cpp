#include "ops/rms_norm.h"

#include "ops/support.h"

#include <gtest/gtest.h>

namespace tenfold {
namespace {

using test::Guarded;
using test::TestExec;
using Values = std::vector<double>;

constexpr float kEps = 1e-5F;

struct Naive {
  Values y, d_x, d_weight;
};

Naive naive(const Values& x, const Values& weight, const Values& d_y, int64_t tokens, int64_t d) {
  Naive r{Values(x.size()), Values(x.size()), Values(weight.size())};
  for (int64_t t = 0; t < tokens; ++t) {
    const auto row = static_cast<size_t>(t * d);
    const auto n = static_cast<size_t>(d);
    double squares = 0, dot = 0;
    for (size_t i = 0; i < n; ++i) squares += x[row + i] * x[row + i];
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(d) + static_cast<double>(kEps));
    for (size_t i = 0; i < n; ++i) dot += d_y[row + i] * weight[i] * x[row + i];
    for (size_t i = 0; i < n; ++i) {
      r.y[row + i] = x[row + i] * inverse * weight[i];
      r.d_x[row + i] = inverse * (d_y[row + i] * weight[i] - x[row + i] * inverse * inverse * dot / static_cast<double>(d));
      r.d_weight[i] += d_y[row + i] * x[row + i] * inverse;
    }
  }
  return r;
}

template <typename X, typename Y>
void expect_near_definition(int64_t tokens, int64_t d) {
  const auto x = test::random_values<X>(tokens * d, 1, 2.0);
  const auto weight = test::random_values(d, 2, 0.3, 1.0);
  const auto d_y = test::random_values<Y>(tokens * d, 3);
  const auto before = test::random_values(tokens * d, 4);
  const auto weight_before = test::random_values(d, 5);
  Guarded<X> in(tokens, d, d + 5);
  in.assign(x);
  Guarded<Y> out(tokens, d, d + 3);
  Guarded<Y> grad(tokens, d, d + 1);
  grad.assign(d_y);
  Guarded<float> d_x(tokens, d, d + 7);
  d_x.assign(before);
  Guarded<float> d_weight(1, d);
  d_weight.assign(weight_before);
  TestExec test(DType::kBF16);
  const TensorView w("weight", DType::kF32, {d}, const_cast<float*>(weight.data()));
  ops::rms_norm_forward(test.exec, in.view("x"), w, kEps, out.view("y"));
  ops::rms_norm_backward(test.exec, grad.view("d_y"), in.view("x"), w, kEps, d_x.view("d_x"), d_weight.view("d_weight", {d}));

  const Naive expected = naive(test::to_double(x), test::to_double(weight), test::to_double(d_y), tokens, d);
  Values y_bound(expected.y.size()), x_bound(expected.y.size()), d_x_expected(expected.y.size()),
      w_bound(expected.d_weight.size()), w_expected(expected.d_weight.size());
  // The root comes from a sum of D squares; d_x has one more such sum, whose terms average below 3 here (|d_y|, |weight|, |x| /
  // rms).
  const double sum_error = (static_cast<double>(d) + 8) * 0x1p-24;
  for (size_t i = 0; i < y_bound.size(); ++i) {
    y_bound[i] = std::abs(expected.y[i]) * (sum_error + test::unit_roundoff(DTypeOf<Y>::value));
    d_x_expected[i] = expected.d_x[i] + static_cast<double>(before[i]);
    x_bound[i] = 4 * sum_error * (std::abs(expected.d_x[i]) + 5) + 0x1p-24 * std::abs(d_x_expected[i]);
  }
  for (size_t i = 0; i < w_bound.size(); ++i) {
    double magnitude = 0;
    for (int64_t t = 0; t < tokens; ++t)
      magnitude += std::abs(static_cast<double>(static_cast<float>(d_y[static_cast<size_t>(t * d) + i]))) * 4;
    w_expected[i] = expected.d_weight[i] + static_cast<double>(weight_before[i]);
    w_bound[i] = magnitude * (sum_error + static_cast<double>(tokens) * 0x1p-24) + 0x1p-23;
  }
  EXPECT_TRUE(test::near(out.values(), expected.y, y_bound)) << tokens << " x " << d;
  EXPECT_TRUE(test::near(d_x.values(), d_x_expected, x_bound)) << tokens << " x " << d;
  EXPECT_TRUE(test::near(d_weight.values(), w_expected, w_bound)) << tokens << " x " << d;
  EXPECT_TRUE(out.intact() && d_x.intact() && d_weight.intact());
}

TEST(RmsNorm, IsNearTheDefinition) {
  for (const int64_t tokens : {1, 2, 33, 300})
    for (const int64_t d : {1, 15, 64, 576}) {
      expect_near_definition<float, float>(tokens, d);
      expect_near_definition<float, bf16>(tokens, d);
      expect_near_definition<bf16, bf16>(tokens, d);
      expect_near_definition<bf16, float>(tokens, d);
    }
}

TEST(RmsNorm, GradientsAgreeWithFiniteDifferences) {
  const int64_t tokens = 2, d = 7;
  const auto x = test::random_values(tokens * d, 1);
  auto weight = test::random_values(d, 2);
  const auto d_y = test::random_values(tokens * d, 3);
  std::vector<float> d_x(x.size(), 0.0F), d_weight(weight.size(), 0.0F);
  TestExec test;
  const TensorView x_view("x", DType::kF32, {tokens, d}, const_cast<float*>(x.data()));
  const TensorView g_view("d_y", DType::kF32, {tokens, d}, const_cast<float*>(d_y.data()));
  ops::rms_norm_backward(test.exec, g_view, x_view, TensorView("weight", DType::kF32, {d}, weight.data()), kEps,
                         TensorView("d_x", DType::kF32, {tokens, d}, d_x.data()),
                         TensorView("d_weight", DType::kF32, {d}, d_weight.data()));
  Values at = test::to_double(x), w = test::to_double(weight);
  const Values g = test::to_double(d_y);
  const auto loss = [&] {
    const Naive n = naive(at, w, g, tokens, d);
    double sum = 0;
    for (size_t i = 0; i < g.size(); ++i) sum += n.y[i] * g[i];
    return sum;
  };
  const auto differences = [&](Values& v) {
    Values out(v.size());
    for (size_t i = 0; i < v.size(); ++i) {
      const double kept = v[i], h = 1e-5;
      v[i] = kept + h;
      const double up = loss();
      v[i] = kept - h;
      out[i] = (up - loss()) / (2 * h);
      v[i] = kept;
    }
    return out;
  };
  // f32 sums of 7 terms of order one; the differences err by 1e-9.
  EXPECT_TRUE(test::near(d_x, differences(at), 1e-5));
  EXPECT_TRUE(test::near(d_weight, differences(w), 1e-5));
}

TEST(RmsNorm, DoesNotDependOnThreads) {
  const int64_t tokens = 700, d = 576;
  const auto x = test::random_values(tokens * d, 1);
  auto weight = test::random_values(d, 2);
  std::vector<std::vector<float>> seen;
  for (const int threads : {1, 2, 5}) {
    TestExec test(DType::kF32, 64, threads);
    std::vector<float> d_x(x.size(), 0.0F), d_weight(weight.size(), 0.0F);
    const TensorView x_view("x", DType::kF32, {tokens, d}, const_cast<float*>(x.data()));
    ops::rms_norm_backward(test.exec, x_view, x_view, TensorView("weight", DType::kF32, {d}, weight.data()), kEps,
                           TensorView("d_x", DType::kF32, {tokens, d}, d_x.data()),
                           TensorView("d_weight", DType::kF32, {d}, d_weight.data()));
    seen.push_back(d_weight);
    seen.push_back(d_x);
  }
  for (size_t i = 2; i < seen.size(); ++i) EXPECT_TRUE(test::bits_equal(seen[i], seen[i % 2]));
}

TEST(RmsNorm, NanSpreadsOverItsTokenOnly) {
  std::vector<float> x(3 * 8, 1.0F), weight(8, 1.0F);
  x[8 + 2] = NAN;
  Guarded<float> y(3, 8);
  TestExec test;
  ops::rms_norm_forward(test.exec, TensorView("x", DType::kF32, {3, 8}, x.data()),
                        TensorView("w", DType::kF32, {8}, weight.data()), kEps, y.view("y"));
  EXPECT_TRUE(std::isnan(y.at(1, 7)));
  EXPECT_FALSE(std::isnan(y.at(0, 2)) || std::isnan(y.at(2, 2)));
}

}  // namespace
}  // namespace tenfold
