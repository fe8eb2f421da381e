#include "ops/elementwise.h"

#include "core/rng.h"
#include "ops/cpu/isa/elementwise_kernels.h"
#include "ops/cpu_features.h"
#include "ops/support.h"

#include <gtest/gtest.h>

#include <bit>
#include <numeric>

namespace tenfold {
namespace {

using test::Guarded;
using test::TestExec;

TEST(Cast, RoundsToNearestEvenAsTheScalarDoes) {
  // Ties, subnormals, infinities and NaN among random bits, in strided rows and in one run.
  const int64_t rows = 37, cols = 71;
  std::vector<float> values(static_cast<size_t>(rows * cols));
  Rng rng(1, 2);
  for (float& v : values) v = std::bit_cast<float>(rng.next_u32());
  values[0] = INFINITY;
  values[1] = -INFINITY;
  values[2] = NAN;
  values[3] = std::bit_cast<float>(0x3f808000U);  // a tie, to even below
  values[4] = std::bit_cast<float>(0x3f818000U);  // a tie, to even above
  values[5] = std::bit_cast<float>(0x00000001U);
  values[6] = std::bit_cast<float>(0x7f7fffffU);  // rounds to infinity
  TestExec test(DType::kBF16);
  for (const int64_t gap : {0, 9}) {
    Guarded<float> x(rows, cols, cols + gap);
    x.assign(values);
    Guarded<bf16> y(rows, cols, cols + 2 * gap);
    ops::cast(test.exec, x.view("x"), y.view("y"));
    const auto out = y.values();
    for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(out[i].bits, bf16(values[i]).bits) << values[i];
    Guarded<float> back(rows, cols);
    ops::cast(test.exec, y.view("y"), back.view("back"));
    const auto wide = back.values();
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(values[i]))
        EXPECT_TRUE(std::isnan(wide[i]));
      else
        EXPECT_EQ(wide[i], static_cast<float>(out[i]));
    }
    EXPECT_TRUE(y.intact() && back.intact());
  }
}

TEST(Cast, TakesThreeDimensions) {
  const auto values = test::random_values(4 * 3 * 8, 1);
  Guarded<float> x(4, 24, 40);
  x.assign(values);
  TensorView view("x", DType::kF32, {4, 3, 8}, x.data());
  view.strides[0] = 40;
  std::vector<bf16> y(values.size());
  TestExec test;
  ops::cast(test.exec, view, TensorView("y", DType::kBF16, {4, 3, 8}, y.data()));
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(y[i].bits, bf16(values[i]).bits);
}

TEST(Add, AddsInF32) {
  for (const int64_t n : {1, 33, 100001}) {
    auto x = test::random_values<bf16>(n, 1);
    auto f = test::random_values(n, 2);
    const auto before = test::random_values(n, 3);
    Guarded<float> y(1, n);
    y.assign(before);
    TestExec test;
    ops::add(test.exec, TensorView("x", DType::kBF16, {1, n}, x.data()), y.view("y"));
    ops::add(test.exec, TensorView("f", DType::kF32, {1, n}, f.data()), y.view("y"));
    std::vector<float> expected(before);
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = expected[i] + static_cast<float>(x[i]) + f[i];
    EXPECT_TRUE(test::bits_equal(y.values(), expected));
    EXPECT_TRUE(y.intact());
  }
}

TEST(Rows, GatherAndScatterAreInverse) {
  const int64_t tokens = 50, d = 33;
  const auto values = test::random_values(tokens * d, 1);
  Guarded<float> x(tokens, d, d + 4), some(4, d), all(tokens, d, d + 1);
  x.assign(values);
  all.assign(std::vector<float>(static_cast<size_t>(tokens * d), 7.0F));
  const std::vector<int64_t> rows = {49, 0, 7, 20};
  TestExec test;
  ops::gather_rows(test.exec, x.view("x"), rows, some.view("some"));
  ops::scatter_rows(test.exec, some.view("some"), rows, all.view("all"));
  for (int64_t t = 0; t < tokens; ++t) {
    const bool written = std::find(rows.begin(), rows.end(), t) != rows.end();
    for (int64_t i = 0; i < d; ++i) EXPECT_EQ(all.at(t, i), written ? x.at(t, i) : 7.0F);
  }
  EXPECT_TRUE(some.intact() && all.intact());
}

TEST(Rows, ScatterKeepsTheBitsOfBf16AndRowsMayRepeat) {
  const int64_t d = 33;
  Guarded<bf16> row(2, d), all(5, d, d + 1);
  const auto values = test::random_values<bf16>(d, 1);
  std::vector<bf16> twice(values);
  twice.insert(twice.end(), values.begin(), values.end());
  row.assign(twice);
  all.assign(std::vector<bf16>(static_cast<size_t>(5 * d), bf16(7.0F)));
  TestExec test;
  ops::scatter_rows(test.exec, row.view("row"), std::vector<int64_t>{3, 3}, all.view("all"));
  for (int64_t t = 0; t < 5; ++t)
    for (int64_t i = 0; i < d; ++i) EXPECT_EQ(all.at(t, i).bits, t == 3 ? values[static_cast<size_t>(i)].bits : bf16(7.0F).bits);
  EXPECT_TRUE(all.intact());
}

TEST(Dropout, IsAFunctionOfSeedStreamTokenAndColumn) {
  const int64_t tokens = 37, d = 131;
  const float p = 0.25F;
  const auto x = test::random_values<bf16>(tokens * d, 1);
  std::vector<int64_t> token_index(static_cast<size_t>(tokens));
  std::iota(token_index.begin(), token_index.end(), 1000);
  const auto run = [&](std::span<const int64_t> index, int64_t first, int64_t count, uint64_t seed, uint64_t stream,
                       int threads) {
    TestExec test(DType::kBF16, 64, threads);
    Guarded<float> y(count, d);
    TensorView in("x", DType::kBF16, {tokens, d}, const_cast<bf16*>(x.data()));
    ops::dropout(test.exec, in.rows(first, first + count), index, p, seed, stream, y.view("y"));
    EXPECT_TRUE(y.intact());
    return y.values();
  };
  const auto whole = run(token_index, 0, tokens, 7, 3, 1);
  // The definition, word by word.
  const auto threshold = static_cast<uint32_t>(0.25 * 0x1p32);
  int64_t dropped = 0;
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = 0; i < d; ++i) {
      const auto words = philox(7, mix64(3, static_cast<uint64_t>(1000 + t)), static_cast<uint64_t>(i / 4));
      const bool drop = words[static_cast<size_t>(i % 4)] < threshold;
      dropped += drop ? 1 : 0;
      const auto at = static_cast<size_t>(t * d + i);
      EXPECT_EQ(whole[at], static_cast<float>(x[at]) * (drop ? 0.0F : static_cast<float>(1 / 0.75)));
    }
  // Binomial(4847, 1/4): 5 sigma is 151.
  EXPECT_NEAR(static_cast<double>(dropped), 0.25 * static_cast<double>(tokens * d), 151);
  EXPECT_TRUE(test::bits_equal(run(token_index, 0, tokens, 7, 3, 3), whole));
  const auto part = run(std::span(token_index).subspan(10, 5), 10, 5, 7, 3, 2);
  EXPECT_TRUE(test::bits_equal(part, std::vector<float>(whole.begin() + 10 * d, whole.begin() + 15 * d)));
  EXPECT_FALSE(test::bits_equal(run(token_index, 0, tokens, 8, 3, 1), whole));
  EXPECT_FALSE(test::bits_equal(run(token_index, 0, tokens, 7, 4, 1), whole));
}

TEST(Dropout, OfZeroCopiesAndKeepsNan) {
  std::vector<float> x = {1.0F, NAN, -3.0F}, y(3);
  const std::vector<int64_t> index = {0};
  TestExec test;
  ops::dropout(test.exec, TensorView("x", DType::kF32, {1, 3}, x.data()), index, 0.0F, 1, 2,
               TensorView("y", DType::kF32, {1, 3}, y.data()));
  EXPECT_EQ(y[0], 1.0F);
  EXPECT_TRUE(std::isnan(y[1]));
  EXPECT_EQ(y[2], -3.0F);
}

TEST(Argmax, TakesTheLowestOfEqualsAndShowsNan) {
  for (const int64_t v : {1, 15, 16, 17, 49152}) {
    auto x = test::random_values(3 * v, 1);
    if (v > 4) {
      x[static_cast<size_t>(v - 2)] = 100.0F;
      x[static_cast<size_t>(v - 1)] = 100.0F;
      x[static_cast<size_t>(2 * v + 3)] = NAN;
    }
    std::vector<int32_t> out(3);
    TestExec test;
    ops::argmax(test.exec, TensorView("x", DType::kF32, {3, v}, x.data()), out);
    for (size_t t = 0; t < 2; ++t) {
      const auto row = std::span(x).subspan(t * static_cast<size_t>(v), static_cast<size_t>(v));
      EXPECT_EQ(out[t], std::max_element(row.begin(), row.end()) - row.begin());
    }
    EXPECT_EQ(out[2], v > 4 ? 3 : 0);
  }
  std::vector<float> all_low(5, -INFINITY);
  std::vector<int32_t> out(1);
  TestExec test;
  ops::argmax(test.exec, TensorView("x", DType::kF32, {1, 5}, all_low.data()), out);
  EXPECT_EQ(out[0], 0);
}

// Every unit that this CPU can run rounds alike.
TEST(ElementwiseUnits, Agree) {
  std::vector<const cpu::ElementwiseKernels*> units = {&cpu::elementwise_generic()};
  if (ops::cpu_isa() >= ops::CpuIsa::kAvx2) units.push_back(&cpu::elementwise_avx2());
  if (ops::cpu_isa() >= ops::CpuIsa::kAvx512) units.push_back(&cpu::elementwise_avx512());
  const int64_t n = 403;
  const auto gate = test::random_values(n, 1, 3.0), up = test::random_values(n, 2), d_a = test::random_values(n, 3);
  std::vector<std::vector<float>> a, d_gate, dropped;
  for (const auto* unit : units) {
    std::vector<float> out(static_cast<size_t>(n)), d_up(out), d(out);
    unit->swiglu[0](gate.data(), up.data(), out.data(), n);
    a.push_back(out);
    unit->swiglu_backward[0][0](d_a.data(), gate.data(), up.data(), out.data(), d_up.data(), n);
    d_gate.push_back(out);
    unit->dropout[0][0](gate.data(), {1, 2, 0x80000000U, 2.0F}, d.data(), n);
    dropped.push_back(d);
  }
  for (size_t i = 1; i < units.size(); ++i) {
    EXPECT_TRUE(test::bits_equal(a[i], a[0]));
    EXPECT_TRUE(test::bits_equal(d_gate[i], d_gate[0]));
    EXPECT_TRUE(test::bits_equal(dropped[i], dropped[0]));
  }
}

}  // namespace
}  // namespace tenfold
