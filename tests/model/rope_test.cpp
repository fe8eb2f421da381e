#include "model/config.h"
#include "model/rope_base.h"
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

TEST(StretchedBase, AgreesWithTheEvidence) {
  struct Case {
    double theta;
    int64_t head_dim, old_length, new_length;
    double published;
    int64_t pair;
    double chosen;
  };
  // docs/numerics.md names the sources. Bases that worked lie within a factor of four of the rule.
  const Case cases[] = {{1e5, 64, 8192, 81920, 5e6, 19, 4.9e6},      {5e5, 128, 8192, 81920, 2e8, 32, 5.0e7},
                        {5e5, 128, 8192, 65536, 15.3e6, 32, 3.2e7},  {5e5, 128, 8192, 262144, 207.1e6, 32, 5.2e8},
                        {5e5, 128, 8192, 524288, 1.06e9, 32, 2.1e9}, {5e5, 128, 8192, 1048576, 2.80e9, 32, 8.2e9},
                        {1e4, 128, 4096, 32768, 5e5, 41, 2.6e5},     {1e4, 128, 4096, 100000, 1e6, 41, 1.5e6}};
  for (const Case& c : cases) {
    const StretchedBase b = stretched_base(c.theta, c.head_dim, c.old_length, c.new_length);
    SCOPED_TRACE(testing::Message() << c.theta << " " << c.old_length << " " << c.new_length);
    EXPECT_EQ(b.pair, c.pair);
    EXPECT_NEAR(b.theta / c.chosen, 1, 1e-12);
    EXPECT_LE(b.theta / c.published, 4.0);
    EXPECT_GE(b.theta / c.published, 0.25);
    EXPECT_GE(b.theta, b.ntk);
    EXPECT_LT(b.old_turns, kKnownTurns);
  }
}

TEST(StretchedBase, NoPairTurnsFurtherThanItWasSeenTo) {
  for (const int64_t head_dim : {4, 16, 64, 128, 256}) {
    for (const double theta : {1e3, 1e4, 1e5, 5e5, 1e6}) {
      for (const int64_t old_length : {512, 2048, 8192, 131072}) {
        for (const int64_t times : {2, 10, 32}) {
          const StretchedBase b = stretched_base(theta, head_dim, old_length, old_length * times);
          EXPECT_GE(b.theta, b.ntk * (1 - 1e-9)) << "NTK-aware scaling is the least";
          const auto turns = [&](double base, int64_t pair, int64_t length) {
            return static_cast<double>(length) *
                   std::pow(base, -2.0 * static_cast<double>(pair) / static_cast<double>(head_dim)) / (2 * std::numbers::pi);
          };
          for (int64_t pair = 0; pair < head_dim / 2; ++pair) {
            const double old_turns = turns(theta, pair, old_length);
            const double new_turns = turns(b.theta, pair, old_length * times);
            if (pair >= b.pair) {
              EXPECT_LE(new_turns, old_turns * (1 + 1e-9)) << pair;
            } else if (pair > 0) {
              EXPECT_GE(old_turns, kKnownTurns) << pair;
            }
          }
        }
      }
    }
  }
}

TEST(StretchedBase, LeavesWhatIsLongEnoughAndRefusesNonsense) {
  EXPECT_EQ(stretched_base(1e5, 64, 8192, 8192).theta, 1e5);
  EXPECT_EQ(stretched_base(12345, 64, 8192, 100).theta, 12345);
  EXPECT_EQ(stretched_base(1e5, 64, 8192, 100).pair, 0);
  EXPECT_THROW(stretched_base(1, 64, 8192, 16384), InputError);
  EXPECT_THROW(stretched_base(std::nan(""), 64, 8192, 16384), InputError);
  EXPECT_THROW(stretched_base(1e5, 2, 8192, 16384), InputError);
  EXPECT_THROW(stretched_base(1e5, 64, 0, 16384), InputError);
  EXPECT_THROW(stretched_base(1e5, 256, 8, 1 << 20), InputError) << "a base beyond f32";
}

}  // namespace
}  // namespace tenfold
