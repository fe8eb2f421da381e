#include "ops/linear.h"

#include "ops/cpu_features.h"
#include "ops/expand.h"
#include "ops/weights.h"

#include <fmt/format.h>

#include <optional>

namespace tenfold {
namespace {

using test::bits_equal;
using test::dot_tolerance;
using test::Guarded;
using test::kAllLayouts;
using test::near;
using test::TestExec;
using test::TestWeight;

using Matrix = std::vector<double>;  ///< row-major

struct Case {
  WeightLayout layout = WeightLayout::kF32;
  int64_t t = 1, n = 1, k = 1, r = 0;
  bool bias = false;
  bool residual = false;
  bool alias = false;    ///< the residual is y itself
  bool dropout = false;  ///< lora_in apart from x
  bool f32_out = false;  ///< y, d_x in f32 though the compute dtype is bf16
  bool accumulate = false;

  std::string text() const {
    return fmt::format("{} T {} N {} K {} R {}{}{}{}{}{}", name_of(layout), t, n, k, r, bias ? " bias" : "",
                       residual ? " residual" : "", alias ? " alias" : "", dropout ? " dropout" : "", f32_out ? " f32 out" : "");
  }
};

double unit(DType dtype) { return test::unit_roundoff(dtype); }

template <typename T>
double rounded(double v) {
  return static_cast<double>(static_cast<float>(T(static_cast<float>(v))));
}

/// All tensors of one case, with values in the compute dtype T, rows strided and guarded.
template <typename T>
struct Tensors {
  static constexpr DType kCompute = DTypeOf<T>::value;
  Case c;
  TestWeight weight;
  Guarded<T> x, lora_in, u, y, dx;
  Guarded<float> y32, residual32, dx32, a, b, d_a, d_b, d_lora_in, dy, bias;
  Guarded<T> residual;
  Matrix w;  ///< (N, K) as the product sees it

  explicit Tensors(const Case& options)
      : c(options),
        weight(c.layout, c.n, c.k, 100),
        x(c.t, c.k, c.k + 5),
        lora_in(c.t, c.k, c.k + 1),
        u(c.t, std::max<int64_t>(c.r, 1)),
        y(c.t, c.n, c.n + 3),
        dx(c.t, c.k, c.k + 2),
        y32(c.t, c.n, c.n + 3),
        residual32(c.t, c.n, c.n + 7),
        dx32(c.t, c.k, c.k + 2),
        a(std::max<int64_t>(c.r, 1), c.k),
        b(c.n, std::max<int64_t>(c.r, 1)),
        d_a(std::max<int64_t>(c.r, 1), c.k),
        d_b(c.n, std::max<int64_t>(c.r, 1)),
        d_lora_in(c.t, c.k, c.k + 4),
        dy(c.t, c.n, c.n + 2),
        bias(1, c.n),
        residual(c.t, c.n, c.n + 7) {
    x.assign(test::random_values<T>(c.t * c.k, 1));
    lora_in.assign(test::random_values<T>(c.t * c.k, 2));
    residual.assign(test::random_values<T>(c.t * c.n, 3));
    residual32.assign(test::random_values(c.t * c.n, 3));
    a.assign(test::random_values(a.rows() * c.k, 4, 1.0 / std::sqrt(static_cast<double>(c.k))));
    b.assign(test::random_values(c.n * b.cols(), 5, 0.3));
    dy.assign(test::random_values(c.t * c.n, 6));
    bias.assign(test::random_values(c.n, 7));
    d_a.assign(test::random_values(d_a.rows() * c.k, 8));
    d_b.assign(test::random_values(c.n * d_b.cols(), 9));
    if (c.alias) y.assign(residual.values());
    if (c.alias) y32.assign(residual32.values());
    if (c.accumulate) dx32.assign(test::random_values(c.t * c.k, 10));
    w.resize(static_cast<size_t>(c.n * c.k));
    std::vector<float> row(static_cast<size_t>(c.k));
    for (int64_t i = 0; i < c.n; ++i) {
      ops::expand_row_reference(weight.view(), i, row.data());
      for (int64_t j = 0; j < c.k; ++j) w[static_cast<size_t>(i * c.k + j)] = static_cast<double>(row[static_cast<size_t>(j)]);
    }
  }

  TensorView y_view() { return c.f32_out ? y32.view("y") : y.view("y"); }
  TensorView dx_view() { return c.f32_out || c.accumulate ? dx32.view("d_x") : dx.view("d_x"); }
  ops::LinearArgs args() {
    ops::LinearArgs out;
    if (c.r > 0) {
      out.lora = {a.view("A"), b.view("B"), kScale};
      out.lora_u = u.view("u");
      if (c.dropout) out.lora_in = lora_in.view("lora_in");
    }
    if (c.bias) out.bias = bias.view("bias", {c.n});
    if (c.residual) out.residual = c.alias ? y_view() : c.f32_out ? residual32.view("residual") : residual.view("residual");
    return out;
  }
  double w_at(int64_t i, int64_t j) const { return rounded<T>(w[static_cast<size_t>(i * c.k + j)]); }
  double b_at(int64_t i, int64_t j) { return rounded<T>(static_cast<double>(b.at(i, j) * kScale)); }
  double a_at(int64_t i, int64_t j) { return rounded<T>(static_cast<double>(a.at(i, j))); }
  static constexpr float kScale = 0.75F;
};

double as_double(float v) { return static_cast<double>(v); }
double as_double(bf16 v) { return static_cast<double>(static_cast<float>(v)); }

template <typename T>
void check_forward(const Case& c) {
  SCOPED_TRACE(c.text());
  Tensors<T> s(c);
  TestExec env(DTypeOf<T>::value, ops::linear_scratch_bytes(TestExec(DTypeOf<T>::value, 64).exec, c.t, c.n, c.k, c.r));
  ops::linear_forward(env.exec, s.x.view("x"), s.weight.view(), s.args(), s.y_view());
  // The fused kernels of few rows take W and the masters unrounded: a rounding more is between them and the reference.
  const bool few = c.t <= ops::kGemvRows;
  const double operand = few ? unit(DTypeOf<T>::value) : 0.0;
  auto& in = c.dropout ? s.lora_in : s.x;
  if (c.r > 0) {
    Matrix u_expected, u_tolerance;
    for (int64_t t = 0; t < c.t; ++t)
      for (int64_t r = 0; r < c.r; ++r) {
        double sum = 0.0, magnitude = 0.0;
        for (int64_t k = 0; k < c.k; ++k) {
          const double p = as_double(in.at(t, k)) * s.a_at(r, k);
          sum += p;
          magnitude += std::abs(p);
        }
        u_expected.push_back(sum);
        u_tolerance.push_back(dot_tolerance(c.k, magnitude, sum, DTypeOf<T>::value) + operand * magnitude);
      }
    EXPECT_TRUE(near(s.u.values(), u_expected, u_tolerance)) << "u";
  }
  Matrix expected, tolerance;
  for (int64_t t = 0; t < c.t; ++t)
    for (int64_t n = 0; n < c.n; ++n) {
      double sum = 0.0, magnitude = 0.0;
      const auto add = [&](double p) {
        sum += p;
        magnitude += std::abs(p);
      };
      for (int64_t k = 0; k < c.k; ++k) add(as_double(s.x.at(t, k)) * s.w_at(n, k));
      for (int64_t r = 0; r < c.r; ++r) add(as_double(s.u.at(t, r)) * s.b_at(n, r));
      const double rounding = operand * magnitude;
      if (c.bias) add(as_double(s.bias.at(0, n)));
      if (c.residual) add(c.f32_out ? as_double(s.residual32.at(t, n)) : as_double(s.residual.at(t, n)));
      expected.push_back(sum);
      // Q4_1's fused kernel sums d (x . q) and m sum(x) apart: their magnitudes can exceed |x . w| by a factor below 4.
      tolerance.push_back(dot_tolerance(4 * (c.k + c.r + 2), magnitude, sum, c.f32_out ? DType::kF32 : DTypeOf<T>::value) +
                          rounding);
    }
  if (c.f32_out)
    EXPECT_TRUE(near(s.y32.values(), expected, tolerance));
  else
    EXPECT_TRUE(near(s.y.values(), expected, tolerance));
  EXPECT_TRUE(s.y.intact() && s.y32.intact() && s.u.intact() && s.x.intact());
}

template <typename T>
void check_backward(const Case& c) {
  SCOPED_TRACE(c.text());
  Tensors<T> s(c);
  TestExec env(DTypeOf<T>::value, ops::linear_scratch_bytes(TestExec(DTypeOf<T>::value, 64).exec, c.t, c.n, c.k, c.r));
  if (c.r > 0) s.u.assign(test::random_values<T>(c.t * c.r, 12));
  const auto d_a_before = s.d_a.values();
  const auto d_b_before = s.d_b.values();
  const auto dx_before = s.dx32.values();
  ops::LinearGrads grads;
  grads.d_x = s.dx_view();
  grads.accumulate = c.accumulate;
  if (c.r > 0) {
    grads.d_a = s.d_a.view("d_a");
    grads.d_b = s.d_b.view("d_b");
    if (c.dropout) grads.d_lora_in = s.d_lora_in.view("d_lora_in");
  }
  ops::linear_backward(env.exec, s.dy.view("d_y"), s.x.view("x"), s.weight.view(), s.args(), grads);

  const double u = unit(DTypeOf<T>::value);
  const auto dy = [&](int64_t t, int64_t n) { return rounded<T>(as_double(s.dy.at(t, n))); };
  Matrix v(static_cast<size_t>(c.t * c.r)), v_error(v.size());
  for (int64_t t = 0; t < c.t; ++t)
    for (int64_t r = 0; r < c.r; ++r) {
      double sum = 0.0, magnitude = 0.0;
      for (int64_t n = 0; n < c.n; ++n) {
        sum += dy(t, n) * s.b_at(n, r);
        magnitude += std::abs(dy(t, n) * s.b_at(n, r));
      }
      v[static_cast<size_t>(t * c.r + r)] = sum;
      v_error[static_cast<size_t>(t * c.r + r)] = dot_tolerance(c.n, magnitude, sum, DTypeOf<T>::value);
    }
  Matrix dx, dx_tolerance, d_in, d_in_tolerance;
  const DType out = c.f32_out || c.accumulate ? DType::kF32 : DTypeOf<T>::value;
  for (int64_t t = 0; t < c.t; ++t)
    for (int64_t k = 0; k < c.k; ++k) {
      double sum = 0.0, magnitude = 0.0, branch = 0.0, branch_magnitude = 0.0, branch_error = 0.0;
      for (int64_t n = 0; n < c.n; ++n) {
        sum += dy(t, n) * s.w_at(n, k);
        magnitude += std::abs(dy(t, n) * s.w_at(n, k));
      }
      for (int64_t r = 0; r < c.r; ++r) {
        const auto at = static_cast<size_t>(t * c.r + r);
        branch += v[at] * s.a_at(r, k);
        branch_magnitude += (std::abs(v[at]) + v_error[at]) * std::abs(s.a_at(r, k));
        branch_error += v_error[at] * std::abs(s.a_at(r, k));
      }
      if (c.dropout) {
        d_in.push_back(branch);
        d_in_tolerance.push_back(dot_tolerance(c.r, branch_magnitude) + branch_error);
      } else {
        sum += branch;
        magnitude += branch_magnitude;
      }
      if (c.accumulate) {
        const double before = as_double(dx_before[static_cast<size_t>(t * c.k + k)]);
        sum += before;
        magnitude += std::abs(before);
      }
      dx.push_back(sum);
      dx_tolerance.push_back(dot_tolerance(c.n + c.r + 1, magnitude, sum, out) + (c.dropout ? 0.0 : branch_error) * (1 + u));
    }
  if (c.f32_out || c.accumulate)
    EXPECT_TRUE(near(s.dx32.values(), dx, dx_tolerance)) << "d_x";
  else
    EXPECT_TRUE(near(s.dx.values(), dx, dx_tolerance)) << "d_x";
  if (c.dropout) {
    EXPECT_TRUE(near(s.d_lora_in.values(), d_in, d_in_tolerance)) << "d_lora_in";
  }
  EXPECT_TRUE(s.dx.intact() && s.dx32.intact() && s.d_lora_in.intact() && s.d_a.intact() && s.d_b.intact());
  if (c.r == 0) return;

  auto& in = c.dropout ? s.lora_in : s.x;
  Matrix d_a, d_a_tolerance, d_b, d_b_tolerance;
  for (int64_t r = 0; r < c.r; ++r)
    for (int64_t k = 0; k < c.k; ++k) {
      double sum = as_double(d_a_before[static_cast<size_t>(r * c.k + k)]);
      double magnitude = std::abs(sum), error = 0.0;
      for (int64_t t = 0; t < c.t; ++t) {
        const auto at = static_cast<size_t>(t * c.r + r);
        sum += v[at] * as_double(in.at(t, k));
        magnitude += (std::abs(v[at]) + v_error[at]) * std::abs(as_double(in.at(t, k)));
        error += v_error[at] * std::abs(as_double(in.at(t, k)));
      }
      d_a.push_back(sum);
      d_a_tolerance.push_back(dot_tolerance(c.t + 1, magnitude) + error);
    }
  for (int64_t n = 0; n < c.n; ++n)
    for (int64_t r = 0; r < c.r; ++r) {
      double sum = 0.0, magnitude = 0.0;
      for (int64_t t = 0; t < c.t; ++t) {
        const double p = Tensors<T>::kScale * dy(t, n) * as_double(s.u.at(t, r));
        sum += p;
        magnitude += std::abs(p);
      }
      const double before = as_double(d_b_before[static_cast<size_t>(n * c.r + r)]);
      d_b.push_back(before + sum);
      d_b_tolerance.push_back(dot_tolerance(c.t + 2, magnitude + std::abs(before)));
    }
  EXPECT_TRUE(near(s.d_a.values(), d_a, d_a_tolerance)) << "d_a";
  EXPECT_TRUE(near(s.d_b.values(), d_b, d_b_tolerance)) << "d_b";
}

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const WeightLayout layout : kAllLayouts)
    for (const int64_t t : {1, 2, 3, 4, 5, 7, 65})
      out.push_back({.layout = layout, .t = t, .n = 65, .k = test::allowed_cols(layout, 96), .r = 4});
  for (const int64_t k : {1, 31, 33, 64})
    for (const WeightLayout layout : {WeightLayout::kF32, WeightLayout::kBF16, WeightLayout::kNF4})
      for (const int64_t t : {2, 9}) out.push_back({.layout = layout, .t = t, .n = 31, .k = k, .r = 3, .bias = true});
  for (const int64_t n : {1, 15, 16, 17, 31, 33, 47, 48, 49, 64, 65, 127})
    for (const int64_t t : {3, 13}) out.push_back({.layout = WeightLayout::kQ4_1, .t = t, .n = n, .k = 64, .residual = true});
  for (const int64_t t : {1, 6, 12, 24, 64}) {
    const Case base{.layout = WeightLayout::kQ4_1, .t = t, .n = 192, .k = 576, .r = 16};
    out.push_back(base);
    out.push_back(base), out.back().bias = out.back().residual = out.back().alias = true;
    out.push_back(base), out.back().dropout = out.back().f32_out = true;
    out.push_back(base), out.back().f32_out = out.back().residual = out.back().alias = true;
    out.push_back(base), out.back().accumulate = true;
    out.push_back(base), out.back().r = 0, out.back().residual = out.back().f32_out = true;
  }
  out.push_back({.layout = WeightLayout::kQ4_1, .t = 513, .n = 192, .k = 192, .r = 32, .residual = true});
  out.push_back({.layout = WeightLayout::kQ8_0, .t = 65, .n = 960, .k = 192, .r = 8, .residual = true});
  out.push_back({.layout = WeightLayout::kNF4, .t = 1100, .n = 64, .k = 64, .r = 7});
  return out;
}

TEST(Linear, ForwardF32) {
  for (const Case& c : cases()) check_forward<float>(c);
}
TEST(Linear, ForwardBf16) {
  for (const Case& c : cases()) check_forward<bf16>(c);
}
TEST(Linear, BackwardF32) {
  for (const Case& c : cases()) check_backward<float>(c);
}
TEST(Linear, BackwardBf16) {
  for (const Case& c : cases()) check_backward<bf16>(c);
}

/// y of a whole sequence, of the same in two calls, and with other numbers of threads.
template <typename T>
void check_invariance() {
  const Case c{.layout = WeightLayout::kQ4_1, .t = 700, .n = 200, .k = 192, .r = 8, .residual = true};
  std::optional<std::vector<T>> y, dx;
  std::optional<std::vector<float>> d_a, d_b;
  for (const int threads : {1, 2, 3}) {
    Tensors<T> s(c);
    TestExec env(DTypeOf<T>::value, int64_t{16} << 20, threads);
    const auto x = s.x.view("x");
    const auto args = s.args();
    const auto y_view = s.y_view();
    ops::linear_forward(env.exec, x, s.weight.view(), args, y_view);
    const auto whole = s.y.values();
    const auto whole_u = s.u.values();
    s.y.assign(std::vector<T>(whole.size(), T(0.0F)));
    for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 300}, {300, 305}, {305, 700}}) {
      ops::LinearArgs part = args;
      part.lora_u = args.lora_u.rows(begin, end);
      part.residual = args.residual.rows(begin, end);
      ops::linear_forward(env.exec, x.rows(begin, end), s.weight.view(), part, y_view.rows(begin, end));
    }
    EXPECT_TRUE(bits_equal(s.y.values(), whole)) << "in parts, " << threads << " threads";
    EXPECT_TRUE(bits_equal(s.u.values(), whole_u));
    ops::LinearGrads grads{.d_x = s.dx_view(), .d_a = s.d_a.view("d_a"), .d_b = s.d_b.view("d_b"), .d_lora_in = {}};
    ops::linear_backward(env.exec, s.dy.view("d_y"), x, s.weight.view(), args, grads);
    if (!y) {
      y = whole, dx = s.dx.values(), d_a = s.d_a.values(), d_b = s.d_b.values();
      continue;
    }
    EXPECT_TRUE(bits_equal(whole, *y)) << threads;
    EXPECT_TRUE(bits_equal(s.dx.values(), *dx)) << threads;
    EXPECT_TRUE(bits_equal(s.d_a.values(), *d_a)) << threads;
    EXPECT_TRUE(bits_equal(s.d_b.values(), *d_b)) << threads;
  }
}

/// Few tokens together are each as if it were alone: the answers of several prompts may be written at once.
template <typename T>
void check_few() {
  for (const WeightLayout layout :
       {WeightLayout::kF32, WeightLayout::kBF16, WeightLayout::kQ4_1, WeightLayout::kQ6_K, WeightLayout::kNF4}) {
    const Case c{.layout = layout, .t = ops::kGemvRows, .n = 200, .k = 256, .r = 8, .residual = true};
    Tensors<T> s(c);
    TestExec env(DTypeOf<T>::value, int64_t{16} << 20, 2);
    const auto args = s.args();
    ops::linear_forward(env.exec, s.x.view("x"), s.weight.view(), args, s.y_view());
    const auto together = s.y.values();
    s.y.assign(std::vector<T>(together.size(), T(0.0F)));
    for (int64_t t = 0; t < c.t; ++t) {
      ops::LinearArgs one = args;
      one.lora_u = args.lora_u.rows(t, t + 1);
      one.residual = args.residual.rows(t, t + 1);
      ops::linear_forward(env.exec, s.x.view("x").rows(t, t + 1), s.weight.view(), one, s.y_view().rows(t, t + 1));
    }
    EXPECT_TRUE(bits_equal(s.y.values(), together)) << name_of(layout);
  }
}

TEST(Linear, FewTokensTogetherAreAsEachAloneF32) { check_few<float>(); }
TEST(Linear, FewTokensTogetherAreAsEachAloneBf16) { check_few<bf16>(); }

TEST(Linear, ResultsDoNotDependOnTheCutOrTheThreadsF32) { check_invariance<float>(); }
TEST(Linear, ResultsDoNotDependOnTheCutOrTheThreadsBf16) { check_invariance<bf16>(); }

TEST(Linear, GradientsAreFiniteDifferences) {
  // loss = sum(d_y * y) is linear in each of x, A and B, so a central difference is exact up to f32 rounding of the loss.
  const Case c{.layout = WeightLayout::kQ8_0, .t = 9, .n = 33, .k = 64, .r = 5};
  Tensors<float> s(c);
  TestExec env;
  const auto loss = [&] {
    ops::linear_forward(env.exec, s.x.view("x"), s.weight.view(), s.args(), s.y_view());
    double sum = 0.0;
    for (int64_t t = 0; t < c.t; ++t)
      for (int64_t n = 0; n < c.n; ++n) sum += as_double(s.y.at(t, n)) * as_double(s.dy.at(t, n));
    return sum;
  };
  loss();
  s.d_a.assign(std::vector<float>(static_cast<size_t>(c.r * c.k), 0.0F));
  s.d_b.assign(std::vector<float>(static_cast<size_t>(c.n * c.r), 0.0F));
  ops::LinearGrads grads{.d_x = s.dx_view(), .d_a = s.d_a.view("d_a"), .d_b = s.d_b.view("d_b"), .d_lora_in = {}};
  ops::linear_backward(env.exec, s.dy.view("d_y"), s.x.view("x"), s.weight.view(), s.args(), grads);
  const auto compare = [&](Guarded<float>& at, Guarded<float>& gradient, int64_t i, int64_t j, const char* what) {
    const float before = at.at(i, j);
    at.at(i, j) = before + 1.0F;
    const double up = loss();
    at.at(i, j) = before - 1.0F;
    const double down = loss();
    at.at(i, j) = before;
    // 300 products of order 1 in f32, each off by 2^-24 of partial sums below 20.
    EXPECT_NEAR(as_double(gradient.at(i, j)), (up - down) / 2, 300 * 20 * 0x1p-24) << what << " " << i << " " << j;
  };
  for (const auto& [i, j] : {std::pair<int64_t, int64_t>{0, 0}, {4, 31}, {3, 63}}) {
    compare(s.x, s.dx, i, j, "x");
    compare(s.a, s.d_a, i, j, "a");
    compare(s.b, s.d_b, j / 2, i, "b");
  }
}

TEST(Linear, ScratchIsEnoughAndProfileAddsUp) {
  const Case c{.layout = WeightLayout::kQ4_1, .t = 40, .n = 96, .k = 64, .r = 4};
  Tensors<float> s(c);
  TestExec env;
  ops::linear_forward(env.exec, s.x.view("x"), s.weight.view(), s.args(), s.y_view());
  EXPECT_EQ(env.profile.row(Part::kProducts).flops, 2.0 * 40 * 96 * 64);
  EXPECT_EQ(env.profile.row(Part::kLora).flops, 2.0 * 40 * 4 * (96 + 64));
  EXPECT_GT(env.profile.row(Part::kExpansion).seconds, 0.0);
  EXPECT_LE(env.scratch.high_water(), ops::linear_scratch_bytes(env.exec, 40, 96, 64, 4));
}

TEST(LinearDeath, WrongShapesAreNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Case c{.layout = WeightLayout::kQ4_1, .t = 8, .n = 33, .k = 64, .r = 5};
  Tensors<float> s(c);
  TestExec env;
  const auto y = s.y_view();
  EXPECT_DEATH(ops::linear_forward(env.exec, s.x.view("x"), s.weight.view(), s.args(), y.rows(0, 7)),
               "y y: \\[7, 33\\], expected \\[8, 33\\]");
  EXPECT_DEATH(ops::linear_forward(env.exec, s.y.view("other"), s.weight.view(), s.args(), y),
               "x other: \\[8, 33\\], expected \\[8, 64\\]");
  ops::LinearArgs args = s.args();
  args.lora_u = {};
  EXPECT_DEATH(ops::linear_forward(env.exec, s.x.view("x"), s.weight.view(), args, y), "lora u");
  ops::LinearGrads grads{.d_x = s.dx_view(), .d_a = s.d_a.view("d_a"), .d_b = {}, .d_lora_in = {}};
  EXPECT_DEATH(ops::linear_backward(env.exec, s.dy.view("d_y"), s.x.view("x"), s.weight.view(), {}, grads),
               "gradients of a missing lora");
}

TEST(CpuFeatures, ComputeDtypeFollowsTheInstructionSet) {
  EXPECT_EQ(ops::default_compute_dtype(), ops::cpu_isa() >= ops::CpuIsa::kAvx512Bf16 ? DType::kBF16 : DType::kF32);
  EXPECT_FALSE(ops::name_of(ops::cpu_isa()).empty());
}

}  // namespace
}  // namespace tenfold
