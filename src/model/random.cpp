// Random weights of a shape, made where they will lie: an 8B takes a minute on the host and a moment on a GPU.
#include "core/checked.h"
#include "core/rng.h"
#include "model/weights.h"
#include "ops/random_fill.h"

#include <cmath>
#include <utility>

namespace tenfold {
namespace {

constexpr uint64_t kStream = 0x6d6f64656c;  // "model"

/// Builds a model's views over arrays that `take(bytes)` hands out. Null ones stay empty: that measures.
class RandomModel {
 public:
  RandomModel(Model::Impl& model, Device& device, WeightLayout layout, uint64_t seed, std::function<std::byte*(int64_t)> take)
      : model_(model), layout_(layout), seed_(seed), take_(std::move(take)), exec_{device, no_scratch_} {}

  void build() {
    const ModelConfig& c = model_.config;
    // As files have them: the tables of a model of 4-bit blocks are finer.
    const bool blocks = layout_ == WeightLayout::kQ4_0 || layout_ == WeightLayout::kQ4_1;
    const WeightLayout table = blocks ? WeightLayout::kQ8_0 : layout_ == WeightLayout::kNF4 ? WeightLayout::kBF16 : layout_;
    if (layout_ == WeightLayout::kNF4) {
      nf4_code_ = copied(ops::nf4_code());
      dynamic_code_ = copied(ops::dynamic_code());
    }
    model_.embed_tokens = weight("embed_tokens", table, c.vocabulary, c.hidden);
    model_.head = c.tied_head ? model_.embed_tokens : weight("lm_head", table, c.vocabulary, c.hidden);
    model_.final_norm = ones("norm", c.hidden);
    for (int64_t i = 0; i < c.layers; ++i) layer(fmt::format("layers.{}.", i));
  }

 private:
  void layer(const std::string& prefix) {
    const ModelConfig& c = model_.config;
    LayerWeights& l = model_.layers.emplace_back();
    l.attn_norm = ones(prefix + "attn_norm", c.hidden);
    l.q = weight(prefix + "q", layout_, c.q_size(), c.hidden);
    l.k = weight(prefix + "k", layout_, c.kv_size(), c.hidden);
    l.v = weight(prefix + "v", layout_, c.kv_size(), c.hidden);
    l.o = weight(prefix + "o", layout_, c.hidden, c.q_size());
    l.ffn_norm = ones(prefix + "ffn_norm", c.hidden);
    l.gate = weight(prefix + "gate", layout_, c.ffn, c.hidden);
    l.up = weight(prefix + "up", layout_, c.ffn, c.hidden);
    l.down = weight(prefix + "down", layout_, c.hidden, c.ffn);
  }

  /// A standard deviation of 1 / sqrt(cols) keeps the size of activations through the layers.
  WeightView weight(std::string name, WeightLayout layout, int64_t rows, int64_t cols) {
    WeightView w;
    w.name = model_.keep_name(std::move(name));
    w.device = exec_.device.kind();
    w.layout = layout;
    w.rows = rows;
    w.cols = cols;
    w.data = take_(w.bytes());
    const float spread = 1.0F / std::sqrt(static_cast<float>(cols));
    if (layout == WeightLayout::kNF4) {
      const int64_t blocks = ceil_div(w.elements(), 64);
      w.nf4.absmax8 = reinterpret_cast<const uint8_t*>(take_(blocks));
      w.nf4.nested_absmax = reinterpret_cast<const float*>(take_(ceil_div(blocks, 256) * 4));
      w.nf4.nested_offset = ops::random_nf4_offset(spread);
      w.nf4.nested_code = dynamic_code_;
      w.nf4.code = nf4_code_;
    }
    const uint64_t stream = mix64(kStream, weights_++);
    if (!w.empty()) ops::random_weight(exec_, seed_, stream, spread, w);
    return w;
  }

  const float* copied(std::span<const float> values) {
    const auto bytes = static_cast<int64_t>(values.size_bytes());
    std::byte* to = take_(bytes);
    if (to != nullptr) exec_.device.copy_in(to, values.data(), bytes);
    return reinterpret_cast<const float*>(to);
  }

  TensorView ones(std::string name, int64_t n) {
    const std::vector<float> values(static_cast<size_t>(n), 1.0F);
    TensorView t(model_.keep_name(std::move(name)), DType::kF32, {n}, const_cast<float*>(copied(values)));
    t.device = exec_.device.kind();
    return t;
  }

  Model::Impl& model_;
  WeightLayout layout_;
  uint64_t seed_;
  std::function<std::byte*(int64_t)> take_;
  Workspace no_scratch_;
  Exec exec_;
  uint64_t weights_ = 0;
  const float* nf4_code_ = nullptr;
  const float* dynamic_code_ = nullptr;
};

/// Arrays one after another from `begin`; null ones while that is null.
class Cutter {
 public:
  explicit Cutter(std::byte* begin) : begin_(begin) {}
  std::byte* take(int64_t bytes) {
    constexpr int64_t kAlignment = 256;
    const int64_t at = bytes_;
    bytes_ = round_up(bytes_ + bytes, kAlignment);
    return begin_ == nullptr ? nullptr : begin_ + at;
  }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* begin_;
  int64_t bytes_ = 0;
};

}  // namespace

void make_random(Model::Impl& model, Device& device, WeightLayout layout, uint64_t seed) {
  validate(model.config, "shape " + model.config.name);
  const ModelConfig& c = model.config;
  uint64_t fingerprint = mix64(mix64(kStream, seed), static_cast<uint64_t>(layout));
  for (const int64_t size : {c.layers, c.hidden, c.ffn, c.heads, c.kv_heads, c.head_dim, c.vocabulary})
    fingerprint = mix64(fingerprint, static_cast<uint64_t>(size));
  model.fingerprint = fingerprint;
  if (device.kind() == DeviceKind::kCpu) {
    const auto take = [&](int64_t bytes) { return model.owned_bytes.emplace_back(static_cast<size_t>(bytes)).data(); };
    return RandomModel(model, device, layout, seed, take).build();
  }
  Cutter measure(nullptr);
  Model::Impl shape;
  shape.config = model.config;
  RandomModel(shape, device, layout, seed, [&](int64_t bytes) { return measure.take(bytes); }).build();
  model.device_weights = device.allocate("base weights", MemoryUse::kWeights, measure.bytes());
  Cutter cutter(static_cast<std::byte*>(model.device_weights.data()));
  RandomModel(model, device, layout, seed, [&](int64_t bytes) { return cutter.take(bytes); }).build();
}

}  // namespace tenfold
