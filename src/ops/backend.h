#pragma once

#include "ops/adamw.h"
#include "ops/attention.h"
#include "ops/cross_entropy.h"
#include "ops/decode.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/expand.h"
#include "ops/linear.h"
#include "ops/random_fill.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/swiglu.h"

#include <cstdint>
#include <span>

namespace tenfold::ops {

/// Copying between pinned host memory and a device, in GB/s (each byte counted once).
struct PinnedRates {
  double to_device = 0;
  double to_host = 0;
  double both = 0;  ///< the sum of both ways at once
};

/// What a device has made so far to serve the shapes that it met; a step should add to neither.
struct PlanCounts {
  int64_t attention = 0;  ///< graphs, 0.1 s each
  int64_t products = 0;   ///< choices of a kernel, 0.1 ms each
};

/// The bodies of every op on a device that is not the CPU, met through Device::backend(): the program is linked without it and
/// opens it at run time. Each function is the body of the op of the same name: the contract is in that op's header, the arguments
/// are checked.
class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  /// What the device can do, measured now: a (m, k) x (n, k)^T product in bf16 by the vendor's library, in GFLOP/s, and copying
  /// memory on the device, in GB/s (bytes read and written).
  virtual double product_gflops(Exec& exec, int64_t m, int64_t n, int64_t k) = 0;
  virtual double copy_gigabytes(Exec& exec) = 0;
  virtual PinnedRates pinned_gigabytes(Exec& exec) = 0;
  virtual PlanCounts plans_made(const Exec& exec) = 0;

  // ops/adamw.h
  virtual void adamw_step(Exec& exec, const AdamWArgs& args, const TensorView& parameter, const TensorView& gradient,
                          const TensorView& m, const TensorView& v) = 0;
  virtual void adamw_step_rows(Exec& exec, const AdamWArgs& args, std::span<const int32_t> rows, const TensorView& parameter,
                               const TensorView& gradient, const TensorView& m, const TensorView& v) = 0;
  virtual double sum_of_squares(Exec& exec, const TensorView& x) = 0;
  // ops/attention.h
  virtual void attention_forward(Exec& exec, const TensorView& q, const TensorView& k, const TensorView& v,
                                 std::span<const AttentionSegment> segments, float scale, const TensorView& o,
                                 const TensorView& lse) = 0;
  virtual void attention_backward(Exec& exec, const TensorView& d_o, const TensorView& q, const TensorView& k,
                                  const TensorView& v, const TensorView& o, const TensorView& lse,
                                  std::span<const AttentionSegment> segments, float scale, const AttentionGrads& grads) = 0;
  virtual int64_t attention_scratch_bytes(const Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads,
                                          int64_t head_dim, bool training) = 0;
  virtual void attention_prepare(Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                                 bool training) = 0;
  // ops/cross_entropy.h
  virtual void cross_entropy(Exec& exec, const TensorView& h, const WeightView& head, std::span<const int32_t> targets,
                             std::span<const float> weights, std::span<float> nll, const TensorView& d_h,
                             const TensorView& d_head) = 0;
  virtual int64_t cross_entropy_scratch_bytes(const Exec& exec, int64_t rows, int64_t vocabulary, int64_t hidden) = 0;
  // ops/decode.h
  virtual bool decodes(int64_t head_dim) = 0;
  virtual void decode_place(Exec& exec, int64_t position, int32_t id, const TensorView& place) = 0;
  virtual void decode_begin(Exec& exec, const TensorView& place, const WeightView& table, const TensorView& inv_freq,
                            float attention_factor, const TensorView& x, const TensorView& cos, const TensorView& sin) = 0;
  virtual void decode_products(Exec& exec, const TensorView& x, std::span<const TokenProduct> products) = 0;
  virtual void decode_gate_up(Exec& exec, const TensorView& x, const TokenProduct& gate, const TokenProduct& up) = 0;
  virtual void decode_rope(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& k, const TensorView& v,
                           const TensorView& cos, const TensorView& sin, const TensorView& keys, const TensorView& values) = 0;
  virtual void decode_attention(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& keys,
                                const TensorView& values, float scale, const TensorView& o) = 0;
  // ops/elementwise.h
  virtual void cast(Exec& exec, const TensorView& x, const TensorView& y) = 0;
  virtual void add(Exec& exec, const TensorView& x, const TensorView& y) = 0;
  virtual void gather_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y) = 0;
  virtual void scatter_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y) = 0;
  virtual void dropout(Exec& exec, const TensorView& x, std::span<const int64_t> token_index, float p, uint64_t seed,
                       uint64_t stream, const TensorView& y) = 0;
  virtual void argmax(Exec& exec, const TensorView& x, std::span<int32_t> out) = 0;
  // ops/embedding.h
  virtual void embedding_forward(Exec& exec, std::span<const int32_t> ids, const WeightView& table, const TensorView& y) = 0;
  virtual void embedding_backward(Exec& exec, std::span<const int32_t> ids, const TensorView& d_y, const TensorView& d_table) = 0;
  // ops/expand.h
  virtual void expand_rows(Exec& exec, const WeightView& weight, int64_t row, const TensorView& out) = 0;
  // ops/linear.h
  virtual void linear_forward(Exec& exec, const TensorView& x, const WeightView& w, const LinearArgs& args,
                              const TensorView& y) = 0;
  virtual void linear_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const WeightView& w,
                               const LinearArgs& args, const LinearGrads& grads) = 0;
  virtual int64_t linear_scratch_bytes(const Exec& exec, int64_t tokens, int64_t out_features, int64_t in_features,
                                       int64_t rank) = 0;
  // ops/random_fill.h
  virtual void random_fill(Exec& exec, const RandomFill& fill) = 0;
  // ops/rms_norm.h
  virtual void rms_norm_forward(Exec& exec, const TensorView& x, const TensorView& weight, float eps, const TensorView& y) = 0;
  virtual void rms_norm_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const TensorView& weight, float eps,
                                 const TensorView& d_x, const TensorView& d_weight) = 0;
  // ops/rope.h
  virtual void rope_table(Exec& exec, std::span<const float> inv_freq, std::span<const int64_t> positions, float attention_factor,
                          const TensorView& cos, const TensorView& sin) = 0;
  virtual void rope_apply(Exec& exec, const TensorView& x, const TensorView& cos, const TensorView& sin, bool inverse) = 0;
  // ops/swiglu.h
  virtual void swiglu_forward(Exec& exec, const TensorView& gate, const TensorView& up, const TensorView& a) = 0;
  virtual void swiglu_backward(Exec& exec, const TensorView& d_a, const TensorView& gate, const TensorView& up,
                               const TensorView& d_gate, const TensorView& d_up) = 0;
};

}  // namespace tenfold::ops
