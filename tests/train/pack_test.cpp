// Short records that share a pass: the same losses, gradients within rounding, and one by one where they must be.
#include "train/tiny_run.h"

#include <gtest/gtest.h>

#include <array>

namespace tenfold {
namespace {

using test::TinyRun;

struct StepOutcome {
  StepMetrics metrics;
  std::vector<float> gradient;
};

StepOutcome outcome_of(TinyRun& s, int64_t pack_tokens, const std::vector<int64_t>& records) {
  s.options.pack_tokens = pack_tokens;
  Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
  StepOutcome out;
  out.metrics = trainer.forward_backward(records, 3);
  out.gradient = test::host_values(s.device, trainer.gradients());
  return out;
}

/// |a - b| over |b|; infinite where anything is not finite.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  const double relative = std::sqrt(error / norm);
  return std::isfinite(relative) ? relative : INFINITY;
}

class Pack : public testing::TestWithParam<int64_t> {};

TEST_P(Pack, ChangesGradientsByRoundingAlone) {
  // 70, 33, 128 and 5 tokens: shared passes are half as long as the longest record at most, so 33 and 5 share one.
  for (const std::vector<int64_t>& records : {std::vector<int64_t>{0, 1, 2, 3}, {3, 1}, {2, 0, 3}}) {
    TinyRun s(LoraConfig::parse(4, 8, 0, false, {"q_proj", "k_proj", "v_proj", "o_proj", "down_proj"}, {"norm", "embed_tokens"}));
    s.options.lm_loss_tokens = 0;
    s.options.skip = {.share = 0.5, .length = 1000};
    const StepOutcome alone = outcome_of(s, 0, records);
    const StepOutcome packed = outcome_of(s, GetParam(), records);
    EXPECT_EQ(packed.metrics.tokens, alone.metrics.tokens);
    // f32: the same rows; sums over records in another order.
    EXPECT_NEAR(packed.metrics.answer_loss, alone.metrics.answer_loss, 2e-6 * alone.metrics.answer_loss);
    EXPECT_NEAR(packed.metrics.lm_loss, alone.metrics.lm_loss, 2e-6 * alone.metrics.lm_loss);
    EXPECT_LE(distance(packed.gradient, alone.gradient), 2e-5) << records.size() << " records";
    if (!s.on_gpu() && records.size() != 3) EXPECT_NE(packed.gradient, alone.gradient) << "33 and 5 did not share a pass";
  }
}

INSTANTIATE_TEST_SUITE_P(Room, Pack, testing::Values(40, 64, 100000));

TEST(Packed, GradientsMatchFiniteDifferences) {
  TinyRun s;
  s.options.pack_tokens = 128;
  s.options.lm_loss_far = 2;
  test::expect_gradients_match_differences(s);
}

TEST(Packed, RecordsSeeNothingOfEachOther) {
  // Another neighbour in the pass changes no loss of a record: of 33 and 5 tokens, the 5 replaced.
  TinyRun s;
  s.options.lm_loss_weight = 0;
  const auto sum_of = [&](TinyRun& run, const std::vector<int64_t>& records) {
    int64_t answers = 0;
    for (const int64_t r : records) answers += loss_positions(run.examples[static_cast<size_t>(r)], false, 0, 0, 0).answers;
    return outcome_of(run, 128, records).metrics.answer_loss * static_cast<double>(answers);
  };
  TinyRun other;
  other.options.lm_loss_weight = 0;
  for (int32_t& id : other.examples[3].ids) id = (id + 7) % static_cast<int32_t>(other.model.config().vocabulary);
  const double together = sum_of(s, {1, 3}) - sum_of(s, {3});
  EXPECT_NEAR(together, sum_of(other, {1, 3}) - sum_of(other, {3}), 1e-5 * together);
  EXPECT_NEAR(together, sum_of(s, {1}), 1e-5 * together);
}

TEST(Packed, NotWithDropoutNorWithDynamicRope) {
  TinyRun dropout(LoraConfig::parse(4, 8, 0.2, false, {"q_proj", "o_proj"}, {}));
  EXPECT_EQ(outcome_of(dropout, 0, {0, 1, 3}).gradient, outcome_of(dropout, 100000, {0, 1, 3}).gradient);
  TinyRun dynamic;
  RopeConfig rope = dynamic.model.config().rope;
  rope.type = RopeType::kDynamic;
  rope.factor = 2;
  dynamic.model.set_rope(rope);
  EXPECT_EQ(outcome_of(dynamic, 0, {0, 1, 3}).gradient, outcome_of(dynamic, 100000, {0, 1, 3}).gradient);
}

}  // namespace
}  // namespace tenfold
