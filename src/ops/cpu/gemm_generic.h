#pragma once

#include "ops/cpu/gemm.h"

namespace tenfold::cpu {

/// GemmKernels::round for f32 kernels: a copy.
void round_f32(const float* from, int64_t n, void* to);

}  // namespace tenfold::cpu
