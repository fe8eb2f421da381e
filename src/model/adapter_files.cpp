#include "model/adapter.h"

#include "core/error.h"
#include "format/atomic_file.h"
#include "format/json.h"
#include "model/rope_json.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <deque>
#include <filesystem>

namespace tenfold {
namespace {

constexpr const char* kNotesFile = "tenfold.json";

/// What tenfold.json says was trained with: unlike a model's config.json, it has to name type and base.
RopeConfig rope_of(const Json& json, const std::string& source) {
  json_string(json, "rope_type", source);
  return rope_from_json(json, json_number(json, "rope_theta", source), source);
}

/// Copies a file tensor of any float dtype into f32.
void read_floats(const SafetensorsEntry& entry, float* out, int64_t n, const std::string& path) {
  const auto bytes = static_cast<int64_t>(entry.data.size());
  if (entry.dtype_name == "F32" && bytes == n * 4) {
    std::memcpy(out, entry.data.data(), entry.data.size());
  } else if ((entry.dtype_name == "BF16" || entry.dtype_name == "F16") && bytes == n * 2) {
    for (int64_t i = 0; i < n; ++i) {
      uint16_t bits = 0;
      std::memcpy(&bits, entry.data.data() + i * 2, 2);
      bf16 value;
      value.bits = bits;
      out[i] = entry.dtype_name == "BF16" ? static_cast<float>(value) : half_to_float(bits);
    }
  } else {
    throw_input("{}: tensor {}: dtype {} is not supported; expected F32, BF16 or F16", path, entry.name, entry.dtype_name);
  }
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(out[i])) throw_input("{}: tensor {}: element {} is not finite", path, entry.name, i);
  }
}

}  // namespace

Adapter Adapter::load(Device& device, const Model& model, const std::string& directory) {
  const PeftAdapter files(directory);
  const PeftConfig& peft = files.config();
  const AdapterNotes notes = read_adapter_notes(directory);
  if (notes.base_fingerprint && *notes.base_fingerprint != model.fingerprint()) {
    throw_input("--adapter {}: was trained on another model than {} (the fingerprint in {} differs)", directory, model.path(),
                kNotesFile);
  }
  Adapter a;
  try {
    a.config_ =
        LoraConfig::parse(peft.r, peft.lora_alpha, peft.lora_dropout, peft.use_rslora, peft.target_modules, peft.modules_to_save);
  } catch (const InputError& error) {
    throw_input("{}/adapter_config.json: {}", directory, error.what());
  }
  a.lay_out(model.config());
  a.values_ = device.allocate("adapter", MemoryUse::kAdapter, a.elements_ * 4);
  std::vector<float> values(static_cast<size_t>(a.elements_), 0.0F);
  const auto& tensors = files.tensors();
  for (const Parameter& p : a.parameters_) {
    if (!tensors.has(p.key)) {
      throw_input("{}: tensor {} is missing; the adapter belongs to another model or other target modules", tensors.path(),
                  p.key);
    }
    const SafetensorsEntry& entry = tensors.get(p.key);
    const std::vector<int64_t> expected = p.is_vector ? std::vector<int64_t>{p.cols} : std::vector<int64_t>{p.rows, p.cols};
    if (entry.shape != expected) {
      throw_input("{}: tensor {}: expected shape [{}], got [{}]; the adapter belongs to another model", tensors.path(), p.key,
                  fmt::join(expected, ", "), fmt::join(entry.shape, ", "));
    }
    read_floats(entry, values.data() + p.offset, p.rows * p.cols, tensors.path());
  }
  if (tensors.tensors().size() != a.parameters_.size()) {
    for (const auto& [name, entry] : tensors.tensors()) {
      const bool known =
          std::any_of(a.parameters_.begin(), a.parameters_.end(), [&](const Parameter& p) { return p.key == name; });
      if (!known) throw_input("{}: tensor {} is not part of this adapter's configuration", tensors.path(), name);
    }
  }
  device.copy_in(a.values_.data(), values.data(), a.elements_ * 4);
  return a;
}

void Adapter::save(const std::string& directory, const Model& model, const std::string& chat_template, DType dtype) const {
  make_directories(directory);
  PeftConfig peft;
  peft.base_model_name_or_path = std::filesystem::path(model.path()).filename().string();
  peft.r = config_.r;
  peft.lora_alpha = config_.alpha;
  peft.lora_dropout = config_.dropout;
  peft.use_rslora = config_.rslora;
  for (const Projection p : config_.targets) peft.target_modules.emplace_back(name_of(p));
  if (config_.train_embed_tokens) peft.modules_to_save.emplace_back("embed_tokens");
  if (config_.train_norms) peft.modules_to_save.emplace_back("norm");
  // A head that follows the trained embedding is written out as a copy: PEFT would otherwise keep the old one.
  const bool head_follows = config_.tie_embeddings && config_.train_embed_tokens && !config_.train_head;
  if (config_.train_head || head_follows) peft.modules_to_save.emplace_back("lm_head");

  std::deque<std::vector<bf16>> rounded;
  std::vector<SafetensorsItem> items;
  const HostCopy values = host_values();
  for (const Parameter& p : parameters_) {
    const int64_t n = p.rows * p.cols;
    void* data = values.view().ptr<float>() + p.offset;
    if (dtype == DType::kBF16) {
      auto& copy = rounded.emplace_back(static_cast<size_t>(n));
      for (int64_t i = 0; i < n; ++i) copy[static_cast<size_t>(i)] = bf16(static_cast<const float*>(data)[i]);
      data = copy.data();
    }
    items.push_back({p.key, p.is_vector ? TensorView(p.key.c_str(), dtype, {p.cols}, data)
                                        : TensorView(p.key.c_str(), dtype, {p.rows, p.cols}, data)});
    if (head_follows && p.key == peft_saved_key("model.embed_tokens"))
      items.push_back({peft_saved_key("lm_head"), items.back().tensor});
  }
  Json notes;
  notes["tenfold"] = TENFOLD_VERSION;
  notes["rope"] = rope_to_json(model.config().rope);
  notes["chat_template"] = chat_template;
  notes["base_fingerprint"] = fmt::format("{:016x}", model.fingerprint());
  write_file_atomically(directory + "/" + kNotesFile, notes.dump(2) + "\n");
  write_peft_adapter(directory, peft, items);
}

AdapterNotes read_adapter_notes(const std::string& directory) {
  AdapterNotes notes;
  const std::string path = directory + "/" + kNotesFile;
  if (!std::filesystem::exists(path)) return notes;
  const Json json = parse_json(read_text_file(path), path);
  if (!json.is_object()) throw_input("{}: expected an object, got {}", path, json.type_name());
  if (const auto rope = json.find("rope"); rope != json.end()) notes.rope = rope_of(*rope, path);
  notes.chat_template = json_string_or(json, "chat_template", "", path);
  if (json.contains("base_fingerprint")) {
    const std::string text = json_string(json, "base_fingerprint", path);
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (error != std::errc() || end != text.data() + text.size())
      throw_input("{}: base_fingerprint \"{}\" is not hexadecimal", path, text);
    notes.base_fingerprint = value;
  }
  return notes;
}

}  // namespace tenfold
