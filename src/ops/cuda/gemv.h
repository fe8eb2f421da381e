#pragma once

#include "ops/linear.h"

namespace tenfold::cuda {

/// Where x and the LoRA input go whose rows no 16-byte load can take.
struct GemvScratch {
  TensorView x;        ///< (T, K), columns padded to 8
  TensorView lora_in;  ///< the same
};
GemvScratch take_gemv(Exec& exec, int64_t tokens, int64_t in_features);

/// linear_forward for at most ops::kGemvRows tokens: the weight is dotted as it lies. W and the masters enter unrounded, except
/// that the NF4 kernel rounds the sixteen codes (not code times scale) to bf16.
void gemv_forward(Exec& exec, const TensorView& x, const WeightView& w, const ops::LinearArgs& args, const TensorView& y);

}  // namespace tenfold::cuda
