#pragma once

// What the kernels for a few tokens share: their arguments and how a row of the weight is finished.

#include "device/cuda/context.h"
#include "ops/cuda/dequantize.cuh"
#include "ops/cuda/vector.cuh"

namespace tenfold::cuda {

/// y (T, N) = x W^T + scale u B^T + bias + residual. x and u are of the compute dtype.
struct GemvTask {
  DeviceWeight w;
  const void* x = nullptr;  ///< (tokens, cols), readable in groups of eight at 16-byte addresses: padded with zeros
  int64_t x_stride = 0;
  int tokens = 0;
  const float* b = nullptr;  ///< (N, rank)
  int64_t b_stride = 0;
  int rank = 0;  ///< 0: no LoRA
  float scale = 0.0F;
  const void* u = nullptr;  ///< (tokens, rank)
  int64_t u_stride = 0;
  const float* bias = nullptr;
  const void* residual = nullptr;
  int64_t residual_stride = 0;
  bool residual_is_f32 = false;
  void* y = nullptr;
  int64_t y_stride = 0;
  bool y_is_f32 = false;
};

constexpr int kGemvTokens = 4;  ///< ops::kGemvRows

/// u comes from the kernel before, which may still run when ours begins (launch_gemv): from here on it is done.
__device__ inline void wait_for_branch() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}

/// Lets the next kernel begin, if it was launched to do so.
__device__ inline void let_next_begin() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

/// The end of one row of W, by kWidth neighbouring lanes of a warp whose other lanes do the same for other rows. `sum` is x . w
/// for the token that is the lane's number.
template <typename X, int kTokens, int kWidth>
__device__ inline void finish_row(const GemvTask& task, int64_t row, int lane, float sum) {
  const bool exists = row < task.w.rows;
  if (task.rank > 0) {
    float branch[kTokens] = {};
    const float* b = task.b + min(row, task.w.rows - 1) * task.b_stride;
    const X* u = static_cast<const X*>(task.u);
    for (int k = lane; k < task.rank; k += kWidth) {
      const float value = b[k] * task.scale;
#pragma unroll
      for (int t = 0; t < kTokens; ++t)
        if (t < task.tokens) branch[t] += value * widen(u[t * task.u_stride + k]);
    }
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
#pragma unroll
      for (int distance = kWidth / 2; distance > 0; distance /= 2) branch[t] += __shfl_xor_sync(0xffffffffU, branch[t], distance);
      if (lane == t) sum += branch[t];
    }
  }
  if (!exists || lane >= task.tokens) return;
  if (task.bias != nullptr) sum += task.bias[row];
  if (task.residual != nullptr) {
    const int64_t at = lane * task.residual_stride + row;
    sum +=
        task.residual_is_f32 ? static_cast<const float*>(task.residual)[at] : widen(static_cast<const Bf16*>(task.residual)[at]);
  }
  const int64_t at = lane * task.y_stride + row;
  if (task.y_is_f32)
    static_cast<float*>(task.y)[at] = sum;
  else
    static_cast<Bf16*>(task.y)[at] = narrow<Bf16>(sum);
}

/// Launches a kernel that may begin before the one in front of it (which computes u) has ended.
template <typename Kernel>
void launch_gemv(Context& context, Kernel kernel, int64_t blocks, int threads, const GemvTask& task) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = context.stream();
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  int major = 0;
  TENFOLD_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, context.index()));
  if (task.rank > 0 && major >= 9) {
    config.attrs = &overlap;
    config.numAttrs = 1;
  }
  TENFOLD_CUDA(cudaLaunchKernelEx(&config, kernel, task));
}

/// An NF4 weight whose rows are whole blocks, and x in bf16: see gemv_nf4.cu.
bool takes_nf4(const GemvTask& task, DType x);
void gemv_nf4(Context& context, const GemvTask& task);

}  // namespace tenfold::cuda
