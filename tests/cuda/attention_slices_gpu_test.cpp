// Attention at 80K tokens and an 8B's heads against the definition in f64: rows of o, of its log-sum-exp and of d_q, and rows of
// d_k and d_v, each of which sums over the whole sequence.
#include "ops/attention.h"

#include "ops/support.h"
#include "support/parallel.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <string>

namespace tenfold {
namespace {

using test::add_scaled;
using test::dot;

constexpr double kF32 = 0x1p-24;
/// Half a unit in the last place of bf16, relative: the largest error of a rounding.
constexpr double kRounding = 0x1p-9;
/// A sum of independent errors of mean zero, each at most c_i, exceeds 6 sqrt(sum c_i^2) once in 3e7 (Hoeffding).
constexpr double kDeviations = 6;

constexpr int64_t kTokens = 81920, kHeads = 4, kHeadDim = 128;  // one kv head

/// A bf16 tensor in device memory, (kTokens, heads * kHeadDim), and its values on the host.
struct Tensor {
  int64_t cols;
  Buffer buffer;
  std::vector<float> values;

  Tensor(const char* name, int64_t heads)
      : cols(heads * kHeadDim), buffer(test::gpu()->allocate(name, MemoryUse::kActivations, kTokens * cols * 2)) {}
  Tensor(const char* name, int64_t heads, uint64_t seed, double spread) : Tensor(name, heads) {
    const auto random = test::random_values<bf16>(kTokens * cols, seed, spread);
    test::gpu()->copy_in(buffer.data(), random.data(), buffer.bytes());
    widen(random);
  }
  TensorView view() const { return buffer.view(DType::kBF16, {kTokens, cols / kHeadDim, kHeadDim}); }
  void download() {
    std::vector<bf16> host(static_cast<size_t>(kTokens * cols));
    test::gpu()->copy_out(host.data(), buffer.data(), buffer.bytes());
    widen(host);
  }
  void widen(const std::vector<bf16>& from) {
    values.resize(from.size());
    for (size_t i = 0; i < from.size(); ++i) values[i] = static_cast<float>(from[i]);
  }
  const float* at(int64_t row, int64_t head = 0) const { return values.data() + row * cols + head * kHeadDim; }
};

/// Sums of many terms by column, with what bounds their errors: every term's own relative error, and every addition's.
class Sums {
 public:
  /// += weight * x, where weight carries a rounding to bf16 and the relative error `spread`; `more` is an error of weight that is
  /// no part of its own size.
  void add(double weight, const float* x, double spread = 0, double more = 0) {
    const double relative = kRounding + spread;
    for (size_t e = 0; e < kHeadDim; ++e) {
      const double term = weight * static_cast<double>(x[e]);
      sum_[e] += term;
      squares_[e] += term * term * relative * relative;
      largest_[e] = std::max(largest_[e], std::abs(sum_[e]));
      more_[e] += more * std::abs(static_cast<double>(x[e]));
    }
    ++terms_;
  }
  /// Another head's sums, rounded to bf16 by itself.
  void add_rounded(const Sums& other) {
    for (size_t e = 0; e < kHeadDim; ++e) {
      sum_[e] += other.sum_[e];
      more_[e] += other.bound(e);
    }
  }
  double sum(size_t e) const { return sum_[e]; }
  /// With the last rounding to bf16.
  double bound(size_t e) const {
    const double additions = kF32 * std::sqrt(static_cast<double>(terms_)) * largest_[e];
    return kDeviations * std::hypot(std::sqrt(squares_[e]), additions) + more_[e] + 1.01 * kRounding * std::abs(sum_[e]);
  }

 private:
  std::array<double, kHeadDim> sum_{}, squares_{}, largest_{}, more_{};
  int64_t terms_ = 0;
};

class AttentionSlices : public testing::Test {
 protected:
  void SetUp() override {
    const TensorView lse_view = lse_buffer_.view(DType::kF32, {kHeads, kTokens});
    const std::vector<ops::AttentionSegment> whole = {{0, kTokens, 0, kTokens}};
    test::TestExec measure(DType::kBF16, 64);
    test::TestExec test(DType::kBF16,
                        ops::attention_scratch_bytes(measure.exec, kTokens, kTokens, kHeads, 1, kHeadDim, /*training=*/true));
    ops::attention_forward(test.exec, q_.view(), k_.view(), v_.view(), whole, scale_, o_.view(), lse_view);
    ops::attention_backward(test.exec, d_o_.view(), q_.view(), k_.view(), v_.view(), o_.view(), lse_view, whole, scale_,
                            {d_q_.view(), d_k_.view(), d_v_.view()});
    for (Tensor* t : {&o_, &d_q_, &d_k_, &d_v_}) t->download();
    lse_.resize(static_cast<size_t>(kHeads * kTokens));
    test::gpu()->copy_out(lse_.data(), lse_buffer_.data(), lse_buffer_.bytes());
    delta_.resize(lse_.size());
    test::parallel(kTokens, [&](int64_t t) {
      for (int64_t h = 0; h < kHeads; ++h) delta_[at(h, t)] = dot(d_o_.at(t, h), o_.at(t, h), kHeadDim);
    });
  }
  static size_t at(int64_t head, int64_t t) { return static_cast<size_t>(head * kTokens + t); }

  double score(int64_t t, int64_t head, int64_t key) const { return scale_ * dot(q_.at(t, head), k_.at(key), kHeadDim); }
  /// Relative error of a probability in f32: its score's sum of kHeadDim products, random in sign, its difference to the
  /// log-sum-exp, and 2^x.
  static double spread_of(double score) {
    return kDeviations * kF32 * std::sqrt(static_cast<double>(kHeadDim)) * (std::abs(score) + 8) + 4e-7;
  }
  /// Error of d_o v - delta in f32, of up to 16 |d_o| |v| and what is like it in o.
  double d_p_error(int64_t t, int64_t head) const {
    const double size = std::sqrt(dot(d_o_.at(t, head), d_o_.at(t, head), kHeadDim) * kHeadDim);
    return kDeviations * kF32 * std::sqrt(static_cast<double>(kHeadDim)) * size;
  }
  double p(int64_t t, int64_t head, int64_t key) const {
    return std::exp(score(t, head, key) - static_cast<double>(lse_[at(head, t)]));
  }
  double d_s(double probability, int64_t t, int64_t head, int64_t key) const {
    return scale_ * probability * (dot(d_o_.at(t, head), v_.at(key), kHeadDim) - delta_[at(head, t)]);
  }
  static void expect_row(const float* got, const Sums& expected, const std::string& what, double& worst) {
    for (size_t e = 0; e < kHeadDim; ++e) {
      const double error = std::abs(static_cast<double>(got[e]) - expected.sum(e));
      EXPECT_LE(error, expected.bound(e)) << what << " column " << e << ": " << got[e] << " for " << expected.sum(e);
      worst = std::max(worst, error / expected.bound(e));
    }
  }

  // Scores of two and a half, so that of 80K keys some hundred matter to a query.
  Tensor q_{"q", kHeads, 1, 2.5}, k_{"k", 1, 2, 1.0}, v_{"v", 1, 3, 1.0}, d_o_{"d_o", kHeads, 4, 1.0};
  Tensor o_{"o", kHeads}, d_q_{"d_q", kHeads}, d_k_{"d_k", 1}, d_v_{"d_v", 1};
  Buffer lse_buffer_ = test::gpu()->allocate("lse", MemoryUse::kActivations, kHeads* kTokens * 4);
  std::vector<float> lse_;
  std::vector<double> delta_;  ///< sum of d_o o
  float scale_ = 1.0F / std::sqrt(static_cast<float>(kHeadDim));
};

/// Both ends, and around tiles, blocks and powers of two.
constexpr std::array<int64_t, 16> kRows = {0,    1,     127,   128,   255,   4095,  8191,  8192,
                                           8193, 16384, 32767, 32768, 65535, 65536, 81918, 81919};

TEST_F(AttentionSlices, ForwardAndGradientsAreNearTheDefinition) {
  const auto rows = static_cast<int64_t>(kRows.size());
  std::vector<Sums> o(static_cast<size_t>(rows * kHeads)), d_q(o);
  std::vector<double> lse(o.size());
  test::parallel(rows * kHeads, [&](int64_t i) {
    const int64_t t = kRows[static_cast<size_t>(i / kHeads)], h = i % kHeads;
    std::vector<double> scores(static_cast<size_t>(t + 1));
    double top = -1e300, total = 0;
    for (int64_t j = 0; j <= t; ++j) top = std::max(top, scores[static_cast<size_t>(j)] = score(t, h, j));
    for (const double s : scores) total += std::exp(s - top);
    lse[static_cast<size_t>(i)] = top + std::log(total);
    for (int64_t j = 0; j <= t; ++j) {
      const double s = scores[static_cast<size_t>(j)];
      const double probability = std::exp(s - top) / total;
      o[static_cast<size_t>(i)].add(probability, v_.at(j), spread_of(s));
      d_q[static_cast<size_t>(i)].add(d_s(probability, t, h, j), k_.at(j), spread_of(s), scale_ * probability * d_p_error(t, h));
    }
  });
  std::vector<Sums> d_k(static_cast<size_t>(rows)), d_v(d_k);
  test::parallel(rows, [&](int64_t i) {
    const int64_t key = kRows[static_cast<size_t>(i)];
    // cuDNN makes the gradients of every query head and adds them.
    for (int64_t h = 0; h < kHeads; ++h) {
      Sums head_k, head_v;
      for (int64_t t = key; t < kTokens; ++t) {
        const double s = score(t, h, key);
        const double probability = p(t, h, key);
        head_v.add(probability, d_o_.at(t, h), spread_of(s));
        head_k.add(d_s(probability, t, h, key), q_.at(t, h), spread_of(s), scale_ * probability * d_p_error(t, h));
      }
      d_k[static_cast<size_t>(i)].add_rounded(head_k);
      d_v[static_cast<size_t>(i)].add_rounded(head_v);
    }
  });
  double worst_o = 0, worst_lse = 0, worst_q = 0, worst_k = 0, worst_v = 0;
  for (int64_t i = 0; i < rows * kHeads; ++i) {
    const int64_t t = kRows[static_cast<size_t>(i / kHeads)], h = i % kHeads;
    const std::string where = " of query " + std::to_string(t) + " head " + std::to_string(h);
    expect_row(o_.at(t, h), o[static_cast<size_t>(i)], "o" + where, worst_o);
    expect_row(d_q_.at(t, h), d_q[static_cast<size_t>(i)], "d_q" + where, worst_q);
    const double expected = lse[static_cast<size_t>(i)];
    // The sum of positive terms errs with every addition, and is rounded with its logarithm.
    const double allowed =
        spread_of(expected) + kDeviations * kF32 * std::sqrt(static_cast<double>(t + 1)) + 4 * kF32 * (std::abs(expected) + 1);
    const double error = std::abs(static_cast<double>(lse_[at(h, t)]) - expected);
    EXPECT_LE(error, allowed) << "lse" << where;
    worst_lse = std::max(worst_lse, error / allowed);
  }
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t key = kRows[static_cast<size_t>(i)];
    expect_row(d_k_.at(key), d_k[static_cast<size_t>(i)], "d_k of key " + std::to_string(key), worst_k);
    expect_row(d_v_.at(key), d_v[static_cast<size_t>(i)], "d_v of key " + std::to_string(key), worst_v);
  }
  std::printf("of what is allowed: o %.2f, lse %.2f, d_q %.2f, d_k %.2f, d_v %.2f\n", worst_o, worst_lse, worst_q, worst_k,
              worst_v);
}

}  // namespace
}  // namespace tenfold
