#pragma once

#include "ops/cpu/gemm.h"

namespace tenfold::cpu {

/// One function a unit of this folder; call only where ops::cpu_isa() allows it.
const GemmKernels& gemm_kernels_avx2();
const GemmKernels& gemm_kernels_avx512();
const GemmKernels& gemm_kernels_avx512_bf16();
const GemmKernels& gemm_kernels_amx_bf16();

}  // namespace tenfold::cpu
