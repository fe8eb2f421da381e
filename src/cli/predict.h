#pragma once

#include "cli/bench_support.h"
#include "train/trainer.h"

#include <cstdint>

namespace tenfold::cli {

/// What a GPU will take for one step, or for reading one prompt.
struct Prediction {
  double seconds = 0;
  double ideal = 0;           ///< of the useful operations at the ceilings
  double repeated_flops = 0;  ///< beyond the useful ones: what the backward computes again
};

/// A training step of one record under a plan; `ceilings` with all rates of the GPU. Copies that compute covers cost nothing.
Prediction predict_step(const Device& device, const Ceilings& ceilings, const ModelConfig& config, const LoraConfig& lora,
                        DType compute, const TrainPlan& plan, int64_t length, int64_t head_rows);
/// Reading a prompt into an empty cache.
Prediction predict_prefill(const Ceilings& ceilings, const ModelConfig& config, int64_t length);

/// Attention is measured at most at this length: beyond it the rate hardly grows (performance.md 9.4), and a second is saved.
inline constexpr int64_t kLongestMeasuredAttention = 32768;

}  // namespace tenfold::cli
