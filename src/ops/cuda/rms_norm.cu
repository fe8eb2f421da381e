#include "ops/cuda/bodies.h"
#include "ops/cuda/overlap.cuh"
#include "ops/cuda/vector.cuh"

namespace tenfold::cuda {
namespace {

__device__ float inverse_root(float squares, float eps, int64_t n) { return 1.0F / sqrtf(squares / static_cast<float>(n) + eps); }

// A block a token. The second pass finds the row in L1.
template <typename X, typename Y>
__global__ void forward_rows(const X* x, int64_t x_stride, const float* weight, float eps, Y* y, int64_t y_stride, int64_t tokens,
                             int64_t d, bool vectors) {
  let_next_begin();
  if (blockIdx.x == 0) prefetch_to_l2(weight, d * int64_t{sizeof(float)});
  wait_for_previous();
  constexpr int N = kChunk<X, Y>;
  const int64_t first = int64_t{N} * threadIdx.x;
  const int64_t step = int64_t{N} * blockDim.x;
  for (int64_t t = blockIdx.x; t < tokens; t += gridDim.x) {
    const X* from = x + t * x_stride;
    Y* to = y + t * y_stride;
    float sum[1] = {0};
    for_chunks<N, 2>(first, step, d, vectors, [&](int64_t col, int64_t left, auto whole) {
      const auto in = load<N>(from + col, left, whole);
#pragma unroll
      for (int i = 0; i < N; ++i) sum[0] = fmaf(in[i], in[i], sum[0]);
    });
    block_sum(sum);
    const float r = inverse_root(sum[0], eps, d);
    for_chunks<N>(first, step, d, vectors, [&](int64_t col, int64_t left, auto whole) {
      const auto in = load<N>(from + col, left, whole);
      const auto w = load<N>(weight + col, left, whole);
      Chunk<Y, N> out;
#pragma unroll
      for (int i = 0; i < N; ++i) out.set(i, in[i] * r * w[i]);
      store<N>(to + col, left, whole, out);
    });
  }
}

// d_x += r (d_y w - x r mean(d_y w x r)), r the inverse root, which also goes to `inverse` (T) when that is wanted.
template <typename D, typename X>
__global__ void backward_rows(const D* d_y, int64_t d_y_stride, const X* x, int64_t x_stride, const float* weight, float eps,
                              float* d_x, int64_t d_x_stride, int64_t tokens, int64_t d, bool vectors, float* inverse) {
  constexpr int N = kChunk<D, X, float>;
  const int64_t first = int64_t{N} * threadIdx.x;
  const int64_t step = int64_t{N} * blockDim.x;
  for (int64_t t = blockIdx.x; t < tokens; t += gridDim.x) {
    const D* grad = d_y + t * d_y_stride;
    const X* from = x + t * x_stride;
    float* to = d_x + t * d_x_stride;
    // What the second pass will add to, a sector a thread.
    for (int64_t col = 8 * threadIdx.x; col < d; col += 8 * blockDim.x) asm volatile("prefetch.global.L2 [%0];" ::"l"(to + col));
    float sums[2] = {0, 0};  // of x x and of d_y w x
    for_chunks<N, 4>(first, step, d, vectors, [&](int64_t col, int64_t left, auto whole) {
      const auto g = load<N>(grad + col, left, whole);
      const auto in = load<N>(from + col, left, whole);
      const auto w = load<N>(weight + col, left, whole);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        sums[0] = fmaf(in[i], in[i], sums[0]);
        sums[1] = fmaf(g[i] * w[i], in[i], sums[1]);
      }
    });
    block_sum(sums);
    const float r = inverse_root(sums[0], eps, d);
    const float mean = sums[1] * r / static_cast<float>(d);
    if (inverse != nullptr && threadIdx.x == 0) inverse[t] = r;
    for_chunks<N>(first, step, d, vectors, [&](int64_t col, int64_t left, auto whole) {
      const auto g = load<N>(grad + col, left, whole);
      const auto in = load<N>(from + col, left, whole);
      const auto w = load<N>(weight + col, left, whole);
      auto out = load<N>(to + col, left, whole);
#pragma unroll
      for (int i = 0; i < N; ++i) out.element[i] = fmaf(r, fmaf(g[i], w[i], -(in[i] * r * mean)), out.element[i]);
      store<N>(to + col, left, whole, out);
    });
  }
}

// partials[part] (D) = the sum of d_y x r over the part's tokens, in their order.
template <typename D, typename X>
__global__ void weight_partials(const D* d_y, int64_t d_y_stride, const X* x, int64_t x_stride, const float* inverse,
                                int64_t tokens, int64_t tokens_of_part, int64_t d, bool vectors, float* partials) {
  constexpr int N = kChunk<D, X>;
  const int64_t begin = blockIdx.y * tokens_of_part;
  const int64_t end = begin + tokens_of_part < tokens ? begin + tokens_of_part : tokens;
  for_row_chunks<N>(d, vectors, [&](int64_t col, int64_t left, auto whole) {
    float sum[N] = {};
#pragma unroll 4
    for (int64_t t = begin; t < end; ++t) {
      const auto g = load<N>(d_y + t * d_y_stride + col, left, whole);
      const auto in = load<N>(x + t * x_stride + col, left, whole);
      const float r = inverse[t];
#pragma unroll
      for (int i = 0; i < N; ++i) sum[i] = fmaf(g[i], in[i] * r, sum[i]);
    }
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (i < left) partials[blockIdx.y * d + col + i] = sum[i];
  });
}

__global__ void add_partials(const float* partials, int64_t parts, int64_t d, float* d_weight) {
  for_row_chunks<1>(d, true, [&](int64_t col, int64_t, auto) {
    float sum = 0;
#pragma unroll 8
    for (int64_t part = 0; part < parts; ++part) sum += partials[part * d + col];
    d_weight[col] += sum;
  });
}

struct RowBlocks {
  unsigned blocks = 1;
  unsigned threads = 32;
};

// A block a token, of as many threads as leave each two chunks of a model's row.
RowBlocks row_blocks(const Context& context, int64_t tokens, int64_t d, int chunk) {
  RowBlocks out;
  out.threads = static_cast<unsigned>(std::clamp<int64_t>(round_up(ceil_div(d, 2 * chunk), 32), 32, 256));
  out.blocks = static_cast<unsigned>(std::min<int64_t>(tokens, int64_t{8} * context.multiprocessors() * (2048 / out.threads)));
  return out;
}

// Both cuts depend on the number of tokens alone.
template <typename D, typename X>
void weight_gradient(const Context& context, const TensorView& d_y, const TensorView& x, const float* inverse,
                     const TensorView& d_weight) {
  constexpr int64_t kMaxParts = 256;
  constexpr int N = kChunk<D, X>;
  const int64_t tokens = x.dim(0);
  const int64_t d = x.dim(1);
  const int64_t tokens_of_part = std::max<int64_t>(64, ceil_div(tokens, kMaxParts));
  const int64_t parts = ceil_div(tokens, tokens_of_part);
  auto* partials = temporary<float>(context, parts * d, round_up(tokens * int64_t{sizeof(float)}, 256));
  constexpr int kThreads = 128;
  const dim3 blocks(static_cast<unsigned>(ceil_div(d, kThreads * N)), static_cast<unsigned>(parts));
  weight_partials<<<blocks, kThreads, 0, context.stream()>>>(
      static_cast<const D*>(d_y.data), d_y.stride(0), static_cast<const X*>(x.data), x.stride(0), inverse, tokens, tokens_of_part,
      d, takes_vectors(d_y, N) && takes_vectors(x, N), partials);
  TENFOLD_LAUNCHED();
  const RowGrid grid(context, 1, d, 1);
  add_partials<<<grid.blocks, grid.threads, 0, context.stream()>>>(partials, parts, d, d_weight.ptr<float>());
  TENFOLD_LAUNCHED();
}

}  // namespace

void rms_norm_forward(Exec& exec, const TensorView& x, const TensorView& weight, float eps, const TensorView& y) {
  if (x.elements() == 0) return;
  const Context& context = context_of(exec);
  with_float(x.dtype, [&](auto in_type) {
    with_float(y.dtype, [&](auto out_type) {
      using X = typename decltype(in_type)::type;
      using Y = typename decltype(out_type)::type;
      constexpr int N = kChunk<X, Y>;
      const RowBlocks launch = row_blocks(context, x.dim(0), x.dim(1), N);
      const bool vectors = takes_vectors(x, N) && takes_vectors(weight, N) && takes_vectors(y, N);
      launch_overlapped(context, forward_rows<X, Y>, launch.blocks, launch.threads, static_cast<const X*>(x.data), x.stride(0),
                        weight.ptr<float>(), eps, static_cast<Y*>(y.data), y.stride(0), x.dim(0), x.dim(1), vectors);
    });
  });
}

void rms_norm_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const TensorView& weight, float eps,
                       const TensorView& d_x, const TensorView& d_weight) {
  if (x.elements() == 0) return;
  const Context& context = context_of(exec);
  float* inverse = d_weight.empty() ? nullptr : temporary<float>(context, x.dim(0));
  with_float(d_y.dtype, [&](auto grad_type) {
    with_float(x.dtype, [&](auto in_type) {
      using D = typename decltype(grad_type)::type;
      using X = typename decltype(in_type)::type;
      constexpr int N = kChunk<D, X, float>;
      const RowBlocks launch = row_blocks(context, x.dim(0), x.dim(1), N);
      backward_rows<<<launch.blocks, launch.threads, 0, context.stream()>>>(
          static_cast<const D*>(d_y.data), d_y.stride(0), static_cast<const X*>(x.data), x.stride(0), weight.ptr<float>(), eps,
          d_x.ptr<float>(), d_x.stride(0), x.dim(0), x.dim(1),
          takes_vectors(d_y, N) && takes_vectors(x, N) && takes_vectors(weight, N) && takes_vectors(d_x, N), inverse);
      TENFOLD_LAUNCHED();
      if (inverse != nullptr) weight_gradient<D, X>(context, d_y, x, inverse, d_weight);
    });
  });
}

}  // namespace tenfold::cuda
