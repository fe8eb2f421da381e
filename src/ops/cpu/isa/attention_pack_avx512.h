#pragma once

// What attention in bf16 is made of besides its products: packing by pairs, exp2, sums of lanes. Everything is in an anonymous
// namespace: each unit that includes this compiles it for its instruction set.

#include "ops/cpu/isa/attention_kernels.h"
#include "ops/cpu/isa/lanes_avx512.h"
#include "ops/cpu/isa/transpose_avx512.h"

#include <immintrin.h>

#include <cstdint>

namespace tenfold::cpu {
namespace {

using Bits = uint16_t;  // of a bf16

constexpr int64_t kBlock = kAttentionBlock;
constexpr int64_t kStep = 2 * kBlock;  // keys of one softmax step
constexpr int64_t kBackwardKeyBlocks = 2;
constexpr int64_t kForwardRows = 96;
constexpr float kLog2E = 1.44269504F;
constexpr float kLn2 = 0.693147181F;
constexpr float kLowest = -3.0e38F;
// A row is brought to a new maximum only when that is 2^8 above: bf16 and f32 lose nothing on probabilities of up to 256.
constexpr float kSlack = 8.0F;

// Minimax polynomial of 2^x on [0, 1), relative error 7.5e-8 before rounding.
constexpr float kExp2Terms[6] = {0.9999999403953552F,  0.6931530833244324F,  0.24015361070632935F,
                                 0.05582631751894951F, 0.00898933969438076F, 0.0018775766948238015F};

// 2^x to 2e-7 for any x (0 and infinity where it must, NaN stays): 2^floor(x) times a minimax polynomial on [0, 1).
inline __m512 exp2(__m512 x) {
  const __m512 f = _mm512_reduce_ps(x, 0x09);  // x - floor(x)
  __m512 p = _mm512_set1_ps(kExp2Terms[5]);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2Terms[4]));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2Terms[3]));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2Terms[2]));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2Terms[1]));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2Terms[0]));
  return _mm512_scalef_ps(p, x);
}

// The sums of the lanes of 16 vectors, in their order.
inline __m512 sums_of_lanes(const __m512 x[16]) {
  __m512 a[8], b[4], c[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i)
    a[i] = _mm512_add_ps(_mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]), _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]));
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512d low = _mm512_castps_pd(a[2 * i]), high = _mm512_castps_pd(a[2 * i + 1]);
    b[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(low, high)), _mm512_castpd_ps(_mm512_unpackhi_pd(low, high)));
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i)
    c[i] = _mm512_add_ps(_mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0x88), _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0xdd));
  return _mm512_add_ps(_mm512_shuffle_f32x4(c[0], c[1], 0x88), _mm512_shuffle_f32x4(c[0], c[1], 0xdd));
}

// ---- packing ----

inline const Bits* row_of(const HeadRows& rows, int64_t i) { return static_cast<const Bits*>(rows.data) + i * rows.stride; }

inline void fetch_row(const HeadRows& rows, int64_t i, int64_t head_dim) {
  for (int64_t e = 0; e < head_dim; e += 32) _mm_prefetch(reinterpret_cast<const char*>(row_of(rows, i) + e), _MM_HINT_T0);
}

// 16 rows by up to 16 pairs of their elements, transposed.
template <bool kWhole>
inline void pack_column_group(const HeadRows& rows, int64_t first, int64_t count, int64_t e, int64_t wide, Bits* out) {
  const __mmask16 mask = first_lanes(wide);
  __m512i block[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    if (kWhole)
      block[i] = _mm512_loadu_si512(row_of(rows, first + i) + e);
    else
      block[i] = first + i < count ? _mm512_maskz_loadu_epi32(mask, row_of(rows, first + i) + e) : _mm512_setzero_si512();
  }
  transpose16(block);
  Bits* at = out + (e / 2 * kBlock + first) * 2;
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i)
    if (kWhole || i < wide) _mm512_storeu_si512(at + i * kBlock * 2, block[i]);
}

// Rows [0, count) of 64 as (E / 2, 64, 2): pairs of the head dimension side by side, rows along the lanes; zeros for the others.
void pack_columns(const HeadRows& rows, int64_t count, int64_t head_dim, Bits* out) {
  for (int64_t r = 0; r < kBlock; r += 16)
    for (int64_t e = 0; e < head_dim; e += 32) {
      const int64_t wide = smaller(16, (head_dim - e) / 2);
      if (wide == 16 && r + 16 <= count)
        pack_column_group<true>(rows, r, count, e, wide, out);
      else
        pack_column_group<false>(rows, r, count, e, wide, out);
    }
}

// The same as (32, E, 2): pairs of rows side by side.
void pack_row_pairs(const HeadRows& rows, int64_t count, int64_t head_dim, Bits* out) {
  for (int64_t r = 0; r < kBlock; r += 2)
    for (int64_t e = 0; e < head_dim; e += 16) {
      const __m256i zero = _mm256_setzero_si256();
      const __m256i even = r < count ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row_of(rows, r) + e)) : zero;
      const __m256i odd = r + 1 < count ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row_of(rows, r + 1) + e)) : zero;
      const __m512i both = _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
      _mm512_storeu_si512(out + (r / 2 * head_dim + e) * 2, both);
    }
}

// The same as they lie, (64, E).
void pack_rows(const HeadRows& rows, int64_t count, int64_t padded_count, int64_t head_dim, Bits* out) {
  for (int64_t r = 0; r < padded_count; ++r)
    for (int64_t e = 0; e < head_dim; e += 16) {
      const __m256i x =
          r < count ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row_of(rows, r) + e)) : _mm256_setzero_si256();
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + r * head_dim + e), x);
    }
}

// (E, 64) from pack_columns' (E / 2, 64, 2).
void split_columns(const Bits* columns, int64_t head_dim, Bits* out) {
  for (int64_t e = 0; e < head_dim; e += 2)
    for (int64_t r = 0; r < kBlock; r += 16) {
      const __m512i both = _mm512_loadu_si512(columns + (e / 2 * kBlock + r) * 2);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + e * kBlock + r), _mm512_cvtepi32_epi16(both));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + (e + 1) * kBlock + r),
                          _mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)));
    }
}

inline __m512 widen(const Bits* p) {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
}

inline void store_bf16(Bits* p, __m512 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
}

inline void store_bf16_pair(Bits* p, __m512 low, __m512 high) {
  _mm512_storeu_si512(p, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
}

}  // namespace
}  // namespace tenfold::cpu
