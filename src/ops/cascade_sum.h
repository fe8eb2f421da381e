#pragma once

#include <span>

namespace tenfold::ops {

/// The sum of f32 values in f32, in the order in which PyTorch's CPU sum of a contiguous array adds them on one thread
/// (aten/src/ATen/native/ cpu/SumKernel.cpp: eight lanes, four rows at once, partial sums carried through four levels).
/// bitsandbytes takes the offset of its double quantisation from such a mean, so that the same weights give the same bytes only
/// with the same order.
float cascade_sum(std::span<const float> values);

}  // namespace tenfold::ops
