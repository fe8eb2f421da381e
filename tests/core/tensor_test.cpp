#include "core/tensor.h"

#include <gtest/gtest.h>

#include <type_traits>
#include <vector>

namespace tenfold {
namespace {

static_assert(std::is_trivially_copyable_v<TensorView>);
static_assert(std::is_trivially_copyable_v<WeightView>);

TEST(TensorView, IsRowMajor) {
  std::vector<float> data(3 * 5 * 7);
  const TensorView t("t", DType::kF32, {3, 5, 7}, data.data());
  EXPECT_EQ(t.rank, 3);
  EXPECT_EQ(t.elements(), 105);
  EXPECT_EQ(t.bytes(), 420);
  EXPECT_EQ(t.stride(0), 35);
  EXPECT_EQ(t.stride(1), 7);
  EXPECT_EQ(t.stride(2), 1);
  EXPECT_TRUE(t.is_contiguous());
  EXPECT_EQ(t.row<float>(2), data.data() + 70);
  EXPECT_EQ(shape_text(t), "[3, 5, 7]");
}

TEST(TensorView, ScalarAndEmpty) {
  float value = 3;
  const TensorView scalar("scalar", DType::kF32, {}, &value);
  EXPECT_EQ(scalar.elements(), 1);
  EXPECT_TRUE(scalar.is_contiguous());
  EXPECT_EQ(shape_text(scalar), "[]");
  const TensorView none("none", DType::kF32, {0, 4}, nullptr);
  EXPECT_EQ(none.elements(), 0);
  EXPECT_TRUE(none.empty());
}

TEST(TensorView, RowsAreAWindow) {
  std::vector<uint16_t> data(7 * 3);
  const TensorView t("t", DType::kBF16, {7, 3}, data.data());
  const TensorView middle = t.rows(2, 5);
  EXPECT_EQ(middle.dim(0), 3);
  EXPECT_EQ(middle.dim(1), 3);
  EXPECT_EQ(middle.data, data.data() + 6);
  EXPECT_TRUE(middle.is_contiguous());
  EXPECT_EQ(t.rows(7, 7).elements(), 0);
}

TEST(TensorView, StridedViewsAreNotContiguous) {
  std::vector<float> data(12);
  TensorView t("t", DType::kF32, {3, 4}, data.data());
  t.shape[1] = 3;  // three of four columns
  EXPECT_FALSE(t.is_contiguous());
  EXPECT_TRUE(t.rows(1, 2).is_contiguous());  // the stride of a single row does not matter
}

TEST(TensorView, ReshapesTheSameBytes) {
  std::vector<float> data(12);
  const TensorView t("t", DType::kF32, {3, 4}, data.data());
  const TensorView flat = t.reshaped({12});
  EXPECT_EQ(flat.data, t.data);
  EXPECT_EQ(flat.stride(0), 1);
  EXPECT_STREQ(flat.name, "t");
}

using TensorDeathTest = ::testing::Test;

TEST(TensorDeathTest, BugsAbortWithTheNameOfTheTensor) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  std::vector<float> data(12);
  const TensorView t("my_tensor", DType::kF32, {3, 4}, data.data());
  EXPECT_DEATH(t.rows(2, 4), "my_tensor");
  EXPECT_DEATH(t.rows(-1, 2), "my_tensor");
  EXPECT_DEATH(t.reshaped({13}), "my_tensor");
  EXPECT_DEATH(t.ptr<bf16>(), "my_tensor: dtype is f32");
  EXPECT_DEATH(TensorView("deep", DType::kF32, {1, 1, 1, 1, 1}, nullptr), "deep: rank 5");
}

TEST(WeightView, CountsBlocks) {
  WeightView w;
  w.layout = WeightLayout::kQ4_1;
  w.rows = 5;
  w.cols = 96;
  EXPECT_EQ(w.row_bytes(), 60);
  EXPECT_EQ(w.bytes(), 300);
  const std::vector<std::byte> data(300);
  w.data = data.data();
  const WeightView slice = w.slice_rows(2, 5);
  EXPECT_EQ(slice.rows, 3);
  EXPECT_EQ(slice.data, data.data() + 120);
}

TEST(WeightView, SlicesNf4WithItsScales) {
  WeightView w;
  w.layout = WeightLayout::kNF4;
  w.rows = 6;
  w.cols = 128;
  const std::vector<std::byte> codes(384);
  const std::vector<float> absmax(12);
  w.data = codes.data();
  w.nf4.absmax = absmax.data();
  EXPECT_EQ(w.bytes(), 384);
  const WeightView slice = w.slice_rows(4, 6);
  EXPECT_EQ(slice.data, codes.data() + 256);
  EXPECT_EQ(slice.nf4.absmax, absmax.data() + 8);
}

TEST(WeightLayout, BlocksAreGgmls) {
  const struct {
    WeightLayout layout;
    int64_t elements, bytes;
  } expected[] = {{WeightLayout::kF32, 1, 4},      {WeightLayout::kF16, 1, 2},      {WeightLayout::kBF16, 1, 2},
                  {WeightLayout::kQ4_0, 32, 18},   {WeightLayout::kQ4_1, 32, 20},   {WeightLayout::kQ5_0, 32, 22},
                  {WeightLayout::kQ5_1, 32, 24},   {WeightLayout::kQ8_0, 32, 34},   {WeightLayout::kQ4_K, 256, 144},
                  {WeightLayout::kQ5_K, 256, 176}, {WeightLayout::kQ6_K, 256, 210}, {WeightLayout::kNF4, 64, 32}};
  for (const auto& e : expected) {
    EXPECT_EQ(block_elements(e.layout), e.elements) << name_of(e.layout);
    EXPECT_EQ(block_bytes(e.layout), e.bytes) << name_of(e.layout);
  }
}

}  // namespace
}  // namespace tenfold
