#include "ops/cpu/swiglu.h"

#include "ops/cpu/elementwise.h"

namespace tenfold::cpu {

void swiglu_forward(Exec& exec, const TensorView& gate, const TensorView& up, const TensorView& a) {
  const auto kernel = elementwise_kernels().swiglu[kernel_index(gate.dtype)];
  const Rows gates(gate);
  const Rows ups(up);
  const Rows out(a);
  parallel_ranges(exec, gate.dim(0), gate.dim(1) * 3 * size_of(gate.dtype), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) kernel(gates.row(t), ups.row(t), out.row(t), gate.dim(1));
  });
}

void swiglu_backward(Exec& exec, const TensorView& d_a, const TensorView& gate, const TensorView& up, const TensorView& d_gate,
                     const TensorView& d_up) {
  const auto kernel = elementwise_kernels().swiglu_backward[kernel_index(d_a.dtype)][kernel_index(gate.dtype)];
  const Rows grad(d_a);
  const Rows gates(gate);
  const Rows ups(up);
  const Rows gate_out(d_gate);
  const Rows up_out(d_up);
  parallel_ranges(exec, gate.dim(0), gate.dim(1) * 5 * size_of(gate.dtype), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      kernel(grad.row(t), gates.row(t), ups.row(t), gate_out.row(t), up_out.row(t), gate.dim(1));
  });
}

}  // namespace tenfold::cpu
