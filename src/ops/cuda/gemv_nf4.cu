// NF4 for a few tokens where gemv_nf4_stream.cu does not take it: GPUs before compute capability 9.0, rows that end in the middle
// of 256 columns, more x than shared memory holds. Every warp reads its own codes and scales when it needs them.
#include "ops/cuda/nf4.cuh"

namespace tenfold::cuda {
namespace {

using namespace nf4;

constexpr int kBlocksPerSm = 2;
constexpr int kLanes = kWarps * 32 / kRows;  ///< that finish a row

struct Shared {
  uint32_t pairs[256][32];  ///< two codes in bf16, the same in every column
  float nested_code[256];
  Sums sums[2];
  float gate_up[2][kRows];
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

__device__ inline void fill(Shared& shared, const Nf4Scales& nf4) {
  const unsigned byte = threadIdx.x;
  static_assert(kWarps * 32 == 256);
  const uint32_t bits = bf16_pair(nf4.code, byte);
  // Each lane begins at another bank.
#pragma unroll
  for (unsigned i = 0; i < 8; ++i) reinterpret_cast<uint4*>(shared.pairs[byte])[(i + byte) % 8] = {bits, bits, bits, bits};
  if (nf4.absmax8 != nullptr) shared.nested_code[byte] = nf4.nested_code[byte];
}

/// The warp's columns of a step; what lies past the row's last block is zero, and so is its x.
__device__ inline Codes load_codes(const GemvTask& task, const Shared& shared, const Place& place, uint32_t step, int warp,
                                   int lane) {
  Codes c;
  const auto row_blocks = static_cast<int>(task.parts[0].w.cols / 64);
  const int existing = row_blocks - (static_cast<int>(step) * kWarps + warp) * 4;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const Nf4Scales& nf4 = task.parts[place.part[r]].w.nf4;
    const uint8_t* p = place.codes[r] + step * (kWarps * kCols / 2);
    const uint32_t first = place.block[r] + step * (kWarps * 4);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int own = 2 * half + lane % 4 / 2;
      c.pairs[half][r] = {0, 0, 0, 0};
      c.scale[half][r] = 0.0F;
      if (own >= existing) continue;
      c.pairs[half][r] = __ldcs(reinterpret_cast<const uint4*>(p + half * 64));
      const uint32_t block = first + static_cast<uint32_t>(own);
      if (nf4.absmax8 == nullptr)
        c.scale[half][r] = nf4.absmax[block];
      else
        c.scale[half][r] =
            __fadd_rn(__fmul_rn(shared.nested_code[nf4.absmax8[block]], nf4.nested_absmax[block >> 8]), nf4.nested_offset);
    }
  }
  return c;
}

/// total += the lane's part of 16 rows and 256 columns.
__device__ inline void add_part(const GemvTask& task, const Shared& shared, const Codes& codes, uint32_t part, int lane,
                                float (&total)[4]) {
  const auto look_up = [&](uint32_t word, int i) { return shared.pairs[(word >> (8 * i)) & 0xffU][lane]; };
  const bool own = holds_x(task, lane);
  const Bf16* x = static_cast<const Bf16*>(task.x) + token_of(lane) * task.x_stride;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint32_t col = part * kCols + half * 128 + static_cast<uint32_t>(lane) % 4 * 32;
    uint4 xs[4] = {};
    if (own && col < static_cast<uint32_t>(task.parts[0].w.cols)) {
#pragma unroll
      for (int i = 0; i < 4; ++i) xs[i] = reinterpret_cast<const uint4*>(x + col)[i];
    }
    add_half(look_up, codes.pairs[half], codes.scale[half], xs, total);
  }
}

/// Sums over the block's warps and finishes the tile's rows.
__device__ inline void finish_tile(const GemvTask& task, Shared& shared, int buffer, uint32_t tile, float (&total)[4]) {
  Sums& sums = shared.sums[buffer];
  put_sums(sums, static_cast<int>(threadIdx.x / 32), static_cast<int>(threadIdx.x % 32), total);
  __syncthreads();
  const int in_tile = static_cast<int>(threadIdx.x) / kLanes;
  const int column = static_cast<int>(threadIdx.x) % kLanes;
  float sum = 0.0F;
  if (column < kGemvTokens)
    for (int i = 0; i < kWarps; ++i) sum += sums[i][in_tile][column];
  const GroupAt at = group_at<kRows>(task, tile);
  const GemvPart& part = task.parts[task.gated ? in_tile / 8 : at.part];  // the same for a whole warp
  const int64_t row = at.first + (task.gated ? in_tile % 8 : in_tile);
  sum = finished_row<Bf16, kGemvTokens, kLanes>(task, part, row, column, sum);
  if (!task.gated) return put_row(task, part, row, column, sum);
  float(&gate_up)[kRows] = shared.gate_up[buffer];
  if (column == 0) gate_up[in_tile] = sum;
  __syncthreads();
  if (in_tile >= 8 || column > 0) return;
  put_row(task, part, row, 0, joined(gate_up[in_tile], gate_up[in_tile + 8]));
}

/// Blocks of warps stride over tiles of 16 rows, the warps of one over the columns.
__global__ void __launch_bounds__(kWarps * 32, kBlocksPerSm) nf4_kernel(const __grid_constant__ GemvTask task, uint32_t tiles) {
  __shared__ Shared shared;
  let_next_begin();
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const auto parts = static_cast<uint32_t>((task.parts[0].w.cols + kCols - 1) / kCols);
  fill(shared, task.parts[0].w.nf4);
  __syncthreads();
  wait_for_previous();
  int buffer = 0;
  for (uint32_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const Place place(task, tile, warp, lane);
    float total[4] = {};
    for (uint32_t part = static_cast<uint32_t>(warp), step = 0; part < parts; part += kWarps, ++step)
      add_part(task, shared, load_codes(task, shared, place, step, warp, lane), part, lane, total);
    finish_tile(task, shared, buffer, tile, total);
    buffer ^= 1;  // a warp may begin the next tile while another still reads this one's sums
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
  if (gemv_nf4_stream(context, task)) return;
  const int64_t tiles = groups_of<kRows>(task);
  const int64_t blocks = std::min(tiles, int64_t{kBlocksPerSm} * context.multiprocessors());
  launch_overlapped(context, nf4_kernel, dim3(static_cast<unsigned>(blocks)), kWarps * 32, task, static_cast<uint32_t>(tiles));
}

}  // namespace tenfold::cuda
