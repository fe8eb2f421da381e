#pragma once

#include "core/tensor.h"
#include "device/exec.h"
#include "ops/attention.h"

#include <cstdint>
#include <span>

/// The attention bodies that attention.cpp chooses between, segment by segment (a third is cuDNN's, attention_cudnn.h).
namespace tenfold::cuda {

using ops::AttentionSegment;

/// Segments with at most this many queries and heads of at most kDecodeHeadDim are decoded: their keys are split over the GPU.
inline constexpr int64_t kDecodeQueries = 8;
inline constexpr int64_t kDecodeHeadDim = 256;

inline int64_t queries_of(const AttentionSegment& s) { return s.q_end - s.q_begin; }
inline int64_t keys_of(const AttentionSegment& s) { return s.k_end - s.k_begin; }
/// Keys that the first query of a segment sees.
inline int64_t visible_at_first(const AttentionSegment& s) { return keys_of(s) - queries_of(s) + 1; }

/// A (rows, heads, E) tensor = 0.
void zero_heads(Exec& exec, const TensorView& t);

/// Any segments, dtypes and head dims: f32 arithmetic in tiles of shared memory, no matrix of scores, sums in a fixed order. Keys
/// are taken in blocks counted from the segment's first, so the cut of a prompt into pieces changes no bit.
void attention_generic_forward(Exec& exec, const TensorView& q, const TensorView& k, const TensorView& v,
                               std::span<const AttentionSegment> segments, float scale, const TensorView& o,
                               const TensorView& lse);
/// Segments may share keys. Writes d_q of the segments' queries, and d_k and d_v of every key that belongs to one.
void attention_generic_backward(Exec& exec, const TensorView& d_o, const TensorView& q, const TensorView& k, const TensorView& v,
                                const TensorView& o, const TensorView& lse, std::span<const AttentionSegment> segments,
                                float scale, const ops::AttentionGrads& grads);
int64_t attention_generic_scratch_bytes(int64_t tokens, int64_t heads);

/// Segments of at most kDecodeQueries queries.
void attention_decode(Exec& exec, const TensorView& q, const TensorView& k, const TensorView& v,
                      std::span<const AttentionSegment> segments, float scale, const TensorView& o, const TensorView& lse);
int64_t attention_decode_scratch_bytes(int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim);

}  // namespace tenfold::cuda
