#pragma once

#include "core/tensor.h"
#include "device/device.h"
#include "format/peft.h"
#include "model/model.h"
#include "ops/linear.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenfold {

/// The projections of a block that LoRA may stand beside.
enum class Projection : uint8_t { kQ, kK, kV, kO, kGate, kUp, kDown, kCount };
inline constexpr size_t kProjections = static_cast<size_t>(Projection::kCount);
/// "q_proj" ...; and its module path inside a layer, "self_attn.q_proj".
std::string_view name_of(Projection projection);
std::string_view module_of(Projection projection);
/// (out features, in features) of a projection's weight.
std::pair<int64_t, int64_t> projection_shape(const ModelConfig& config, Projection projection);

struct LoraConfig {
  int64_t r = 32;
  double alpha = 16;
  double dropout = 0;
  bool rslora = false;
  std::vector<Projection> targets = {Projection::kQ, Projection::kK, Projection::kV, Projection::kO};
  bool train_embed_tokens =
      false;                    ///< whole (V, D) parameter; the tied head keeps the old weight, as in PEFT, unless tie_embeddings
  bool train_norms = false;     ///< every RMSNorm weight, as PEFT's "norm" matches them
  bool train_head = false;      ///< lm_head
  bool tie_embeddings = false;  ///< head follows the trained embedding

  float scale() const;
  /// Parses --lora-targets and --lora-extra-params names; InputError with the nearest name.
  static LoraConfig parse(int64_t r, double alpha, double dropout, bool rslora, const std::vector<std::string>& targets,
                          const std::vector<std::string>& extra);
};

/// One trainable parameter inside the flat array.
struct Parameter {
  std::string key;  ///< PEFT state-dict key
  int64_t rows = 0;
  int64_t cols = 0;  ///< 1-d parameters have rows = 1
  bool is_vector = false;
  int64_t offset = 0;  ///< elements from the start of the flat array
};

/// The trainable parameters in one flat f32 array, so that gradients and optimiser state are arrays of the same layout.
class Adapter {
 public:
  /// Fresh: A ~ U(+-1/sqrt(in)) (kaiming_uniform with a = sqrt(5), as PEFT), B = 0, extra parameters copied from the model.
  static Adapter create(Device& device, const Model& model, const LoraConfig& config, uint64_t seed);
  /// From a PEFT directory; InputError when a tensor is missing, left over, or of another model's shape.
  static Adapter load(Device& device, const Model& model, const std::string& directory);
  /// Writes PEFT files and tenfold.json (RoPE, chat template, fingerprint, `notes`). dtype kF32 or kBF16.
  void save(const std::string& directory, const Model& model, const std::string& chat_template, DType dtype) const;

  /// `elements()` of an adapter of this configuration, without its values or a model's weights: for plans.
  static int64_t elements_of(const ModelConfig& model, const LoraConfig& config);

  const LoraConfig& config() const { return config_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  int64_t elements() const { return elements_; }
  TensorView flat() const { return values_.view(DType::kF32, {elements_}); }
  /// The flat array as the host reads it.
  HostCopy host_values() const { return {*values_.device(), flat()}; }

  /// LoRA factors of a projection over any flat array of this layout (values or gradients); empty when it is not a target.
  ops::LoraView lora(int64_t layer, Projection projection, const TensorView& flat) const;
  ops::LoraView lora(int64_t layer, Projection projection) const { return lora(layer, projection, flat()); }
  /// Extra parameters over a flat array; empty when not trained.
  TensorView embed_tokens(const TensorView& flat) const;
  TensorView head(const TensorView& flat) const;
  TensorView attn_norm(int64_t layer, const TensorView& flat) const;
  TensorView ffn_norm(int64_t layer, const TensorView& flat) const;
  TensorView final_norm(const TensorView& flat) const;

 private:
  Adapter() = default;
  void lay_out(const ModelConfig& model);
  TensorView view(int64_t index, const TensorView& flat, const char* name) const;

  LoraConfig config_;
  int64_t layers_ = 0;
  int64_t hidden_ = 0;
  std::vector<Parameter> parameters_;
  std::vector<std::array<int64_t, kProjections>> lora_index_;  ///< index of A; B follows; -1: not a target
  std::vector<int64_t> attn_norm_index_, ffn_norm_index_;
  int64_t embed_index_ = -1, head_index_ = -1, final_norm_index_ = -1;
  int64_t elements_ = 0;
  Buffer values_;
};

/// What a run reads where a parameter may be trained whole: the adapter's values where it has them, else the model's frozen ones.
/// `adapter` may be null. Views of the adapter's values stay valid as long as the adapter and see every update.
WeightView embedding_table(const Model& model, const Adapter* adapter);
WeightView head_table(const Model& model, const Adapter* adapter);
TensorView final_norm(const Model& model, const Adapter* adapter);
TensorView attn_norm(const Model& model, const Adapter* adapter, int64_t layer);
TensorView ffn_norm(const Model& model, const Adapter* adapter, int64_t layer);

/// What an adapter directory's tenfold.json says about how to run it; absent fields stay empty.
struct AdapterNotes {
  std::optional<RopeConfig> rope;
  std::string chat_template;
  std::optional<uint64_t> base_fingerprint;
};
AdapterNotes read_adapter_notes(const std::string& directory);

}  // namespace tenfold
