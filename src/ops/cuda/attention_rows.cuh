#pragma once

#include "core/tensor.h"
#include "ops/cuda/vector.cuh"

#include <cstdint>

/// (rows, heads, E) tensors in the attention kernels.
namespace tenfold::cuda {

template <typename T>
struct HeadRows {
  T* data = nullptr;
  int64_t row = 0;       ///< stride of rows
  int64_t head = 0;      ///< stride of heads
  bool vectors = false;  ///< every head of every row is aligned for the chunks that it is read or written by

  __device__ T* at(int64_t r, int64_t h) const { return data + r * row + h * head; }
};

/// For read_chunk<8>.
template <typename T>
HeadRows<const T> reads(const TensorView& t) {
  return {static_cast<const T*>(t.data), t.stride(0), t.stride(1), takes_vectors(t, 8)};
}

/// For write_chunk<4>.
template <typename T>
HeadRows<T> writes(const TensorView& t) {
  return {static_cast<T*>(t.data), t.stride(0), t.stride(1), takes_vectors(t, 4)};
}

/// The first `count` elements (or N) at p, then zeros; with none, p is not touched.
template <int N, typename T>
__device__ Chunk<T, N> read_chunk(const T* p, int count, bool vectors) {
  if (vectors && count >= N) return *reinterpret_cast<const Chunk<T, N>*>(p);
  Chunk<T, N> out{};
#pragma unroll
  for (int i = 0; i < N; ++i)
    if (i < count) out.element[i] = p[i];
  return out;
}

template <int N, typename T>
__device__ void write_chunk(T* p, int count, bool vectors, const Chunk<T, N>& chunk) {
  if (vectors && count >= N) {
    *reinterpret_cast<Chunk<T, N>*>(p) = chunk;
    return;
  }
#pragma unroll
  for (int i = 0; i < N; ++i)
    if (i < count) p[i] = chunk.element[i];
}

}  // namespace tenfold::cuda
