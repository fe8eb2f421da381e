#pragma once

#include "core/tensor.h"
#include "device/exec.h"

namespace tenfold::ops {

/// A LoRA branch beside a frozen weight (N, K): y += scale * (x A^T) B^T. Masters are f32, rounded to the compute dtype in
/// products.
struct LoraView {
  TensorView a;  ///< (R, K) f32
  TensorView b;  ///< (N, R) f32
  float scale = 0.0F;
  bool empty() const { return a.empty(); }
};

struct LinearArgs {
  LoraView lora;        ///< optional
  TensorView lora_in;   ///< input of the LoRA branch where it is not x itself (dropout); (T, K) compute dtype
  TensorView lora_u;    ///< (T, R) compute dtype: x A^T, written by the forward and read by the backward; required with lora
  TensorView bias;      ///< optional (N) f32
  TensorView residual;  ///< optional (T, N), added in f32 before the one rounding to y's dtype; may be y itself
};

/// y = x W^T [+ bias] [+ scale (x A^T) B^T] [+ residual]. x (T, K) compute dtype, w (N, K) frozen in any layout, y (T, N) compute
/// dtype or f32. The weight is expanded to the compute dtype for the product (or dotted as it lies where T is a few tokens);
/// accumulation is f32. On the CPU results do not depend on how a sequence is cut into calls of more than kGemvRows rows, nor on
/// the scratch given; on a GPU cuBLASLt chooses its kernel by the number of rows.
void linear_forward(Exec& exec, const TensorView& x, const WeightView& w, const LinearArgs& args, const TensorView& y);

/// Calls with at most this many rows may use the fused dequantise-and-dot kernels.
inline constexpr int64_t kGemvRows = 4;

struct LinearGrads {
  TensorView d_x;           ///< (T, K) f32 or compute dtype; empty: not wanted
  bool accumulate = false;  ///< d_x += instead of = (f32 only)
  TensorView d_a;           ///< (R, K) f32, +=; empty: not wanted
  TensorView d_b;           ///< (N, R) f32, +=
  TensorView d_lora_in;     ///< (T, K) f32: the gradient of lora_in where that is not x; = ; then d_x lacks the LoRA part
};

/// Gradients of linear_forward: d_x = d_y W + scale (d_y B) A; d_a += scale (d_y B)^T x; d_b += scale d_y^T u. d_y (T, N) is f32
/// or compute dtype and is rounded to the compute dtype for the products. The frozen weight gets none.
void linear_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const WeightView& w, const LinearArgs& args,
                     const LinearGrads& grads);

/// Scratch bytes that either call may take for a weight of this shape with T rows and LoRA rank R (0: none).
int64_t linear_scratch_bytes(const Exec& exec, int64_t tokens, int64_t out_features, int64_t in_features, int64_t rank);

}  // namespace tenfold::ops
