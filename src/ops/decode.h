#pragma once

#include "core/tensor.h"
#include "device/exec.h"
#include "ops/linear.h"

#include <cstdint>
#include <span>

/// One token through a model, for a device that records what it is given once and replays it for every token (Device::record).
/// The arguments of these ops do not change from token to token: what does, lies in device memory (DecodePlace). They are the
/// block's own ops, several in one, and on the CPU just those.
namespace tenfold::ops {

/// Where the token in work stands.
struct DecodePlace {
  int64_t position = 0;  ///< tokens before it; its keys and values go to this row
  int64_t id = 0;        ///< of the token
};

/// Whether these ops serve heads of this size on a device.
bool decodes(Device& device, int64_t head_dim);

/// place (2) i64, a DecodePlace, for what is enqueued from here on. The only one of these ops that is not recorded; decode_begin
/// comes between it and the others, which a device may begin before what is right in front of them has ended.
void decode_place(Exec& exec, int64_t position, int32_t id, const TensorView& place);

/// x (1, D) = the embedding of the token; cos and sin (1, E/2) of its position. inv_freq (E/2) f32 on the device; see rope_table.
void decode_begin(Exec& exec, const TensorView& place, const WeightView& table, const TensorView& inv_freq,
                  float attention_factor, const TensorView& x, const TensorView& cos, const TensorView& sin);

/// One of the weights that are multiplied with the same token: y (1, N) = x W^T [+ scale (x A^T) B^T].
struct TokenProduct {
  WeightView w;       ///< (N, K)
  LoraView lora;      ///< optional
  TensorView lora_u;  ///< (1, R), written; required with lora
  TensorView y;       ///< (1, N) compute dtype
};
inline constexpr size_t kTokenProducts = 3;

/// At most kTokenProducts of x (1, K), contiguous, compute dtype: linear_forward of each.
void decode_products(Exec& exec, const TensorView& x, std::span<const TokenProduct> products);

/// gate.y (1, F) = silu(gate) * up, both rounded to the compute dtype before, as linear_forward and swiglu_forward do. up.y is
/// room for up.
void decode_gate_up(Exec& exec, const TensorView& x, const TokenProduct& gate, const TokenProduct& up);

/// Turns q (1, H, E) in place, and puts k (1, G, E), turned, and v (1, G, E) into the token's row of keys and values (capacity,
/// G, E). All contiguous but for the rows of keys and values.
void decode_rope(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& k, const TensorView& v,
                 const TensorView& cos, const TensorView& sin, const TensorView& keys, const TensorView& values);

/// o (1, H, E): q attends to the rows of keys and values up to the token's own. Takes the scratch of attention_scratch_bytes for
/// one token and as many keys as there are rows.
void decode_attention(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& keys, const TensorView& values,
                      float scale, const TensorView& o);

}  // namespace tenfold::ops
