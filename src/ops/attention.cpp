#include "ops/attention.h"

#include "ops/backend.h"
#include "ops/cpu/attention.h"

namespace tenfold::ops {
namespace {

constexpr int64_t kMaxHeadDim = 1024;

void check_heads(const TensorView& t, DType dtype, int64_t rows, int64_t heads, int64_t head_dim) {
  TENFOLD_CHECK(
      t.rank == 3 && t.dtype == dtype && t.dim(0) == rows && t.dim(1) == heads && t.dim(2) == head_dim && t.stride(2) == 1,
      "{} {} {} with stride {}: expected {} [{}, {}, {}]", t.name, name_of(t.dtype), shape_text(t), t.rank == 3 ? t.stride(2) : 0,
      name_of(dtype), rows, heads, head_dim);
}

void check_inputs(const Exec& exec, const TensorView& q, const TensorView& k, const TensorView& v, const TensorView& o,
                  const TensorView& lse, std::span<const AttentionSegment> segments) {
  TENFOLD_CHECK(q.rank == 3 && k.rank == 3, "{} {}, {} {}", q.name, shape_text(q), k.name, shape_text(k));
  TENFOLD_CHECK(q.dim(2) > 0 && q.dim(2) <= kMaxHeadDim && k.dim(1) > 0 && q.dim(1) % k.dim(1) == 0,
                "{} {}, {} {}: {} heads of {} on {}", q.name, shape_text(q), k.name, shape_text(k), q.dim(1), q.dim(2), k.dim(1));
  check_heads(q, exec.compute, q.dim(0), q.dim(1), q.dim(2));
  check_heads(k, exec.compute, k.dim(0), k.dim(1), q.dim(2));
  check_heads(v, exec.compute, k.dim(0), k.dim(1), q.dim(2));
  check_heads(o, exec.compute, q.dim(0), q.dim(1), q.dim(2));
  if (!lse.empty())
    TENFOLD_CHECK(lse.rank == 2 && lse.dtype == DType::kF32 && lse.dim(0) == q.dim(1) && lse.dim(1) == q.dim(0) &&
                      (lse.dim(1) == 1 || lse.stride(1) == 1),
                  "{} {} {} for {} {}", lse.name, name_of(lse.dtype), shape_text(lse), q.name, shape_text(q));
  for (const auto& s : segments)
    TENFOLD_CHECK(s.q_begin >= 0 && s.q_begin <= s.q_end && s.q_end <= q.dim(0) && s.k_begin >= 0 && s.k_end <= k.dim(0) &&
                      s.q_end - s.q_begin <= s.k_end - s.k_begin,
                  "{} {}, {} {}: segment of queries [{}, {}), keys [{}, {})", q.name, shape_text(q), k.name, shape_text(k),
                  s.q_begin, s.q_end, s.k_begin, s.k_end);
}

}  // namespace

void attention_forward(Exec& exec, const TensorView& q, const TensorView& k, const TensorView& v,
                       std::span<const AttentionSegment> segments, float scale, const TensorView& o, const TensorView& lse) {
  check_inputs(exec, q, k, v, o, lse, segments);
  const PartTimer timer(exec, Part::kAttention, attention_flops(segments, q.dim(1), q.dim(2)));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::attention_forward(exec, q, k, v, segments, scale, o, lse);
    case DeviceKind::kCuda: return exec.device.backend()->attention_forward(exec, q, k, v, segments, scale, o, lse);
  }
  TENFOLD_CHECK(false, "{}: no device", q.name);
}

void attention_backward(Exec& exec, const TensorView& d_o, const TensorView& q, const TensorView& k, const TensorView& v,
                        const TensorView& o, const TensorView& lse, std::span<const AttentionSegment> segments, float scale,
                        const AttentionGrads& grads) {
  check_inputs(exec, q, k, v, o, lse, segments);
  TENFOLD_CHECK(!lse.empty(), "{}: no lse", q.name);
  check_heads(d_o, exec.compute, q.dim(0), q.dim(1), q.dim(2));
  const DType out = grads.d_q.dtype;
  TENFOLD_CHECK(out == DType::kF32 || out == exec.compute, "{}: dtype {}", grads.d_q.name, name_of(out));
  check_heads(grads.d_q, out, q.dim(0), q.dim(1), q.dim(2));
  check_heads(grads.d_k, out, k.dim(0), k.dim(1), q.dim(2));
  check_heads(grads.d_v, out, k.dim(0), k.dim(1), q.dim(2));
  const PartTimer timer(exec, Part::kAttention, 2.5 * attention_flops(segments, q.dim(1), q.dim(2)));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::attention_backward(exec, d_o, q, k, v, o, lse, segments, scale, grads);
    case DeviceKind::kCuda: return exec.device.backend()->attention_backward(exec, d_o, q, k, v, o, lse, segments, scale, grads);
  }
  TENFOLD_CHECK(false, "{}: no device", q.name);
}

int64_t attention_scratch_bytes(const Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                                bool training) {
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::attention_scratch_bytes(exec, tokens, keys, heads, kv_heads, head_dim, training);
    case DeviceKind::kCuda:
      return exec.device.backend()->attention_scratch_bytes(exec, tokens, keys, heads, kv_heads, head_dim, training);
  }
  TENFOLD_CHECK(false, "no device");
}

void attention_prepare(Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                       bool training) {
  TENFOLD_CHECK(0 <= tokens && tokens <= keys, "attention of {} queries on {} keys", tokens, keys);
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return;  // its kernels are there
    case DeviceKind::kCuda:
      return exec.device.backend()->attention_prepare(exec, tokens, keys, heads, kv_heads, head_dim, training);
  }
  TENFOLD_CHECK(false, "no device");
}

double attention_flops(std::span<const AttentionSegment> segments, int64_t heads, int64_t head_dim) {
  double pairs = 0;
  for (const auto& s : segments) {
    const auto queries = static_cast<double>(s.q_end - s.q_begin);
    const auto keys = static_cast<double>(s.k_end - s.k_begin);
    pairs += queries * (keys - queries) + queries * (queries + 1) / 2;
  }
  return 4.0 * static_cast<double>(head_dim * heads) * pairs;
}

}  // namespace tenfold::ops
