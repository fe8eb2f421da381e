#include "core/rng.h"

#include <gtest/gtest.h>

#include <set>

namespace tenfold {
namespace {

TEST(Philox, MatchesThePublishedKnownAnswers) {
  // Random123's kat_vectors, philox4x32 10.
  EXPECT_EQ(philox(0, 0, 0), (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~0ULL, ~0ULL, ~0ULL), (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0a4093822ULL, 0x0370734413198a2eULL, 0x85a308d3243f6a88ULL),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, IsAFunctionOfItsPosition) {
  Rng a(7, 3);
  for (int i = 0; i < 5; ++i) a.next_u32();
  Rng b(7, 3);
  b.seek(5);
  EXPECT_EQ(a.next_u64(), b.next_u64());
  EXPECT_NE(Rng(7, 3).next_u64(), Rng(7, 4).next_u64());
  EXPECT_NE(Rng(7, 3).next_u64(), Rng(8, 3).next_u64());
}

TEST(Rng, BelowReachesEveryValueAndNothingElse) {
  Rng rng(1, 2);
  std::set<uint64_t> seen;
  for (int i = 0; i < 500; ++i) seen.insert(rng.below(7));
  EXPECT_EQ(seen.size(), 7U);
  EXPECT_EQ(*seen.rbegin(), 6U);
}

}  // namespace
}  // namespace tenfold
