// Jumps in the positions of records. What the model makes of them: Reference.*_with_jumps,
// Positions.GradientsMatchFiniteDifferences.
#include "train/positions.h"

#include "train/tiny_run.h"

#include <gtest/gtest.h>

#include <numeric>

namespace tenfold {
namespace {

std::vector<int64_t> positions_of(const SkipOptions& options, int64_t tokens, uint64_t seed, int64_t record, int64_t step) {
  std::vector<int64_t> positions;
  fill_positions(options, tokens, seed, record, step, positions);
  return positions;
}

std::vector<int64_t> plain(int64_t tokens) {
  std::vector<int64_t> positions(static_cast<size_t>(tokens));
  std::iota(positions.begin(), positions.end(), int64_t{0});
  return positions;
}

TEST(Positions, AscendBelowTheLengthWithTwoJumpsAtMost) {
  constexpr int64_t kTokens = 100, kLength = 5000, kRecords = 2000;
  int64_t beyond_half = 0;
  for (int64_t record = 0; record < kRecords; ++record) {
    const auto p = positions_of({.share = 1, .length = kLength}, kTokens, 5, record, 3);
    ASSERT_EQ(p.size(), static_cast<size_t>(kTokens));
    EXPECT_EQ(p[0], 0);
    int jumps = 0;
    for (size_t t = 1; t < p.size(); ++t) {
      ASSERT_GT(p[t], p[t - 1]);
      jumps += p[t] > p[t - 1] + 1 ? 1 : 0;
    }
    EXPECT_LE(jumps, 2);
    EXPECT_LT(p.back(), kLength);
    beyond_half += p.back() > kLength / 2 ? 1 : 0;
  }
  // The last position is uniform over the room: binomial, six standard deviations.
  EXPECT_NEAR(static_cast<double>(beyond_half), kRecords / 2.0, 6 * std::sqrt(kRecords / 4.0) + kRecords * 100.0 / kLength);
}

TEST(Positions, AreAFunctionOfSeedRecordAndStep) {
  const SkipOptions options{.share = 1, .length = 5000};
  const auto p = positions_of(options, 100, 5, 7, 3);
  EXPECT_EQ(p, positions_of(options, 100, 5, 7, 3));
  EXPECT_NE(p, positions_of(options, 100, 6, 7, 3));
  EXPECT_NE(p, positions_of(options, 100, 5, 8, 3));
  EXPECT_NE(p, positions_of(options, 100, 5, 7, 4));
}

TEST(Positions, JumpInTheirShareAndOnlyWhereThereIsRoom) {
  constexpr int64_t kRecords = 2000;
  int64_t jumped = 0;
  for (int64_t record = 0; record < kRecords; ++record)
    jumped += positions_of({.share = 0.3, .length = 5000}, 100, 5, record, 0) != plain(100) ? 1 : 0;
  // One in some five thousand jumps is of length 0.
  EXPECT_NEAR(static_cast<double>(jumped), 0.3 * kRecords, 6 * std::sqrt(0.3 * 0.7 * kRecords));
  EXPECT_EQ(positions_of({.share = 0, .length = 5000}, 100, 5, 7, 3), plain(100));
  EXPECT_EQ(positions_of({.share = 1, .length = 100}, 100, 5, 7, 3), plain(100));
  EXPECT_EQ(positions_of({.share = 1, .length = 50}, 100, 5, 7, 3), plain(100));
  EXPECT_EQ(positions_of({.share = 1, .length = 5000}, 1, 5, 7, 3), plain(1));
}

TEST(Positions, GradientsMatchFiniteDifferences) {
  test::TinyRun s;
  s.options.skip = {.share = 1, .length = 3000};
  test::expect_gradients_match_differences(s);
}

TEST(Positions, ThatJumpChangeTheLossOfTheirRecordsAlone) {
  test::TinyRun s;
  const auto loss = [&](double share) {
    s.options.skip = {.share = share, .length = 100};
    Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
    const auto of = [&](int64_t record) { return trainer.forward_backward(std::vector<int64_t>{record}, 0).loss; };
    return std::array{of(0), of(1), of(2)};
  };
  const auto before = loss(0);
  const auto after = loss(1);
  EXPECT_NE(before[0], after[0]);
  EXPECT_NE(before[1], after[1]);
  EXPECT_EQ(before[2], after[2]) << "128 tokens have no room among 100 positions";
}

}  // namespace
}  // namespace tenfold
