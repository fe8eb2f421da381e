#pragma once

#include "core/tensor.h"
#include "device/exec.h"

#include <cstdint>
#include <span>

namespace tenfold::ops {

/// The head and the loss in one: logits = h W^T are made for a chunk of rows at a time and never for all.
/// h (N, D) compute dtype: the rows that carry loss; targets (N) ids; weights (N): d loss / d nll of each row.
/// nll (N) f32 = -log softmax(logits)[target]. With d_h (N, D) f32 (=) also weights[n] * (softmax - onehot) W; with d_head (V, D)
/// f32 (+=) its gradient for a trained head. Row n's results do not depend on the other rows beyond f32 rounding, and on the
/// chunk size not at all.
void cross_entropy(Exec& exec, const TensorView& h, const WeightView& head, std::span<const int32_t> targets,
                   std::span<const float> weights, std::span<float> nll, const TensorView& d_h, const TensorView& d_head);

/// Scratch bytes for N rows.
int64_t cross_entropy_scratch_bytes(const Exec& exec, int64_t rows, int64_t vocabulary, int64_t hidden);

}  // namespace tenfold::ops
