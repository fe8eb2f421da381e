// What only the GPU's products have: a kernel of their own for NF4, operands laid side by side, blocks of weights and of tokens.
#include "ops/linear.h"

#include "ops/expand.h"
#include "ops/weights.h"

#include <gtest/gtest.h>

namespace tenfold {
namespace {

using test::Guarded;
using test::TestExec;
using test::TestWeight;

constexpr float kScale = 0.75F;
constexpr double kBf16 = 0x1p-8;

double value(float v) { return static_cast<double>(v); }
double value(bf16 v) { return static_cast<double>(static_cast<float>(v)); }
double rounded(double v) { return value(bf16(static_cast<float>(v))); }

/// A product in bf16 of aligned shapes with every term, and what it should be, one element at a time.
struct Problem {
  int64_t t, n, k, r;
  WeightView w;
  Guarded<bf16> x{t, k}, residual{t, n}, y{t, n}, u{t, std::max<int64_t>(r, 1)}, d_y{t, n}, d_x{t, k};
  Guarded<float> d_x32{t, k};
  Guarded<float> a{std::max<int64_t>(r, 1), k}, b{n, std::max<int64_t>(r, 1)}, d_a{a.rows(), k}, d_b{n, b.cols()}, bias{1, n};
  std::vector<float> row;

  Problem(int64_t tokens, const WeightView& weight, int64_t rank)
      : t(tokens), n(weight.rows), k(weight.cols), r(rank), w(weight) {
    x.assign(test::random_values<bf16>(t * k, 1));
    residual.assign(test::random_values<bf16>(t * n, 2));
    d_y.assign(test::random_values<bf16>(t * n, 3));
    a.assign(test::random_values(a.rows() * k, 4, 1.0 / std::sqrt(static_cast<double>(k))));
    b.assign(test::random_values(n * b.cols(), 5, 0.3));
    bias.assign(test::random_values(n, 6));
    d_x32.assign(test::random_values(t * k, 7));
    d_a.assign(std::vector<float>(static_cast<size_t>(a.rows() * k), 0.0F));
    d_b.assign(std::vector<float>(static_cast<size_t>(n * b.cols()), 0.0F));
    row.resize(static_cast<size_t>(k));
  }
  ops::LinearArgs args(bool with_bias) {
    ops::LinearArgs out;
    if (r > 0) out.lora = {a.view("A"), b.view("B"), kScale}, out.lora_u = u.view("u");
    if (with_bias) out.bias = bias.view("bias", {n});
    out.residual = residual.view("residual");
    return out;
  }
  int64_t scratch(DType compute = DType::kBF16) { return ops::linear_scratch_bytes(TestExec(compute, 64).exec, t, n, k, r); }

  /// Rows of y from begin in steps; few tokens may round the weight once more or not at all.
  void check_forward(bool with_bias, int64_t begin = 0, int64_t step = 1) {
    TestExec env(DType::kBF16, scratch());
    ops::linear_forward(env.exec, x.view("x"), w, args(with_bias), y.view("y"));
    const double operand = t <= ops::kGemvRows ? kBf16 : 0.0;
    for (int64_t j = begin; j < n; j += step) {
      ops::expand_row_reference(w, j, row.data());
      for (int64_t i = 0; i < t; ++i) {
        double sum = 0.0, magnitude = 0.0;
        const auto add = [&](double p) { sum += p, magnitude += std::abs(p); };
        for (int64_t c = 0; c < k; ++c) add(value(x.at(i, c)) * rounded(value(row[static_cast<size_t>(c)])));
        for (int64_t c = 0; c < r; ++c) add(value(u.at(i, c)) * rounded(value(b.at(j, c) * kScale)));
        const double extra = operand * magnitude;
        if (with_bias) add(value(bias.at(0, j)));
        add(value(residual.at(i, j)));
        ASSERT_NEAR(value(y.at(i, j)), sum, test::dot_tolerance(4 * (k + r + 2), magnitude, sum, DType::kBF16) + extra)
            << "token " << i << " column " << j << " of T " << t << " N " << n << " K " << k;
      }
    }
    EXPECT_TRUE(y.intact() && u.intact());
  }

  /// The gradients in bf16 (d_x assigned) or f32 (d_x += on what is there), columns of d_x from begin in steps.
  void check_backward(bool f32, int64_t begin = 0, int64_t step = 1) {
    TestExec env(DType::kBF16, scratch());
    u.assign(test::random_values<bf16>(t * u.cols(), 8));
    const auto before = d_x32.values();
    ops::LinearGrads grads;
    grads.d_x = f32 ? d_x32.view("d_x") : d_x.view("d_x");
    grads.accumulate = f32;
    if (r > 0) grads.d_a = d_a.view("d_a"), grads.d_b = d_b.view("d_b");
    ops::linear_backward(env.exec, d_y.view("d_y"), x.view("x"), w, args(false), grads);
    std::vector<double> v(static_cast<size_t>(t * r)), v_error(v.size());
    for (int64_t i = 0; i < t; ++i)
      for (int64_t c = 0; c < r; ++c) {
        double sum = 0.0, magnitude = 0.0;
        for (int64_t j = 0; j < n; ++j) {
          const double p = value(d_y.at(i, j)) * rounded(value(b.at(j, c) * kScale));
          sum += p, magnitude += std::abs(p);
        }
        v[static_cast<size_t>(i * r + c)] = sum;
        v_error[static_cast<size_t>(i * r + c)] = test::dot_tolerance(n, magnitude, sum, DType::kBF16);
      }
    std::vector<double> sums(static_cast<size_t>(t * k)), magnitudes(sums.size());
    for (int64_t j = 0; j < n; ++j) {
      ops::expand_row_reference(w, j, row.data());
      for (int64_t c = begin; c < k; c += step)
        for (int64_t i = 0; i < t; ++i) {
          const double p = value(d_y.at(i, j)) * rounded(value(row[static_cast<size_t>(c)]));
          sums[static_cast<size_t>(i * k + c)] += p, magnitudes[static_cast<size_t>(i * k + c)] += std::abs(p);
        }
    }
    for (int64_t i = 0; i < t; ++i)
      for (int64_t c = begin; c < k; c += step) {
        const auto at = static_cast<size_t>(i * k + c);
        double error = 0.0;
        for (int64_t q = 0; q < r; ++q) {
          const auto from = static_cast<size_t>(i * r + q);
          sums[at] += v[from] * rounded(value(a.at(q, c)));
          magnitudes[at] += (std::abs(v[from]) + v_error[from]) * std::abs(value(a.at(q, c)));
          error += v_error[from] * std::abs(value(a.at(q, c)));
        }
        if (f32) sums[at] += value(before[at]), magnitudes[at] += std::abs(value(before[at]));
        ASSERT_NEAR(
            f32 ? value(d_x32.at(i, c)) : value(d_x.at(i, c)), sums[at],
            test::dot_tolerance(n + r + 2, magnitudes[at], sums[at], f32 ? DType::kF32 : DType::kBF16) + error * (1 + kBf16))
            << "token " << i << " column " << c << " of T " << t << " N " << n << " K " << k << (f32 ? " f32" : " bf16");
      }
    for (int64_t c = 0; c < r; ++c)
      for (int64_t j = begin; j < k; j += step) {
        double sum = 0.0, magnitude = 0.0, error = 0.0;
        for (int64_t i = 0; i < t; ++i) {
          const auto at = static_cast<size_t>(i * r + c);
          sum += v[at] * value(x.at(i, j));
          magnitude += (std::abs(v[at]) + v_error[at]) * std::abs(value(x.at(i, j)));
          error += v_error[at] * std::abs(value(x.at(i, j)));
        }
        ASSERT_NEAR(value(d_a.at(c, j)), sum, test::dot_tolerance(t + 2, magnitude) + error) << "d_a " << c << " " << j;
      }
    EXPECT_TRUE(d_x.intact() && d_x32.intact() && d_a.intact() && d_b.intact());
  }
};

TEST(GpuLinear, Nf4OfFewTokens) {
  // Whole steps of a block's warps, idle warps, rows that end in the middle of 256 columns; whole tiles of 16 rows and not.
  for (const bool double_quant : {true, false})
    for (const int64_t k : {64, 192, 256, 576, 2304, 4096})
      for (const int64_t n : {37, 16})
        for (const int64_t t : {1, 2, 3, 4}) {
          const TestWeight weight(WeightLayout::kNF4, n, k, 7, double_quant);
          Problem(t, weight.view(), t % 2 == 0 ? 0 : 40).check_forward(t == 4);
        }
}

TEST(GpuLinear, Nf4OfManyTiles) {
  // More tiles than rings have places and than blocks run at once; a last step that is not whole; more steps than stages; x that
  // lies beside the table (at most 256 pieces of 64 columns), that does not, and that leaves no room for the rest.
  struct Case {
    int64_t n, k;
    std::vector<int64_t> tokens;
  };
  for (const bool double_quant : {true, false})
    for (const Case& c : {Case{25'013, 256, {1, 4}}, Case{8453, 4096 + 256, {1, 3}}, Case{2117, 14336, {1, 2, 4}}}) {
      const TestWeight weight(WeightLayout::kNF4, c.n, c.k, 7, double_quant);
      for (const int64_t t : c.tokens) Problem(t, weight.view(), t % 2 == 0 ? 0 : 8).check_forward(t == 4, t % 5, 23);
    }
}

TEST(GpuLinear, LongRowsOfFewTokens) {
  for (const WeightLayout layout : test::kAllLayouts)
    for (const int64_t t : {1, 4}) {
      const TestWeight weight(layout, 9, 4096 + 1280, 7);
      Problem(t, weight.view(), 8).check_forward(true);
    }
}

TEST(GpuLinear, AlignedShapes) {
  for (const WeightLayout layout : {WeightLayout::kNF4, WeightLayout::kBF16, WeightLayout::kQ4_K})
    for (const int64_t r : {0, 16}) {
      const TestWeight weight(layout, 136, 256, 9);
      Problem p(257, weight.view(), r);
      p.check_forward(false);
      p.check_forward(true);
      Problem(257, weight.view(), r).check_backward(false);
      Problem(257, weight.view(), r).check_backward(true);
    }
}

TEST(GpuLinear, TokensInChunks) {
  const TestWeight weight(WeightLayout::kNF4, 40, 64, 9);
  Problem p(8192 + 70, weight.view(), 8);
  p.check_forward(false);
  p.check_backward(true);
  Problem(8192 + 70, weight.view(), 8).check_backward(false);
}

TEST(GpuLinear, WeightsInBlocks) {
  // 307 MB expanded: two blocks of rows forward, of columns backward. The values repeat, but not from row to row.
  const int64_t n = 300'000, k = 512;
  const auto pattern = test::random_values<bf16>(1'000'003, 9, 1.0 / std::sqrt(static_cast<double>(k)));
  std::vector<bf16> values(static_cast<size_t>(n * k));
  for (size_t at = 0; at < values.size(); at += pattern.size())
    std::copy_n(pattern.begin(), std::min(pattern.size(), values.size() - at), values.begin() + static_cast<int64_t>(at));
  WeightView weight;
  weight.name = "weight", weight.layout = WeightLayout::kBF16, weight.rows = n, weight.cols = k;
  weight.data = reinterpret_cast<const std::byte*>(values.data());
  Problem p(6, weight, 8);
  EXPECT_LT(p.scratch(), int64_t{290} << 20);
  p.check_forward(false, 3, 997);
  p.check_backward(false, 1, 37);
}

}  // namespace
}  // namespace tenfold
