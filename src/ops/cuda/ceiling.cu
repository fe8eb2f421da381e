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

/// Pinned host memory for the time of a measurement.
class Pinned {
 public:
  explicit Pinned(int64_t bytes) { TENFOLD_CUDA(cudaMallocHost(&data_, static_cast<size_t>(bytes))); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() { cudaFreeHost(data_); }
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

/// A second stream beside the context's: work between fork and join runs at the same time as the context's.
class Beside {
 public:
  explicit Beside(Context& context) : context_(context) {
    TENFOLD_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    TENFOLD_CUDA(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
  }
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
  ~Beside() {
    cudaStreamSynchronize(stream_);
    cudaEventDestroy(event_);
    cudaStreamDestroy(stream_);
  }
  void fork() { follow(stream_, context_.stream()); }
  void join() { follow(context_.stream(), stream_); }
  cudaStream_t stream() const { return stream_; }

 private:
  void follow(cudaStream_t later, cudaStream_t earlier) {
    TENFOLD_CUDA(cudaEventRecord(event_, earlier));
    TENFOLD_CUDA(cudaStreamWaitEvent(later, event_, 0));
  }
  Context& context_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t event_ = nullptr;
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

ops::PinnedRates pinned_gigabytes(Exec& exec) {
  Context& context = context_of(exec);
  constexpr int64_t kBytes = int64_t{256} << 20;
  const Pinned sent(kBytes);
  const Pinned received(kBytes);
  const Temporary to(context, kBytes);
  const Temporary from(context, kBytes);
  Beside beside(context);
  const auto up = [&](cudaStream_t stream) {
    TENFOLD_CUDA(cudaMemcpyAsync(to.data(), sent.data(), kBytes, cudaMemcpyHostToDevice, stream));
  };
  const auto down = [&](cudaStream_t stream) {
    TENFOLD_CUDA(cudaMemcpyAsync(received.data(), from.data(), kBytes, cudaMemcpyDeviceToHost, stream));
  };
  const auto rate = [&](double bytes, const auto& call) { return bytes * 1e-9 / best_seconds(context, 4, call); };
  ops::PinnedRates rates;
  rates.to_device = rate(kBytes, [&] { up(context.stream()); });
  rates.to_host = rate(kBytes, [&] { down(context.stream()); });
  rates.both = rate(2.0 * kBytes, [&] {
    beside.fork();
    up(context.stream());
    down(beside.stream());
    beside.join();
  });
  return rates;
}

}  // namespace tenfold::cuda
