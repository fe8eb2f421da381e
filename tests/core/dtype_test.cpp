#include "core/dtype.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace tenfold {
namespace {

/// A half's value from its definition, with no bit of the code under test: sign, 5 bits of exponent, 10 of mantissa.
double half_value(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  const double magnitude = exponent == 0    ? std::ldexp(mantissa, -24)
                           : exponent == 31 ? std::numeric_limits<double>::infinity()
                                            : std::ldexp(1024 + mantissa, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

bool half_is_nan(uint16_t bits) { return (bits & 0x7c00) == 0x7c00 && (bits & 0x3ff) != 0; }

TEST(Half, EveryPatternReadsAsItsDefinition) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float value = half_to_float(bits);
    if (half_is_nan(bits)) {
      EXPECT_TRUE(std::isnan(value)) << i;
      continue;
    }
    ASSERT_EQ(static_cast<double>(value), half_value(bits)) << i;
    ASSERT_EQ(std::signbit(value), (bits & 0x8000) != 0) << i;
  }
}

TEST(Half, EveryPatternSurvivesTheRoundTrip) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const uint16_t back = float_to_half(half_to_float(bits));
    if (half_is_nan(bits)) {
      ASSERT_TRUE(half_is_nan(back)) << i;
      ASSERT_EQ(back & 0x8000, bits & 0x8000) << i;
    } else {
      ASSERT_EQ(back, bits) << i;
    }
  }
}

/// Between every two neighbours the border is their midpoint, and the midpoint itself goes to the even one. Midpoints of halves
/// and of bf16s are exact floats, so that the floats on both sides of them decide the rounding everywhere.
TEST(Half, RoundsToNearestEvenAtEveryBorder) {
  for (uint16_t low = 0; low < 0x7bff; ++low) {
    const auto high = static_cast<uint16_t>(low + 1);
    const auto middle = static_cast<float>((half_value(low) + half_value(high)) / 2);
    const uint16_t even = (low & 1) == 0 ? low : high;
    const float below = std::nextafter(middle, 0.0F);
    const float above = std::nextafter(middle, 1e9F);
    ASSERT_EQ(float_to_half(middle), even) << low;
    ASSERT_EQ(float_to_half(below), low) << low;
    ASSERT_EQ(float_to_half(above), high) << low;
    ASSERT_EQ(float_to_half(-middle), even | 0x8000) << low;
    ASSERT_EQ(float_to_half(-below), low | 0x8000) << low;
    ASSERT_EQ(float_to_half(-above), high | 0x8000) << low;
  }
}

TEST(Half, OverflowsToInfinityFromHalfABitAboveTheLargest) {
  EXPECT_EQ(float_to_half(65504.0F), 0x7bff);
  EXPECT_EQ(float_to_half(std::nextafter(65520.0F, 0.0F)), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0F), 0x7c00);
  EXPECT_EQ(float_to_half(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(float_to_half(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(float_to_half(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(float_to_half(-0.0F), 0x8000);
}

TEST(Bf16, EveryPatternSurvivesTheRoundTrip) {
  for (uint32_t i = 0; i < 65536; ++i) {
    bf16 x;
    x.bits = static_cast<uint16_t>(i);
    const auto value = static_cast<float>(x);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(bf16(value)))) << i;
    } else {
      ASSERT_EQ(bf16(value).bits, x.bits) << i;
    }
  }
}

TEST(Bf16, RoundsToNearestEvenAtEveryBorder) {
  for (uint16_t low = 0; low < 0x7f7f; ++low) {
    const auto high = static_cast<uint16_t>(low + 1);
    const auto middle = std::bit_cast<float>((static_cast<uint32_t>(low) << 16) + 0x8000U);
    const uint16_t even = (low & 1) == 0 ? low : high;
    ASSERT_EQ(bf16(middle).bits, even) << low;
    ASSERT_EQ(bf16(std::nextafter(middle, 0.0F)).bits, low) << low;
    ASSERT_EQ(bf16(std::nextafter(middle, std::numeric_limits<float>::infinity())).bits, high) << low;
    ASSERT_EQ(bf16(-middle).bits, even | 0x8000) << low;
  }
}

TEST(Bf16, KeepsNaNAndOverflowsToInfinity) {
  // A NaN whose payload lies in the lower half only must not become infinity.
  EXPECT_TRUE(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(0x7f800001U)))));
  EXPECT_TRUE(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(0xffffffffU)))));
  EXPECT_EQ(bf16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(bf16(-std::numeric_limits<float>::infinity()).bits, 0xff80);
  EXPECT_EQ(bf16(-0.0F).bits, 0x8000);
}

TEST(DType, SizesMatchTheTypes) {
  EXPECT_EQ(size_of(DType::kF32), 4);
  EXPECT_EQ(size_of(DType::kBF16), static_cast<int64_t>(sizeof(bf16)));
  EXPECT_EQ(size_of(DType::kF16), 2);
  EXPECT_EQ(size_of(DType::kF64), 8);
  EXPECT_EQ(size_of(DType::kI64), 8);
  EXPECT_EQ(size_of(DType::kI32), 4);
  EXPECT_EQ(size_of(DType::kI16), 2);
  EXPECT_EQ(size_of(DType::kI8), 1);
  EXPECT_EQ(size_of(DType::kU8), 1);
  EXPECT_EQ(size_of(DType::kBool), 1);
  EXPECT_EQ(name_of(DType::kBF16), "bf16");
}

}  // namespace
}  // namespace tenfold
