#include "ops/attention.h"

#include "ops/support.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace tenfold {
namespace {

using ops::AttentionSegment;
using test::Guarded;
using test::TestExec;

struct Case {
  std::string name;
  int64_t heads = 1;
  int64_t kv_heads = 1;
  int64_t head_dim = 16;
  std::vector<AttentionSegment> segments;

  int64_t tokens() const {
    int64_t n = 0;
    for (const auto& s : segments) n = std::max(n, s.q_end);
    return n;
  }
  int64_t keys() const {
    int64_t n = 0;
    for (const auto& s : segments) n = std::max(n, s.k_end);
    return n;
  }
  float scale() const { return 1.0F / std::sqrt(static_cast<float>(head_dim)); }
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::vector<AttentionSegment> whole(int64_t tokens, int64_t keys = 0) { return {{0, tokens, 0, keys == 0 ? tokens : keys}}; }

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const int64_t t : {1, 2, 9, 31, 33, 64, 65, 127, 200}) out.push_back({"tokens" + std::to_string(t), 3, 1, 64, whole(t)});
  for (const int64_t e : {16, 32, 48, 80, 96, 128, 256}) out.push_back({"head_dim" + std::to_string(e), 2, 1, e, whole(70)});
  for (const int64_t e : {8, 20}) out.push_back({"odd_head_dim" + std::to_string(e), 2, 2, e, whole(67)});
  for (const int64_t g : {1, 3, 4}) out.push_back({"group" + std::to_string(g), 2 * g, 2, 32, whole(75)});
  out.push_back({"cached_keys", 3, 1, 64, whole(33, 150)});
  out.push_back({"steps", 2, 1, 64, whole(330)});
  out.push_back({"steps_of_one_tile", 2, 1, 64, whole(12, 400)});
  out.push_back({"cached_keys_at_a_block", 2, 1, 64, whole(64, 192)});
  out.push_back({"decode_one", 6, 2, 64, whole(1, 777)});
  out.push_back({"decode_few", 6, 2, 64, whole(5, 530)});
  out.push_back({"decode_eight", 4, 1, 128, whole(8, 300)});
  out.push_back({"packed", 4, 2, 64, {{0, 40, 0, 40}, {40, 41, 40, 41}, {41, 141, 41, 141}, {141, 150, 141, 150}}});
  out.push_back({"packed_cached", 2, 1, 32, {{0, 20, 10, 80}, {20, 22, 80, 95}, {22, 60, 95, 133}}});
  Case many{"many_short", 2, 1, 16, {}};
  for (int64_t i = 0; i < 90; ++i) many.segments.push_back({9 * i, 9 * i + 9, 9 * i, 9 * i + 9});
  out.push_back(many);
  out.push_back({"shared_prefix", 2, 1, 32, {{0, 10, 0, 60}, {10, 30, 0, 60}, {30, 33, 20, 90}}});
  return out;
}

// Roundings of the arithmetic under test, for the bounds below.
struct Roundings {
  double product = 0;  // of P and dS before the second products
  double output = 0;   // of o and, through it, of delta
  double gradient = 0;
};

/// Attention and its gradients in f64, straight from the definition, with a bound on the error of each result for f32 sums: every
/// rounding enters once, to first order, worst case.
struct Naive {
  std::vector<double> o, lse, d_q, d_k, d_v;
  std::vector<double> o_bound, lse_bound, d_q_bound, d_k_bound, d_v_bound;
};

using Values = std::vector<double>;

Naive naive(const Case& c, const Values& q, const Values& k, const Values& v, const Values& d_o, const Roundings& u) {
  const int64_t H = c.heads, G = c.kv_heads, E = c.head_dim, T = c.tokens(), S = c.keys();
  const double scale = c.scale();
  const double f32 = 0x1p-24;
  Naive r;
  for (auto* x : {&r.o, &r.o_bound, &r.d_q, &r.d_q_bound}) x->assign(static_cast<size_t>(T * H * E), 0.0);
  for (auto* x : {&r.lse, &r.lse_bound}) x->assign(static_cast<size_t>(T * H), 0.0);
  for (auto* x : {&r.d_k, &r.d_k_bound, &r.d_v, &r.d_v_bound}) x->assign(static_cast<size_t>(S * G * E), 0.0);
  Values s(static_cast<size_t>(S)), p(s), d_p(s), d_s(s), p_error(s), d_s_error(s);
  for (const auto& segment : c.segments)
    for (int64_t t = segment.q_begin; t < segment.q_end; ++t)
      for (int64_t h = 0; h < H; ++h) {
        const int64_t g = h / (H / G);
        const int64_t end = segment.k_end - (segment.q_end - 1 - t);
        const auto q_at = static_cast<size_t>((t * H + h) * E);
        const auto kv_at = [&](int64_t j) { return static_cast<size_t>((j * G + g) * E); };
        const auto n = static_cast<double>(end - segment.k_begin);
        double top = -1e300, score_error = 0;
        for (int64_t j = segment.k_begin; j < end; ++j) {
          double sum = 0, magnitude = 0;
          for (size_t e = 0; e < static_cast<size_t>(E); ++e) {
            sum += q[q_at + e] * k[kv_at(j) + e];
            magnitude += std::abs(q[q_at + e] * k[kv_at(j) + e]);
          }
          s[static_cast<size_t>(j)] = scale * sum;
          top = std::max(top, scale * sum);
          score_error = std::max(score_error, scale * test::dot_tolerance(E + 4, magnitude));
        }
        double total = 0;
        for (int64_t j = segment.k_begin; j < end; ++j) total += std::exp(s[static_cast<size_t>(j)] - top);
        // A probability: the score, its difference to the maximum, and 2^x of a polynomial.
        const double spread = score_error + 4 * f32 * (std::abs(top) + 1) * 2 + 4e-7;
        const double sum_error = spread + (n + 8) * f32;
        r.lse[static_cast<size_t>(h * T + t)] = top + std::log(total);
        r.lse_bound[static_cast<size_t>(h * T + t)] = sum_error + f32 * std::abs(top + std::log(total)) * 2;
        double delta = 0, delta_magnitude = 0, d_p_magnitude_max = 0;
        for (size_t e = 0; e < static_cast<size_t>(E); ++e) {
          double sum = 0, magnitude = 0;
          for (int64_t j = segment.k_begin; j < end; ++j) {
            const double x = std::exp(s[static_cast<size_t>(j)] - top) / total * v[kv_at(j) + e];
            sum += x;
            magnitude += std::abs(x);
          }
          r.o[q_at + e] = sum;
          const double before = magnitude * (u.product + 2 * sum_error);
          r.o_bound[q_at + e] = before + u.output * (std::abs(sum) + before);
          delta += sum * d_o[q_at + e];
          delta_magnitude += std::abs(d_o[q_at + e]) * (r.o_bound[q_at + e] + (static_cast<double>(E) + 2) * f32 * std::abs(sum));
        }
        for (int64_t j = segment.k_begin; j < end; ++j) {
          double sum = 0, magnitude = 0;
          for (size_t e = 0; e < static_cast<size_t>(E); ++e) {
            sum += d_o[q_at + e] * v[kv_at(j) + e];
            magnitude += std::abs(d_o[q_at + e] * v[kv_at(j) + e]);
          }
          const auto at = static_cast<size_t>(j);
          p[at] = std::exp(s[at] - top) / total;
          p_error[at] = 2 * sum_error + f32 * std::abs(top + std::log(total)) * 4;  // relative
          d_p[at] = sum;
          d_s[at] = p[at] * (sum - delta);
          d_p_magnitude_max = test::dot_tolerance(E + 2, magnitude);
          d_s_error[at] = p[at] * (d_p_magnitude_max + delta_magnitude) + std::abs(d_s[at]) * (p_error[at] + u.product);
        }
        for (int64_t j = segment.k_begin; j < end; ++j)
          for (size_t e = 0; e < static_cast<size_t>(E); ++e) {
            const auto at = static_cast<size_t>(j);
            const double sums = 300 * f32;  // the sums over rows, whose terms are bounded one by one
            r.d_v[kv_at(j) + e] += p[at] * d_o[q_at + e];
            r.d_v_bound[kv_at(j) + e] += p[at] * std::abs(d_o[q_at + e]) * (p_error[at] + u.product + sums + u.gradient);
            r.d_k[kv_at(j) + e] += scale * d_s[at] * q[q_at + e];
            r.d_k_bound[kv_at(j) + e] +=
                scale * std::abs(q[q_at + e]) * (d_s_error[at] + std::abs(d_s[at]) * (sums + u.gradient));
            r.d_q[q_at + e] += scale * d_s[at] * k[kv_at(j) + e];
            r.d_q_bound[q_at + e] +=
                scale * std::abs(k[kv_at(j) + e]) * (d_s_error[at] + std::abs(d_s[at]) * (sums + u.gradient));
          }
      }
  return r;
}

/// Inputs as columns of one fused buffer [q | k | v] where tokens and keys are as many, else apart; outputs between guards.
template <typename T>
struct Tensors {
  const Case& c;
  std::vector<T> q, k, v, d_o;
  std::vector<T> fused;
  TensorView q_view, k_view, v_view;
  Guarded<T> o;
  Guarded<float> lse;
  Guarded<float> d_q, d_k, d_v;

  explicit Tensors(const Case& test_case, double spread = 1.0)
      : c(test_case),
        q(test::random_values<T>(c.tokens() * c.heads * c.head_dim, 1, spread)),
        k(test::random_values<T>(c.keys() * c.kv_heads * c.head_dim, 2, spread)),
        v(test::random_values<T>(c.keys() * c.kv_heads * c.head_dim, 3, 1.0, 0.5)),
        d_o(test::random_values<T>(c.tokens() * c.heads * c.head_dim, 4)),
        o(c.tokens(), c.heads * c.head_dim, c.heads * c.head_dim + 24),
        lse(c.heads, c.tokens()),
        d_q(c.tokens(), c.heads * c.head_dim, c.heads * c.head_dim + 8),
        d_k(c.keys(), c.kv_heads * c.head_dim),
        d_v(c.keys(), c.kv_heads * c.head_dim) {
    const int64_t q_cols = c.heads * c.head_dim, kv_cols = c.kv_heads * c.head_dim, row = q_cols + 2 * kv_cols;
    const int64_t rows = std::max(c.tokens(), c.keys());
    fused.assign(static_cast<size_t>(rows * row), test::cast_to<T>(NAN));
    const auto place = [&](const std::vector<T>& from, int64_t cols, int64_t at) {
      for (int64_t i = 0; i < static_cast<int64_t>(from.size()) / cols; ++i)
        std::copy_n(from.data() + i * cols, cols, fused.data() + i * row + at);
    };
    place(q, q_cols, 0);
    place(k, kv_cols, q_cols);
    place(v, kv_cols, q_cols + kv_cols);
    const auto view = [&](const char* name, int64_t count, int64_t heads, int64_t at) {
      TensorView t(name, DTypeOf<T>::value, {count, heads, c.head_dim}, fused.data() + at);
      t.strides[0] = row;
      return t;
    };
    q_view = view("q", c.tokens(), c.heads, 0);
    k_view = view("k", c.keys(), c.kv_heads, q_cols);
    v_view = view("v", c.keys(), c.kv_heads, q_cols + kv_cols);
  }

  template <typename U>
  static TensorView heads_view(Guarded<U>& g, const char* name, int64_t heads) {
    TensorView rows = g.view(name);
    TensorView t(name, DTypeOf<U>::value, {rows.dim(0), heads, rows.dim(1) / heads}, rows.data);
    t.strides[0] = rows.stride(0);
    return t;
  }
  void forward(Exec& exec) {
    ops::attention_forward(exec, q_view, k_view, v_view, c.segments, c.scale(), heads_view(o, "o", c.heads), lse.view("lse"));
  }
  void backward(Exec& exec) {
    const TensorView d_o_view("d_o", DTypeOf<T>::value, {c.tokens(), c.heads, c.head_dim}, d_o.data());
    ops::attention_backward(
        exec, d_o_view, q_view, k_view, v_view, heads_view(o, "o", c.heads), lse.view("lse"), c.segments, c.scale(),
        {heads_view(d_q, "d_q", c.heads), heads_view(d_k, "d_k", c.kv_heads), heads_view(d_v, "d_v", c.kv_heads)});
  }
  bool intact() const { return o.intact() && lse.intact() && d_q.intact() && d_k.intact() && d_v.intact(); }
};

/// An Exec whose scratch is exactly what the op asks for.
struct PlannedExec {
  explicit PlannedExec(const Case& c, DType compute, int threads = 2)
      : measure(compute, 64, threads),
        bytes(ops::attention_scratch_bytes(measure.exec, c.tokens(), c.keys(), c.heads, c.kv_heads, c.head_dim,
                                           /*training=*/true)),
        test(compute, bytes, threads) {}
  TestExec measure;
  int64_t bytes;
  TestExec test;
  Exec& exec() { return test.exec; }
};

class Attention : public testing::TestWithParam<Case> {};

template <typename T>
void expect_near_naive(const Case& c, const Roundings& roundings) {
  Tensors<T> t(c);
  PlannedExec planned(c, DTypeOf<T>::value);
  t.forward(planned.exec());
  t.backward(planned.exec());
  const Naive expected =
      naive(c, test::to_double(t.q), test::to_double(t.k), test::to_double(t.v), test::to_double(t.d_o), roundings);
  EXPECT_TRUE(test::near(t.o.values(), expected.o, expected.o_bound));
  EXPECT_TRUE(test::near(t.lse.values(), expected.lse, expected.lse_bound));
  EXPECT_TRUE(test::near(t.d_q.values(), expected.d_q, expected.d_q_bound));
  EXPECT_TRUE(test::near(t.d_k.values(), expected.d_k, expected.d_k_bound));
  EXPECT_TRUE(test::near(t.d_v.values(), expected.d_v, expected.d_v_bound));
  EXPECT_TRUE(t.intact());
}

TEST_P(Attention, F32IsNearTheDefinition) { expect_near_naive<float>(GetParam(), {}); }

TEST_P(Attention, Bf16IsNearTheDefinition) {
  // P, dS and o carry one rounding to bf16 each; the inputs are bf16 already and the sums f32.
  const double u = test::unit_roundoff(DType::kBF16);
  expect_near_naive<bf16>(GetParam(), {u, u, 0});
}

TEST_P(Attention, ForwardDoesNotDependOnThreadsAndBackwardRepeats) {
  const Case& c = GetParam();
  std::vector<std::vector<float>> seen;
  std::vector<std::vector<bf16>> outputs;
  for (const int threads : {1, 2, 3, 2}) {
    Tensors<bf16> t(c);
    PlannedExec planned(c, DType::kBF16, threads);
    t.forward(planned.exec());
    t.backward(planned.exec());
    outputs.push_back(t.o.values());
    EXPECT_TRUE(test::bits_equal(outputs.back(), outputs.front())) << threads;
    for (auto* g : {&t.d_q, &t.d_k, &t.d_v}) seen.push_back(g->values());
  }
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(test::bits_equal(seen[9 + i], seen[3 + i]));  // two threads, twice
}

INSTANTIATE_TEST_SUITE_P(Table, Attention, testing::ValuesIn(cases()), [](const auto& entry) { return entry.param.name; });

TEST(AttentionGradients, AgreeWithFiniteDifferencesOfTheDefinition) {
  const Case c{"fd", 2, 1, 8, {{0, 5, 0, 7}, {5, 9, 7, 11}}};
  Tensors<float> t(c);
  PlannedExec planned(c, DType::kF32);
  t.forward(planned.exec());
  t.backward(planned.exec());
  Values q = test::to_double(t.q), k = test::to_double(t.k), v = test::to_double(t.v);
  const Values d_o = test::to_double(t.d_o);
  const auto loss = [&] {
    const Naive n = naive(c, q, k, v, d_o, {});
    double sum = 0;
    for (size_t i = 0; i < d_o.size(); ++i) sum += n.o[i] * d_o[i];
    return sum;
  };
  const double h = 1e-4;
  const auto differences = [&](Values& x) {
    Values out(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const double kept = x[i];
      x[i] = kept + h;
      const double up = loss();
      x[i] = kept - h;
      out[i] = (up - loss()) / (2 * h);
      x[i] = kept;
    }
    return out;
  };
  // Central differences err by h^2 / 6 times a third derivative of order one; f32 adds about 1e-6.
  EXPECT_TRUE(test::near(t.d_q.values(), differences(q), 1e-5));
  EXPECT_TRUE(test::near(t.d_k.values(), differences(k), 1e-5));
  EXPECT_TRUE(test::near(t.d_v.values(), differences(v), 1e-5));
}

// A prompt of 300 attended whole, and in chunks of more than 8 queries against the keys so far.
template <typename T>
void expect_chunks_equal_whole(int64_t head_dim) {
  const Case c{"whole", 3, 1, head_dim, whole(300)};
  Tensors<T> t(c, 3.0);
  PlannedExec planned(c, DTypeOf<T>::value);
  t.forward(planned.exec());
  const auto expected = t.o.values();
  const auto expected_lse = t.lse.values();
  for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{0, 9, 64, 165, 174, 300}, {0, 128, 256, 300}, {0, 97, 300}}) {
    Tensors<T> chunked(c, 3.0);
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
      const std::vector<AttentionSegment> segment = {{0, cuts[i + 1] - cuts[i], 0, cuts[i + 1]}};
      const TensorView all = Tensors<T>::heads_view(chunked.o, "o", c.heads);
      Guarded<float> lse(c.heads, cuts[i + 1] - cuts[i]);
      ops::attention_forward(planned.exec(), chunked.q_view.rows(cuts[i], cuts[i + 1]), chunked.k_view.rows(0, cuts[i + 1]),
                             chunked.v_view.rows(0, cuts[i + 1]), segment, c.scale(), all.rows(cuts[i], cuts[i + 1]),
                             lse.view("lse"));
      for (int64_t h = 0; h < c.heads; ++h)
        for (int64_t j = cuts[i]; j < cuts[i + 1]; ++j)
          EXPECT_EQ(lse.at(h, j - cuts[i]), expected_lse[static_cast<size_t>(h * 300 + j)]);
    }
    EXPECT_TRUE(test::bits_equal(chunked.o.values(), expected));
  }
}

TEST(AttentionChunks, OfAPromptGiveTheSameBitsF32) { expect_chunks_equal_whole<float>(64); }
TEST(AttentionChunks, OfAPromptGiveTheSameBitsBf16) {
  expect_chunks_equal_whole<bf16>(64);
  expect_chunks_equal_whole<bf16>(128);
}

// Large scores: the softmax is nearly one-hot and its maximum grows along the keys, step after step.
TEST(AttentionScores, MayBeLargeAndGrowing) {
  for (const int64_t head_dim : {16, 64})
    for (const auto& segments : {whole(150), whole(12, 400), whole(40, 400)}) {
      const Case c{"growing", 1, 1, head_dim, segments};
      Tensors<bf16> t(c);
      for (int64_t j = 0; j < c.keys() * head_dim; ++j)
        t.k[static_cast<size_t>(j)] = bf16(static_cast<float>(j / head_dim) * 0.25F);
      for (int64_t j = 0; j < c.tokens() * head_dim; ++j)
        t.q[static_cast<size_t>(j)] = bf16((j / head_dim % 2 == 0 ? 16.0F : -16.0F) / static_cast<float>(head_dim));
      t.q_view = TensorView("q", DType::kBF16, {c.tokens(), 1, head_dim}, t.q.data());
      t.k_view = TensorView("k", DType::kBF16, {c.keys(), 1, head_dim}, t.k.data());
      PlannedExec planned(c, DType::kBF16);
      t.forward(planned.exec());
      const double u = test::unit_roundoff(DType::kBF16);
      const Naive n =
          naive(c, test::to_double(t.q), test::to_double(t.k), test::to_double(t.v), test::to_double(t.d_o), {u, u, 0});
      EXPECT_TRUE(test::near(t.o.values(), n.o, n.o_bound)) << head_dim << " " << c.keys();
      EXPECT_TRUE(test::near(t.lse.values(), n.lse, n.lse_bound)) << head_dim << " " << c.keys();
    }
}

template <typename T>
void expect_nan_spreads() {
  for (const int64_t tokens : {4, 300}) {  // decoding and tiles
    const Case c{"nan", 2, 1, 32, whole(tokens)};
    for (const int which : {0, 1, 2}) {
      Tensors<T> t(c);
      const int64_t poisoned = tokens / 2;
      auto view = which == 0 ? t.q_view : which == 1 ? t.k_view : t.v_view;
      view.template row<T>(poisoned)[3] = test::cast_to<T>(NAN);
      PlannedExec planned(c, DTypeOf<T>::value);
      t.forward(planned.exec());
      // q: its own row of head 0; k and v: every row that sees the key.
      for (int64_t row = poisoned; row < (which == 0 ? poisoned + 1 : tokens); ++row)
        EXPECT_TRUE(std::isnan(static_cast<float>(t.o.at(row, 3)))) << "input " << which << " row " << row << " of " << tokens;
      // A value's NaN fills its block of keys, as 0 times NaN does in a matrix product.
      if (which != 2 || tokens > 8) {
        EXPECT_FALSE(std::isnan(static_cast<float>(t.o.at(0, 3)))) << "the first row sees none of them";
      }
    }
  }
}

TEST(AttentionNan, IsNotSwallowed) {
  expect_nan_spreads<float>();
  expect_nan_spreads<bf16>();
}

TEST(AttentionFlops, CountVisiblePairs) {
  const std::vector<AttentionSegment> segments = {{0, 3, 0, 5}};  // 3 + 4 + 5 pairs
  EXPECT_EQ(ops::attention_flops(segments, 2, 8), 4.0 * 8 * 2 * 12);
}

TEST(AttentionScratch, StaysSmallForALongSequence) {
  TestExec test(DType::kBF16, 64, 2);
  EXPECT_LT(ops::attention_scratch_bytes(test.exec, 8192, 8192, 9, 3, 64, /*training=*/true), int64_t{60} << 20);
}

TEST(AttentionValidation, RejectsMoreQueriesThanKeys) {
  const Case c{"bad", 1, 1, 16, whole(4)};
  Tensors<float> t(c);
  TestExec test;
  const std::vector<AttentionSegment> bad = {{0, 4, 0, 3}};
  EXPECT_DEATH(
      ops::attention_forward(test.exec, t.q_view, t.k_view, t.v_view, bad, 1.0F, Tensors<float>::heads_view(t.o, "o", 1), {}),
      "segment of queries");
}

}  // namespace
}  // namespace tenfold
