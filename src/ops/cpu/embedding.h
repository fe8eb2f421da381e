#pragma once

#include "core/tensor.h"
#include "device/exec.h"

#include <cstdint>
#include <span>

namespace tenfold::cpu {

void embedding_forward(Exec& exec, std::span<const int32_t> ids, const WeightView& table, const TensorView& y);
void embedding_backward(Exec& exec, std::span<const int32_t> ids, const TensorView& d_y, const TensorView& d_table);

}  // namespace tenfold::cpu
