#include "ops/cpu/isa/softmax_avx512.h"

namespace tenfold::cpu {
namespace {

struct HardwareRounding {
  static __m256i to_bf16(__m512 v) { return (__m256i)_mm512_cvtneps_pbh(v); }
  static __m512i to_bf16(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }
};

}  // namespace

const SoftmaxKernels& softmax_kernels_avx512_bf16() {
  static constexpr SoftmaxKernels kKernels = {maximum, exponentials<HardwareRounding>};
  return kKernels;
}

}  // namespace tenfold::cpu
