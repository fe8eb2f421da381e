#pragma once

#include "core/error.h"
#include "core/tensor.h"
#include "device/exec.h"

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <cudnn.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

/// Throws DeviceError with the expression, the place and CUDA's own words.
#define TENFOLD_CUDA(expression) ::tenfold::cuda::check_cuda((expression), #expression, __FILE__, __LINE__)
#define TENFOLD_CUBLAS(expression) ::tenfold::cuda::check_cublas((expression), #expression, __FILE__, __LINE__)
#define TENFOLD_CUDNN(expression) ::tenfold::cuda::check_cudnn((expression), #expression, __FILE__, __LINE__)
/// After a kernel launch.
#define TENFOLD_LAUNCHED() TENFOLD_CUDA(cudaPeekAtLastError())

namespace tenfold::cuda {

void check_cuda(cudaError_t status, const char* expression, const char* file, int line);
void check_cublas(cublasStatus_t status, const char* expression, const char* file, int line);
void check_cudnn(cudnnStatus_t status, const char* expression, const char* file, int line);

/// What an op keeps of a library's choices for the shapes that it has met; each op that does so derives its own.
struct Plans {
  virtual ~Plans() = default;
  int64_t made = 0;  ///< ever, those no longer kept included
};

/// What every CUDA body computes with: one GPU, one compute stream, the libraries' handles, and a ring for small host data (ids,
/// positions, targets). Everything is made on opening; nothing is allocated later.
class Context {
 public:
  explicit Context(int index);
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context();

  int index() const { return index_; }
  int multiprocessors() const { return multiprocessors_; }
  /// Shared memory that one block may have, of a kernel that asks for it; it begins where the driver's own ends.
  int block_shared_bytes() const { return block_shared_bytes_; }
  int reserved_shared_bytes() const { return reserved_shared_bytes_; }
  /// Whether a kernel may be launched to begin before the one in front of it has ended (ops/cuda/overlap.cuh).
  bool overlaps() const { return overlaps_; }
  cudaStream_t stream() const { return stream_; }
  cublasLtHandle_t blas() const { return blas_; }
  cudnnHandle_t dnn() const { return dnn_; }
  /// kBlasWorkspaceBytes of device memory for cublasLt, and for the partial sums of ops that have no scratch of their own: one at
  /// a time, as the stream orders them.
  void* blas_workspace() const { return blas_workspace_; }
  static constexpr size_t kBlasWorkspaceBytes = size_t{64} << 20;
  /// Of ops/cuda/gemm.cpp; null until its first product.
  std::unique_ptr<Plans>& product_plans() { return product_plans_; }
  /// Of ops/cuda/attention_cudnn.cpp; null until its first graph.
  std::unique_ptr<Plans>& attention_plans() { return attention_plans_; }

  /// A device copy of a small host array, in stream order: valid for what is enqueued until kRingBytes more have been uploaded
  /// (the ring then waits for the stream before it begins anew). The source may be reused at once.
  template <typename T>
  const T* upload(std::span<const T> host) {
    return static_cast<const T*>(upload_bytes(host.data(), host.size_bytes()));
  }
  /// Copies device memory to the host and waits for it.
  template <typename T>
  void download(std::span<T> host, const T* device) {
    download_bytes(host.data(), device, host.size_bytes());
  }
  static constexpr size_t kRingBytes = size_t{64} << 20;

 private:
  const void* upload_bytes(const void* host, size_t bytes);
  void download_bytes(void* host, const void* device, size_t bytes);

  int index_ = 0;
  int multiprocessors_ = 0;
  int block_shared_bytes_ = 0;
  int reserved_shared_bytes_ = 0;
  bool overlaps_ = false;
  cudaStream_t stream_ = nullptr;
  cublasLtHandle_t blas_ = nullptr;
  cudnnHandle_t dnn_ = nullptr;
  void* blas_workspace_ = nullptr;
  std::byte* ring_host_ = nullptr;
  std::byte* ring_device_ = nullptr;
  size_t ring_at_ = 0;
  std::unique_ptr<Plans> product_plans_;
  std::unique_ptr<Plans> attention_plans_;
};

/// The context of the CUDA device that an op was handed.
Context& context_of(const Exec& exec);

}  // namespace tenfold::cuda
