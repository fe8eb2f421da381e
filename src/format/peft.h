#pragma once

#include "format/safetensors.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// The fields of adapter_config.json that change results (huggingface/peft, src/peft/tuners/lora/config.py).
struct PeftConfig {
  std::string base_model_name_or_path;
  int64_t r = 8;
  double lora_alpha = 8;
  double lora_dropout = 0;
  bool use_rslora = false;
  std::vector<std::string> target_modules;   ///< leaf names such as q_proj
  std::vector<std::string> modules_to_save;  ///< such as embed_tokens, norm, lm_head

  /// lora_alpha / r, or lora_alpha / sqrt(r) with rsLoRA.
  double scale() const;
};

/// A PEFT LoRA adapter directory: adapter_config.json and adapter_model.safetensors. Refuses what would change results and is
/// not supported (DoRA, bias, layer_replication, rank_pattern ...), naming the key. Throws InputError / IoError.
class PeftAdapter {
 public:
  explicit PeftAdapter(const std::string& directory);

  const PeftConfig& config() const { return config_; }
  const SafetensorsFile& tensors() const { return *tensors_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  PeftConfig config_;
  std::unique_ptr<SafetensorsFile> tensors_;
};

/// Key of a LoRA factor in a PEFT file: layer 3, "self_attn.q_proj", 'A' ->
/// base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight
std::string peft_lora_key(int64_t layer, std::string_view module, char factor);
/// Key of a wholly trained parameter: "model.embed_tokens" -> base_model.model.model.embed_tokens.weight
std::string peft_saved_key(std::string_view module);

/// Writes both files so that PEFT loads them (each atomically, the config last). Throws IoError.
void write_peft_adapter(const std::string& directory, const PeftConfig& config, std::span<const SafetensorsItem> items);

}  // namespace tenfold
