#pragma once

// The 512-bit tile and panel kernels, shared by the f32 and the bf16 unit. Everything is in an anonymous namespace: each unit
// compiles its own copy for its instruction set.

#include "ops/cpu/isa/gemm_kernels.h"
#include "ops/cpu/isa/gemm_store_avx512.h"
#include "ops/cpu/isa/transpose_avx512.h"

namespace tenfold::cpu {
namespace {

constexpr int kMaxVectors = 4;

/// Rows of a tile: 24 accumulators or fewer, so that they, the panel's vectors and a broadcast fit 32 registers.
constexpr int tile_rows(int vectors) {
  switch (vectors) {
    case 4: return 6;
    case 3: return 8;
    default: return 12;
  }
}
int max_rows(int vectors) { return tile_rows(vectors); }

template <typename Kernel, int kRows, int kVectors>
void tile_kernel(const Tile& t) {
  __m512 sum[kRows][kVectors];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) sum[i][j] = _mm512_setzero_ps();

  for (int s = 0; s < t.terms; ++s) {
    using Element = typename Kernel::Element;
    const int64_t stride = t.term[s].a_stride;
    const int64_t step = t.term[s].a_step;
    const auto* a = static_cast<const Element*>(t.term[s].a);
    const auto* b = static_cast<const Element*>(t.term[s].b);
    for (int64_t k = 0; k < t.term[s].steps; ++k) {
      __m512i panel[kVectors];
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) panel[j] = _mm512_loadu_si512(b + j * kLanes * Kernel::kGroup);
#pragma GCC unroll 12
      for (int i = 0; i < kRows; ++i) {
        const __m512i value = Kernel::broadcast(a + i * stride);
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) Kernel::multiply_add(sum[i][j], panel[j], value);
      }
      a += step;
      b += kVectors * kLanes * Kernel::kGroup;
    }
  }
  const TileStore<Kernel> store{t};
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) store(i, j, sum[i][j]);
}

template <typename Kernel, int kVectors, int kRows = tile_rows(kVectors)>
void tile_of_rows(const Tile& t) {
  if (t.rows == kRows) return tile_kernel<Kernel, kRows, kVectors>(t);
  if constexpr (kRows > 1) tile_of_rows<Kernel, kVectors, kRows - 1>(t);
}

template <typename Kernel>
void run_tile(const Tile& t) {
  switch (t.vectors) {
    case 1: return tile_of_rows<Kernel, 1>(t);
    case 2: return tile_of_rows<Kernel, 2>(t);
    case 3: return tile_of_rows<Kernel, 3>(t);
    default: return tile_of_rows<Kernel, 4>(t);
  }
}

/// B(k, n) = source(n, k): 16 source rows x 32 k at a time are decoded and transposed in registers.
template <typename Kernel, typename Decoder>
void pack_by_columns(const Source& s, const PanelRange& r, typename Kernel::Element* panel) {
  const int64_t width = (r.cols + kLanes - 1) / kLanes * kLanes;
  const int64_t row_size = width * Kernel::kGroup;
  const int64_t steps = (r.k_count + Kernel::kGroup - 1) / Kernel::kGroup;
  // While 16 rows are decoded, the next 16 are fetched: short rows end before the hardware has recognised 16 streams.
  const int64_t ahead_bytes = s.cols > 0 ? 16 * s.row_bytes * 32 / s.cols : 0;
  for (int64_t n = 0; n < r.cols; n += kLanes) {
    const int rows = static_cast<int>(r.cols - n < kLanes ? r.cols - n : kLanes);
    const std::byte* ahead = row_of(s, r.col + n + kLanes) + r.k_begin * s.row_bytes / (s.cols > 0 ? s.cols : 1);
    for (int64_t k = 0; k < r.k_count; k += 32) {
      for (int64_t line = 0; line < ahead_bytes; line += 64) _mm_prefetch(ahead + k / 32 * ahead_bytes + line, _MM_HINT_T0);
      __m512i part[2][16];
      const int count = static_cast<int>(r.k_count - k < 32 ? r.k_count - k : 32);
      const bool whole = rows == kLanes && count == 32;
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        if (whole)
          Kernel::template load<Decoder>(s, r.col + n + i, r.k_begin + k, part[0][i], part[1][i]);
        else
          Kernel::load_some(s, r.col + n + i, r.k_begin + k, i < rows ? count : 0, part[0][i], part[1][i]);
      }
      for (int p = 0; p < Kernel::kGroup32; ++p) {
        transpose16(part[p]);
        const int64_t first = k / Kernel::kGroup + p * 16;
        const int64_t last = steps - first < 16 ? steps - first : 16;
        for (int64_t i = 0; i < last; ++i) _mm512_storeu_si512(panel + (first + i) * row_size + n * Kernel::kGroup, part[p][i]);
      }
    }
  }
}

/// B(k, n) = source(k, n): whole runs of 32 columns, pairs of rows interleaved where the group is two.
template <typename Kernel, typename Decoder>
void pack_by_rows(const Source& s, const PanelRange& r, typename Kernel::Element* panel) {
  const int64_t width = (r.cols + kLanes - 1) / kLanes * kLanes;
  const int64_t row_size = width * Kernel::kGroup;
  // A panel takes a few bytes of each row, which the hardware does not foresee.
  constexpr int64_t kAhead = 16;
  const std::byte* ahead = row_of(s, r.k_begin + kAhead) + (s.cols > 0 ? r.col * s.row_bytes / s.cols : 0);
  for (int64_t k = 0; k < r.k_count; k += Kernel::kGroup) {
#pragma GCC unroll 2
    for (int g = 0; g < Kernel::kGroup; ++g) {
      _mm_prefetch(ahead + (k + g) * s.row_bytes, _MM_HINT_T0);
      if constexpr (requires { Decoder::kWide; }) _mm_prefetch(ahead + (k + g) * s.row_bytes + 64, _MM_HINT_T0);
    }
    for (int64_t n = 0; n < r.cols; n += 32) {
      const int count = static_cast<int>(r.cols - n < 32 ? r.cols - n : 32);
      __m512i low[Kernel::kGroup];
      __m512i high[Kernel::kGroup];
#pragma GCC unroll 2
      for (int g = 0; g < Kernel::kGroup; ++g) {
        const bool inside = k + g < r.k_count;
        if (count == 32 && inside)
          Kernel::template load<Decoder>(s, r.k_begin + k + g, r.col + n, low[g], high[g]);
        else
          Kernel::load_some(s, r.k_begin + k + g, r.col + n, inside ? count : 0, low[g], high[g]);
      }
      auto* to = panel + k / Kernel::kGroup * row_size + n * Kernel::kGroup;
      Kernel::store_interleaved(to, low, high, count > kLanes);
    }
  }
}

template <typename Kernel, typename Decoder>
void pack_with(const Source& s, bool by_rows, const PanelRange& r, void* panel) {
  auto* to = static_cast<typename Kernel::Element*>(panel);
  if (by_rows)
    pack_by_rows<Kernel, Decoder>(s, r, to);
  else
    pack_by_columns<Kernel, Decoder>(s, r, to);
}

/// Picks the decoder. Runs that do not start at a multiple of 32 (only dense layouts may have them) work too: every dense load is
/// unaligned.
template <typename Kernel>
void pack_panel(const Source& s, bool by_rows, const PanelRange& r, void* panel) {
  switch (s.layout) {
    case WeightLayout::kF32: return pack_with<Kernel, DecodeF32>(s, by_rows, r, panel);
    case WeightLayout::kBF16: return pack_with<Kernel, DecodeBf16>(s, by_rows, r, panel);
    case WeightLayout::kF16: return pack_with<Kernel, DecodeF16>(s, by_rows, r, panel);
    case WeightLayout::kQ4_0: return pack_with<Kernel, DecodeQ4_0>(s, by_rows, r, panel);
    case WeightLayout::kQ4_1: return pack_with<Kernel, DecodeQ4_1>(s, by_rows, r, panel);
    case WeightLayout::kQ8_0: return pack_with<Kernel, DecodeQ8_0>(s, by_rows, r, panel);
    case WeightLayout::kNF4:
      if (s.cols % 64 == 0) return pack_with<Kernel, DecodeNf4>(s, by_rows, r, panel);
      break;
    default: break;
  }
  pack_with<Kernel, DecodeAny>(s, by_rows, r, panel);
}

}  // namespace
}  // namespace tenfold::cpu
