#include "ops/cpu/adamw.h"

#include "core/checked.h"
#include "ops/adamw_coefficients.h"
#include "ops/cpu/elementwise.h"

#include <array>

namespace tenfold::cpu {

void adamw_step(Exec& exec, const ops::AdamWArgs& args, const TensorView& parameter, const TensorView& gradient,
                const TensorView& m, const TensorView& v) {
  const ops::AdamWCoefficients c = ops::adamw_coefficients(args);
  const auto kernel = elementwise_kernels().adamw;
  constexpr int64_t kRun = 256;
  const int64_t n = parameter.elements();
  parallel_ranges(exec, ceil_div(n, kRun), kRun * 28, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kRun;
    kernel(c, parameter.ptr<float>() + first, gradient.ptr<float>() + first, m.ptr<float>() + first, v.ptr<float>() + first,
           std::min(end * kRun, n) - first);
  });
}

void adamw_step_rows(Exec& exec, const ops::AdamWArgs& args, std::span<const int32_t> rows, const TensorView& parameter,
                     const TensorView& gradient, const TensorView& m, const TensorView& v) {
  const ops::AdamWCoefficients c = ops::adamw_coefficients(args);
  const auto kernel = elementwise_kernels().adamw;
  const int64_t cols = parameter.dim(1);
  parallel_ranges(exec, static_cast<int64_t>(rows.size()), cols * 28, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = rows[static_cast<size_t>(i)] * cols;
      kernel(c, parameter.ptr<float>() + first, gradient.ptr<float>() + first, m.ptr<float>() + first, v.ptr<float>() + first,
             cols);
    }
  });
}

double sum_of_squares(Exec& exec, const TensorView& x) {
  const auto kernel = elementwise_kernels().sum_of_squares[kernel_index(x.dtype)];
  const int64_t n = x.elements();
  const int64_t size = size_of(x.dtype);
  // The cuts depend on n alone.
  constexpr int64_t kMaxParts = 512;
  const int64_t run = std::max<int64_t>(4096, round_up(ceil_div(n, kMaxParts), 64));
  const int64_t parts = ceil_div(n, run);
  std::array<double, kMaxParts> sums{};
  parallel_ranges(exec, parts, run * size, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      sums[static_cast<size_t>(i)] = kernel(static_cast<const std::byte*>(x.data) + i * run * size, std::min(run, n - i * run));
  });
  double total = 0;
  for (int64_t i = 0; i < parts; ++i) total += sums[static_cast<size_t>(i)];
  return total;
}

}  // namespace tenfold::cpu
