#pragma once

// The epilogue of a tile, 16 columns at a time: shared by the units that keep their sums in vectors and the one with tiles.

#include "ops/cpu/gemm.h"
#include "ops/cpu/isa/decode_avx512.h"
#include "ops/cpu/isa/lanes_avx512.h"

namespace tenfold::cpu {
namespace {

constexpr int kLanes = 16;

/// Kernel: to_bf16(__m512).
template <typename Kernel>
struct TileStore {
  const Tile& t;

  __attribute__((always_inline)) void operator()(int row, int vector, __m512 sum) const {
    const __mmask16 mask = first_lanes(t.cols - vector * kLanes);
    const int64_t col = vector * kLanes;
    if (t.alpha != 1.0F) sum = _mm512_mul_ps(sum, _mm512_set1_ps(t.alpha));
    if (t.bias != nullptr) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, t.bias + col));
    if (t.residual != nullptr) {
      const int64_t at = row * t.residual_stride + col;
      const __m512 r = t.residual_bf16 ? widen(_mm256_maskz_loadu_epi16(mask, static_cast<const uint16_t*>(t.residual) + at))
                                       : _mm512_maskz_loadu_ps(mask, static_cast<const float*>(t.residual) + at);
      sum = _mm512_add_ps(sum, r);
    }
    const int64_t at = row * t.out_stride + col;
    if (t.out_bf16)
      _mm256_mask_storeu_epi16(static_cast<uint16_t*>(t.out) + at, mask, Kernel::to_bf16(sum));
    else
      _mm512_mask_storeu_ps(static_cast<float*>(t.out) + at, mask, sum);
  }
};

}  // namespace
}  // namespace tenfold::cpu
