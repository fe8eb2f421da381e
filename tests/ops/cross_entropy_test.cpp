#include "ops/cross_entropy.h"

#include "ops/expand.h"
#include "ops/weights.h"

#include <fmt/format.h>

#include <optional>

namespace tenfold {
namespace {

using test::bits_equal;
using test::Guarded;
using test::near;
using test::TestExec;
using test::TestWeight;

struct Case {
  WeightLayout layout = WeightLayout::kQ8_0;
  int64_t rows = 1, vocabulary = 1, hidden = 32;
  double spread = 1.0;  ///< of h: large makes the model sure

  std::string text() const {
    return fmt::format("{} rows {} vocabulary {} hidden {} spread {}", name_of(layout), rows, vocabulary, hidden, spread);
  }
};

template <typename T>
struct Tensors {
  Case c;
  TestWeight head;
  Guarded<T> h;
  Guarded<float> d_h, d_head;
  std::vector<int32_t> targets;
  std::vector<float> weights, nll;
  std::vector<double> w;  ///< (V, D) as the product sees it

  explicit Tensors(const Case& options)
      : c(options),
        head(c.layout, c.vocabulary, c.hidden, 50),
        h(c.rows, c.hidden, c.hidden + 3),
        d_h(c.rows, c.hidden, c.hidden + 1),
        d_head(c.vocabulary, c.hidden, c.hidden + 2) {
    h.assign(test::random_values<T>(c.rows * c.hidden, 1, c.spread));
    d_head.assign(test::random_values(c.vocabulary * c.hidden, 2));
    Rng rng(3, 4);
    for (int64_t i = 0; i < c.rows; ++i) {
      targets.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(c.vocabulary))));
      weights.push_back(i % 5 == 4 ? 0.0F : static_cast<float>(rng.uniform()));
    }
    nll.assign(static_cast<size_t>(c.rows), std::nanf(""));
    std::vector<float> row(static_cast<size_t>(c.hidden));
    for (int64_t v = 0; v < c.vocabulary; ++v) {
      ops::expand_row_reference(head.view(), v, row.data());
      for (const float x : row) w.push_back(static_cast<double>(static_cast<float>(T(x))));
    }
  }
  double w_at(int64_t v, int64_t d) const { return w[static_cast<size_t>(v * c.hidden + d)]; }
  double h_at(int64_t n, int64_t d) { return static_cast<double>(static_cast<float>(h.at(n, d))); }
};

/// log of the sum of exp(l - max), and max.
struct Softmax {
  double max = -INFINITY;
  double sum = 0.0;
};

template <typename T>
void check(const Case& c, bool train_head) {
  SCOPED_TRACE(c.text());
  Tensors<T> s(c);
  constexpr DType kCompute = DTypeOf<T>::value;
  const TestExec probe(kCompute, 64);
  TestExec env(kCompute, ops::cross_entropy_scratch_bytes(probe.exec, c.rows, c.vocabulary, c.hidden));
  const auto d_head_before = s.d_head.values();
  ops::cross_entropy(env.exec, s.h.view("h"), s.head.view(), s.targets, s.weights, s.nll, s.d_h.view("d_h"),
                     train_head ? s.d_head.view("d_head") : TensorView());
  const double u = test::unit_roundoff(kCompute);
  std::vector<double> nll, nll_tolerance, d_h, d_h_tolerance;
  std::vector<double> d_head = test::to_double(d_head_before);
  std::vector<double> d_head_tolerance(d_head.size(), 1e-30);
  for (int64_t n = 0; n < c.rows; ++n) {
    std::vector<double> logits;
    double logit_error = 0.0;
    Softmax soft;
    for (int64_t v = 0; v < c.vocabulary; ++v) {
      double sum = 0.0, magnitude = 0.0;
      for (int64_t d = 0; d < c.hidden; ++d) {
        sum += s.h_at(n, d) * s.w_at(v, d);
        magnitude += std::abs(s.h_at(n, d) * s.w_at(v, d));
      }
      logits.push_back(sum);
      // The logit's own sum, then the subtraction of the maximum (f32, up to twice the magnitude) and an exponential good to 2
      // ulp.
      logit_error = std::max(logit_error, test::dot_tolerance(c.hidden + 4, magnitude));
      soft.max = std::max(soft.max, sum);
    }
    logit_error += 4 * 0x1p-24;
    for (const double l : logits) soft.sum += std::exp(l - soft.max);
    const auto target = static_cast<size_t>(s.targets[static_cast<size_t>(n)]);
    nll.push_back(std::log(soft.sum) + soft.max - logits[target]);
    nll_tolerance.push_back(2 * logit_error + test::dot_tolerance(64, 1.0) + 0x1p-24 * std::abs(nll.back()));
    const double weight = static_cast<double>(s.weights[static_cast<size_t>(n)]);
    std::vector<double> p(logits.size());
    double others = 0.0;
    for (size_t v = 0; v < p.size(); ++v) {
      p[v] = std::exp(logits[v] - soft.max) / soft.sum;
      if (v != target) others += p[v];
    }
    p[target] = -others;  // softmax - 1, without cancellation
    // Each probability carries its logits' errors and one rounding to the compute dtype; the sums run over V terms, cut into
    // blocks.
    const double relative = 2.1 * logit_error + 1.01 * u + test::dot_tolerance(c.vocabulary + 100, 1.0);
    for (int64_t d = 0; d < c.hidden; ++d) {
      double sum = 0.0, magnitude = 0.0;
      for (size_t v = 0; v < p.size(); ++v) {
        sum += weight * p[v] * s.w_at(static_cast<int64_t>(v), d);
        magnitude += std::abs(weight * p[v] * s.w_at(static_cast<int64_t>(v), d));
      }
      d_h.push_back(sum);
      d_h_tolerance.push_back(relative * magnitude + 1e-30);
    }
    for (size_t v = 0; v < p.size(); ++v)
      for (int64_t d = 0; d < c.hidden; ++d) {
        const double term = weight * p[v] * s.h_at(n, d);
        const auto at = v * static_cast<size_t>(c.hidden) + static_cast<size_t>(d);
        d_head[at] += term;
        d_head_tolerance[at] += relative * std::abs(term);
      }
  }
  for (size_t i = 0; i < d_head.size(); ++i)
    d_head_tolerance[i] += test::dot_tolerance(c.rows + 2, std::abs(d_head_before[i]) + 1.0);
  EXPECT_TRUE(near(s.nll, nll, nll_tolerance)) << "nll";
  EXPECT_TRUE(near(s.d_h.values(), d_h, d_h_tolerance)) << "d_h";
  if (train_head) {
    EXPECT_TRUE(near(s.d_head.values(), d_head, d_head_tolerance)) << "d_head";
  } else {
    EXPECT_TRUE(bits_equal(s.d_head.values(), d_head_before));
  }
  EXPECT_TRUE(s.d_h.intact() && s.d_head.intact() && s.h.intact());
}

std::vector<Case> cases() {
  return {
      {.rows = 1, .vocabulary = 1, .hidden = 32},
      {.rows = 3, .vocabulary = 2, .hidden = 64},
      {.rows = 7, .vocabulary = 63, .hidden = 96},
      {.rows = 13, .vocabulary = 577, .hidden = 64},
      {.layout = WeightLayout::kQ4_1, .rows = 31, .vocabulary = 1100, .hidden = 96, .spread = 4.0},
      {.layout = WeightLayout::kBF16, .rows = 5, .vocabulary = 1025, .hidden = 33},
      {.layout = WeightLayout::kF32, .rows = 2, .vocabulary = 130, .hidden = 1, .spread = 3.0},
      {.layout = WeightLayout::kNF4, .rows = 9, .vocabulary = 200, .hidden = 50},
      {.layout = WeightLayout::kBF16, .rows = 6, .vocabulary = 100, .hidden = 64, .spread = 30.0},
  };
}

TEST(CrossEntropy, F32) {
  for (const Case& c : cases()) check<float>(c, false);
}
TEST(CrossEntropy, Bf16) {
  for (const Case& c : cases()) check<bf16>(c, false);
}
TEST(CrossEntropy, TrainedHead) {
  for (const Case& c : cases()) check<float>(c, true);
  for (const Case& c : cases()) check<bf16>(c, true);
}

TEST(CrossEntropy, ASureModelKeepsAnExactSmallGradient) {
  // Two tokens, the target ahead by 12: softmax - 1 is -6e-6, which rounding p to bf16 would lose altogether.
  TestExec env(DType::kBF16);
  std::vector<bf16> w = {bf16(1.0F), bf16(0.0F), bf16(0.0F), bf16(1.0F)};
  std::vector<bf16> h = {bf16(12.0F), bf16(0.0F)};
  WeightView head{.name = "head",
                  .layout = WeightLayout::kBF16,
                  .rows = 2,
                  .cols = 2,
                  .data = reinterpret_cast<const std::byte*>(w.data()),
                  .nf4 = {}};
  Guarded<float> d_h(1, 2);
  std::vector<float> nll(1);
  const std::vector<int32_t> targets = {0};
  const std::vector<float> weights = {1.0F};
  ops::cross_entropy(env.exec, TensorView("h", DType::kBF16, {1, 2}, h.data()), head, targets, weights, nll, d_h.view("d_h"), {});
  const double q = std::exp(-12.0) / (1.0 + std::exp(-12.0));
  EXPECT_NEAR(nll[0], std::log1p(std::exp(-12.0)), 1e-6 * q);
  EXPECT_NEAR(d_h.at(0, 0), -q, 1e-6 * q);
  EXPECT_NEAR(d_h.at(0, 1), q, 0x1p-8 * q);  // a probability in bf16
}

template <typename T>
void check_invariance() {
  const Case c{.layout = WeightLayout::kQ8_0, .rows = 1100, .vocabulary = 600, .hidden = 64};
  std::optional<std::vector<float>> nll, d_h;
  for (const int threads : {1, 2, 3}) {
    Tensors<T> s(c);
    TestExec env(DTypeOf<T>::value, int64_t{64} << 20, threads);
    const auto h = s.h.view("h");
    ops::cross_entropy(env.exec, h, s.head.view(), s.targets, s.weights, s.nll, s.d_h.view("d_h"), {});
    const auto whole = s.nll;
    const auto whole_d = s.d_h.values();
    std::vector<float> part(s.nll.size());
    Guarded<float> d_part(c.rows, c.hidden);
    for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 1}, {1, 400}, {400, 1100}}) {
      const auto at = static_cast<size_t>(begin);
      const auto n = static_cast<size_t>(end - begin);
      ops::cross_entropy(env.exec, h.rows(begin, end), s.head.view(), std::span(s.targets).subspan(at, n),
                         std::span(s.weights).subspan(at, n), std::span(part).subspan(at, n), d_part.view("d_h").rows(begin, end),
                         {});
    }
    EXPECT_TRUE(bits_equal(part, whole)) << threads;
    EXPECT_TRUE(bits_equal(d_part.values(), whole_d)) << threads;
    // Evaluation alone gives the same losses.
    ops::cross_entropy(env.exec, h, s.head.view(), s.targets, {}, part, {}, {});
    EXPECT_TRUE(bits_equal(part, whole)) << threads;
    if (!nll) nll = whole, d_h = whole_d;
    EXPECT_TRUE(bits_equal(whole, *nll)) << threads;
    EXPECT_TRUE(bits_equal(whole_d, *d_h)) << threads;
  }
}

TEST(CrossEntropy, RowsDependOnNeitherCallNorThreadsF32) { check_invariance<float>(); }
TEST(CrossEntropy, RowsDependOnNeitherCallNorThreadsBf16) { check_invariance<bf16>(); }

TEST(CrossEntropyDeath, ATargetOutsideTheVocabulary) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Tensors<float> s({.rows = 3, .vocabulary = 70, .hidden = 32});
  TestExec env;
  s.targets[1] = 70;
  EXPECT_DEATH(ops::cross_entropy(env.exec, s.h.view("h"), s.head.view(), s.targets, s.weights, s.nll, {}, {}),
               "target 70 of 70");
}

TEST(CrossEntropy, GradientIsTheFiniteDifference) {
  const Case c{.layout = WeightLayout::kQ8_0, .rows = 3, .vocabulary = 70, .hidden = 32};
  Tensors<float> s(c);
  TestExec env;
  const auto loss = [&] {
    ops::cross_entropy(env.exec, s.h.view("h"), s.head.view(), s.targets, s.weights, s.nll, s.d_h.view("d_h"), {});
    double sum = 0.0;
    for (size_t i = 0; i < s.nll.size(); ++i) sum += static_cast<double>(s.weights[i]) * static_cast<double>(s.nll[i]);
    return sum;
  };
  loss();
  const auto gradient = s.d_h.values();
  for (const int64_t d : {0, 17, 31}) {
    const float before = s.h.at(1, d);
    s.h.at(1, d) = before + 0.05F;
    const double up = loss();
    s.h.at(1, d) = before - 0.05F;
    const double down = loss();
    s.h.at(1, d) = before;
    // The third derivative is at most about |w|^3 < 0.5^3, so the difference is off by 0.05^2 / 6 of that; f32 losses by 2^-23 /
    // 0.05.
    EXPECT_NEAR(static_cast<double>(gradient[static_cast<size_t>(32 + d)]), (up - down) / 0.1, 6e-5 + 1e-5);
  }
}

}  // namespace
}  // namespace tenfold
