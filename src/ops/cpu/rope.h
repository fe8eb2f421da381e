#pragma once

#include "core/tensor.h"
#include "device/exec.h"

#include <cstdint>
#include <span>

namespace tenfold::cpu {

void rope_table(Exec& exec, std::span<const float> inv_freq, std::span<const int64_t> positions, float attention_factor,
                const TensorView& cos, const TensorView& sin);
void rope_apply(Exec& exec, const TensorView& x, const TensorView& cos, const TensorView& sin, bool inverse);

}  // namespace tenfold::cpu
