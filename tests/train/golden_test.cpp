// Training against PyTorch: the loss and every gradient of tiny Llamas (LoRA on all projections, embeddings, norms, heads, an NF4
// base) and ten steps of AdamW with warm-up and clipping. The goldens come from dev/make_goldens.py.

#include "support/golden.h"

#include "format/scratch.h"
#include "train/trainer.h"

#include <gtest/gtest.h>

namespace tenfold {
namespace {

using test::golden_path;
using test::golden_values;

struct GradientCase {
  const char* name;
  const char* shape;    ///< of the records and the model directory
  const char* adapter;  ///< PEFT directory with the starting values
  bool follow = false;  ///< the head follows the trained embedding
  bool nf4 = false;
};

std::ostream& operator<<(std::ostream& out, const GradientCase& c) { return out << c.name; }

struct TrainGolden : ::testing::TestWithParam<GradientCase> {
  SafetensorsFile golden{golden_path("tiny.safetensors")};
  Device cpu{2};
  Device& device = test::gpu_or(cpu);
  Model model =
      test::placed(device, Model::load(golden_path(fmt::format("tiny_{}", GetParam().shape)), {.load_in_4bit = GetParam().nf4}));
  Adapter adapter = starting_adapter();
  std::vector<Example> records = test::golden_records(golden, GetParam().shape);
  Scratch scratch;
  std::string key = fmt::format("case_{}.", GetParam().name);
  double tolerance = test::forward_tolerance(model.config(), 70);

  Adapter starting_adapter() {
    const std::string directory = golden_path(fmt::format("tiny_peft_{}", GetParam().adapter));
    Adapter loaded = Adapter::load(device, model, directory);
    if (!GetParam().follow) return loaded;
    LoraConfig config = loaded.config();
    config.tie_embeddings = true;
    Adapter following = Adapter::create(device, model, config, 1);
    test::fill_adapter(device, following, SafetensorsFile(directory + "/adapter_model.safetensors"));
    return following;
  }

  TrainOptions options(const std::string& name) const {
    TrainOptions o;
    o.out = scratch / name;
    o.steps = 10;
    o.batch = 2;
    o.learning_rate = 1e-3;
    o.warmup_steps = 2;
    o.max_grad_norm = 1.0;
    o.lm_loss_weight = 0.3;
    o.shuffle = false;
    return o;
  }

  void expect_loss(const StepMetrics& got, const std::string& name) {
    // A token's loss is a logit less a mean of logits; logits of up to 30 here, the mean of tokens errs no more than one.
    const auto expected = golden_values<double>(golden, key + name);
    const double allowed = 2 * tolerance * 30;
    EXPECT_LE(std::abs(got.loss - expected.at(0)), allowed) << got.loss << " for " << expected.at(0);
    EXPECT_LE(std::abs(got.answer_loss - expected.at(1)), allowed) << got.answer_loss << " for " << expected.at(1);
    EXPECT_LE(std::abs(got.lm_loss - expected.at(2)), allowed) << got.lm_loss << " for " << expected.at(2);
  }

  void expect_gradients(const Trainer& trainer) {
    const double allowed = test::backward_tolerance(model.config(), 70);
    const HostCopy gradients(device, trainer.gradients());
    size_t compared = 0;
    double worst = 0;
    for (const Parameter& p : adapter.parameters()) {
      const auto expected = golden_values<float>(golden, key + "grad." + p.key);
      EXPECT_GT(test::largest(expected), 1e-4) << p.key;  // a gradient of nothing would prove nothing
      const auto got = test::parameter_values(p, gradients.view());
      const double error = test::distance(got, expected);
      worst = std::max(worst, error / allowed);
      EXPECT_LE(error, allowed) << p.key;
      ++compared;
    }
    size_t stored = 0;
    for (const auto& [name, entry] : golden.tensors()) stored += name.starts_with(key + "grad.") ? 1U : 0U;
    EXPECT_EQ(compared, stored);
    RecordProperty("largest_error_over_tolerance", fmt::format("{:.3f}", worst));
  }
};

TEST_P(TrainGolden, LossAndGradients) {
  Trainer trainer(device, model, adapter, records, options("gradients"));
  const std::vector<int64_t> first = {0};
  expect_loss(trainer.forward_backward(first, 1), "losses_1");
  const std::vector<int64_t> both = {0, 1};
  expect_loss(trainer.forward_backward(both, 1), "losses_2");
  expect_gradients(trainer);
}

/// Ten steps' losses, norms and rates. A step moves a parameter by at most the learning rate, and one with a gradient at the
/// level of rounding may move the other way; what that does to the loss shows in PyTorch itself, f32 against f64 (`losses_f32`,
/// 1e-6 to 3e-6 here). Ours adds the other RoPE: the forward's tolerance at logits of up to 30, as for a single loss.
void expect_curve(const SafetensorsFile& golden, const std::string& key, const std::vector<StepMetrics>& steps,
                  double tolerance) {
  const auto losses = golden_values<double>(golden, key + "train.losses");
  const auto norms = golden_values<double>(golden, key + "train.grad_norms");
  const auto rates = golden_values<double>(golden, key + "train.rates");
  ASSERT_EQ(steps.size(), losses.size());
  double worst = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    worst = std::max(worst, std::abs(steps[i].loss - losses[i]));
    EXPECT_EQ(steps[i].step, static_cast<int64_t>(i) + 1);
    EXPECT_LE(std::abs(steps[i].loss - losses[i]), 2 * tolerance * 30)
        << "step " << i + 1 << ": " << steps[i].loss << " for " << losses[i];
    EXPECT_LE(std::abs(steps[i].grad_norm - norms[i]), 3 * tolerance * norms[i]) << "step " << i + 1;
    EXPECT_NEAR(steps[i].learning_rate, rates[i], 1e-12) << "step " << i + 1;
  }
  ::testing::Test::RecordProperty("largest_loss_error", fmt::format("{:.2e}", worst));
  // The curve moves by far more than the tolerance, so a wrong update would show.
  EXPECT_GT(std::abs(losses.back() - losses.front()), 100 * 2 * tolerance * 30);
}

TEST_P(TrainGolden, TenSteps) {
  Trainer trainer(device, model, adapter, records, options("steps"));
  std::vector<StepMetrics> steps;
  trainer.run({.on_step = [&](const StepMetrics& m, int64_t) { steps.push_back(m); },
               .on_checkpoint = {},
               .should_stop = {},
               .check = {},
               .finished = {}});
  expect_curve(golden, key, steps, tolerance);
}

TEST_P(TrainGolden, TenStepsAccumulated) {
  // One record at a time: the denominators are still the whole step's.
  TrainOptions accumulated = options("accumulated");
  accumulated.batch = 1;
  accumulated.accumulation = 2;
  Trainer trainer(device, model, adapter, records, accumulated);
  std::vector<StepMetrics> steps;
  trainer.run({.on_step = [&](const StepMetrics& m, int64_t) { steps.push_back(m); },
               .on_checkpoint = {},
               .should_stop = {},
               .check = {},
               .finished = {}});
  expect_curve(golden, key, steps, tolerance);
}

INSTANTIATE_TEST_SUITE_P(All, TrainGolden,
                         ::testing::Values(GradientCase{"tied", "tied", "tied"},
                                           GradientCase{"tied_follow", "tied", "tied", true},
                                           GradientCase{"untied", "untied", "untied"},
                                           GradientCase{"nf4", "tied", "nf4", false, true}),
                         [](const auto& given) { return std::string(given.param.name); });

}  // namespace
}  // namespace tenfold
