#include "model/config.h"
#include "model/rope_json.h"

#include "core/error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace tenfold {
namespace {

// Golden logits cover every variant end to end; these hold the properties that a reader of formats.md 5 would check by hand.

TEST(Rope, LinearDividesEveryFrequency) {
  RopeConfig plain;
  RopeConfig linear;
  linear.type = RopeType::kLinear;
  linear.factor = 4;
  const auto a = rope_frequencies(plain, 64, 2048, 100).inv_freq;
  const auto b = rope_frequencies(linear, 64, 2048, 100).inv_freq;
  for (size_t i = 0; i < a.size(); ++i) EXPECT_FLOAT_EQ(b[i], a[i] / 4.0F);
}

TEST(Rope, DynamicIsPlainUpToTheTrainedLengthAndSlowerBeyond) {
  RopeConfig dynamic;
  dynamic.type = RopeType::kDynamic;
  dynamic.factor = 2;
  const auto plain = rope_frequencies(RopeConfig{}, 64, 2048, 100).inv_freq;
  EXPECT_EQ(rope_frequencies(dynamic, 64, 2048, 2048).inv_freq, plain);
  const auto longer = rope_frequencies(dynamic, 64, 2048, 8192).inv_freq;
  EXPECT_EQ(longer.front(), plain.front());
  EXPECT_LT(longer.back(), plain.back() / 4);
}

TEST(Rope, Llama3KeepsShortWavesAndStretchesLongOnes) {
  RopeConfig rope;
  rope.type = RopeType::kLlama3;
  rope.theta = 500000;
  rope.factor = 8;
  rope.low_freq_factor = 1;
  rope.high_freq_factor = 4;
  rope.original_max_position = 8192;
  RopeConfig plain;
  plain.theta = 500000;
  const auto a = rope_frequencies(plain, 128, 131072, 100).inv_freq;
  const auto b = rope_frequencies(rope, 128, 131072, 100).inv_freq;
  for (size_t i = 0; i < a.size(); ++i) {
    const double wavelength = 2 * std::numbers::pi / static_cast<double>(a[i]);
    if (wavelength < 8192.0 / 4) {
      EXPECT_EQ(a[i], b[i]) << i;
    } else if (wavelength > 8192.0) {
      EXPECT_FLOAT_EQ(b[i], a[i] / 8) << i;
    } else {
      EXPECT_LT(b[i], a[i]) << i;
      EXPECT_GT(b[i], a[i] / 8) << i;
    }
  }
}

TEST(Rope, YarnScalesAttention) {
  RopeConfig rope;
  rope.type = RopeType::kYarn;
  rope.factor = 4;
  rope.original_max_position = 2048;
  const RopeFrequencies f = rope_frequencies(rope, 64, 8192, 100);
  EXPECT_FLOAT_EQ(f.attention_factor, static_cast<float>(0.1 * std::log(4.0) + 1));
  const auto plain = rope_frequencies(RopeConfig{}, 64, 8192, 100).inv_freq;
  EXPECT_EQ(f.inv_freq.front(), plain.front());
  EXPECT_FLOAT_EQ(f.inv_freq.back(), plain.back() / 4);
}

TEST(RopeJson, WhatIsWrittenIsReadBack) {
  RopeConfig rope;
  rope.theta = 2e5;
  rope.factor = 8;
  rope.original_max_position = 8192;
  for (const RopeType type : {RopeType::kDefault, RopeType::kLinear, RopeType::kDynamic, RopeType::kLlama3, RopeType::kYarn}) {
    rope.type = type;
    rope.low_freq_factor = 2;
    rope.beta_fast = 24;
    rope.mscale = 0.7;
    const Json json = rope_to_json(rope);
    const RopeConfig back = rope_from_json(json, 1e4, "test");
    EXPECT_EQ(rope_to_json(back), json) << name_of(type);
    EXPECT_EQ(back.theta, rope.theta);
    EXPECT_EQ(rope_frequencies(back, 64, 8192, 16384).inv_freq, rope_frequencies(rope, 64, 8192, 16384).inv_freq);
    // A model's config.json holds the same object, under the name of either version of transformers.
    for (const char* key : {"rope_parameters", "rope_scaling"})
      EXPECT_EQ(rope_to_json(rope_from_config_json(Json{{key, json}}, "test")), json) << name_of(type);
  }
  const Json old = {{"rope_theta", 5e5}, {"rope_scaling", {{"type", "linear"}, {"factor", 2}}}};
  EXPECT_EQ(rope_from_config_json(old, "test").theta, 5e5);
  EXPECT_EQ(rope_from_config_json(old, "test").type, RopeType::kLinear);
  EXPECT_THROW(rope_from_json({{"rope_type", "longrope"}}, 1e4, "test"), InputError);
}

TEST(Config, NamesTheFieldThatIsWrong) {
  ModelConfig c = config_of_shape("tiny");
  c.kv_heads = 3;
  EXPECT_THROW(validate(c, "test"), InputError);
  c = config_of_shape("tiny");
  c.head_dim = 15;
  EXPECT_THROW(validate(c, "test"), InputError);
  c = config_of_shape("tiny");
  c.rope.theta = std::nan("");
  EXPECT_THROW(validate(c, "test"), InputError);
  EXPECT_THROW(config_of_shape("llama9"), InputError);
}

}  // namespace
}  // namespace tenfold
