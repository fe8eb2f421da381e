#include "ops/cpu/elementwise.h"

#include "core/rng.h"
#include "ops/cpu_features.h"

#include <cmath>
#include <cstring>

namespace tenfold::cpu {

const ElementwiseKernels& elementwise_kernels() {
  switch (ops::cpu_isa()) {
    case ops::CpuIsa::kAmxBf16:
    case ops::CpuIsa::kAvx512Bf16:
    case ops::CpuIsa::kAvx512: return elementwise_avx512();
    case ops::CpuIsa::kAvx2: return elementwise_avx2();
    case ops::CpuIsa::kGeneric: break;
  }
  return elementwise_generic();
}

Rows::Rows(const TensorView& t) : data_(static_cast<std::byte*>(t.data)), element_(size_of(t.dtype)) {
  if (t.rank == 0) return;
  outer_ = t.rank - 1;
  length_ = t.dim(outer_);
  for (int i = 0; i < outer_; ++i) {
    shape_[static_cast<size_t>(i)] = t.dim(i);
    strides_[static_cast<size_t>(i)] = t.stride(i);
    count_ *= t.dim(i);
  }
}

std::byte* Rows::row(int64_t i) const {
  int64_t offset = 0;
  for (int d = outer_; d-- > 0;) {
    const auto s = static_cast<size_t>(d);
    offset += i % shape_[s] * strides_[s];
    i /= shape_[s];
  }
  return data_ + offset * element_;
}

namespace {

// A contiguous tensor is cut anywhere (in cache lines); another one by its rows. body(x, y, n) on matching runs.
template <typename Body>
void for_runs(const Exec& exec, const TensorView& x, const TensorView& y, const Body& body) {
  const int64_t x_size = size_of(x.dtype);
  const int64_t y_size = size_of(y.dtype);
  if (x.is_contiguous() && y.is_contiguous()) {
    constexpr int64_t kRun = 1024;
    const int64_t n = x.elements();
    auto* from = static_cast<std::byte*>(x.data);
    auto* to = static_cast<std::byte*>(y.data);
    parallel_ranges(exec, (n + kRun - 1) / kRun, kRun * (x_size + y_size), [&](int64_t begin, int64_t end) {
      const int64_t first = begin * kRun;
      body(from + first * x_size, to + first * y_size, std::min(end * kRun, n) - first);
    });
    return;
  }
  const Rows from(x);
  const Rows to(y);
  parallel_ranges(exec, from.count(), from.length() * (x_size + y_size), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(from.row(i), to.row(i), from.length());
  });
}

}  // namespace

void cast(Exec& exec, const TensorView& x, const TensorView& y) {
  const auto kernel = elementwise_kernels().convert[kernel_index(x.dtype)][kernel_index(y.dtype)];
  for_runs(exec, x, y, kernel);
}

void add(Exec& exec, const TensorView& x, const TensorView& y) {
  const auto kernel = elementwise_kernels().add[kernel_index(x.dtype)];
  for_runs(exec, x, y, [&](const void* from, void* to, int64_t n) { kernel(from, static_cast<float*>(to), n); });
}

void gather_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y) {
  const int64_t size = size_of(x.dtype);
  const int64_t bytes = x.dim(1) * size;
  parallel_ranges(exec, y.dim(0), 2 * bytes, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(static_cast<std::byte*>(y.data) + i * y.stride(0) * size,
                  static_cast<const std::byte*>(x.data) + rows[static_cast<size_t>(i)] * x.stride(0) * size,
                  static_cast<size_t>(bytes));
  });
}

void scatter_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y) {
  const int64_t size = size_of(x.dtype);
  const int64_t bytes = x.dim(1) * size;
  parallel_ranges(exec, x.dim(0), 2 * bytes, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(static_cast<std::byte*>(y.data) + rows[static_cast<size_t>(i)] * y.stride(0) * size,
                  static_cast<const std::byte*>(x.data) + i * x.stride(0) * size, static_cast<size_t>(bytes));
  });
}

void dropout(Exec& exec, const TensorView& x, std::span<const int64_t> token_index, float p, uint64_t seed, uint64_t stream,
             const TensorView& y) {
  const auto kernel = elementwise_kernels().dropout[kernel_index(x.dtype)][kernel_index(y.dtype)];
  const Rows from(x);
  const Rows to(y);
  DropoutMask mask;
  mask.key = seed;
  mask.threshold = static_cast<uint32_t>(std::min(std::nearbyint(static_cast<double>(p) * 0x1p32), 0x1p32 - 1));
  mask.scale = static_cast<float>(1.0 / (1.0 - static_cast<double>(p)));
  // Philox costs a few cycles an element: count it as more bytes, so that fewer rows are worth a fork.
  parallel_ranges(exec, x.dim(0), x.dim(1) * 16, [&](int64_t begin, int64_t end) {
    DropoutMask row_mask = mask;
    for (int64_t t = begin; t < end; ++t) {
      row_mask.row = mix64(stream, static_cast<uint64_t>(token_index[static_cast<size_t>(t)]));
      kernel(from.row(t), row_mask, to.row(t), x.dim(1));
    }
  });
}

void argmax(Exec& exec, const TensorView& x, std::span<int32_t> out) {
  const auto& kernels = elementwise_kernels();
  parallel_ranges(exec, x.dim(0), x.dim(1) * size_of(DType::kF32), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      out[static_cast<size_t>(t)] = static_cast<int32_t>(kernels.argmax(x.row<float>(t), x.dim(1)));
  });
}

}  // namespace tenfold::cpu
