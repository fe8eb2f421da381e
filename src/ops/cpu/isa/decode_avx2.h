#pragma once

// 32 values of a row, decoded to four 256-bit vectors of f32 with the arithmetic of cpu::decode, so bit for bit equal.

#include "ops/cpu/expand.h"
#include "ops/cpu/isa/nf4_scale.h"

#include <immintrin.h>

#include <cstdint>

namespace tenfold::cpu {
namespace {

struct Quad {
  __m256 v[4];
};

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

inline __m128i load_16(const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

inline __m256 unsigned_to_float(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)); }
inline __m256 signed_to_float(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)); }

/// 16 bytes: value j in the low nibble of byte j, value j + 16 in the high one.
inline Quad nibbles(const std::byte* p) {
  const __m128i q = load_16(p);
  const __m128i mask = _mm_set1_epi8(15);
  const __m128i low = _mm_and_si128(q, mask);
  const __m128i high = _mm_and_si128(_mm_srli_epi16(q, 4), mask);
  return {{unsigned_to_float(low), unsigned_to_float(_mm_srli_si128(low, 8)), unsigned_to_float(high),
           unsigned_to_float(_mm_srli_si128(high, 8))}};
}

inline Quad signed_bytes(const std::byte* p) {
  const __m128i low = load_16(p);
  const __m128i high = load_16(p + 16);
  return {{signed_to_float(low), signed_to_float(_mm_srli_si128(low, 8)), signed_to_float(high),
           signed_to_float(_mm_srli_si128(high, 8))}};
}

struct DecodeF32 {
  static Quad load(const Source& s, int64_t row, int64_t col) {
    const auto* p = reinterpret_cast<const float*>(row_of(s, row)) + col;
    const __m256 scale = _mm256_set1_ps(s.scale);
    Quad q;
    for (int i = 0; i < 4; ++i) q.v[i] = _mm256_mul_ps(_mm256_loadu_ps(p + 8 * i), scale);
    return q;
  }
};

struct DecodeBf16 {
  static Quad load(const Source& s, int64_t row, int64_t col) {
    const auto* p = row_of(s, row) + col * 2;
    Quad q;
    for (int i = 0; i < 4; ++i) q.v[i] = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_16(p + 16 * i)), 16));
    return q;
  }
};

struct DecodeF16 {
  static Quad load(const Source& s, int64_t row, int64_t col) {
    const auto* p = row_of(s, row) + col * 2;
    Quad q;
    for (int i = 0; i < 4; ++i) q.v[i] = _mm256_cvtph_ps(load_16(p + 16 * i));
    return q;
  }
};

/// Codes apart from their scales: value = (code - kOffset) d [+ m].
struct DecodeQ4_0 {
  static constexpr int64_t kBytes = 18;
  static constexpr bool kHasMin = false;
  static constexpr float kOffset = 8.0F;
  static Quad codes(const std::byte* p) { return nibbles(p + 2); }
  static __m128 scales(const std::byte* p) { return _mm_set_ss(half_at(p)); }
};

struct DecodeQ4_1 {
  static constexpr int64_t kBytes = 20;
  static constexpr bool kHasMin = true;
  static constexpr float kOffset = 0.0F;
  static Quad codes(const std::byte* p) { return nibbles(p + 4); }
  static __m128 scales(const std::byte* p) { return _mm_cvtph_ps(_mm_cvtsi32_si128(load_i32(p))); }
};

struct DecodeQ8_0 {
  static constexpr int64_t kBytes = 34;
  static constexpr bool kHasMin = false;
  static constexpr float kOffset = 0.0F;
  static Quad codes(const std::byte* p) { return signed_bytes(p + 2); }
  static __m128 scales(const std::byte* p) { return _mm_set_ss(half_at(p)); }
};

template <typename Block>
struct DecodeBlock {
  static Quad load(const Source& s, int64_t row, int64_t col) {
    const std::byte* p = row_of(s, row) + col / 32 * Block::kBytes;
    const __m128 dm = Block::scales(p);
    const __m256 d = _mm256_broadcastss_ps(dm);
    const __m256 m = _mm256_broadcastss_ps(_mm_movehdup_ps(dm));
    Quad q = Block::codes(p);
    for (int i = 0; i < 4; ++i) {
      if constexpr (Block::kOffset != 0.0F) q.v[i] = _mm256_sub_ps(q.v[i], _mm256_set1_ps(Block::kOffset));
      q.v[i] = _mm256_mul_ps(q.v[i], d);
      if constexpr (Block::kHasMin) q.v[i] = _mm256_add_ps(q.v[i], m);
    }
    return q;
  }
};

/// NF4 whose rows are whole blocks of 64, so that 32 values share one scale.
struct DecodeNf4 {
  static Quad load(const Source& s, int64_t row, int64_t col) {
    const int64_t first = (s.first_row + row) * s.cols + col;
    const __m256 d = _mm256_set1_ps(nf4_scale(s.nf4, first / 64));
    const __m256 negative = _mm256_loadu_ps(s.nf4.code);  // the lower half of the code
    const __m256 positive = _mm256_loadu_ps(s.nf4.code + 8);
    const __m128i q = load_16(s.data + first / 2);
    const __m128i mask = _mm_set1_epi8(15);
    const __m128i odd = _mm_and_si128(q, mask);
    const __m128i even = _mm_and_si128(_mm_srli_epi16(q, 4), mask);
    const __m128i half[2] = {_mm_unpacklo_epi8(even, odd), _mm_unpackhi_epi8(even, odd)};
    Quad out;
    for (int i = 0; i < 4; ++i) {
      const __m256i index = _mm256_cvtepu8_epi32(i % 2 == 0 ? half[i / 2] : _mm_srli_si128(half[i / 2], 8));
      // The permutation looks at three bits of the index; the fourth, moved to the sign, picks the half.
      const __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(index, 28));
      const __m256 code =
          _mm256_blendv_ps(_mm256_permutevar8x32_ps(negative, index), _mm256_permutevar8x32_ps(positive, index), upper);
      out.v[i] = _mm256_mul_ps(code, d);
    }
    return out;
  }
};

/// Any layout through the plain decoder; the only one for runs shorter than 32.
struct DecodeAny {
  static Quad load_some(const Source& s, int64_t row, int64_t col, int64_t count) {
    alignas(32) float values[32] = {};
    if (count > 0) decode(s, row, col, count, values);
    return {{_mm256_load_ps(values), _mm256_load_ps(values + 8), _mm256_load_ps(values + 16), _mm256_load_ps(values + 24)}};
  }
  static Quad load(const Source& s, int64_t row, int64_t col) { return load_some(s, row, col, 32); }
};

}  // namespace
}  // namespace tenfold::cpu
