#include "ops/cuda/bodies.h"
#include "ops/cuda/device_rows.h"
#include "ops/cuda/overlap.cuh"
#include "ops/cuda/vector.cuh"

namespace tenfold::cuda {
namespace {

// One angle a thread, in f64 like the CPU's.
__global__ void table_rows(const float* inv_freq, const int64_t* positions, double factor, float* cos, int64_t cos_stride,
                           float* sin, int64_t sin_stride, int64_t count, int64_t half) {
  for (int64_t t = blockIdx.y; t < count; t += gridDim.y) {
    const auto position = static_cast<double>(positions[t]);
    for_row_chunks<1>(half, true, [&](int64_t i, int64_t, auto) {
      double s = 0;
      double c = 0;
      sincos(position * static_cast<double>(inv_freq[i]), &s, &c);
      cos[t * cos_stride + i] = static_cast<float>(c * factor);
      sin[t * sin_stride + i] = static_cast<float>(s * factor);
    });
  }
}

struct Heads {
  int64_t tokens = 0;
  int64_t token_stride = 0;
  int64_t head_stride = 0;
  int heads = 0;
  int half = 0;  // of a head
  bool vectors = false;
};

// A chunk of one head: elements of the lower half with those of the upper. Products and sums are rounded one by one, so that the
// bits are the CPU's.
template <int N, typename T, typename Extent>
__device__ void turn(T* low, T* high, const float* cos, const float* sin, float sign, int64_t left, Extent whole) {
  const auto a = load<N>(low, left, whole);
  const auto b = load<N>(high, left, whole);
  const auto c = load<N>(cos, left, whole);
  const auto s = load<N>(sin, left, whole);
  Chunk<T, N> low_out;
  Chunk<T, N> high_out;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const float turned = s[i] * sign;
    low_out.set(i, __fsub_rn(__fmul_rn(a[i], c[i]), __fmul_rn(b[i], turned)));
    high_out.set(i, __fadd_rn(__fmul_rn(b[i], c[i]), __fmul_rn(a[i], turned)));
  }
  store<N>(low, left, whole, low_out);
  store<N>(high, left, whole, high_out);
}

template <typename T>
__global__ void apply_rows(T* x, Heads shape, const float* cos, int64_t cos_stride, const float* sin, int64_t sin_stride,
                           float sign) {
  constexpr int N = kChunk<T>;
  const int chunks = (shape.half + N - 1) / N;
  const int items = shape.heads * chunks;
  for (int64_t t = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y; t < shape.tokens;
       t += static_cast<int64_t>(gridDim.x) * blockDim.y) {
    for (int item = static_cast<int>(threadIdx.x); item < items; item += static_cast<int>(blockDim.x)) {
      const int head = item / chunks;
      const int col = (item - head * chunks) * N;
      T* low = x + t * shape.token_stride + head * shape.head_stride + col;
      const float* cosines = cos + t * cos_stride + col;
      const float* sines = sin + t * sin_stride + col;
      if (shape.vectors) {
        turn<N>(low, low + shape.half, cosines, sines, sign, N, WholeChunk{});
      } else {
        turn<N>(low, low + shape.half, cosines, sines, sign, shape.half - col, PartChunk{});
      }
    }
  }
}

/// Of one token the heads of q, k and v, a block each: q turned in place, k and v into its row of the cache.
template <typename T>
struct TokenHeads {
  T* q;
  const T* k;
  const T* v;
  const float* cos;
  const float* sin;
  const ops::DecodePlace* place;
  T* keys;
  T* values;
  int64_t key_row, key_head, value_row, value_head;  ///< strides
  int heads, kv_heads;
  int half;  ///< of a head
};

template <typename T>
__global__ void turn_token(const TokenHeads<T> t) {
  let_next_begin();
  wait_for_previous();
  const int64_t position = __ldcg(&t.place->position);
  const int block = static_cast<int>(blockIdx.x);
  const bool query = block < t.heads;
  const int kv_head = (block - t.heads) % t.kv_heads;
  if (block >= t.heads + t.kv_heads) {
    const T* from = t.v + int64_t{2} * t.half * kv_head;
    T* to = t.values + position * t.value_row + kv_head * t.value_head;
    for (int i = static_cast<int>(threadIdx.x); i < 2 * t.half; i += static_cast<int>(blockDim.x)) to[i] = from[i];
    return;
  }
  const T* from = query ? t.q + int64_t{2} * t.half * block : t.k + int64_t{2} * t.half * kv_head;
  T* to = query ? t.q + int64_t{2} * t.half * block : t.keys + position * t.key_row + kv_head * t.key_head;
  for (int i = static_cast<int>(threadIdx.x); i < t.half; i += static_cast<int>(blockDim.x)) {
    const float a = widen(from[i]);
    const float b = widen(from[i + t.half]);
    to[i] = narrow<T>(__fsub_rn(__fmul_rn(a, t.cos[i]), __fmul_rn(b, t.sin[i])));
    to[i + t.half] = narrow<T>(__fadd_rn(__fmul_rn(b, t.cos[i]), __fmul_rn(a, t.sin[i])));
  }
}

}  // namespace

void rope_table_of(const Context& context, const float* inv_freq, const int64_t* positions, float attention_factor,
                   const TensorView& cos, const TensorView& sin) {
  const RowGrid grid(context, cos.dim(0), cos.dim(1), 1);
  table_rows<<<grid.blocks, grid.threads, 0, context.stream()>>>(inv_freq, positions, static_cast<double>(attention_factor),
                                                                 cos.ptr<float>(), cos.stride(0), sin.ptr<float>(), sin.stride(0),
                                                                 cos.dim(0), cos.dim(1));
  TENFOLD_LAUNCHED();
}

void rope_table(Exec& exec, std::span<const float> inv_freq, std::span<const int64_t> positions, float attention_factor,
                const TensorView& cos, const TensorView& sin) {
  if (cos.elements() == 0) return;
  Context& context = context_of(exec);
  const float* frequencies = context.upload(inv_freq);
  rope_table_of(context, frequencies, context.upload(positions), attention_factor, cos, sin);
}

void rope_apply(Exec& exec, const TensorView& x, const TensorView& cos, const TensorView& sin, bool inverse) {
  if (x.elements() == 0) return;
  const Context& context = context_of(exec);
  with_float(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int N = kChunk<T>;
    Heads shape;
    shape.tokens = x.dim(0);
    shape.token_stride = x.stride(0);
    shape.head_stride = x.stride(1);
    shape.heads = static_cast<int>(x.dim(1));
    shape.half = static_cast<int>(x.dim(2) / 2);
    shape.vectors = shape.half % N == 0 && takes_vectors(x, N) && takes_vectors(cos, N) && takes_vectors(sin, N);
    const dim3 threads(64, 4);  // 64 chunks of four tokens
    const int64_t limit = int64_t{32} * context.multiprocessors();
    const auto blocks = static_cast<unsigned>(std::min<int64_t>(ceil_div(shape.tokens, threads.y), limit));
    apply_rows<<<blocks, threads, 0, context.stream()>>>(static_cast<T*>(x.data), shape, cos.ptr<float>(), cos.stride(0),
                                                         sin.ptr<float>(), sin.stride(0), inverse ? -1.0F : 1.0F);
  });
  TENFOLD_LAUNCHED();
}

void decode_rope(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& k, const TensorView& v,
                 const TensorView& cos, const TensorView& sin, const TensorView& keys, const TensorView& values) {
  const Context& context = context_of(exec);
  with_float(q.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    TokenHeads<T> t;
    t.q = static_cast<T*>(q.data);
    t.k = static_cast<const T*>(k.data);
    t.v = static_cast<const T*>(v.data);
    t.cos = cos.ptr<float>();
    t.sin = sin.ptr<float>();
    t.place = static_cast<const ops::DecodePlace*>(place.data);
    t.keys = static_cast<T*>(keys.data);
    t.values = static_cast<T*>(values.data);
    t.key_row = keys.stride(0);
    t.key_head = keys.stride(1);
    t.value_row = values.stride(0);
    t.value_head = values.stride(1);
    t.heads = static_cast<int>(q.dim(1));
    t.kv_heads = static_cast<int>(k.dim(1));
    t.half = static_cast<int>(q.dim(2) / 2);
    launch_overlapped(context, turn_token<T>, dim3(static_cast<unsigned>(t.heads + 2 * t.kv_heads)), 64, t);
  });
}

}  // namespace tenfold::cuda
