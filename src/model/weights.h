#pragma once

#include "format/gguf.h"
#include "format/safetensors.h"
#include "model/model.h"
#include "ops/nf4.h"

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace tenfold {

/// What a Model owns: the mapped source and whatever could not be viewed as it lies. Deques keep addresses stable.
struct Model::Impl {
  std::string path;
  ModelConfig config;
  std::optional<GgufFile> gguf;
  std::optional<SafetensorsDirectory> safetensors;
  std::vector<LayerWeights> layers;
  WeightView embed_tokens;
  WeightView head;
  TensorView final_norm;

  std::deque<std::string> names;
  std::deque<std::vector<std::byte>> owned_bytes;
  std::deque<std::vector<float>> owned_floats;
  std::deque<ops::Nf4Weight> owned_nf4;
  Buffer device_weights;                ///< all of them, where they lie on a device
  std::optional<uint64_t> fingerprint;  ///< where it is not the bytes': they are on a device, or random

  const char* keep_name(std::string name) { return names.emplace_back(std::move(name)).c_str(); }
  /// Every product weight and the embedding; the head only when it is not the embedding.
  void for_each_weight(const std::function<void(const WeightView&)>& visit) const;
};

void load_gguf(Model::Impl& model, const LoadOptions& options);
void load_directory(Model::Impl& model, const LoadOptions& options);
/// The weights of model.config: in memory of the host (`device` is the CPU), or in one buffer of another device.
void make_random(Model::Impl& model, Device& device, WeightLayout layout, uint64_t seed);

}  // namespace tenfold
