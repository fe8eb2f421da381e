#include "device/cuda/context.h"

#include "device/cuda/cuda_device.h"
#include "device/refusal.h"

#include <cstring>

namespace tenfold::cuda {
namespace {

/// What to change, where the library's words do not say it.
const char* advice(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation: return "; something else may hold this GPU's memory (nvidia-smi); or lower --gpu-memory";
    case cudaErrorDevicesUnavailable: return "; another process holds this GPU (nvidia-smi)";
    case cudaErrorNoKernelImageForDevice:
      return "; this build has no code for this GPU: build with its number in TENFOLD_CUDA_ARCHITECTURES (docs/guide.md)";
    default: return "";
  }
}
const char* advice(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH:
    case CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED:
      return "; the libcudnn_*.so.9 must all be there and of one version: install cuDNN anew";
    default: return "";
  }
}

[[noreturn]] void fail(const char* library, const char* text, const char* expression, const char* file, int line,
                       const char* what_to_do = "") {
  throw_device("{}: {} in {} ({}:{}){}", library, text, expression, file, line, what_to_do);
}

}  // namespace

void check_cuda(cudaError_t status, const char* expression, const char* file, int line) {
  if (status != cudaSuccess) fail("CUDA", cudaGetErrorString(status), expression, file, line, advice(status));
}

void check_cublas(cublasStatus_t status, const char* expression, const char* file, int line) {
  if (status != CUBLAS_STATUS_SUCCESS) fail("cuBLASLt", cublasLtGetStatusString(status), expression, file, line);
}

void check_cudnn(cudnnStatus_t status, const char* expression, const char* file, int line) {
  if (status != CUDNN_STATUS_SUCCESS) fail("cuDNN", cudnnGetErrorString(status), expression, file, line, advice(status));
}

Context::Context(int index) : index_(index) {
  TENFOLD_CUDA(cudaSetDevice(index));
  TENFOLD_CUDA(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, index));
  TENFOLD_CUDA(cudaDeviceGetAttribute(&block_shared_bytes_, cudaDevAttrMaxSharedMemoryPerBlockOptin, index));
  TENFOLD_CUDA(cudaDeviceGetAttribute(&reserved_shared_bytes_, cudaDevAttrReservedSharedMemoryPerBlock, index));
  int major = 0;
  TENFOLD_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
  overlaps_ = major >= 9;
  TENFOLD_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  TENFOLD_CUBLAS(cublasLtCreate(&blas_));
  TENFOLD_CUDNN(cudnnCreate(&dnn_));
  TENFOLD_CUDNN(cudnnSetStream(dnn_, stream_));
  TENFOLD_CUDA(cudaMalloc(&blas_workspace_, kBlasWorkspaceBytes));
  const cudaError_t ring = cudaMallocHost(reinterpret_cast<void**>(&ring_host_), kRingBytes);
  if (ring == cudaErrorMemoryAllocation)
    throw DeviceError(memory_refusal({MemoryPlace::kPinned, "staging", name_of(MemoryUse::kWorkspace), kRingBytes, 0, -1}));
  TENFOLD_CUDA(ring);
  TENFOLD_CUDA(cudaMalloc(reinterpret_cast<void**>(&ring_device_), kRingBytes));
}

Context::~Context() {
  cudaStreamSynchronize(stream_);
  attention_plans_.reset();  // before the handle that they were built with
  cudaFree(ring_device_);
  cudaFreeHost(ring_host_);
  cudaFree(blas_workspace_);
  cudnnDestroy(dnn_);
  cublasLtDestroy(blas_);
  cudaStreamDestroy(stream_);
}

const void* Context::upload_bytes(const void* host, size_t bytes) {
  TENFOLD_CHECK(bytes <= kRingBytes, "{} bytes for a ring of {}", bytes, kRingBytes);
  if (ring_at_ + bytes > kRingBytes) {
    TENFOLD_CUDA(cudaStreamSynchronize(stream_));
    ring_at_ = 0;
  }
  std::byte* from = ring_host_ + ring_at_;
  std::byte* to = ring_device_ + ring_at_;
  ring_at_ += (bytes + 255) / 256 * 256;
  if (bytes == 0) return to;
  std::memcpy(from, host, bytes);
  TENFOLD_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_));
  return to;
}

void Context::download_bytes(void* host, const void* device, size_t bytes) {
  if (bytes == 0) return;
  TENFOLD_CUDA(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_));
  TENFOLD_CUDA(cudaStreamSynchronize(stream_));
}

Context& context_of(const Exec& exec) {
  TENFOLD_CHECK(exec.device.kind() == DeviceKind::kCuda, "a CUDA body on {}", exec.device.description());
  return static_cast<CudaDevice&>(exec.device).context();
}

}  // namespace tenfold::cuda
