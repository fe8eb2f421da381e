#pragma once

#include "core/checked.h"
#include "core/tensor.h"
#include "device/cuda/context.h"

#include <cuda_bf16.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>

/// What the memory-bound kernels share: 16-byte accesses with a scalar way for odd strides, rows of strided tensors, sums over a
/// block in a fixed order, Philox.
namespace tenfold::cuda {

using Bf16 = __nv_bfloat16;  ///< the two bytes of tenfold::bf16

template <typename T>
struct Type {
  using type = T;
};

/// body(Type<float>{}) or body(Type<Bf16>{}).
template <typename Body>
void with_float(DType dtype, const Body& body) {
  TENFOLD_CHECK(dtype == DType::kF32 || dtype == DType::kBF16, "dtype {}", name_of(dtype));
  dtype == DType::kBF16 ? body(Type<Bf16>{}) : body(Type<float>{});
}

__device__ inline float widen(float x) { return x; }
__device__ inline float widen(Bf16 x) { return __bfloat162float(x); }

/// To nearest even. (Every NaN becomes the one of the hardware.)
template <typename T>
__device__ T narrow(float x) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return __float2bfloat16_rn(x);
  } else {
    return x;
  }
}

/// Elements that a thread takes at once: 16 bytes of the widest of its tensors' types, so that each access of a warp is one run.
template <typename... T>
inline constexpr int kChunk = static_cast<int>(16 / std::max({sizeof(T)...}));

template <typename T, int N>
inline constexpr size_t kChunkAlignment = std::min<size_t>(16, N * sizeof(T));

template <typename T, int N>
struct alignas(kChunkAlignment<T, N>) Chunk {
  T element[N];
  __device__ float operator[](int i) const { return widen(element[i]); }
  __device__ void set(int i, float x) { element[i] = narrow<T>(x); }
};

using WholeChunk = std::true_type;  ///< all N elements of a chunk are there, at an aligned address
using PartChunk = std::false_type;  ///< as many as `count`, at any address

template <int N, typename T>
__device__ Chunk<T, N> load(const T* p, int64_t, WholeChunk) {
  return *reinterpret_cast<const Chunk<T, N>*>(p);
}
/// Zeros after the last element.
template <int N, typename T>
__device__ Chunk<T, N> load(const T* p, int64_t count, PartChunk) {
  Chunk<T, N> out{};
#pragma unroll
  for (int i = 0; i < N; ++i)
    if (i < count) out.element[i] = p[i];
  return out;
}

template <int N, typename T>
__device__ void store(T* p, int64_t, WholeChunk, const Chunk<T, N>& chunk) {
  *reinterpret_cast<Chunk<T, N>*>(p) = chunk;
}
template <int N, typename T>
__device__ void store(T* p, int64_t count, PartChunk, const Chunk<T, N>& chunk) {
#pragma unroll
  for (int i = 0; i < N; ++i)
    if (i < count) p[i] = chunk.element[i];
}

/// body(col, left, WholeChunk or PartChunk) on the chunks at first, first + step ... of a row. With `vectors` (its rows are
/// aligned) only the last chunk may be a part. Whole chunks have no branch between their loads, so that those of one chunk, and
/// of kAtOnce where the body stores nothing, are all on their way before the first is waited for.
template <int N, int kAtOnce = 1, typename Body>
__device__ void for_chunks(int64_t first, int64_t step, int64_t length, bool vectors, const Body& body) {
  int64_t col = first;
  if (vectors) {
    if constexpr (kAtOnce > 1) {
      for (; col + (kAtOnce - 1) * step + N <= length; col += kAtOnce * step) {
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) body(col + i * step, int64_t{N}, WholeChunk{});
      }
    }
#pragma unroll 1
    for (; col + N <= length; col += step) body(col, int64_t{N}, WholeChunk{});
  }
#pragma unroll 1
  for (; col < length; col += step) body(col, length - col, PartChunk{});
}

/// True where every row of the tensor begins at an address for chunks of n elements.
inline bool takes_vectors(const TensorView& t, int n) {
  const int64_t size = size_of(t.dtype);
  const int64_t alignment = std::min<int64_t>(16, n * size);
  bool aligned = reinterpret_cast<uintptr_t>(t.data) % static_cast<uintptr_t>(alignment) == 0;
  for (int d = 0; d + 1 < t.rank; ++d) aligned = aligned && (t.dim(d) == 1 || t.stride(d) * size % alignment == 0);
  return aligned;
}

/// The common rows of K tensors of one shape: leading dimensions that are contiguous in all of them are merged into longer rows,
/// so that contiguous tensors are one row.
template <size_t K>
struct RowMap {
  int64_t count = 1;
  int64_t length = 1;
  bool vectors = true;                    ///< every row is aligned for chunks
  int outer = 0;                          ///< dimensions that rows are counted in, the innermost first
  int64_t shape[TensorView::kMaxRank]{};  // [outer]
  int64_t stride[K][TensorView::kMaxRank]{};

  RowMap(int chunk, const std::array<const TensorView*, K>& tensors) {
    const TensorView& t = *tensors[0];
    if (t.rank > 0) length = t.dim(t.rank - 1);
    for (int d = t.rank - 2; d >= 0; --d) {
      if (t.dim(d) == 1) continue;
      const bool merges =
          outer == 0 && std::all_of(tensors.begin(), tensors.end(), [&](const TensorView* x) { return x->stride(d) == length; });
      if (merges) {
        length *= t.dim(d);
        continue;
      }
      shape[outer] = t.dim(d);
      for (size_t k = 0; k < K; ++k) stride[k][outer] = tensors[k]->stride(d);
      count *= t.dim(d);
      ++outer;
    }
    for (size_t k = 0; k < K; ++k) {
      const int64_t size = size_of(tensors[k]->dtype);
      const int64_t alignment = std::min<int64_t>(16, chunk * size);
      vectors = vectors && reinterpret_cast<uintptr_t>(tensors[k]->data) % static_cast<uintptr_t>(alignment) == 0;
      for (int d = 0; d < outer; ++d) vectors = vectors && stride[k][d] * size % alignment == 0;
    }
  }

  /// Elements from the start of tensor k to its row.
  __device__ int64_t offset(int k, int64_t row) const {
    if (outer == 0) return 0;
    int64_t at = 0;
#pragma unroll 1
    for (int d = 0; d + 1 < outer; ++d) {
      at += row % shape[d] * stride[k][d];
      row /= shape[d];
    }
    return at + row * stride[k][outer - 1];
  }
};

/// Threads and blocks of a kernel whose threads stride over the chunks of a row (x) and over rows (y).
struct RowGrid {
  dim3 blocks;
  int threads = 32;

  /// Enough for four waves; a short row takes fewer threads. `per_thread`: chunks of one row that a thread should get.
  RowGrid(const Context& context, int64_t rows, int64_t length, int chunk, int64_t per_thread = 1) {
    const int64_t chunks = ceil_div(ceil_div(std::max<int64_t>(length, 1), chunk), per_thread);
    threads = static_cast<int>(std::clamp<int64_t>(round_up(chunks, 32), 32, 256));
    const int64_t limit = int64_t{4} * context.multiprocessors() * (2048 / threads);
    blocks.x = static_cast<unsigned>(std::clamp<int64_t>(ceil_div(chunks, threads), 1, limit));
    blocks.y = static_cast<unsigned>(std::clamp<int64_t>(rows, 1, std::clamp<int64_t>(limit / blocks.x, 1, 65535)));
  }
};

/// for_chunks of a row in a kernel of a RowGrid.
template <int N, typename Body>
__device__ void for_row_chunks(int64_t length, bool vectors, const Body& body) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for_chunks<N>(first * N, static_cast<int64_t>(gridDim.x) * blockDim.x * N, length, vectors, body);
}

/// Sums of K values over a block of whole warps, in an order fixed by the block's size; every thread gets the same bits.
template <typename T, int K>
__device__ void block_sum(T (&values)[K]) {
  __shared__ T warps[K][32];
  const unsigned warp = threadIdx.x / 32;
  const unsigned lane = threadIdx.x % 32;
  const unsigned count = blockDim.x / 32;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    for (int distance = 16; distance > 0; distance /= 2) values[k] += __shfl_xor_sync(0xffffffffU, values[k], distance);
    if (lane == 0) warps[k][warp] = values[k];
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < K; ++k) {
    values[k] = lane < count ? warps[k][lane] : T{0};
    for (int distance = 16; distance > 0; distance /= 2) values[k] += __shfl_xor_sync(0xffffffffU, values[k], distance);
  }
  __syncthreads();  // before the next call writes
}

/// philox of core/rng.h, bit for bit.
__device__ inline std::array<uint32_t, 4> philox_words(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
  uint32_t a = static_cast<uint32_t>(counter_low);
  uint32_t b = static_cast<uint32_t>(counter_low >> 32);
  uint32_t c = static_cast<uint32_t>(counter_high);
  uint32_t d = static_cast<uint32_t>(counter_high >> 32);
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53U} * a;
    const uint64_t p1 = uint64_t{0xCD9E8D57U} * c;
    a = static_cast<uint32_t>(p1 >> 32) ^ b ^ k0;
    b = static_cast<uint32_t>(p1);
    c = static_cast<uint32_t>(p0 >> 32) ^ d ^ k1;
    d = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return {a, b, c, d};
}

/// mix64 of core/rng.h.
__device__ inline uint64_t mixed(uint64_t a, uint64_t b) {
  uint64_t z = a * 0x9E3779B97F4A7C15U + b + 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

/// n values of device memory for what lives inside one op only (partial sums, a result on its way to the host), from byte `at`
/// on: the products' workspace, which the stream gives to one op at a time.
template <typename T>
T* temporary(const Context& context, int64_t n, int64_t at = 0) {
  const int64_t end = at + n * static_cast<int64_t>(sizeof(T));
  TENFOLD_CHECK(end <= static_cast<int64_t>(Context::kBlasWorkspaceBytes), "{} bytes of {}", end, Context::kBlasWorkspaceBytes);
  return reinterpret_cast<T*>(static_cast<std::byte*>(context.blas_workspace()) + at);
}

}  // namespace tenfold::cuda
