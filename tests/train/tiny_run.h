#pragma once

// A tiny model in training, on the GPU where there is one.

#include "core/rng.h"
#include "ops/cpu_features.h"
#include "support/placed.h"
#include "train/loss.h"
#include "train/plan.h"
#include "train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace tenfold::test {

inline std::vector<Example> random_examples(const std::vector<int64_t>& lengths, int64_t vocabulary, uint64_t seed) {
  std::vector<Example> out;
  Rng rng(seed, 1);
  for (const int64_t n : lengths) {
    Example e;
    e.record = static_cast<int64_t>(out.size());
    for (int64_t t = 0; t < n; ++t) {
      e.ids.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(vocabulary))));
      e.kinds.push_back(t == 0 ? TokenKind::kNone : rng.uniform() < 0.3 ? TokenKind::kAnswer : TokenKind::kDocument);
    }
    out.push_back(std::move(e));
  }
  return out;
}

/// What the device computes in when nothing is asked for.
inline DType default_dtype() { return gpu() == nullptr ? ops::default_compute_dtype() : DType::kBF16; }

/// The shape "tiny" of so many layers.
inline ModelConfig tiny_shape(int64_t layers = 2) {
  ModelConfig config = config_of_shape("tiny");
  config.layers = layers;
  return config;
}

/// The smallest shape whose attention cuDNN computes on a GPU: its backward adds the gradient of the queries atomically.
inline ModelConfig tiny_cudnn_shape(int64_t layers = 2) {
  ModelConfig config = tiny_shape(layers);
  config.heads = 4, config.kv_heads = 1, config.head_dim = 64;
  return config;
}

/// A tiny model, an adapter whose B factors are not zero (so that every gradient is), and records.
struct TinyRun {
  Device cpu{2};
  Device& device = gpu_or(cpu);
  Model model;
  LoraConfig lora;
  Adapter adapter;
  std::vector<Example> examples;
  TrainOptions options;

  explicit TinyRun(LoraConfig config = default_lora(), const ModelConfig& shape = tiny_shape(), uint64_t seed = 3)
      : model(placed(device, Model::random(shape, WeightLayout::kF32, seed))),
        lora(std::move(config)),
        adapter(Adapter::create(device, model, lora, seed)),
        examples(random_examples({70, 33, 128, 5}, model.config().vocabulary, seed)) {
    Rng rng(seed, 2);
    std::vector<float> values = host_values(device, adapter.flat());
    for (float& v : values) v += 0.05F * static_cast<float>(rng.normal());
    set_values(device, adapter.flat(), values);
    options.lm_loss_weight = 0.3;
    options.lm_loss_tokens = 16;
    options.compute = DType::kF32;
    options.seed = 11;
  }

  static LoraConfig default_lora() { return LoraConfig::parse(4, 8, 0, false, {"q_proj", "k_proj", "v_proj", "o_proj"}, {}); }

  bool on_gpu() const { return device.kind() != DeviceKind::kCpu; }
  TrainSizes sizes() const { return train_sizes(examples, options, model.weight_bytes()); }
  TrainPlan plan() { return plan_training(device, model.config(), lora, options, sizes()); }
  /// The limit that the device's own memory is planned for.
  int64_t& memory_limit() { return on_gpu() ? options.gpu_memory : options.host_memory; }
};

struct LossAndGradient {
  double loss = 0;
  std::vector<float> gradient;
};

/// One forward and backward over these records.
inline LossAndGradient pass_of(TinyRun& s, const std::vector<int64_t>& records) {
  Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
  const double loss = trainer.forward_backward(records, 0).loss;
  return {loss, host_values(s.device, trainer.gradients())};
}

inline std::vector<float> gradient_of(TinyRun& s, const std::vector<int64_t>& records) { return pass_of(s, records).gradient; }

/// A gradient against that of another plan. The same bits, but where cuDNN computes the attention (`atomic`): there every layer's
/// gradient of the queries may be rounded otherwise, by one unit of bf16 (2^-7 of a value at most, and rarely), and what lies
/// below it follows.
inline ::testing::AssertionResult same_gradient(const std::vector<float>& actual, const std::vector<float>& expected, bool atomic,
                                                int64_t layers) {
  if (actual.size() != expected.size()) return ::testing::AssertionFailure() << actual.size() << " of " << expected.size();
  double error = 0;
  double norm = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!atomic && std::memcmp(&actual[i], &expected[i], 4) != 0)
      return ::testing::AssertionFailure() << actual[i] << " for " << expected[i] << " at " << i;
    error += std::pow(static_cast<double>(actual[i]) - static_cast<double>(expected[i]), 2);
    norm += std::pow(static_cast<double>(expected[i]), 2);
  }
  const double relative = std::sqrt(error) / std::sqrt(norm);
  if (relative <= static_cast<double>(layers) * 0x1p-7) return ::testing::AssertionSuccess();  // false for NaN
  return ::testing::AssertionFailure() << "off by " << relative << " of the norm";
}

/// Compares the gradient along random directions with central differences of the loss, parameter by parameter.
inline void expect_gradients_match_differences(TinyRun& s) {
  Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
  const std::vector<int64_t> records = {0, 1};
  trainer.forward_backward(records, 0);
  const std::vector<float> gradient = host_values(s.device, trainer.gradients());
  const std::vector<float> values = host_values(s.device, s.adapter.flat());
  Rng rng(5, 5);
  for (const Parameter& p : s.adapter.parameters()) {
    const int64_t n = p.rows * p.cols;
    std::vector<float> direction(static_cast<size_t>(n));
    double norm = 0;
    for (float& d : direction) d = static_cast<float>(rng.normal()), norm += static_cast<double>(d) * static_cast<double>(d);
    // A step along the gradient as well, so that the difference is not lost in the loss's own rounding.
    double gradient_norm = 0;
    for (int64_t i = 0; i < n; ++i)
      gradient_norm += std::pow(static_cast<double>(gradient[static_cast<size_t>(p.offset + i)]), 2);
    gradient_norm = std::sqrt(gradient_norm);
    ASSERT_GT(gradient_norm, 0) << p.key;
    double slope = 0;
    const double epsilon = 2e-2;
    std::vector<float> step(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) {
      const auto j = static_cast<size_t>(i);
      const double unit = 0.5 * static_cast<double>(direction[j]) / std::sqrt(norm) +
                          static_cast<double>(gradient[static_cast<size_t>(p.offset + i)]) / gradient_norm;
      step[j] = static_cast<float>(epsilon * unit);
      slope += static_cast<double>(step[j]) * static_cast<double>(gradient[static_cast<size_t>(p.offset + i)]);
    }
    const std::vector<float> before(values.begin() + p.offset, values.begin() + p.offset + n);
    const auto loss_at = [&](float sign) {
      std::vector<float> moved = before;
      for (size_t i = 0; i < moved.size(); ++i) moved[i] += sign * step[i];
      set_values(s.device, s.adapter.flat(), moved, p.offset);
      return trainer.forward_backward(records, 0).loss;
    };
    const double difference = (loss_at(1) - loss_at(-1)) / 2;
    set_values(s.device, s.adapter.flat(), before, p.offset);
    // f32 losses near 6 carry about 6 * 2^-24 * sqrt(layers of sums) ~ 3e-6 each; the cubic term of the difference is ~ epsilon^2
    // of the slope.
    const double tolerance = 6e-6 + 0.03 * std::abs(slope);
    EXPECT_TRUE(std::abs(difference - slope) <= tolerance) << p.key << ": difference " << difference << ", gradient " << slope;
  }
}

}  // namespace tenfold::test
