#include "data/batch_order.h"

#include "core/error.h"
#include "data/tiny_tokenizer.h"

#include <algorithm>
#include <set>

namespace tenfold {
namespace {

std::vector<int64_t> some_lengths(int64_t n) {
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < n; ++i) lengths.push_back(1 + (i * 7919) % 1009);
  return lengths;
}

std::vector<int64_t> epoch_of(BatchOrder& order, int64_t epoch) {
  std::vector<int64_t> all;
  for (int64_t s = 0; s < order.steps_per_epoch(); ++s) {
    for (const int64_t i : order.batch(epoch * order.steps_per_epoch() + s)) all.push_back(i);
  }
  return all;
}

TEST(BatchOrderTest, EveryEpochIsAPermutation) {
  for (const int64_t n : {1, 2, 7, 31, 64, 257}) {
    for (const int64_t batch : {1, 3, 8, 300}) {
      for (const bool shuffle : {false, true}) {
        for (const bool group : {false, true}) {
          BatchOrder order(some_lengths(n), 5, shuffle, group, batch);
          EXPECT_EQ(order.steps_per_epoch(), (n + batch - 1) / batch);
          for (const int64_t epoch : {0, 1, 4}) {
            const auto all = epoch_of(order, epoch);
            EXPECT_EQ(static_cast<int64_t>(all.size()), n);
            const std::set<int64_t> seen(all.begin(), all.end());
            EXPECT_EQ(static_cast<int64_t>(seen.size()), n);
            EXPECT_EQ(*seen.begin(), 0);
            EXPECT_EQ(*seen.rbegin(), n - 1);
          }
        }
      }
    }
  }
}

TEST(BatchOrderTest, ResumeIsFree) {
  const auto lengths = some_lengths(50);
  BatchOrder straight(lengths, 9, true, true, 4);
  std::vector<std::vector<int64_t>> steps;
  for (int64_t s = 0; s < 60; ++s) steps.push_back(straight.batch(s));
  // From anywhere, in any order, in another object.
  BatchOrder again(lengths, 9, true, true, 4);
  for (const int64_t s : {59, 0, 31, 12, 13, 14, 58, 1}) EXPECT_EQ(again.batch(s), steps[static_cast<size_t>(s)]) << s;
}

TEST(BatchOrderTest, SeedsAndEpochsDiffer) {
  BatchOrder a(some_lengths(40), 1, true, false, 40);
  BatchOrder b(some_lengths(40), 2, true, false, 40);
  EXPECT_NE(a.batch(0), b.batch(0));
  EXPECT_NE(a.batch(0), a.batch(1));
}

TEST(BatchOrderTest, WithoutShuffleInOrder) {
  BatchOrder order(some_lengths(5), 1, false, false, 2);
  EXPECT_EQ(order.batch(0), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(order.batch(2), (std::vector<int64_t>{4}));
  EXPECT_EQ(order.batch(3), (std::vector<int64_t>{0, 1}));
}

TEST(BatchOrderTest, ShuffleIsEven) {
  // Each of 4 items comes first in about a quarter of 2,000 epochs: 500, standard deviation 19.4; five of them.
  BatchOrder order(some_lengths(4), 3, true, false, 4);
  std::array<int, 4> first{};
  for (int64_t epoch = 0; epoch < 2000; ++epoch) ++first[static_cast<size_t>(order.batch(epoch)[0])];
  for (const int count : first) EXPECT_NEAR(count, 500, 97);
}

TEST(BatchOrderTest, GroupsAreOfLikeLengthAndTheLongestIsFirst) {
  const auto lengths = some_lengths(400);
  const auto spread = [&](bool group) {
    BatchOrder order(lengths, 11, true, group, 4);
    int64_t total = 0;
    for (int64_t s = 0; s < order.steps_per_epoch(); ++s) {
      const auto batch = order.batch(s);
      const auto [low, high] = std::minmax_element(batch.begin(), batch.end(), [&](int64_t a, int64_t b) {
        return lengths[static_cast<size_t>(a)] < lengths[static_cast<size_t>(b)];
      });
      total += lengths[static_cast<size_t>(*high)] - lengths[static_cast<size_t>(*low)];
    }
    return total;
  };
  EXPECT_LT(spread(true) * 5, spread(false));
  BatchOrder order(lengths, 11, true, true, 4);
  EXPECT_EQ(lengths[static_cast<size_t>(order.batch(0)[0])], *std::max_element(lengths.begin(), lengths.end()));
  // Within a stretch (25 batches of 4 here) lengths fall, but for the one that changed places with the longest.
  int64_t rises = 0;
  const auto all = epoch_of(order, 0);
  for (size_t i = 1; i < all.size(); ++i) {
    if (i % 100 != 0 && lengths[static_cast<size_t>(all[i])] > lengths[static_cast<size_t>(all[i - 1])]) ++rises;
  }
  EXPECT_LE(rises, 1);
}

TEST(BatchOrderTest, Faults) {
  EXPECT_THROW(BatchOrder({}, 0, true, false, 1), InputError);
  EXPECT_THROW(BatchOrder(some_lengths(3), 0, true, false, 0), InputError);
}

}  // namespace
}  // namespace tenfold
