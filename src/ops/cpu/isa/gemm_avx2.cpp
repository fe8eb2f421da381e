#include "ops/cpu/gemm_generic.h"
#include "ops/cpu/isa/gemm_kernels.h"

#include <immintrin.h>

namespace tenfold::cpu {
namespace {

constexpr int kLanes = 8;
constexpr int kMaxVectors = 4;
constexpr int kMaxRows = 3;  ///< 12 accumulators, 3 broadcasts and one vector of the panel fill the 16 registers

int max_rows(int /*vectors*/) { return kMaxRows; }

__m256i first_lanes(int n) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }

void store(const Tile& t, int row, int vector, __m256 sum) {
  const int64_t col = vector * kLanes;
  const int left = t.cols - vector * kLanes;
  const __m256i mask = first_lanes(left < kLanes ? left : kLanes);
  if (t.alpha != 1.0F) sum = _mm256_mul_ps(sum, _mm256_set1_ps(t.alpha));
  if (t.bias != nullptr) sum = _mm256_add_ps(sum, _mm256_maskload_ps(t.bias + col, mask));
  if (t.residual != nullptr)
    sum = _mm256_add_ps(sum, _mm256_maskload_ps(static_cast<const float*>(t.residual) + row * t.residual_stride + col, mask));
  _mm256_maskstore_ps(static_cast<float*>(t.out) + row * t.out_stride + col, mask, sum);
}

template <int kRows, int kVectors>
void tile_kernel(const Tile& t) {
  __m256 sum[kRows][kVectors];
#pragma GCC unroll 3
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) sum[i][j] = _mm256_setzero_ps();
  for (int s = 0; s < t.terms; ++s) {
    const auto* a = static_cast<const float*>(t.term[s].a);
    const auto* b = static_cast<const float*>(t.term[s].b);
    const int64_t stride = t.term[s].a_stride;
    const int64_t step = t.term[s].a_step;
    for (int64_t k = 0; k < t.term[s].steps; ++k, a += step, b += kVectors * kLanes) {
      __m256 value[kRows];
#pragma GCC unroll 3
      for (int i = 0; i < kRows; ++i) value[i] = _mm256_broadcast_ss(a + i * stride);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) {
        const __m256 panel = _mm256_loadu_ps(b + j * kLanes);
#pragma GCC unroll 3
        for (int i = 0; i < kRows; ++i) sum[i][j] = _mm256_fmadd_ps(panel, value[i], sum[i][j]);
      }
    }
  }
#pragma GCC unroll 3
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) store(t, i, j, sum[i][j]);
}

template <int kVectors>
void tile_of_rows(const Tile& t) {
  if (t.rows == 3) return tile_kernel<3, kVectors>(t);
  if (t.rows == 2) return tile_kernel<2, kVectors>(t);
  tile_kernel<1, kVectors>(t);
}

void tile(const Tile& t) {
  switch (t.vectors) {
    case 1: return tile_of_rows<1>(t);
    case 2: return tile_of_rows<2>(t);
    case 3: return tile_of_rows<3>(t);
    default: return tile_of_rows<4>(t);
  }
}

}  // namespace

const GemmKernels& gemm_kernels_avx2() {
  static constexpr GemmKernels kKernels = {DType::kF32, 1, kLanes, kMaxVectors, max_rows, pack_f32_lanes8, tile, round_f32};
  return kKernels;
}

}  // namespace tenfold::cpu
