#include "ops/cuda/bodies.h"
#include "ops/cuda/sigmoid.cuh"
#include "ops/cuda/vector.cuh"

namespace tenfold::cuda {
namespace {

template <typename T>
__global__ void forward_rows(const T* gate, const T* up, T* a, const __grid_constant__ RowMap<3> rows) {
  constexpr int N = kChunk<T>;
  for (int64_t row = blockIdx.y; row < rows.count; row += gridDim.y) {
    const T* gates = gate + rows.offset(0, row);
    const T* ups = up + rows.offset(1, row);
    T* to = a + rows.offset(2, row);
    for_row_chunks<N>(rows.length, rows.vectors, [&](int64_t col, int64_t left, auto whole) {
      const auto g = load<N>(gates + col, left, whole);
      const auto u = load<N>(ups + col, left, whole);
      Chunk<T, N> out;
#pragma unroll
      for (int i = 0; i < N; ++i) out.set(i, g[i] * sigmoid(g[i]) * u[i]);
      store<N>(to + col, left, whole, out);
    });
  }
}

template <typename D, typename T>
__global__ void backward_rows(const D* d_a, const T* gate, const T* up, T* d_gate, T* d_up,
                              const __grid_constant__ RowMap<5> rows) {
  constexpr int N = kChunk<D, T>;
  for (int64_t row = blockIdx.y; row < rows.count; row += gridDim.y) {
    const D* grads = d_a + rows.offset(0, row);
    const T* gates = gate + rows.offset(1, row);
    const T* ups = up + rows.offset(2, row);
    T* to_gate = d_gate + rows.offset(3, row);
    T* to_up = d_up + rows.offset(4, row);
    for_row_chunks<N>(rows.length, rows.vectors, [&](int64_t col, int64_t left, auto whole) {
      const auto d = load<N>(grads + col, left, whole);
      const auto g = load<N>(gates + col, left, whole);
      const auto u = load<N>(ups + col, left, whole);
      Chunk<T, N> gate_out;
      Chunk<T, N> up_out;
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const float s = sigmoid(g[i]);
        gate_out.set(i, d[i] * u[i] * s * fmaf(g[i], 1.0F - s, 1.0F));
        up_out.set(i, d[i] * g[i] * s);
      }
      store<N>(to_gate + col, left, whole, gate_out);
      store<N>(to_up + col, left, whole, up_out);
    });
  }
}

}  // namespace

void swiglu_forward(Exec& exec, const TensorView& gate, const TensorView& up, const TensorView& a) {
  if (gate.elements() == 0) return;
  const Context& context = context_of(exec);
  with_float(gate.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const RowMap<3> rows(kChunk<T>, {&gate, &up, &a});
    const RowGrid grid(context, rows.count, rows.length, kChunk<T>);
    forward_rows<<<grid.blocks, grid.threads, 0, context.stream()>>>(
        static_cast<const T*>(gate.data), static_cast<const T*>(up.data), static_cast<T*>(a.data), rows);
  });
  TENFOLD_LAUNCHED();
}

void swiglu_backward(Exec& exec, const TensorView& d_a, const TensorView& gate, const TensorView& up, const TensorView& d_gate,
                     const TensorView& d_up) {
  if (gate.elements() == 0) return;
  const Context& context = context_of(exec);
  with_float(d_a.dtype, [&](auto grad_type) {
    with_float(gate.dtype, [&](auto type) {
      using D = typename decltype(grad_type)::type;
      using T = typename decltype(type)::type;
      constexpr int N = kChunk<D, T>;
      const RowMap<5> rows(N, {&d_a, &gate, &up, &d_gate, &d_up});
      const RowGrid grid(context, rows.count, rows.length, N);
      backward_rows<<<grid.blocks, grid.threads, 0, context.stream()>>>(
          static_cast<const D*>(d_a.data), static_cast<const T*>(gate.data), static_cast<const T*>(up.data),
          static_cast<T*>(d_gate.data), static_cast<T*>(d_up.data), rows);
    });
  });
  TENFOLD_LAUNCHED();
}

}  // namespace tenfold::cuda
