#pragma once

#include "core/tensor.h"
#include "device/exec.h"
#include "ops/attention.h"

#include <cstdint>
#include <span>

namespace tenfold::cpu {

/// Segments with at most this many queries are attended without packing their keys.
inline constexpr int64_t kDecodeQueries = 8;

void attention_forward(Exec& exec, const TensorView& q, const TensorView& k, const TensorView& v,
                       std::span<const ops::AttentionSegment> segments, float scale, const TensorView& o, const TensorView& lse);
void attention_backward(Exec& exec, const TensorView& d_o, const TensorView& q, const TensorView& k, const TensorView& v,
                        const TensorView& o, const TensorView& lse, std::span<const ops::AttentionSegment> segments, float scale,
                        const ops::AttentionGrads& grads);
int64_t attention_scratch_bytes(const Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                                bool training);

}  // namespace tenfold::cpu
