#include "model/config.h"

#include "core/error.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tenfold {
namespace {

constexpr double kTwoPi = 2.0 * std::numbers::pi;

// HF computes theta ** (2i / dim) in f32 and takes its reciprocal; doing the same keeps every bit of the golden tables.
std::vector<float> default_inv_freq(double theta, int64_t head_dim) {
  std::vector<float> out(static_cast<size_t>(head_dim / 2));
  for (size_t i = 0; i < out.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    out[i] = 1.0F / std::pow(static_cast<float>(theta), exponent);
  }
  return out;
}

void apply_llama3(const RopeConfig& rope, std::vector<float>& inv_freq) {
  const auto original = static_cast<double>(rope.original_max_position);
  const double low = original / rope.low_freq_factor;
  const double high = original / rope.high_freq_factor;
  for (float& f : inv_freq) {
    const double wavelength = kTwoPi / f;
    if (wavelength > low) {
      f = static_cast<float>(f / rope.factor);
    } else if (wavelength >= high) {
      const double smooth = (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      f = static_cast<float>((1.0 - smooth) * f / rope.factor + smooth * f);
    }
  }
}

double yarn_mscale(double factor, double mscale) { return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

float apply_yarn(const RopeConfig& rope, int64_t head_dim, int64_t max_position, std::vector<float>& inv_freq) {
  const auto original = static_cast<double>(rope.original_max_position > 0 ? rope.original_max_position : max_position);
  const auto dim = static_cast<double>(head_dim);
  const auto correction = [&](double rotations) {
    return dim * std::log(original / (rotations * kTwoPi)) / (2.0 * std::log(rope.theta));
  };
  double low = correction(rope.beta_fast);
  double high = correction(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    inv_freq[i] = static_cast<float>(inv_freq[i] / rope.factor * ramp + inv_freq[i] * (1.0 - ramp));
  }
  if (rope.attention_factor) return static_cast<float>(*rope.attention_factor);
  if (rope.mscale && rope.mscale_all_dim) {
    return static_cast<float>(yarn_mscale(rope.factor, *rope.mscale) / yarn_mscale(rope.factor, *rope.mscale_all_dim));
  }
  return static_cast<float>(yarn_mscale(rope.factor, 1.0));
}

}  // namespace

std::string_view name_of(RopeType type) {
  switch (type) {
    case RopeType::kDefault: return "default";
    case RopeType::kLinear: return "linear";
    case RopeType::kDynamic: return "dynamic";
    case RopeType::kLlama3: return "llama3";
    case RopeType::kYarn: return "yarn";
  }
  TENFOLD_CHECK(false, "rope type {}", static_cast<int>(type));
}

RopeFrequencies rope_frequencies(const RopeConfig& rope, int64_t head_dim, int64_t max_position, int64_t length) {
  RopeFrequencies out;
  double theta = rope.theta;
  if (rope.type == RopeType::kDynamic) {
    const auto original = static_cast<double>(max_position);  // as transformers, whatever original_max_position_embeddings says
    const double reach = std::max(static_cast<double>(length), original);
    const auto dim = static_cast<double>(head_dim);
    theta *= std::pow(rope.factor * reach / original - (rope.factor - 1.0), dim / (dim - 2.0));
  }
  out.inv_freq = default_inv_freq(theta, head_dim);
  switch (rope.type) {
    case RopeType::kDefault:
    case RopeType::kDynamic: break;
    case RopeType::kLinear:
      for (float& f : out.inv_freq) f = static_cast<float>(f / rope.factor);
      break;
    case RopeType::kLlama3: apply_llama3(rope, out.inv_freq); break;
    case RopeType::kYarn: out.attention_factor = apply_yarn(rope, head_dim, max_position, out.inv_freq); break;
  }
  for (size_t i = 0; i < rope.divisors.size() && i < out.inv_freq.size(); ++i) out.inv_freq[i] /= rope.divisors[i];
  return out;
}

}  // namespace tenfold
