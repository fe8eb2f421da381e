#pragma once

#include "ops/cpu_features.h"

namespace tenfold::cpu {

/// The instruction set that oneDNN would use here, so ONEDNN_MAX_CPU_ISA caps our kernels too.
ops::CpuIsa onednn_isa();

}  // namespace tenfold::cpu
