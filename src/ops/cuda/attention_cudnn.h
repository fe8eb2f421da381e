#pragma once

#include "device/cuda/context.h"

#include <cstdint>
#include <string>

/// cuDNN's flash attention. attention_cudnn.cpp is the one unit that sees cudnn_frontend.h, which takes minutes to compile.
namespace tenfold::cuda {

/// A (rows, heads, E) tensor of bf16, the last dimension contiguous; strides in elements, multiples of 8, the address of 16
/// bytes.
struct SdpaTensor {
  void* data = nullptr;
  int64_t row = 0;
  int64_t head = 0;
};

/// One segment, causal from the end: queries <= keys. Both should be multiples of 128 (cuDNN before 9.15.1 works around others).
struct Sdpa {
  bool backward = false;
  int64_t queries = 0;
  int64_t keys = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  float scale = 1.0F;
  bool with_lse = true;  ///< the forward writes lse; the backward always reads it
  SdpaTensor q, k, v, o;
  SdpaTensor d_o, d_q, d_k, d_v;  ///< backward
  float* lse = nullptr;           ///< (heads, queries), contiguous: cuDNN before 9.26 reads no other
};

/// What cuDNN can do with a call of these sizes, strides and scale.
struct SdpaPlan {
  std::string refusal;    ///< empty: it can
  int64_t workspace = 0;  ///< bytes
};

/// The addresses in `call` do not matter. A graph is built (0.1 s; the first 1.6 s) when a combination is met for the first time:
/// attention_prepare meets those of a run before its first step.
const SdpaPlan& sdpa_plan(Context& context, const Sdpa& call);

/// Enqueues a call that its plan does not refuse.
void sdpa_run(Context& context, const Sdpa& call, void* workspace);

}  // namespace tenfold::cuda
