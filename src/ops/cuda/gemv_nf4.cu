// NF4 for a few tokens. A table look-up per value would cost more than reading the weight, so a byte is looked up as a whole: its
// two codes in bf16 are the register that a tensor core's product takes. The table lies in shared memory once for every bank, so
// that no two lanes collide. A warp takes 16 rows and 256 columns at a time; a block of 64 has its own scale, so a product (16 x
// 8) holds x of the first block of its 128 columns in columns 0..3 and of the second in 4..7, zeros elsewhere.
#include "ops/cuda/gemv.cuh"
#include "ops/cuda/sigmoid.cuh"

namespace tenfold::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kRows = 16;
constexpr int kCols = 256;  ///< of a warp at a time: two halves of two blocks
constexpr int kBlocksPerSm = 2;
constexpr int kStages = 3;  ///< steps of a warp that are there or on their way: what two blocks of an SM have the room for
constexpr int kLanes = kWarps * 32 / kRows;  ///< that finish a row

/// What a lane reads of a warp's 16 rows and 256 columns: 32 codes of each half and of rows g and g + 8, where g = lane / 4.
struct Codes {
  uint4 pairs[2][2];   ///< [half][row]
  uint32_t scales[2];  ///< [row]: absmax8 of the four blocks
  float offset[2];     ///< [row]: of the absmax restored
  float absmax[2][2];  ///< [half][row]: absmax, or the nested one
};

/// Where a lane's two rows of a tile begin, at its warp's first columns. Gate and up have one of them each.
struct Place {
  const uint8_t* codes[2];
  uint32_t block[2];  ///< counted over the whole weight
  int part[2];

  __device__ Place(const GemvTask& task, uint32_t tile, int warp, int lane) {
    const GroupAt at = group_at<kRows>(task, tile);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      part[r] = task.gated ? r : at.part;
      const DeviceWeight& w = task.parts[part[r]].w;
      const int64_t row = min(at.first + lane / 4 + (task.gated ? 0 : 8 * r), w.rows - 1);
      codes[r] = w.data + row * (w.cols / 2) + warp * (kCols / 2) + lane % 4 * 16;
      block[r] = static_cast<uint32_t>(row * (w.cols / 64)) + static_cast<uint32_t>(warp) * 4;
    }
  }
};

/// One step of a warp on its way: every lane's own codes and scales, which it alone writes and reads.
struct Stage {
  uint4 codes[2][2][32];   ///< [half][row][lane]
  uint32_t scales[2][32];  ///< [row][lane]
  float absmax[2][32];     ///< [row][lane]: the nested one, shared by the four blocks
};

struct Shared {
  uint32_t pairs[256][32];  ///< two codes in bf16, the same in every column
  Stage stages[kStages][kWarps];
  float nested_code[256];
  float parts[2][kWarps][kRows][kGemvTokens];
  float gate_up[2][kRows];
};

template <int kBytes>
__device__ inline void copy_async(void* shared, const void* global) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  if constexpr (kBytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(global) : "memory");
}
/// Closes a group of this thread's copies, which may be empty.
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Returns when all of this thread's groups but the last kLeft are there, for this thread.
template <int kLeft>
__device__ inline void await_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

__device__ inline void fill(Shared& shared, const Nf4Scales& nf4) {
  const unsigned byte = threadIdx.x;
  static_assert(kWarps * 32 == 256);
  const __nv_bfloat162 pair = __floats2bfloat162_rn(nf4.code[byte >> 4], nf4.code[byte & 15U]);
  const uint32_t bits = *reinterpret_cast<const uint32_t*>(&pair);
  // Each lane begins at another bank.
#pragma unroll
  for (unsigned i = 0; i < 8; ++i) reinterpret_cast<uint4*>(shared.pairs[byte])[(i + byte) % 8] = {bits, bits, bits, bits};
  if (nf4.absmax8 != nullptr) shared.nested_code[byte] = nf4.nested_code[byte];
}

/// absmax8 of four blocks of a row, as far as they exist.
__device__ inline uint32_t load_scales(const uint8_t* p, int existing) {
  uint32_t bytes = 0;
#pragma unroll 1
  for (int i = 0; i < existing; ++i) bytes |= static_cast<uint32_t>(p[i]) << (8 * i);
  return bytes;
}

/// The warp's columns of a step, as they lie: the row has cols / 64 blocks, and what lies past them is zero.
__device__ inline Codes load_codes(const GemvTask& task, const Place& place, uint32_t step, int warp, int lane) {
  Codes c;
  const auto row_blocks = static_cast<int>(task.parts[0].w.cols / 64);
  const int existing = max(0, min(row_blocks - (static_cast<int>(step) * kWarps + warp) * 4, 4));
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const Nf4Scales& nf4 = task.parts[place.part[r]].w.nf4;
    const uint8_t* p = place.codes[r] + step * (kWarps * kCols / 2);
    const uint32_t first = place.block[r] + step * (kWarps * 4);
    c.offset[r] = nf4.nested_offset;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int own = 2 * half + lane % 4 / 2;
      c.pairs[half][r] = {0, 0, 0, 0};
      c.absmax[half][r] = 0.0F;
      if (own >= existing) continue;
      c.pairs[half][r] = __ldcs(reinterpret_cast<const uint4*>(p + half * 64));
      c.absmax[half][r] = nf4.absmax8 == nullptr ? nf4.absmax[first + own] : nf4.nested_absmax[(first + own) >> 8];
    }
    c.scales[r] = nf4.absmax8 == nullptr ? 0 : load_scales(nf4.absmax8 + first, existing);
  }
  return c;
}

/// Sends a step on its way. Rows of whole 256 columns with double quantisation: all four blocks exist and share a nested scale.
__device__ inline void send_codes(const GemvTask& task, Stage& stage, const Place& place, uint32_t step, int lane) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const Nf4Scales& nf4 = task.parts[place.part[r]].w.nf4;
    const uint8_t* p = place.codes[r] + step * (kWarps * kCols / 2);
    const uint32_t first = place.block[r] + step * (kWarps * 4);
#pragma unroll
    for (int half = 0; half < 2; ++half) copy_async<16>(&stage.codes[half][r][lane], p + half * 64);
    copy_async<4>(&stage.scales[r][lane], nf4.absmax8 + first);
    copy_async<4>(&stage.absmax[r][lane], nf4.nested_absmax + (first >> 8));
  }
}

__device__ inline Codes arrived_codes(const GemvTask& task, const Stage& stage, const Place& place, int lane) {
  Codes c;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      c.pairs[half][r] = stage.codes[half][r][lane];
      c.absmax[half][r] = stage.absmax[r][lane];
    }
    c.scales[r] = stage.scales[r][lane];
    c.offset[r] = task.parts[place.part[r]].w.nf4.nested_offset;
  }
  return c;
}

/// The two codes of byte `index` of a word, from the lane's own column of the table (`lane_bytes` = 4 lane).
__device__ inline uint32_t look_up(const Shared& shared, uint32_t word, int index, uint32_t lane_bytes) {
  const uint32_t shifted = index == 0 ? word << 7 : word >> (8 * index - 7);
  const uint32_t at = (shifted & 0x7f80U) | lane_bytes;
  return *reinterpret_cast<const uint32_t*>(reinterpret_cast<const char*>(shared.pairs) + at);
}

/// c (16 x 8) += a (16 x 16) b (16 x 8).
__device__ inline void multiply(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/// total += the lane's part of 16 rows and 256 columns: rows g, g, g + 8, g + 8 by tokens 2 (lane % 2) and + 1.
__device__ inline void add_products(const GemvTask& task, const Shared& shared, const Codes& codes, uint32_t part, int lane,
                                    float (&total)[4]) {
  const bool nested = task.parts[0].w.nf4.absmax8 != nullptr;
  // As an operand the lane holds column g: token g % 4, of its own block only.
  const int token = lane / 4 % 4;
  const bool own = token < task.tokens && lane / 16 == lane % 4 / 2;
  const Bf16* x = static_cast<const Bf16*>(task.x) + token * task.x_stride;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint32_t col = part * kCols + half * 128 + static_cast<uint32_t>(lane) % 4 * 32;
    uint4 xs[4] = {};
    if (own && col < static_cast<uint32_t>(task.parts[0].w.cols)) {
#pragma unroll
      for (int i = 0; i < 4; ++i) xs[i] = reinterpret_cast<const uint4*>(x + col)[i];
    }
    float c[2][4] = {};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto word = [i](const uint4& v) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; };
      const uint32_t upper = word(codes.pairs[half][0]);
      const uint32_t lower = word(codes.pairs[half][1]);
      const auto at = [&](uint32_t v, int index) { return look_up(shared, v, index, static_cast<uint32_t>(lane) * 4); };
      multiply(c[0], at(upper, 0), at(lower, 0), at(upper, 1), at(lower, 1), xs[i].x, xs[i].y);
      multiply(c[1], at(upper, 2), at(lower, 2), at(upper, 3), at(lower, 3), xs[i].z, xs[i].w);
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float scale = codes.absmax[half][r];
      if (nested) {
        const uint32_t code = (codes.scales[r] >> (8 * (2 * half + lane % 4 / 2))) & 0xffU;
        scale = __fadd_rn(__fmul_rn(shared.nested_code[code], scale), codes.offset[r]);
      }
      // A block past the last column has x = 0, so its scale does not matter.
      total[2 * r] += scale * (c[0][2 * r] + c[1][2 * r]);
      total[2 * r + 1] += scale * (c[0][2 * r + 1] + c[1][2 * r + 1]);
    }
  }
}

/// Sums over the block's warps and finishes the tile's rows.
__device__ inline void finish_tile(const GemvTask& task, Shared& shared, int buffer, uint32_t tile, float (&total)[4]) {
  auto& parts = shared.parts[buffer];
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (float& v : total) v += __shfl_xor_sync(0xffffffffU, v, 2);  // the first and the second blocks
  if (lane % 4 < 2) {
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int t = 0; t < 2; ++t) parts[warp][lane / 4 + 8 * r][lane % 4 * 2 + t] = total[2 * r + t];
  }
  __syncthreads();
  const int in_tile = static_cast<int>(threadIdx.x) / kLanes;
  const int column = static_cast<int>(threadIdx.x) % kLanes;
  float sum = 0.0F;
  if (column < kGemvTokens)
    for (int i = 0; i < kWarps; ++i) sum += parts[i][in_tile][column];
  const GroupAt at = group_at<kRows>(task, tile);
  const GemvPart& part = task.parts[task.gated ? in_tile / 8 : at.part];  // the same for a whole warp
  const int64_t row = at.first + (task.gated ? in_tile % 8 : in_tile);
  sum = finished_row<Bf16, kGemvTokens, kLanes>(task, part, row, column, sum);
  if (!task.gated) return put_row(task, part, row, column, sum);
  float(&gate_up)[kRows] = shared.gate_up[buffer];
  if (column == 0) gate_up[in_tile] = widen(narrow<Bf16>(sum));
  __syncthreads();
  if (in_tile >= 8 || column > 0) return;
  const float gate = gate_up[in_tile];
  put_row(task, part, row, 0, gate * sigmoid(gate) * gate_up[in_tile + 8]);
}

/// Where a block stands in its tiles and their steps.
struct Cursor {
  uint32_t tile;
  uint32_t step = 0;

  __device__ bool ends_tile(uint32_t steps) const { return step + 1 == steps; }
  __device__ void advance(uint32_t steps) {
    const bool ends = ends_tile(steps);
    tile += ends ? gridDim.x : 0;
    step = ends ? 0 : step + 1;
  }
};

/// Blocks of warps stride over tiles of 16 rows, the warps of one over the columns; kSent: the next steps are on their way to
/// shared memory while one is multiplied, so that enough of the weight is under way to keep the memory busy.
template <bool kSent>
__global__ void __launch_bounds__(kWarps * 32, kBlocksPerSm) nf4_kernel(const __grid_constant__ GemvTask task, uint32_t tiles) {
  extern __shared__ uint4 memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  let_next_begin();
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const auto parts = static_cast<uint32_t>((task.parts[0].w.cols + kCols - 1) / kCols);
  const uint32_t steps = (parts + kWarps - 1) / kWarps;
  const auto has_part = [&](const Cursor& at) {
    return at.tile < tiles && at.step * kWarps + static_cast<uint32_t>(warp) < parts;
  };
  Cursor sent{blockIdx.x};
  Place sent_place(task, sent.tile, warp, lane);
  const auto send = [&](int slot) {
    if (has_part(sent)) send_codes(task, shared.stages[slot][warp], sent_place, sent.step, lane);
    commit_copies();
    const bool ends = sent.ends_tile(steps);
    sent.advance(steps);
    if (ends) sent_place = Place(task, sent.tile, warp, lane);
  };
  // Weights are no kernel's output: they begin to arrive while the kernel before still computes x.
  if constexpr (kSent)
    for (int slot = 0; slot < kStages; ++slot) send(slot);
  fill(shared, task.parts[0].w.nf4);
  __syncthreads();
  wait_for_previous();
  int buffer = 0;
  int slot = 0;
  float total[4] = {};
  Cursor at{blockIdx.x};
  Place place(task, at.tile, warp, lane);
  while (at.tile < tiles) {
    if constexpr (kSent) await_copies<kStages - 1>();
    if (has_part(at)) {
      const Codes codes =
          kSent ? arrived_codes(task, shared.stages[slot][warp], place, lane) : load_codes(task, place, at.step, warp, lane);
      add_products(task, shared, codes, at.step * kWarps + static_cast<uint32_t>(warp), lane, total);
    }
    // The lane has used what lay in its slot, so it may be written again.
    if constexpr (kSent) send(slot);
    slot = slot + 1 == kStages ? 0 : slot + 1;
    const bool ends = at.ends_tile(steps);
    if (ends) {
      finish_tile(task, shared, buffer, at.tile, total);
      buffer ^= 1;  // a warp may begin the next tile while another still reads this one's sums
#pragma unroll
      for (float& v : total) v = 0.0F;
    }
    at.advance(steps);
    if (ends) place = Place(task, at.tile, warp, lane);
  }
}

}  // namespace

bool takes_nf4(const GemvTask& task, DType x) {
  return x == DType::kBF16 && std::all_of(task.parts, task.parts + task.count, [](const GemvPart& part) {
           const DeviceWeight& w = part.w;
           return w.layout == WeightLayout::kNF4 && w.cols % 64 == 0 && reinterpret_cast<uintptr_t>(w.data) % 16 == 0 &&
                  w.rows * (w.cols / 64) <= INT32_MAX;
         });
}

void gemv_nf4(Context& context, const GemvTask& task) {
  const int64_t tiles = groups_of<kRows>(task);
  const int64_t blocks = std::min(tiles, int64_t{kBlocksPerSm} * context.multiprocessors());
  const bool sent =
      task.parts[0].w.cols % kCols == 0 && std::all_of(task.parts, task.parts + task.count, [](const GemvPart& part) {
        const Nf4Scales& nf4 = part.w.nf4;
        return nf4.absmax8 != nullptr && reinterpret_cast<uintptr_t>(nf4.absmax8) % 4 == 0;
      });
  const auto kernel = sent ? nf4_kernel<true> : nf4_kernel<false>;
  TENFOLD_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(sizeof(Shared))));
  launch_overlapped<sizeof(Shared)>(context, kernel, dim3(static_cast<unsigned>(blocks)), kWarps * 32, task,
                                    static_cast<uint32_t>(tiles));
}

}  // namespace tenfold::cuda
