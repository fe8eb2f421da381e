#include "core/checked.h"

#include <gtest/gtest.h>

#include <array>

namespace tenfold {
namespace {

constexpr int64_t kMax = INT64_MAX;

TEST(Checked, MultipliesUpToTheLargest) {
  EXPECT_EQ(checked_mul(0, kMax), 0);
  EXPECT_EQ(checked_mul(1, kMax), kMax);
  EXPECT_EQ(checked_mul(3037000499, 3037000499), 9223372030926249001);
  EXPECT_EQ(checked_mul(3037000500, 3037000500), std::nullopt);  // the first square above 2^63 - 1
  EXPECT_EQ(checked_mul(2, kMax / 2 + 1), std::nullopt);
  EXPECT_EQ(checked_mul(int64_t{1} << 32, int64_t{1} << 32), std::nullopt);  // wraps to 0
}

TEST(Checked, RefusesNegativeSizes) {
  EXPECT_EQ(checked_mul(-1, 5), std::nullopt);
  EXPECT_EQ(checked_mul(5, -1), std::nullopt);
  EXPECT_EQ(checked_mul(-1, -1), std::nullopt);
  EXPECT_EQ(checked_mul(0, -1), std::nullopt);
  EXPECT_EQ(checked_add(-1, 2), std::nullopt);
  EXPECT_EQ(checked_add(2, -1), std::nullopt);
}

TEST(Checked, AddsUpToTheLargest) {
  EXPECT_EQ(checked_add(kMax - 1, 1), kMax);
  EXPECT_EQ(checked_add(kMax, 1), std::nullopt);
  EXPECT_EQ(checked_add(kMax, kMax), std::nullopt);
  EXPECT_EQ(checked_add(0, 0), 0);
}

TEST(Checked, ProductOfDimensions) {
  EXPECT_EQ(checked_product({}), 1);
  EXPECT_EQ(checked_product(std::array<int64_t, 3>{3, 5, 7}), 105);
  // A zero makes the product zero whatever the others are; a negative is never a size.
  EXPECT_EQ(checked_product(std::array<int64_t, 3>{kMax, kMax, 0}), 0);
  EXPECT_EQ(checked_product(std::array<int64_t, 3>{0, -1, 5}), std::nullopt);
  EXPECT_EQ(checked_product(std::array<int64_t, 2>{-2, -3}), std::nullopt);
  EXPECT_EQ(checked_product(std::array<int64_t, 4>{1 << 16, 1 << 16, 1 << 16, 1 << 16}), std::nullopt);
}

TEST(Checked, RoundsUp) {
  EXPECT_EQ(ceil_div(0, 32), 0);
  EXPECT_EQ(ceil_div(31, 32), 1);
  EXPECT_EQ(ceil_div(33, 32), 2);
  EXPECT_EQ(round_up(33, 32), 64);
  EXPECT_EQ(round_up(64, 32), 64);
}

}  // namespace
}  // namespace tenfold
