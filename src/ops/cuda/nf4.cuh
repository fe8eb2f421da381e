#pragma once

// What both kernels for NF4 and a few tokens share. A table look-up per value would cost more than reading the weight, so a byte
// is looked up as a whole: its two codes in bf16 are the register that a tensor core's product takes. The table lies in shared
// memory once for every bank, so that no two lanes collide. A warp takes 16 rows and 256 columns at a time (a part), eight warps
// the parts in turn; both kernels make each sum in the same order.

#include "ops/cuda/gemv.cuh"
#include "ops/cuda/sigmoid.cuh"

namespace tenfold::cuda::nf4 {

constexpr int kWarps = 8;   ///< that share a tile's columns
constexpr int kRows = 16;   ///< of a tile
constexpr int kCols = 256;  ///< of a part: two halves of two blocks

/// What a lane needs of a part: 32 codes of each half and of rows g and g + 8, where g = lane / 4, and the scales of the blocks
/// that they lie in.
struct Codes {
  uint4 pairs[2][2];  ///< [half][row]
  float scale[2][2];  ///< [half][row]
};

/// The pair of codes that `byte` holds, the first in the lower half.
__device__ inline uint32_t bf16_pair(const float* code, unsigned byte) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(code[byte >> 4], code[byte & 15U]);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

/// c (16 x 8) += a (16 x 16) b (16 x 8).
__device__ inline void multiply(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/// As an operand of the products a lane holds column g of x: token g % 4, and of its own block only. A block of 64 has its own
/// scale, so a product (16 x 8) holds x of the first block of its 128 columns in columns 0..3 and of the second in 4..7, zeros
/// elsewhere.
__device__ inline int token_of(int lane) { return lane / 4 % 4; }
__device__ inline bool holds_x(const GemvTask& task, int lane) {
  return token_of(lane) < task.tokens && lane / 16 == lane % 4 / 2;
}

/// total += the lane's part of 16 rows and 128 columns: rows g, g, g + 8, g + 8 by tokens 2 (lane % 2) and + 1. `look_up`(word,
/// i) is the pair of byte i, `xs` the lane's 32 columns.
template <typename LookUp>
__device__ inline void add_half(const LookUp& look_up, const uint4 (&pairs)[2], const float (&scale)[2], const uint4 (&xs)[4],
                                float (&total)[4]) {
  float c[2][4] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const auto word = [i](const uint4& v) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; };
    const uint32_t upper = word(pairs[0]);
    const uint32_t lower = word(pairs[1]);
    multiply(c[0], look_up(upper, 0), look_up(lower, 0), look_up(upper, 1), look_up(lower, 1), xs[i].x, xs[i].y);
    multiply(c[1], look_up(upper, 2), look_up(lower, 2), look_up(upper, 3), look_up(lower, 3), xs[i].z, xs[i].w);
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    total[2 * r] += scale[r] * (c[0][2 * r] + c[1][2 * r]);
    total[2 * r + 1] += scale[r] * (c[0][2 * r + 1] + c[1][2 * r + 1]);
  }
}

/// Sums of a tile by its warps: [warp][row][token].
using Sums = float[kWarps][kRows][kGemvTokens];

/// Puts a warp's sums of a tile where those who finish it find them.
__device__ inline void put_sums(Sums& sums, int warp, int lane, float (&total)[4]) {
#pragma unroll
  for (float& v : total) v += __shfl_xor_sync(0xffffffffU, v, 2);  // the first and the second blocks
  if (lane % 4 >= 2) return;
#pragma unroll
  for (int r = 0; r < 2; ++r)
    *reinterpret_cast<float2*>(&sums[warp][lane / 4 + 8 * r][lane % 4 * 2]) = {total[2 * r], total[2 * r + 1]};
}

/// y of gate and up where they meet.
__device__ inline float joined(float gate, float up) {
  const float rounded_gate = widen(narrow<Bf16>(gate));
  return rounded_gate * sigmoid(rounded_gate) * widen(narrow<Bf16>(up));
}

}  // namespace tenfold::cuda::nf4

namespace tenfold::cuda {

/// gemv_nf4_stream.cu: whether it takes a task, and then does it. False where the weight's rows, the GPU or its shared memory are
/// not made for it.
bool gemv_nf4_stream(Context& context, const GemvTask& task);

}  // namespace tenfold::cuda
