#include "ops/cpu/isa/decode_avx2.h"
#include "ops/cpu/isa/gemv_kernels.h"

namespace tenfold::cpu {
namespace {

float sum_of(__m256 v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/// The sum of 32 products.
__m256 dot_of(const Quad& w, const float* x) {
  __m256 a = _mm256_mul_ps(w.v[0], _mm256_loadu_ps(x));
  __m256 b = _mm256_mul_ps(w.v[1], _mm256_loadu_ps(x + 8));
  a = _mm256_fmadd_ps(w.v[2], _mm256_loadu_ps(x + 16), a);
  b = _mm256_fmadd_ps(w.v[3], _mm256_loadu_ps(x + 24), b);
  return _mm256_add_ps(a, b);
}

/// Codes with the scale left out: x . w = d (x . q) + (m - kOffset d) sum(x).
template <typename Block, int kTokens>
void dot_blocks(const GemvTask& t) {
  constexpr bool kSums = Block::kHasMin || Block::kOffset != 0.0F;
  const int64_t blocks = t.weight.cols / 32;
  for (int64_t row = t.row_begin; row < t.row_end; ++row) {
    const std::byte* p = row_of(t.weight, row);
    __m256 sum[kTokens];
    float mins[kTokens] = {};
    for (int i = 0; i < kTokens; ++i) sum[i] = _mm256_setzero_ps();
    for (int64_t b = 0; b < blocks; ++b, p += Block::kBytes) {
      const Quad q = Block::codes(p);
      const __m128 dm = Block::scales(p);
      const __m256 d = _mm256_broadcastss_ps(dm);
      const float m = Block::kHasMin ? _mm_cvtss_f32(_mm_movehdup_ps(dm)) : -Block::kOffset * _mm_cvtss_f32(dm);
      for (int i = 0; i < kTokens; ++i) {
        sum[i] = _mm256_fmadd_ps(dot_of(q, t.x + i * t.x_stride + b * 32), d, sum[i]);
        if constexpr (kSums) mins[i] += m * t.x_sums[i * blocks + b];
      }
    }
    for (int i = 0; i < kTokens; ++i) t.out[i * t.out_stride + row - t.row_begin] = sum_of(sum[i]) + mins[i];
  }
}

template <typename Decoder, int kTokens>
void dot_values(const GemvTask& t) {
  const int64_t whole = t.weight.cols / 32 * 32;
  for (int64_t row = t.row_begin; row < t.row_end; ++row) {
    __m256 sum[kTokens];
    for (int i = 0; i < kTokens; ++i) sum[i] = _mm256_setzero_ps();
    for (int64_t col = 0; col < whole; col += 32) {
      const Quad w = Decoder::load(t.weight, row, col);
      for (int i = 0; i < kTokens; ++i) sum[i] = _mm256_add_ps(sum[i], dot_of(w, t.x + i * t.x_stride + col));
    }
    float tail[kTokens] = {};
    if (whole < t.weight.cols) {
      float values[32];
      const int64_t count = t.weight.cols - whole;
      decode(t.weight, row, whole, count, values);
      for (int i = 0; i < kTokens; ++i)
        for (int64_t c = 0; c < count; ++c) tail[i] += values[c] * t.x[i * t.x_stride + whole + c];
    }
    for (int i = 0; i < kTokens; ++i) t.out[i * t.out_stride + row - t.row_begin] = sum_of(sum[i]) + tail[i];
  }
}

template <int kTokens>
void dot(const GemvTask& t) {
  switch (t.weight.layout) {
    case WeightLayout::kQ4_0: return dot_blocks<DecodeQ4_0, kTokens>(t);
    case WeightLayout::kQ4_1: return dot_blocks<DecodeQ4_1, kTokens>(t);
    case WeightLayout::kQ8_0: return dot_blocks<DecodeQ8_0, kTokens>(t);
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

void gemv_avx2(const GemvTask& task) {
  switch (task.tokens) {
    case 1: return dot<1>(task);
    case 2: return dot<2>(task);
    case 3: return dot<3>(task);
    default: return dot<4>(task);
  }
}

}  // namespace tenfold::cpu
