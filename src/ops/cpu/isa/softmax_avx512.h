#pragma once

// The 512-bit passes over logits, shared by the unit with bf16 instructions and the one without.

#include "ops/cpu/isa/lanes_avx512.h"
#include "ops/cpu/isa/softmax_kernels.h"

#include <immintrin.h>

namespace tenfold::cpu {
namespace {

constexpr int64_t kLanes = 16;

/// exp for x <= 0 within 1 ulp, 0 below -87: 2^n times a polynomial in r = x - n ln 2, |r| <= ln 2 / 2. Its coefficients are the
/// minimax ones of degree 6 (1 and r exact) for the relative error, 3e-9, found by iterated least squares.
__m512 exp_of(__m512 x) {
  const __mmask16 large = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0F), _CMP_GE_OQ);
  // Adding 1.5 * 2^23 leaves n = round(x / ln 2) in the low bits of the sum.
  const __m512 magic = _mm512_set1_ps(12582912.0F);
  const __m512 shifted = _mm512_fmadd_ps(x, _mm512_set1_ps(1.44269504F), magic);
  const __m512 n = _mm512_sub_ps(shifted, magic);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375F), x);  // ln 2 in two parts, the first exact in few bits
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4F), r);
  __m512 p = _mm512_set1_ps(0.0013814540579915047F);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.00836874544620514F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.04166838899254799F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.1666652113199234F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.4999999403953552F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F));
  const __m512i scaled = _mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(shifted), 23));
  return _mm512_castsi512_ps(_mm512_maskz_mov_epi32(large, scaled));
}

float maximum(const float* x, int64_t n) {
  const __m512 lowest = _mm512_set1_ps(-__builtin_inff());
  __m512 best[2] = {lowest, lowest};
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    best[0] = _mm512_max_ps(best[0], _mm512_loadu_ps(x + i));
    best[1] = _mm512_max_ps(best[1], _mm512_loadu_ps(x + i + kLanes));
  }
  for (; i < n; i += kLanes) {
    const __mmask16 mask = first_lanes(n - i);
    best[0] = _mm512_max_ps(best[0], _mm512_mask_loadu_ps(lowest, mask, x + i));
  }
  return _mm512_reduce_max_ps(_mm512_max_ps(best[0], best[1]));
}

template <typename Store>
float exponentials_with(const float* x, int64_t n, float max, const Store& store) {
  const __m512 shift = _mm512_set1_ps(max);
  __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const __m512 low = exp_of(_mm512_sub_ps(_mm512_loadu_ps(x + i), shift));
    const __m512 high = exp_of(_mm512_sub_ps(_mm512_loadu_ps(x + i + kLanes), shift));
    sum[0] = _mm512_add_ps(sum[0], low);
    sum[1] = _mm512_add_ps(sum[1], high);
    store(i, low, high);
  }
  for (; i < n; i += kLanes) {
    const __mmask16 mask = first_lanes(n - i);
    const __m512 e = _mm512_maskz_mov_ps(mask, exp_of(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), shift)));
    sum[0] = _mm512_add_ps(sum[0], e);
    store(i, e, mask);
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1]));
}

struct StoreNothing {
  void operator()(int64_t /*i*/, __m512 /*low*/, __m512 /*high*/) const {}
  void operator()(int64_t /*i*/, __m512 /*e*/, __mmask16 /*mask*/) const {}
};

struct StoreF32 {
  float* out;
  void operator()(int64_t i, __m512 low, __m512 high) const {
    _mm512_storeu_ps(out + i, low);
    _mm512_storeu_ps(out + i + kLanes, high);
  }
  void operator()(int64_t i, __m512 e, __mmask16 mask) const { _mm512_mask_storeu_ps(out + i, mask, e); }
};

/// Rounding: to_bf16(__m512) and to_bf16(low, high).
template <typename Rounding>
struct StoreBf16 {
  uint16_t* out;
  void operator()(int64_t i, __m512 low, __m512 high) const { _mm512_storeu_si512(out + i, Rounding::to_bf16(low, high)); }
  void operator()(int64_t i, __m512 e, __mmask16 mask) const { _mm256_mask_storeu_epi16(out + i, mask, Rounding::to_bf16(e)); }
};

template <typename Rounding>
float exponentials(const float* x, int64_t n, float max, void* out, bool out_bf16) {
  if (out == nullptr) return exponentials_with(x, n, max, StoreNothing());
  if (out_bf16) return exponentials_with(x, n, max, StoreBf16<Rounding>{static_cast<uint16_t*>(out)});
  return exponentials_with(x, n, max, StoreF32{static_cast<float*>(out)});
}

}  // namespace
}  // namespace tenfold::cpu
