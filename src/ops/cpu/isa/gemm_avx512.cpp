#include "ops/cpu/isa/gemm_avx512.h"
#include "ops/cpu/gemm_generic.h"

namespace tenfold::cpu {
namespace {

struct F32Kernel {
  using Element = float;
  static constexpr int kGroup = 1;
  static constexpr int kGroup32 = 2;

  static __m512i broadcast(const Element* a) { return _mm512_castps_si512(_mm512_set1_ps(*a)); }
  static void multiply_add(__m512& sum, __m512i panel, __m512i value) {
    sum = _mm512_fmadd_ps(_mm512_castsi512_ps(panel), _mm512_castsi512_ps(value), sum);
  }
  /// Round to nearest even; a NaN stays one.
  static __m256i to_bf16(__m512 v) {
    const __m512i u = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), quiet));
  }

  template <typename Decoder>
  static void load(const Source& s, int64_t row, int64_t col, __m512i& low, __m512i& high) {
    split(Decoder::load(s, row, col), low, high);
  }
  static void load_some(const Source& s, int64_t row, int64_t col, int count, __m512i& low, __m512i& high) {
    split(DecodeAny::load_some(s, row, col, count), low, high);
  }
  static void store_interleaved(Element* to, const __m512i low[1], const __m512i high[1], bool both) {
    _mm512_storeu_si512(to, low[0]);
    if (both) _mm512_storeu_si512(to + 16, high[0]);
  }

 private:
  static void split(const Pair& v, __m512i& low, __m512i& high) {
    low = _mm512_castps_si512(v.low);
    high = _mm512_castps_si512(v.high);
  }
};

}  // namespace

const GemmKernels& gemm_kernels_avx512() {
  static constexpr GemmKernels kKernels = {DType::kF32,         1,        kLanes, kMaxVectors, max_rows, pack_panel<F32Kernel>,
                                           run_tile<F32Kernel>, round_f32};
  return kKernels;
}

}  // namespace tenfold::cpu
