// Products, SwiGLU and the loss one token past the powers of two that an 8B's widths meet: rows repeat with a short period, and
// those around each power and at both ends are held to the definition or to what the op makes of one period.
#include "ops/cross_entropy.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/swiglu.h"

#include "ops/expand.h"
#include "ops/weights.h"

#include <gtest/gtest.h>

#include <set>

namespace tenfold {
namespace {

using test::TestExec;
using test::TestWeight;

constexpr int64_t kPeriod = 64;
constexpr double kBf16 = 0x1p-8;

double value(float v) { return static_cast<double>(v); }
double value(bf16 v) { return static_cast<double>(static_cast<float>(v)); }
double rounded(double v) { return value(bf16(static_cast<float>(v))); }

/// Tokens so that a tensor of so many columns passes 2^31 elements, and the rows to look at: both ends, and those that hold
/// element 2^30, 2^31 and 2^32, with their neighbours.
struct Rows {
  int64_t tokens;
  std::vector<int64_t> seen;

  Rows(int64_t columns, int64_t elements) : tokens(elements / columns + 4) {
    std::set<int64_t> rows = {0, 1, 8191, 8192, tokens - 2, tokens - 1};
    for (const int power : {30, 31, 32})
      for (const int64_t near : {-1, 0, 1}) rows.insert((int64_t{1} << power) / columns + near);
    for (const int64_t row : rows)
      if (row < tokens) seen.push_back(row);
  }
};

class Wide : public testing::Test {
 protected:
  Device& device() { return *test::gpu(); }
  /// (tokens, cols) of device memory, row t like row t % kPeriod of `period`; empty: NaN.
  template <typename T>
  TensorView tensor(const char* name, int64_t tokens, int64_t cols, const std::vector<T>& period = {}) {
    buffers_.push_back(device().allocate(name, MemoryUse::kActivations, tokens * cols * static_cast<int64_t>(sizeof(T))));
    const TensorView t(name, DTypeOf<T>::value, {tokens, cols}, buffers_.back().data());
    // A power of two of periods at a time, so that few copies are made.
    const int64_t block =
        std::max<int64_t>(1, (int64_t{64} << 20) / (kPeriod * cols * static_cast<int64_t>(sizeof(T)))) * kPeriod;
    std::vector<T> rows(static_cast<size_t>(block * cols), test::cast_to<T>(NAN));
    if (!period.empty())
      for (int64_t at = 0; at < block * cols; at += kPeriod * cols) std::copy(period.begin(), period.end(), rows.begin() + at);
    for (int64_t at = 0; at < tokens; at += block)
      device().copy_in(t.row<T>(at), rows.data(), std::min(block, tokens - at) * cols * static_cast<int64_t>(sizeof(T)));
    return t;
  }
  template <typename T>
  std::vector<T> row_of(const TensorView& t, int64_t row) {
    std::vector<T> out(static_cast<size_t>(t.dim(1)));
    device().copy_out(out.data(), t.row<T>(row), t.dim(1) * static_cast<int64_t>(sizeof(T)));
    return out;
  }

  std::vector<Buffer> buffers_;
};

TensorView columns(TensorView t, int64_t begin, int64_t end) {
  t.data = static_cast<std::byte*>(t.data) + begin * size_of(t.dtype);
  t.shape[1] = end - begin;
  return t;
}

TEST_F(Wide, SwigluOfFusedRows) {
  // gate and up side by side pass 2^31 elements at 74,899 tokens, each alone (and a) at 149,797; then the fused ones pass 2^32.
  const int64_t F = 14336;
  const Rows rows(F, int64_t{1} << 31);
  TestExec test(DType::kBF16);
  const TensorView fused = tensor<bf16>("gate up", rows.tokens, 2 * F, test::random_values<bf16>(kPeriod * 2 * F, 1));
  const TensorView a = tensor<bf16>("a", rows.tokens, F);
  const TensorView part = tensor<bf16>("part", kPeriod, 2 * F, test::random_values<bf16>(kPeriod * 2 * F, 1));
  const TensorView part_a = tensor<bf16>("part a", kPeriod, F);
  const auto run = [&](const TensorView& gate_up, const TensorView& out) {
    const TensorView gate = columns(gate_up, 0, F), up = columns(gate_up, F, 2 * F);
    ops::swiglu_forward(test.exec, gate, up, out);
    ops::swiglu_backward(test.exec, out, gate, up, gate, up);
  };
  run(fused, a);
  run(part, part_a);
  const Rows fused_rows(2 * F, (rows.tokens - 4) * 2 * F);
  ASSERT_EQ(fused_rows.tokens, rows.tokens);
  std::set<int64_t> seen(rows.seen.begin(), rows.seen.end());
  seen.insert(fused_rows.seen.begin(), fused_rows.seen.end());
  for (const int64_t row : seen) {
    EXPECT_TRUE(test::bits_equal(row_of<bf16>(a, row), row_of<bf16>(part_a, row % kPeriod))) << row;
    EXPECT_TRUE(test::bits_equal(row_of<bf16>(fused, row), row_of<bf16>(part, row % kPeriod))) << row;
  }
}

/// A product of (N, K) with LoRA over so many tokens, its forward and d_x (f32, added to zeros) at a few rows.
class WideProduct : public Wide {
 protected:
  void check(int64_t n, int64_t k, bool d_x_in_f32) {
    const int64_t rank = 8;
    const float scale = 0.75F;
    const Rows rows(std::max(n, k), int64_t{1} << 31);
    const TestWeight weight(WeightLayout::kNF4, n, k, 7);
    const WeightView w = weight.view();
    const auto x_rows = test::random_values<bf16>(kPeriod * k, 1), d_rows = test::random_values<bf16>(kPeriod * n, 3);
    auto a = test::random_values(rank * k, 4, 1.0 / std::sqrt(static_cast<double>(k)));
    auto b = test::random_values(n * rank, 5, 0.3);
    const TensorView x = tensor<bf16>("x", rows.tokens, k, x_rows);
    const TensorView y = tensor<bf16>("y", rows.tokens, n);
    const TensorView u = tensor<bf16>("u", rows.tokens, rank);
    ops::LinearArgs args;
    args.lora = {TensorView("A", DType::kF32, {rank, k}, a.data()), TensorView("B", DType::kF32, {n, rank}, b.data()), scale};
    args.lora_u = u;
    TestExec test(DType::kBF16, ops::linear_scratch_bytes(TestExec(DType::kBF16, 64).exec, rows.tokens, n, k, rank));
    ops::linear_forward(test.exec, x, w, args, y);
    for (const int64_t t : rows.seen) {
      const auto got = row_of<bf16>(y, t), got_u = row_of<bf16>(u, t);
      std::vector<float> row(static_cast<size_t>(k));
      for (int64_t j = 0; j < n; j += std::max<int64_t>(1, n / 97)) {
        ops::expand_row_reference(w, j, row.data());
        double sum = 0, magnitude = 0;
        const auto add = [&](double p) { sum += p, magnitude += std::abs(p); };
        for (int64_t c = 0; c < k; ++c)
          add(value(x_rows[static_cast<size_t>(t % kPeriod * k + c)]) * rounded(value(row[static_cast<size_t>(c)])));
        for (int64_t c = 0; c < rank; ++c)
          add(value(got_u[static_cast<size_t>(c)]) * rounded(value(b[static_cast<size_t>(j * rank + c)] * scale)));
        ASSERT_NEAR(value(got[static_cast<size_t>(j)]), sum,
                    test::dot_tolerance(4 * (k + rank + 2), magnitude, sum, DType::kBF16))
            << "token " << t << " column " << j;
      }
    }
    const TensorView d_y = tensor<bf16>("d_y", rows.tokens, n, d_rows);
    const TensorView d_x = d_x_in_f32 ? tensor<float>("d_x", rows.tokens, k, std::vector<float>(static_cast<size_t>(kPeriod * k)))
                                      : tensor<bf16>("d_x", rows.tokens, k);
    ops::LinearGrads grads;
    grads.d_x = d_x;
    grads.accumulate = d_x_in_f32;
    ops::linear_backward(test.exec, d_y, x, w, args, grads);
    for (const int64_t t : rows.seen) {
      std::vector<double> got(static_cast<size_t>(k));
      if (d_x_in_f32) {
        got = test::to_double(row_of<float>(d_x, t));
      } else {
        got = test::to_double(row_of<bf16>(d_x, t));
      }
      expect_input_gradient(w, a, b, scale, d_rows, t, got, d_x_in_f32 ? DType::kF32 : DType::kBF16);
    }
  }

 private:
  /// d_x[t] = d_y[t] W + (d_y[t] s B) A, the branch's middle rounded once.
  static void expect_input_gradient(const WeightView& w, const std::vector<float>& a, const std::vector<float>& b, float scale,
                                    const std::vector<bf16>& d_rows, int64_t t, const std::vector<double>& got, DType out) {
    const int64_t n = w.rows, k = w.cols, rank = static_cast<int64_t>(a.size()) / k;
    std::vector<double> sums(static_cast<size_t>(k)), magnitudes(sums), errors(sums);
    std::vector<double> v(static_cast<size_t>(rank)), v_size(v);
    std::vector<float> row(static_cast<size_t>(k));
    for (int64_t j = 0; j < n; ++j) {
      const double d = value(d_rows[static_cast<size_t>(t % kPeriod * n + j)]);
      ops::expand_row_reference(w, j, row.data());
      for (size_t c = 0; c < sums.size(); ++c) {
        const double p = d * rounded(value(row[c]));
        sums[c] += p, magnitudes[c] += std::abs(p);
      }
      for (int64_t r = 0; r < rank; ++r) {
        const double p = d * rounded(value(b[static_cast<size_t>(j * rank + r)] * scale));
        v[static_cast<size_t>(r)] += p, v_size[static_cast<size_t>(r)] += std::abs(p);
      }
    }
    for (int64_t r = 0; r < rank; ++r) {
      const auto at = static_cast<size_t>(r);
      const double error = test::dot_tolerance(n, v_size[at], v[at], DType::kBF16);
      for (int64_t c = 0; c < k; ++c) {
        const double factor = rounded(value(a[static_cast<size_t>(r * k + c)]));
        sums[static_cast<size_t>(c)] += v[at] * factor;
        magnitudes[static_cast<size_t>(c)] += std::abs(v[at] * factor);
        errors[static_cast<size_t>(c)] += error * std::abs(factor);
      }
    }
    for (size_t c = 0; c < sums.size(); ++c)
      ASSERT_NEAR(got[c], sums[c], test::dot_tolerance(n + rank, magnitudes[c], sums[c], out) + errors[c] * (1 + kBf16))
          << "d_x of token " << t << " column " << c;
  }
};

TEST_F(WideProduct, ManyColumnsOut) { check(14336, 64, /*d_x_in_f32=*/true); }

TEST_F(WideProduct, ManyColumnsIn) { check(64, 14336, /*d_x_in_f32=*/false); }

TEST_F(WideProduct, ManyColumnsInAdded) {
  if (device().free_bytes() < int64_t{16} << 30) GTEST_SKIP() << "needs 16 GiB";
  check(64, 14336, /*d_x_in_f32=*/true);
}

TEST_F(Wide, CrossEntropyOfManyRows) {
  // h and d_h pass 2^31 elements, in f32 and in bf16.
  const int64_t D = 4096, V = 512;
  const Rows rows(D, int64_t{1} << 31);
  const auto h_rows = test::random_values<bf16>(kPeriod * D, 1);
  const auto head = test::random_values<bf16>(V * D, 2, 2.0 / std::sqrt(static_cast<double>(D)));
  WeightView w;
  w.name = "head", w.layout = WeightLayout::kBF16, w.rows = V, w.cols = D;
  buffers_.push_back(device().allocate("head", MemoryUse::kWeights, V * D * 2));
  device().copy_in(buffers_.back().data(), head.data(), V * D * 2);
  w.data = static_cast<const std::byte*>(buffers_.back().data());
  std::vector<int32_t> targets(static_cast<size_t>(rows.tokens));
  std::vector<float> weights(targets.size()), nll(targets.size(), NAN);
  for (size_t t = 0; t < targets.size(); ++t) {
    targets[t] = static_cast<int32_t>(t * 7 % static_cast<size_t>(V));
    weights[t] = 0.5F + static_cast<float>(t % 3);
  }
  const TensorView h = tensor<bf16>("h", rows.tokens, D, h_rows);
  const TensorView d_h = tensor<float>("d_h", rows.tokens, D);
  TestExec test(DType::kBF16, ops::cross_entropy_scratch_bytes(TestExec(DType::kBF16, 64).exec, rows.tokens, V, D));
  ops::cross_entropy(test.exec, h, w, targets, weights, nll, d_h, {});
  for (const int64_t t : rows.seen) {
    const bf16* x = h_rows.data() + t % kPeriod * D;
    std::vector<double> p(static_cast<size_t>(V));
    double top = -1e300, error = 0, total = 0;
    for (size_t j = 0; j < p.size(); ++j) {
      double magnitude = 0;
      for (int64_t c = 0; c < D; ++c) {
        const double term = value(x[c]) * value(head[j * static_cast<size_t>(D) + static_cast<size_t>(c)]);
        p[j] += term, magnitude += std::abs(term);
      }
      top = std::max(top, p[j]);
      error = std::max(error, test::dot_tolerance(D, magnitude));
    }
    const auto target = static_cast<size_t>(targets[static_cast<size_t>(t)]);
    const double logit = p[target];
    for (double& x_j : p) total += x_j = std::exp(x_j - top);
    const double expected = top + std::log(total) - logit;
    // Every logit's own error, those of 2^x and of a sum of V.
    const double spread = 2 * error + 4e-7 + static_cast<double>(V + 8) * 0x1p-24;
    EXPECT_NEAR(value(nll[static_cast<size_t>(t)]), expected, spread + 0x1p-22 * (std::abs(top) + std::abs(logit))) << t;
    const auto got = row_of<float>(d_h, t);
    const double weight = value(weights[static_cast<size_t>(t)]);
    for (size_t c = 0; c < static_cast<size_t>(D); ++c) {
      double sum = 0, magnitude = 0;
      for (size_t j = 0; j < p.size(); ++j) {
        const double term = weight * (p[j] / total - (j == target ? 1.0 : 0.0)) * value(head[j * static_cast<size_t>(D) + c]);
        sum += term, magnitude += std::abs(term);
      }
      // A probability is rounded to bf16 once; the target's own term is f32.
      ASSERT_NEAR(value(got[c]), sum, (kBf16 + 2 * spread) * magnitude + test::dot_tolerance(V + 2, magnitude))
          << "d_h of row " << t << " column " << c;
    }
  }
}

}  // namespace
}  // namespace tenfold
