#include <immintrin.h>

#include <cstdint>

namespace tenfold::cpu {
namespace {

struct Vec {
  __m512 v;
};
constexpr int kLanes = 16;
constexpr int kTileRows = 6;
constexpr int kTileVecs = 4;

inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline Vec splat(float x) { return {_mm512_set1_ps(x)}; }
inline Vec add(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec mul(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec fused(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec below(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec above(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec scale_by_power(Vec p, Vec n) {
  const __m512i exponent = _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127)), 23);
  return {_mm512_mul_ps(p.v, _mm512_castsi512_ps(exponent))};
}
inline float sum(Vec a) { return _mm512_reduce_add_ps(a.v); }

}  // namespace
}  // namespace tenfold::cpu

#include "ops/cpu/isa/attention_f32_body.h"

namespace tenfold::cpu {

const AttentionKernels& attention_f32_avx512() { return kKernels; }

}  // namespace tenfold::cpu
