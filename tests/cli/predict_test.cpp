#include "cli/predict.h"

#include <gtest/gtest.h>

namespace tenfold::cli {
namespace {

/// The GPU of the README's runs; attention in TFLOP/s.
Ceilings h100(double attention_forward, double attention_backward) {
  Ceilings c;
  c.gflops = 816e3;
  c.gigabytes = 3000;
  c.attention_forward = attention_forward * 1e3;
  c.attention_backward = attention_backward * 1e3;
  return c;
}

TrainPlan plan_of(int64_t inputs, int64_t attention, int64_t middle, int64_t all) {
  TrainPlan plan;
  const auto add = [&](int64_t n, Keep keep) { plan.layers.insert(plan.layers.end(), static_cast<size_t>(n), {keep, false}); };
  add(inputs, Keep::kInput);
  add(attention, Keep::kAttention);
  add(middle, Keep::kMiddle);
  add(all, Keep::kAll);
  return plan;
}

// Measured on an H100 of 80 GB, which kept about so much of each forward (NF4 base, LoRA r 32, loss on every token).
TEST(Predict, MeetsTheStepsThatWereMeasured) {
  const ModelConfig config = config_of_shape("llama3-8b");
  LoraConfig lora;
  lora.r = 32;
  const Device device(1);
  const auto step = [&](int64_t length, const Ceilings& ceilings, const TrainPlan& plan) {
    return predict_step(device, ceilings, config, lora, DType::kBF16, plan, length, length - 1).seconds;
  };
  EXPECT_NEAR(step(8192, h100(621, 518), plan_of(0, 0, 0, 32)), 0.560, 0.03 * 0.560);
  EXPECT_NEAR(step(32768, h100(669, 574), plan_of(0, 0, 15, 17)), 3.63, 0.03 * 3.63);
  EXPECT_NEAR(step(81920, h100(669, 574), plan_of(0, 18, 14, 0)), 15.80, 0.03 * 15.80);
  EXPECT_NEAR(step(131072, h100(669, 574), plan_of(7, 25, 0, 0)), 37.2, 0.03 * 37.2);
}

TEST(Predict, MeetsThePromptThatWasMeasured) {
  EXPECT_NEAR(predict_prefill(h100(669, 574), config_of_shape("llama3-8b"), 81920).seconds, 4.46, 0.03 * 4.46);
}

TEST(Predict, KeepingLessCostsTime) {
  const ModelConfig config = config_of_shape("llama3-8b");
  const LoraConfig lora;
  const Device device(1);
  double last = 0;
  for (const TrainPlan& plan : {plan_of(0, 0, 0, 32), plan_of(0, 0, 32, 0), plan_of(0, 32, 0, 0), plan_of(32, 0, 0, 0)}) {
    const Prediction p = predict_step(device, h100(669, 574), config, lora, DType::kBF16, plan, 65536, 65535);
    EXPECT_GT(p.seconds, last);
    EXPECT_LT(p.ideal, p.seconds);
    last = p.seconds;
  }
}

}  // namespace
}  // namespace tenfold::cli
