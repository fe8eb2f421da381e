#include "ops/cuda/bodies.h"
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

}  // namespace

void rope_table(Exec& exec, std::span<const float> inv_freq, std::span<const int64_t> positions, float attention_factor,
                const TensorView& cos, const TensorView& sin) {
  if (cos.elements() == 0) return;
  Context& context = context_of(exec);
  const float* frequencies = context.upload(inv_freq);
  const int64_t* tokens = context.upload(positions);
  const RowGrid grid(context, cos.dim(0), cos.dim(1), 1);
  table_rows<<<grid.blocks, grid.threads, 0, context.stream()>>>(frequencies, tokens, static_cast<double>(attention_factor),
                                                                 cos.ptr<float>(), cos.stride(0), sin.ptr<float>(), sin.stride(0),
                                                                 cos.dim(0), cos.dim(1));
  TENFOLD_LAUNCHED();
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

}  // namespace tenfold::cuda
