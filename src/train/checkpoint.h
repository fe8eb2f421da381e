#pragma once

#include "core/tensor.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace tenfold {

/// What a stopped run needs to go on: the trainable values and both AdamW moments (flat f32), and where it stood. The data order
/// and all randomness are functions of the step.
struct CheckpointTensors {
  TensorView values;
  TensorView m;
  TensorView v;
};

struct CheckpointState {
  int64_t step = 0;
  int64_t tokens = 0;
  double last_loss = 0;
  std::map<std::string, std::string> run;  ///< what must be equal for the losses to go on bit for bit
};

/// Writes checkpoint/step-NNNNNN.safetensors under `directory` (fsynced, with a hash of its tensors), then removes older ones.
/// IoError leaves the one before whole.
void save_checkpoint(const std::string& directory, const CheckpointState& state, const CheckpointTensors& tensors);

/// Reads the newest valid checkpoint into `tensors`; damaged ones are skipped with a warning. Nothing when there is none.
/// InputError when it is valid but of other sizes.
std::optional<CheckpointState> load_newest_checkpoint(const std::string& directory, const CheckpointTensors& tensors);

}  // namespace tenfold
