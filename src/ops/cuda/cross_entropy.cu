// One block a row of logits, which is read twice: for its maximum and the sum of its exponentials (both at once, with a running
// maximum in every thread), then for the gradient.
//
// The target is left out of the sum: softmax - onehot there is -sum(others) / sum, which 1 - p would cancel away where the model
// is sure.
#include "ops/cuda/cross_entropy_rows.h"
#include "ops/cuda/vector.cuh"

#include <cmath>

namespace tenfold::cuda {
namespace {

constexpr int kThreads = 512;  // fixed: the order of a row's sum hangs on it
constexpr int kWidth = 8;      // columns of a thread at a time

/// Columns [col, col + kWidth), -inf at the target and past the vocabulary.
__device__ void read_others(const float* row, int64_t col, int64_t vocabulary, int64_t target, float (&out)[kWidth]) {
  const float4 a = reinterpret_cast<const float4*>(row + col)[0];
  const float4 b = reinterpret_cast<const float4*>(row + col)[1];
  const float values[kWidth] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
  for (int i = 0; i < kWidth; ++i) out[i] = col + i < vocabulary && col + i != target ? values[i] : -INFINITY;
}

/// A stand-in for -inf, which cannot be subtracted from itself.
__device__ float finite(float top) { return top == -INFINITY ? 0.0F : top; }

__device__ float block_max(float x) {
  __shared__ float warps[kThreads / 32];
  for (int distance = 16; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffU, x, distance));
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
  __syncthreads();
  for (const float other : warps) x = fmaxf(x, other);
  __syncthreads();
  return x;
}

struct RowSums {
  float top;      ///< maximum of all logits
  double others;  ///< sum of exp(logit - top) over all but the target
};

__device__ RowSums row_sums(const float* row, int64_t vocabulary, int64_t target, float target_logit) {
  float top = -INFINITY;
  float sum = 0.0F;
  for (int64_t col = static_cast<int64_t>(threadIdx.x) * kWidth; col < vocabulary; col += int64_t{kThreads} * kWidth) {
    float values[kWidth];
    read_others(row, col, vocabulary, target, values);
    float high = top;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) high = fmaxf(high, values[i]);
    const float base = finite(high);
    sum *= expf(top - base);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum += expf(values[i] - base);
    top = high;
  }
  const float of_all = block_max(fmaxf(top, target_logit));
  double total[1] = {static_cast<double>(sum) * static_cast<double>(expf(top - of_all))};
  block_sum(total);
  return {of_all, total[0]};
}

template <typename T>
struct RowArgs {
  const float* logits;  ///< (rows, stride)
  int64_t stride;
  int64_t vocabulary;
  const int32_t* targets;
  const float* weights;
  float* nll;
  float* target_scale;
  T* d_logits;  ///< (rows, stride), or null
};

template <typename T>
__global__ void __launch_bounds__(kThreads) loss_kernel(RowArgs<T> args) {
  __shared__ float factor;
  const int64_t n = blockIdx.x;
  const float* const row = args.logits + n * args.stride;
  const int64_t target = args.targets[n];
  const float target_logit = row[target];
  const RowSums sums = row_sums(row, args.vocabulary, target, target_logit);
  if (threadIdx.x == 0) {
    const double behind = static_cast<double>(target_logit) - static_cast<double>(sums.top);
    const double sum = sums.others + exp(behind);
    args.nll[n] = static_cast<float>((behind == 0.0 ? log1p(sums.others) : log(sum)) - behind);
    if (args.weights != nullptr) {
      const auto weight = static_cast<double>(args.weights[n]);
      factor = static_cast<float>(weight / sum);
      args.target_scale[n] = static_cast<float>(-weight * sums.others / sum);
    }
  }
  if (args.d_logits == nullptr) return;
  __syncthreads();
  const float scale = factor;
  T* const out = args.d_logits + n * args.stride;
  for (int64_t col = static_cast<int64_t>(threadIdx.x) * kWidth; col < args.vocabulary; col += int64_t{kThreads} * kWidth) {
    float values[kWidth];
    read_others(row, col, args.vocabulary, target, values);
    Chunk<T, kWidth> chunk;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) chunk.set(i, expf(values[i] - sums.top) * scale);
    *reinterpret_cast<Chunk<T, kWidth>*>(out + col) = chunk;
  }
}

template <typename T>
__global__ void put_kernel(const int32_t* targets, const float* target_scale, int64_t rows, T* d_logits, int64_t stride) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (n < rows) d_logits[n * stride + targets[n]] = narrow<T>(target_scale[n]);
}

template <typename T>
__global__ void add_kernel(const float* target_scale, const T* head, int64_t head_stride, float* d_h, int64_t stride,
                           int64_t hidden) {
  const int64_t n = blockIdx.x;
  const float scale = target_scale[n];
  for (int64_t d = threadIdx.x; d < hidden; d += blockDim.x)
    d_h[n * stride + d] = fmaf(scale, widen(head[n * head_stride + d]), d_h[n * stride + d]);
}

}  // namespace

void loss_rows(Context& context, const LossRows& rows) {
  const int64_t count = rows.logits.dim(0);
  const auto launch = [&](auto type) {
    using T = typename decltype(type)::type;
    const RowArgs<T> args{rows.logits.ptr<float>(),
                          rows.logits.stride(0),
                          rows.vocabulary,
                          rows.targets,
                          rows.weights,
                          rows.nll,
                          rows.target_scale,
                          static_cast<T*>(rows.d_logits.data)};
    loss_kernel<T><<<static_cast<unsigned>(count), kThreads, 0, context.stream()>>>(args);
    TENFOLD_LAUNCHED();
  };
  TENFOLD_CHECK(
      rows.logits.stride(0) % kWidth == 0 && (rows.d_logits.empty() || rows.d_logits.stride(0) == rows.logits.stride(0)),
      "logits {} in rows of {}", shape_text(rows.logits), rows.logits.stride(0));
  with_float(rows.d_logits.empty() ? DType::kF32 : rows.d_logits.dtype, launch);
}

void put_targets(Context& context, const LossRows& rows) {
  const int64_t count = rows.d_logits.dim(0);
  with_float(rows.d_logits.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    put_kernel<T><<<static_cast<unsigned>(ceil_div(count, kThreads)), kThreads, 0, context.stream()>>>(
        rows.targets, rows.target_scale, count, static_cast<T*>(rows.d_logits.data), rows.d_logits.stride(0));
    TENFOLD_LAUNCHED();
  });
}

void add_target_rows(Context& context, const float* target_scale, const TensorView& head, const TensorView& d_h) {
  with_float(head.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    add_kernel<T><<<static_cast<unsigned>(d_h.dim(0)), 256, 0, context.stream()>>>(
        target_scale, static_cast<const T*>(head.data), head.stride(0), d_h.ptr<float>(), d_h.stride(0), d_h.dim(1));
    TENFOLD_LAUNCHED();
  });
}

}  // namespace tenfold::cuda
