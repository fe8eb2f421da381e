#include "ops/decode.h"

#include "ops/backend.h"
#include "ops/cpu/decode.h"

#include <algorithm>

namespace tenfold::ops {
namespace {

void check_shape(const TensorView& t, DType dtype, std::initializer_list<int64_t> dims) {
  const TensorView expected(t.name, dtype, dims, t.data);
  TENFOLD_CHECK(
      t.dtype == dtype && t.rank == expected.rank && std::equal(dims.begin(), dims.end(), t.shape.begin()) && t.is_contiguous(),
      "{} {} {}: expected {} {}", t.name, name_of(t.dtype), shape_text(t), name_of(dtype), shape_text(expected));
}

void check_place(const TensorView& place) { check_shape(place, DType::kI64, {2}); }

void check_cache(const Exec& exec, const TensorView& t, int64_t kv_heads, int64_t head_dim) {
  TENFOLD_CHECK(t.rank == 3 && t.dtype == exec.compute && t.dim(1) == kv_heads && t.dim(2) == head_dim && t.stride(2) == 1,
                "{} {} {}: expected {} [capacity, {}, {}]", t.name, name_of(t.dtype), shape_text(t), name_of(exec.compute),
                kv_heads, head_dim);
}

void check_product(const Exec& exec, const TensorView& x, const TokenProduct& p) {
  check_shape(x, exec.compute, {1, p.w.cols});
  check_shape(p.y, exec.compute, {1, p.w.rows});
  if (p.lora.empty()) return;
  const int64_t rank = p.lora.a.dim(0);
  check_shape(p.lora.a, DType::kF32, {rank, p.w.cols});
  check_shape(p.lora.b, DType::kF32, {p.w.rows, rank});
  check_shape(p.lora_u, exec.compute, {1, rank});
}

}  // namespace

bool decodes(Device& device, int64_t head_dim) {
  return device.kind() == DeviceKind::kCpu || device.backend()->decodes(head_dim);
}

void decode_place(Exec& exec, int64_t position, int32_t id, const TensorView& place) {
  check_place(place);
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::decode_place(exec, position, id, place);
    case DeviceKind::kCuda: return exec.device.backend()->decode_place(exec, position, id, place);
  }
  TENFOLD_CHECK(false, "no device");
}

void decode_begin(Exec& exec, const TensorView& place, const WeightView& table, const TensorView& inv_freq,
                  float attention_factor, const TensorView& x, const TensorView& cos, const TensorView& sin) {
  check_place(place);
  check_shape(x, exec.compute, {1, table.cols});
  check_shape(inv_freq, DType::kF32, {cos.dim(1)});
  check_shape(cos, DType::kF32, {1, cos.dim(1)});
  check_shape(sin, DType::kF32, {1, cos.dim(1)});
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::decode_begin(exec, place, table, inv_freq, attention_factor, x, cos, sin);
    case DeviceKind::kCuda:
      return exec.device.backend()->decode_begin(exec, place, table, inv_freq, attention_factor, x, cos, sin);
  }
  TENFOLD_CHECK(false, "no device");
}

void decode_products(Exec& exec, const TensorView& x, std::span<const TokenProduct> products) {
  TENFOLD_CHECK(!products.empty() && products.size() <= kTokenProducts, "{} products", products.size());
  for (const TokenProduct& p : products) check_product(exec, x, p);
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::decode_products(exec, x, products);
    case DeviceKind::kCuda: return exec.device.backend()->decode_products(exec, x, products);
  }
  TENFOLD_CHECK(false, "no device");
}

void decode_gate_up(Exec& exec, const TensorView& x, const TokenProduct& gate, const TokenProduct& up) {
  check_product(exec, x, gate);
  check_product(exec, x, up);
  TENFOLD_CHECK(gate.w.rows == up.w.rows, "gate {} of {} rows, up {} of {}", gate.w.name, gate.w.rows, up.w.name, up.w.rows);
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::decode_gate_up(exec, x, gate, up);
    case DeviceKind::kCuda: return exec.device.backend()->decode_gate_up(exec, x, gate, up);
  }
  TENFOLD_CHECK(false, "no device");
}

void decode_rope(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& k, const TensorView& v,
                 const TensorView& cos, const TensorView& sin, const TensorView& keys, const TensorView& values) {
  check_place(place);
  TENFOLD_CHECK(q.rank == 3 && k.rank == 3 && q.dim(2) % 2 == 0, "{} {}, {} {}", q.name, shape_text(q), k.name, shape_text(k));
  const int64_t head_dim = q.dim(2);
  check_shape(q, exec.compute, {1, q.dim(1), head_dim});
  check_shape(k, exec.compute, {1, k.dim(1), head_dim});
  check_shape(v, exec.compute, {1, k.dim(1), head_dim});
  check_shape(cos, DType::kF32, {1, head_dim / 2});
  check_shape(sin, DType::kF32, {1, head_dim / 2});
  check_cache(exec, keys, k.dim(1), head_dim);
  check_cache(exec, values, k.dim(1), head_dim);
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::decode_rope(exec, place, q, k, v, cos, sin, keys, values);
    case DeviceKind::kCuda: return exec.device.backend()->decode_rope(exec, place, q, k, v, cos, sin, keys, values);
  }
  TENFOLD_CHECK(false, "no device");
}

void decode_attention(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& keys, const TensorView& values,
                      float scale, const TensorView& o) {
  check_place(place);
  TENFOLD_CHECK(q.rank == 3 && keys.rank == 3 && keys.dim(1) > 0 && q.dim(1) % keys.dim(1) == 0, "{} {}, {} {}", q.name,
                shape_text(q), keys.name, shape_text(keys));
  check_shape(q, exec.compute, {1, q.dim(1), q.dim(2)});
  check_shape(o, exec.compute, {1, q.dim(1), q.dim(2)});
  check_cache(exec, keys, keys.dim(1), q.dim(2));
  check_cache(exec, values, keys.dim(1), q.dim(2));
  TENFOLD_CHECK(keys.dim(0) == values.dim(0), "{} {}, {} {}", keys.name, shape_text(keys), values.name, shape_text(values));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::decode_attention(exec, place, q, keys, values, scale, o);
    case DeviceKind::kCuda: return exec.device.backend()->decode_attention(exec, place, q, keys, values, scale, o);
  }
  TENFOLD_CHECK(false, "no device");
}

}  // namespace tenfold::ops
