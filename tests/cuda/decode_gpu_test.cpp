// A session that replays a recording of one token against one whose tokens go the way of a prompt, bit for bit, and against the
// CPU. What the ops do alone is in tests/ops/decode_test.cpp.
#include "infer/session.h"
#include "ops/support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

namespace tenfold {
namespace {

struct Shape {
  int64_t heads, kv_heads, head_dim;
};

ModelConfig config_of(const Shape& s, int64_t hidden, int64_t ffn) {
  ModelConfig c = config_of_shape("tiny");
  c.layers = 3;
  c.heads = s.heads, c.kv_heads = s.kv_heads, c.head_dim = s.head_dim;
  c.hidden = hidden, c.ffn = ffn;
  c.vocabulary = 1000;
  c.max_position = 8192;
  return c;
}

std::vector<int32_t> random_ids(int64_t n, uint64_t seed) {
  Rng rng(seed, 9);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<int32_t>(rng.below(1000)));
  return ids;
}

/// One adapter's values on two devices; both factors are there.
Adapter adapter_on(Device& device, const Model& model, const LoraConfig& config) {
  Adapter adapter = Adapter::create(device, model, config, 3);
  const auto values = test::random_values(adapter.elements(), 4, 0.05);
  device.copy_in(adapter.flat().data, values.data(), adapter.flat().bytes());
  if (!config.train_norms) return adapter;
  const auto norm = test::random_values(model.config().hidden, 5, 0.1, 1.0);
  for (int64_t layer = 0; layer < model.config().layers; ++layer)
    for (const TensorView& t : {adapter.attn_norm(layer, adapter.flat()), adapter.ffn_norm(layer, adapter.flat())})
      device.copy_in(t.data, norm.data(), t.bytes());
  device.copy_in(adapter.final_norm(adapter.flat()).data, norm.data(), adapter.final_norm(adapter.flat()).bytes());
  return adapter;
}

/// A model and an adapter on a device.
struct Loaded {
  Device& device;
  Model model;
  std::optional<Adapter> adapter;

  Loaded(Device& d, const Model& host, const LoraConfig* lora) : device(d), model(host.copied_to(d)) {
    if (lora != nullptr) adapter = adapter_on(d, model, *lora);
  }
  const Adapter* adapter_or_null() const { return adapter ? &*adapter : nullptr; }
};

std::vector<float> copied(std::span<const float> logits) { return {logits.begin(), logits.end()}; }

double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(error / norm);
}

/// Logits of tokens decoded after prompts of some lengths: recorded and not, the same bits; and near the CPU's in f32.
void check_session(const ModelConfig& config, WeightLayout layout, const LoraConfig* lora, DType compute,
                   std::initializer_list<int64_t> lengths, int64_t most_on_cpu) {
  SCOPED_TRACE(testing::Message() << config.heads << "/" << config.kv_heads << " of " << config.head_dim << " " << name_of(layout)
                                  << (lora == nullptr ? "" : " with LoRA ") << name_of(compute));
  const Model host = Model::random(config, layout, 5);
  const Loaded gpu(*test::gpu(), host, lora);
  SessionOptions options{.capacity = *std::max_element(lengths.begin(), lengths.end()) + 8, .compute = compute};
  Session recorded(gpu.device, gpu.model, gpu.adapter_or_null(), options);
  options.recorded = false;
  Session plain(gpu.device, gpu.model, gpu.adapter_or_null(), options);
  Device cpu(2);
  const Loaded on_cpu(cpu, host, lora);
  options.compute = DType::kF32;
  Session reference(cpu, on_cpu.model, on_cpu.adapter_or_null(), options);
  for (const int64_t length : lengths) {
    const std::vector<int32_t> ids = random_ids(length + 4, 7 + static_cast<uint64_t>(length));
    const auto prompt = std::span(ids).first(static_cast<size_t>(length));
    recorded.prefill(prompt);
    plain.prefill(prompt);
    if (length <= most_on_cpu) reference.prefill(prompt);
    for (int64_t i = 0; i < 4; ++i) {
      SCOPED_TRACE(testing::Message() << "token " << length + i);
      const int32_t id = ids[static_cast<size_t>(length + i)];
      const std::vector<float> a = copied(recorded.decode(id));
      EXPECT_TRUE(test::bits_equal(a, copied(plain.decode(id))));
      if (length > most_on_cpu) continue;
      // Three layers of ten vectors that are rounded to bf16, 2^-9 at most each; in f32 as SessionTest.DecodeAgreesWithPrefill
      // has it of two layers.
      const double off = relative_difference(a, copied(reference.decode(id)));
      EXPECT_TRUE(off <= (compute == DType::kBF16 ? 30 * 0x1p-9 : 6 * 0x1p-20)) << off;
    }
  }
}

constexpr Shape kLlama{8, 2, 64}, kWide{4, 1, 128}, kSmol{9, 3, 64};

TEST(GpuDecode, RecordedSessionsGiveTheSameBits) {
  const LoraConfig attention = LoraConfig::parse(8, 16, 0, false, {"q_proj", "k_proj", "v_proj", "o_proj"}, {});
  const LoraConfig all =
      LoraConfig::parse(5, 8, 0, false, {"q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"}, {"norm", "embed_tokens"});
  for (const WeightLayout layout :
       {WeightLayout::kNF4, WeightLayout::kBF16, WeightLayout::kQ4_1, WeightLayout::kQ8_0, WeightLayout::kF32})
    for (const LoraConfig* lora : {static_cast<const LoraConfig*>(nullptr), &attention, &all}) {
      check_session(config_of(kLlama, 512, 768), layout, lora, DType::kBF16, {1, 126, 127, 128, 300}, 300);
      check_session(config_of(kSmol, 576, 1536), layout, lora, DType::kF32, {1, 127}, 127);
    }
  check_session(config_of(kWide, 512, 1280), WeightLayout::kNF4, &attention, DType::kBF16, {1, 2, 4094, 4100}, 2);
  check_session(config_of(kSmol, 576, 1536), WeightLayout::kQ8_0, nullptr, DType::kBF16, {1, 126, 4096}, 126);
  check_session(config_of_shape("smollm2-135m"), WeightLayout::kNF4, nullptr, DType::kBF16, {5, 128}, 0);
}

TEST(GpuDecode, GreedyTokensAreThoseOfTheLogits) {
  const Model host = Model::random(config_of(kSmol, 576, 1536), WeightLayout::kNF4, 5);
  const Loaded gpu(*test::gpu(), host, nullptr);
  SessionOptions options{.capacity = 300, .compute = DType::kBF16};
  Session recorded(gpu.device, gpu.model, nullptr, options);
  options.recorded = false;
  Session plain(gpu.device, gpu.model, nullptr, options);
  const std::vector<int32_t> prompt = random_ids(100, 1);
  const GenerateResult expected = plain.generate(prompt, 40, {});
  std::vector<int32_t> seen;
  const GenerateResult actual = recorded.generate(prompt, 40, {}, {}, [&](int32_t id) {
    seen.push_back(id);
    return true;
  });
  ASSERT_EQ(expected.ids.size(), 40U);
  EXPECT_EQ(actual.ids, expected.ids);
  EXPECT_EQ(seen, expected.ids);
  // The same by the logits on the host.
  std::vector<int32_t> by_hand = {sample(recorded.prefill(prompt), {}, 0)};
  while (by_hand.size() < 40) by_hand.push_back(sample(recorded.decode(by_hand.back()), {}, 0));
  EXPECT_EQ(by_hand, expected.ids);
  const std::vector<int32_t> stop = {expected.ids[7]};
  EXPECT_EQ(recorded.generate(prompt, 40, stop).ids, plain.generate(prompt, 40, stop).ids);
  const SamplingOptions warm{.temperature = 1, .seed = 4};
  EXPECT_EQ(recorded.generate(prompt, 20, {}, warm).ids, plain.generate(prompt, 20, {}, warm).ids);
}

TEST(GpuDecode, AllocatesNothingAToken) {
  const Model host = Model::random(config_of(kSmol, 576, 1536), WeightLayout::kNF4, 5);
  const Loaded gpu(*test::gpu(), host, nullptr);
  const int64_t before = gpu.device.bytes_in_use();
  const SessionOptions options{.capacity = 300, .compute = DType::kBF16};
  Session session(gpu.device, gpu.model, nullptr, options);
  const MemoryPlan plan = Session::plan(gpu.device, gpu.model.config(), nullptr, options, gpu.model.weight_bytes());
  MemoryPlan surroundings;
  surroundings.add_surroundings(gpu.device);
  EXPECT_EQ(gpu.device.bytes_in_use() - before, plan.total() - gpu.model.weight_bytes() - surroundings.total());
  session.prefill(random_ids(9, 1));
  const int64_t allocations = gpu.device.allocations();
  for (int32_t i = 0; i < 5; ++i) session.decode_greedy(i);
  EXPECT_EQ(gpu.device.allocations(), allocations);
}

}  // namespace
}  // namespace tenfold
