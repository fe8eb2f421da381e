#pragma once

#include "core/tensor.h"
#include "device/cuda/context.h"

#include <cstdint>

/// The row kernels of cross_entropy.cpp.
namespace tenfold::cuda {

/// Columns of a logits row in memory: rows begin at whole 16-byte chunks.
inline int64_t padded_vocabulary(int64_t vocabulary) { return (vocabulary + 7) / 8 * 8; }

/// Rows of a chunk, in device memory.
struct LossRows {
  TensorView logits;       ///< (rows, padded V) f32
  int64_t vocabulary = 0;  ///< V
  const int32_t* targets = nullptr;
  const float* weights = nullptr;  ///< null: losses alone
  float* nll = nullptr;
  float* target_scale = nullptr;  ///< weight (softmax - 1) at the target, where there are weights
  TensorView d_logits;            ///< (rows, padded V) compute dtype: weight softmax, 0 at the target; may be empty
};

/// From logits to losses and their gradients. What a row gets depends on nothing but the row.
void loss_rows(Context& context, const LossRows& rows);
/// d_logits[n, target] = target_scale.
void put_targets(Context& context, const LossRows& rows);
/// d_h[n] += target_scale[n] head[n], in f32; head (rows, D) holds the head's rows of the targets.
void add_target_rows(Context& context, const float* target_scale, const TensorView& head, const TensorView& d_h);

}  // namespace tenfold::cuda
