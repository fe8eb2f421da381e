#include "ops/cuda/bodies.h"
#include "ops/cuda/vector.cuh"

#include <cmath>

namespace tenfold::cuda {
namespace {

struct AdamWArrays {
  float* parameter;
  const float* gradient;
  float* m;
  float* v;
};

// torch's order of operations, each rounded by itself (nothing fused), so that trajectories are the CPU's bit for bit. m and v
// may lie in host memory: each is read and written once.
template <int N, typename Whole>
__device__ void adamw_chunk(const ops::AdamWCoefficients& k, const AdamWArrays& a, int64_t at, int64_t left, Whole whole) {
  const auto grads = load<N>(a.gradient + at, left, whole);
  auto ms = load<N>(a.m + at, left, whole);
  auto vs = load<N>(a.v + at, left, whole);
  auto ps = load<N>(a.parameter + at, left, whole);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const float g = __fmul_rn(grads[i], k.gradient_scale);
    const float m_next = __fadd_rn(ms[i], __fmul_rn(k.one_minus_beta1, __fsub_rn(g, ms[i])));
    const float v_next = __fadd_rn(__fmul_rn(vs[i], k.beta2), __fmul_rn(k.one_minus_beta2, __fmul_rn(g, g)));
    ms.set(i, m_next);
    vs.set(i, v_next);
    // Most rows of an embedding meet no token: there is no division for them, whose slow path zeros would take.
    float change = 0;
    if (m_next != 0 || v_next != 0) {
      const float denominator = __fadd_rn(__fdiv_rn(__fsqrt_rn(v_next), k.correction2), k.eps);
      change = __fdiv_rn(__fmul_rn(k.step_size, m_next), denominator);
    }
    ps.set(i, __fsub_rn(__fmul_rn(ps[i], k.decay), change));
  }
  store<N>(a.m + at, left, whole, ms);
  store<N>(a.v + at, left, whole, vs);
  store<N>(a.parameter + at, left, whole, ps);
}

__global__ void adamw_elements(ops::AdamWCoefficients k, AdamWArrays a, int64_t n, bool vectors) {
  constexpr int N = kChunk<float>;
  for_row_chunks<N>(n, vectors, [&](int64_t at, int64_t left, auto whole) { adamw_chunk<N>(k, a, at, left, whole); });
}

constexpr int kRowThreads = 256;

// A block a listed row.
__global__ void adamw_rows(ops::AdamWCoefficients k, AdamWArrays a, const int32_t* rows, int64_t cols, bool vectors) {
  constexpr int N = kChunk<float>;
  const int64_t first = rows[blockIdx.x] * cols;
  const AdamWArrays row{a.parameter + first, a.gradient + first, a.m + first, a.v + first};
  for_chunks<N, 1>(int64_t{N} * threadIdx.x, int64_t{N} * kRowThreads, cols, vectors,
                   [&](int64_t at, int64_t left, auto whole) { adamw_chunk<N>(k, row, at, left, whole); });
}

AdamWArrays arrays_of(const TensorView& parameter, const TensorView& gradient, const TensorView& m, const TensorView& v) {
  return {parameter.ptr<float>(), gradient.ptr<float>(), m.ptr<float>(), v.ptr<float>()};
}

bool aligned(const AdamWArrays& a) {
  bool all = true;
  for (const float* p :
       {static_cast<const float*>(a.parameter), a.gradient, static_cast<const float*>(a.m), static_cast<const float*>(a.v)})
    all = all && reinterpret_cast<uintptr_t>(p) % 16 == 0;
  return all;
}

// The cuts of a sum depend on n alone.
constexpr int64_t kMaxParts = 4096;
constexpr int kSumThreads = 256;

// sums[block] of `run` consecutive elements, a multiple of every chunk.
template <typename X>
__global__ void squares_of_runs(const X* x, int64_t n, int64_t run, bool vectors, double* sums) {
  constexpr int N = kChunk<X>;
  const int64_t begin = blockIdx.x * run;
  const int64_t end = begin + run < n ? begin + run : n;
  double sum[1] = {0};
  for_chunks<N, 4>(begin + int64_t{N} * threadIdx.x, int64_t{N} * kSumThreads, end, vectors,
                   [&](int64_t at, int64_t left, auto whole) {
                     const auto in = load<N>(x + at, left, whole);
#pragma unroll
                     for (int i = 0; i < N; ++i) {
                       const double value = in[i];
                       sum[0] = fma(value, value, sum[0]);
                     }
                   });
  block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum[0];
}

}  // namespace

void adamw_step(Exec& exec, const ops::AdamWArgs& args, const TensorView& parameter, const TensorView& gradient,
                const TensorView& m, const TensorView& v) {
  constexpr int N = kChunk<float>;
  const int64_t n = parameter.elements();
  if (n == 0) return;
  const Context& context = context_of(exec);
  const AdamWArrays arrays = arrays_of(parameter, gradient, m, v);
  const RowGrid grid(context, 1, n, N);
  adamw_elements<<<grid.blocks, grid.threads, 0, context.stream()>>>(ops::adamw_coefficients(args), arrays, n, aligned(arrays));
  TENFOLD_LAUNCHED();
}

void adamw_step_rows(Exec& exec, const ops::AdamWArgs& args, std::span<const int32_t> rows, const TensorView& parameter,
                     const TensorView& gradient, const TensorView& m, const TensorView& v) {
  constexpr int N = kChunk<float>;
  if (rows.empty() || parameter.elements() == 0) return;
  Context& context = context_of(exec);
  const AdamWArrays arrays = arrays_of(parameter, gradient, m, v);
  const int64_t cols = parameter.dim(1);
  const int32_t* listed = context.upload(rows);
  adamw_rows<<<static_cast<unsigned>(rows.size()), kRowThreads, 0, context.stream()>>>(
      ops::adamw_coefficients(args), arrays, listed, cols, aligned(arrays) && cols % N == 0);
  TENFOLD_LAUNCHED();
}

double sum_of_squares(Exec& exec, const TensorView& x) {
  const int64_t n = x.elements();
  if (n == 0) return 0;
  Context& context = context_of(exec);
  const int64_t run = std::max<int64_t>(8192, round_up(ceil_div(n, kMaxParts), 64));
  const int64_t parts = ceil_div(n, run);
  auto* sums = temporary<double>(context, parts);
  const bool vectors = reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
  with_float(x.dtype, [&](auto type) {
    using X = typename decltype(type)::type;
    squares_of_runs<<<static_cast<unsigned>(parts), kSumThreads, 0, context.stream()>>>(static_cast<const X*>(x.data), n, run,
                                                                                        vectors, sums);
  });
  TENFOLD_LAUNCHED();
  std::array<double, kMaxParts> host{};
  context.download(std::span(host).first(static_cast<size_t>(parts)), sums);
  double total = 0;
  for (int64_t i = 0; i < parts; ++i) total += host[static_cast<size_t>(i)];
  return total;
}

}  // namespace tenfold::cuda
