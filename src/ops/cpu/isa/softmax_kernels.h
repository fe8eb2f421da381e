#pragma once

#include "ops/cpu/softmax.h"

namespace tenfold::cpu {

/// One function a unit of this folder; call only where ops::cpu_isa() allows it.
const SoftmaxKernels& softmax_kernels_avx512();
const SoftmaxKernels& softmax_kernels_avx512_bf16();

}  // namespace tenfold::cpu
