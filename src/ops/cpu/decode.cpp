#include "ops/cpu/decode.h"

#include "ops/attention.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/rope.h"
#include "ops/swiglu.h"

#include <cstring>

namespace tenfold::cpu {
namespace {

ops::DecodePlace& place_of(const TensorView& t) { return *static_cast<ops::DecodePlace*>(t.data); }

/// The token's row of keys or values, as the heads of one token.
TensorView row_of(const TensorView& t, const TensorView& place) {
  const int64_t position = place_of(place).position;
  TENFOLD_CHECK(0 <= position && position < t.dim(0), "{} {}: row {}", t.name, shape_text(t), position);
  return t.rows(position, position + 1);
}

void copy_heads(const TensorView& from, const TensorView& to) {
  const auto bytes = from.dim(2) * size_of(from.dtype);
  for (int64_t h = 0; h < from.dim(1); ++h)
    std::memcpy(static_cast<std::byte*>(to.data) + h * to.stride(1) * size_of(to.dtype),
                static_cast<const std::byte*>(from.data) + h * bytes, static_cast<size_t>(bytes));
}

}  // namespace

void decode_place(Exec&, int64_t position, int32_t id, const TensorView& place) { place_of(place) = {position, id}; }

void decode_begin(Exec& exec, const TensorView& place, const WeightView& table, const TensorView& inv_freq,
                  float attention_factor, const TensorView& x, const TensorView& cos, const TensorView& sin) {
  const auto id = static_cast<int32_t>(place_of(place).id);
  const int64_t position = place_of(place).position;
  const std::span frequencies(inv_freq.ptr<float>(), static_cast<size_t>(inv_freq.dim(0)));
  ops::embedding_forward(exec, {&id, 1}, table, x);
  ops::rope_table(exec, frequencies, {&position, 1}, attention_factor, cos, sin);
}

void decode_products(Exec& exec, const TensorView& x, std::span<const ops::TokenProduct> products) {
  for (const ops::TokenProduct& p : products) {
    ops::LinearArgs args;
    args.lora = p.lora;
    args.lora_u = p.lora_u;
    ops::linear_forward(exec, x, p.w, args, p.y);
  }
}

void decode_gate_up(Exec& exec, const TensorView& x, const ops::TokenProduct& gate, const ops::TokenProduct& up) {
  const ops::TokenProduct both[] = {gate, up};
  cpu::decode_products(exec, x, both);
  ops::swiglu_forward(exec, gate.y, up.y, gate.y);
}

void decode_rope(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& k, const TensorView& v,
                 const TensorView& cos, const TensorView& sin, const TensorView& keys, const TensorView& values) {
  const TensorView key = row_of(keys, place);
  copy_heads(k, key);
  copy_heads(v, row_of(values, place));
  ops::rope_apply(exec, q, cos, sin, /*inverse=*/false);
  ops::rope_apply(exec, key, cos, sin, /*inverse=*/false);
}

void decode_attention(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& keys, const TensorView& values,
                      float scale, const TensorView& o) {
  const ops::AttentionSegment segment{0, 1, 0, place_of(place).position + 1};
  ops::attention_forward(exec, q, keys, values, {&segment, 1}, scale, o, {});
}

}  // namespace tenfold::cpu
