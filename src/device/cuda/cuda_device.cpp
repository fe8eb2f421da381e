#include "device/cuda/cuda_device.h"

#include "core/error.h"
#include "device/cuda/graph.h"

#include <algorithm>
#include <utility>

namespace tenfold::cuda {
namespace {

/// Attention of these is wrong (cudnn-frontend refuses them, too).
bool refused(size_t cudnn_version) { return cudnn_version == 91000 || cudnn_version == 91001; }

std::string version_text(size_t version) { return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100); }

struct Memory {
  size_t free = 0;
  size_t total = 0;
};

Memory memory() {
  Memory m;
  TENFOLD_CUDA(cudaMemGetInfo(&m.free, &m.total));
  return m;
}

void require_gpu(int index) {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    throw_device("--device cuda: there is no NVIDIA driver on this machine (libcuda.so.1); install it, or use --device cpu");
  int runtime = 0;
  TENFOLD_CUDA(cudaRuntimeGetVersion(&runtime));
  if (driver / 1000 < runtime / 1000) {
    throw_device(
        "--device cuda: the NVIDIA driver is too old: it serves CUDA {}.{}, this program needs {}.{} or newer; update the "
        "driver, or use --device cpu",
        driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  }
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    throw_device("--device cuda: no GPU is visible ({}); see nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu",
                 status == cudaSuccess ? "the driver lists none" : cudaGetErrorString(status));
  }
  if (index < 0 || index >= count)
    throw_device("--device cuda:{}: there is no such GPU; this machine has {}, numbered from 0", index, count);
  if (refused(cudnnGetVersion())) {
    throw_device("--device cuda: cuDNN {} computes attention wrongly; install 9.10.2 or newer, or use --device cpu",
                 version_text(cudnnGetVersion()));
  }
}

}  // namespace

CudaDevice::CudaDevice(int index, std::shared_ptr<ops::Backend> backend)
    : Device(DeviceKind::kCuda, /*threads=*/0), backend_(std::move(backend)) {
  require_gpu(index);
  TENFOLD_CUDA(cudaSetDevice(index));
  context_ = std::make_unique<Context>(index);
  cudaDeviceProp properties{};
  TENFOLD_CUDA(cudaGetDeviceProperties(&properties, index));
  const auto [free, total] = memory();
  overhead_bytes_ = static_cast<int64_t>(total - free);
  description_ = fmt::format("{} ({:.0f} GiB), cuBLASLt {}, cuDNN {}", properties.name, static_cast<double>(total) / 0x1p30,
                             cublasLtGetVersion(), version_text(cudnnGetVersion()));
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
  TENFOLD_CUDA(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, context_->stream()));
  synchronize();
}

void CudaDevice::copy_out(void* to, const void* from, int64_t bytes) {
  TENFOLD_CUDA(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, context_->stream()));
  synchronize();
}

void CudaDevice::fill_zero(void* data, int64_t bytes) {
  TENFOLD_CUDA(cudaMemsetAsync(data, 0, static_cast<size_t>(bytes), context_->stream()));
}

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
  synchronize();
  cudaFree(data);
}

}  // namespace tenfold::cuda
