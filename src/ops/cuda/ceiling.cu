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
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < n;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    const auto hash = static_cast<uint32_t>((i * 0x9E3779B97F4A7C15ULL) >> 40);
    out[i] = static_cast<uint16_t>(0x3C00 | (hash & 0x83FF));  // 0.008 to 0.12, either sign
  }
}

/// Device memory for the time of a measurement.
class Temporary {
 public:
  Temporary(Context& context, int64_t bytes) : context_(context) {
    TENFOLD_CUDA(cudaMalloc(&data_, static_cast<size_t>(bytes)));
    fill_noise<<<context.multiprocessors() * 8, 256, 0, context.stream()>>>(static_cast<uint16_t*>(data_), bytes / 2);
    TENFOLD_LAUNCHED();
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    cudaStreamSynchronize(context_.stream());
    cudaFree(data_);
  }
  void* data() const { return data_; }

 private:
  Context& context_;
  void* data_ = nullptr;
};

}  // namespace

double product_gflops(Exec& exec, int64_t m, int64_t n, int64_t k) {
  Context& context = context_of(exec);
  const Temporary a(context, m * k * 2);
  const Temporary b(context, n * k * 2);
  const Temporary c(context, m * n * 2);
  Product product;
  product.a = TensorView("ceiling a", DType::kBF16, {m, k}, a.data());
  product.b = TensorView("ceiling b", DType::kBF16, {n, k}, b.data());
  product.b_transposed = true;
  product.out = TensorView("ceiling c", DType::kBF16, {m, n}, c.data());
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  return flops * 1e-9 / best_seconds(context, 20, [&] { gemm(context, product); });
}

double copy_gigabytes(Exec& exec) {
  Context& context = context_of(exec);
  constexpr int64_t kBytes = int64_t{2} << 30;
  const Temporary from(context, kBytes);
  const Temporary to(context, kBytes);
  const double seconds = best_seconds(context, 4, [&] {
    TENFOLD_CUDA(cudaMemcpyAsync(to.data(), from.data(), kBytes, cudaMemcpyDeviceToDevice, context.stream()));
  });
  return 2.0 * static_cast<double>(kBytes) * 1e-9 / seconds;
}

}  // namespace tenfold::cuda
