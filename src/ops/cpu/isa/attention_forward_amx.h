#pragma once

// The forward of attention in AMX with both units at work: while the vector unit turns one item's scores into probabilities, the
// tile unit makes the next item's scores and adds up the last one's values. Step after step instead, each would wait for the other.
// Every sum is the one that forward() makes, in its order: same bits.

#include "ops/cpu/isa/attention_tile_amx.h"
// Needs the tiles above.
#include "ops/cpu/isa/attention_bf16_body.h"

namespace tenfold::cpu {
namespace {

/// One tile of rows against one step of keys.
struct ForwardItem {
  int64_t r = 0;                 ///< its first row
  int64_t first = 0;             ///< the step's first key
  int64_t most = 0;              ///< keys of the step that the last row sees; none: there is no item
  const Bits* block = nullptr;   ///< the step's keys
  float* s = nullptr;            ///< (kRows, kStep)
  Bits* p = nullptr;             ///< (kRows, kStep)
  bool empty() const { return most <= 0; }
};

int64_t overlapped_thread_bytes(int64_t head_dim) { return forward_thread_bytes(head_dim) + kRows * kStep * 6; }

class OverlappedForward {
 public:
  explicit OverlappedForward(const ForwardRun& run) : run_(run), t_(run.scratch, run.head_dim) {
    auto* second = static_cast<char*>(run.scratch) + forward_thread_bytes(run.head_dim);
    s_[0] = t_.s;
    s_[1] = reinterpret_cast<float*>(second);
    p_[0] = t_.p;
    p_[1] = reinterpret_cast<Bits*>(s_[1] + kRows * kStep);
    block_ = static_cast<const Bits*>(run.keys);
  }

  void work() {
    ForwardItem last;
    ForwardItem item = next();
    for (int64_t i = 0; i < score_pairs(item); ++i) scores(item, i);
    while (!item.empty()) {
      const ForwardItem coming = next();
      overlap(last, item, coming);
      last = item;
      item = coming;
    }
    for (int64_t i = 0; i < value_tiles(last); ++i) values(last, i);
    finish_rows(run_, t_);
  }

 private:
  ForwardItem next() {
    for (; first_ < run_.visible + run_.rows - 1; first_ += kStep, block_ += 4 * kBlock * run_.head_dim, r_ = 0)
      while (r_ < run_.rows) {
        ForwardItem item{r_, first_, most_seen(run_, r_, first_), block_, s_[side_], p_[side_]};
        r_ += kRows;
        if (first_ == 0) start_rows(run_, t_, item.r);
        if (item.empty()) continue;
        side_ = 1 - side_;
        return item;
      }
    return {};
  }

  void overlap(const ForwardItem& last, const ForwardItem& item, const ForwardItem& coming) {
    const int64_t all_scores = score_pairs(coming);
    const int64_t all_values = value_tiles(last);
    int64_t score = 0;
    int64_t value = 0;
    // A row that meets a higher maximum brings its sums to it: those of an earlier step must be in them.
    if (last.r == item.r)
      for (; value < all_values; ++value) values(last, value);
    for (int64_t i = 0; i < kRows; ++i) {
      probabilities(run_, t_, item.r + i, item.first, item.most, item.s + i * kStep, item.p + i * kStep);
      for (; score * kRows < (i + 1) * all_scores; ++score) scores(coming, score);
      for (; value * kRows < (i + 1) * all_values; ++value) values(last, value);
    }
  }

  /// Scores are made two tiles at a time, which share what they load of the queries.
  static int64_t score_pairs(const ForwardItem& item) { return item.empty() ? 0 : 2 * key_blocks(item.most); }
  void scores(const ForwardItem& item, int64_t pair) const {
    const int64_t e = run_.head_dim;
    const int64_t block = pair / 2 * 2 * kBlock * e;
    tile<kRows, 2, false>(e / 2, t_.q + item.r * e, e, item.block + block + pair % 2 * 64, 2 * kBlock, item.s + pair * 32, kStep);
  }

  int64_t value_tiles(const ForwardItem& item) const { return item.empty() ? 0 : run_.head_dim / 16; }
  void values(const ForwardItem& item, int64_t at) const {
    const int64_t e = run_.head_dim;
    float* o = t_.o + item.r * e + 16 * at;
    const Bits* p = item.p;
    const Bits* v = item.block + kBlock * e + 32 * at;
    // Tiles that the scores do not use, so that neither waits.
    tile_load<2>(o, 4 * e);
    for (int64_t depth = value_pairs(item.most); depth > 0; depth -= kBlock / 2, v += kBlock * e)
      for (const Bits* end = p + 2 * smaller(depth, kBlock / 2); p < end; p += 2 * kDepth, v += 2 * kDepth * e) {
        tile_load<3>(p, 2 * kStep);
        tile_load<5>(v, 4 * e);
        tile_multiply_add<2, 3, 5>();
      }
    tile_store<2>(o, 4 * e);
  }

  const ForwardRun& run_;
  ForwardScratch t_;
  float* s_[2];
  Bits* p_[2];
  const Bits* block_;
  int64_t first_ = 0;
  int64_t r_ = 0;
  int side_ = 0;
};

void forward_overlapped(const ForwardRun& run) {
  enter_tiles();
  OverlappedForward(run).work();
  leave_tiles();
}

}  // namespace
}  // namespace tenfold::cpu
