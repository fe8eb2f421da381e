// What the device can do, measured with the same clock and in the same run as what a bench quotes against it.
#include "ops/cuda/bodies.h"
#include "ops/cuda/gemm.h"

#include "device/cuda/context.h"

#include <algorithm>

namespace tenfold::cuda {
namespace {

/// Seconds of one call, the best of a few between two events.
template <typename Call>
double best_seconds(Context& context, int calls, const Call& call) {
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  TENFOLD_CUDA(cudaEventCreate(&begin));
  TENFOLD_CUDA(cudaEventCreate(&end));
  call();
  double best = 1e30;
  for (int i = 0; i < 5; ++i) {
    TENFOLD_CUDA(cudaEventRecord(begin, context.stream()));
    for (int c = 0; c < calls; ++c) call();
    TENFOLD_CUDA(cudaEventRecord(end, context.stream()));
    TENFOLD_CUDA(cudaEventSynchronize(end));
    float milliseconds = 0;
    TENFOLD_CUDA(cudaEventElapsedTime(&milliseconds, begin, end));
    best = std::min(best, static_cast<double>(milliseconds) * 1e-3 / calls);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return best;
}

/// Values of random signs and sizes: zeros would run faster than any data does.
__global__ void fill_noise(uint16_t* out, int64_t n) {
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < n; i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    const auto hash = static_cast<uint32_t>((i * 0x9E3779B97F4A7C15ULL) >> 40);
    out[i] = static_cast<uint16_t>(0x3C00 | (hash & 0x83FF));  // 0.008 to 0.12, either sign
  }
}

}  // namespace
}  // namespace tenfold::cuda
