#include "text/bpe.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace tenfold {
namespace {

using Ids = std::vector<int32_t>;

/// All single bytes 'a'..'d' (ids 0..3), and merges by rank that each make the next id.
struct Toy {
  std::vector<std::string> texts = {"a", "b", "c", "d"};
  std::vector<std::pair<int32_t, int32_t>> merges;

  void merge(int32_t left, int32_t right) {
    merges.emplace_back(left, right);
    texts.push_back(texts[static_cast<size_t>(left)] + texts[static_cast<size_t>(right)]);
  }
  Bpe build(Bpe::Options options = {}, const std::vector<std::string>& extra = {}) const {
    TokenTable tokens(static_cast<int64_t>(texts.size() + extra.size()));
    for (const auto& text : texts) EXPECT_TRUE(tokens.add(text, true));
    for (const auto& text : extra) EXPECT_TRUE(tokens.add(text, true));
    MergeTable table(static_cast<int64_t>(merges.size()));
    for (size_t i = 0; i < merges.size(); ++i)
      table.set(merges[i].first, merges[i].second, {static_cast<uint32_t>(i), static_cast<int32_t>(4 + i)});
    return Bpe(std::move(tokens), std::move(table), options);
  }
  /// The definition: join the pair of lowest rank, the leftmost first, until there is none.
  Ids naive(std::string_view word) const {
    Ids ids;
    for (const char c : word) ids.push_back(c - 'a');
    for (;;) {
      size_t best = merges.size();
      size_t at = 0;
      for (size_t i = 0; i + 1 < ids.size(); ++i)
        for (size_t m = 0; m < best; ++m)
          if (merges[m] == std::pair(ids[i], ids[i + 1])) {
            best = m;
            at = i;
          }
      if (best == merges.size()) return ids;
      ids[at] = static_cast<int32_t>(4 + best);
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
  }
};

Ids encode(const Bpe& bpe, std::string_view word, BpeScratch& scratch) {
  scratch.ids.clear();
  const auto* p = reinterpret_cast<const uint8_t*>(word.data());
  bpe.encode_word(p, p + word.size(), p + word.size(), scratch);
  return {scratch.ids.data(), scratch.ids.data() + scratch.ids.size()};
}

Toy random_toy(std::mt19937& random) {
  Toy toy;
  std::map<std::string, bool> made;
  while (toy.merges.size() < 40) {
    const auto n = static_cast<uint32_t>(toy.texts.size());
    const auto left = static_cast<int32_t>(random() % n);
    const auto right = static_cast<int32_t>(random() % n);
    const std::string text = toy.texts[static_cast<size_t>(left)] + toy.texts[static_cast<size_t>(right)];
    if (text.size() > 9 || made[text]) continue;
    made[text] = true;
    toy.merge(left, right);
  }
  return toy;
}

TEST(Bpe, EqualsTheDefinitionForEveryLength) {
  std::mt19937 random(3);
  for (int round = 0; round < 40; ++round) {
    const Toy toy = random_toy(random);
    const Bpe bpe = toy.build();
    BpeScratch scratch;
    // 15/16 is the edge of the word cache, 64/65 that between search and heap.
    for (const size_t length : {1, 2, 3, 7, 8, 9, 14, 15, 16, 17, 40, 63, 64, 65, 66, 130, 301}) {
      std::string word;
      for (size_t i = 0; i < length; ++i) word += static_cast<char>('a' + random() % (round % 2 ? 4 : 2));
      const Ids expected = toy.naive(word);
      ASSERT_EQ(encode(bpe, word, scratch), expected) << word;
      ASSERT_EQ(encode(bpe, word, scratch), expected) << "from the cache: " << word;
    }
  }
}

TEST(Bpe, CacheKeepsWordsApart) {
  // Many more short words than buckets: replaced entries must not answer for others.
  std::mt19937 random(5);
  const Toy toy = random_toy(random);
  const Bpe bpe = toy.build();
  BpeScratch scratch;
  for (int i = 0; i < 200000; ++i) {
    std::string word;
    const size_t length = 1 + random() % 15;
    for (size_t k = 0; k < length; ++k) word += static_cast<char>('a' + random() % 4);
    const Ids ids = encode(bpe, word, scratch);
    std::string joined;
    for (const int32_t id : ids) joined += bpe.tokens().bytes(id);
    ASSERT_EQ(joined, word);
    if (i % 50 == 0) {
      ASSERT_EQ(ids, toy.naive(word)) << word;
    }
  }
}

TEST(Bpe, IgnoreMergesTakesWholeWords) {
  Toy toy;
  toy.merge(0, 1);
  const std::string longer(70, 'c');
  const std::vector<std::string> whole = {"dcba", longer};
  BpeScratch with;
  BpeScratch without;
  EXPECT_EQ(encode(toy.build({.ignore_merges = true}, whole), "dcba", with), Ids{5});
  EXPECT_EQ(encode(toy.build({.ignore_merges = true}, whole), longer, with), Ids{6});
  EXPECT_EQ(encode(toy.build({}, whole), "dcba", without), (Ids{3, 2, 1, 0}));
}

TEST(Bpe, BytesWithoutATokenAreDroppedOrUnknown) {
  Toy toy;
  toy.merge(0, 1);
  BpeScratch a;
  BpeScratch b;
  BpeScratch c;
  EXPECT_EQ(encode(toy.build(), "axxb", a), Ids{4});  // as HF: the neighbours meet
  EXPECT_EQ(encode(toy.build(), "xx", a), Ids{});
  EXPECT_EQ(encode(toy.build(), "xx", a), Ids{});
  EXPECT_EQ(encode(toy.build({.unknown_id = 3}), "axxb", b), (Ids{0, 3, 3, 1}));
  EXPECT_EQ(encode(toy.build({.unknown_id = 3, .fuse_unknown = true}), "axxb", c), (Ids{0, 3, 1}));
}

TEST(Bpe, AMegabyteOfOneLetterIsNotQuadratic) {
  Toy toy;
  toy.merge(0, 0);
  toy.merge(4, 4);
  toy.merge(5, 5);
  const Bpe bpe = toy.build();
  BpeScratch scratch;
  const std::string word(1 << 20, 'a');
  const auto start = std::chrono::steady_clock::now();
  const Ids ids = encode(bpe, word, scratch);
  EXPECT_EQ(ids, Ids(word.size() / 8, 6));
  // Quadratic search takes minutes; the heap takes a fraction of a second.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(TokenTable, FindsWhatWasAdded) {
  TokenTable table(3);
  EXPECT_TRUE(table.add("ab", true));
  EXPECT_TRUE(table.add("ab", false));
  EXPECT_FALSE(table.add("ab", true));
  EXPECT_TRUE(table.add("", true));
  EXPECT_EQ(table.find("ab"), 0);
  EXPECT_EQ(table.find(""), 2);
  EXPECT_EQ(table.find("a"), -1);
  EXPECT_EQ(table.bytes(1), "ab");
  EXPECT_EQ(table.size(), 3);
}

TEST(MergeTable, ALaterEqualPairWins) {
  MergeTable table(2);
  table.set(1, 2, {0, 7});
  table.set(1, 2, {1, 8});
  EXPECT_EQ(table.find(1, 2).rank, 1u);
  EXPECT_EQ(table.find(1, 2).id, 8);
  EXPECT_EQ(table.find(2, 1).rank, MergeTable::kNoRank);
}

}  // namespace
}  // namespace tenfold
