// Self-distillation: the gradient of KL(base || tuned) against finite differences, its value against a softmax of its own, and
// windows as a function of the step.
#include "train/distill.h"

#include "train/tiny_run.h"

#include "infer/session.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace tenfold {
namespace {

using test::TinyRun;

DistillOptions options_for(const TinyRun& s) {
  DistillOptions d;
  d.weight = 0.7;
  d.lengths = {40};
  d.tokens = 12;
  d.base_rope = s.model.config().rope;
  Rng rng(9, 9);
  for (int i = 0; i < 200; ++i)
    d.text.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(s.model.config().vocabulary))));
  return d;
}

TEST(Distill, GradientsMatchFiniteDifferences) {
  // The tuned model reads at another RoPE base than the untouched one; a trained norm and embedding, too.
  TinyRun s(LoraConfig::parse(4, 8, 0, false, {"q_proj", "k_proj", "v_proj", "o_proj", "down_proj"}, {"norm", "embed_tokens"}));
  s.options.distill = options_for(s);
  RopeConfig rope = s.model.config().rope;
  rope.theta *= 20;
  s.model.set_rope(rope);
  test::expect_gradients_match_differences(s);
}

/// Log probabilities of the token after each of the window's positions.
std::vector<std::vector<double>> log_probabilities(Device& device, const Model& model, const Adapter* adapter,
                                                   std::span<const int32_t> ids) {
  std::vector<std::vector<double>> out;
  SessionOptions options;
  options.capacity = static_cast<int64_t>(ids.size());
  options.compute = DType::kF32;
  Session session(device, model, adapter, options);
  for (size_t n = 1; n <= ids.size(); ++n) {
    const std::span<const float> logits = session.prefill(ids.first(n));
    double top = -INFINITY;
    for (const float l : logits) top = std::max(top, static_cast<double>(l));
    double sum = 0;
    for (const float l : logits) sum += std::exp(static_cast<double>(l) - top);
    out.emplace_back();
    for (const float l : logits) out.back().push_back(static_cast<double>(l) - top - std::log(sum));
  }
  return out;
}

TEST(Distill, IsTheMeanDivergenceFromTheUntouchedBase) {
  TinyRun s;
  s.options.distill = options_for(s);
  RopeConfig rope = s.model.config().rope;
  rope.theta *= 20;
  s.model.set_rope(rope);
  Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
  const std::vector<int64_t> records = {3};
  const double got = trainer.forward_backward(records, 5).distill_loss;
  const DistillWindow window = distill_window(s.options.distill, s.options.seed, 5);
  ASSERT_EQ(window.ids.size(), 40U);
  ASSERT_EQ(window.rows.size(), 12U);
  const auto tuned = log_probabilities(s.device, s.model, &s.adapter, window.ids);
  s.model.set_rope(s.options.distill.base_rope);
  const auto base = log_probabilities(s.device, s.model, nullptr, window.ids);
  double expected = 0;
  for (const int64_t row : window.rows) {
    const auto& p = base[static_cast<size_t>(row)];
    const auto& q = tuned[static_cast<size_t>(row)];
    for (size_t i = 0; i < p.size(); ++i) expected += std::exp(p[i]) * (p[i] - q[i]) / 12;
  }
  EXPECT_GT(expected, 1e-3);
  // Differences of logits of about ten that carry some 2^-20 of their size each.
  EXPECT_NEAR(got, expected, 40 * 0x1p-20);
}

TEST(Distill, OfAnUntouchedModelIsNothing) {
  TinyRun s;
  s.adapter = Adapter::create(s.device, s.model, s.lora, 1);  // B is zero: tuned and base are one
  s.options.distill = options_for(s);
  s.options.lm_loss_weight = 0;
  Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
  const std::vector<int64_t> none;
  EXPECT_NEAR(trainer.forward_backward(none, 0).distill_loss, 0, 1e-6);
  for (const float g : test::host_values(s.device, trainer.gradients())) ASSERT_LE(std::abs(g), 1e-6F);
}

TEST(Distill, WindowsAreAFunctionOfSeedAndStep) {
  TinyRun s;
  DistillOptions d = options_for(s);
  d.lengths = {16, 32};
  std::set<size_t> lengths;
  std::set<const int32_t*> starts;
  for (int64_t step = 0; step < 30; ++step) {
    const DistillWindow a = distill_window(d, 7, step);
    const DistillWindow b = distill_window(d, 7, step);
    EXPECT_EQ(a.ids.data(), b.ids.data());
    EXPECT_EQ(a.rows, b.rows);
    EXPECT_TRUE(std::is_sorted(a.rows.begin(), a.rows.end()));
    EXPECT_EQ(std::set(a.rows.begin(), a.rows.end()).size(), 12U);
    EXPECT_LT(a.rows.back() + 1, static_cast<int64_t>(a.ids.size()));
    lengths.insert(a.ids.size());
    starts.insert(a.ids.data());
  }
  EXPECT_EQ(lengths, (std::set<size_t>{16, 32}));
  EXPECT_GT(starts.size(), 15U);
}

TEST(Distill, RefusesATrainedHeadAndTooLittleText) {
  TinyRun head(LoraConfig::parse(4, 8, 0, false, {"q_proj"}, {"lm_head"}));
  head.options.distill = options_for(head);
  EXPECT_THROW(Trainer(head.device, head.model, head.adapter, head.examples, head.options), InputError);
  TinyRun s;
  s.options.distill = options_for(s);
  s.options.distill.lengths = {512};
  EXPECT_THROW(Trainer(s.device, s.model, s.adapter, s.examples, s.options), InputError);
}

}  // namespace
}  // namespace tenfold
