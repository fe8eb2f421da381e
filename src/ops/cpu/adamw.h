#pragma once

#include "core/tensor.h"
#include "device/exec.h"
#include "ops/adamw.h"

namespace tenfold::cpu {

void adamw_step(Exec& exec, const ops::AdamWArgs& args, const TensorView& parameter, const TensorView& gradient,
                const TensorView& m, const TensorView& v);
void adamw_step_rows(Exec& exec, const ops::AdamWArgs& args, std::span<const int32_t> rows, const TensorView& parameter,
                     const TensorView& gradient, const TensorView& m, const TensorView& v);
double sum_of_squares(Exec& exec, const TensorView& x);

}  // namespace tenfold::cpu
