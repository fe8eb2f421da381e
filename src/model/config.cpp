#include "model/config.h"

#include "core/error.h"
#include "format/gguf.h"
#include "format/json.h"
#include "format/mapped_file.h"
#include "model/rope_json.h"

#include <array>
#include <filesystem>
#include <utility>

namespace tenfold {
namespace {

constexpr int64_t kSizeLimit = int64_t{1} << 31;

void read_token_ids(const Json& config, const char* key, std::vector<int32_t>& out, std::string_view source) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return;
  const auto take = [&](const Json& value) {
    if (!value.is_number_integer())
      throw_input("{}: {}: expected an integer or a list of integers, got {}", source, key, value.type_name());
    out.push_back(value.get<int32_t>());
  };
  out.clear();
  if (found->is_array()) {
    for (const Json& value : *found) take(value);
  } else {
    take(*found);
  }
}

void check_architecture(std::string_view architecture, std::string_view source) {
  if (architecture != "llama") {
    throw_input(
        "{}: architecture \"{}\" is not supported; tenfold reads the Llama family (model_type or general.architecture \"llama\")",
        source, architecture);
  }
}

}  // namespace

RopeType rope_type_of(std::string_view text, std::string_view source) {
  for (const RopeType type : {RopeType::kDefault, RopeType::kLinear, RopeType::kDynamic, RopeType::kLlama3, RopeType::kYarn}) {
    if (text == name_of(type)) return type;
  }
  throw_input("{}: rope_type \"{}\" is unknown; expected default, linear, dynamic, llama3 or yarn", source, text);
}

int64_t ModelConfig::layer_weights() const {
  return layers * (2 * hidden * q_size() + 2 * hidden * kv_size() + 3 * hidden * ffn);
}

void validate(const ModelConfig& c, std::string_view source) {
  const std::array<std::pair<const char*, int64_t>, 8> sizes = {{{"layers", c.layers},
                                                                 {"hidden size", c.hidden},
                                                                 {"intermediate size", c.ffn},
                                                                 {"attention heads", c.heads},
                                                                 {"key/value heads", c.kv_heads},
                                                                 {"head dim", c.head_dim},
                                                                 {"vocabulary", c.vocabulary},
                                                                 {"max position", c.max_position}}};
  for (const auto& [what, value] : sizes) {
    if (value <= 0 || value > kSizeLimit) throw_input("{}: {} is {}; expected 1 to {}", source, what, value, kSizeLimit);
  }
  if (c.heads % c.kv_heads != 0)
    throw_input("{}: {} attention heads are not a multiple of {} key/value heads", source, c.heads, c.kv_heads);
  if (c.head_dim % 2 != 0) throw_input("{}: head dim {} is odd; RoPE rotates pairs", source, c.head_dim);
  if (!(c.rms_eps >= 0.0F && c.rms_eps < 1.0F)) throw_input("{}: RMS norm epsilon is {}", source, c.rms_eps);
  if (!(c.rope.theta > 1.0)) throw_input("{}: RoPE base is {}; expected more than 1", source, c.rope.theta);
  if (!(c.rope.factor > 0.0)) throw_input("{}: RoPE factor is {}; expected more than 0", source, c.rope.factor);
  if (c.rope.type == RopeType::kLlama3 && c.rope.original_max_position <= 0) {
    throw_input("{}: rope_type llama3 needs original_max_position_embeddings", source);
  }
  if (c.qk_norm) throw_input("{}: normalised queries and keys (q_norm, k_norm) are not supported", source);
  if (c.sliding_window != 0) throw_input("{}: sliding window attention is not supported", source);
}

ModelConfig config_from_directory(const std::string& directory) {
  const std::string source = directory + "/config.json";
  const Json json = parse_json(read_text_file(source), source);
  if (!json.is_object()) throw_input("{}: expected an object, got {}", source, json.type_name());
  ModelConfig c;
  c.architecture = json_string(json, "model_type", source);
  check_architecture(c.architecture, source);
  const std::string activation = json_string_or(json, "hidden_act", "silu", source);
  if (activation != "silu") throw_input("{}: hidden_act \"{}\" is not supported; expected silu", source, activation);
  c.name = std::filesystem::path(directory).filename().string();
  c.layers = json_int(json, "num_hidden_layers", source);
  c.hidden = json_int(json, "hidden_size", source);
  c.ffn = json_int(json, "intermediate_size", source);
  c.heads = json_int(json, "num_attention_heads", source);
  c.kv_heads = json_int_or(json, "num_key_value_heads", c.heads, source);
  c.head_dim = json_int_or(json, "head_dim", c.heads > 0 ? c.hidden / c.heads : 0, source);
  c.vocabulary = json_int(json, "vocab_size", source);
  c.max_position = json_int(json, "max_position_embeddings", source);
  c.rms_eps = static_cast<float>(json_number_or(json, "rms_norm_eps", 1e-6, source));
  c.tied_head = json_bool_or(json, "tie_word_embeddings", false, source);
  c.qkv_bias = json_bool_or(json, "attention_bias", false, source);
  if (c.qkv_bias) throw_input("{}: attention_bias true also biases o_proj, which is not supported", source);
  if (json_bool_or(json, "mlp_bias", false, source)) throw_input("{}: mlp_bias true is not supported", source);
  c.sliding_window = json_int_or(json, "sliding_window", 0, source);
  c.rope = rope_from_config_json(json, source);
  c.bos_id = static_cast<int32_t>(json_int_or(json, "bos_token_id", -1, source));
  read_token_ids(json, "eos_token_id", c.eos_ids, source);
  const std::string generation = directory + "/generation_config.json";
  if (std::filesystem::exists(generation)) {
    read_token_ids(parse_json(read_text_file(generation), generation), "eos_token_id", c.eos_ids, generation);
  }
  validate(c, source);
  return c;
}

ModelConfig config_from_gguf(const GgufFile& file) {
  const std::string& source = file.path();
  ModelConfig c;
  c.architecture = file.string("general.architecture");
  check_architecture(c.architecture, source);
  c.name = file.string_if("general.name").value_or("");
  c.layers = file.integer("llama.block_count");
  c.hidden = file.integer("llama.embedding_length");
  c.ffn = file.integer("llama.feed_forward_length");
  c.heads = file.integer("llama.attention.head_count");
  c.kv_heads = file.integer_if("llama.attention.head_count_kv").value_or(c.heads);
  c.head_dim = file.integer_if("llama.attention.key_length").value_or(c.heads > 0 ? c.hidden / c.heads : 0);
  const GgufTensor& embeddings = file.get("token_embd.weight");
  c.vocabulary = embeddings.shape.size() == 2 ? embeddings.shape[0] : 0;
  c.max_position = file.integer("llama.context_length");
  c.rms_eps = static_cast<float>(file.number("llama.attention.layer_norm_rms_epsilon"));
  c.tied_head = !file.has("output.weight");
  c.rope.theta = file.number_if("llama.rope.freq_base").value_or(10000.0);
  const std::string_view scaling = file.string_if("llama.rope.scaling.type").value_or("none");
  if (scaling != "none") {
    c.rope.type = rope_type_of(scaling, source);
    c.rope.factor = file.number_if("llama.rope.scaling.factor").value_or(1.0);
    c.rope.original_max_position = file.integer_if("llama.rope.scaling.original_context_length").value_or(0);
  }
  if (file.integer_if("llama.rope.dimension_count").value_or(c.head_dim) != c.head_dim) {
    throw_input("{}: llama.rope.dimension_count {} differs from the head dim {}; partial rotation is not supported", source,
                file.integer("llama.rope.dimension_count"), c.head_dim);
  }
  c.bos_id = static_cast<int32_t>(file.integer_if("tokenizer.ggml.bos_token_id").value_or(-1));
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    if (const auto id = file.integer_if(key)) c.eos_ids.push_back(static_cast<int32_t>(*id));
  }
  validate(c, source);
  return c;
}

ModelConfig config_of_shape(std::string_view name) {
  ModelConfig c;
  c.name = name;
  c.rms_eps = 1e-5F;
  if (name == "smollm2-135m") {
    c.layers = 30, c.hidden = 576, c.ffn = 1536, c.heads = 9, c.kv_heads = 3, c.head_dim = 64, c.vocabulary = 49152;
    c.max_position = 8192, c.rope.theta = 1e5, c.tied_head = true;
  } else if (name == "llama3-8b") {
    c.layers = 32, c.hidden = 4096, c.ffn = 14336, c.heads = 32, c.kv_heads = 8, c.head_dim = 128, c.vocabulary = 128256;
    c.max_position = 8192, c.rope.theta = 5e5;
  } else if (name == "tiny") {
    c.layers = 2, c.hidden = 64, c.ffn = 160, c.heads = 4, c.kv_heads = 2, c.head_dim = 16, c.vocabulary = 257;
    c.max_position = 512, c.tied_head = true;
  } else {
    throw_input("--shape {}: unknown; expected smollm2-135m, llama3-8b or tiny", name);
  }
  return c;
}

}  // namespace tenfold
