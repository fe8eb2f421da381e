#pragma once

#include "train/trainer.h"

#include <cstdint>
#include <vector>

namespace tenfold {

/// What each layer keeps of a forward over `tokens`, as much as `bytes` allow; empty when not even the layer inputs fit.
std::vector<Keep> choose_keep(const ModelConfig& config, const LoraConfig& lora, DType compute, int64_t tokens, int64_t bytes);

/// Scratch that blocks and head take in turn.
int64_t training_scratch_bytes(Device& device, const ModelConfig& config, const LoraConfig& lora, DType compute,
                               const TrainSizes& sizes);

/// The rows that carry loss: hidden states before and after the last norm, and their gradients.
/// Loss positions that the head takes at a time.
inline constexpr int64_t kHeadRows = 8192;
int64_t head_buffer_bytes(const ModelConfig& config, DType compute, int64_t rows);

}  // namespace tenfold
