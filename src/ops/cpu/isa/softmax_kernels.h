#pragma once

#include "ops/cpu/softmax.h"

namespace tenfold::cpu {

const SoftmaxKernels& softmax_kernels_avx512();

}  // namespace tenfold::cpu
