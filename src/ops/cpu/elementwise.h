#pragma once

#include "core/tensor.h"
#include "device/exec.h"
#include "ops/cpu/isa/elementwise_kernels.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tenfold::cpu {

/// The kernels for this CPU (ops/cpu_features.h).
const ElementwiseKernels& elementwise_kernels();

/// The kernels' index of a dtype.
inline size_t kernel_index(DType dtype) { return dtype == DType::kBF16 ? 1 : 0; }

/// Threads for a loop over this many bytes: a fork costs microseconds, so small calls (decoding) stay on the calling thread.
inline int threads_for(const Exec& exec, int64_t bytes) {
  constexpr int64_t kBytesPerThread = 64 << 10;
  return static_cast<int>(std::clamp<int64_t>(bytes / kBytesPerThread, 1, exec.device.threads()));
}

/// Calls body(begin, end) on ranges that cover [0, items), in parallel when they are worth it. Results must not depend on the
/// cuts.
template <typename Body>
void parallel_ranges(const Exec& exec, int64_t items, int64_t bytes_per_item, const Body& body) {
  const int threads = threads_for(exec, items * bytes_per_item);
  if (threads <= 1) {
    if (items > 0) body(int64_t{0}, items);
    return;
  }
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int i = 0; i < threads; ++i) {
    const int64_t begin = items * i / threads;
    const int64_t end = items * (i + 1) / threads;
    if (begin < end) body(begin, end);
  }
}

/// Rows of a tensor whose last dimension is contiguous: the leading dimensions flattened, contiguous ones merged into longer
/// rows.
class Rows {
 public:
  explicit Rows(const TensorView& t);
  int64_t count() const { return count_; }
  int64_t length() const { return length_; }
  std::byte* row(int64_t i) const;

 private:
  std::byte* data_;
  int64_t element_;
  int64_t count_ = 1;
  int64_t length_ = 1;
  int outer_ = 0;  ///< leading dimensions
  std::array<int64_t, TensorView::kMaxRank> shape_{};
  std::array<int64_t, TensorView::kMaxRank> strides_{};
};

void cast(Exec& exec, const TensorView& x, const TensorView& y);
void add(Exec& exec, const TensorView& x, const TensorView& y);
void gather_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y);
void scatter_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y);
void dropout(Exec& exec, const TensorView& x, std::span<const int64_t> token_index, float p, uint64_t seed, uint64_t stream,
             const TensorView& y);
void argmax(Exec& exec, const TensorView& x, std::span<int32_t> out);

}  // namespace tenfold::cpu
