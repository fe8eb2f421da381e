#pragma once

// AMX (Intel, Instruction Set Extensions Programming Reference, chapter 3): eight tiles of 16 rows x 64 bytes, all of them always
// whole; whoever has fewer rows or pairs puts zeros beside them. In assembler, because GCC 12's intrinsics do not tell the
// compiler that they read memory and cannot be templates of a tile's number.

#include <cstdint>

namespace tenfold::cpu {
namespace {

constexpr int kTileRows = 16;
constexpr int kTilePairs = 16;  ///< pairs of bf16 in a row of a, rows of b
constexpr int64_t kTileRowBytes = 64;

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

/// Makes the tiles of this thread usable; leave_tiles() frees them, so that context switches need not save 8 KiB.
inline void enter_tiles() {
  static constexpr TileConfig kConfig;
  asm volatile("ldtilecfg %0" ::"m"(kConfig));
}
inline void leave_tiles() { asm volatile("tilerelease"); }

template <int kTile>
inline void tile_zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}
template <int kTile>
inline void tile_load(const void* from, int64_t stride_bytes) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride_bytes), "i"(kTile) : "memory");
}
/// The same of what will not be read again soon: it takes no room in the first-level cache from what will.
template <int kTile>
inline void tile_load_passing(const void* from, int64_t stride_bytes) {
  asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride_bytes), "i"(kTile) : "memory");
}
template <int kTile>
inline void tile_store(void* to, int64_t stride_bytes) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride_bytes), "i"(kTile) : "memory");
}
/// c (16 x 16 f32) += a (16 rows of 16 pairs) b (16 rows of 16 columns' pairs).
template <int kC, int kA, int kB>
inline void tile_multiply_add() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
}

}  // namespace
}  // namespace tenfold::cpu
