#pragma once

#include "core/dtype.h"

#include <cstdint>
#include <string_view>

namespace tenfold::ops {

/// The instruction set that the CPU kernels use, capped by what oneDNN may use (ONEDNN_MAX_CPU_ISA), so that both agree.
enum class CpuIsa : uint8_t { kGeneric, kAvx2, kAvx512, kAvx512Bf16, kAmxBf16 };

CpuIsa cpu_isa();
std::string_view name_of(CpuIsa isa);
/// bf16 where the CPU has AVX-512 BF16, else f32 (oneDNN has no bf16 product below it).
DType default_compute_dtype();

}  // namespace tenfold::ops
