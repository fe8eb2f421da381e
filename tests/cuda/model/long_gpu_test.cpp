// Plans at 80K tokens, where recomputing and copies weigh against each other as in a real run: what is kept, where it lies and
// how the head and the sessions cut their rows changes nothing.
#include "infer/session.h"
#include "train/tiny_run.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <set>

namespace tenfold {
namespace {

using test::LossAndGradient;
using test::pass_of;
using test::same_gradient;
using test::TinyRun;

/// 80K and not a whole number of blocks of 128.
constexpr int64_t kTokens = 81920 - 50;

/// Five layers: two places on the device, three that leave.
ModelConfig shape_of(int64_t hidden, int64_t heads, int64_t head_dim, int64_t ffn) {
  ModelConfig config = test::tiny_shape(5);
  config.hidden = hidden, config.heads = heads, config.kv_heads = 1, config.head_dim = head_dim, config.ffn = ffn;
  config.max_position = 131072;
  config.rope.theta = 5e5;
  return config;
}

/// One record of kTokens with loss on all of them.
struct LongRun : TinyRun {
  explicit LongRun(const ModelConfig& shape) : TinyRun(TinyRun::default_lora(), shape) {
    examples = test::random_examples({kTokens}, shape.vocabulary, 5);
    std::fill(examples.front().kinds.begin() + 1, examples.front().kinds.end(), TokenKind::kDocument);
    options.lm_loss_weight = 1;
    options.lm_loss_tokens = 0;
    options.compute = DType::kBF16;
  }

  /// A pass under the options, and what it took.
  LossAndGradient timed_pass(const std::string& what) {
    const auto start = std::chrono::steady_clock::now();
    LossAndGradient result = pass_of(*this, {0});
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("%-60s loss %.9f, %.1f s\n", what.c_str(), result.loss, seconds);
    return result;
  }
};

std::string text_of(const std::vector<KeptLayer>& layers) {
  std::string text;
  for (const KeptLayer& layer : layers) text += fmt::format(" {}{}", static_cast<int>(layer.keep), layer.on_host ? "h" : "");
  return text;
}

/// Everything on the host, at every level: the host's memory is one byte less each time than the level before took.
void expect_offload_changes_nothing(LongRun& s, bool atomic) {
  s.options.offload = Offload::kNever;
  const LossAndGradient expected = s.timed_pass("all on the device:" + text_of(s.plan().layers));
  s.options.offload = Offload::kAlways;
  std::set<Keep> levels;
  while (true) {
    std::vector<KeptLayer> layers;
    int64_t taken = 0;
    try {
      const TrainPlan plan = s.plan();
      layers = plan.layers;
      taken = plan.host.total();
      ASSERT_GT(plan.offload_bytes, 0);
    } catch (const DeviceError&) {
      break;
    }
    ASSERT_TRUE(levels.insert(layers.front().keep).second);
    const LossAndGradient got = s.timed_pass("on the host:" + text_of(layers));
    EXPECT_EQ(got.loss, expected.loss) << text_of(layers);
    EXPECT_TRUE(same_gradient(got.gradient, expected.gradient, atomic, s.model.config().layers)) << text_of(layers);
    s.options.host_memory = kProgramBytes + taken - 1;
  }
  EXPECT_EQ(levels.size(), 4U);
}

TEST(LongOffload, ChangesNoBitOfTheGradients) {
  // Heads of 32 are attended by our own kernels, which add nothing atomically.
  LongRun s(shape_of(64, 2, 32, 32));
  expect_offload_changes_nothing(s, /*atomic=*/false);
}

TEST(LongOffload, OfTheHeadsOfAnEightBChangesNoBitOfTheLoss) {
  LongRun s(shape_of(512, 4, 128, 512));
  expect_offload_changes_nothing(s, /*atomic=*/true);
}

TEST(LongPlans, OfEveryLimitGiveTheSameLoss) {
  // Less and less GPU memory: more is repeated, then some of it goes to the host, until nothing fits.
  LongRun s(shape_of(512, 4, 128, 512));
  LossAndGradient expected;
  std::set<std::vector<KeptLayer>> plans;
  bool offloads = false;
  while (true) {
    TrainPlan plan;
    try {
      plan = s.plan();
    } catch (const DeviceError&) {
      break;
    }
    ASSERT_TRUE(plans.insert(plan.layers).second) << text_of(plan.layers);
    offloads = offloads || plan.offload_bytes > 0;
    const LossAndGradient got = s.timed_pass(fmt::format("{} MiB:{}", plan.memory.total() >> 20, text_of(plan.layers)));
    if (expected.gradient.empty()) expected = got;
    EXPECT_EQ(got.loss, expected.loss) << text_of(plan.layers);
    EXPECT_TRUE(same_gradient(got.gradient, expected.gradient, /*atomic=*/true, s.model.config().layers)) << text_of(plan.layers);
    s.options.gpu_memory = plan.memory.total() - 1;
  }
  EXPECT_GE(plans.size(), 8U);
  EXPECT_TRUE(offloads);
}

TEST(LongScore, AgreesWithTheLossOfTraining) {
  // Training takes all tokens at once and the head 8192 rows at a time; a session reads 16384 tokens at a time through its cache
  // and takes the head 512 rows at a time. Both are bf16 runs of five layers, in which a value is rounded 14 times a layer
  // (reference_test.cpp); a loss is a logit less a mean of logits. Rows share keys and values, so no mean over them is relied on.
  LongRun s(shape_of(512, 4, 128, 512));
  const double loss = s.timed_pass("training").loss;
  Session session(s.device, s.model, &s.adapter, {.capacity = kTokens, .compute = DType::kBF16});
  const std::vector<int32_t>& ids = s.examples.front().ids;
  const std::vector<float> nll = session.score(ids);
  double mean = 0;
  for (const float x : nll) mean += static_cast<double>(x) / static_cast<double>(kTokens - 1);
  const auto logits = session.prefill(std::span(ids).first(1000));
  double squares = 0;
  for (const float l : logits) squares += static_cast<double>(l) * static_cast<double>(l);
  const double size = std::sqrt(squares / static_cast<double>(logits.size()));
  std::printf("training %.6f, session %.6f\n", loss, mean);
  EXPECT_LE(std::abs(loss - mean), std::sqrt(2.0) * 0x1p-8 * std::sqrt(2.0 * 5 * 14) * size) << loss << " and " << mean;
}

}  // namespace
}  // namespace tenfold
