#pragma once

#include "ops/cpu/gemv.h"

namespace tenfold::cpu {

/// One function a unit of this folder; call only where ops::cpu_isa() allows it.
void gemv_avx2(const GemvTask& task);
void gemv_avx512(const GemvTask& task);

/// Q4_0, Q4_1 and Q8_0 in integers, for an x whose values are bf16's: each run of 32 is taken as multiples of 2^-22 of the power
/// of two above its largest magnitude, in three bytes, and the codes' products with the bytes are summed exactly. Values down to
/// 2^-14 of that power are met exactly, smaller ones to 2^-23 of it. A run with an infinity or a NaN gives NaN. `write_digits`
/// writes a row of x to `to`, digits_bytes(cols) aligned to 64; the product needs task.digits and task.x_sums.
void write_digits_avx512_bf16(WeightLayout layout, const float* x, int64_t cols, std::byte* to);
void gemv_digits_avx512_bf16(const GemvTask& task);

}  // namespace tenfold::cpu
