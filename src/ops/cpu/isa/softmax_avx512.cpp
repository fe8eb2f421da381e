#include "ops/cpu/isa/softmax_avx512.h"

namespace tenfold::cpu {
namespace {

/// To nearest even, for values that are no NaN or whose NaN has its top bit set, as arithmetic makes them.
struct IntegerRounding {
  static __m512i rounded(__m512 v) {
    const __m512i u = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_srli_epi32(_mm512_mask_mov_epi32(sum, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), u), 16);
  }
  static __m256i to_bf16(__m512 v) { return _mm512_cvtepi32_epi16(rounded(v)); }
  static __m512i to_bf16(__m512 low, __m512 high) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(to_bf16(low)), to_bf16(high), 1);
  }
};

}  // namespace

const SoftmaxKernels& softmax_kernels_avx512() {
  static constexpr SoftmaxKernels kKernels = {maximum, exponentials<IntegerRounding>};
  return kKernels;
}

}  // namespace tenfold::cpu
