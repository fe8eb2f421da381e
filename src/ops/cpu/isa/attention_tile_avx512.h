#pragma once

// The products of attention in AVX-512 BF16: tiles of 4 rows in registers.

#include "ops/cpu/isa/attention_pack_avx512.h"

namespace tenfold::cpu {
namespace {

constexpr int64_t kRows = 4;     // of a tile: 4 x 4 vectors keep both multipliers busy and divide every block
constexpr int64_t kKeyRows = 4;  // in the backward
constexpr int64_t kDepth = 1;    // pairs: what a tile's depth must be a multiple of

inline void enter_tiles() {}
inline void leave_tiles() {}

inline __m512bh pairs(const Bits* p) { return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p)); }
inline __m512bh pair_everywhere(const Bits* p) {
  int32_t bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(bits));
}

// c (kHeight = 4, NV vectors) = or += a b over `depth` pairs: a's rows hold them one after the other, b's lie b_stride elements
// apart, after every `run` of them a further b_gap.
template <int64_t kHeight, int NV, bool kAccumulate>
inline void tile(int64_t depth, const Bits* a, int64_t a_stride, const Bits* b, int64_t b_stride, float* c, int64_t c_stride,
                 int64_t run = 1 << 30, int64_t b_gap = 0, int64_t a_gap = 0) {
  static_assert(kHeight == kRows);
  __m512 sum[kRows][NV];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) sum[i][j] = kAccumulate ? _mm512_loadu_ps(c + i * c_stride + 16 * j) : _mm512_setzero_ps();
  for (; depth > 0; depth -= run, b += b_gap, a += a_gap) {
    const Bits* end = a + 2 * smaller(depth, run);
    for (; a < end; a += 2, b += b_stride) {
      __m512bh vectors[NV];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) vectors[j] = pairs(b + 32 * j);
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        const __m512bh value = pair_everywhere(a + i * a_stride);
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], value, vectors[j]);
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) _mm512_storeu_ps(c + i * c_stride + 16 * j, sum[i][j]);
}

}  // namespace
}  // namespace tenfold::cpu
