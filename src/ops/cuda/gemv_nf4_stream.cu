// NF4 for a few tokens at the speed at which the weight arrives. A block stays on its multiprocessor and takes tiles of 16 rows;
// its warps have one task each and hand over through rings in shared memory (bulk.cuh):
// - a sender puts the tile's codes on their way, many steps ahead, before the kernel in front has ended;
// - scalers restore the blocks' scales, a tile or two ahead;
// - eight multipliers look codes up and multiply;
// - finishers sum over the multipliers and write y, after they have fetched what else belongs to the row.
// So nobody waits for memory between two steps, and the multipliers do little else than 227 instructions for 128 weights of a
// lane: an H100 at copying speed brings 25 weights a cycle to a multiprocessor, which issues 128 instructions of a lane in it.
#include "ops/cuda/bulk.cuh"
#include "ops/cuda/nf4.cuh"

namespace tenfold::cuda {
namespace {

using namespace nf4;

// A team is all the warps for one tile: eight multipliers, a sender, scalers, finishers. Its rings are its own, and with two
// teams each takes every second tile of the block.
constexpr uint32_t kTeams = 1;
constexpr uint32_t kDepth = 1;  ///< parts that a multiplier takes of a step
constexpr uint32_t kSender = kWarps;
constexpr uint32_t kFirstScaler = kSender + 1;
constexpr uint32_t kScalers = 2;
constexpr uint32_t kFirstFinisher = kFirstScaler + kScalers;
constexpr uint32_t kFinishers = 2 / kTeams;
constexpr uint32_t kTeamWarps = kFirstFinisher + kFinishers;
constexpr uint32_t kThreads = kTeams * kTeamWarps * 32;
constexpr uint32_t kMultipliers = kTeams * kWarps * 32;  ///< threads

constexpr uint32_t kStepParts = kDepth * kWarps;
constexpr uint32_t kStepBytes = kStepParts * kCols / 2;  ///< of a row
constexpr uint32_t kRowBytes = kStepBytes + 64;          ///< as they lie in shared memory: neighbouring rows in different banks
constexpr uint32_t kStageBytes = kRows * kRowBytes;
constexpr uint32_t kMostStages = 8;
constexpr uint32_t kMostScaleSlots = 4;
constexpr uint32_t kScaleRoom = 16 << 10;  ///< what the slots of scales should not exceed where two do not need it
constexpr uint32_t kTableStride = 256;     ///< bytes from entry to entry: a column for every lane, then as much for x
constexpr uint32_t kTableBytes = 256 * kTableStride;
constexpr uint32_t kTableAt = 4096;    ///< its address in shared memory, which is part of the instruction that looks up
constexpr uint32_t kAlignment = 1024;  ///< of the block's shared memory
constexpr uint32_t kPiece = 128;       ///< bytes of x that lie together
constexpr int kScalerWords = 4;        ///< that each of their threads fetches at once

/// How a task is cut and where things lie, the same for every block; offsets in bytes.
struct Layout {
  uint32_t tiles = 0;
  uint32_t parts = 0;  ///< of 256 columns
  uint32_t steps = 0;  ///< of kStepParts
  uint32_t table_at = 0;
  uint32_t x_at = 0;
  uint32_t x_stride = 0;  ///< from piece to piece
  uint32_t stages_at = 0;
  uint32_t stages = 0;  ///< of a team
  uint32_t scales_at = 0;
  uint32_t scale_slots = 0;  ///< of a team
  uint32_t sums_at = 0;
  uint32_t bytes = 0;

  __host__ __device__ uint32_t blocks_of_row() const { return parts * (kCols / 64); }
  /// f32 [block][row] of a tile.
  __host__ __device__ uint32_t scale_bytes() const { return blocks_of_row() * kRows * 4; }
};

struct Barriers {
  Barrier stage_full[kMostStages], stage_empty[kMostStages];
  Barrier scales_full[kMostScaleSlots], scales_empty[kMostScaleSlots];
  Barrier sums_full[2], sums_empty[2];
};

/// The block's shared memory, as Layout says. Named here, not handed down, so that a look-up's address needs no addition.
extern __shared__ __align__(kAlignment) uint8_t memory[];

/// How it begins.
struct Head {
  Barriers barriers[kTeams];
  float nested_code[kTeams][256];
};

/// One of a block's teams.
struct Team {
  const GemvTask& task;
  const Layout& layout;
  Barriers& barriers;
  uint32_t number;

  /// The n-th tile of the team; past the last one when it has no more.
  __device__ uint32_t tile(uint32_t n) const { return (n * kTeams + number) * gridDim.x + blockIdx.x; }
  __device__ uint8_t* stage(uint32_t slot) const {
    return memory + layout.stages_at + (number * layout.stages + slot) * kStageBytes;
  }
  __device__ float* scales(uint32_t slot) const {
    return reinterpret_cast<float*>(memory + layout.scales_at + (number * layout.scale_slots + slot) * layout.scale_bytes());
  }
  __device__ Sums& sums(uint32_t n) const { return reinterpret_cast<Sums*>(memory + layout.sums_at)[number * 2 + (n & 1U)]; }
};

/// A row of a tile, which is the last one where there are not so many.
struct TileRow {
  const DeviceWeight& w;
  uint32_t row;

  __device__ TileRow(const GemvTask& task, const GroupAt& at, uint32_t r) : w(task.parts[task.gated ? r / 8 : at.part].w) {
    row = static_cast<uint32_t>(min(at.first + (task.gated ? r % 8 : r), w.rows - 1));
  }
};

__device__ inline void send(const Team& team, uint32_t lane) {
  const GemvTask& task = team.task;
  const auto row_bytes = static_cast<uint32_t>(task.parts[0].w.cols / 2);
  Ring ring;
  for (uint32_t n = 0; team.tile(n) < team.layout.tiles; ++n) {
    const TileRow row(task, group_at<kRows>(task, team.tile(n)), lane % kRows);
    const uint8_t* codes = row.w.data + static_cast<int64_t>(row.row) * row_bytes;
    for (uint32_t at = 0; at < row_bytes; at += kStepBytes) {
      const uint32_t bytes = min(kStepBytes, row_bytes - at);
      Barrier& full = team.barriers.stage_full[ring.slot];
      wait(team.barriers.stage_empty[ring.slot], ring.phase ^ 1U);
      if (lane == 0) arrive_expecting(full, kRows * bytes);
      __syncwarp();
      if (lane < kRows) copy_bulk(team.stage(ring.slot) + lane * kRowBytes, codes + at, bytes, full);
      ring.advance(team.layout.stages);
    }
  }
}

/// Brings a tile's absmax codes on their way to L2.
__device__ inline void prefetch_scales(const Team& team, uint32_t n, uint32_t thread) {
  if (team.tile(n) >= team.layout.tiles) return;
  const TileRow first(team.task, group_at<kRows>(team.task, team.tile(n)), thread / 32 * 8);
  const Nf4Scales& nf4 = first.w.nf4;
  const int64_t row_bytes = int64_t{team.layout.blocks_of_row()} * (nf4.absmax8 == nullptr ? 4 : 1);
  const int64_t bytes = min(int64_t{8}, first.w.rows - first.row) * row_bytes;
  const auto* p = (nf4.absmax8 == nullptr ? reinterpret_cast<const uint8_t*>(nf4.absmax) : nf4.absmax8) + first.row * row_bytes;
  for (int64_t at = thread % 32 * 128; at < bytes; at += 32 * 128) asm volatile("prefetch.global.L2 [%0];" ::"l"(p + at));
}

/// A thread restores the scales of row thread % 16, four blocks at a time.
__device__ inline void restore_scales(const Team& team, const float* nested_code, uint32_t thread) {
  constexpr uint32_t kStride = kScalers * 32 / kRows;  // words of a row that its threads take side by side
  static_assert(kScalers * 8 == kRows);                // prefetch_scales
  const Layout& layout = team.layout;
  const uint32_t r = thread % kRows;
  Ring ring;
  for (uint32_t n = 0; team.tile(n) < layout.tiles; ++n) {
    if (n == 0) prefetch_scales(team, 1, thread);
    prefetch_scales(team, n + 2, thread);
    const TileRow row(team.task, group_at<kRows>(team.task, team.tile(n)), r);
    const Nf4Scales& nf4 = row.w.nf4;
    const uint32_t first = row.row * layout.blocks_of_row();
    float* scales = team.scales(ring.slot);
    for (uint32_t word0 = 0; word0 < layout.parts; word0 += kStride * kScalerWords) {
      float4 values[kScalerWords];  // absmax, or the codes and the nested absmax
#pragma unroll
      for (uint32_t i = 0; i < kScalerWords; ++i) {
        const uint32_t word = word0 + i * kStride + thread / kRows;
        if (word >= layout.parts) continue;
        const uint32_t block = first + 4 * word;
        if (nf4.absmax8 == nullptr) {
          values[i] = {nf4.absmax[block], nf4.absmax[block + 1], nf4.absmax[block + 2], nf4.absmax[block + 3]};
        } else {
          values[i].x = __uint_as_float(*reinterpret_cast<const uint32_t*>(nf4.absmax8 + block));
          values[i].y = nf4.nested_absmax[block >> 8];  // of all four
        }
      }
      if (word0 == 0) wait(team.barriers.scales_empty[ring.slot], ring.phase ^ 1U);
#pragma unroll
      for (uint32_t i = 0; i < kScalerWords; ++i) {
        const uint32_t word = word0 + i * kStride + thread / kRows;
        if (word >= layout.parts) continue;
        float4 v = values[i];
        if (nf4.absmax8 != nullptr) {
          const uint32_t codes = __float_as_uint(v.x);
          const auto restored = [&](uint32_t code) {
            return __fadd_rn(__fmul_rn(nested_code[code & 0xffU], values[i].y), nf4.nested_offset);
          };
          v = {restored(codes), restored(codes >> 8), restored(codes >> 16), restored(codes >> 24)};
        }
        float* to = scales + 4 * word * kRows + r;
        to[0] = v.x, to[kRows] = v.y, to[2 * kRows] = v.z, to[3 * kRows] = v.w;
      }
    }
    __syncwarp();
    if (thread % 32 < kArrivingLanes) arrive(team.barriers.scales_full[ring.slot]);
    ring.advance(layout.scale_slots);
  }
}

/// By so many threads: the table, and x where the multipliers read it.
__device__ inline void fill_table(const GemvTask& task, const Layout& layout, uint32_t thread, uint32_t threads) {
  const uint32_t shares = threads / 256;  // of an entry
  const uint32_t byte = thread / shares;
  const uint32_t bits = bf16_pair(task.parts[0].w.nf4.code, byte);
  auto* entry = reinterpret_cast<uint4*>(memory + layout.table_at + byte * kTableStride);
  // Each lane begins at another bank.
  for (uint32_t i = thread % shares; i < 8; i += shares) entry[(i + byte) % 8] = {bits, bits, bits, bits};
}

__device__ inline void fill_x(const GemvTask& task, const Layout& layout, uint32_t thread, uint32_t threads) {
  const auto row_pieces = static_cast<uint32_t>(task.parts[0].w.cols / 64);
  for (int t = 0; t < task.tokens; ++t) {
    const auto* x = reinterpret_cast<const uint4*>(static_cast<const Bf16*>(task.x) + t * task.x_stride);
    uint8_t* to = memory + layout.x_at + static_cast<uint32_t>(t) * row_pieces * layout.x_stride;
    for (uint32_t i = thread; i < row_pieces * 8; i += threads)
      *reinterpret_cast<uint4*>(to + i / 8 * layout.x_stride + i % 8 * 16) = x[i];
  }
}

/// The sums of a multiplier.
__device__ inline void multiply_tiles(const Team& team, uint32_t warp, uint32_t lane) {
  const Layout& layout = team.layout;
  const uint32_t g = lane / 4;
  const uint32_t t = lane % 4;
  const uint32_t lane_bytes = lane * 4;
  // The address in the table: the byte's entry is 256 times the byte, the lane's column the byte below.
  const auto look_up = [&](uint32_t word, int i) {
    uint32_t pair = 0;
    asm("ld.shared.u32 %0, [%1+%2];"
        : "=r"(pair)
        : "r"(__byte_perm(word, lane_bytes, 0x5504U | static_cast<uint32_t>(i) << 4)), "n"(kTableAt));
    return pair;
  };
  const auto token = static_cast<uint32_t>(token_of(static_cast<int>(lane)));
  const bool own = holds_x(team.task, static_cast<int>(lane));
  const uint8_t* first_x =
      memory + layout.x_at + (t / 2 + token * layout.blocks_of_row() + warp * 4) * layout.x_stride + t % 2 * 64;
  const uint8_t* first_codes = team.stage(0) + g * kRowBytes + warp * (kCols / 2) + t * 16;
  const uint32_t first_scale = (warp * 4 + t / 2) * kRows + g;
  uint4 xs[2][4] = {};  // zeros for good where the lane holds none
  Ring stage;
  Ring slot;
  for (uint32_t n = 0; team.tile(n) < layout.tiles; ++n) {
    float total[4] = {};
    wait(team.barriers.scales_full[slot.slot], slot.phase);
    const float* scales = team.scales(slot.slot) + first_scale;
    const uint8_t* x = first_x;
    uint32_t part = warp;
    for (uint32_t step = 0; step < layout.steps; ++step) {
      wait(team.barriers.stage_full[stage.slot], stage.phase);
#pragma unroll
      for (uint32_t i = 0; i < kDepth; ++i) {
        if (part < layout.parts) {
          const uint8_t* from = first_codes + stage.slot * kStageBytes + i * (kWarps * kCols / 2);
          Codes codes;
#pragma unroll
          for (uint32_t half = 0; half < 2; ++half)
#pragma unroll
            for (uint32_t r = 0; r < 2; ++r) {
              codes.pairs[half][r] = *reinterpret_cast<const uint4*>(from + r * 8 * kRowBytes + half * 64);
              codes.scale[half][r] = scales[half * 2 * kRows + r * 8];
            }
          if (own) {
#pragma unroll
            for (uint32_t half = 0; half < 2; ++half)
#pragma unroll
              for (uint32_t j = 0; j < 4; ++j)
                xs[half][j] = *reinterpret_cast<const uint4*>(x + half * 2 * layout.x_stride + j * 16);
          }
#pragma unroll
          for (int half = 0; half < 2; ++half) add_half(look_up, codes.pairs[half], codes.scale[half], xs[half], total);
        }
        part += kWarps;
        x += kWarps * 4 * layout.x_stride;
        scales += kWarps * 4 * kRows;
      }
      __syncwarp();
      if (lane < kArrivingLanes) arrive(team.barriers.stage_empty[stage.slot]);
      stage.advance(layout.stages);
    }
    wait(team.barriers.sums_empty[n & 1U], (n >> 1 & 1U) ^ 1U);
    put_sums(team.sums(n), static_cast<int>(warp), static_cast<int>(lane), total);
    __syncwarp();
    if (lane < kArrivingLanes) {
      arrive(team.barriers.scales_empty[slot.slot]);
      arrive(team.barriers.sums_full[n & 1U]);
    }
    slot.advance(layout.scale_slots);
  }
}

/// A warp takes eight rows at a time, four lanes a row.
__device__ inline void finish_tiles(const Team& team, uint32_t begin, uint32_t step, uint32_t lane) {
  constexpr int kWidth = 4;
  const GemvTask& task = team.task;
  const auto column = static_cast<int>(lane % kWidth);
  for (uint32_t n = begin; team.tile(n) < team.layout.tiles; n += step) {
    const GroupAt at = group_at<kRows>(task, team.tile(n));
    const GemvPart* part[2];
    int64_t row[2];
    RowTerms terms[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      part[half] = &task.parts[task.gated ? half : at.part];
      row[half] = at.first + (task.gated ? 0 : 8 * half) + lane / kWidth;
      terms[half] = row_terms<Bf16, kGemvTokens, kWidth>(task, *part[half], row[half], column);
    }
    wait(team.barriers.sums_full[n & 1U], n >> 1 & 1U);
    const Sums& sums = team.sums(n);
    float y[2] = {};
#pragma unroll
    for (int i = 0; i < kWarps; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) y[half] += sums[i][lane / kWidth + 8 * half][column];
    __syncwarp();
    if (lane < kArrivingLanes) arrive(team.barriers.sums_empty[n & 1U]);
#pragma unroll
    for (int half = 0; half < 2; ++half) y[half] = with_terms(task, *part[half], terms[half], y[half]);
    if (task.gated) {
      put_row(task, *part[0], row[0], column, joined(y[0], y[1]));
    } else {
      for (int half = 0; half < 2; ++half) put_row(task, *part[half], row[half], column, y[half]);
    }
  }
}

/// Waits for so many threads that name the same barrier of the hardware; 0 is __syncthreads's.
__device__ inline void meet(uint32_t barrier, uint32_t threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

__global__ void __launch_bounds__(kThreads, 1)
    nf4_stream_kernel(const __grid_constant__ GemvTask task, const __grid_constant__ Layout layout) {
  auto& head = *reinterpret_cast<Head*>(memory);
  if (shared_address(memory) + layout.table_at != kTableAt) __trap();
  let_next_begin();
  const uint32_t warp = threadIdx.x / 32 % kTeamWarps;
  const uint32_t lane = threadIdx.x % 32;
  const uint32_t number = threadIdx.x / 32 / kTeamWarps;
  if (threadIdx.x == 0) {
    for (Barriers& b : head.barriers) {
      for (Barrier& full : b.stage_full) init(full, 1);
      for (Barrier& empty : b.stage_empty) init(empty, kWarps * kArrivingLanes);
      for (Barrier& full : b.scales_full) init(full, kScalers * kArrivingLanes);
      for (Barrier& empty : b.scales_empty) init(empty, kWarps * kArrivingLanes);
      for (Barrier& full : b.sums_full) init(full, kWarps * kArrivingLanes);
      for (Barrier& empty : b.sums_empty) init(empty, kArrivingLanes);
    }
    publish_barriers();
  }
  __syncthreads();
  const Team team{task, layout, head.barriers[number], number};
  // Weights are no kernel's output: they begin to arrive while the kernel before still computes x.
  if (warp == kSender) return send(team, lane);
  if (warp < kWarps) {
    const uint32_t thread = (number * kWarps + warp) * 32 + lane;
    fill_table(task, layout, thread, kMultipliers);
    wait_for_previous();
    fill_x(task, layout, thread, kMultipliers);
    meet(1, kMultipliers);
    return multiply_tiles(team, warp, lane);
  }
  if (warp < kFirstFinisher) {
    const uint32_t thread = (warp - kFirstScaler) * 32 + lane;
    if (const Nf4Scales& nf4 = task.parts[0].w.nf4; nf4.absmax8 != nullptr)
      for (uint32_t i = thread; i < 256; i += kScalers * 32) head.nested_code[number][i] = nf4.nested_code[i];
    meet(2 + number, kScalers * 32);
    return restore_scales(team, head.nested_code[number], thread);
  }
  wait_for_previous();
  finish_tiles(team, warp - kFirstFinisher, kFinishers, lane);
}

/// Where things lie in a block's shared memory, from address `begin` to `end`; no stages where they do not fit.
Layout layout_of(const GemvTask& task, int64_t begin, int64_t end) {
  Layout l;
  const int64_t cols = task.parts[0].w.cols;
  const int64_t pieces = task.tokens * (cols / 64);
  const bool beside_table = pieces <= 256;
  l.tiles = static_cast<uint32_t>(groups_of<kRows>(task));
  l.parts = static_cast<uint32_t>(cols / kCols);
  l.steps = (l.parts + kStepParts - 1) / kStepParts;
  l.scale_slots = std::clamp<uint32_t>(kScaleRoom / l.scale_bytes(), 2, kMostScaleSlots);
  int64_t at = kTableAt - begin;
  if (at < static_cast<int64_t>(sizeof(Head))) return {};
  const auto take = [&](int64_t bytes) {
    at += bytes;
    return static_cast<uint32_t>(at - bytes);
  };
  l.table_at = take(kTableBytes);
  l.x_stride = beside_table ? kTableStride : kPiece;
  l.x_at = beside_table ? l.table_at + kPiece : take(pieces * kPiece);
  l.sums_at = take(kTeams * 2 * sizeof(Sums));
  l.scales_at = take(int64_t{kTeams} * l.scale_slots * l.scale_bytes());
  const int64_t stages = (end - begin - at) / (kTeams * int64_t{kStageBytes});
  if (stages < 2) return {};
  l.stages = static_cast<uint32_t>(std::min<int64_t>(stages, kMostStages));
  l.stages_at = take(kTeams * int64_t{l.stages} * kStageBytes);
  l.bytes = static_cast<uint32_t>(at);
  return l;
}

}  // namespace

bool gemv_nf4_stream(Context& context, const GemvTask& task) {
  if (!context.overlaps() || task.parts[0].w.cols % kCols != 0) return false;
  for (int i = 0; i < task.count; ++i)
    if (reinterpret_cast<uintptr_t>(task.parts[i].w.nf4.absmax8) % 4 != 0) return false;
  const int64_t reserved = context.reserved_shared_bytes();
  const Layout layout = layout_of(task, round_up(reserved, kAlignment), reserved + context.block_shared_bytes());
  if (layout.stages == 0) return false;
  TENFOLD_CUDA(
      cudaFuncSetAttribute(nf4_stream_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(layout.bytes)));
  const auto blocks = std::min(layout.tiles, static_cast<uint32_t>(context.multiprocessors()));
  launch_overlapped_sharing(context, nf4_stream_kernel, dim3(blocks), kThreads, layout.bytes, task, layout);
  return true;
}

}  // namespace tenfold::cuda
