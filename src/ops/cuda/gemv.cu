#include "ops/cuda/gemv.h"

#include "ops/cuda/bodies.h"
#include "ops/cuda/expand.h"
#include "ops/cuda/gemv.cuh"
#include "ops/cuda/sigmoid.cuh"

namespace tenfold::cuda {
namespace {

// A block of kWarps warps makes kRows rows of W (kTokens values each): its threads stride over the columns of all the rows, eight
// at a time, so that x is read once for them; what two strides need is loaded before it is used. Each row's parts are summed over
// the lanes, then over the warps, always in the same order.
constexpr int kWarps = 4;
constexpr int kMainRows = 4;
constexpr uint32_t kStride = kWarps * 32 * 8;
// What is brought to L2 while the kernel before still runs: by as many blocks as a large GPU has at once, and far less than its
// cache holds.
constexpr unsigned kPrefetchingBlocks = 2048;
constexpr int64_t kPrefetchedBytes = 2048;  ///< of a row
static_assert(kMainRows <= kWarps);

template <typename X>
constexpr WeightLayout kLayoutOf = std::is_same_v<X, float> ? WeightLayout::kF32 : WeightLayout::kBF16;

/// total[token] += eight columns of one row times x.
template <WeightLayout L, int kTokens>
__device__ inline void add_dot(const Group8& g, const Group8 (&x)[kTokens], float (&total)[kTokens]) {
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    float dot = 0.0F;
    float x_sum = 0.0F;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      dot += g.q[j] * x[t].q[j];
      x_sum += x[t].q[j];  // the same for every row of the block
    }
    total[t] += is_dense(L) ? dot : dot * g.scale;
    if constexpr (has_offset(L)) total[t] += g.offset * x_sum;
  }
}

/// x of every token at the columns of a group; zeros for tokens and columns that do not exist.
template <typename X, int kTokens>
struct Activations {
  Raw8 raw[kTokens];

  __device__ Activations(const GemvTask& task, uint32_t col, bool exists) {
    const DeviceWeight none;
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      raw[t] = {};
      const RowAt row{static_cast<const uint8_t*>(task.x) + t * task.x_stride * static_cast<int64_t>(sizeof(X)), 0};
      if (exists && t < task.tokens) raw[t] = load_raw8<kLayoutOf<X>>(none, row, col);
    }
  }
  __device__ void widen_to(Group8 (&x)[kTokens]) const {
    const DeviceWeight none;
#pragma unroll
    for (int t = 0; t < kTokens; ++t) x[t] = decode_raw8<kLayoutOf<X>>(none, raw[t], 0);
  }
};

/// The rows of a block: of one weight, or half of gate and half of up.
template <int kRows>
struct BlockRows {
  static constexpr int kHalf = kRows > 1 ? kRows / 2 : 1;

  DeviceWeight weights[2];
  GroupAt at;
  bool gated;

  __device__ explicit BlockRows(const GemvTask& task)
      : at(group_at<kRows>(task, static_cast<int64_t>(blockIdx.x))), gated(task.gated) {
    weights[0] = task.parts[at.part].w;
    weights[1] = task.parts[gated ? 1 : at.part].w;
  }
  __device__ const DeviceWeight& weight(int r) const { return weights[r / kHalf]; }
  /// Rows past the last are the last once more.
  __device__ int64_t row(int r) const { return min(at.first + (gated ? r % kHalf : r), weights[0].rows - 1); }
};

/// A thread's part of the sums of a block's rows, where w.groups.
template <WeightLayout L, typename X, int kRows, int kTokens>
__device__ inline void dot_rows(const GemvTask& task, const BlockRows<kRows>& block, float (&total)[kRows][kTokens]) {
  const auto cols = static_cast<uint32_t>(block.weights[0].cols);
  RowAt rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) rows[r] = row_at(block.weight(r), block.row(r));
  for (uint32_t col = threadIdx.x * 8; col < cols; col += 2 * kStride) {
    const bool second = col + kStride < cols;
    const uint32_t at[2] = {col, second ? col + kStride : col};
    Raw8 raw[2][kRows];
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int r = 0; r < kRows; ++r) raw[i][r] = load_raw8<L>(block.weight(r), rows[r], at[i]);
    const Activations<X, kTokens> activations[2] = {{task, at[0], true}, {task, at[1], second}};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      Group8 x[kTokens];
      activations[i].widen_to(x);
#pragma unroll
      for (int r = 0; r < kRows; ++r) add_dot<L, kTokens>(decode_raw8<L>(block.weight(r), raw[i][r], at[i]), x, total[r]);
    }
  }
}

/// The same for weights that no vector load can take.
template <WeightLayout L, typename X, int kRows, int kTokens>
__device__ inline void dot_odd_rows(const GemvTask& task, const BlockRows<kRows>& block, float (&total)[kRows][kTokens]) {
  const auto cols = static_cast<uint32_t>(block.weights[0].cols);
  for (uint32_t col = threadIdx.x * 8; col < cols; col += kStride) {
    Group8 x[kTokens];
    Activations<X, kTokens>(task, col, true).widen_to(x);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      Group8 g{{}, 1.0F, 0.0F};
#pragma unroll
      for (int j = 0; j < 8; ++j)
        if (col + j < cols) g.q[j] = decode_element<L>(block.weight(r), block.row(r), col + j);
      add_dot<L, kTokens>(g, x, total[r]);
    }
  }
}

/// The beginning of what a block will read.
template <WeightLayout L, int kRows>
__device__ inline void prefetch_rows(const BlockRows<kRows>& block) {
  if constexpr (L != WeightLayout::kNF4) {
    if (blockIdx.x >= kPrefetchingBlocks) return;
    const int64_t bytes =
        min(block.weights[0].cols / dequantize::block_elements<L>() * dequantize::block_bytes<L>(), kPrefetchedBytes);
#pragma unroll
    for (int r = 0; r < kRows; ++r) prefetch_to_l2(row_at(block.weight(r), block.row(r)).data, bytes);
  }
}

template <WeightLayout L, typename X, int kRows, int kTokens>
__global__ void __launch_bounds__(kWarps * 32) gemv_kernel(const __grid_constant__ GemvTask task) {
  __shared__ float parts[kWarps][kRows][kTokens];
  __shared__ float gate_up[kRows];
  __shared__ float code[16];
  let_next_begin();
  BlockRows<kRows> block(task);
  prefetch_rows<L>(block);
  if constexpr (L == WeightLayout::kNF4) {
    if (threadIdx.x < 16) code[threadIdx.x] = block.weights[0].nf4.code[threadIdx.x];
    __syncthreads();
    block.weights[0].nf4.code = code;
    block.weights[1].nf4.code = code;
  }
  wait_for_previous();
  float total[kRows][kTokens] = {};
  const bool groups = block.weights[0].groups;
  if constexpr (is_dense(L) || L == WeightLayout::kNF4) {
    if (!groups) dot_odd_rows<L, X, kRows, kTokens>(task, block, total);
  }
  if (groups) dot_rows<L, X, kRows, kTokens>(task, block, total);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int r = 0; r < kRows; ++r)
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
#pragma unroll
      for (int distance = 16; distance > 0; distance /= 2) total[r][t] += __shfl_xor_sync(0xffffffffU, total[r][t], distance);
      if (lane == 0) parts[warp][r][t] = total[r][t];
    }
  __syncthreads();
  if (warp >= kRows) return;
  float sum = 0.0F;
  if (lane < kTokens)
    for (int i = 0; i < kWarps; ++i) sum += parts[i][warp][lane];
  constexpr int kHalf = BlockRows<kRows>::kHalf;
  const GemvPart& part = task.parts[task.gated ? warp / kHalf : block.at.part];
  const int64_t row = block.at.first + (task.gated ? warp % kHalf : warp);
  sum = finished_row<X, kTokens, 32>(task, part, row, lane, sum);
  if (!task.gated) return put_row(task, part, row, lane, sum);
  if constexpr (kRows == kWarps) {
    if (lane == 0) gate_up[warp] = widen(narrow<X>(sum));
    __syncthreads();
    if (warp >= kHalf || lane > 0) return;
    const float gate = gate_up[warp];
    put_row(task, part, row, 0, gate * sigmoid(gate) * gate_up[warp + kHalf]);
  }
}

template <WeightLayout L, typename X, int kRows, int kTokens>
void launch(Context& context, const GemvTask& task) {
  launch_overlapped(context, gemv_kernel<L, X, kRows, kTokens>, dim3(static_cast<unsigned>(groups_of<kRows>(task))), kWarps * 32,
                    task);
}

/// `compute` is x's dtype; f32 is for tests and has no kernels of its own for one token.
template <WeightLayout L, int kRows>
void dispatch(Context& context, const GemvTask& task, DType compute) {
  if (compute == DType::kF32) return launch<L, float, kRows, kGemvTokens>(context, task);
  if (task.tokens == 1) return launch<L, Bf16, kRows, 1>(context, task);
  launch<L, Bf16, kRows, kGemvTokens>(context, task);
}

void run(Context& context, const GemvTask& task, DType compute) {
  if (takes_nf4(task, compute)) return gemv_nf4(context, task);
  with_layout(task.parts[0].w.layout, [&](auto layout) { dispatch<decltype(layout)::value, kMainRows>(context, task, compute); });
}

/// Every group of eight can be loaded.
bool lies_loadable(const TensorView& x) {
  return x.dim(1) % 8 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0 &&
         (x.dim(0) == 1 || x.stride(0) * size_of(x.dtype) % 16 == 0);
}

/// The same of x: itself or a padded copy.
TensorView loadable(Exec& exec, const TensorView& x, const TensorView& room) {
  if (lies_loadable(x)) return x;
  copy_padded(exec, x, 1.0F, room);
  return room;
}

GemvTask task_of(const TensorView& x) {
  GemvTask task;
  task.x = x.data;
  task.x_stride = x.stride(0);
  task.tokens = static_cast<int>(x.dim(0));
  task.count = 0;
  return task;
}

GemvPart& add_part(GemvTask& task, const DeviceWeight& w, const TensorView& y) {
  GemvPart& part = task.parts[task.count++];
  part.w = w;
  part.y = y.data;
  part.y_stride = y.stride(0);
  task.y_is_f32 = y.dtype == DType::kF32;
  return part;
}

void set_lora(GemvPart& part, const ops::LoraView& lora, const TensorView& u) {
  if (lora.empty()) return;
  part.b = lora.b.ptr<float>();
  part.b_stride = lora.b.stride(0);
  part.rank = static_cast<int>(lora.a.dim(0));
  part.scale = lora.scale;
  part.u = u.data;
  part.u_stride = u.stride(0);
}

/// Whether one launch serves both weights.
bool alike(const DeviceWeight& a, const DeviceWeight& b) {
  return a.layout == b.layout && a.cols == b.cols && a.groups == b.groups && a.nf4.code == b.nf4.code &&
         a.nf4.nested_code == b.nf4.nested_code && (a.nf4.absmax8 == nullptr) == (b.nf4.absmax8 == nullptr);
}

bool all_alike(const GemvTask& task) {
  return std::all_of(task.parts, task.parts + task.count, [&](const GemvPart& p) { return alike(p.w, task.parts[0].w); });
}

/// u = x A^T of every part that is there; few rows, so each has a block of its own.
void branch_inputs(Context& context, const GemvTask& task, DType compute) {
  if (task.count == 0) return;
  if (all_alike(task)) return dispatch<WeightLayout::kF32, 1>(context, task, compute);
  for (int i = 0; i < task.count; ++i) {
    GemvTask one = task;
    one.parts[0] = task.parts[i];
    one.count = 1;
    dispatch<WeightLayout::kF32, 1>(context, one, compute);
  }
}

/// Several weights in one launch (`gated`: gate and up with what joins them), the branches' inputs in one before it. False where
/// they do not lie alike, or x does not lie for it.
bool run_joined(Exec& exec, const TensorView& x, std::span<const ops::TokenProduct> products, bool gated) {
  if (!lies_loadable(x)) return false;
  TENFOLD_CHECK(products.size() <= kGemvParts, "{} products", products.size());
  GemvTask task = task_of(x);
  GemvTask branches = task;
  for (const ops::TokenProduct& p : products) {
    set_lora(add_part(task, device_weight(p.w), p.y), p.lora, p.lora_u);
    if (!p.lora.empty()) add_part(branches, device_weight(p.lora.a), p.lora_u);
  }
  task.gated = gated;
  if (!all_alike(task)) return false;
  Context& context = context_of(exec);
  branch_inputs(context, branches, exec.compute);
  run(context, task, exec.compute);
  return true;
}

}  // namespace

GemvScratch take_gemv(Exec& exec, int64_t tokens, int64_t in_features) {
  const int64_t cols = round_up(in_features, 8);
  return {exec.scratch.tensor("x", exec.compute, {tokens, cols}), exec.scratch.tensor("lora_in", exec.compute, {tokens, cols})};
}

void gemv_forward(Exec& exec, const TensorView& x, const WeightView& w, const ops::LinearArgs& args, const TensorView& y) {
  const Workspace::Scope scope(exec.scratch);
  const double flops = 2.0 * static_cast<double>(x.dim(0)) * static_cast<double>(w.rows) * static_cast<double>(w.cols);
  const PartTimer timer(exec, tenfold::Part::kProducts, flops);
  Context& context = context_of(exec);
  const GemvScratch room = take_gemv(exec, x.dim(0), w.cols);
  const TensorView own = loadable(exec, x, room.x);
  GemvTask task = task_of(own);
  GemvPart& part = add_part(task, device_weight(w), y);
  set_lora(part, args.lora, args.lora_u);
  if (!args.bias.empty()) part.bias = args.bias.ptr<float>();
  if (!args.residual.empty()) {
    task.residual = args.residual.data;
    task.residual_stride = args.residual.stride(0);
    task.residual_is_f32 = args.residual.dtype == DType::kF32;
  }
  if (!args.lora.empty()) {
    GemvTask branch = task_of(args.lora_in.empty() ? own : loadable(exec, args.lora_in, room.lora_in));
    add_part(branch, device_weight(args.lora.a), args.lora_u);
    branch_inputs(context, branch, exec.compute);
  }
  run(context, task, exec.compute);
}

void decode_products(Exec& exec, const TensorView& x, std::span<const ops::TokenProduct> products) {
  if (run_joined(exec, x, products, /*gated=*/false)) return;
  for (const ops::TokenProduct& p : products) {
    ops::LinearArgs args;
    args.lora = p.lora;
    args.lora_u = p.lora_u;
    gemv_forward(exec, x, p.w, args, p.y);
  }
}

void decode_gate_up(Exec& exec, const TensorView& x, const ops::TokenProduct& gate, const ops::TokenProduct& up) {
  const ops::TokenProduct both[] = {gate, up};
  if (run_joined(exec, x, both, /*gated=*/true)) return;
  cuda::decode_products(exec, x, both);
  swiglu_forward(exec, gate.y, up.y, gate.y);
}

}  // namespace tenfold::cuda
