#pragma once

// What the kernels for a few tokens share: their arguments and how a row of the weight is finished.

#include "ops/cuda/dequantize.cuh"
#include "ops/cuda/overlap.cuh"
#include "ops/cuda/vector.cuh"

namespace tenfold::cuda {

constexpr int kGemvTokens = 4;  ///< ops::kGemvRows
constexpr int kGemvParts = 3;   ///< weights of one launch

/// One weight (N, K) of a task: y (T, N) = x W^T + scale u B^T + bias.
struct GemvPart {
  DeviceWeight w;
  const float* b = nullptr;  ///< (N, rank)
  int64_t b_stride = 0;
  int rank = 0;  ///< 0: no LoRA
  float scale = 0.0F;
  const void* u = nullptr;  ///< (tokens, rank), of x's dtype
  int64_t u_stride = 0;
  const float* bias = nullptr;
  void* y = nullptr;
  int64_t y_stride = 0;
};

/// Weights that are multiplied with the same x. Several are of one layout, with the same K and the same tables.
struct GemvTask {
  GemvPart parts[kGemvParts];
  int count = 1;
  /// One token, and the parts are gate and up of one shape: the first part's y = silu(gate) * up, in x's dtype.
  bool gated = false;
  const void* x = nullptr;  ///< (tokens, K), readable in groups of eight at 16-byte addresses: padded with zeros
  int64_t x_stride = 0;
  int tokens = 0;
  const void* residual = nullptr;  ///< (tokens, N), where there is one part
  int64_t residual_stride = 0;
  bool residual_is_f32 = false;
  bool y_is_f32 = false;
};

/// Rows are taken kRows at a time, counted over all parts; of gate and up half as many each.
template <int kRows>
inline int64_t groups_of(const GemvTask& task) {
  if (task.gated) return ceil_div(task.parts[0].w.rows, int64_t{kRows / 2});
  int64_t groups = 0;
  for (int i = 0; i < task.count; ++i) groups += ceil_div(task.parts[i].w.rows, int64_t{kRows});
  return groups;
}

/// Which rows a group has: those of `part` (gate and up: of both) from `first` on.
struct GroupAt {
  int part;
  int64_t first;
};

/// A group after the last is one of the last part, past its rows.
template <int kRows>
__device__ inline GroupAt group_at(const GemvTask& task, int64_t group) {
  if (task.gated) return {0, group * (kRows / 2)};
  int part = 0;
  for (; part + 1 < task.count; ++part) {
    const int64_t groups = (task.parts[part].w.rows + kRows - 1) / kRows;
    if (group < groups) break;
    group -= groups;
  }
  return {part, group * kRows};
}

/// What comes to one row of a weight beside x . w, for one token.
struct RowTerms {
  float branch = 0.0F;
  float bias = 0.0F;
  float residual = 0.0F;
};

/// By kWidth neighbouring lanes of a warp whose other lanes do the same for other rows of the same part, or of gate and up: the
/// terms for the token that is the lane's number.
template <typename X, int kTokens, int kWidth>
__device__ inline RowTerms row_terms(const GemvTask& task, const GemvPart& part, int64_t row, int lane) {
  static_assert(kTokens <= kWidth);
  RowTerms terms;
  if (part.rank > 0) {
    float branch[kTokens] = {};
    const float* b = part.b + min(row, part.w.rows - 1) * part.b_stride;
    const X* u = static_cast<const X*>(part.u);
    for (int k = lane; k < part.rank; k += kWidth) {
      const float value = b[k] * part.scale;
#pragma unroll
      for (int t = 0; t < kTokens; ++t)
        if (t < task.tokens) branch[t] += value * widen(u[t * part.u_stride + k]);
    }
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
#pragma unroll
      for (int distance = kWidth / 2; distance > 0; distance /= 2) branch[t] += __shfl_xor_sync(0xffffffffU, branch[t], distance);
      if (lane == t) terms.branch = branch[t];
    }
  }
  if (row >= part.w.rows || lane >= task.tokens) return terms;
  if (part.bias != nullptr) terms.bias = part.bias[row];
  if (task.residual != nullptr) {
    const int64_t at = lane * task.residual_stride + row;
    terms.residual =
        task.residual_is_f32 ? static_cast<const float*>(task.residual)[at] : widen(static_cast<const Bf16*>(task.residual)[at]);
  }
  return terms;
}

/// y of a row and a token from `sum`, x . w.
__device__ inline float with_terms(const GemvTask& task, const GemvPart& part, const RowTerms& terms, float sum) {
  if (part.rank > 0) sum += terms.branch;
  if (part.bias != nullptr) sum += terms.bias;
  if (task.residual != nullptr) sum += terms.residual;
  return sum;
}

/// Both: the end of one row.
template <typename X, int kTokens, int kWidth>
__device__ inline float finished_row(const GemvTask& task, const GemvPart& part, int64_t row, int lane, float sum) {
  return with_terms(task, part, row_terms<X, kTokens, kWidth>(task, part, row, lane), sum);
}

__device__ inline void put_row(const GemvTask& task, const GemvPart& part, int64_t row, int token, float value) {
  if (row >= part.w.rows || token >= task.tokens) return;
  const int64_t at = token * part.y_stride + row;
  if (task.y_is_f32)
    static_cast<float*>(part.y)[at] = value;
  else
    static_cast<Bf16*>(part.y)[at] = narrow<Bf16>(value);
}

/// An NF4 task whose rows are whole blocks, and x in bf16: see gemv_nf4.cu.
bool takes_nf4(const GemvTask& task, DType x);
void gemv_nf4(Context& context, const GemvTask& task);

}  // namespace tenfold::cuda
