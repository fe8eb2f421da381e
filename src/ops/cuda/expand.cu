#include "ops/cuda/expand.h"

#include "core/checked.h"
#include "device/cuda/context.h"
#include "ops/cuda/bodies.h"
#include "ops/cuda/dequantize.cuh"

namespace tenfold::cuda {
namespace {

// A block of threads takes kTileRows rows of kTileCols columns: a thread eight columns of four rows, so that its loads overlap
// and neighbouring threads write neighbouring 16 bytes.
constexpr int kGroups = 64;
constexpr int kRowLanes = 4;
constexpr int kRowsPerThread = 4;
constexpr int kTileRows = kRowLanes * kRowsPerThread;
constexpr int kTileCols = kGroups * 8;

dim3 tiles_of(int64_t rows, int64_t cols) {
  const int64_t down = ceil_div(rows, int64_t{kTileRows});
  const int64_t across = ceil_div(cols, int64_t{kTileCols});
  TENFOLD_CHECK(across <= 65535 && down <= INT32_MAX, "{} rows of {}", rows, cols);
  return {static_cast<unsigned>(down), static_cast<unsigned>(across)};
}

dim3 threads_of() { return {kGroups, kRowLanes}; }

__device__ inline void store(float* to, float v) { *to = v; }
__device__ inline void store(__nv_bfloat16* to, float v) { *to = __float2bfloat16_rn(v); }

/// One store of 16 bytes: assigning a vector type may become four.
__device__ inline void store_16(void* to, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  asm("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}

__device__ inline uint32_t bf16_pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

__device__ inline void store8(float* to, const float (&v)[8]) {
#pragma unroll
  for (int j = 0; j < 8; j += 4)
    store_16(to + j, __float_as_uint(v[j]), __float_as_uint(v[j + 1]), __float_as_uint(v[j + 2]), __float_as_uint(v[j + 3]));
}
__device__ inline void store8(__nv_bfloat16* to, const float (&v)[8]) {
  store_16(to, bf16_pair(v[0], v[1]), bf16_pair(v[2], v[3]), bf16_pair(v[4], v[5]), bf16_pair(v[6], v[7]));
}

/// `count` (at most 8) values at `to`.
template <typename T>
__device__ inline void store_group(T* to, const float (&v)[8], int count) {
  if (count == 8 && reinterpret_cast<uintptr_t>(to) % 16 == 0) return store8(to, v);
#pragma unroll
  for (int j = 0; j < 8; ++j)
    if (j < count) store(to + j, v[j]);
}

/// Eight values from (row, col) of which `count` exist; the rest is zero.
template <WeightLayout L>
__device__ inline void take(const DeviceWeight& w, int64_t row, int64_t col, int count, float (&v)[8]) {
#pragma unroll
  for (int j = 0; j < 8; ++j) v[j] = j < count ? decode_element<L>(w, row, col + j) : 0.0F;
}

template <WeightLayout L, typename T>
__global__ void __launch_bounds__(kGroups* kRowLanes)
    expand_kernel(DeviceWeight w, int64_t row, int64_t col, T* out, int64_t stride, int64_t rows, int64_t cols) {
  __shared__ float code[16];
  if constexpr (L == WeightLayout::kNF4) {
    if (threadIdx.y == 0 && threadIdx.x < 16) code[threadIdx.x] = w.nf4.code[threadIdx.x];
    __syncthreads();
    w.nf4.code = code;
  }
  const int64_t at = static_cast<int64_t>(blockIdx.y) * kTileCols + threadIdx.x * 8;
  if (at >= cols) return;
  const int count = static_cast<int>(min(cols - at, int64_t{8}));
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTileRows + threadIdx.y;
  if constexpr (is_dense(L) || L == WeightLayout::kNF4) {
    if (!w.groups || count < 8) {
      for (int64_t r = first; r < min(rows, first + kTileRows); r += kRowLanes) {
        float v[8];
        take<L>(w, row + r, col + at, count, v);
        store_group(out + r * stride + at, v, count);
      }
      return;
    }
  }
  Raw8 raw[kRowsPerThread];
#pragma unroll
  for (int i = 0; i < kRowsPerThread; ++i)
    raw[i] = load_raw8<L>(w, row_at(w, row + min(first + i * kRowLanes, rows - 1)), col + at);
#pragma unroll
  for (int i = 0; i < kRowsPerThread; ++i) {
    const int64_t r = first + i * kRowLanes;
    float v[8];
    multiply_out<L>(decode_raw8<L>(w, raw[i], col + at), v);
    if (r < rows) store_group(out + r * stride + at, v, 8);
  }
}

template <WeightLayout L, typename T>
__global__ void __launch_bounds__(kGroups* kRowLanes)
    copy_padded_kernel(DeviceWeight from, float scale, T* to, int64_t stride, int64_t rows, int64_t cols) {
  const int64_t at = static_cast<int64_t>(blockIdx.y) * kTileCols + threadIdx.x * 8;
  if (at >= cols) return;
  const int count = static_cast<int>(min(cols - at, int64_t{8}));
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTileRows + threadIdx.y;
  const bool whole = from.groups && at < from.cols && first + kTileRows - kRowLanes < from.rows;
  Raw8 raw[kRowsPerThread];
  if (whole) {
#pragma unroll
    for (int i = 0; i < kRowsPerThread; ++i) raw[i] = load_raw8<L>(from, row_at(from, first + i * kRowLanes), at);
  }
  const auto left = static_cast<int>(max(int64_t{0}, min(from.cols - at, int64_t{8})));
#pragma unroll
  for (int i = 0; i < kRowsPerThread; ++i) {
    const int64_t r = first + i * kRowLanes;
    float v[8];
    if (whole)
      multiply_out<L>(decode_raw8<L>(from, raw[i], at), v);
    else
      take<L>(from, r, at, r < from.rows ? left : 0, v);
#pragma unroll
    for (int j = 0; j < 8; ++j) v[j] = __fmul_rn(v[j], scale);
    if (r < rows) store_group(to + r * stride + at, v, count);
  }
}

/// The j-th of the values whose sum is `bias`.
template <typename T>
__device__ inline float bias_part(float bias, int j) {
  if constexpr (std::is_same_v<T, float>) {
    return j == 0 ? bias : 0.0F;
  } else {
    for (int i = 0; i < j; ++i) bias -= __bfloat162float(__float2bfloat16_rn(bias));
    return j < 3 ? bias : 0.0F;
  }
}

/// A thread a row; `bias` null: ones.
template <typename T>
__global__ void bias_columns_kernel(const float* bias, T* to, int64_t stride, int64_t rows) {
  const int64_t r = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (r >= rows) return;
  constexpr int kParts = std::is_same_v<T, float> ? 1 : 3;
  for (int j = 0; j < kBiasColumns; ++j) {
    const float one = j < kParts ? 1.0F : 0.0F;
    store(to + r * stride + j, bias == nullptr ? one : bias_part<T>(bias[r], j));
  }
}

/// Calls f with a typed pointer to t's first element.
template <typename F>
void with_elements(const TensorView& t, F&& f) {
  if (t.dtype == DType::kF32) return f(t.ptr<float>());
  f(reinterpret_cast<__nv_bfloat16*>(t.ptr<bf16>()));
}

void launch_bias_columns(Exec& exec, const float* bias, const TensorView& to) {
  TENFOLD_CHECK(to.dim(1) == kBiasColumns, "{}: {}", to.name, shape_text(to));
  const int64_t rows = to.dim(0);
  if (rows == 0) return;
  with_elements(to, [&](auto* out) {
    bias_columns_kernel<<<static_cast<unsigned>(ceil_div(rows, 256)), 256, 0, context_of(exec).stream()>>>(bias, out,
                                                                                                           to.stride(0), rows);
  });
  TENFOLD_LAUNCHED();
}

}  // namespace

void expand_block(Exec& exec, const WeightView& weight, int64_t row, int64_t col, const TensorView& out) {
  TENFOLD_CHECK(col % 256 == 0 && (is_dense(weight.layout) || weight.layout == WeightLayout::kNF4 || out.dim(1) % 8 == 0) &&
                    row + out.dim(0) <= weight.rows && col + out.dim(1) <= weight.cols,
                "{}: {} from row {}, column {} of [{}, {}]", weight.name, shape_text(out), row, col, weight.rows, weight.cols);
  const int64_t rows = out.dim(0);
  const int64_t cols = out.dim(1);
  if (rows == 0 || cols == 0) return;
  const DeviceWeight w = device_weight(weight);
  with_layout(weight.layout, [&](auto layout) {
    with_elements(out, [&](auto* to) {
      expand_kernel<decltype(layout)::value>
          <<<tiles_of(rows, cols), threads_of(), 0, context_of(exec).stream()>>>(w, row, col, to, out.stride(0), rows, cols);
    });
  });
  TENFOLD_LAUNCHED();
}

void expand_rows(Exec& exec, const WeightView& weight, int64_t row, const TensorView& out) {
  const PartTimer timer(exec, Part::kExpansion, 0.0);
  expand_block(exec, weight, row, 0, out);
}

void copy_padded(Exec& exec, const TensorView& from, float scale, const TensorView& to) {
  const int64_t rows = to.dim(0);
  const int64_t cols = to.dim(1);
  if (rows == 0 || cols == 0) return;
  const DeviceWeight source = device_weight(from);
  with_elements(to, [&](auto* out) {
    const auto launch = [&](auto layout) {
      copy_padded_kernel<decltype(layout)::value>
          <<<tiles_of(rows, cols), threads_of(), 0, context_of(exec).stream()>>>(source, scale, out, to.stride(0), rows, cols);
    };
    if (source.layout == WeightLayout::kF32)
      launch(LayoutConstant<WeightLayout::kF32>());
    else
      launch(LayoutConstant<WeightLayout::kBF16>());
  });
  TENFOLD_LAUNCHED();
}

void bias_columns(Exec& exec, const TensorView& bias, const TensorView& to) { launch_bias_columns(exec, bias.ptr<float>(), to); }

void one_columns(Exec& exec, const TensorView& to) { launch_bias_columns(exec, nullptr, to); }

}  // namespace tenfold::cuda
