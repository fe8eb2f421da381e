#pragma once

// The products of attention in AMX: tiles of 16 or 32 rows. In the forward they are half of the time, the exponentials a fifth.
// Making the next tile's scores and adding up the last one's values between the rows of a softmax, so that both units work, gave
// the same bits a tenth slower (Emerald Rapids, 8K tokens: 0.93 TFLOP/s, where one after the other makes 1.04).

#include "ops/cpu/isa/amx_tiles.h"
#include "ops/cpu/isa/attention_pack_avx512.h"

namespace tenfold::cpu {
namespace {

// Two tiles of rows share what they load of b. The forward is the faster for fewer rows all the same: its scores stay closer.
constexpr int64_t kRows = kTileRows;
constexpr int64_t kKeyRows = 2 * kTileRows;
constexpr int64_t kDepth = kTilePairs;  // pairs: what a tile's depth must be a multiple of

// kDown x kAcross tiles, at most four, as tile().
template <int kDown, int kAcross, bool kAccumulate>
inline void tile_block(int64_t depth, const Bits* a, int64_t a_stride, const Bits* b, int64_t b_stride, float* c,
                       int64_t c_stride, int64_t run, int64_t b_gap, int64_t a_gap) {
  static_assert(kDown * kAcross <= 4);
  float* lower = c + kTileRows * c_stride;
  const int64_t bytes = 4 * c_stride;
  kAccumulate ? tile_load<0>(c, bytes) : tile_zero<0>();
  if constexpr (kAcross > 1) kAccumulate ? tile_load<1>(c + 16, bytes) : tile_zero<1>();
  if constexpr (kDown == 2) kAccumulate ? tile_load<2>(lower, bytes) : tile_zero<2>();
  if constexpr (kDown == 2 && kAcross > 1) kAccumulate ? tile_load<3>(lower + 16, bytes) : tile_zero<3>();
  if constexpr (kAcross > 2) kAccumulate ? tile_load<2>(c + 32, bytes) : tile_zero<2>();
  if constexpr (kAcross > 3) kAccumulate ? tile_load<3>(c + 48, bytes) : tile_zero<3>();
  for (; depth > 0; depth -= run, b += b_gap, a += a_gap) {
    const Bits* end = a + 2 * smaller(depth, run);
    for (; a < end; a += 2 * kDepth, b += kDepth * b_stride) {
      tile_load<4>(a, 2 * a_stride);
      tile_load<6>(b, 2 * b_stride);
      tile_multiply_add<0, 4, 6>();
      if constexpr (kAcross > 1) {
        tile_load<7>(b + 32, 2 * b_stride);
        tile_multiply_add<1, 4, 7>();
      }
      if constexpr (kAcross > 2) {
        tile_load<5>(b + 64, 2 * b_stride);
        tile_multiply_add<2, 4, 5>();
      }
      if constexpr (kAcross > 3) {
        tile_load<6>(b + 96, 2 * b_stride);
        tile_multiply_add<3, 4, 6>();
      }
      if constexpr (kDown == 2) {
        tile_load<5>(a + kTileRows * a_stride, 2 * a_stride);
        tile_multiply_add<2, 5, 6>();
        if constexpr (kAcross > 1) tile_multiply_add<3, 5, 7>();
      }
    }
  }
  tile_store<0>(c, bytes);
  if constexpr (kAcross > 1) tile_store<1>(c + 16, bytes);
  if constexpr (kDown == 2) tile_store<2>(lower, bytes);
  if constexpr (kDown == 2 && kAcross > 1) tile_store<3>(lower + 16, bytes);
  if constexpr (kAcross > 2) tile_store<2>(c + 32, bytes);
  if constexpr (kAcross > 3) tile_store<3>(c + 48, bytes);
}

// c (kHeight, NV vectors) = or += a b over `depth` pairs, a multiple of kDepth as is `run`: a's rows hold them one after the
// other, b's lie b_stride elements apart, after every `run` of them a further b_gap and a_gap.
template <int64_t kHeight, int NV, bool kAccumulate>
inline void tile(int64_t depth, const Bits* a, int64_t a_stride, const Bits* b, int64_t b_stride, float* c, int64_t c_stride,
                 int64_t run = 1 << 30, int64_t b_gap = 0, int64_t a_gap = 0) {
  constexpr int kDown = kHeight / kTileRows;
  constexpr int kFirst = NV * kDown <= 4 ? NV : 2;
  tile_block<kDown, kFirst, kAccumulate>(depth, a, a_stride, b, b_stride, c, c_stride, run, b_gap, a_gap);
  if constexpr (NV > kFirst)
    tile_block<kDown, NV - kFirst, kAccumulate>(depth, a, a_stride, b + 64, b_stride, c + 32, c_stride, run, b_gap, a_gap);
}

}  // namespace
}  // namespace tenfold::cpu
