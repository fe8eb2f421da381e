#include "model/decode.h"

#include "core/rng.h"
#include "infer/session.h"

#include <gtest/gtest.h>

#include <optional>

namespace tenfold {
namespace {

std::vector<int32_t> random_ids(int64_t n) {
  Rng rng(3, 9);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<int32_t>(rng.below(257)));
  return ids;
}

/// Adapters whose branches all count.
Adapter filled_adapter(Device& device, const Model& model, const LoraConfig& config) {
  Adapter adapter = Adapter::create(device, model, config, 1);
  Rng rng(5, 11);
  const TensorView flat = adapter.flat();
  for (int64_t i = 0; i < flat.elements(); ++i) flat.ptr<float>()[i] += 0.1F * static_cast<float>(rng.normal());
  return adapter;
}

TEST(TokenDecoder, IsTheBlocksOverOneToken) {
  Device device(2);
  const LoraConfig attention = LoraConfig::parse(4, 8, 0, false, {"q_proj", "k_proj", "v_proj", "o_proj"}, {});
  const LoraConfig all = LoraConfig::parse(3, 8, 0, false, {"q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"},
                                           {"norm", "embed_tokens", "lm_head"});
  const std::vector<int32_t> ids = random_ids(20);
  for (const WeightLayout layout : {WeightLayout::kQ8_0, WeightLayout::kNF4, WeightLayout::kF32}) {
    const Model model = Model::random(config_of_shape("tiny"), layout, 5);
    const ModelConfig& c = model.config();
    for (const LoraConfig* lora : {static_cast<const LoraConfig*>(nullptr), &attention, &all})
      for (const DType compute : {DType::kF32, DType::kBF16}) {
        SCOPED_TRACE(testing::Message() << name_of(layout) << (lora == nullptr ? "" : " LoRA ") << name_of(compute));
        std::optional<Adapter> adapter;
        if (lora != nullptr) adapter = filled_adapter(device, model, *lora);
        const Adapter* own = adapter ? &*adapter : nullptr;
        Session session(device, model, own, {.capacity = 32, .compute = compute});
        KvCache cache(device, c, compute, 1, 32);
        Workspace none;
        const int64_t bytes = TokenDecoder::scratch_bytes({device, none, compute, nullptr}, c, lora, 32);
        Workspace scratch(device.allocate("scratch", MemoryUse::kWorkspace, bytes));
        Exec exec{device, scratch, compute, nullptr};
        const Buffer logits = device.allocate("logits", MemoryUse::kActivations, c.vocabulary * 4);
        TokenDecoder decoder(exec, model, own, cache, rope_frequencies(c.rope, c.head_dim, c.max_position, 32),
                             logits.view(DType::kF32, {1, c.vocabulary}));
        for (int64_t t = 0; t < static_cast<int64_t>(ids.size()); ++t) {
          const int32_t id = ids[static_cast<size_t>(t)];
          const std::span<const float> expected = t == 0 ? session.prefill({&id, 1}) : session.decode(id);
          decoder.decode(t, id);
          const std::span actual(static_cast<const float*>(logits.data()), expected.size());
          ASSERT_TRUE(std::equal(actual.begin(), actual.end(), expected.begin())) << "token " << t;
        }
      }
  }
}

}  // namespace
}  // namespace tenfold
