// The kernels below the ops, every instruction set that this CPU has, not only the one that would be picked.

#include "ops/cpu/gemm.h"
#include "ops/cpu/gemv.h"
#include "ops/cpu/isa/gemm_kernels.h"
#include "ops/cpu/isa/gemv_kernels.h"
#include "ops/cpu/isa/softmax_kernels.h"
#include "ops/cpu/softmax.h"
#include "ops/cpu_features.h"
#include "ops/expand.h"
#include "ops/weights.h"

#include <fmt/format.h>

#include <functional>

namespace tenfold {
namespace {

using ops::CpuIsa;
using test::bits_equal;
using test::Guarded;
using test::near;

std::vector<const cpu::GemmKernels*> all_gemm_kernels() {
  std::vector<const cpu::GemmKernels*> out = {&cpu::generic_gemm_kernels(DType::kF32), &cpu::generic_gemm_kernels(DType::kBF16)};
  if (ops::cpu_isa() >= CpuIsa::kAvx2) out.push_back(&cpu::gemm_kernels_avx2());
  if (ops::cpu_isa() >= CpuIsa::kAvx512) out.push_back(&cpu::gemm_kernels_avx512());
  if (ops::cpu_isa() >= CpuIsa::kAvx512Bf16) out.push_back(&cpu::gemm_kernels_avx512_bf16());
  if (ops::cpu_isa() >= CpuIsa::kAmxBf16) out.push_back(&cpu::gemm_kernels_amx_bf16());
  return out;
}

/// A tile of two terms with every epilogue, against f64; and the same sums whatever the tile's rows.
template <typename T>
void check_tiles(const cpu::GemmKernels& kernels, int vectors, int rows, bool f32_out) {
  SCOPED_TRACE(
      fmt::format("{} lanes {} vectors {} rows {} f32 out {}", name_of(kernels.dtype), kernels.lanes, vectors, rows, f32_out));
  const int64_t k[2] = {38, 6};
  const int64_t cols = int64_t{vectors} * kernels.lanes - 3;
  const int64_t width = int64_t{vectors} * kernels.lanes;
  std::vector<T> a[2], b[2], panel[2];
  cpu::Tile tile;
  tile.terms = 2;
  for (int s = 0; s < 2; ++s) {
    a[s] = test::random_values<T>(rows * k[s], 10 + static_cast<uint64_t>(s));
    b[s] = test::random_values<T>(cols * k[s], 20 + static_cast<uint64_t>(s));
    panel[s].assign(static_cast<size_t>(width * k[s]), T(0.0F));
    TensorView view("b", kernels.dtype, {cols, k[s]}, b[s].data());
    kernels.pack(cpu::source_of(view), false, {0, cols, 0, k[s]}, panel[s].data());
    tile.term[s] = {a[s].data(), k[s], kernels.group, panel[s].data(), kernels.steps(k[s])};
  }
  tile.rows = rows;
  tile.vectors = vectors;
  tile.cols = static_cast<int>(cols);
  tile.alpha = 0.5F;
  const auto bias = test::random_values(cols, 30);
  tile.bias = bias.data();
  Guarded<T> out(rows, cols, cols + 2), residual(rows, cols, cols + 1);
  Guarded<float> out32(rows, cols, cols + 2);
  residual.assign(test::random_values<T>(rows * cols, 31));
  tile.residual = residual.data();
  tile.residual_stride = cols + 1;
  tile.residual_bf16 = kernels.dtype == DType::kBF16;
  tile.out = f32_out ? static_cast<void*>(out32.data()) : out.data();
  tile.out_stride = cols + 2;
  tile.out_bf16 = !f32_out && kernels.dtype == DType::kBF16;
  const cpu::KernelScope use(kernels);
  kernels.tile(tile);
  std::vector<double> expected, tolerance;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) {
      double sum = 0.0, magnitude = 0.0;
      for (int s = 0; s < 2; ++s)
        for (int64_t c = 0; c < k[s]; ++c) {
          const double p = 0.5 * static_cast<double>(static_cast<float>(a[s][static_cast<size_t>(i * k[s] + c)])) *
                           static_cast<double>(static_cast<float>(b[s][static_cast<size_t>(j * k[s] + c)]));
          sum += p;
          magnitude += std::abs(p);
        }
      const double extra[2] = {static_cast<double>(bias[static_cast<size_t>(j)]),
                               static_cast<double>(static_cast<float>(residual.at(i, j)))};
      sum += extra[0] + extra[1];
      magnitude += std::abs(extra[0]) + std::abs(extra[1]);
      expected.push_back(sum);
      tolerance.push_back(test::dot_tolerance(k[0] + k[1] + 3, magnitude, sum, f32_out ? DType::kF32 : kernels.dtype));
    }
  if (f32_out) {
    EXPECT_TRUE(near(out32.values(), expected, tolerance));
  } else {
    EXPECT_TRUE(near(out.values(), expected, tolerance));
  }
  EXPECT_TRUE(out.intact() && out32.intact());
  // One row at a time gives the same bits.
  const auto whole = out.values();
  const auto whole32 = out32.values();
  for (int64_t i = 0; i < rows; ++i) {
    cpu::Tile one = tile;
    one.rows = 1;
    for (int s = 0; s < 2; ++s) one.term[s].a = a[s].data() + i * k[s];
    one.residual = &residual.at(i);
    one.out = f32_out ? static_cast<void*>(&out32.at(i)) : &out.at(i);
    kernels.tile(one);
  }
  EXPECT_TRUE(bits_equal(out.values(), whole));
  EXPECT_TRUE(bits_equal(out32.values(), whole32));
}

TEST(Kernels, TilesOfEveryShape) {
  for (const auto* kernels : all_gemm_kernels())
    for (int vectors = 1; vectors <= kernels->max_vectors; ++vectors)
      for (int rows = 1; rows <= kernels->max_rows(vectors); ++rows)
        for (const bool f32_out : {false, true})
          kernels->dtype == DType::kF32 ? check_tiles<float>(*kernels, vectors, rows, f32_out)
                                        : check_tiles<bf16>(*kernels, vectors, rows, f32_out);
}

/// a^T b (m, n) from two packed panels of k rows, as the gradients of weights use them.
template <typename T>
void check_panels_as_rows(const cpu::GemmKernels& kernels, int64_t k, int64_t m, int64_t n) {
  SCOPED_TRACE(fmt::format("{} k {} m {} n {}", name_of(kernels.dtype), k, m, n));
  const auto a = test::random_values<T>(k * m, 1);
  const auto b = test::random_values<T>(k * n, 2);
  const auto width = [&](int64_t cols) { return round_up(cols, int64_t{kernels.lanes}) * kernels.group; };
  std::vector<T> a_panel(static_cast<size_t>(kernels.steps(k) * width(m))),
      b_panel(static_cast<size_t>(kernels.steps(k) * width(n)));
  TensorView a_view("a", kernels.dtype, {k, m}, const_cast<T*>(a.data()));
  TensorView b_view("b", kernels.dtype, {k, n}, const_cast<T*>(b.data()));
  kernels.pack(cpu::source_of(a_view), true, {0, m, 0, k}, a_panel.data());
  kernels.pack(cpu::source_of(b_view), true, {0, n, 0, k}, b_panel.data());
  cpu::Tile tile;
  tile.cols = static_cast<int>(n);
  tile.vectors = static_cast<int>(ceil_div(n, int64_t{kernels.lanes}));
  Guarded<float> out(m, n, n + 1);
  tile.out_stride = n + 1;
  const cpu::KernelScope use(kernels);
  const int64_t most = kernels.max_rows(tile.vectors);
  for (int64_t row = 0; row < m; row += most) {
    tile.term[0] = {a_panel.data() + row * kernels.group, kernels.group, width(m), b_panel.data(), kernels.steps(k)};
    tile.rows = static_cast<int>(std::min(most, m - row));
    tile.out = &out.at(row);
    kernels.tile(tile);
  }
  std::vector<double> expected, tolerance;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0.0, magnitude = 0.0;
      for (int64_t r = 0; r < k; ++r) {
        const double p = static_cast<double>(static_cast<float>(a[static_cast<size_t>(r * m + i)])) *
                         static_cast<double>(static_cast<float>(b[static_cast<size_t>(r * n + j)]));
        sum += p;
        magnitude += std::abs(p);
      }
      expected.push_back(sum);
      tolerance.push_back(test::dot_tolerance(k + 2, magnitude, sum, DType::kF32));
    }
  EXPECT_TRUE(near(out.values(), expected, tolerance));
  EXPECT_TRUE(out.intact());
}

TEST(Kernels, PanelsServeAsRowsWhenReadByColumns) {
  for (const auto* kernels : all_gemm_kernels())
    for (const int64_t k : {1, 9, 32, 75})
      for (const int64_t m : {3, 37, 64})
        for (const int64_t n : {8, 32, 64})
          if (std::max(m, n) <= kernels->panel_cols())
            kernels->dtype == DType::kF32 ? check_panels_as_rows<float>(*kernels, k, m, n)
                                          : check_panels_as_rows<bf16>(*kernels, k, m, n);
}

TEST(Kernels, RoundingToTheElementType) {
  for (const auto* kernels : all_gemm_kernels()) {
    if (kernels->dtype != DType::kBF16) continue;
    for (const int64_t n : {1, 15, 16, 31, 32, 33, 100}) {
      auto from = test::random_values(n, 5);
      from[0] = 1.00390625F;  // a tie: 1 + 2^-8 goes to the even 1
      Guarded<bf16> to(1, n);
      kernels->round(from.data(), n, to.data());
      std::vector<bf16> expected;
      for (const float v : from) expected.emplace_back(v);
      EXPECT_TRUE(bits_equal(to.values(), expected)) << n;
      EXPECT_TRUE(to.intact());
    }
  }
}

/// Of each run of 32 values: its sum, and its largest magnitude.
struct Runs {
  std::vector<float> sums;
  std::vector<double> largest;
};

Runs runs_of(const std::vector<float>& x) {
  Runs runs;
  for (size_t run = 0; run < x.size() / 32; ++run) {
    double sum = 0.0, top = 0.0;
    for (size_t c = run * 32; c < run * 32 + 32; ++c) {
      sum += static_cast<double>(x[c]);
      top = std::max(top, std::abs(static_cast<double>(x[c])));
    }
    runs.sums.push_back(static_cast<float>(sum));
    runs.largest.push_back(top);
  }
  return runs;
}

constexpr int64_t kGemvBegin = 3, kGemvEnd = 10;  // rows of the weight

/// The first `tokens` rows of x times rows [kGemvBegin, kGemvEnd) of the weight, each value of x read with an error of at most
/// `x_error` of its place; sums are in f32.
void expect_gemv(const test::TestWeight& weight, int64_t cols, const std::vector<float>& x, int64_t tokens,
                 const std::function<double(size_t)>& x_error, const std::vector<float>& out) {
  std::vector<double> expected, tolerance;
  std::vector<float> row(static_cast<size_t>(cols));
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t n = kGemvBegin; n < kGemvEnd; ++n) {
      ops::expand_row_reference(weight.view(), n, row.data());
      double sum = 0.0, magnitude = 0.0, read = 0.0;
      for (int64_t c = 0; c < cols; ++c) {
        const auto at = static_cast<size_t>(t * cols + c);
        const double xv = static_cast<double>(x[at]);
        const double w = static_cast<double>(row[static_cast<size_t>(c)]);
        // The scale and the minimum are multiplied apart: magnitudes of the parts count, at most 3 / sqrt(cols) here.
        const double parts = std::abs(w) + 3.0 / std::sqrt(static_cast<double>(cols));
        sum += xv * w;
        magnitude += std::abs(xv) * parts;
        read += x_error(at) * parts;
      }
      expected.push_back(sum);
      tolerance.push_back(test::dot_tolerance(cols + 4, magnitude) + read);
    }
  EXPECT_TRUE(near(out, expected, tolerance)) << name_of(weight.view().layout) << " cols " << cols << " tokens " << tokens;
}

TEST(Kernels, GemvOfEveryInstructionSet) {
  std::vector<cpu::GemvKernel> kernels = {cpu::gemv_generic};
  if (ops::cpu_isa() >= CpuIsa::kAvx2) kernels.push_back(cpu::gemv_avx2);
  if (ops::cpu_isa() >= CpuIsa::kAvx512) kernels.push_back(cpu::gemv_avx512);
  for (const WeightLayout layout : test::kAllLayouts)
    for (const int64_t wanted : {31, 96, 320}) {
      const int64_t cols = test::allowed_cols(layout, wanted);
      const test::TestWeight weight(layout, 11, cols, 60);
      const auto x = test::random_values(4 * cols, 61);
      const Runs runs = runs_of(x);
      for (const auto kernel : kernels)
        for (int tokens = 1; tokens <= 4; ++tokens) {
          Guarded<float> out(tokens, 7, 9);
          kernel({.weight = cpu::source_of(weight.view()),
                  .x = x.data(),
                  .x_stride = cols,
                  .x_sums = cols % 32 == 0 ? runs.sums.data() : nullptr,
                  .tokens = tokens,
                  .row_begin = kGemvBegin,
                  .row_end = kGemvEnd,
                  .out = out.data(),
                  .out_stride = 9});
          expect_gemv(
              weight, cols, x, tokens, [](size_t) { return 0.0; }, out.values());
          EXPECT_TRUE(out.intact());
        }
    }
}

/// x in integers: bf16 values of very different sizes, a run of zeros, and codes at their ends.
TEST(Kernels, GemvInIntegers) {
  if (ops::cpu_isa() < CpuIsa::kAvx512Bf16) GTEST_SKIP() << "no AVX-512 BF16";
  for (const WeightLayout layout : {WeightLayout::kQ4_0, WeightLayout::kQ4_1, WeightLayout::kQ8_0})
    for (const int64_t cols : {32, 96, 576, 4096 + 160}) {
      const test::TestWeight weight(layout, 11, cols, 60);
      std::vector<float> x = test::random_values(4 * cols, 61);
      for (size_t i = 0; i < x.size(); ++i) {
        const size_t run = i / 32;
        // Runs from 2^-40 to 2^24; within one, values down to 2^-20 of the largest.
        const float scale = run % 5 == 4 ? 0.0F : std::ldexp(1.0F, static_cast<int>(run * 7 % 65) - 40);
        x[i] = static_cast<float>(bf16(std::ldexp(x[i], -static_cast<int>(i * 5 % 21)) * scale));
      }
      const Runs runs = runs_of(x);
      const int64_t stride = cpu::digits_bytes(cols);
      Guarded<uint64_t> digits(4, stride / 8, stride / 8 + 8);
      for (int64_t i = 0; i < 4; ++i)
        cpu::write_digits_avx512_bf16(layout, &x[static_cast<size_t>(i * cols)], cols,
                                      reinterpret_cast<std::byte*>(&digits.at(i)));
      EXPECT_TRUE(digits.intact());
      for (int tokens = 1; tokens <= 4; ++tokens) {
        Guarded<float> out(tokens, 7, 9);
        cpu::gemv_digits_avx512_bf16({.weight = cpu::source_of(weight.view()),
                                      .x_sums = runs.sums.data(),
                                      .digits = reinterpret_cast<const std::byte*>(digits.data()),
                                      .digits_stride = stride + 64,
                                      .tokens = tokens,
                                      .row_begin = kGemvBegin,
                                      .row_end = kGemvEnd,
                                      .out = out.data(),
                                      .out_stride = 9});
        // A value is off by at most 2^-23 of a power of two that is at most twice its run's largest.
        expect_gemv(
            weight, cols, x, tokens, [&](size_t at) { return 0x1p-22 * runs.largest[at / 32]; }, out.values());
        EXPECT_TRUE(out.intact());
      }
    }
}

TEST(Kernels, GemvInIntegersDoesNotOverflowAndKeepsNaN) {
  if (ops::cpu_isa() < CpuIsa::kAvx512Bf16) GTEST_SKIP() << "no AVX-512 BF16";
  constexpr int64_t kCols = 64;
  std::array<std::byte, 2 * 34> row;
  row.fill(std::byte{0x80});  // codes of -128
  for (const size_t block : {0U, 1U}) {
    row[block * 34] = std::byte{0x00};
    row[block * 34 + 1] = std::byte{0x3C};  // d = 1
  }
  cpu::Source source;
  source.layout = WeightLayout::kQ8_0;
  source.data = row.data();
  source.row_bytes = 68;
  source.rows = 1;
  source.cols = kCols;
  const std::array<float, 2> sums{};
  const auto product = [&](const std::vector<float>& x) {
    alignas(64) std::array<std::byte, cpu::digits_bytes(kCols)> digits;
    auto* bytes = digits.data();
    cpu::write_digits_avx512_bf16(WeightLayout::kQ8_0, x.data(), kCols, bytes);
    float out = 0;
    cpu::gemv_digits_avx512_bf16(
        {.weight = source, .x_sums = sums.data(), .digits = bytes, .tokens = 1, .row_end = 1, .out = &out, .out_stride = 1});
    return out;
  };
  constexpr float kMost = 255.0F / 128.0F;  // the largest bf16 below 2
  EXPECT_EQ(product(std::vector<float>(kCols, kMost)), -128.0F * 64.0F * kMost);
  EXPECT_EQ(product(std::vector<float>(kCols, -kMost)), 128.0F * 64.0F * kMost);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> x(kCols, 1.0F);
    x[40] = bad;
    EXPECT_TRUE(std::isnan(product(x)));
  }
}

TEST(Kernels, ExponentialsWithinTwoUlp) {
  std::vector<const cpu::SoftmaxKernels*> all = {&cpu::generic_softmax_kernels()};
  if (ops::cpu_isa() >= CpuIsa::kAvx512) all.push_back(&cpu::softmax_kernels_avx512());
  if (ops::cpu_isa() >= CpuIsa::kAvx512Bf16) all.push_back(&cpu::softmax_kernels_avx512_bf16());
  for (const auto* kernels : all)
    for (const int64_t n : {1, 15, 16, 17, 31, 32, 47, 512, 100001}) {
      std::vector<float> x(static_cast<size_t>(n));
      for (size_t i = 0; i < x.size(); ++i) x[i] = 2.5F - 86.0F * static_cast<float>(i) / static_cast<float>(n);
      const float max = kernels->maximum(x.data(), n);
      EXPECT_EQ(max, 2.5F);
      if (n > 2) x[2] = -std::numeric_limits<float>::infinity();
      Guarded<float> out(1, n);
      Guarded<bf16> rounded(1, n);
      const float sum = kernels->exponentials(x.data(), n, max, out.data(), false);
      EXPECT_EQ(sum, kernels->exponentials(x.data(), n, max, rounded.data(), true));
      EXPECT_EQ(sum, kernels->exponentials(x.data(), n, max, nullptr, false));
      double expected_sum = 0.0;
      for (int64_t i = 0; i < n; ++i) {
        const double expected = std::exp(static_cast<double>(x[static_cast<size_t>(i)] - max));
        expected_sum += expected;
        ASSERT_LE(std::abs(static_cast<double>(out.at(0, i)) - expected), 2 * 0x1p-23 * expected) << i;
        ASSERT_EQ(rounded.at(0, i).bits, bf16(out.at(0, i)).bits) << i;
      }
      EXPECT_NEAR(sum, expected_sum, test::dot_tolerance(n + 4, expected_sum));
      EXPECT_TRUE(out.intact() && rounded.intact());
    }
}

}  // namespace
}  // namespace tenfold
