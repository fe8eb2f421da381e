#pragma once

#include "core/tensor.h"
#include "device/cuda/context.h"

#include <cstdint>

/// Bodies whose ids and positions lie on the device already.
namespace tenfold::cuda {

/// y (T, D) = the rows of the table; see embedding_forward.
void embedding_of(const Context& context, const int32_t* ids, const WeightView& table, const TensorView& y);

/// cos and sin (T, E/2); see rope_table. inv_freq (E/2).
void rope_table_of(const Context& context, const float* inv_freq, const int64_t* positions, float attention_factor,
                   const TensorView& cos, const TensorView& sin);

}  // namespace tenfold::cuda
