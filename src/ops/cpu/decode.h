#pragma once

#include "ops/decode.h"

/// The CPU's bodies: the ops that each stands for, one by one.
namespace tenfold::cpu {

void decode_place(Exec& exec, int64_t position, int32_t id, const TensorView& place);
void decode_begin(Exec& exec, const TensorView& place, const WeightView& table, const TensorView& inv_freq,
                  float attention_factor, const TensorView& x, const TensorView& cos, const TensorView& sin);
void decode_products(Exec& exec, const TensorView& x, std::span<const ops::TokenProduct> products);
void decode_gate_up(Exec& exec, const TensorView& x, const ops::TokenProduct& gate, const ops::TokenProduct& up);
void decode_rope(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& k, const TensorView& v,
                 const TensorView& cos, const TensorView& sin, const TensorView& keys, const TensorView& values);
void decode_attention(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& keys, const TensorView& values,
                      float scale, const TensorView& o);

}  // namespace tenfold::cpu
