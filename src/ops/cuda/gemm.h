#pragma once

#include "core/tensor.h"
#include "device/cuda/context.h"

namespace tenfold::cuda {

/// out (m, n) = alpha op(a) op(b) + beta add, summed in f32 (no TF32) and rounded once. The operands are both bf16 or both f32,
/// out is f32 or theirs. Rows may be strided, at any alignment; out overlaps neither operand.
struct Product {
  TensorView a;  ///< (m, k), or (k, m) transposed
  TensorView b;  ///< (k, n), or (n, k) transposed: a weight (out, in)
  bool a_transposed = false;
  bool b_transposed = false;
  TensorView out;
  TensorView add;  ///< optional (m, n); may be out itself
  float alpha = 1.0F;
  float beta = 1.0F;
};

/// Enqueues a product. cublasLt chooses a kernel when a combination of shapes, strides and dtypes is met for the first time; the
/// choice is kept, so the same call gives the same bits for as long as the context lives (none of the admitted kernels adds
/// atomically).
void gemm(Context& context, const Product& product);

/// The same by a plain kernel, for what cublasLt refuses: addresses that no vector load can take, `add` of another dtype than
/// out.
void gemm_plain(Context& context, const Product& product);

}  // namespace tenfold::cuda
