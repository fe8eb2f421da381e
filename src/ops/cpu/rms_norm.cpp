#include "ops/cpu/rms_norm.h"

#include "core/checked.h"
#include "ops/cpu/elementwise.h"

#include <array>

namespace tenfold::cpu {

void rms_norm_forward(Exec& exec, const TensorView& x, const TensorView& weight, float eps, const TensorView& y) {
  const auto kernel = elementwise_kernels().rms_norm[kernel_index(x.dtype)][kernel_index(y.dtype)];
  const Rows from(x);
  const Rows to(y);
  const int64_t bytes = x.dim(1) * (size_of(x.dtype) + size_of(y.dtype));
  parallel_ranges(exec, x.dim(0), bytes, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) kernel(from.row(t), weight.ptr<float>(), eps, to.row(t), x.dim(1));
  });
}

namespace {

// d_weight: each thread owns columns and adds the tokens in order, so the sum does not depend on the number of threads.
void weight_gradient(Exec& exec, const TensorView& d_y, const TensorView& x, float eps, const TensorView& d_weight) {
  const auto& kernels = elementwise_kernels();
  const auto kernel = kernels.rms_norm_weight[kernel_index(d_y.dtype)][kernel_index(x.dtype)];
  const auto inverse_rms = kernels.inverse_rms[kernel_index(x.dtype)];
  const Rows grad(d_y);
  const Rows input(x);
  const int64_t columns = x.dim(1);
  constexpr int64_t kTokens = 256;
  constexpr int64_t kColumns = 64;
  std::array<float, kTokens> inverse{};
  for (int64_t first = 0; first < x.dim(0); first += kTokens) {
    const int64_t count = std::min(kTokens, x.dim(0) - first);
    parallel_ranges(exec, count, columns * size_of(x.dtype), [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) inverse[static_cast<size_t>(t)] = inverse_rms(input.row(first + t), eps, columns);
    });
    parallel_ranges(exec, ceil_div(columns, kColumns), kColumns * count * 8, [&](int64_t begin, int64_t end) {
      const int64_t from = begin * kColumns;
      const int64_t n = std::min(end * kColumns, columns) - from;
      for (int64_t t = 0; t < count; ++t)
        kernel(grad.row(first + t) + from * size_of(d_y.dtype), input.row(first + t) + from * size_of(x.dtype),
               inverse[static_cast<size_t>(t)], d_weight.ptr<float>() + from, n);
    });
  }
}

}  // namespace

void rms_norm_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const TensorView& weight, float eps,
                       const TensorView& d_x, const TensorView& d_weight) {
  if (!d_weight.empty()) weight_gradient(exec, d_y, x, eps, d_weight);
  const auto kernel = elementwise_kernels().rms_norm_backward[kernel_index(d_y.dtype)][kernel_index(x.dtype)];
  const Rows grad(d_y);
  const Rows input(x);
  const int64_t bytes = x.dim(1) * (size_of(d_y.dtype) + size_of(x.dtype) + 8);
  parallel_ranges(exec, x.dim(0), bytes, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      kernel(grad.row(t), input.row(t), weight.ptr<float>(), eps, d_x.row<float>(t), x.dim(1));
  });
}

}  // namespace tenfold::cpu
