#include "format/peft.h"

#include "core/error.h"
#include "format/atomic_file.h"
#include "format/json.h"
#include "format/names.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <set>
#include <utility>

namespace tenfold {
namespace {

constexpr std::string_view kConfigFile = "adapter_config.json";
constexpr std::string_view kWeightsFile = "adapter_model.safetensors";

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Whether a JSON value says "not used": null, false, an empty list or object.
bool is_off(const Json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) || (value.is_structured() && value.empty());
}

/// The leaf names of a regular expression that is an optional ".*" or ".*\." and one name or one alternation of names; the names
/// are matched at the end of a module's path, as PEFT's re.fullmatch does with them. Empty when it is anything else.
std::vector<std::string> names_of_simple_regex(std::string_view regex) {
  if (regex.starts_with('^')) regex.remove_prefix(1);
  if (regex.ends_with('$')) regex.remove_suffix(1);
  bool prefixed = false;
  for (const std::string_view prefix : {".*\\.", ".+\\.", ".*", ".+"}) {
    if (!regex.starts_with(prefix)) continue;
    regex.remove_prefix(prefix.size());
    prefixed = true;
    break;
  }
  if (!prefixed) return {};  // it would have to match the whole path, so it names no leaf
  if (regex.starts_with('(') && regex.ends_with(')')) {
    regex = regex.substr(1, regex.size() - 2);
    if (regex.starts_with("?:")) regex.remove_prefix(2);
  } else if (regex.find('|') != std::string_view::npos) {
    return {};  // without brackets the bar also splits the prefix
  }
  std::vector<std::string> names;
  for (;;) {
    const auto bar = regex.find('|');
    const std::string_view name = regex.substr(0, bar);
    if (!is_name(name)) return {};
    names.emplace_back(name);
    if (bar == std::string_view::npos) return names;
    regex.remove_prefix(bar + 1);
  }
}

/// The last part of a module path; a path through one numbered layer is refused, because our adapters cover every layer.
std::string leaf_of(const std::string& path, std::string_view key, const std::string& source) {
  std::string_view rest = path;
  for (;;) {
    const auto dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    if (!is_name(part)) throw_input("{}: {}: {} is not a module name", source, key, shown(path));
    if (is_number(part))
      throw_input("{}: {}: {} targets one layer only; adapters on some of the layers are not supported", source, key,
                  shown(path));
    if (dot == std::string_view::npos) return std::string(part);
    rest.remove_prefix(dot + 1);
  }
}

std::vector<std::string> sorted_unique(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::vector<std::string> read_module_list(const Json& value, std::string_view key, const std::string& source) {
  std::vector<std::string> names;
  for (const Json& item : value) {
    if (!item.is_string()) throw_input("{}: {}: expected module names, got {}", source, key, item.type_name());
    names.push_back(leaf_of(item.get<std::string>(), key, source));
  }
  return sorted_unique(std::move(names));
}

std::vector<std::string> read_target_modules(const Json& json, const std::string& source) {
  const auto it = json.find("target_modules");
  if (it == json.end() || it->is_null()) {
    throw_input("{}: target_modules: missing; list the projections the adapter has, such as [\"q_proj\", \"v_proj\"]", source);
  }
  std::vector<std::string> names;
  if (it->is_array()) {
    names = read_module_list(*it, "target_modules", source);
  } else if (it->is_string()) {
    const auto text = it->get<std::string>();
    if (text == "all-linear") {
      throw_input(
          "{}: target_modules: \"all-linear\" depends on the model it was trained on; replace it by the list of projections the"
          " adapter has, such as [\"q_proj\", \"k_proj\", \"v_proj\", \"o_proj\", \"gate_proj\", \"up_proj\", \"down_proj\"]",
          source);
    }
    names = sorted_unique(names_of_simple_regex(text));
    if (names.empty()) {
      throw_input(
          "{}: target_modules: the regular expression {} is not a simple choice of names such as \".*\\.(q_proj|v_proj)\";"
          " replace it by the list of projections",
          source, shown(text));
    }
  } else {
    throw_input("{}: target_modules: expected a list of names or a string, got {}", source, it->type_name());
  }
  if (names.empty()) throw_input("{}: target_modules: the list is empty; expected names such as \"q_proj\"", source);
  return names;
}

/// Everything that would change results and that we do not do, key by key.
void refuse_unsupported(const Json& json, const std::string& source) {
  constexpr std::array<std::pair<const char*, const char*>, 20> kRefused = {{
      {"use_dora", "DoRA"},
      {"use_qalora", "QALoRA"},
      {"use_bdlora", "BD-LoRA"},
      {"alora_invocation_tokens", "activated LoRA"},
      {"arrow_config", "Arrow routing"},
      {"kasa_config", "KaSA"},
      {"monteclora_config", "MonteCLoRA"},
      {"layer_replication", "replicated layers"},
      {"target_parameters", "LoRA on bare parameters"},
      {"rank_pattern", "a rank per module"},
      {"alpha_pattern", "an alpha per module"},
      {"lora_bias", "a bias on the LoRA factors"},
      {"fan_in_fan_out", "transposed weights"},
      {"exclude_modules", "excluded modules"},
      {"layers_to_transform", "an adapter on some of the layers"},
      {"trainable_token_indices", "single trained token rows"},
      {"ensure_weight_tying", "tied trained weights"},
      {"megatron_config", "Megatron layers"},
      {"use_mora", "MoRA"},
      {"use_hira", "HiRA"},
  }};
  for (const auto& [key, meaning] : kRefused) {
    const auto it = json.find(key);
    if (it != json.end() && !is_off(*it)) throw_input("{}: {}: {} is not supported", source, key, meaning);
  }
  const std::string bias = json_string_or(json, "bias", "none", source);
  if (bias != "none") throw_input("{}: bias: trained biases ({}) are not supported, only \"none\"", source, shown(bias));
  const auto init = json.find("init_lora_weights");
  if (init != json.end() && init->is_string()) {
    // The others take something out of the base weights at the start, so the file alone does not give the trained model.
    const auto kind = init->get<std::string>();
    if (kind != "gaussian" && kind != "eva" && kind != "orthogonal" && kind != "mica") {
      throw_input(
          "{}: init_lora_weights: {} changes the base weights; save the adapter converted to plain LoRA"
          " (PEFT: path_initial_model_for_weight_conversion)",
          source, shown(kind));
    }
  }
}

PeftConfig parse_config(const Json& json, const std::string& source) {
  if (!json.is_object()) throw_input("{}: expected a JSON object, got {}", source, json.type_name());
  const std::string type = json_string(json, "peft_type", source);
  if (type != "LORA") throw_input("{}: peft_type: {} is not supported, only \"LORA\"", source, shown(type));
  const std::string task = json_string_or(json, "task_type", "CAUSAL_LM", source);
  if (task != "CAUSAL_LM") throw_input("{}: task_type: {} is not supported, only \"CAUSAL_LM\"", source, shown(task));
  refuse_unsupported(json, source);

  PeftConfig config;  // its defaults are PEFT's
  config.base_model_name_or_path = json_string_or(json, "base_model_name_or_path", "", source);
  config.r = json_int_or(json, "r", config.r, source);
  config.lora_alpha = json_number_or(json, "lora_alpha", config.lora_alpha, source);
  config.lora_dropout = json_number_or(json, "lora_dropout", config.lora_dropout, source);
  config.use_rslora = json_bool_or(json, "use_rslora", false, source);
  constexpr int64_t kMaxRank = 1 << 20;
  if (config.r < 1 || config.r > kMaxRank) throw_input("{}: r: {} is not a rank, expected 1 to {}", source, config.r, kMaxRank);
  if (!std::isfinite(config.lora_alpha)) throw_input("{}: lora_alpha: {} is not a number", source, config.lora_alpha);
  if (!(config.lora_dropout >= 0 && config.lora_dropout < 1)) {
    throw_input("{}: lora_dropout: {} is not in [0, 1)", source, config.lora_dropout);
  }
  config.target_modules = read_target_modules(json, source);
  if (const auto it = json.find("modules_to_save"); it != json.end() && !it->is_null()) {
    if (!it->is_array()) throw_input("{}: modules_to_save: expected a list of names, got {}", source, it->type_name());
    config.modules_to_save = read_module_list(*it, "modules_to_save", source);
  }
  return config;
}

/// Every LoRA factor in the file has the rank the config says, and comes in pairs.
void check_factors(const SafetensorsFile& file, int64_t r) {
  for (const auto& [name, entry] : file.tensors()) {
    const auto a = name.rfind(".lora_A.weight");
    const auto b = name.rfind(".lora_B.weight");
    if (a == std::string::npos && b == std::string::npos) continue;
    if (entry.shape.size() != 2)
      throw_input("{}: tensor {}: {} dims, a LoRA factor has 2", file.path(), shown(name), entry.shape.size());
    const bool is_a = a != std::string::npos;
    const int64_t rank = entry.shape[is_a ? 0 : 1];
    if (rank != r) throw_input("{}: tensor {}: rank {}, but {} says r = {}", file.path(), shown(name), rank, kConfigFile, r);
    std::string partner = name;
    partner[partner.size() - std::string_view("A.weight").size()] = is_a ? 'B' : 'A';
    if (!file.has(partner)) throw_input("{}: tensor {} has no partner {}", file.path(), shown(name), shown(partner));
  }
}

}  // namespace

double PeftConfig::scale() const {
  const auto rank = static_cast<double>(r);
  return lora_alpha / (use_rslora ? std::sqrt(rank) : rank);
}

PeftAdapter::PeftAdapter(const std::string& directory) : path_(directory) {
  const std::filesystem::path root(directory);
  const std::string config = (root / kConfigFile).string();
  const std::string weights = (root / kWeightsFile).string();
  std::error_code error;
  if (!std::filesystem::exists(config, error)) throw_input("{}: not a PEFT adapter: {} is missing", directory, kConfigFile);
  if (!std::filesystem::exists(weights, error)) {
    throw_input(
        "{}: {} is missing{}", directory, kWeightsFile,
        std::filesystem::exists(root / "adapter_model.bin", error) ? "; convert adapter_model.bin to safetensors first" : "");
  }
  constexpr int64_t kMaxConfig = int64_t{1} << 24;
  config_ = parse_config(parse_json(read_text_file(config, kMaxConfig), config), config);
  tensors_ = std::make_unique<SafetensorsFile>(weights);
  check_factors(*tensors_, config_.r);
}

std::string peft_lora_key(int64_t layer, std::string_view module, char factor) {
  TENFOLD_CHECK(factor == 'A' || factor == 'B', "factor {}", factor);
  return fmt::format("base_model.model.model.layers.{}.{}.lora_{}.weight", layer, module, factor);
}

std::string peft_saved_key(std::string_view module) { return fmt::format("base_model.model.{}.weight", module); }

void write_peft_adapter(const std::string& directory, const PeftConfig& config, std::span<const SafetensorsItem> items) {
  TENFOLD_CHECK(config.r > 0 && !config.target_modules.empty(), "rank {}, {} targets", config.r, config.target_modules.size());
  make_directories(directory);
  const std::filesystem::path root(directory);
  write_safetensors((root / kWeightsFile).string(), items, {{"format", "pt"}});

  // nlohmann's plain json sorts its keys, as PEFT does.
  nlohmann::json json = {
      {"alpha_pattern", nlohmann::json::object()},
      {"auto_mapping", nullptr},
      {"base_model_name_or_path", nullptr},
      {"bias", "none"},
      {"exclude_modules", nullptr},
      {"fan_in_fan_out", false},
      {"inference_mode", true},
      {"init_lora_weights", true},
      {"layer_replication", nullptr},
      {"layers_pattern", nullptr},
      {"layers_to_transform", nullptr},
      {"lora_alpha", config.lora_alpha},
      {"lora_bias", false},
      {"lora_dropout", config.lora_dropout},
      {"modules_to_save", nullptr},
      {"peft_type", "LORA"},
      {"r", config.r},
      {"rank_pattern", nlohmann::json::object()},
      {"revision", nullptr},
      {"target_modules", sorted_unique(config.target_modules)},
      {"task_type", "CAUSAL_LM"},
      {"use_dora", false},
      {"use_rslora", config.use_rslora},
  };
  if (!config.base_model_name_or_path.empty()) json["base_model_name_or_path"] = config.base_model_name_or_path;
  if (!config.modules_to_save.empty()) json["modules_to_save"] = sorted_unique(config.modules_to_save);
  // PEFT declares lora_alpha an int; 16.0 would load, but other readers are stricter.
  if (std::abs(config.lora_alpha) < 0x1p53 && config.lora_alpha == std::floor(config.lora_alpha)) {
    json["lora_alpha"] = static_cast<int64_t>(config.lora_alpha);
  }
  write_file_atomically((root / kConfigFile).string(), json.dump(2) + "\n");
}

}  // namespace tenfold
