#include "device/cuda/cuda_device.h"

#include "core/error.h"
#include "device/cuda/graph.h"
#include "device/refusal.h"

#include <algorithm>
#include <utility>

namespace tenfold::cuda {
namespace {

/// What the driver still takes after opening, as libraries load their kernels at first use: measured as the largest excess of a
/// step over its plan (an H100, CUDA 13, cuDNN 9.14: 175 MiB).
constexpr int64_t kLaterBytes = int64_t{192} << 20;

struct Memory {
  size_t free = 0;
  size_t total = 0;
};

Memory memory() {
  Memory m;
  TENFOLD_CUDA(cudaMemGetInfo(&m.free, &m.total));
  return m;
}

CudaMachine machine() {
  CudaMachine m;
  if (cudaDriverGetVersion(&m.driver) != cudaSuccess) m.driver = 0;
  TENFOLD_CUDA(cudaRuntimeGetVersion(&m.runtime));
  m.cudnn = cudnnGetVersion();
  const cudaError_t status = cudaGetDeviceCount(&m.gpus);
  if (status == cudaSuccess) return m;
  m.gpus = 0;
  m.gpus_error = cudaGetErrorString(status);
  cudaGetLastError();  // it is said once
  return m;
}

void require_gpu(int index) {
  const std::string refusal = cuda_refusal(machine(), index);
  if (!refusal.empty()) throw DeviceError(refusal);
}

}  // namespace

CudaDevice::CudaDevice(int index, std::shared_ptr<ops::Backend> backend)
    : Device(DeviceKind::kCuda, /*threads=*/0), backend_(std::move(backend)) {
  require_gpu(index);
  TENFOLD_CUDA(cudaSetDevice(index));
  context_ = std::make_unique<Context>(index);
  lanes_ = std::make_unique<CopyLanes>(context_->stream());
  cudaDeviceProp properties{};
  TENFOLD_CUDA(cudaGetDeviceProperties(&properties, index));
  const auto [free, total] = memory();
  overhead_bytes_ = static_cast<int64_t>(total - free) + kLaterBytes;
  description_ = fmt::format("{} ({:.0f} GiB), cuBLASLt {}, cuDNN {}", properties.name, static_cast<double>(total) / 0x1p30,
                             cublasLtGetVersion(), cudnn_version_text(cudnnGetVersion()));
}

CudaDevice::~CudaDevice() = default;

int64_t CudaDevice::free_bytes() const { return static_cast<int64_t>(memory().free); }

int64_t CudaDevice::peak_held_bytes() const {
  const Memory m = memory();
  return static_cast<int64_t>(m.total - m.free);
}

void CudaDevice::copy_in(void* to, const void* from, int64_t bytes) {
  // From pageable memory: the runtime stages it and returns once the source may be reused; the synchronisation makes that
  // certain.
  TENFOLD_CUDA(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, context_->stream()));
  synchronize();
}

void CudaDevice::copy_out(void* to, const void* from, int64_t bytes) {
  TENFOLD_CUDA(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, context_->stream()));
  synchronize();
}

void CudaDevice::fill_zero(void* data, int64_t bytes) {
  TENFOLD_CUDA(cudaMemsetAsync(data, 0, static_cast<size_t>(bytes), context_->stream()));
}

CopyTicket CudaDevice::copy_out_later(void* host, const void* device, int64_t bytes, CopyTicket after) {
  return lanes_->copy(CopyLanes::Lane::kOut, host, device, bytes, after);
}

CopyTicket CudaDevice::copy_in_later(void* device, const void* host, int64_t bytes, CopyTicket after) {
  return lanes_->copy(CopyLanes::Lane::kIn, device, host, bytes, after);
}

void CudaDevice::wait_for(CopyTicket ticket) { lanes_->wait_for(ticket); }

std::unique_ptr<Recording> CudaDevice::record(const std::function<void()>& work) {
  return record_graph(context_->stream(), work);
}

void CudaDevice::synchronize() { TENFOLD_CUDA(cudaStreamSynchronize(context_->stream())); }

void* CudaDevice::acquire(int64_t bytes) {
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, static_cast<size_t>(std::max<int64_t>(bytes, 1)));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // the refusal is not an error of what follows
    return nullptr;
  }
  TENFOLD_CUDA(status);
  return data;
}

void CudaDevice::give_back(void* data, int64_t) {
  finish();
  cudaFree(data);
}

void* CudaDevice::acquire_host(int64_t bytes) {
  void* data = nullptr;
  const cudaError_t status = cudaMallocHost(&data, static_cast<size_t>(std::max<int64_t>(bytes, 1)));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  TENFOLD_CUDA(status);
  return data;
}

void CudaDevice::give_back_host(void* data, int64_t) {
  finish();
  cudaFreeHost(data);
}

void CudaDevice::finish() const noexcept {
  cudaStreamSynchronize(context_->stream());
  lanes_->finish();
}

}  // namespace tenfold::cuda
