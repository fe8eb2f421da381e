#include "device/cuda/context.h"

#include "device/cuda/cuda_device.h"

#include <cstring>

namespace tenfold::cuda {
namespace {

[[noreturn]] void fail(const char* library, const char* text, const char* expression, const char* file, int line) {
  throw_device("{}: {} in {} ({}:{})", library, text, expression, file, line);
}

}  // namespace

void check_cuda(cudaError_t status, const char* expression, const char* file, int line) {
  if (status != cudaSuccess) fail("CUDA", cudaGetErrorString(status), expression, file, line);
}

void check_cublas(cublasStatus_t status, const char* expression, const char* file, int line) {
  if (status != CUBLAS_STATUS_SUCCESS) fail("cuBLASLt", cublasLtGetStatusString(status), expression, file, line);
}

void check_cudnn(cudnnStatus_t status, const char* expression, const char* file, int line) {
  if (status != CUDNN_STATUS_SUCCESS) fail("cuDNN", cudnnGetErrorString(status), expression, file, line);
}

Context::Context(int index) : index_(index) {
  TENFOLD_CUDA(cudaSetDevice(index));
  TENFOLD_CUDA(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, index));
  int major = 0;
  TENFOLD_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
  overlaps_ = major >= 9;
  TENFOLD_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  TENFOLD_CUBLAS(cublasLtCreate(&blas_));
  TENFOLD_CUDNN(cudnnCreate(&dnn_));
  TENFOLD_CUDNN(cudnnSetStream(dnn_, stream_));
  TENFOLD_CUDA(cudaMalloc(&blas_workspace_, kBlasWorkspaceBytes));
  TENFOLD_CUDA(cudaMallocHost(reinterpret_cast<void**>(&ring_host_), kRingBytes));
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
