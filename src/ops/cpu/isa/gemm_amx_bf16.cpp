// bf16 products in AMX: 32 x 32 sums at a time in four tiles, over the panels of the unit with AVX-512 BF16, whose layout is a
// tile's. 32 rows stay in the first-level cache while panels, told to be passing, run past them; taking k in pieces, so that a
// panel's would stay as well, was no faster on Sapphire Rapids: the sums had to be stored and loaded between.
#include "ops/cpu/isa/amx_tiles.h"
#include "ops/cpu/isa/gemm_kernels.h"
#include "ops/cpu/isa/gemm_store_avx512.h"
#include "ops/cpu/isa/transpose_avx512.h"

namespace tenfold::cpu {
namespace {

constexpr int kMaxRows = 2 * kTileRows;

int max_rows(int /*vectors*/) { return kMaxRows; }

struct Rounding {
  static __m256i to_bf16(__m512 v) { return (__m256i)_mm512_cvtneps_pbh(v); }
};

/// 16 rows of 16 pairs for a tile that is not in memory as a tile is read.
struct alignas(64) Copy {
  __m512i row[16];
};

/// A tile of a: `rows` from `row` if they are fewer than 16, up to 16 steps from `step`, zeros beyond.
template <int kTile>
inline void load_left(const Tile::Term& term, int row, int rows, int64_t step, int steps, Copy& copy) {
  const auto* a = static_cast<const uint16_t*>(term.a) + row * term.a_stride + step * term.a_step;
  const bool in_rows = term.a_step == 2;
  if (in_rows && rows >= kTileRows && steps == kTilePairs) return tile_load<kTile>(a, 2 * term.a_stride);
  const int count = rows < kTileRows ? rows : kTileRows;
  const int lines = in_rows ? count : steps;
  const __mmask16 mask = first_lanes(in_rows ? steps : count);
  const int64_t stride = in_rows ? term.a_stride : term.a_step;
  for (int i = 0; i < 16; ++i) copy.row[i] = i < lines ? _mm512_maskz_loadu_epi32(mask, a + i * stride) : _mm512_setzero_si512();
  if (!in_rows) transpose16(copy.row);
  tile_load<kTile>(copy.row, kTileRowBytes);
}

/// A tile of b: 16 columns, up to 16 steps from `step`, zeros beyond.
template <int kTile>
inline void load_right(const Tile::Term& term, int vectors, int vector, int64_t step, int steps, Copy& copy) {
  const auto* b = static_cast<const uint16_t*>(term.b) + (step * vectors + vector) * 2 * kLanes;
  if (steps == kTilePairs) return tile_load_passing<kTile>(b, vectors * kTileRowBytes);
  for (int i = 0; i < 16; ++i)
    copy.row[i] = i < steps ? _mm512_loadu_si512(b + i * vectors * 2 * kLanes) : _mm512_setzero_si512();
  tile_load<kTile>(copy.row, kTileRowBytes);
}

/// What the epilogue adds to the sums.
enum class Added { kNothing, kBf16, kF32 };

/// What TileStore does, for 32 whole columns from `col` with its conditions asked once: asked for each vector, the epilogue took
/// a quarter of a product of K = 576.
template <bool kOutBf16, Added kAdded>
inline void store_rows(const Tile& t, int64_t col, const float (*sums)[2 * kLanes]) {
  for (int i = 0; i < t.rows; ++i) {
    __m512 low = _mm512_load_ps(sums[i]);
    __m512 high = _mm512_load_ps(sums[i] + kLanes);
    if constexpr (kAdded == Added::kBf16) {
      const auto* from = static_cast<const uint16_t*>(t.residual) + i * t.residual_stride + col;
      low = _mm512_add_ps(low, widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
      high = _mm512_add_ps(high, widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + kLanes))));
    } else if constexpr (kAdded == Added::kF32) {
      const auto* from = static_cast<const float*>(t.residual) + i * t.residual_stride + col;
      low = _mm512_add_ps(low, _mm512_loadu_ps(from));
      high = _mm512_add_ps(high, _mm512_loadu_ps(from + kLanes));
    }
    if constexpr (kOutBf16) {
      _mm512_storeu_si512(static_cast<uint16_t*>(t.out) + i * t.out_stride + col, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    } else {
      float* to = static_cast<float*>(t.out) + i * t.out_stride + col;
      _mm512_storeu_ps(to, low);
      _mm512_storeu_ps(to + kLanes, high);
    }
  }
}

template <bool kOutBf16>
inline void store_rows(const Tile& t, int64_t col, const float (*sums)[2 * kLanes]) {
  if (t.residual == nullptr) return store_rows<kOutBf16, Added::kNothing>(t, col, sums);
  if (t.residual_bf16) return store_rows<kOutBf16, Added::kBf16>(t, col, sums);
  store_rows<kOutBf16, Added::kF32>(t, col, sums);
}

/// kDown x kAcross tiles of sums, from `vector` on.
template <int kDown, int kAcross>
void block(const Tile& t, int vector) {
  Copy copy;
  tile_zero<0>();
  if constexpr (kAcross == 2) tile_zero<1>();
  if constexpr (kDown == 2) tile_zero<2>();
  if constexpr (kDown == 2 && kAcross == 2) tile_zero<3>();
  for (int s = 0; s < t.terms; ++s) {
    const Tile::Term& term = t.term[s];
    for (int64_t k = 0; k < term.steps; k += kTilePairs) {
      const int steps = static_cast<int>(term.steps - k < kTilePairs ? term.steps - k : kTilePairs);
      load_left<4>(term, 0, t.rows, k, steps, copy);
      load_right<6>(term, t.vectors, vector, k, steps, copy);
      tile_multiply_add<0, 4, 6>();
      if constexpr (kAcross == 2) {
        load_right<7>(term, t.vectors, vector + 1, k, steps, copy);
        tile_multiply_add<1, 4, 7>();
      }
      if constexpr (kDown == 2) {
        load_left<5>(term, kTileRows, t.rows - kTileRows, k, steps, copy);
        tile_multiply_add<2, 5, 6>();
        if constexpr (kAcross == 2) tile_multiply_add<3, 5, 7>();
      }
    }
  }
  alignas(64) float sums[kDown * kTileRows][kAcross * kLanes];
  constexpr int64_t kStride = sizeof sums[0];
  tile_store<0>(sums, kStride);
  if constexpr (kAcross == 2) tile_store<1>(&sums[0][kLanes], kStride);
  if constexpr (kDown == 2) tile_store<2>(sums[kTileRows], kStride);
  if constexpr (kDown == 2 && kAcross == 2) tile_store<3>(&sums[kTileRows][kLanes], kStride);
  if constexpr (kAcross == 2) {
    const int64_t col = int64_t{vector} * kLanes;
    if (t.alpha == 1.0F && t.bias == nullptr && t.cols >= col + 2 * kLanes)
      return t.out_bf16 ? store_rows<true>(t, col, sums) : store_rows<false>(t, col, sums);
  }
  const TileStore<Rounding> store{t};
  for (int i = 0; i < t.rows; ++i)
    for (int j = 0; j < kAcross; ++j) store(i, vector + j, _mm512_load_ps(&sums[i][j * kLanes]));
}

void run_tile(const Tile& t) {
  const bool two = t.rows > kTileRows;
  for (int v = 0; v < t.vectors; v += 2) {
    if (t.vectors - v > 1)
      two ? block<2, 2>(t, v) : block<1, 2>(t, v);
    else
      two ? block<2, 1>(t, v) : block<1, 1>(t, v);
  }
}

}  // namespace

const GemmKernels& gemm_kernels_amx_bf16() {
  static const GemmKernels kKernels = [] {
    GemmKernels kernels = gemm_kernels_avx512_bf16();
    kernels.max_rows = max_rows;
    kernels.row_multiple = kTileRows;
    kernels.tile = run_tile;
    kernels.enter = enter_tiles;
    kernels.leave = leave_tiles;
    return kernels;
  }();
  return kKernels;
}

}  // namespace tenfold::cpu
