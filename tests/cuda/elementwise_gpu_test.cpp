// What only a GPU shows of the memory-bound ops: 16-byte accesses give the bits of scalar ones, offsets past 2^31 elements are
// right.
#include "ops/adamw.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/swiglu.h"

#include "ops/support.h"

#include <gtest/gtest.h>

#include <functional>
#include <numeric>

namespace tenfold {
namespace {

using test::Guarded;
using test::TestExec;

constexpr float kEps = 1e-5F;

// A tensor twice: rows that begin at multiples of 64 bytes, and rows at odd strides, which only scalar accesses can reach.
template <typename T>
struct Twice {
  Guarded<T> even, odd;
  Twice(int64_t rows, int64_t cols, const std::vector<T>& values) : even(rows, cols), odd(rows, cols, cols + 1) {
    even.assign(values);
    odd.assign(values);
  }
  Twice(int64_t rows, int64_t cols) : even(rows, cols), odd(rows, cols, cols + 1) {}
  testing::AssertionResult agree() { return test::bits_equal(even.values(), odd.values()); }
};

template <typename T>
void expect_vectors_as_scalars() {
  const int64_t tokens = 70, d = 1040;  // whole chunks of each type, not a whole number of blocks
  TestExec test(DTypeOf<T>::value);
  Exec& exec = test.exec;
  const auto n = tokens * d;
  Twice<T> x(tokens, d, test::random_values<T>(n, 1)), up(tokens, d, test::random_values<T>(n, 2)), y(tokens, d), z(tokens, d);
  Twice<float> f(tokens, d, test::random_values(n, 3)), d_x(tokens, d, test::random_values(n, 4));
  auto weight = test::random_values(d, 5, 0.3, 1.0);
  const TensorView w("weight", DType::kF32, {d}, weight.data());
  Guarded<float> d_weight_even(1, d), d_weight_odd(1, d);
  d_weight_even.assign(weight);
  d_weight_odd.assign(weight);
  std::vector<int64_t> positions(static_cast<size_t>(tokens));
  std::iota(positions.begin(), positions.end(), 100);
  std::vector<float> inv_freq(40, 0.01F);  // heads of 80
  Guarded<float> cos(tokens, 40), sin(tokens, 40);
  ops::rope_table(exec, inv_freq, positions, 1.0F, cos.view("cos"), sin.view("sin"));
  for (const bool even : {true, false}) {
    const auto view = [&](auto& t, const char* name) { return even ? t.even.view(name) : t.odd.view(name); };
    ops::swiglu_forward(exec, view(x, "gate"), view(up, "up"), view(y, "a"));
    ops::swiglu_backward(exec, view(f, "d_a"), view(x, "gate"), view(up, "up"), view(y, "d_gate"), view(z, "d_up"));
    ops::rms_norm_backward(exec, view(y, "d_y"), view(x, "x"), w, kEps, view(d_x, "d_x"),
                           (even ? d_weight_even : d_weight_odd).view("d_weight", {d}));
    ops::rms_norm_forward(exec, view(x, "x"), w, kEps, view(y, "y"));
    ops::dropout(exec, view(y, "y"), positions, 0.3F, 1, 2, view(y, "dropped"));
    ops::add(exec, view(y, "y"), view(d_x, "d_x"));
    ops::cast(exec, view(d_x, "d_x"), view(z, "z"));
    TensorView heads("heads", DTypeOf<T>::value, {tokens, 13, 80}, view(x, "x").data);
    heads.strides[0] = view(x, "x").stride(0);
    ops::rope_apply(exec, heads, cos.view("cos"), sin.view("sin"), false);
  }
  EXPECT_TRUE(x.agree() && y.agree() && z.agree() && d_x.agree());
  EXPECT_TRUE(test::bits_equal(d_weight_even.values(), d_weight_odd.values()));
}

TEST(GpuElementwise, VectorsAgreeWithScalars) {
  expect_vectors_as_scalars<float>();
  expect_vectors_as_scalars<bf16>();
}

// A big tensor whose row t is row t % 64 of a small one: whatever an op makes of the rows around every power of two must be what
// it makes of the small ones.
class PastIndexes : public testing::Test {
 protected:
  static constexpr int64_t kTokens = 1048576 + 4097;  // 2^31 elements are 524288 rows, 2^32 as many again
  static constexpr int64_t kColumns = 4096;
  static constexpr int64_t kPeriod = 64;

  void SetUp() override {
    test_ = std::make_unique<TestExec>(DType::kBF16);
    rows_.resize(static_cast<size_t>(kTokens));
    for (size_t t = 0; t < rows_.size(); ++t) rows_[t] = static_cast<int64_t>(t) % kPeriod;
  }
  Exec& exec() { return test_->exec; }
  Buffer buffer(const char* name, DType dtype, int64_t rows) {
    return test_->device.allocate(name, MemoryUse::kActivations, rows * kColumns * size_of(dtype));
  }
  TensorView small(const Buffer& b, DType dtype) const { return b.view(dtype, {kPeriod, kColumns}); }
  TensorView big(const Buffer& b, DType dtype) const { return b.view(dtype, {kTokens, kColumns}); }
  void fill(const TensorView& t, uint64_t seed) {
    const auto values = test::random_values<bf16>(t.elements(), seed);
    std::vector<float> wide(values.size());
    for (size_t i = 0; i < values.size(); ++i) wide[i] = static_cast<float>(values[i]);
    test_->device.copy_in(t.data, t.dtype == DType::kBF16 ? static_cast<const void*>(values.data()) : wide.data(), t.bytes());
  }
  std::vector<std::byte> on_host(const TensorView& t) {
    std::vector<std::byte> out(static_cast<size_t>(t.bytes()));
    test_->device.copy_out(out.data(), t.data, t.bytes());
    return out;
  }
  void repeat(const TensorView& from, const TensorView& to) { ops::gather_rows(exec(), from, rows_, to); }
  void expect_repeats(const TensorView& whole, const TensorView& part) {
    const std::vector<int64_t> at = {0,      63,     131071, 131072,  262143,  262144,  262145,
                                     524287, 524288, 524289, 1048575, 1048576, 1048577, kTokens - 1};
    const auto n = static_cast<int64_t>(at.size());
    const Buffer picked = buffer("picked", whole.dtype, n);
    const TensorView view = picked.view(whole.dtype, {n, kColumns});
    ops::gather_rows(exec(), whole, at, view);
    const auto seen = on_host(view);
    const auto expected = on_host(part);
    const auto bytes = static_cast<size_t>(kColumns * size_of(whole.dtype));
    for (size_t i = 0; i < at.size(); ++i)
      EXPECT_EQ(std::memcmp(seen.data() + i * bytes, expected.data() + static_cast<size_t>(at[i] % kPeriod) * bytes, bytes), 0)
          << at[i];
  }

  std::unique_ptr<TestExec> test_;
  std::vector<int64_t> rows_;
};

TEST_F(PastIndexes, RowsAreRight) {
  const Buffer x_small = buffer("x small", DType::kBF16, kPeriod), x_big = buffer("x", DType::kBF16, kTokens);
  const Buffer y_small = buffer("y small", DType::kBF16, kPeriod), y_big = buffer("y", DType::kBF16, kTokens);
  const Buffer f_small = buffer("f small", DType::kF32, kPeriod), f_big = buffer("f", DType::kF32, kTokens);
  const TensorView xs = small(x_small, DType::kBF16), x = big(x_big, DType::kBF16), ys = small(y_small, DType::kBF16),
                   y = big(y_big, DType::kBF16), fs = small(f_small, DType::kF32), f = big(f_big, DType::kF32);
  fill(xs, 1);
  fill(fs, 2);
  repeat(xs, x);
  repeat(fs, f);
  expect_repeats(x, xs);
  auto weights = test::random_values(kColumns, 3, 0.3, 1.0);
  const TensorView w("weight", DType::kF32, {kColumns}, weights.data());
  const auto both = [&](const TensorView& a_small, const TensorView& a, const std::function<void(bool)>& run) {
    run(true);
    run(false);
    expect_repeats(a, a_small);
  };
  both(ys, y, [&](bool s) { ops::rms_norm_forward(exec(), s ? xs : x, w, kEps, s ? ys : y); });
  both(fs, f, [&](bool s) { ops::rms_norm_backward(exec(), s ? ys : y, s ? xs : x, w, kEps, s ? fs : f, TensorView()); });
  both(fs, f, [&](bool s) { ops::add(exec(), s ? xs : x, s ? fs : f); });
  both(ys, y, [&](bool s) { ops::swiglu_forward(exec(), s ? ys : y, s ? xs : x, s ? ys : y); });
  both(ys, y, [&](bool s) { ops::swiglu_backward(exec(), s ? fs : f, s ? xs : x, s ? ys : y, s ? xs : x, s ? ys : y); });
  both(ys, y, [&](bool s) {
    const std::span<const int64_t> index = rows_;
    ops::dropout(exec(), s ? xs : x, s ? index.first(kPeriod) : index, 0.1F, 1, 2, s ? ys : y);
  });
  both(ys, y, [&](bool s) { ops::cast(exec(), s ? fs : f, s ? ys : y); });
  WeightView table;
  table.name = "table";
  table.layout = WeightLayout::kBF16;
  table.rows = kPeriod;
  table.cols = kColumns;
  table.data = static_cast<const std::byte*>(ys.data);
  const std::vector<int32_t> ids(rows_.begin(), rows_.end());
  both(xs, x, [&](bool s) {
    const std::span<const int32_t> all = ids;
    ops::embedding_forward(exec(), s ? all.first(kPeriod) : all, table, s ? xs : x);
  });
}

TEST_F(PastIndexes, SumsAndRotationsAreRight) {
  const Buffer x_small = buffer("x small", DType::kBF16, kPeriod), x_big = buffer("x", DType::kBF16, kTokens);
  const TensorView xs = small(x_small, DType::kBF16), x = big(x_big, DType::kBF16);
  fill(xs, 1);
  repeat(xs, x);
  double expected = 0;  // but for the order of sums in f64
  for (int64_t t = 0; t < kPeriod; ++t) {
    const double row = ops::sum_of_squares(exec(), xs.rows(t, t + 1));
    expected += row * static_cast<double>((kTokens - t + kPeriod - 1) / kPeriod);
  }
  EXPECT_NEAR(ops::sum_of_squares(exec(), x), expected, expected * 1e-12);
  const Buffer tables = test_->device.allocate("tables", MemoryUse::kActivations, kTokens * 2 * 64 * 4);
  const TensorView both = tables.view(DType::kF32, {2, kTokens, 64});
  const TensorView cos("cos", DType::kF32, {kTokens, 64}, both.row<float>(0)),
      sin("sin", DType::kF32, {kTokens, 64}, both.row<float>(1));
  std::vector<float> inv_freq(64);
  for (size_t i = 0; i < 64; ++i) inv_freq[i] = 1.0F / static_cast<float>(i + 1);
  ops::rope_table(exec(), inv_freq, rows_, 1.0F, cos, sin);
  ops::rope_apply(exec(), xs.reshaped({kPeriod, 32, 128}), cos.rows(0, kPeriod), sin.rows(0, kPeriod), false);
  ops::rope_apply(exec(), x.reshaped({kTokens, 32, 128}), cos, sin, false);
  expect_repeats(x, xs);
}

TEST_F(PastIndexes, EmbeddingBackwardAddsInOrder) {
  const Buffer d_small = buffer("d_y small", DType::kF32, kPeriod), d_big = buffer("d_y", DType::kF32, kTokens);
  const Buffer t = buffer("d_table", DType::kF32, kPeriod);
  const TensorView ds = small(d_small, DType::kF32), d_y = big(d_big, DType::kF32), table = small(t, DType::kF32);
  fill(ds, 1);
  repeat(ds, d_y);
  test_->device.fill_zero(table.data, table.bytes());
  const std::vector<int32_t> ids(rows_.begin(), rows_.end());
  ops::embedding_backward(exec(), ids, d_y, table);
  const auto values = on_host(ds), seen = on_host(table);
  for (const int64_t id : {int64_t{0}, int64_t{1}, kPeriod - 1})
    for (const int64_t col : {int64_t{0}, int64_t{513}, kColumns - 1}) {
      const auto at = static_cast<size_t>(id * kColumns + col) * sizeof(float);
      float value = 0, sum = 0, actual = 0;
      std::memcpy(&value, values.data() + at, sizeof value);
      std::memcpy(&actual, seen.data() + at, sizeof actual);
      for (int64_t token = id; token < kTokens; token += kPeriod) sum += value;
      EXPECT_EQ(actual, sum) << id << ", " << col;
    }
}

}  // namespace
}  // namespace tenfold
