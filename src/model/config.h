#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

class GgufFile;

enum class RopeType : uint8_t { kDefault, kLinear, kDynamic, kLlama3, kYarn };
std::string_view name_of(RopeType type);
/// InputError, naming `source` (a file or an option) and the known names, on any other name.
RopeType rope_type_of(std::string_view name, std::string_view source);

/// Rotary position embedding (formats.md 5; huggingface/transformers, modeling_rope_utils.py). Fields that a type does not use
/// stay at their defaults.
struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 10000.0;
  double factor = 1.0;
  double low_freq_factor = 1.0;   ///< llama3
  double high_freq_factor = 4.0;  ///< llama3
  int64_t original_max_position = 0;
  double beta_fast = 32.0;                 ///< yarn
  double beta_slow = 1.0;                  ///< yarn
  bool truncate = true;                    ///< yarn
  std::optional<double> attention_factor;  ///< yarn
  std::optional<double> mscale;            ///< yarn
  std::optional<double> mscale_all_dim;    ///< yarn
  std::vector<float> divisors;             ///< GGUF rope_freqs.weight (E/2): llama3 scaling as llama.cpp stores it
};

/// Inverse frequencies (E/2), each rounded to f32 as HF computes them, and the factor on cos and sin (yarn; else 1).
struct RopeFrequencies {
  std::vector<float> inv_freq;
  float attention_factor = 1.0F;
};

/// `length` matters to `dynamic` alone: the sequence length that the frequencies are frozen for.
RopeFrequencies rope_frequencies(const RopeConfig& rope, int64_t head_dim, int64_t max_position, int64_t length);

/// The shape of a decoder of the Llama family. Sizes are elements.
struct ModelConfig {
  std::string architecture = "llama";
  std::string name;
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t ffn = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocabulary = 0;
  int64_t max_position = 0;
  float rms_eps = 1e-5F;
  RopeConfig rope;
  bool tied_head = false;
  bool qkv_bias = false;
  bool qk_norm = false;
  int64_t sliding_window = 0;  ///< 0: none
  int32_t bos_id = -1;
  std::vector<int32_t> eos_ids;  ///< the stop set, from generation_config.json where there is one

  int64_t q_size() const { return heads * head_dim; }
  int64_t kv_size() const { return kv_heads * head_dim; }
  /// Weights of all layers' products, without embedding and head.
  int64_t layer_weights() const;
  /// Multiply-adds x 2 of all layers' products for one token, one way.
  double linear_flops_per_token() const { return 2.0 * static_cast<double>(layer_weights()); }
  double head_flops_per_token() const { return 2.0 * static_cast<double>(hidden) * static_cast<double>(vocabulary); }
};

/// From a model directory's config.json and generation_config.json. InputError on an unknown architecture (listing the known) or
/// a missing field.
ModelConfig config_from_directory(const std::string& directory);
/// From GGUF metadata.
ModelConfig config_from_gguf(const GgufFile& file);
/// A named shape for plans and benchmarks on random weights: smollm2-135m, llama3-8b, tiny. InputError lists the names.
ModelConfig config_of_shape(std::string_view name);
/// Checks sizes against each other; InputError names the field.
void validate(const ModelConfig& config, std::string_view source);

}  // namespace tenfold
