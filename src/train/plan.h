#pragma once

#include "train/trainer.h"

#include <cstdint>
#include <span>
#include <vector>

namespace tenfold {

/// Room for what forwards keep: on the device, and on the host beside it.
struct KeptRoom {
  int64_t device_bytes = 0;
  int64_t host_bytes = 0;
};

/// Layers that lie on the host pass through so many places on the device in turn: one in work, one on its way.
inline constexpr int64_t kOffloadPlaces = 2;

/// What each layer keeps of a forward over `tokens`, and where, so that the time lost to recomputing and to copies that compute
/// does not cover is least; empty when not even the layer inputs fit. Layers on the host come first: theirs is the longest way
/// between forward and backward.
std::vector<KeptLayer> choose_kept(const Device& device, const ModelConfig& config, const LoraConfig& lora, DType compute,
                                   int64_t tokens, const KeptRoom& room, Offload offload);
/// What such a choice takes.
KeptRoom room_of(const Device& device, const ModelConfig& config, const LoraConfig& lora, DType compute, int64_t tokens,
                 std::span<const KeptLayer> layers);

/// Operations of one layer over `tokens` that its backward does again when so much was kept of its forward.
struct RepeatedFlops {
  double products = 0;
  double attention = 0;
};
RepeatedFlops repeated_flops(const ModelConfig& config, Keep keep, int64_t tokens);

/// Scratch that blocks and head take in turn.
int64_t training_scratch_bytes(Device& device, const ModelConfig& config, const LoraConfig& lora, DType compute,
                               const TrainSizes& sizes);

/// Loss positions that the head takes at a time.
inline constexpr int64_t kHeadRows = 8192;
/// The rows that carry loss: hidden states before and after the last norm, and their gradients.
int64_t head_buffer_bytes(const ModelConfig& config, DType compute, int64_t rows);
/// The base's hidden states of self-distillation and their gradients.
int64_t teacher_buffer_bytes(const ModelConfig& config, DType compute, int64_t rows);

}  // namespace tenfold
