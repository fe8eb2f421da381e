#pragma once

// A training run small enough to differentiate by hand: what the trainer's tests share.

#include "core/rng.h"
#include "train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <utility>
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

/// A tiny model, an adapter whose B factors are not zero (so that every gradient is), and records.
struct TinyRun {
  Device device{2};
  Model model;
  LoraConfig lora;
  Adapter adapter;
  std::vector<Example> examples;
  TrainOptions options;

  explicit TinyRun(LoraConfig config = default_lora(), WeightLayout layout = WeightLayout::kF32, uint64_t seed = 3,
                   int64_t layers = 2)
      : model(Model::random(shape_of(layers), layout, seed)),
        lora(std::move(config)),
        adapter(Adapter::create(device, model, lora, seed)),
        examples(random_examples({70, 33, 128, 5}, model.config().vocabulary, seed)) {
    Rng rng(seed, 2);
    float* values = adapter.flat().ptr<float>();
    for (int64_t i = 0; i < adapter.elements(); ++i) values[i] += 0.05F * static_cast<float>(rng.normal());
    options.lm_loss_weight = 0.3;
    options.lm_loss_tokens = 16;
    options.compute = DType::kF32;
    options.seed = 11;
  }

  static ModelConfig shape_of(int64_t layers) {
    ModelConfig config = config_of_shape("tiny");
    config.layers = layers;
    return config;
  }
  static LoraConfig default_lora() { return LoraConfig::parse(4, 8, 0, false, {"q_proj", "k_proj", "v_proj", "o_proj"}, {}); }
};

/// Compares the gradient along random directions with central differences of the loss, parameter by parameter.
inline void expect_gradients_match_differences(TinyRun& s) {
  Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
  const std::vector<int64_t> records = {0, 1};
  trainer.forward_backward(records, 0);
  const TensorView g = trainer.gradients();
  const std::vector<float> gradient(g.ptr<float>(), g.ptr<float>() + g.elements());
  float* values = s.adapter.flat().ptr<float>();
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
    const std::vector<float> before(values + p.offset, values + p.offset + n);
    const auto loss_at = [&](float sign) {
      for (int64_t i = 0; i < n; ++i) values[p.offset + i] = before[static_cast<size_t>(i)] + sign * step[static_cast<size_t>(i)];
      return trainer.forward_backward(records, 0).loss;
    };
    const double difference = (loss_at(1) - loss_at(-1)) / 2;
    std::memcpy(values + p.offset, before.data(), before.size() * 4);
    // f32 losses near 6 carry about 6 * 2^-24 * sqrt(layers of sums) ~ 3e-6 each; the cubic term of the difference is ~ epsilon^2
    // of the slope.
    const double tolerance = 6e-6 + 0.03 * std::abs(slope);
    EXPECT_TRUE(std::abs(difference - slope) <= tolerance) << p.key << ": difference " << difference << ", gradient " << slope;
  }
}

}  // namespace tenfold::test
