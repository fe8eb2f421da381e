#pragma once

#include "core/tensor.h"
#include "device/exec.h"

namespace tenfold::ops {

/// Rows [row, row + out.dim(0)) of a frozen weight as dense values: out (rows, cols) f32 or bf16, one rounding from the exact f32
/// value of the block formats (ggml-quants.c) or of NF4 (bitsandbytes: code * absmax, then round).
void expand_rows(Exec& exec, const WeightView& weight, int64_t row, const TensorView& out);

/// The same, one row on the calling thread, to f32 (cols): the specification that every faster path is tested against.
void expand_row_reference(const WeightView& weight, int64_t row, float* out);

}  // namespace tenfold::ops
