#pragma once

#include "ops/cpu/gemm.h"

namespace tenfold::cpu {

/// The plain panel packers for 8 lanes, f32; also used by units without a faster one.
void pack_f32_lanes8(const Source& source, bool by_rows, const PanelRange& range, void* panel);
/// GemmKernels::round for f32 kernels: a copy.
void round_f32(const float* from, int64_t n, void* to);

}  // namespace tenfold::cpu
