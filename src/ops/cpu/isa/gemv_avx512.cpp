#include "ops/cpu/isa/decode_avx512.h"
#include "ops/cpu/isa/gemv_kernels.h"

namespace tenfold::cpu {
namespace {

/// Codes of a block of 32 with the scale left out: x . w = d (x . q) + m sum(x), which saves two operations an element.
struct FactoredQ4_1 {
  static constexpr int64_t kBytes = 20;
  static constexpr bool kHasMin = true;
  static Pair codes(const std::byte* p) { return nibbles(p + 4, counting(0.0F)); }
  static __m128 scales(const std::byte* p) { return _mm_cvtph_ps(_mm_cvtsi32_si128(load_i32(p))); }
};

struct FactoredQ4_0 {
  static constexpr int64_t kBytes = 18;
  static constexpr bool kHasMin = false;
  static Pair codes(const std::byte* p) { return nibbles(p + 2, counting(8.0F)); }
  static __m128 scales(const std::byte* p) { return _mm_set_ss(half_at(p)); }
};

struct FactoredQ8_0 {
  static constexpr int64_t kBytes = 34;
  static constexpr bool kHasMin = false;
  static Pair codes(const std::byte* p) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 2)))),
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 18))))};
  }
  static __m128 scales(const std::byte* p) { return _mm_set_ss(half_at(p)); }
};

template <typename Block, int kTokens>
void dot_blocks(const GemvTask& t) {
  const int64_t blocks = t.weight.cols / 32;
  for (int64_t row = t.row_begin; row < t.row_end; ++row) {
    const std::byte* p = row_of(t.weight, row);
    __m512 sum[kTokens];
    __m128 mins[kTokens];
#pragma GCC unroll 4
    for (int i = 0; i < kTokens; ++i) {
      sum[i] = _mm512_setzero_ps();
      mins[i] = _mm_setzero_ps();
    }
    for (int64_t b = 0; b < blocks; ++b, p += Block::kBytes) {
      const Pair q = Block::codes(p);
      const __m128 dm = Block::scales(p);
      const __m512 d = _mm512_broadcastss_ps(dm);
      const __m128 m = _mm_movehdup_ps(dm);
#pragma GCC unroll 4
      for (int i = 0; i < kTokens; ++i) {
        const float* x = t.x + i * t.x_stride + b * 32;
        const __m512 dot = _mm512_fmadd_ps(q.high, _mm512_loadu_ps(x + 16), _mm512_mul_ps(q.low, _mm512_loadu_ps(x)));
        sum[i] = _mm512_fmadd_ps(dot, d, sum[i]);
        if constexpr (Block::kHasMin) mins[i] = _mm_fmadd_ss(m, _mm_load_ss(t.x_sums + i * blocks + b), mins[i]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kTokens; ++i)
      t.out[i * t.out_stride + row - t.row_begin] = _mm512_reduce_add_ps(sum[i]) + _mm_cvtss_f32(mins[i]);
  }
}

/// Decoded values; columns past the last whole run of 32 through the plain decoder.
template <typename Decoder, int kTokens>
void dot_values(const GemvTask& t) {
  const int64_t whole = t.weight.cols / 32 * 32;
  for (int64_t row = t.row_begin; row < t.row_end; ++row) {
    __m512 low[kTokens];
    __m512 high[kTokens];
#pragma GCC unroll 4
    for (int i = 0; i < kTokens; ++i) low[i] = high[i] = _mm512_setzero_ps();
    for (int64_t col = 0; col < whole; col += 32) {
      const Pair w = Decoder::load(t.weight, row, col);
#pragma GCC unroll 4
      for (int i = 0; i < kTokens; ++i) {
        const float* x = t.x + i * t.x_stride + col;
        low[i] = _mm512_fmadd_ps(w.low, _mm512_loadu_ps(x), low[i]);
        high[i] = _mm512_fmadd_ps(w.high, _mm512_loadu_ps(x + 16), high[i]);
      }
    }
    float tail[kTokens] = {};
    if (whole < t.weight.cols) {
      float values[32];
      const int64_t count = t.weight.cols - whole;
      decode(t.weight, row, whole, count, values);
      for (int i = 0; i < kTokens; ++i)
        for (int64_t c = 0; c < count; ++c) tail[i] += values[c] * t.x[i * t.x_stride + whole + c];
    }
#pragma GCC unroll 4
    for (int i = 0; i < kTokens; ++i)
      t.out[i * t.out_stride + row - t.row_begin] = _mm512_reduce_add_ps(_mm512_add_ps(low[i], high[i])) + tail[i];
  }
}

template <int kTokens>
void dot(const GemvTask& t) {
  switch (t.weight.layout) {
    case WeightLayout::kQ4_0: return dot_blocks<FactoredQ4_0, kTokens>(t);
    case WeightLayout::kQ4_1: return dot_blocks<FactoredQ4_1, kTokens>(t);
    case WeightLayout::kQ8_0: return dot_blocks<FactoredQ8_0, kTokens>(t);
    case WeightLayout::kF32: return dot_values<DecodeF32, kTokens>(t);
    case WeightLayout::kF16: return dot_values<DecodeF16, kTokens>(t);
    case WeightLayout::kBF16: return dot_values<DecodeBf16, kTokens>(t);
    case WeightLayout::kNF4:
      if (t.weight.cols % 64 == 0) return dot_values<DecodeNf4, kTokens>(t);
      break;
    default: break;
  }
  dot_values<DecodeAny, kTokens>(t);
}

}  // namespace

void gemv_avx512(const GemvTask& task) {
  switch (task.tokens) {
    case 1: return dot<1>(task);
    case 2: return dot<2>(task);
    case 3: return dot<3>(task);
    default: return dot<4>(task);
  }
}

}  // namespace tenfold::cpu
