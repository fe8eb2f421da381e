// What tests/ops/attention_test.cpp does not reach: cuDNN's path (bf16 gradients, whole blocks of 128), long caches, tensors of
// more than 2^31 elements. The generic body, which those tests hold to the definition, is the reference.
#include "ops/attention.h"

#include "ops/support.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace tenfold {
namespace {

using ops::AttentionSegment;

/// Rows of heads in device memory.
template <typename T>
class DeviceHeads {
 public:
  DeviceHeads(const char* name, int64_t rows, int64_t heads, int64_t head_dim, int64_t stride = 0)
      : rows_(rows),
        heads_(heads),
        head_dim_(head_dim),
        stride_(stride == 0 ? heads * head_dim : stride),
        buffer_(test::gpu()->allocate(name, MemoryUse::kActivations, rows * stride_ * static_cast<int64_t>(sizeof(T)))) {
    test::gpu()->fill_zero(buffer_.data(), buffer_.bytes());
  }
  DeviceHeads(const char* name, const std::vector<double>& values, int64_t heads, int64_t head_dim, int64_t stride = 0)
      : DeviceHeads(name, static_cast<int64_t>(values.size()) / heads / head_dim, heads, head_dim, stride) {
    std::vector<T> host(static_cast<size_t>(rows_ * stride_), test::cast_to<T>(NAN));
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t i = 0; i < heads * head_dim; ++i)
        host[static_cast<size_t>(r * stride_ + i)] = test::cast_to<T>(values[static_cast<size_t>(r * heads * head_dim + i)]);
    test::gpu()->copy_in(buffer_.data(), host.data(), buffer_.bytes());
  }

  TensorView view() const {
    TensorView t = buffer_.view(DTypeOf<T>::value, {rows_ * stride_});
    t.rank = 3;
    t.shape = {rows_, heads_, head_dim_};
    t.strides = {stride_, head_dim_, 1};
    return t;
  }
  std::vector<double> values() const {
    std::vector<T> host(static_cast<size_t>(rows_ * stride_));
    test::gpu()->copy_out(host.data(), buffer_.data(), buffer_.bytes());
    std::vector<double> out;
    out.reserve(static_cast<size_t>(rows_ * heads_ * head_dim_));
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t i = 0; i < heads_ * head_dim_; ++i)
        out.push_back(static_cast<double>(static_cast<float>(host[static_cast<size_t>(r * stride_ + i)])));
    return out;
  }

 private:
  int64_t rows_, heads_, head_dim_, stride_;
  Buffer buffer_;
};

/// (H, T) over heads of one row each.
TensorView lse_of(const DeviceHeads<float>& t) {
  TensorView view = t.view();
  view.rank = 2;
  view.shape = {view.dim(0), view.dim(2)};
  view.strides = {view.stride(0), 1};
  return view;
}

struct Case {
  int64_t heads = 1, kv_heads = 1, head_dim = 64, tokens = 0, keys = 0;
  std::vector<AttentionSegment> segments;

  float scale() const { return 1.0F / std::sqrt(static_cast<float>(head_dim)); }
};

struct Results {
  std::vector<double> o, lse, d_q, d_k, d_v;
};

/// Forward and backward in the dtype, gradients in the same.
template <typename T>
Results run(const Case& c, bool backward = true) {
  const auto values = [&](int64_t rows, int64_t heads, uint64_t seed) {
    return test::to_double(test::random_values<bf16>(rows * heads * c.head_dim, seed));
  };
  const int64_t stride = (c.heads + 2) * c.head_dim;  // rows with gaps
  const DeviceHeads<T> q("q", values(c.tokens, c.heads, 1), c.heads, c.head_dim, stride);
  const DeviceHeads<T> k("k", values(c.keys, c.kv_heads, 2), c.kv_heads, c.head_dim, stride);
  const DeviceHeads<T> v("v", values(c.keys, c.kv_heads, 3), c.kv_heads, c.head_dim);
  const DeviceHeads<T> d_o("d_o", values(c.tokens, c.heads, 4), c.heads, c.head_dim);
  const DeviceHeads<T> o("o", values(c.tokens, c.heads, 5), c.heads, c.head_dim);
  const DeviceHeads<T> d_q("d_q", values(c.tokens, c.heads, 6), c.heads, c.head_dim, stride);
  const DeviceHeads<T> d_k("d_k", values(c.keys, c.kv_heads, 7), c.kv_heads, c.head_dim);
  const DeviceHeads<T> d_v("d_v", values(c.keys, c.kv_heads, 8), c.kv_heads, c.head_dim);
  const DeviceHeads<float> lse("lse", c.heads, 1, c.tokens);
  const TensorView lse_view = lse_of(lse);
  test::TestExec measure(DTypeOf<T>::value, 64);
  test::TestExec test(DTypeOf<T>::value, ops::attention_scratch_bytes(measure.exec, c.tokens, c.keys, c.heads, c.kv_heads,
                                                                      c.head_dim, /*training=*/true));
  ops::attention_forward(test.exec, q.view(), k.view(), v.view(), c.segments, c.scale(), o.view(), lse_view);
  if (backward)
    ops::attention_backward(test.exec, d_o.view(), q.view(), k.view(), v.view(), o.view(), lse_view, c.segments, c.scale(),
                            {d_q.view(), d_k.view(), d_v.view()});
  return {o.values(), lse.values(), d_q.values(), d_k.values(), d_v.values()};
}

double norm(const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  return std::sqrt(sum);
}

/// The difference in norm, relative. A rounding to bf16 is off by 2^-9 at most and half of that on average; P, dS, o and the
/// result carry one each, a gradient of grouped heads one more a head: 2^-7 holds them all, and no element may stand out.
void expect_alike(const std::vector<double>& actual, const std::vector<double>& expected, const char* what) {
  ASSERT_EQ(actual.size(), expected.size());
  std::vector<double> difference(actual.size());
  double largest = 0;
  double worst = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    difference[i] = actual[i] - expected[i];
    largest = std::max(largest, std::abs(expected[i]));
    worst = std::max(worst, std::abs(difference[i]));
  }
  EXPECT_LE(norm(difference), 0x1p-7 * norm(expected)) << what;  // false for NaN
  EXPECT_LE(worst, 0x1p-5 * largest) << what;
}

void expect_alike(const Results& actual, const Results& expected) {
  expect_alike(actual.o, expected.o, "o");
  expect_alike(actual.d_q, expected.d_q, "d_q");
  expect_alike(actual.d_k, expected.d_k, "d_k");
  expect_alike(actual.d_v, expected.d_v, "d_v");
  EXPECT_TRUE(test::near(actual.lse, expected.lse, 1e-4)) << "lse";
}

TEST(GpuAttention, WholeBlocksAgreeWithTheGenericBody) {
  for (const int64_t e : {64, 128}) {
    SCOPED_TRACE(e);
    const Case one{.heads = 6, .kv_heads = 2, .head_dim = e, .tokens = 256, .keys = 256, .segments = {{0, 256, 0, 256}}};
    expect_alike(run<bf16>(one), run<float>(one));
    const Case two{.heads = 3,
                   .kv_heads = 3,
                   .head_dim = e,
                   .tokens = 384,
                   .keys = 640,
                   .segments = {{0, 256, 0, 256}, {256, 384, 256, 640}}};
    expect_alike(run<bf16>(two), run<float>(two));
  }
}

TEST(GpuAttention, BodiesMeetInOneCall) {
  // cuDNN, tiles, a decoded token, two rows and keys of nobody.
  const Case c{.heads = 4,
               .kv_heads = 2,
               .head_dim = 64,
               .tokens = 203,
               .keys = 203,
               .segments = {{0, 128, 0, 128}, {128, 200, 128, 200}, {200, 201, 200, 201}}};
  const Results actual = run<bf16>(c);
  expect_alike(actual.o, run<float>(c).o, "o");
  expect_alike(actual.d_q, run<float>(c).d_q, "d_q");
  expect_alike(actual.d_k, run<float>(c).d_k, "d_k");
  expect_alike(actual.d_v, run<float>(c).d_v, "d_v");
  for (const auto* x : {&actual.d_k, &actual.d_v})
    for (size_t i = x->size() - 2 * 2 * 64; i < x->size(); ++i) EXPECT_EQ((*x)[i], 0.0);
}

TEST(GpuAttention, DecodingAgreesWithTiles) {
  // The last of 9 queries is a decoded query of its own. {32, 32}: ranges of more than the least; {7, 1}: two at a time of eight
  // rows.
  for (const auto& [heads, kv_heads] : {std::pair<int64_t, int64_t>{4, 1}, {7, 1}, {32, 32}})
    for (const int64_t queries : {1, 3, 8}) {
      if (kv_heads == 32 && queries != 3) continue;  // its inputs take seconds to make
      Case c{.heads = heads, .kv_heads = kv_heads, .head_dim = 128, .tokens = 9, .keys = 8200, .segments = {}};
      if (kv_heads == 32) c.head_dim = 64;
      c.segments = {{0, 9, 0, 8200}};
      const Results tiles = run<bf16>(c, false);
      c.segments = {{0, 9 - queries, 0, 8200 - queries}, {9 - queries, 9, 0, 8200}};
      const Results decoded = run<bf16>(c, false);
      expect_alike(decoded.o, tiles.o, "o");
      EXPECT_TRUE(test::near(decoded.lse, tiles.lse, 1e-4)) << heads << " heads, " << queries << " queries";
    }
}

/// The rows of a few heads.
TensorView some_heads(TensorView t, int64_t first, int64_t count) {
  t.data = static_cast<std::byte*>(t.data) + first * t.stride(1) * size_of(t.dtype);
  t.shape[1] = count;
  return t;
}

/// Random values, repeated with a prime period.
void fill(const DeviceHeads<bf16>& t, uint64_t seed) {
  const TensorView view = t.view();
  const auto values = test::random_values<bf16>(4194301, seed, 0.5);
  const auto period = static_cast<int64_t>(values.size());
  const int64_t total = view.dim(0) * view.stride(0);
  for (int64_t at = 0; at < total; at += period)
    test::gpu()->copy_in(view.ptr<bf16>() + at, values.data(), std::min(period, total - at) * 2);
}

TEST(GpuAttentionLarge, GroupsOfHeadsAgreeWithHeadsAlone) {
  // The whole backward would ask for 643 MiB here, so it goes by halves of the heads; a call for one group alone does not.
  const int64_t T = 20480, H = 32, G = 8, E = 128;
  const DeviceHeads<bf16> q("q", T, H, E), k("k", T, G, E), v("v", T, G, E), d_o("d_o", T, H, E), o("o", T, H, E);
  const DeviceHeads<bf16> d_q("d_q", T, H, E), d_k("d_k", T, G, E), d_v("d_v", T, G, E);
  const DeviceHeads<bf16> part_q("d_q", T, H / G, E), part_k("d_k", T, 1, E), part_v("d_v", T, 1, E);
  const DeviceHeads<float> lse("lse", H, 1, T);
  const TensorView lse_view = lse_of(lse);
  uint64_t seed = 1;
  for (const auto* t : {&q, &k, &v, &d_o}) fill(*t, seed++);
  test::TestExec measure(DType::kBF16, 64);
  const int64_t bytes = ops::attention_scratch_bytes(measure.exec, T, T, H, G, E, /*training=*/true);
  EXPECT_LT(bytes, int64_t{640} << 20);
  test::TestExec test(DType::kBF16, bytes);
  const std::vector<AttentionSegment> segments = {{0, T, 0, T}};
  const float scale = 1.0F / std::sqrt(static_cast<float>(E));
  ops::attention_forward(test.exec, q.view(), k.view(), v.view(), segments, scale, o.view(), lse_view);
  ops::attention_backward(test.exec, d_o.view(), q.view(), k.view(), v.view(), o.view(), lse_view, segments, scale,
                          {d_q.view(), d_k.view(), d_v.view()});
  const int64_t group = 5;
  const auto heads = [&](const DeviceHeads<bf16>& t) { return some_heads(t.view(), group * (H / G), H / G); };
  const auto kv_head = [&](const DeviceHeads<bf16>& t) { return some_heads(t.view(), group, 1); };
  ops::attention_backward(test.exec, heads(d_o), heads(q), kv_head(k), kv_head(v), heads(o),
                          lse_view.rows(group * 4, group * 4 + 4), segments, scale,
                          {part_q.view(), part_k.view(), part_v.view()});
  const auto pick = [&](const std::vector<double>& all, int64_t first, int64_t count, int64_t of) {
    std::vector<double> out;
    out.reserve(static_cast<size_t>(T * count * E));
    for (int64_t t = 0; t < T; ++t)
      out.insert(out.end(), all.begin() + (t * of + first) * E, all.begin() + (t * of + first + count) * E);
    return out;
  };
  expect_alike(pick(d_q.values(), group * 4, 4, H), part_q.values(), "d_q");
  expect_alike(pick(d_k.values(), group, 1, G), part_k.values(), "d_k");
  expect_alike(pick(d_v.values(), group, 1, G), part_v.values(), "d_v");
}

/// The last row of a tensor.
std::vector<double> last_row(const DeviceHeads<bf16>& t) {
  const TensorView view = t.view();
  std::vector<bf16> host(static_cast<size_t>(view.stride(0)));
  test::gpu()->copy_out(host.data(), view.row<bf16>(view.dim(0) - 1), view.stride(0) * 2);
  return test::to_double(host);
}

TEST(GpuAttentionLarge, PastTwoToThe31Elements) {
  const int64_t T = 524288 + 128, H = 32, G = 8, E = 128;
  if (test::gpu()->free_bytes() < int64_t{28} << 30) GTEST_SKIP() << "needs 28 GiB";
  const DeviceHeads<bf16> q("q", T, H, E), k("k", T, G, E), v("v", T, G, E), d_o("d_o", T, H, E), o("o", T, H, E);
  const DeviceHeads<bf16> d_q("d_q", T, H, E), d_k("d_k", T, G, E), d_v("d_v", T, G, E);
  const DeviceHeads<float> lse("lse", H, 1, T);
  const TensorView lse_view = lse_of(lse);
  uint64_t seed = 1;
  for (const auto* t : {&q, &k, &v, &d_o}) fill(*t, seed++);
  test::TestExec measure(DType::kBF16, 64);
  test::TestExec test(DType::kBF16, ops::attention_scratch_bytes(measure.exec, T, T, H, G, E, /*training=*/true));
  const float scale = 1.0F / std::sqrt(static_cast<float>(E));
  const std::vector<AttentionSegment> all = {{0, T, 0, T}};
  const std::vector<AttentionSegment> last = {{T - 1, T, 0, T}};
  ops::attention_forward(test.exec, q.view(), k.view(), v.view(), all, scale, o.view(), lse_view);
  ops::attention_backward(test.exec, d_o.view(), q.view(), k.view(), v.view(), o.view(), lse_view, all, scale,
                          {d_q.view(), d_k.view(), d_v.view()});
  const auto o_last = last_row(o), d_q_last = last_row(d_q), d_k_last = last_row(d_k), d_v_last = last_row(d_v);
  // The last query alone, by the other bodies; the last key has no other query.
  ops::attention_forward(test.exec, q.view(), k.view(), v.view(), last, scale, o.view(), lse_view);
  ops::attention_backward(test.exec, d_o.view(), q.view(), k.view(), v.view(), o.view(), lse_view, last, scale,
                          {d_q.view(), d_k.view(), d_v.view()});
  expect_alike(o_last, last_row(o), "o");
  expect_alike(d_q_last, last_row(d_q), "d_q");
  expect_alike(d_k_last, last_row(d_k), "d_k");
  expect_alike(d_v_last, last_row(d_v), "d_v");
}

}  // namespace
}  // namespace tenfold
