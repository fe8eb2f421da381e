// Whole models on a GPU: random weights made there are the host's, and no step makes what an earlier one could have made.
#include "infer/session.h"
#include "model/model.h"
#include "ops/backend.h"
#include "train/trainer.h"

#include "ops/support.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace tenfold {
namespace {

/// Wide heads (cuDNN takes 64), little else.
ModelConfig small_config() {
  ModelConfig c = config_of_shape("tiny");
  c.hidden = 256;
  c.ffn = 512;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 64;
  c.vocabulary = 512;
  return c;
}

std::vector<std::byte> bytes_of(const void* device_data, int64_t bytes) {
  std::vector<std::byte> out(static_cast<size_t>(bytes));
  test::gpu()->copy_out(out.data(), device_data, bytes);
  return out;
}

void expect_same(const WeightView& on_gpu, const WeightView& on_host) {
  SCOPED_TRACE(on_host.name);
  EXPECT_STREQ(on_gpu.name, on_host.name);
  EXPECT_EQ(on_gpu.device, DeviceKind::kCuda);
  ASSERT_TRUE(on_gpu.layout == on_host.layout && on_gpu.rows == on_host.rows && on_gpu.cols == on_host.cols);
  const auto expect_array = [](const void* gpu, const void* host, int64_t bytes, const char* what) {
    EXPECT_EQ(std::memcmp(bytes_of(gpu, bytes).data(), host, static_cast<size_t>(bytes)), 0) << what;
  };
  expect_array(on_gpu.data, on_host.data, on_host.bytes(), "codes");
  if (on_host.layout != WeightLayout::kNF4) return;
  const int64_t blocks = (on_host.elements() + 63) / 64;
  expect_array(on_gpu.nf4.absmax8, on_host.nf4.absmax8, blocks, "absmax8");
  expect_array(on_gpu.nf4.nested_absmax, on_host.nf4.nested_absmax, (blocks + 255) / 256 * 4, "nested absmax");
  expect_array(on_gpu.nf4.nested_code, on_host.nf4.nested_code, 256 * 4, "nested code");
  expect_array(on_gpu.nf4.code, on_host.nf4.code, 16 * 4, "code");
  EXPECT_EQ(on_gpu.nf4.nested_offset, on_host.nf4.nested_offset);
}

TEST(GpuRandomModel, IsTheHostsBitForBit) {
  for (const WeightLayout layout : {WeightLayout::kF32, WeightLayout::kBF16, WeightLayout::kQ4_0, WeightLayout::kQ4_1,
                                    WeightLayout::kQ8_0, WeightLayout::kNF4}) {
    SCOPED_TRACE(name_of(layout));
    const Model host = Model::random(small_config(), layout, 7);
    const Model gpu = Model::random(small_config(), layout, 7, *test::gpu());
    EXPECT_EQ(gpu.fingerprint(), host.fingerprint());
    EXPECT_EQ(gpu.weight_bytes(), host.weight_bytes());
    expect_same(gpu.embed_tokens(), host.embed_tokens());
    expect_same(gpu.head(), host.head());
    for (int64_t i = 0; i < host.config().layers; ++i) {
      const LayerWeights& a = gpu.layer(i);
      const LayerWeights& b = host.layer(i);
      for (const auto member : {&LayerWeights::q, &LayerWeights::k, &LayerWeights::v, &LayerWeights::o, &LayerWeights::gate,
                                &LayerWeights::up, &LayerWeights::down})
        expect_same(a.*member, b.*member);
      EXPECT_EQ(std::memcmp(bytes_of(a.attn_norm.data, a.attn_norm.bytes()).data(), b.attn_norm.data,
                            static_cast<size_t>(b.attn_norm.bytes())),
                0);
    }
  }
}

Example example_of(int64_t length, int64_t vocabulary, int64_t record) {
  Example e;
  e.record = record;
  for (int64_t t = 0; t < length; ++t) {
    e.ids.push_back(static_cast<int32_t>((t * 7 + record) % vocabulary));
    e.kinds.push_back(t == 0 ? TokenKind::kNone : TokenKind::kAnswer);
  }
  return e;
}

ops::PlanCounts plans() {
  Workspace none;
  const Exec exec{*test::gpu(), none, DType::kBF16, nullptr};
  return test::gpu()->backend()->plans_made(exec);
}

TEST(GpuPlans, NoTrainingStepBuildsAnAttentionGraph) {
  Device& device = *test::gpu();
  const ModelConfig c = small_config();
  const Model model = Model::random(c, WeightLayout::kNF4, 1, device);
  LoraConfig lora;
  lora.r = 8;
  Adapter adapter = Adapter::create(device, model, lora, 1);
  std::vector<Example> examples;
  for (const int64_t length : {200, 650, 1300, 130}) examples.push_back(example_of(length, c.vocabulary, examples.size()));
  TrainOptions options;
  options.compute = DType::kBF16;
  options.steps = 4;
  const int64_t before = plans().attention;
  Trainer trainer(device, model, adapter, examples, options);
  const ops::PlanCounts made = plans();
  EXPECT_GE(made.attention, before + 6);  // forward and backward of 256, 768 and 1408
  const int64_t allocations = device.allocations();
  std::vector<double> losses;
  for (int64_t r = 0; r < 4; ++r) losses.push_back(trainer.forward_backward({&r, 1}, 0).loss);
  const ops::PlanCounts first = plans();
  EXPECT_EQ(first.attention, made.attention);
  for (int64_t r = 0; r < 4; ++r) EXPECT_EQ(trainer.forward_backward({&r, 1}, 0).loss, losses[static_cast<size_t>(r)]);
  EXPECT_EQ(plans().attention, made.attention);
  EXPECT_EQ(plans().products, first.products);
  EXPECT_EQ(device.allocations(), allocations);
}

TEST(GpuPlans, ReadingAPromptBuildsNoAttentionGraph) {
  Device& device = *test::gpu();
  const ModelConfig c = small_config();
  const Model model = Model::random(c, WeightLayout::kBF16, 1, device);
  SessionOptions options;
  options.capacity = 1500;
  options.prefill_chunk = 512;
  options.compute = DType::kBF16;
  Session session(device, model, nullptr, options);
  const int64_t made = plans().attention;
  const std::vector<int32_t> ids = example_of(1500, c.vocabulary, 3).ids;
  session.prefill(ids);
  EXPECT_EQ(plans().attention, made);
}

TEST(GpuPlans, ASessionDoesNotPlanForABackward) {
  test::TestExec t(DType::kBF16, 64);
  const int64_t reading = ops::attention_scratch_bytes(t.exec, 4096, 4096, 32, 8, 128, /*training=*/false);
  const int64_t training = ops::attention_scratch_bytes(t.exec, 4096, 4096, 32, 8, 128, /*training=*/true);
  EXPECT_LT(reading, training / 4);
}

}  // namespace
}  // namespace tenfold
