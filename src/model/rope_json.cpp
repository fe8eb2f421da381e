#include "model/rope_json.h"

#include <optional>
#include <string>

namespace tenfold {
namespace {

std::optional<double> optional_number(const Json& object, std::string_view key, std::string_view source) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  return json_number(object, key, source);
}

}  // namespace

RopeConfig rope_from_json(const Json& parameters, double theta, std::string_view source) {
  RopeConfig rope;
  rope.theta = json_number_or(parameters, "rope_theta", theta, source);
  const std::string type = json_string_or(parameters, "rope_type", json_string_or(parameters, "type", "default", source), source);
  rope.type = rope_type_of(type, source);
  rope.factor = json_number_or(parameters, "factor", rope.factor, source);
  rope.low_freq_factor = json_number_or(parameters, "low_freq_factor", rope.low_freq_factor, source);
  rope.high_freq_factor = json_number_or(parameters, "high_freq_factor", rope.high_freq_factor, source);
  rope.original_max_position = json_int_or(parameters, "original_max_position_embeddings", rope.original_max_position, source);
  rope.beta_fast = json_number_or(parameters, "beta_fast", rope.beta_fast, source);
  rope.beta_slow = json_number_or(parameters, "beta_slow", rope.beta_slow, source);
  rope.truncate = json_bool_or(parameters, "truncate", rope.truncate, source);
  rope.attention_factor = optional_number(parameters, "attention_factor", source);
  rope.mscale = optional_number(parameters, "mscale", source);
  rope.mscale_all_dim = optional_number(parameters, "mscale_all_dim", source);
  return rope;
}

RopeConfig rope_from_config_json(const Json& config, std::string_view source) {
  RopeConfig rope;
  rope.theta = json_number_or(config, "rope_theta", rope.theta, source);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (const auto found = config.find(key); found != config.end() && found->is_object())
      return rope_from_json(*found, rope.theta, source);
  }
  return rope;
}

Json rope_to_json(const RopeConfig& rope) {
  Json out;
  out["rope_type"] = std::string(name_of(rope.type));
  out["rope_theta"] = rope.theta;
  if (rope.type == RopeType::kDefault) return out;
  out["factor"] = rope.factor;
  if (rope.original_max_position > 0) out["original_max_position_embeddings"] = rope.original_max_position;
  if (rope.type == RopeType::kLlama3) {
    out["low_freq_factor"] = rope.low_freq_factor;
    out["high_freq_factor"] = rope.high_freq_factor;
  }
  if (rope.type == RopeType::kYarn) {
    out["beta_fast"] = rope.beta_fast;
    out["beta_slow"] = rope.beta_slow;
    out["truncate"] = rope.truncate;
    if (rope.attention_factor) out["attention_factor"] = *rope.attention_factor;
    if (rope.mscale) out["mscale"] = *rope.mscale;
    if (rope.mscale_all_dim) out["mscale_all_dim"] = *rope.mscale_all_dim;
  }
  return out;
}

}  // namespace tenfold
