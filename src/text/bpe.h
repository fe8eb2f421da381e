#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// Ids being written: grows without clearing what it grows into.
class IdBuffer {
 public:
  int64_t size() const { return size_; }
  const int32_t* data() const { return data_.get(); }
  void clear() { size_ = 0; }
  /// Makes room for n more ids and returns where they go; `advance` then counts those written.
  int32_t* room(int64_t n) {
    if (capacity_ - size_ < n) [[unlikely]]
      grow(n);
    return data_.get() + size_;
  }
  void advance(int64_t n) { size_ += n; }
  void push(int32_t id) {
    *room(1) = id;
    ++size_;
  }
  /// Gives memory back after an unusually long text.
  void shrink(int64_t most);

 private:
  void grow(int64_t n);
  std::unique_ptr<int32_t[]> data_;
  int64_t size_ = 0;
  int64_t capacity_ = 0;
};

/// Byte strings to ids: open addressing over one arena, which also serves id to bytes.
class TokenTable {
 public:
  explicit TokenTable(int64_t tokens);
  /// Adds the bytes of the next id (0, 1, 2 ...); with `findable`, `find` returns it. False if such bytes are there already.
  bool add(std::string_view bytes, bool findable);
  int32_t find(std::string_view bytes) const;
  int64_t size() const { return static_cast<int64_t>(ends_.size()) - 1; }
  std::string_view bytes(int64_t id) const {
    const auto i = static_cast<size_t>(id);
    return {arena_.data() + ends_[i], ends_[i + 1] - ends_[i]};
  }

 private:
  struct Slot {
    uint32_t hash = 0;
    int32_t id = -1;
  };
  std::string arena_;
  std::vector<size_t> ends_;
  std::vector<Slot> slots_;
};

/// Ids of adjacent tokens to the merge that joins them: lower rank first.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank;
    int32_t id;
  };
  static constexpr uint32_t kNoRank = 0xFFFFFFFF;

  explicit MergeTable(int64_t merges);
  /// A pair that is there already takes the new rank, as in HF tokenizers.
  void set(int32_t left, int32_t right, Merge merge);
  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = pair_key(left, right);
    for (size_t i = slot_of(key);; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return slots_[i].merge;
      if (slots_[i].key == kEmpty) return {kNoRank, -1};
    }
  }

 private:
  struct Slot {
    uint64_t key = ~uint64_t{0};
    Merge merge{kNoRank, -1};
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  static uint64_t pair_key(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t key) const { return static_cast<size_t>((key * 0x9E3779B97F4A7C15ULL) >> 32) & mask_; }
  std::vector<Slot> slots_;
  size_t mask_;
};

/// What one encoding thread writes to: ids and a cache of words already merged. Kept between calls, so the cache stays warm.
struct BpeScratch {
  static constexpr int kInlineIds = 4;
  static constexpr int64_t kInlineBytes = 15;
  /// A word of at most 15 bytes, its length in the last byte of the key, and its at most four ids (the others are -1).
  struct Entry {
    uint64_t key0 = 0;
    uint64_t key1 = 0;
    std::array<int32_t, kInlineIds> ids{};
  };
  static constexpr int kBucketBits = 15;
  /// Two entries share a cache line; the older one is dropped.
  struct alignas(64) Bucket {
    std::array<Entry, 2> entries;
  };

  BpeScratch() : cache(size_t{1} << kBucketBits) {}
  std::vector<Bucket> cache;
  IdBuffer ids;
  // Merging of one long word.
  std::vector<int32_t> symbols;
  std::vector<int32_t> before;
  std::vector<int32_t> after;
  std::vector<uint32_t> ranks;
  std::vector<int32_t> joined;
  std::vector<uint64_t> heap;
};

/// Byte-level BPE of one word. Immutable once built.
class Bpe {
 public:
  struct Options {
    bool ignore_merges = false;  ///< a word that is a token whole is that token
    int32_t unknown_id = -1;     ///< for bytes without a token; -1 drops them, as HF tokenizers does
    bool fuse_unknown = false;
  };
  Bpe(TokenTable tokens, MergeTable merges, Options options);

  const TokenTable& tokens() const { return tokens_; }
  void set_options(Options options) { options_ = options; }

  /// Appends the ids of word [p, q) to scratch.ids; `end` is the end of the readable text that holds it.
  void encode_word(const uint8_t* p, const uint8_t* q, const uint8_t* end, BpeScratch& scratch) const {
    const int64_t n = q - p;
    if (n > BpeScratch::kInlineBytes) return merge_word(p, n, scratch);
    uint64_t key0 = 0;
    uint64_t key1 = 0;
    if (end - p >= 16) [[likely]] {
      std::memcpy(&key0, p, 8);
      std::memcpy(&key1, p + 8, 8);
      key0 &= kMasks[static_cast<size_t>(n)][0];
      key1 &= kMasks[static_cast<size_t>(n)][1];
    } else {
      std::array<uint8_t, 16> bytes{};
      std::memcpy(bytes.data(), p, static_cast<size_t>(n));
      std::memcpy(&key0, bytes.data(), 8);
      std::memcpy(&key1, bytes.data() + 8, 8);
    }
    key1 |= static_cast<uint64_t>(n) << 56;
    auto& entries = scratch.cache[bucket_of(key0, key1)].entries;
    const BpeScratch::Entry* hit = nullptr;
    if (entries[0].key0 == key0 && entries[0].key1 == key1) {
      hit = &entries[0];
    } else if (entries[1].key0 == key0 && entries[1].key1 == key1) {
      hit = &entries[1];
    } else {
      return encode_and_keep(p, n, key0, key1, scratch);
    }
    const auto& ids = hit->ids;
    std::memcpy(scratch.ids.room(BpeScratch::kInlineIds), ids.data(), sizeof(ids));
    scratch.ids.advance(1 + (ids[1] >= 0) + (ids[2] >= 0) + (ids[3] >= 0));
  }

 private:
  using Masks = std::array<std::array<uint64_t, 2>, 16>;
  static constexpr Masks kMasks = [] {
    Masks masks{};
    for (size_t n = 1; n < 16; ++n) {
      masks[n][0] = n >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * n)) - 1;
      masks[n][1] = n <= 8 ? 0 : (uint64_t{1} << (8 * (n - 8))) - 1;
    }
    return masks;
  }();

  static size_t bucket_of(uint64_t key0, uint64_t key1) {
    const auto product = static_cast<unsigned __int128>(key0 ^ 0xA0761D6478BD642FULL) * (key1 ^ 0xE7037ED1A0B428DBULL);
    const uint64_t folded = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    return static_cast<size_t>(folded >> (64 - BpeScratch::kBucketBits));
  }

  void encode_and_keep(const uint8_t* p, int64_t n, uint64_t key0, uint64_t key1, BpeScratch& scratch) const;
  void merge_word(const uint8_t* p, int64_t n, BpeScratch& scratch) const;
  /// Ids of the word's bytes before any merge, into `out` (room for n); returns how many.
  int64_t initial_symbols(const uint8_t* p, int64_t n, int32_t* out) const;
  /// Merges symbols[0, n) in place by repeated search for the lowest rank; returns how many remain. For short words.
  int64_t merge_by_search(int32_t* symbols, int64_t n) const;
  /// The same with a heap: n log n. The word is in scratch.symbols.
  void merge_by_heap(BpeScratch& scratch) const;

  TokenTable tokens_;
  MergeTable merges_;
  Options options_;
  std::array<int32_t, 256> byte_ids_{};
};

}  // namespace tenfold
