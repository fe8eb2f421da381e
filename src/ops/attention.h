#pragma once

#include "core/tensor.h"
#include "device/exec.h"

#include <cstdint>
#include <span>

namespace tenfold::ops {

/// One document: its queries are rows [q_begin, q_end) of q, its keys rows [k_begin, k_end) of k and v. Causal from the end: the
/// last query sees every key, query q_end - 1 - i all but the last i (so there are at least as many keys as queries).
struct AttentionSegment {
  int64_t q_begin = 0;
  int64_t q_end = 0;
  int64_t k_begin = 0;
  int64_t k_end = 0;
};

/// o[t, h] = softmax(scale q k^T, causal) v with grouped query heads (head h reads kv head h / (H / G)), never an S x S matrix.
/// q, o (T, H, E), k, v (S, G, E) in the compute dtype (rows may be strided, the last dimension contiguous), lse (H, T) f32: the
/// natural log of the softmax denominator with the maximum folded in, for the backward; may be empty. Segments are disjoint in
/// queries.
void attention_forward(Exec& exec, const TensorView& q, const TensorView& k, const TensorView& v,
                       std::span<const AttentionSegment> segments, float scale, const TensorView& o, const TensorView& lse);

struct AttentionGrads {
  TensorView d_q;  ///< (T, H, E) compute dtype or f32, =
  TensorView d_k;  ///< (S, G, E) like d_q, =
  TensorView d_v;  ///< (S, G, E) like d_q, =
};

/// Gradients of attention_forward from its inputs, output and lse; d_o (T, H, E) compute dtype. Recomputes the probabilities by
/// tiles (Dao, FlashAttention-2, arXiv 2307.08691, algorithm 2). Bit-reproducible for a given number of threads.
void attention_backward(Exec& exec, const TensorView& d_o, const TensorView& q, const TensorView& k, const TensorView& v,
                        const TensorView& o, const TensorView& lse, std::span<const AttentionSegment> segments, float scale,
                        const AttentionGrads& grads);

/// Scratch bytes for at most T queries on at most S keys: of the forward, or (training) of both calls.
int64_t attention_scratch_bytes(const Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                                bool training);

/// Makes now what a device would else make when it first meets one segment of T queries on S keys in contiguous tensors, with
/// scale 1 / sqrt(E): for the forward without lse, or (training) for the forward with lse and the backward. Computes nothing.
void attention_prepare(Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                       bool training);

/// Useful operations of the causal forward: 4 E a visible (query, key) pair and head; the backward has 2.5 times as many.
double attention_flops(std::span<const AttentionSegment> segments, int64_t heads, int64_t head_dim);

}  // namespace tenfold::ops
