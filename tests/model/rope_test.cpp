#include "model/config.h"

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
