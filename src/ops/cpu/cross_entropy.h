#pragma once

#include "ops/cross_entropy.h"

namespace tenfold::cpu {

void cross_entropy(Exec& exec, const TensorView& h, const WeightView& head, std::span<const int32_t> targets,
                   std::span<const float> weights, std::span<float> nll, const TensorView& d_h, const TensorView& d_head);
int64_t cross_entropy_scratch_bytes(const Exec& exec, int64_t rows, int64_t vocabulary, int64_t hidden);

}  // namespace tenfold::cpu
