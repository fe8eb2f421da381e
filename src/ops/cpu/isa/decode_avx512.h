#pragma once

// 32 values of a row, decoded to two vectors of f32 with the arithmetic of cpu::decode (separate multiply and add), so bit for
// bit equal.

#include "ops/cpu/expand.h"
#include "ops/cpu/isa/nf4_scale.h"

#include <immintrin.h>

#include <cstdint>

namespace tenfold::cpu {
namespace {

struct Pair {
  __m512 low;
  __m512 high;
};

inline __m512 widen(__m256i bf16_bits) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16_bits), 16)); }

inline const std::byte* row_of(const Source& s, int64_t row) { return s.data + (s.first_row + row) * s.row_bytes; }

inline int32_t load_i32(const std::byte* p) {
  int32_t v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

inline float half_at(const std::byte* p) {
  uint16_t v;
  __builtin_memcpy(&v, p, sizeof v);
  return _cvtsh_ss(v);
}

struct DecodeF32 {
  static constexpr bool kWide = true;  ///< 64 columns are more than a cache line
  static Pair load(const Source& s, int64_t row, int64_t col) {
    const auto* p = reinterpret_cast<const float*>(row_of(s, row)) + col;
    const __m512 scale = _mm512_set1_ps(s.scale);
    return {_mm512_mul_ps(_mm512_loadu_ps(p), scale), _mm512_mul_ps(_mm512_loadu_ps(p + 16), scale)};
  }
};

struct DecodeBf16 {
  static constexpr bool kWide = true;
  static __m512i raw(const Source& s, int64_t row, int64_t col) { return _mm512_loadu_si512(row_of(s, row) + col * 2); }
  static Pair load(const Source& s, int64_t row, int64_t col) {
    const __m512i v = raw(s, row, col);
    return {widen(_mm512_castsi512_si256(v)), widen(_mm512_extracti64x4_epi64(v, 1))};
  }
};

struct DecodeF16 {
  static Pair load(const Source& s, int64_t row, int64_t col) {
    const auto* p = row_of(s, row) + col * 2;
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))),
            _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32)))};
  }
};

/// table[q] for 16 bytes: value j in the low nibble of byte j, value j + 16 in the high one. The look-up takes the low four bits
/// of each index and ignores the rest, so nothing needs masking or converting.
inline Pair nibbles(const std::byte* p, __m512 table) {
  const __m512i q = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return {_mm512_permutexvar_ps(q, table), _mm512_permutexvar_ps(_mm512_srli_epi32(q, 4), table)};
}

/// 0 .. 15 minus an offset, as floats.
inline __m512 counting(float offset) {
  const __m512 n = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_sub_ps(n, _mm512_set1_ps(offset));
}

struct DecodeQ4_0 {
  static Pair load(const Source& s, int64_t row, int64_t col) {
    const std::byte* p = row_of(s, row) + col / 32 * 18;
    const __m512 d = _mm512_set1_ps(half_at(p));
    const Pair q = nibbles(p + 2, counting(8.0F));
    return {_mm512_mul_ps(q.low, d), _mm512_mul_ps(q.high, d)};
  }
};

struct DecodeQ4_1 {
  static Pair load(const Source& s, int64_t row, int64_t col) {
    const std::byte* p = row_of(s, row) + col / 32 * 20;
    const __m128 dm = _mm_cvtph_ps(_mm_cvtsi32_si128(load_i32(p)));
    const __m512 d = _mm512_broadcastss_ps(dm);
    const __m512 m = _mm512_broadcastss_ps(_mm_movehdup_ps(dm));
    const Pair q = nibbles(p + 4, counting(0.0F));
    return {_mm512_add_ps(_mm512_mul_ps(q.low, d), m), _mm512_add_ps(_mm512_mul_ps(q.high, d), m)};
  }
};

struct DecodeQ8_0 {
  static constexpr bool kWide = true;
  static Pair load(const Source& s, int64_t row, int64_t col) {
    const std::byte* p = row_of(s, row) + col / 32 * 34;
    const __m512 d = _mm512_set1_ps(half_at(p));
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 2));
    const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 18));
    return {_mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(low)), d),
            _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(high)), d)};
  }
};

/// NF4 whose rows are whole blocks of 64, so that 32 values share one scale.
struct DecodeNf4 {
  static Pair load(const Source& s, int64_t row, int64_t col) {
    const int64_t first = (s.first_row + row) * s.cols + col;
    const __m512 code = _mm512_loadu_ps(s.nf4.code);
    const __m512 d = _mm512_set1_ps(nf4_scale(s.nf4, first / 64));
    const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(s.data + first / 2));
    const __m128i mask = _mm_set1_epi8(15);
    const __m128i odd = _mm_and_si128(q, mask);
    const __m128i even = _mm_and_si128(_mm_srli_epi16(q, 4), mask);
    const __m512i low = _mm512_cvtepu8_epi32(_mm_unpacklo_epi8(even, odd));
    const __m512i high = _mm512_cvtepu8_epi32(_mm_unpackhi_epi8(even, odd));
    return {_mm512_mul_ps(_mm512_permutexvar_ps(low, code), d), _mm512_mul_ps(_mm512_permutexvar_ps(high, code), d)};
  }
};

/// Any layout through the plain decoder; the only one for runs shorter than 32.
struct DecodeAny {
  static Pair load_some(const Source& s, int64_t row, int64_t col, int count) {
    alignas(64) float values[32] = {};
    if (count > 0) decode(s, row, col, count, values);
    return {_mm512_load_ps(values), _mm512_load_ps(values + 16)};
  }
  static Pair load(const Source& s, int64_t row, int64_t col) { return load_some(s, row, col, 32); }
};

}  // namespace
}  // namespace tenfold::cpu
