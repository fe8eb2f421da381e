#include "ops/cuda/bodies.h"
#include "ops/cuda/vector.cuh"

#include <cmath>

namespace tenfold::cuda {
namespace {

// As tenfold::bf16 rounds (core/dtype.h): a NaN keeps its sign and upper bits, where the hardware's conversion makes every NaN
// the same.
template <typename T>
__device__ T rounded(float x) {
  if constexpr (std::is_same_v<T, Bf16>) {
    const auto kept = static_cast<unsigned short>((__float_as_uint(x) >> 16) | 0x40U);
    return x != x ? __ushort_as_bfloat16(kept) : __float2bfloat16_rn(x);
  } else {
    return x;
  }
}

template <typename X, typename Y>
__global__ void cast_rows(const X* x, Y* y, const __grid_constant__ RowMap<2> rows) {
  constexpr int N = kChunk<X, Y>;
  for (int64_t row = blockIdx.y; row < rows.count; row += gridDim.y) {
    const X* from = x + rows.offset(0, row);
    Y* to = y + rows.offset(1, row);
    for_row_chunks<N>(rows.length, rows.vectors, [&](int64_t col, int64_t left, auto whole) {
      const auto in = load<N>(from + col, left, whole);
      Chunk<Y, N> out;
#pragma unroll
      for (int i = 0; i < N; ++i) out.element[i] = rounded<Y>(in[i]);
      store<N>(to + col, left, whole, out);
    });
  }
}

template <typename X>
__global__ void add_rows(const X* x, float* y, const __grid_constant__ RowMap<2> rows) {
  constexpr int N = kChunk<X, float>;
  for (int64_t row = blockIdx.y; row < rows.count; row += gridDim.y) {
    const X* from = x + rows.offset(0, row);
    float* to = y + rows.offset(1, row);
    for_row_chunks<N>(rows.length, rows.vectors, [&](int64_t col, int64_t left, auto whole) {
      const auto in = load<N>(from + col, left, whole);
      auto sum = load<N>(to + col, left, whole);
#pragma unroll
      for (int i = 0; i < N; ++i) sum.element[i] += in[i];
      store<N>(to + col, left, whole, sum);
    });
  }
}

// y[y_rows[i]] = x[x_rows[i]] in units of any size; no list of rows means all in order.
template <typename Unit>
__global__ void copy_rows(const Unit* x, int64_t x_stride, const int64_t* x_rows, Unit* y, int64_t y_stride,
                          const int64_t* y_rows, int64_t count, int64_t length) {
  for (int64_t row = blockIdx.y; row < count; row += gridDim.y) {
    const Unit* from = x + (x_rows == nullptr ? row : x_rows[row]) * x_stride;
    Unit* to = y + (y_rows == nullptr ? row : y_rows[row]) * y_stride;
    for_row_chunks<1>(length, true, [&](int64_t col, int64_t, auto) { to[col] = from[col]; });
  }
}

template <typename Unit>
void launch_copy(Context& context, const TensorView& x, const int64_t* x_rows, const TensorView& y, const int64_t* y_rows,
                 int64_t count) {
  const int64_t size = size_of(x.dtype);
  constexpr int64_t kUnit = sizeof(Unit);
  const int64_t length = x.dim(1) * size / kUnit;
  const RowGrid grid(context, count, length, 1);
  copy_rows<<<grid.blocks, grid.threads, 0, context.stream()>>>(static_cast<const Unit*>(x.data), x.stride(0) * size / kUnit,
                                                                x_rows, static_cast<Unit*>(y.data), y.stride(0) * size / kUnit,
                                                                y_rows, count, length);
  TENFOLD_LAUNCHED();
}

// In the largest units that both tensors' rows are made of.
void copy(Context& context, const TensorView& x, const int64_t* x_rows, const TensorView& y, const int64_t* y_rows,
          int64_t count) {
  const int64_t size = size_of(x.dtype);
  const uint64_t all = reinterpret_cast<uintptr_t>(x.data) | reinterpret_cast<uintptr_t>(y.data) |
                       static_cast<uint64_t>(x.stride(0) * size) | static_cast<uint64_t>(y.stride(0) * size) |
                       static_cast<uint64_t>(x.dim(1) * size);
  if (all % 16 == 0) return launch_copy<uint4>(context, x, x_rows, y, y_rows, count);
  if (all % 4 == 0) return launch_copy<uint32_t>(context, x, x_rows, y, y_rows, count);
  if (all % 2 == 0) return launch_copy<uint16_t>(context, x, x_rows, y, y_rows, count);
  launch_copy<uint8_t>(context, x, x_rows, y, y_rows, count);
}

struct Mask {
  uint64_t key = 0;
  uint64_t stream = 0;
  uint32_t threshold = 0;  // a smaller word drops its element
  float scale = 1;
};

template <typename X, typename Y>
__global__ void dropout_rows(const X* x, int64_t x_stride, const int64_t* token_index, Mask mask, Y* y, int64_t y_stride,
                             int64_t count, int64_t length, bool vectors) {
  constexpr int N = kChunk<X, Y>;
  for (int64_t row = blockIdx.y; row < count; row += gridDim.y) {
    const uint64_t row_key = mixed(mask.stream, static_cast<uint64_t>(token_index[row]));
    for_row_chunks<N>(length, vectors, [&](int64_t col, int64_t left, auto whole) {
      const auto in = load<N>(x + row * x_stride + col, left, whole);
      Chunk<Y, N> out;
#pragma unroll
      for (int i = 0; i < N; i += 4) {  // a call of Philox for four columns
        const auto words = philox_words(mask.key, row_key, static_cast<uint64_t>((col + i) / 4));
#pragma unroll
        for (int w = 0; w < 4; ++w) out.set(i + w, in[i + w] * (words[w] < mask.threshold ? 0.0F : mask.scale));
      }
      store<N>(y + row * y_stride + col, left, whole, out);
    });
  }
}

struct Candidate {
  float value = -INFINITY;
  int32_t index = INT32_MAX;
};

// As torch orders them: the first NaN is the maximum, and the lowest of equals.
__device__ bool precedes(const Candidate& a, const Candidate& b) {
  const bool a_nan = a.value != a.value;
  const bool b_nan = b.value != b.value;
  if (a_nan != b_nan) return a_nan;
  if (a_nan || a.value == b.value) return a.index < b.index;
  return a.value > b.value;
}

__device__ Candidate best_of_warp(Candidate best) {
  for (int distance = 16; distance > 0; distance /= 2) {
    Candidate other;
    other.value = __shfl_xor_sync(0xffffffffU, best.value, distance);
    other.index = __shfl_xor_sync(0xffffffffU, best.index, distance);
    if (precedes(other, best)) best = other;
  }
  return best;
}

__global__ void argmax_rows(const float* x, int64_t stride, int64_t count, int64_t length, bool vectors, int32_t* out) {
  constexpr int N = kChunk<float>;
  __shared__ Candidate warps[32];
  const unsigned lane = threadIdx.x % 32;
  for (int64_t row = blockIdx.x; row < count; row += gridDim.x) {
    Candidate best;
    for_chunks<N, 4>(int64_t{N} * threadIdx.x, int64_t{N} * blockDim.x, length, vectors,
                     [&](int64_t col, int64_t left, auto whole) {
                       const auto in = load<N>(x + row * stride + col, left, whole);
#pragma unroll
                       for (int i = 0; i < N; ++i) {
                         const Candidate candidate{in[i], static_cast<int32_t>(col + i)};
                         if (i < left && precedes(candidate, best)) best = candidate;
                       }
                     });
    best = best_of_warp(best);
    if (lane == 0) warps[threadIdx.x / 32] = best;
    __syncthreads();
    best = best_of_warp(lane < blockDim.x / 32 ? warps[lane] : Candidate{});
    if (threadIdx.x == 0) out[row] = best.index;
    __syncthreads();
  }
}

}  // namespace

void cast(Exec& exec, const TensorView& x, const TensorView& y) {
  if (x.elements() == 0) return;
  const Context& context = context_of(exec);
  with_float(x.dtype, [&](auto from) {
    with_float(y.dtype, [&](auto to) {
      using X = typename decltype(from)::type;
      using Y = typename decltype(to)::type;
      const RowMap<2> rows(kChunk<X, Y>, {&x, &y});
      const RowGrid grid(context, rows.count, rows.length, kChunk<X, Y>);
      cast_rows<<<grid.blocks, grid.threads, 0, context.stream()>>>(static_cast<const X*>(x.data), static_cast<Y*>(y.data), rows);
    });
  });
  TENFOLD_LAUNCHED();
}

void add(Exec& exec, const TensorView& x, const TensorView& y) {
  if (x.elements() == 0) return;
  const Context& context = context_of(exec);
  with_float(x.dtype, [&](auto from) {
    using X = typename decltype(from)::type;
    const RowMap<2> rows(kChunk<X, float>, {&x, &y});
    const RowGrid grid(context, rows.count, rows.length, kChunk<X, float>);
    add_rows<<<grid.blocks, grid.threads, 0, context.stream()>>>(static_cast<const X*>(x.data), y.ptr<float>(), rows);
  });
  TENFOLD_LAUNCHED();
}

void gather_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y) {
  if (y.elements() == 0) return;
  Context& context = context_of(exec);
  copy(context, x, context.upload(rows), y, nullptr, y.dim(0));
}

void scatter_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y) {
  if (x.elements() == 0) return;
  Context& context = context_of(exec);
  copy(context, x, nullptr, y, context.upload(rows), x.dim(0));
}

void dropout(Exec& exec, const TensorView& x, std::span<const int64_t> token_index, float p, uint64_t seed, uint64_t stream,
             const TensorView& y) {
  if (x.elements() == 0) return;
  Context& context = context_of(exec);
  Mask mask{seed, stream};
  mask.threshold = static_cast<uint32_t>(std::min(std::nearbyint(static_cast<double>(p) * 0x1p32), 0x1p32 - 1));
  mask.scale = static_cast<float>(1.0 / (1.0 - static_cast<double>(p)));
  const int64_t* indices = context.upload(token_index);
  const auto launch = [&](auto from, auto to) {
    using X = typename decltype(from)::type;
    using Y = typename decltype(to)::type;
    constexpr int N = kChunk<X, Y>;
    const RowGrid grid(context, x.dim(0), x.dim(1), N, /*per_thread=*/4);
    dropout_rows<<<grid.blocks, grid.threads, 0, context.stream()>>>(static_cast<const X*>(x.data), x.stride(0), indices, mask,
                                                                     static_cast<Y*>(y.data), y.stride(0), x.dim(0), x.dim(1),
                                                                     takes_vectors(x, N) && takes_vectors(y, N));
  };
  with_float(x.dtype, [&](auto from) { y.dtype == x.dtype ? launch(from, from) : launch(from, Type<float>{}); });
  TENFOLD_LAUNCHED();
}

void argmax(Exec& exec, const TensorView& x, std::span<int32_t> out) {
  if (x.dim(0) == 0) return;
  Context& context = context_of(exec);
  auto* indices = temporary<int32_t>(context, x.dim(0));
  const auto threads = static_cast<unsigned>(std::clamp<int64_t>(round_up(ceil_div(x.dim(1), 4), 32), 32, 1024));
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(x.dim(0), int64_t{16} * context.multiprocessors()));
  argmax_rows<<<blocks, threads, 0, context.stream()>>>(x.ptr<float>(), x.stride(0), x.dim(0), x.dim(1), takes_vectors(x, 4),
                                                        indices);
  TENFOLD_LAUNCHED();
  context.download(out, indices);
}

}  // namespace tenfold::cuda
