#include "ops/cpu/gemm_generic.h"
#include "ops/cpu/isa/gemm_kernels.h"

#include <immintrin.h>

namespace tenfold::cpu {
namespace {

constexpr int kLanes = 8;
constexpr int kMaxVectors = 2;
constexpr int kMaxRows = 6;

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
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) sum[i][j] = _mm256_setzero_ps();
  for (int s = 0; s < t.terms; ++s) {
    const auto* a = static_cast<const float*>(t.term[s].a);
    const auto* b = static_cast<const float*>(t.term[s].b);
    const int64_t stride = t.term[s].a_stride;
    for (int64_t k = 0; k < t.term[s].steps; ++k, b += kVectors * kLanes) {
      __m256 panel[kVectors];
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) panel[j] = _mm256_loadu_ps(b + j * kLanes);
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) {
        const __m256 value = _mm256_broadcast_ss(a + i * stride + k);
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) sum[i][j] = _mm256_fmadd_ps(panel[j], value, sum[i][j]);
      }
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) store(t, i, j, sum[i][j]);
}

template <int kVectors, int kRows = kMaxRows>
void tile_of_rows(const Tile& t) {
  if (t.rows == kRows) return tile_kernel<kRows, kVectors>(t);
  if constexpr (kRows > 1) tile_of_rows<kVectors, kRows - 1>(t);
}

void tile(const Tile& t) {
  if (t.vectors == 1) return tile_of_rows<1>(t);
  tile_of_rows<2>(t);
}

}  // namespace

const GemmKernels& gemm_kernels_avx2() {
  static constexpr GemmKernels kKernels = {DType::kF32, 1, kLanes, kMaxVectors, max_rows, pack_f32_lanes8, tile, round_f32};
  return kKernels;
}

}  // namespace tenfold::cpu
