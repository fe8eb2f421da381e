#include "infer/session.h"

#include "core/rng.h"
#include "ops/cpu_features.h"
#include "support/placed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <optional>

namespace tenfold {
namespace {

std::vector<int32_t> random_ids(int64_t n, uint64_t seed) {
  Rng rng(seed, 9);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<int32_t>(rng.below(257)));
  return ids;
}

std::vector<float> logits_after(Session& session, std::span<const int32_t> ids) {
  const std::span<const float> logits = session.prefill(ids);
  return {logits.begin(), logits.end()};
}

/// |actual - expected| over |expected|; NaN where anything is not finite.
double difference(const std::vector<float>& actual, const std::vector<float>& expected) {
  double error = 0;
  double norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(static_cast<double>(actual[i]) - static_cast<double>(expected[i]), 2);
    norm += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(error) / std::sqrt(norm);
}

class SessionTest : public ::testing::TestWithParam<DType> {
 protected:
  /// Two layers of products and roundings: 4 roundings a layer to the compute dtype, eps each, relative to the norm.
  double other_kernels() const { return 4 * (GetParam() == DType::kBF16 ? 0x1p-8 : 0x1p-20); }
  bool on_gpu() const { return device_.kind() != DeviceKind::kCpu; }
  /// Tokens that a prompt is cut at: what a GPU pads pieces to, or fewer than that.
  int64_t piece(int64_t on_cpu) const { return on_gpu() ? device_.row_multiple() : on_cpu; }

  Device cpu_{2};
  Device& device_ = test::gpu_or(cpu_);
  Model model_ = test::placed(device_, Model::random(config_of_shape("tiny"), WeightLayout::kQ8_0, 5));
  SessionOptions options_{.capacity = 400, .compute = GetParam(), .prefill_chunk = 2048};
};

TEST_P(SessionTest, ReuseAndChunkSizeChangeNoBit) {
  const std::vector<int32_t> prompt = random_ids(300, 1);
  Session whole(device_, model_, nullptr, options_);
  std::vector<float> expected = logits_after(whole, prompt);
  options_.prefill_chunk = piece(64);
  Session pieces(device_, model_, nullptr, options_);
  const std::vector<float> cut = logits_after(pieces, prompt);
  if (on_gpu()) {
    // Its libraries choose kernels by the number of rows; but the same pieces are the same calls, whatever the cache held.
    EXPECT_LE(difference(cut, expected), other_kernels());
    expected = cut;
  }
  EXPECT_EQ(cut, expected);
  for (const int64_t shared : {1, 17, 130, 285, 299, 300}) {
    std::vector<int32_t> other = random_ids(350, 2);
    std::copy_n(prompt.begin(), shared, other.begin());
    pieces.prefill(other);
    EXPECT_EQ(logits_after(pieces, prompt), expected) << "after a prompt with " << shared << " tokens in common";
  }
}

TEST_P(SessionTest, DecodeAgreesWithPrefill) {
  const std::vector<int32_t> prompt = random_ids(40, 3);
  Session session(device_, model_, nullptr, options_);
  session.prefill(std::span(prompt).first(30));
  std::vector<float> decoded;
  for (size_t i = 30; i < 40; ++i) {
    const std::span<const float> logits = session.decode(prompt[i]);
    decoded.assign(logits.begin(), logits.end());
  }
  Session fresh(device_, model_, nullptr, options_);
  const std::vector<float> expected = logits_after(fresh, prompt);
  EXPECT_LE(difference(decoded, expected), other_kernels());
}

TEST_P(SessionTest, ScoreIsTheLogSoftmaxOfTheLogits) {
  // Two pieces, the second a few tokens short.
  const int64_t chunk = piece(48);
  const std::vector<int32_t> ids = random_ids(2 * chunk - 6, 4);
  options_.prefill_chunk = chunk;
  Session session(device_, model_, nullptr, options_);
  const std::vector<float> nll = session.score(ids);
  ASSERT_EQ(nll.size(), ids.size());
  EXPECT_EQ(nll[0], 0.0F);
  for (const size_t t : {size_t{20}, static_cast<size_t>(chunk) - 1, ids.size() - 1}) {
    const std::vector<float> logits = logits_after(session, std::span(ids).first(t));
    double sum = 0;
    for (const float l : logits) sum += std::exp(static_cast<double>(l));
    const double expected = std::log(sum) - static_cast<double>(logits[static_cast<size_t>(ids[t])]);
    EXPECT_TRUE(std::abs(static_cast<double>(nll[t]) - expected) <= (GetParam() == DType::kBF16 ? 0.03 : 1e-4))
        << t << ": " << nll[t] << " " << expected;
  }
}

TEST_P(SessionTest, GenerateStopsAndLeavesThePromptInTheCache) {
  // A GPU reuses whole pieces, so it is given a prompt of one and a half, and reads the half in the same call again.
  const std::vector<int32_t> prompt = random_ids(on_gpu() ? 192 : 60, 5);
  if (on_gpu()) options_.prefill_chunk = device_.row_multiple();
  Session session(device_, model_, nullptr, options_);
  const GenerateResult first = session.generate(prompt, 12, {});
  ASSERT_EQ(first.ids.size(), 12U);
  EXPECT_FALSE(first.stopped);
  const GenerateResult again = session.generate(prompt, 12, {});
  EXPECT_EQ(again.ids, first.ids);
  EXPECT_EQ(again.reused_tokens, on_gpu() ? device_.row_multiple() : 44);
  const std::vector<int32_t> stop = {first.ids[3]};
  const GenerateResult stopped = session.generate(prompt, 12, stop);
  EXPECT_TRUE(stopped.stopped);
  EXPECT_LE(stopped.ids.size(), 3U);
}

TEST_P(SessionTest, WrittenTogetherIsWrittenAlone) {
  // The second begins as the first does, the third is short, the fourth is the first again; more than a step carries at once.
  const int64_t shared = on_gpu() ? 2 * device_.row_multiple() : 150;
  std::vector<std::vector<int32_t>> prompts = {random_ids(300, 7), random_ids(310, 8), random_ids(3, 9), {}, random_ids(90, 10)};
  std::copy_n(prompts[0].begin(), shared + 5, prompts[1].begin());
  prompts[3] = prompts[0];
  const std::vector<std::span<const int32_t>> views(prompts.begin(), prompts.end());
  if (on_gpu()) options_.prefill_chunk = device_.row_multiple();
  options_.sequences = std::ssize(prompts);
  Session together(device_, model_, nullptr, options_);
  const std::vector<GenerateResult> results = together.generate_together(views, 20, {});
  ASSERT_EQ(results.size(), 5U);
  EXPECT_EQ(results[0].reused_tokens, 0);
  EXPECT_EQ(results[1].reused_tokens, on_gpu() ? shared : shared + 5);
  EXPECT_EQ(results[2].reused_tokens, 0);
  EXPECT_EQ(results[3].reused_tokens, on_gpu() ? 2 * device_.row_multiple() : 300 - 16);
  options_.sequences = 1;
  for (size_t i = 0; i < prompts.size(); ++i) {
    ASSERT_EQ(results[i].ids.size(), 20U) << i;
    EXPECT_EQ(results[i].prompt_tokens, std::ssize(prompts[i]));
    // Whatever else is written beside it, and whatever the caches held.
    EXPECT_EQ(together.generate_together(std::span(views).subspan(i, 1), 20, {})[0].ids, results[i].ids) << i;
    Session alone(device_, model_, nullptr, options_);
    const std::vector<int32_t> ids = alone.generate(prompts[i], 20, {}).ids;
    if (on_gpu())
      EXPECT_EQ(results[i].ids[0], ids[0]) << i;  // the rest comes from other kernels, and near ties may fall otherwise
    else
      EXPECT_EQ(results[i].ids, ids) << i;
  }
  EXPECT_EQ(results[3].ids, results[0].ids);

  // One stops on the way; the others go on as before. The first prompt is in its cache still, without what was written.
  const std::vector<int32_t> stop = {results[1].ids[4]};
  const std::vector<GenerateResult> stopped = together.generate_together(views, 20, stop);
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto end = std::find(results[i].ids.begin(), results[i].ids.end(), stop[0]);
    EXPECT_EQ(stopped[i].ids, std::vector<int32_t>(results[i].ids.begin(), end)) << i;
    EXPECT_EQ(stopped[i].stopped, end != results[i].ids.end()) << i;
  }
  EXPECT_TRUE(stopped[1].stopped);
  EXPECT_TRUE(together.generate_together(views, 0, {})[2].ids.empty());
  EXPECT_EQ(together.generate_together(views, 1, {})[2].ids, std::vector<int32_t>{results[2].ids[0]});

  int asked = 0;
  const std::vector<GenerateResult> first = together.generate_together(views, 20, {}, [&] { return ++asked == 2; });
  ASSERT_EQ(first.size(), 2U);
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(first[i].ids, results[i].ids) << i;

  prompts[2] = random_ids(395, 6);
  const std::vector<std::span<const int32_t>> longer(prompts.begin(), prompts.end());
  EXPECT_THROW(together.generate_together(longer, 10, {}), InputError);
}

TEST_P(SessionTest, RefusesWhatItCannotHold) {
  Session session(device_, model_, nullptr, options_);
  EXPECT_THROW(session.prefill(random_ids(401, 6)), InputError);
  EXPECT_THROW(session.generate(random_ids(395, 6), 10, {}), InputError);
  EXPECT_THROW(session.prefill({}), InputError);
  const std::vector<int32_t> outside = {257};
  EXPECT_THROW(session.prefill(outside), InputError);
}

TEST_P(SessionTest, PlanIsWhatTheDeviceHolds) {
  const LoraConfig lora = LoraConfig::parse(6, 8, 0, false, {"q_proj", "down_proj"}, {"norm"});
  for (const LoraConfig* with : {static_cast<const LoraConfig*>(nullptr), &lora}) {
    options_.sequences = with == nullptr ? 1 : 3;
    const int64_t before = device_.bytes_in_use();
    std::optional<Adapter> adapter;
    if (with != nullptr) adapter = Adapter::create(device_, model_, lora, 1);
    const Session session(device_, model_, adapter ? &*adapter : nullptr, options_);
    const MemoryPlan plan = Session::plan(device_, model_.config(), with, options_, model_.weight_bytes());
    const int64_t surroundings = on_gpu() ? device_.overhead_bytes() : kProgramBytes;
    EXPECT_EQ(device_.bytes_in_use() - before, plan.total() - model_.weight_bytes() - surroundings);
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, SessionTest, ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& p) { return std::string(name_of(p.param)); });

TEST(Sampling, FollowsTheDistribution) {
  const std::vector<float> logits = {0.0F, std::log(2.0F), std::log(5.0F), -20.0F};
  std::vector<int> counts(4, 0);
  for (int64_t step = 0; step < 8000; ++step) ++counts[static_cast<size_t>(sample(logits, {.temperature = 1, .seed = 3}, step))];
  // Shares 1/8, 2/8, 5/8; three standard deviations of 8000 draws are below 0.017.
  EXPECT_NEAR(counts[0] / 8000.0, 0.125, 0.017);
  EXPECT_NEAR(counts[1] / 8000.0, 0.25, 0.017);
  EXPECT_NEAR(counts[2] / 8000.0, 0.625, 0.017);
  for (int64_t step = 0; step < 200; ++step) {
    EXPECT_EQ(sample(logits, {.temperature = 1, .top_k = 1}, step), 2);
    EXPECT_EQ(sample(logits, {.temperature = 1, .top_p = 0.5F}, step), 2);
  }
  EXPECT_EQ(sample(logits, {}, 0), 2);
}

}  // namespace
}  // namespace tenfold
