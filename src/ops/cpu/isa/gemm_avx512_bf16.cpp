#include "ops/cpu/isa/gemm_avx512.h"

namespace tenfold::cpu {
namespace {

struct Bf16Kernel {
  using Element = uint16_t;
  static constexpr int kGroup = 2;
  static constexpr int kGroup32 = 1;  ///< vectors that 32 values of k fill

  static __m512i broadcast(const Element* a) {
    int32_t pair;
    __builtin_memcpy(&pair, a, sizeof pair);
    return _mm512_set1_epi32(pair);
  }
  // Assembler, because GCC 12 copies the accumulators of the intrinsic through other registers.
  static void multiply_add(__m512& sum, __m512i panel, __m512i value) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(panel), "v"(value));
  }
  static __m256i to_bf16(__m512 v) { return (__m256i)_mm512_cvtneps_pbh(v); }
  static __m512i to_bf16(const Pair& v) { return (__m512i)_mm512_cvtne2ps_pbh(v.high, v.low); }

  template <typename Decoder>
  static void load(const Source& s, int64_t row, int64_t col, __m512i& v, __m512i& /*unused*/) {
    if constexpr (requires { Decoder::raw(s, row, col); })
      v = Decoder::raw(s, row, col);
    else
      v = to_bf16(Decoder::load(s, row, col));
  }
  static void load_some(const Source& s, int64_t row, int64_t col, int count, __m512i& v, __m512i& /*unused*/) {
    v = to_bf16(DecodeAny::load_some(s, row, col, count));
  }
  static void store_interleaved(Element* to, const __m512i low[2], const __m512i /*high*/[2], bool both) {
    const __m512i first =
        _mm512_set_epi32(0x002f000f, 0x002e000e, 0x002d000d, 0x002c000c, 0x002b000b, 0x002a000a, 0x00290009, 0x00280008,
                         0x00270007, 0x00260006, 0x00250005, 0x00240004, 0x00230003, 0x00220002, 0x00210001, 0x00200000);
    const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
    _mm512_storeu_si512(to, _mm512_permutex2var_epi16(low[0], first, low[1]));
    if (both) _mm512_storeu_si512(to + 32, _mm512_permutex2var_epi16(low[0], second, low[1]));
  }
};

void round_bf16(const float* from, int64_t n, void* to) {
  auto* out = static_cast<uint16_t*>(to);
  int64_t i = 0;
  for (; i + 32 <= n; i += 32)
    _mm512_storeu_si512(out + i, Bf16Kernel::to_bf16(Pair{_mm512_loadu_ps(from + i), _mm512_loadu_ps(from + i + 16)}));
  for (; i < n; i += kLanes) {
    const __mmask16 mask = first_lanes(n - i);
    _mm256_mask_storeu_epi16(out + i, mask, Bf16Kernel::to_bf16(_mm512_maskz_loadu_ps(mask, from + i)));
  }
}

}  // namespace

const GemmKernels& gemm_kernels_avx512_bf16() {
  static constexpr GemmKernels kKernels = {DType::kBF16,         2,         kLanes, kMaxVectors, max_rows, pack_panel<Bf16Kernel>,
                                           run_tile<Bf16Kernel>, round_bf16};
  return kKernels;
}

}  // namespace tenfold::cpu
