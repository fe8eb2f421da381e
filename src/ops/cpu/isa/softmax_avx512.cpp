#include "ops/cpu/isa/softmax_kernels.h"

#include <immintrin.h>

namespace tenfold::cpu {
namespace {

__mmask16 lanes_left(int64_t n) { return n >= 16 ? __mmask16{0xffff} : static_cast<__mmask16>((1U << n) - 1U); }

/// exp for x <= 0 within 1 ulp: 2^n times the Taylor series of degree 7 on |r| <= ln 2 / 2, whose remainder is 0.1 ulp.
__m512 exp_of(__m512 x) {
  x = _mm512_max_ps(x, _mm512_set1_ps(-110.0F));  // below, the result is 0 either way; and -infinity - -infinity would be NaN
  const __m512 n =
      _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504F)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375F), x);  // ln 2 in two parts, the first exact in few bits
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4F), r);
  __m512 p = _mm512_set1_ps(1.0F / 5040.0F);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 720.0F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 120.0F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 24.0F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 6.0F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F));
  return _mm512_scalef_ps(p, n);
}

/// Round to nearest even; NaN stays NaN because its payload's top bit is set by the arithmetic that made it.
__m256i to_bf16(__m512 v) {
  const __m512i u = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i kept = _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), u);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16));
}

float maximum(const float* x, int64_t n) {
  const __m512 lowest = _mm512_set1_ps(-__builtin_inff());
  __m512 best = lowest;
  for (int64_t i = 0; i < n; i += 16) {
    const __m512 v = _mm512_mask_loadu_ps(lowest, lanes_left(n - i), x + i);
    best = _mm512_max_ps(best, v);
  }
  return _mm512_reduce_max_ps(best);
}

float exponentials(const float* x, int64_t n, float max, void* out, bool out_bf16) {
  const __m512 shift = _mm512_set1_ps(max);
  __m512 sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 mask = lanes_left(n - i);
    const __m512 e = exp_of(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), shift));
    sum = _mm512_mask_add_ps(sum, mask, sum, e);
    if (out == nullptr) continue;
    if (out_bf16)
      _mm256_mask_storeu_epi16(static_cast<uint16_t*>(out) + i, mask, to_bf16(e));
    else
      _mm512_mask_storeu_ps(static_cast<float*>(out) + i, mask, e);
  }
  return _mm512_reduce_add_ps(sum);
}

}  // namespace

const SoftmaxKernels& softmax_kernels_avx512() {
  static constexpr SoftmaxKernels kKernels = {maximum, exponentials};
  return kKernels;
}

}  // namespace tenfold::cpu
