#include "core/checked.h"
#include "ops/cuda/gemm.h"
#include "ops/cuda/vector.cuh"

namespace tenfold::cuda {
namespace {

constexpr int kTile = 64;   ///< rows and columns of out that a block makes
constexpr int kDepth = 16;  ///< of k at a time
constexpr int kSide = 16;   ///< threads each way; each makes 4 x 4
constexpr int kEach = kTile / kSide;

/// An operand as the kernel reads it: element (i, k) or (k, j) at data[outer * outer_step + k * k_step].
struct Operand {
  const void* data;
  int64_t outer;       ///< rows of a, columns of b
  int64_t outer_step;  ///< in elements
  int64_t k_step;
};

struct Sum {
  const void* add;  ///< null: none
  bool add_is_f32;
  int64_t add_stride;
  int64_t out_stride;
  float alpha;
  float beta;
};

/// A tile of an operand in shared memory, zeros outside; neighbouring threads read along whichever way is contiguous.
template <typename T>
__device__ void load_tile(const Operand& x, int64_t first, int64_t k0, int64_t k, float (&tile)[kDepth][kTile + 1]) {
  const T* data = static_cast<const T*>(x.data);
  const unsigned thread = threadIdx.y * kSide + threadIdx.x;
  for (unsigned i = thread; i < kTile * kDepth; i += kSide * kSide) {
    const unsigned at = x.k_step == 1 ? i / kDepth : i % kTile;
    const unsigned depth = x.k_step == 1 ? i % kDepth : i / kTile;
    const bool inside = first + at < x.outer && k0 + depth < k;
    tile[depth][at] = inside ? widen(data[(first + at) * x.outer_step + (k0 + depth) * x.k_step]) : 0.0F;
  }
}

template <typename T, typename Out>
__global__ void __launch_bounds__(kSide* kSide) plain_kernel(Operand a, Operand b, int64_t k, Sum sum, Out* out) {
  __shared__ float a_tile[kDepth][kTile + 1];
  __shared__ float b_tile[kDepth][kTile + 1];
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t col = static_cast<int64_t>(blockIdx.y) * kTile;
  float total[kEach][kEach] = {};
  for (int64_t k0 = 0; k0 < k; k0 += kDepth) {
    load_tile<T>(a, row, k0, k, a_tile);
    load_tile<T>(b, col, k0, k, b_tile);
    __syncthreads();
#pragma unroll
    for (int depth = 0; depth < kDepth; ++depth)
#pragma unroll
      for (int i = 0; i < kEach; ++i)
#pragma unroll
        for (int j = 0; j < kEach; ++j)
          total[i][j] += a_tile[depth][threadIdx.y + i * kSide] * b_tile[depth][threadIdx.x + j * kSide];
    __syncthreads();
  }
  for (int i = 0; i < kEach; ++i)
    for (int j = 0; j < kEach; ++j) {
      const int64_t r = row + threadIdx.y + i * kSide;
      const int64_t c = col + threadIdx.x + j * kSide;
      if (r >= a.outer || c >= b.outer) continue;
      float value = sum.alpha * total[i][j];
      if (sum.add != nullptr) {
        const int64_t at = r * sum.add_stride + c;
        value +=
            sum.beta * (sum.add_is_f32 ? static_cast<const float*>(sum.add)[at] : widen(static_cast<const Bf16*>(sum.add)[at]));
      }
      out[r * sum.out_stride + c] = narrow<Out>(value);
    }
}

Operand operand(const TensorView& t, bool k_is_first) {
  if (k_is_first) return {t.data, t.dim(1), 1, t.stride(0)};
  return {t.data, t.dim(0), t.stride(0), 1};
}

}  // namespace

void gemm_plain(Context& context, const Product& p) {
  const Operand a = operand(p.a, p.a_transposed);
  const Operand b = operand(p.b, !p.b_transposed);
  const int64_t k = p.a.dim(p.a_transposed ? 0 : 1);
  const Sum sum{p.add.data, p.add.dtype == DType::kF32, p.add.stride(0), p.out.stride(0), p.alpha, p.beta};
  const int64_t across = ceil_div(b.outer, int64_t{kTile});
  TENFOLD_CHECK(across <= 65535, "{}: {} columns", p.out.name, b.outer);
  const dim3 blocks(static_cast<unsigned>(ceil_div(a.outer, int64_t{kTile})), static_cast<unsigned>(across));
  with_float(p.a.dtype, [&](auto in) {
    with_float(p.out.dtype, [&](auto out) {
      using T = typename decltype(in)::type;
      using Out = typename decltype(out)::type;
      plain_kernel<T, Out><<<blocks, dim3(kSide, kSide), 0, context.stream()>>>(a, b, k, sum, static_cast<Out*>(p.out.data));
    });
  });
  TENFOLD_LAUNCHED();
}

}  // namespace tenfold::cuda
