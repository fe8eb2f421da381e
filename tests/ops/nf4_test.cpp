#include "ops/nf4.h"

#include "ops/support.h"

namespace tenfold {
namespace {

TEST(Nf4, PicksTheNearestCodeOfEveryValue) {
  // By brute force in f64 over all 16 codes; a value within f32 rounding of a midpoint may go either way.
  const int64_t n = 64 * 40;
  const auto values = test::random_values(n, 1);
  const auto q = ops::quantize_nf4(values, 40, 64, false);
  int compared = 0;
  for (int64_t i = 0; i < n; ++i) {
    double scale = 0.0;
    for (int64_t j = i / 64 * 64; j < i / 64 * 64 + 64; ++j)
      scale = std::max(scale, std::abs(static_cast<double>(values[static_cast<size_t>(j)])));
    EXPECT_EQ(static_cast<double>(q.absmax[static_cast<size_t>(i / 64)]), scale);
    const double v = static_cast<double>(values[static_cast<size_t>(i)]) / scale;
    int best = 0;
    double gap = 2.0;
    double second = 2.0;
    for (int c = 0; c < 16; ++c) {
      const double distance = std::abs(v - static_cast<double>(ops::nf4_code()[static_cast<size_t>(c)]));
      if (distance < gap) {
        second = gap;
        gap = distance;
        best = c;
      } else {
        second = std::min(second, distance);
      }
    }
    if (second - gap < 1e-6) continue;
    const uint8_t byte = q.codes[static_cast<size_t>(i / 2)];
    ASSERT_EQ(i % 2 == 0 ? byte / 16 : byte % 16, best) << i;
    ++compared;
  }
  EXPECT_GT(compared, n - 10);
}

TEST(Nf4, ATieGoesLowAndAnOddTailIsPaddedWithZero) {
  // absmax 1, so values are compared as they are: the exact midpoint of codes 7 (0) and 8.
  std::vector<float> values(65, 0.0F);
  values[0] = 1.0F;
  values[1] = ops::nf4_code()[8] / 2.0F;
  values[2] = std::nextafter(values[1], 1.0F);
  values[64] = -3.0F;
  const auto q = ops::quantize_nf4(values, 1, 65, false);
  EXPECT_EQ(q.codes.size(), 33U);
  EXPECT_EQ(q.codes[0], 15 * 16 + 7);
  EXPECT_EQ(q.codes[1], 8 * 16 + 7);
  EXPECT_EQ(q.codes[32], 0 * 16 + 7);
  EXPECT_EQ(q.absmax[1], 3.0F);
}

TEST(Nf4, ZerosStayZero) {
  const std::vector<float> values(128, 0.0F);
  for (const bool nested : {false, true}) {
    const auto q = ops::quantize_nf4(values, 2, 64, nested);
    for (const uint8_t byte : q.codes) EXPECT_EQ(byte, 0x77);
  }
}

TEST(Nf4, DynamicMapHas256SortedValuesWithoutMinusOne) {
  const auto code = ops::dynamic_code();
  ASSERT_EQ(code.size(), 256U);
  for (size_t i = 1; i < code.size(); ++i) EXPECT_LT(code[i - 1], code[i]);
  EXPECT_EQ(code[127], 0.0F);
  EXPECT_EQ(code[255], 1.0F);
  EXPECT_FLOAT_EQ(code[0], -0.99296875F);
  EXPECT_FLOAT_EQ(code[128], 5.5e-7F);
}

TEST(Nf4, DoubleQuantisationStaysWithinHalfAStepOfTheMap) {
  const int64_t n = 64 * 600;
  const auto plain = ops::quantize_nf4(test::random_values(n, 9), 600, 64, false);
  const auto nested = ops::quantize_nf4(test::random_values(n, 9), 600, 64, true);
  EXPECT_EQ(plain.codes, nested.codes);
  ASSERT_EQ(nested.nested_absmax.size(), 3U);
  double mean = 0.0;
  for (const float a : plain.absmax) mean += static_cast<double>(a) / 600.0;
  EXPECT_NEAR(nested.nested_offset, mean, 1e-6);
  for (size_t i = 0; i < 600; ++i) {
    const double inner = static_cast<double>(nested.nested_absmax[i / 256]);
    const double restored =
        static_cast<double>(ops::dynamic_code()[nested.absmax8[i]]) * inner + static_cast<double>(nested.nested_offset);
    // The map's widest step is 0.9 / 64, between its largest values.
    EXPECT_LE(std::abs(restored - static_cast<double>(plain.absmax[i])), inner * 0.9 / 128 * 1.01) << i;
  }
}

}  // namespace
}  // namespace tenfold
