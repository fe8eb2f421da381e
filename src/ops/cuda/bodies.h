#pragma once

#include "ops/backend.h"

/// The CUDA bodies, one op a file: each is what ops/X.h promises under the same name. Pointers are device memory (spans are host
/// memory); work is enqueued on the context's stream and not waited for, unless a value goes back to the host.
namespace tenfold::cuda {

// ceilings
double product_gflops(Exec& exec, int64_t m, int64_t n, int64_t k);
double copy_gigabytes(Exec& exec);
ops::PinnedRates pinned_gigabytes(Exec& exec);

// ops/adamw.h
void adamw_step(Exec& exec, const ops::AdamWArgs& args, const TensorView& parameter, const TensorView& gradient,
                const TensorView& m, const TensorView& v);
void adamw_step_rows(Exec& exec, const ops::AdamWArgs& args, std::span<const int32_t> rows, const TensorView& parameter,
                     const TensorView& gradient, const TensorView& m, const TensorView& v);
double sum_of_squares(Exec& exec, const TensorView& x);

// ops/attention.h
void attention_forward(Exec& exec, const TensorView& q, const TensorView& k, const TensorView& v,
                       std::span<const ops::AttentionSegment> segments, float scale, const TensorView& o, const TensorView& lse);
void attention_backward(Exec& exec, const TensorView& d_o, const TensorView& q, const TensorView& k, const TensorView& v,
                        const TensorView& o, const TensorView& lse, std::span<const ops::AttentionSegment> segments, float scale,
                        const ops::AttentionGrads& grads);
int64_t attention_scratch_bytes(const Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                                bool training);
void attention_prepare(Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                       bool training);

// ops/cross_entropy.h
void cross_entropy(Exec& exec, const TensorView& h, const WeightView& head, std::span<const int32_t> targets,
                   std::span<const float> weights, std::span<float> nll, const TensorView& d_h, const TensorView& d_head);
int64_t cross_entropy_scratch_bytes(const Exec& exec, int64_t rows, int64_t vocabulary, int64_t hidden);

// ops/decode.h
bool decodes(int64_t head_dim);
void decode_place(Exec& exec, int64_t position, int32_t id, const TensorView& place);
void decode_begin(Exec& exec, const TensorView& place, const WeightView& table, const TensorView& inv_freq,
                  float attention_factor, const TensorView& x, const TensorView& cos, const TensorView& sin);
void decode_products(Exec& exec, const TensorView& x, std::span<const ops::TokenProduct> products);
void decode_gate_up(Exec& exec, const TensorView& x, const ops::TokenProduct& gate, const ops::TokenProduct& up);
void decode_rope(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& k, const TensorView& v,
                 const TensorView& cos, const TensorView& sin, const TensorView& keys, const TensorView& values);
void decode_attention(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& keys, const TensorView& values,
                      float scale, const TensorView& o);

// ops/elementwise.h
void cast(Exec& exec, const TensorView& x, const TensorView& y);
void add(Exec& exec, const TensorView& x, const TensorView& y);
void gather_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y);
void scatter_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y);
void dropout(Exec& exec, const TensorView& x, std::span<const int64_t> token_index, float p, uint64_t seed, uint64_t stream,
             const TensorView& y);
void argmax(Exec& exec, const TensorView& x, std::span<int32_t> out);

// ops/embedding.h
void embedding_forward(Exec& exec, std::span<const int32_t> ids, const WeightView& table, const TensorView& y);
void embedding_backward(Exec& exec, std::span<const int32_t> ids, const TensorView& d_y, const TensorView& d_table);

// ops/expand.h
void expand_rows(Exec& exec, const WeightView& weight, int64_t row, const TensorView& out);

// ops/linear.h
void linear_forward(Exec& exec, const TensorView& x, const WeightView& w, const ops::LinearArgs& args, const TensorView& y);
void linear_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const WeightView& w, const ops::LinearArgs& args,
                     const ops::LinearGrads& grads);
int64_t linear_scratch_bytes(const Exec& exec, int64_t tokens, int64_t out_features, int64_t in_features, int64_t rank);

// ops/random_fill.h
void random_fill(Exec& exec, const ops::RandomFill& fill);

// ops/rms_norm.h
void rms_norm_forward(Exec& exec, const TensorView& x, const TensorView& weight, float eps, const TensorView& y);
void rms_norm_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const TensorView& weight, float eps,
                       const TensorView& d_x, const TensorView& d_weight);

// ops/rope.h
void rope_table(Exec& exec, std::span<const float> inv_freq, std::span<const int64_t> positions, float attention_factor,
                const TensorView& cos, const TensorView& sin);
void rope_apply(Exec& exec, const TensorView& x, const TensorView& cos, const TensorView& sin, bool inverse);

// ops/swiglu.h
void swiglu_forward(Exec& exec, const TensorView& gate, const TensorView& up, const TensorView& a);
void swiglu_backward(Exec& exec, const TensorView& d_a, const TensorView& gate, const TensorView& up, const TensorView& d_gate,
                     const TensorView& d_up);

}  // namespace tenfold::cuda
