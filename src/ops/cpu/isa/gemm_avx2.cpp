#include "ops/cpu/gemm_generic.h"
#include "ops/cpu/isa/decode_avx2.h"
#include "ops/cpu/isa/gemm_kernels.h"

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

/// 8 x 8 transpose.
void transpose8(__m256 v[8]) {
  __m256 t[8];
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]);
  }
  for (int h = 0; h < 2; ++h) {
    v[4 * h] = _mm256_shuffle_ps(t[4 * h], t[4 * h + 2], 0x44);
    v[4 * h + 1] = _mm256_shuffle_ps(t[4 * h], t[4 * h + 2], 0xee);
    v[4 * h + 2] = _mm256_shuffle_ps(t[4 * h + 1], t[4 * h + 3], 0x44);
    v[4 * h + 3] = _mm256_shuffle_ps(t[4 * h + 1], t[4 * h + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(v[i], v[4 + i], 0x20);
    t[4 + i] = _mm256_permute2f128_ps(v[i], v[4 + i], 0x31);
  }
  for (int i = 0; i < 8; ++i) v[i] = t[i];
}

int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

/// B(k, n) = source(n, k): 8 source rows x 32 k at a time.
template <typename Decoder>
void pack_by_columns(const Source& s, const PanelRange& r, float* panel) {
  const int64_t width = (r.cols + kLanes - 1) / kLanes * kLanes;
  for (int64_t n = 0; n < r.cols; n += kLanes) {
    const int64_t rows = at_most(r.cols - n, kLanes);
    for (int64_t k = 0; k < r.k_count; k += 32) {
      const int64_t count = at_most(r.k_count - k, 32);
      __m256 part[4][8];
      for (int i = 0; i < 8; ++i) {
        const Quad q = rows == kLanes && count == 32
                           ? Decoder::load(s, r.col + n + i, r.k_begin + k)
                           : DecodeAny::load_some(s, r.col + n + i, r.k_begin + k, i < rows ? count : 0);
        for (int p = 0; p < 4; ++p) part[p][i] = q.v[p];
      }
      for (int p = 0; p < 4; ++p) {
        transpose8(part[p]);
        for (int64_t i = 0; i < at_most(count - p * 8, 8); ++i) _mm256_storeu_ps(panel + (k + p * 8 + i) * width + n, part[p][i]);
      }
    }
  }
}

/// B(k, n) = source(k, n).
template <typename Decoder>
void pack_by_rows(const Source& s, const PanelRange& r, float* panel) {
  const int64_t width = (r.cols + kLanes - 1) / kLanes * kLanes;
  for (int64_t k = 0; k < r.k_count; ++k)
    for (int64_t n = 0; n < r.cols; n += 32) {
      const int64_t count = at_most(r.cols - n, 32);
      const Quad q =
          count == 32 ? Decoder::load(s, r.k_begin + k, r.col + n) : DecodeAny::load_some(s, r.k_begin + k, r.col + n, count);
      for (int64_t p = 0; p * kLanes < count; ++p) _mm256_storeu_ps(panel + k * width + n + p * kLanes, q.v[p]);
    }
}

template <typename Decoder>
void pack_with(const Source& s, bool by_rows, const PanelRange& r, void* panel) {
  auto* to = static_cast<float*>(panel);
  if (by_rows)
    pack_by_rows<Decoder>(s, r, to);
  else
    pack_by_columns<Decoder>(s, r, to);
}

void pack(const Source& s, bool by_rows, const PanelRange& r, void* panel) {
  switch (s.layout) {
    case WeightLayout::kF32: return pack_with<DecodeF32>(s, by_rows, r, panel);
    case WeightLayout::kBF16: return pack_with<DecodeBf16>(s, by_rows, r, panel);
    case WeightLayout::kF16: return pack_with<DecodeF16>(s, by_rows, r, panel);
    case WeightLayout::kQ4_0: return pack_with<DecodeBlock<DecodeQ4_0>>(s, by_rows, r, panel);
    case WeightLayout::kQ4_1: return pack_with<DecodeBlock<DecodeQ4_1>>(s, by_rows, r, panel);
    case WeightLayout::kQ8_0: return pack_with<DecodeBlock<DecodeQ8_0>>(s, by_rows, r, panel);
    case WeightLayout::kNF4:
      if (s.cols % 64 == 0) return pack_with<DecodeNf4>(s, by_rows, r, panel);
      break;
    default: break;
  }
  pack_with<DecodeAny>(s, by_rows, r, panel);
}

}  // namespace

const GemmKernels& gemm_kernels_avx2() {
  static constexpr GemmKernels kKernels = {DType::kF32, 1, kLanes, kMaxVectors, max_rows, pack, tile, round_f32};
  return kKernels;
}

}  // namespace tenfold::cpu
