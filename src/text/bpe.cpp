#include "text/bpe.h"

#include "core/checked.h"
#include "core/error.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

namespace tenfold {
namespace {

// Up to this many bytes the quadratic search beats the heap.
constexpr int64_t kSearchBytes = 64;

uint32_t hash_of(std::string_view bytes) {
  const size_t h = std::hash<std::string_view>()(bytes);
  return static_cast<uint32_t>(h ^ (h >> 32));
}

}  // namespace

void IdBuffer::grow(int64_t n) {
  const int64_t wanted = std::max<int64_t>({256, size_ + n, capacity_ * 2});
  auto larger = std::make_unique_for_overwrite<int32_t[]>(static_cast<size_t>(wanted));
  if (size_ > 0) std::memcpy(larger.get(), data_.get(), static_cast<size_t>(size_) * sizeof(int32_t));
  data_ = std::move(larger);
  capacity_ = wanted;
}

void IdBuffer::shrink(int64_t most) {
  if (capacity_ <= most) return;
  data_.reset();
  size_ = capacity_ = 0;
}

TokenTable::TokenTable(int64_t tokens) : ends_{0} {
  slots_.resize(std::bit_ceil(static_cast<size_t>(tokens) * 2 + 2));
  ends_.reserve(static_cast<size_t>(tokens) + 1);
}

bool TokenTable::add(std::string_view bytes, bool findable) {
  const auto id = static_cast<int32_t>(size());
  TENFOLD_CHECK(static_cast<size_t>(id) * 2 + 2 <= slots_.size(), "more tokens than the table was made for");
  if (findable) {
    const uint32_t hash = hash_of(bytes);
    size_t i = hash & (slots_.size() - 1);
    for (; slots_[i].id >= 0; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].hash == hash && this->bytes(slots_[i].id) == bytes) return false;
    }
    slots_[i] = {hash, id};
  }
  arena_ += bytes;
  ends_.push_back(arena_.size());
  return true;
}

int32_t TokenTable::find(std::string_view bytes) const {
  const uint32_t hash = hash_of(bytes);
  for (size_t i = hash & (slots_.size() - 1); slots_[i].id >= 0; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].hash == hash && this->bytes(slots_[i].id) == bytes) return slots_[i].id;
  }
  return -1;
}

MergeTable::MergeTable(int64_t merges) : slots_(std::bit_ceil(static_cast<size_t>(merges) * 2 + 2)), mask_(slots_.size() - 1) {}

void MergeTable::set(int32_t left, int32_t right, Merge merge) {
  const uint64_t key = pair_key(left, right);
  size_t i = slot_of(key);
  while (slots_[i].key != key && slots_[i].key != kEmpty) i = (i + 1) & mask_;
  slots_[i] = {key, merge};
}

Bpe::Bpe(TokenTable tokens, MergeTable merges, Options options)
    : tokens_(std::move(tokens)), merges_(std::move(merges)), options_(options) {
  for (size_t b = 0; b < byte_ids_.size(); ++b) {
    const char byte = static_cast<char>(b);
    byte_ids_[b] = tokens_.find({&byte, 1});
  }
}

int64_t Bpe::initial_symbols(const uint8_t* p, int64_t n, int32_t* out) const {
  int64_t count = 0;
  bool after_unknown = false;
  for (int64_t i = 0; i < n; ++i) {
    const int32_t id = byte_ids_[p[i]];
    if (id >= 0) {
      out[count++] = id;
    } else if (options_.unknown_id >= 0) {
      // HF counts characters of the mapped text, and there a byte is a character.
      if (!(options_.fuse_unknown && after_unknown)) out[count++] = options_.unknown_id;
    }
    after_unknown = id < 0;
  }
  return count;
}

int64_t Bpe::merge_by_search(int32_t* symbols, int64_t n) const {
  std::array<MergeTable::Merge, kSearchBytes> pairs;
  for (int64_t i = 0; i + 1 < n; ++i) pairs[static_cast<size_t>(i)] = merges_.find(symbols[i], symbols[i + 1]);
  while (n > 1) {
    int64_t best = 0;
    uint32_t best_rank = MergeTable::kNoRank;
    for (int64_t i = 0; i + 1 < n; ++i) {
      if (pairs[static_cast<size_t>(i)].rank < best_rank) {
        best_rank = pairs[static_cast<size_t>(i)].rank;
        best = i;
      }
    }
    if (best_rank == MergeTable::kNoRank) break;
    symbols[best] = pairs[static_cast<size_t>(best)].id;
    std::copy(symbols + best + 2, symbols + n, symbols + best + 1);
    if (best + 2 < n) std::copy(pairs.begin() + best + 2, pairs.begin() + n - 1, pairs.begin() + best + 1);
    --n;
    if (best > 0) pairs[static_cast<size_t>(best - 1)] = merges_.find(symbols[best - 1], symbols[best]);
    if (best + 1 < n) pairs[static_cast<size_t>(best)] = merges_.find(symbols[best], symbols[best + 1]);
  }
  return n;
}

void Bpe::merge_by_heap(BpeScratch& s) const {
  const auto n = static_cast<int32_t>(s.symbols.size());
  const auto at = [](auto& v, int32_t i) -> auto& { return v[static_cast<size_t>(i)]; };
  s.before.resize(s.symbols.size());
  s.after.resize(s.symbols.size());
  s.ranks.assign(s.symbols.size(), MergeTable::kNoRank);
  s.joined.resize(s.symbols.size());
  s.heap.clear();
  // The smallest (rank, position) first; an entry is stale once the pair at its position has another rank.
  const auto look = [&](int32_t i, bool push) {
    const int32_t next = at(s.after, i);
    const auto merge =
        next < n ? merges_.find(at(s.symbols, i), at(s.symbols, next)) : MergeTable::Merge{MergeTable::kNoRank, -1};
    at(s.ranks, i) = merge.rank;
    at(s.joined, i) = merge.id;
    if (merge.rank == MergeTable::kNoRank) return;
    s.heap.push_back((static_cast<uint64_t>(merge.rank) << 32) | static_cast<uint32_t>(i));
    if (push) std::push_heap(s.heap.begin(), s.heap.end(), std::greater<>());
  };
  for (int32_t i = 0; i < n; ++i) {
    at(s.before, i) = i - 1;
    at(s.after, i) = i + 1;
    look(i, false);
  }
  std::make_heap(s.heap.begin(), s.heap.end(), std::greater<>());
  while (!s.heap.empty()) {
    std::pop_heap(s.heap.begin(), s.heap.end(), std::greater<>());
    const uint64_t top = s.heap.back();
    s.heap.pop_back();
    const auto i = static_cast<int32_t>(static_cast<uint32_t>(top));
    if (at(s.ranks, i) != static_cast<uint32_t>(top >> 32)) continue;
    const int32_t gone = at(s.after, i);
    const int32_t next = at(s.after, gone);
    at(s.symbols, i) = at(s.joined, i);
    at(s.ranks, gone) = MergeTable::kNoRank;
    at(s.after, i) = next;
    if (next < n) at(s.before, next) = i;
    look(i, true);
    if (at(s.before, i) >= 0) look(at(s.before, i), true);
  }
  int64_t count = 0;
  int32_t* out = s.ids.room(n);
  for (int32_t i = 0; i < n; i = at(s.after, i)) out[count++] = at(s.symbols, i);
  s.ids.advance(count);
}

void Bpe::merge_word(const uint8_t* p, int64_t n, BpeScratch& scratch) const {
  if (options_.ignore_merges) {
    const int32_t id = tokens_.find({reinterpret_cast<const char*>(p), static_cast<size_t>(n)});
    if (id >= 0) return scratch.ids.push(id);
  }
  if (n <= kSearchBytes) {
    int32_t* out = scratch.ids.room(n);
    scratch.ids.advance(merge_by_search(out, initial_symbols(p, n, out)));
    return;
  }
  if (n > std::numeric_limits<int32_t>::max())
    throw_input("a word of {} bytes is too long to tokenize; the text is not prose", n);
  scratch.symbols.resize(static_cast<size_t>(n));
  const int64_t count = initial_symbols(p, n, scratch.symbols.data());
  scratch.symbols.resize(static_cast<size_t>(count));
  merge_by_heap(scratch);
}

void Bpe::encode_and_keep(const uint8_t* p, int64_t n, uint64_t key0, uint64_t key1, BpeScratch& scratch) const {
  const int64_t before = scratch.ids.size();
  merge_word(p, n, scratch);
  const int64_t count = scratch.ids.size() - before;
  if (count < 1 || count > BpeScratch::kInlineIds) return;
  auto& entries = scratch.cache[bucket_of(key0, key1)].entries;
  entries[1] = entries[0];
  entries[0].key0 = key0;
  entries[0].key1 = key1;
  entries[0].ids.fill(-1);
  std::copy_n(scratch.ids.data() + before, count, entries[0].ids.begin());
}

}  // namespace tenfold
