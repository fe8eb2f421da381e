#pragma once

#include "core/tensor.h"
#include "device/device.h"
#include "model/config.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tenfold {

/// One block's frozen weights. Norms are dense f32 (D); projections lie in the blocks they came in.
struct LayerWeights {
  TensorView attn_norm;               ///< (D)
  WeightView q;                       ///< (H E, D)
  WeightView k;                       ///< (G E, D)
  WeightView v;                       ///< (G E, D)
  WeightView o;                       ///< (D, H E)
  TensorView ffn_norm;                ///< (D)
  WeightView gate;                    ///< (F, D)
  WeightView up;                      ///< (F, D)
  WeightView down;                    ///< (D, F)
  TensorView q_bias, k_bias, v_bias;  ///< optional (H E), (G E), (G E) f32
};

struct LoadOptions {
  bool load_in_4bit = false;  ///< quantise dense projections to NF4 with double quantisation
  bool double_quant = true;
};

/// A model's frozen weights: views into the mapped file, or owned where the file's form is not ours (GGUF's permuted q and k
/// rows, norms in f32, NF4 made on loading). Immutable.
class Model {
 public:
  /// A GGUF file or a Hugging Face directory. InputError names file, tensor, expected and got.
  static Model load(const std::string& path, const LoadOptions& options = {});
  /// Random weights of a shape, in a layout (F32, BF16, Q4_0, Q4_1, Q8_0, NF4 with double quantisation): for benchmarks and
  /// tests. Deterministic in the seed, bit for bit the same wherever they are made: on the host, or on a device that outlives the
  /// model.
  static Model random(const ModelConfig& config, WeightLayout layout, uint64_t seed);
  static Model random(const ModelConfig& config, WeightLayout layout, uint64_t seed, Device& device);

  /// The same model with its weights copied to another device, each in the layout it has. The source may be dropped after.
  Model copied_to(Device& device) const;

  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  const ModelConfig& config() const;
  /// RoPE may be overridden after loading (--rope-theta, an adapter's tenfold.json).
  void set_rope(const RopeConfig& rope);
  const std::string& path() const;
  const LayerWeights& layer(int64_t i) const;
  const WeightView& embed_tokens() const;  ///< (V, D)
  const WeightView& head() const;          ///< (V, D); the same bytes as embed_tokens when tied
  const TensorView& final_norm() const;    ///< (D)
  /// Bytes of weights held, mapped or owned.
  int64_t weight_bytes() const;
  /// FNV-1a over the config and a sample of every tensor's bytes: tells an adapter's base from another model.
  uint64_t fingerprint() const;

  struct Impl;  ///< weights.h, for the loaders

 private:
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tenfold
