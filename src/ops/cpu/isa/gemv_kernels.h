#pragma once

#include "ops/cpu/gemv.h"

namespace tenfold::cpu {

/// One function a unit of this folder; call only where ops::cpu_isa() allows it.
void gemv_avx2(const GemvTask& task);
void gemv_avx512(const GemvTask& task);

}  // namespace tenfold::cpu
