#include "train/trainer.h"

#include "core/rng.h"
#include "format/json.h"
#include "train/loss.h"
#include "train/plan.h"
#include "train/tiny_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include <unistd.h>

namespace tenfold {
namespace {

namespace fs = std::filesystem;

using test::expect_gradients_match_differences;
using test::gradient_of;
using test::LossAndGradient;
using test::pass_of;
using test::random_examples;
using test::same_gradient;
using test::tiny_cudnn_shape;
using test::tiny_shape;
using test::TinyRun;

fs::path scratch_directory(const std::string& name) {
  const fs::path path = fs::temp_directory_path() / fmt::format("tenfold-train-{}-{}", ::getpid(), name);
  fs::remove_all(path);
  return path;
}

TEST(Gradients, OfLoraMatchFiniteDifferences) {
  TinyRun s;
  expect_gradients_match_differences(s);
}

TEST(Gradients, OfEveryProjectionAndWholeParametersMatchFiniteDifferences) {
  TinyRun s(LoraConfig::parse(4, 8, 0, true, {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
                              {"embed_tokens", "norm", "lm_head"}));
  expect_gradients_match_differences(s);
}

TEST(Gradients, WithDropoutMatchFiniteDifferences) {
  TinyRun s(LoraConfig::parse(4, 8, 0.25, false, {"q_proj", "v_proj", "o_proj", "down_proj"}, {}));
  expect_gradients_match_differences(s);
}

TEST(Gradients, WithATiedTrainedEmbeddingMatchFiniteDifferences) {
  LoraConfig lora = LoraConfig::parse(4, 8, 0, false, {"q_proj"}, {"embed_tokens"});
  lora.tie_embeddings = true;
  TinyRun s(lora);
  expect_gradients_match_differences(s);
}

/// How a plan is checked to change nothing: in which dtype, and whether cuDNN's attention is in it.
struct PlanCase {
  DType compute;
  ModelConfig shape;
  bool atomic;
};

std::vector<PlanCase> plan_cases(int64_t layers) {
  std::vector<PlanCase> cases = {{DType::kF32, tiny_shape(layers), false}, {test::default_dtype(), tiny_shape(layers), false}};
  if (test::gpu() != nullptr) cases.push_back({DType::kBF16, tiny_cudnn_shape(layers), true});
  return cases;
}

TEST(Recompute, ChangesNoBitOfTheGradients) {
  for (const auto& [compute, shape, atomic] : plan_cases(2)) {
    TinyRun s(LoraConfig::parse(4, 8, 0.1, false, {"q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"}, {"norm"}),
              shape);
    s.options.compute = compute;
    s.options.offload = Offload::kNever;
    const int64_t everything = s.plan().memory.total();
    std::set<std::vector<KeptLayer>> plans;
    LossAndGradient expected;
    for (int64_t limit = everything;; limit -= 20000) {
      s.memory_limit() = limit;
      try {
        plans.insert(s.plan().layers);
      } catch (const DeviceError&) {
        break;
      }
      const LossAndGradient got = pass_of(s, {0, 2, 1});
      if (expected.gradient.empty()) expected = got;
      ASSERT_EQ(got.loss, expected.loss) << name_of(compute) << " with " << limit << " of " << everything << " bytes";
      ASSERT_TRUE(same_gradient(got.gradient, expected.gradient, atomic, shape.layers))
          << name_of(compute) << " with " << limit << " of " << everything << " bytes";
    }
    EXPECT_GE(plans.size(), 5U);
    EXPECT_TRUE(plans.contains(std::vector<KeptLayer>(2, KeptLayer{Keep::kAll})));
    EXPECT_TRUE(plans.contains(std::vector<KeptLayer>(2, KeptLayer{Keep::kInput})));
  }
}

TEST(Offload, ChangesNoBitOfTheGradients) {
  // Five layers through two places: three leave for the host and come back. Records of several lengths share the room.
  for (const auto& [compute, shape, atomic] : plan_cases(5)) {
    TinyRun s(LoraConfig::parse(4, 8, 0.1, false, {"q_proj", "k_proj", "o_proj", "up_proj", "down_proj"}, {"norm"}), shape);
    s.options.compute = compute;
    const std::vector<int64_t> records = {0, 2, 1, 3, 2};
    s.options.offload = Offload::kNever;
    const LossAndGradient expected = pass_of(s, records);
    s.options.offload = Offload::kAlways;
    const int64_t everything = s.plan().memory.total();
    std::set<Keep> levels;
    for (int64_t limit = s.on_gpu() ? 0 : 2 * everything;;) {
      s.options.host_memory = limit;
      std::vector<KeptLayer> layers;
      try {
        const TrainPlan planned = s.plan();
        layers = planned.layers;
        ASSERT_GT(planned.offload_bytes, 0);
        // Beside a GPU, one byte less than this level takes is a limit for the next.
        limit = s.on_gpu() ? kProgramBytes + planned.host.total() - 1 : limit - 40000;
      } catch (const DeviceError&) {
        break;
      }
      ASSERT_EQ(layers, std::vector<KeptLayer>(5, KeptLayer{layers.front().keep, true}));
      if (!levels.insert(layers.front().keep).second) continue;
      const LossAndGradient got = pass_of(s, records);
      ASSERT_EQ(got.loss, expected.loss) << name_of(compute) << " keeping level " << static_cast<int>(layers.front().keep);
      ASSERT_TRUE(same_gradient(got.gradient, expected.gradient, atomic, shape.layers))
          << name_of(compute) << " keeping level " << static_cast<int>(layers.front().keep);
    }
    // The copies of so short a layer take longer on a GPU's link than all that it could repeat, so only inputs go there;
    // tests/cuda/model/long_gpu_test.cpp has the other levels.
    EXPECT_EQ(levels.size(), s.on_gpu() ? 1U : 4U);
  }
}

TEST(Offload, IsPlannedOnlyWhereItWinsOrNothingElseFits) {
  // A device whose memory is its own, for the planner alone: nothing is run on it.
  struct Linked final : Device {
    using Device::Device;
    double link_bytes_per_second() const override { return 50e9; }
  } device(1);
  const ModelConfig config = config_of_shape("llama3-8b");
  const LoraConfig lora;
  constexpr int64_t kTokens = 81920;
  const auto choose = [&](int64_t device_bytes, int64_t host_bytes, Offload offload) {
    return choose_kept(device, config, lora, DType::kBF16, kTokens, {device_bytes, host_bytes}, offload);
  };
  const auto on_host = [](const std::vector<KeptLayer>& layers) {
    return std::count_if(layers.begin(), layers.end(), [](const KeptLayer& k) { return k.on_host; });
  };
  constexpr int64_t kGiB = int64_t{1} << 30;
  // All inputs take 21 GiB: beyond that the attention outputs follow, and the host has nothing to offer.
  EXPECT_EQ(on_host(choose(300 * kGiB, 100 * kGiB, Offload::kAuto)), 0);
  EXPECT_EQ(on_host(choose(45 * kGiB, 100 * kGiB, Offload::kAuto)), 0);
  EXPECT_TRUE(choose(12 * kGiB, 100 * kGiB, Offload::kNever).empty());
  EXPECT_TRUE(choose(12 * kGiB, 4 * kGiB, Offload::kAuto).empty());
  const std::vector<KeptLayer> tight = choose(12 * kGiB, 100 * kGiB, Offload::kAuto);
  ASSERT_EQ(tight.size(), 32U);
  EXPECT_GT(on_host(tight), 20);
  for (const KeptLayer& layer : tight) EXPECT_GE(layer.keep, Keep::kAttention);
  const KeptRoom room = room_of(device, config, lora, DType::kBF16, kTokens, tight);
  EXPECT_LE(room.device_bytes, 12 * kGiB);
  EXPECT_LE(room.host_bytes, 100 * kGiB);
  // Little host memory keeps inputs there and repeats the attention.
  const std::vector<KeptLayer> poor = choose(12 * kGiB, 16 * kGiB, Offload::kAuto);
  ASSERT_EQ(poor.size(), 32U);
  EXPECT_LE(room_of(device, config, lora, DType::kBF16, kTokens, poor).host_bytes, 16 * kGiB);
}

TEST(GlobalBatch, WeighsEveryTokenAlike) {
  // The gradient of a batch is the sum of its records' gradients under the batch's denominators.
  TinyRun s;
  s.options.lm_loss_tokens = 0;
  const std::vector<float> both = gradient_of(s, {0, 2});
  double answers[2] = {0, 0};
  double documents[2] = {0, 0};
  const int64_t records[2] = {0, 2};
  for (int i = 0; i < 2; ++i) {
    const LossPositions p = loss_positions(s.examples[static_cast<size_t>(records[i])], true, 0, 0, 0);
    answers[i] = static_cast<double>(p.answers);
    documents[i] = static_cast<double>(p.documents);
  }
  std::vector<double> sum(both.size(), 0);
  for (int i = 0; i < 2; ++i) {
    TinyRun only_answers;
    only_answers.options.lm_loss_weight = 0;
    const std::vector<float> a = gradient_of(only_answers, {records[i]});
    TinyRun mixed;
    mixed.options.lm_loss_tokens = 0;
    const std::vector<float> m = gradient_of(mixed, {records[i]});
    for (size_t j = 0; j < sum.size(); ++j) {
      const double document = static_cast<double>(m[j]) - static_cast<double>(a[j]);
      sum[j] += static_cast<double>(a[j]) * answers[i] / (answers[0] + answers[1]) +
                document * documents[i] / (documents[0] + documents[1]);
    }
  }
  double error = 0;
  double norm = 0;
  for (size_t j = 0; j < sum.size(); ++j) {
    error += std::pow(sum[j] - static_cast<double>(both[j]), 2);
    norm += sum[j] * sum[j];
  }
  // Two f32 accumulations of the same terms in another order: a few eps of the norm.
  EXPECT_TRUE(std::sqrt(error) <= 2e-5 * std::sqrt(norm)) << std::sqrt(error / norm);
}

std::vector<double> losses_in(const fs::path& run) {
  std::vector<double> losses;
  for_each_json_line((run / "metrics.jsonl").string(),
                     [&](Json& line, int64_t) { losses.push_back(line["loss"].get<double>()); });
  return losses;
}

/// A run with a trained embedding, whose moments `offload` may put on the host.
struct LongerRun {
  TinyRun tiny;
  Trainer trainer;

  LongerRun(const fs::path& out, Offload offload, const ModelConfig& shape)
      : tiny(LoraConfig::parse(4, 8, 0.1, false, {"q_proj", "v_proj"}, {"norm", "embed_tokens"}), shape),
        trainer(tiny.device, tiny.model, tiny.adapter, tiny.examples, with_options(out, offload)) {}

  const TrainOptions& with_options(const fs::path& out, Offload offload) {
    tiny.options.compute = test::default_dtype();
    tiny.options.out = out.string();
    tiny.options.steps = 7;
    tiny.options.batch = 2;
    tiny.options.learning_rate = 1e-2;
    tiny.options.checkpoint_every = 2;
    tiny.options.offload = offload;
    return tiny.options;
  }
  /// To the end, or until so many steps are done.
  TrainResult run(int64_t stop_after = -1) {
    int64_t done = 0;
    TrainCallbacks callbacks;
    callbacks.on_step = [&](const StepMetrics&, int64_t) { ++done; };
    callbacks.should_stop = [&] { return stop_after >= 0 && done >= stop_after; };
    return trainer.run(callbacks);
  }
};

std::string contents(const fs::path& file) { return read_text_file(file.string()); }

TEST(Resume, GivesTheLossesOfAStraightRunBitForBit) {
  for (const Offload offload : {Offload::kNever, Offload::kAlways}) {
    const fs::path straight = scratch_directory("straight");
    const fs::path stopped = scratch_directory("stopped");
    EXPECT_FALSE(LongerRun(straight, offload, tiny_shape()).run().interrupted);
    EXPECT_TRUE(LongerRun(stopped, offload, tiny_shape()).run(3).interrupted);
    LongerRun resumed(stopped, offload, tiny_shape());
    EXPECT_EQ(resumed.trainer.resume(), 3);
    EXPECT_FALSE(resumed.run().interrupted);
    EXPECT_EQ(losses_in(straight), losses_in(stopped));
    EXPECT_EQ(losses_in(straight).size(), 7U);
    EXPECT_NE(losses_in(straight).front(), losses_in(straight).back());
    EXPECT_EQ(contents(straight / "adapter/adapter_model.safetensors"), contents(stopped / "adapter/adapter_model.safetensors"));
    fs::remove_all(straight);
    fs::remove_all(stopped);
  }
}

TEST(Resume, RestoresTheStateBitForBit) {
  // What was restored is saved again: values and both moments, wherever they lie, and after attention that a GPU's library
  // computed, whose losses then go on within a bound only.
  for (const ModelConfig& shape : {tiny_shape(), tiny_cudnn_shape()}) {
    for (const Offload offload : {Offload::kNever, Offload::kAlways}) {
      const fs::path out = scratch_directory("state");
      EXPECT_TRUE(LongerRun(out, offload, shape).run(3).interrupted);
      const fs::path checkpoint = out / "checkpoint/step-000003.safetensors";
      const std::string stored = contents(checkpoint);
      LongerRun resumed(out, offload, shape);
      const std::vector<float> fresh = test::host_values(resumed.tiny.device, resumed.tiny.adapter.flat());
      EXPECT_EQ(resumed.tiny.plan().moments_on_host, resumed.tiny.on_gpu() && offload == Offload::kAlways);
      EXPECT_EQ(resumed.trainer.resume(), 3);
      EXPECT_NE(test::host_values(resumed.tiny.device, resumed.tiny.adapter.flat()), fresh);
      fs::remove(checkpoint);
      EXPECT_TRUE(resumed.run(0).interrupted);
      EXPECT_TRUE(contents(checkpoint) == stored) << "another state is saved than was restored";
      fs::remove_all(out);
    }
  }
}

TEST(Resume, RefusesACheckpointOfOtherOptions) {
  const fs::path out = scratch_directory("other");
  TinyRun s;
  s.options.out = out.string();
  s.options.steps = 1;
  { Trainer(s.device, s.model, s.adapter, s.examples, s.options).run({}); }
  s.options.learning_rate *= 2;
  Trainer other(s.device, s.model, s.adapter, s.examples, s.options);
  try {
    other.resume();
    FAIL() << "resumed with another learning rate";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("learning-rate"), std::string::npos) << error.what();
  }
  fs::remove_all(out);
}

TEST(Step, AllocatesNothing) {
  TinyRun s;
  Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
  const int64_t before = s.device.allocations();
  const std::vector<int64_t> all = {0, 1, 2, 3};
  // The first step of a process loads a GPU's kernels, whose memory no plan can know.
  int64_t free = 0;
  for (int64_t step = 0; step < 3; ++step) {
    trainer.forward_backward(all, step);
    trainer.update(1e-3, step);
    if (step == 0) free = s.device.free_bytes();
  }
  EXPECT_EQ(s.device.allocations(), before);
  EXPECT_EQ(s.device.free_bytes(), free);
}

TEST(Plan, IsWhatTheDeviceHolds) {
  for (const Offload offload : {Offload::kNever, Offload::kAlways}) {
    TinyRun s(TinyRun::default_lora(), tiny_shape(4));
    s.options.offload = offload;
    const int64_t before = s.device.bytes_in_use();
    const int64_t host_before = s.device.host_bytes_in_use();
    const TrainPlan plan = s.plan();
    const Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
    const std::set<std::string> elsewhere = {"program", "context and libraries", "base weights", "adapter"};
    int64_t planned = 0;
    for (const PlannedBuffer& b : plan.memory.buffers) {
      if (!elsewhere.contains(b.name)) planned += b.bytes;
    }
    EXPECT_EQ(s.device.bytes_in_use() - before, planned);
    EXPECT_EQ(s.device.host_bytes_in_use() - host_before, plan.host.total());
    EXPECT_EQ(plan.host.total() > 0, s.on_gpu() && offload == Offload::kAlways);
  }
}

TEST(Plan, RefusesWhatCannotFitAndSaysWhatWould) {
  TinyRun s;
  s.memory_limit() = 1 << 20;
  try {
    Trainer trainer(s.device, s.model, s.adapter, s.examples, s.options);
    FAIL() << "fits in a mebibyte";
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("--max-length"), std::string::npos) << error.what();
  }
}

TEST(LossPositions, SampleDocumentsAsAFunctionOfSeedRecordAndStep) {
  const std::vector<Example> examples = random_examples({200}, 50, 1);
  const LossPositions a = loss_positions(examples[0], true, 20, 7, 3);
  const LossPositions b = loss_positions(examples[0], true, 20, 7, 3);
  const LossPositions c = loss_positions(examples[0], true, 20, 7, 4);
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_NE(a.rows, c.rows);
  EXPECT_EQ(a.documents, 20);
  EXPECT_EQ(a.answers, std::count(examples[0].kinds.begin(), examples[0].kinds.end(), TokenKind::kAnswer));
  EXPECT_EQ(std::set<int64_t>(a.rows.begin(), a.rows.end()).size(), a.rows.size());
  for (size_t i = 0; i < a.rows.size(); ++i) EXPECT_EQ(a.targets[i], examples[0].ids[static_cast<size_t>(a.rows[i] + 1)]);
}

}  // namespace
}  // namespace tenfold
