#include <immintrin.h>

#include <cstdint>

namespace tenfold::cpu {
namespace {

struct Vec {
  __m256 v;
};
constexpr int kLanes = 8;
constexpr int kTileRows = 6;
constexpr int kTileVecs = 2;

inline Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
inline Vec splat(float x) { return {_mm256_set1_ps(x)}; }
inline Vec add(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec mul(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec fused(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec below(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec above(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec scale_by_power(Vec p, Vec n) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23);
  return {_mm256_mul_ps(p.v, _mm256_castsi256_ps(exponent))};
}
inline float sum(Vec a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

}  // namespace
}  // namespace tenfold::cpu

#include "ops/cpu/isa/attention_f32_body.h"

namespace tenfold::cpu {

const AttentionKernels& attention_f32_avx2() { return kKernels; }

}  // namespace tenfold::cpu
