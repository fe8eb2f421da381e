#include "ops/cuda/gemv.h"

#include "ops/cuda/expand.h"
#include "ops/cuda/gemv.cuh"

namespace tenfold::cuda {
namespace {

// A block of kWarps warps makes kRows rows of W (kTokens values each): its threads stride over the columns of all the rows, eight
// at a time, so that x is read once for them; what two strides need is loaded before it is used. Each row's parts are summed over
// the lanes, then over the warps, always in the same order.
constexpr int kWarps = 4;
constexpr int kMainRows = 4;
constexpr uint32_t kStride = kWarps * 32 * 8;
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

/// A thread's part of the sums of kRows rows from `first`; w.groups.
template <WeightLayout L, typename X, int kRows, int kTokens>
__device__ inline void dot_rows(const GemvTask& task, const DeviceWeight& w, int64_t first, float (&total)[kRows][kTokens]) {
  const auto cols = static_cast<uint32_t>(w.cols);
  RowAt rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) rows[r] = row_at(w, min(first + r, w.rows - 1));
  for (uint32_t col = threadIdx.x * 8; col < cols; col += 2 * kStride) {
    const bool second = col + kStride < cols;
    const uint32_t at[2] = {col, second ? col + kStride : col};
    Raw8 raw[2][kRows];
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int r = 0; r < kRows; ++r) raw[i][r] = load_raw8<L>(w, rows[r], at[i]);
    const Activations<X, kTokens> activations[2] = {{task, at[0], true}, {task, at[1], second}};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      Group8 x[kTokens];
      activations[i].widen_to(x);
#pragma unroll
      for (int r = 0; r < kRows; ++r) add_dot<L, kTokens>(decode_raw8<L>(w, raw[i][r], at[i]), x, total[r]);
    }
  }
}

/// The same for weights that no vector load can take.
template <WeightLayout L, typename X, int kRows, int kTokens>
__device__ inline void dot_odd_rows(const GemvTask& task, const DeviceWeight& w, int64_t first, float (&total)[kRows][kTokens]) {
  const auto cols = static_cast<uint32_t>(w.cols);
  for (uint32_t col = threadIdx.x * 8; col < cols; col += kStride) {
    Group8 x[kTokens];
    Activations<X, kTokens>(task, col, true).widen_to(x);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      Group8 g{{}, 1.0F, 0.0F};
#pragma unroll
      for (int j = 0; j < 8; ++j)
        if (col + j < cols) g.q[j] = decode_element<L>(w, min(first + r, w.rows - 1), col + j);
      add_dot<L, kTokens>(g, x, total[r]);
    }
  }
}

template <WeightLayout L, typename X, int kRows, int kTokens>
__global__ void __launch_bounds__(kWarps * 32) gemv_kernel(const __grid_constant__ GemvTask task) {
  __shared__ float parts[kWarps][kRows][kTokens];
  __shared__ float code[16];
  let_next_begin();
  DeviceWeight w = task.w;
  if constexpr (L == WeightLayout::kNF4) {
    if (threadIdx.x < 16) code[threadIdx.x] = w.nf4.code[threadIdx.x];
    __syncthreads();
    w.nf4.code = code;
  }
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kRows;
  float total[kRows][kTokens] = {};
  if constexpr (is_dense(L) || L == WeightLayout::kNF4) {
    if (!w.groups) dot_odd_rows<L, X, kRows, kTokens>(task, w, first, total);
  }
  if (w.groups) dot_rows<L, X, kRows, kTokens>(task, w, first, total);
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
  if (task.rank > 0) wait_for_branch();
  if (warp >= kRows) return;
  float sum = 0.0F;
  if (lane < kTokens)
    for (int i = 0; i < kWarps; ++i) sum += parts[i][warp][lane];
  finish_row<X, kTokens, 32>(task, first + warp, lane, sum);
}

template <WeightLayout L, typename X, int kRows, int kTokens>
void launch(Context& context, const GemvTask& task) {
  launch_gemv(context, gemv_kernel<L, X, kRows, kTokens>, ceil_div(task.w.rows, int64_t{kRows}), kWarps * 32, task);
}

/// `compute` is x's dtype; f32 is for tests and has no kernels of its own for one token.
template <WeightLayout L, int kRows>
void dispatch(Context& context, const GemvTask& task, DType compute) {
  if (compute == DType::kF32) return launch<L, float, kRows, kGemvTokens>(context, task);
  if (task.tokens == 1) return launch<L, Bf16, kRows, 1>(context, task);
  launch<L, Bf16, kRows, kGemvTokens>(context, task);
}

/// x where every group of eight can be loaded: itself or a padded copy.
TensorView loadable(Exec& exec, const TensorView& x, const TensorView& room) {
  const bool aligned = x.dim(1) % 8 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0 &&
                       (x.dim(0) == 1 || x.stride(0) * size_of(x.dtype) % 16 == 0);
  if (aligned) return x;
  copy_padded(exec, x, 1.0F, room);
  return room;
}

void set_x(GemvTask& task, const TensorView& x) {
  task.x = x.data;
  task.x_stride = x.stride(0);
  task.tokens = static_cast<int>(x.dim(0));
}

void set_y(GemvTask& task, const TensorView& y) {
  task.y = y.data;
  task.y_stride = y.stride(0);
  task.y_is_f32 = y.dtype == DType::kF32;
}

/// u = x A^T; few rows, so each has a block of its own.
void branch_input(Context& context, const TensorView& x, const TensorView& a, const TensorView& u, DType compute) {
  GemvTask task;
  task.w = device_weight(a);
  set_x(task, x);
  set_y(task, u);
  dispatch<WeightLayout::kF32, 1>(context, task, compute);
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
  GemvTask task;
  task.w = device_weight(w);
  set_x(task, own);
  set_y(task, y);
  if (!args.bias.empty()) task.bias = args.bias.ptr<float>();
  if (!args.residual.empty()) {
    task.residual = args.residual.data;
    task.residual_stride = args.residual.stride(0);
    task.residual_is_f32 = args.residual.dtype == DType::kF32;
  }
  if (!args.lora.empty()) {
    task.b = args.lora.b.ptr<float>();
    task.b_stride = args.lora.b.stride(0);
    task.rank = static_cast<int>(args.lora.a.dim(0));
    task.scale = args.lora.scale;
    task.u = args.lora_u.data;
    task.u_stride = args.lora_u.stride(0);
    branch_input(context, args.lora_in.empty() ? own : loadable(exec, args.lora_in, room.lora_in), args.lora.a, args.lora_u,
                 exec.compute);
  }
  if (takes_nf4(task, exec.compute)) return gemv_nf4(context, task);
  with_layout(w.layout, [&](auto layout) { dispatch<decltype(layout)::value, kMainRows>(context, task, exec.compute); });
}

}  // namespace tenfold::cuda
