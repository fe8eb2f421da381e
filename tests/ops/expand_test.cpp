#include "ops/expand.h"

#include "ops/cpu/gemm.h"
#include "ops/weights.h"

namespace tenfold {
namespace {

using test::bits_equal;
using test::kAllLayouts;
using test::TestExec;
using test::TestWeight;

/// One value straight from the table of formats.md 4.2 (ggml-common.h), an element at a time.
struct SpecValue {
  const uint8_t* block;

  float half(int at) const { return half_to_float(static_cast<uint16_t>(block[at] | block[at + 1] << 8)); }
  int nibble(int at, int i) const { return i < 16 ? block[at + i] % 16 : block[at + i - 16] / 16; }
  int bit(int at, int i) const { return (block[at + i / 8] >> (i % 8)) & 1; }
  float k_scale(int sub) const {
    return static_cast<float>(sub < 4 ? block[4 + sub] % 64 : block[8 + sub] % 16 + block[sub] / 64 * 16);
  }
  float k_min(int sub) const {
    return static_cast<float>(sub < 4 ? block[8 + sub] % 64 : block[8 + sub] / 16 + block[4 + sub] / 64 * 16);
  }

  float at(WeightLayout layout, int i) const {
    const auto f = [](int v) { return static_cast<float>(v); };
    const int sub = i / 32;
    switch (layout) {
      case WeightLayout::kQ4_0: return half(0) * f(nibble(2, i) - 8);
      case WeightLayout::kQ4_1: return half(0) * f(nibble(4, i)) + half(2);
      case WeightLayout::kQ5_0: return half(0) * f(nibble(6, i) + 16 * bit(2, i) - 16);
      case WeightLayout::kQ5_1: return half(0) * f(nibble(8, i) + 16 * bit(4, i)) + half(2);
      case WeightLayout::kQ8_0: return half(0) * f(static_cast<int8_t>(block[2 + i]));
      case WeightLayout::kQ4_K: {
        const int q = block[16 + i / 64 * 32 + i % 32];
        return half(0) * k_scale(sub) * f(sub % 2 == 0 ? q % 16 : q / 16) - half(2) * k_min(sub);
      }
      case WeightLayout::kQ5_K: {
        const int q = block[48 + i / 64 * 32 + i % 32];
        const int high = (block[16 + i % 32] >> sub) & 1;
        return half(0) * k_scale(sub) * f((sub % 2 == 0 ? q % 16 : q / 16) + 16 * high) - half(2) * k_min(sub);
      }
      case WeightLayout::kQ6_K: {
        const int in_half = i % 128;
        const int low = block[i / 128 * 64 + in_half % 64];
        const int high = (block[128 + i / 128 * 32 + i % 32] >> (in_half / 32 * 2)) & 3;
        return half(208) * f(static_cast<int8_t>(block[192 + i / 16])) * f((in_half < 64 ? low % 16 : low / 16) + 16 * high - 32);
      }
      default: ADD_FAILURE() << "no blocks"; return 0.0F;
    }
  }
};

TEST(Expand, ReferenceIsTheSpecificationOfTheBlockFormats) {
  for (const WeightLayout layout : kAllLayouts) {
    if (block_elements(layout) < 32 || layout == WeightLayout::kNF4) continue;
    const int64_t cols = block_elements(layout) * 3;
    TestWeight weight(layout, 5, cols, 11);
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t i = 0; i < 5; ++i) {
      ops::expand_row_reference(weight.view(), i, row.data());
      for (int64_t c = 0; c < cols; ++c) {
        const auto* block =
            weight.bytes().data() + i * weight.view().row_bytes() + c / block_elements(layout) * block_bytes(layout);
        const float expected = SpecValue{block}.at(layout, static_cast<int>(c % block_elements(layout)));
        ASSERT_EQ(row[static_cast<size_t>(c)], expected) << name_of(layout) << " row " << i << " col " << c;
      }
    }
  }
}

TEST(Expand, DenseLayoutsAreThemselves) {
  for (const int64_t cols : {1, 31, 33, 64}) {
    const auto values = test::random_values(7 * cols, 5 + 1, 1.0 / std::sqrt(static_cast<double>(cols)));
    std::vector<float> row(static_cast<size_t>(cols));
    for (const WeightLayout layout : {WeightLayout::kF32, WeightLayout::kF16, WeightLayout::kBF16}) {
      const TestWeight weight(layout, 7, cols, 5);
      ops::expand_row_reference(weight.view(), 6, row.data());
      for (int64_t c = 0; c < cols; ++c) {
        const float v = values[static_cast<size_t>(6 * cols + c)];
        const float expected = layout == WeightLayout::kF32   ? v
                               : layout == WeightLayout::kF16 ? half_to_float(float_to_half(v))
                                                              : static_cast<float>(bf16(v));
        ASSERT_EQ(row[static_cast<size_t>(c)], expected) << name_of(layout) << " " << c;
      }
    }
  }
}

TEST(Expand, Nf4IsCodeTimesScale) {
  // 3 rows of 50: blocks of 64 run across the rows.
  const auto values = test::random_values(150, 3);
  for (const bool nested : {false, true}) {
    const auto q = ops::quantize_nf4(values, 3, 50, nested);
    std::vector<float> row(50);
    for (int64_t i = 0; i < 3; ++i) {
      ops::expand_row_reference(q.view("w"), i, row.data());
      for (int64_t c = 0; c < 50; ++c) {
        const auto flat = static_cast<size_t>(i * 50 + c);
        float scale = 0.0F;
        if (nested) {
          scale = ops::dynamic_code()[q.absmax8[flat / 64]] * q.nested_absmax[0];
          scale = scale + q.nested_offset;
        } else {
          scale = q.absmax[flat / 64];
        }
        const int code = flat % 2 == 0 ? q.codes[flat / 2] / 16 : q.codes[flat / 2] % 16;
        ASSERT_EQ(row[static_cast<size_t>(c)], ops::nf4_code()[static_cast<size_t>(code)] * scale);
      }
    }
  }
}

TEST(Expand, RowsAreTheReferenceRoundedOnce) {
  for (const WeightLayout layout : kAllLayouts) {
    const int64_t cols = test::allowed_cols(layout, 1100);
    const TestWeight weight(layout, 9, cols, 21);
    TestExec env;
    test::Guarded<float> f32(4, cols, cols + 3);
    test::Guarded<bf16> b16(4, cols, cols + 3);
    ops::expand_rows(env.exec, weight.view(), 3, f32.view("f32"));
    ops::expand_rows(env.exec, weight.view(), 3, b16.view("bf16"));
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t i = 0; i < 4; ++i) {
      ops::expand_row_reference(weight.view(), 3 + i, row.data());
      for (int64_t c = 0; c < cols; ++c) {
        ASSERT_EQ(f32.at(i, c), row[static_cast<size_t>(c)]) << name_of(layout);
        ASSERT_EQ(b16.at(i, c).bits, bf16(row[static_cast<size_t>(c)]).bits) << name_of(layout);
      }
    }
    EXPECT_TRUE(f32.intact() && b16.intact()) << name_of(layout);
  }
}

/// Every panel of every kernel holds the reference's values, rounded once, where the layout says, and zeros elsewhere.
template <typename T>
void check_panel(const cpu::GemmKernels& kernels, const WeightView& weight, bool by_rows, const cpu::PanelRange& range) {
  const int64_t width = (range.cols + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
  const int64_t steps = kernels.steps(range.k_count);
  test::Guarded<T> panel(1, steps * width * kernels.group);
  kernels.pack(cpu::source_of(weight), by_rows, range, panel.data());
  EXPECT_EQ(kernels.panel_bytes(range.k_count, range.cols), steps * width * kernels.group * static_cast<int64_t>(sizeof(T)));
  std::vector<std::vector<float>> rows;
  for (int64_t i = 0; i < weight.rows; ++i) {
    rows.emplace_back(static_cast<size_t>(weight.cols));
    ops::expand_row_reference(weight, i, rows.back().data());
  }
  std::vector<T> expected(static_cast<size_t>(steps * width * kernels.group), T(0.0F));
  for (int64_t k = 0; k < range.k_count; ++k)
    for (int64_t n = 0; n < range.cols; ++n) {
      const auto row = static_cast<size_t>(by_rows ? range.k_begin + k : range.col + n);
      const auto col = static_cast<size_t>(by_rows ? range.col + n : range.k_begin + k);
      expected[static_cast<size_t>((k / kernels.group * width + n) * kernels.group + k % kernels.group)] = T(rows[row][col]);
    }
  EXPECT_TRUE(bits_equal(panel.values(), expected)) << name_of(weight.layout) << " by_rows " << by_rows << " cols " << range.cols
                                                    << " k " << range.k_count << " lanes " << kernels.lanes;
  EXPECT_TRUE(panel.intact());
}

TEST(Expand, PanelsOfEveryKernelHoldTheReference) {
  for (const DType dtype : {DType::kF32, DType::kBF16})
    for (const auto* kernels : {&cpu::gemm_kernels(dtype), &cpu::generic_gemm_kernels(dtype)})
      for (const WeightLayout layout : kAllLayouts) {
        const TestWeight weight(layout, 67, test::allowed_cols(layout, 96), 31);
        const WeightView w = weight.view();
        const int64_t wide = kernels->panel_cols();
        const auto check = dtype == DType::kF32 ? check_panel<float> : check_panel<bf16>;
        check(*kernels, w, false, {0, wide, 0, w.cols});
        check(*kernels, w, false, {64, 3, 0, w.cols});
        check(*kernels, w, true, {0, std::min(wide, w.cols), 0, w.rows});
        check(*kernels, w, true, {w.cols - 32, 32, 5, 62});
      }
}

TEST(Expand, PanelsOfOddDenseShapes) {
  for (const DType dtype : {DType::kF32, DType::kBF16})
    for (const WeightLayout layout : {WeightLayout::kF32, WeightLayout::kF16, WeightLayout::kBF16, WeightLayout::kNF4})
      for (const int64_t cols : {1, 31, 33}) {
        const TestWeight weight(layout, 35, cols, 41);
        const auto& kernels = cpu::gemm_kernels(dtype);
        const int64_t wide = kernels.panel_cols();
        const auto check = dtype == DType::kF32 ? check_panel<float> : check_panel<bf16>;
        for (int64_t col = 0; col < 35; col += wide)
          check(kernels, weight.view(), false, {col, std::min(wide, 35 - col), 0, cols});
        for (int64_t col = 0; col < cols; col += wide)
          check(kernels, weight.view(), true, {col, std::min(wide, cols - col), 0, 35});
      }
}

}  // namespace
}  // namespace tenfold
