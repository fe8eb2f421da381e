#include "model/adapter.h"

#include "core/rng.h"
#include "ops/expand.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

namespace tenfold {
namespace {

struct ProjectionInfo {
  std::string_view name;
  std::string_view module;
};

constexpr std::array<ProjectionInfo, kProjections> kProjectionInfo = {{{"q_proj", "self_attn.q_proj"},
                                                                       {"k_proj", "self_attn.k_proj"},
                                                                       {"v_proj", "self_attn.v_proj"},
                                                                       {"o_proj", "self_attn.o_proj"},
                                                                       {"gate_proj", "mlp.gate_proj"},
                                                                       {"up_proj", "mlp.up_proj"},
                                                                       {"down_proj", "mlp.down_proj"}}};

constexpr uint64_t kInitStream = 0x6c6f7261;  // "lora"

/// A trained (V, D) parameter as the products take a weight.
WeightView dense_weight(const TensorView& t) {
  WeightView w;
  w.name = t.name;
  w.layout = WeightLayout::kF32;
  w.device = t.device;
  w.rows = t.dim(0);
  w.cols = t.dim(1);
  w.data = static_cast<const std::byte*>(t.data);
  return w;
}

}  // namespace

std::string_view name_of(Projection p) { return kProjectionInfo[static_cast<size_t>(p)].name; }
std::string_view module_of(Projection p) { return kProjectionInfo[static_cast<size_t>(p)].module; }

std::pair<int64_t, int64_t> projection_shape(const ModelConfig& c, Projection p) {
  switch (p) {
    case Projection::kQ: return {c.q_size(), c.hidden};
    case Projection::kK:
    case Projection::kV: return {c.kv_size(), c.hidden};
    case Projection::kO: return {c.hidden, c.q_size()};
    case Projection::kGate:
    case Projection::kUp: return {c.ffn, c.hidden};
    case Projection::kDown: return {c.hidden, c.ffn};
    case Projection::kCount: break;
  }
  TENFOLD_CHECK(false, "projection {}", static_cast<int>(p));
}

float LoraConfig::scale() const {
  return static_cast<float>(rslora ? alpha / std::sqrt(static_cast<double>(r)) : alpha / static_cast<double>(r));
}

LoraConfig LoraConfig::parse(int64_t r, double alpha, double dropout, bool rslora, const std::vector<std::string>& targets,
                             const std::vector<std::string>& extra) {
  LoraConfig c;
  if (r < 1 || r > 4096) throw_input("--lora-r {}: expected 1 to 4096", r);
  if (!(dropout >= 0 && dropout < 1)) throw_input("--lora-dropout {}: expected 0 <= p < 1", dropout);
  if (!std::isfinite(alpha)) throw_input("--lora-alpha {}: expected a number", alpha);
  c.r = r;
  c.alpha = alpha;
  c.dropout = dropout;
  c.rslora = rslora;
  std::set<Projection> chosen;
  for (const std::string& name : targets) {
    const auto found =
        std::find_if(kProjectionInfo.begin(), kProjectionInfo.end(), [&](const ProjectionInfo& i) { return i.name == name; });
    if (found == kProjectionInfo.end()) {
      throw_input(
          "--lora-targets {}: unknown module; expected some of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
          name);
    }
    chosen.insert(static_cast<Projection>(found - kProjectionInfo.begin()));
  }
  c.targets.assign(chosen.begin(), chosen.end());
  for (const std::string& name : extra) {
    if (name == "embed_tokens") {
      c.train_embed_tokens = true;
    } else if (name == "norm") {
      c.train_norms = true;
    } else if (name == "lm_head") {
      c.train_head = true;
    } else {
      throw_input("--lora-extra-params {}: unknown parameter; expected some of embed_tokens, norm, lm_head", name);
    }
  }
  if (c.targets.empty() && extra.empty())
    throw_input("--lora-targets is empty and there is no --lora-extra-params: nothing to train");
  return c;
}

void Adapter::lay_out(const ModelConfig& model) {
  layers_ = model.layers;
  hidden_ = model.hidden;
  const auto add = [&](std::string key, int64_t rows, int64_t cols, bool is_vector) {
    parameters_.push_back({std::move(key), rows, cols, is_vector, elements_});
    elements_ += rows * cols;
    // Every parameter starts on a cache line, so that its view is aligned for the kernels.
    elements_ = (elements_ + 15) / 16 * 16;
    return static_cast<int64_t>(parameters_.size()) - 1;
  };
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    auto& index = lora_index_.emplace_back();
    index.fill(-1);
    for (const Projection p : config_.targets) {
      const auto [out, in] = projection_shape(model, p);
      index[static_cast<size_t>(p)] = add(peft_lora_key(layer, module_of(p), 'A'), config_.r, in, false);
      add(peft_lora_key(layer, module_of(p), 'B'), out, config_.r, false);
    }
    if (config_.train_norms) {
      const std::string prefix = fmt::format("model.layers.{}.", layer);
      attn_norm_index_.push_back(add(peft_saved_key(prefix + "input_layernorm"), 1, model.hidden, true));
      ffn_norm_index_.push_back(add(peft_saved_key(prefix + "post_attention_layernorm"), 1, model.hidden, true));
    }
  }
  if (config_.train_norms) final_norm_index_ = add(peft_saved_key("model.norm"), 1, model.hidden, true);
  if (config_.train_embed_tokens) embed_index_ = add(peft_saved_key("model.embed_tokens"), model.vocabulary, model.hidden, false);
  if (config_.train_head) head_index_ = add(peft_saved_key("lm_head"), model.vocabulary, model.hidden, false);
}

int64_t Adapter::elements_of(const ModelConfig& model, const LoraConfig& config) {
  Adapter a;
  a.config_ = config;
  a.lay_out(model);
  return a.elements_;
}

Adapter Adapter::create(Device& device, const Model& model, const LoraConfig& config, uint64_t seed) {
  Adapter a;
  a.config_ = config;
  a.lay_out(model.config());
  a.values_ = device.allocate("adapter", MemoryUse::kAdapter, a.elements_ * 4);
  a.values_.fill_zero();
  const TensorView flat = a.flat();
  const auto copy_vector = [&](const TensorView& from, const TensorView& to) {
    device.copy_in(to.data, HostCopy(device, from).view().data, to.bytes());
  };
  for (int64_t layer = 0; layer < a.layers_; ++layer) {
    for (const Projection p : config.targets) {
      const ops::LoraView lora = a.lora(layer, p);
      Rng rng(seed, mix64(kInitStream, static_cast<uint64_t>(layer) * kProjections + static_cast<uint64_t>(p)));
      const float bound = 1.0F / std::sqrt(static_cast<float>(lora.a.dim(1)));
      std::vector<float> values(static_cast<size_t>(lora.a.elements()));
      for (float& v : values) v = bound * (2.0F * static_cast<float>(rng.uniform()) - 1.0F);
      device.copy_in(lora.a.data, values.data(), lora.a.bytes());
    }
    if (config.train_norms) {
      copy_vector(model.layer(layer).attn_norm, a.attn_norm(layer, flat));
      copy_vector(model.layer(layer).ffn_norm, a.ffn_norm(layer, flat));
    }
  }
  if (config.train_norms) copy_vector(model.final_norm(), a.final_norm(flat));
  Workspace none;
  Exec exec{device, none, DType::kF32, nullptr};
  if (config.train_embed_tokens) ops::expand_rows(exec, model.embed_tokens(), 0, a.embed_tokens(flat));
  if (config.train_head) ops::expand_rows(exec, model.head(), 0, a.head(flat));
  return a;
}

TensorView Adapter::view(int64_t index, const TensorView& flat, const char* name) const {
  if (index < 0) return {};
  const Parameter& p = parameters_[static_cast<size_t>(index)];
  float* data = flat.ptr<float>() + p.offset;
  TensorView out =
      p.is_vector ? TensorView(name, DType::kF32, {p.cols}, data) : TensorView(name, DType::kF32, {p.rows, p.cols}, data);
  out.device = flat.device;
  return out;
}

ops::LoraView Adapter::lora(int64_t layer, Projection projection, const TensorView& flat) const {
  const int64_t index = lora_index_[static_cast<size_t>(layer)][static_cast<size_t>(projection)];
  if (index < 0) return {};
  return {view(index, flat, "lora_A"), view(index + 1, flat, "lora_B"), config_.scale()};
}

TensorView Adapter::embed_tokens(const TensorView& flat) const { return view(embed_index_, flat, "embed_tokens"); }

TensorView Adapter::head(const TensorView& flat) const {
  if (head_index_ < 0 && config_.tie_embeddings) return embed_tokens(flat);
  return view(head_index_, flat, "lm_head");
}

TensorView Adapter::attn_norm(int64_t layer, const TensorView& flat) const {
  return config_.train_norms ? view(attn_norm_index_[static_cast<size_t>(layer)], flat, "input_layernorm") : TensorView();
}

TensorView Adapter::ffn_norm(int64_t layer, const TensorView& flat) const {
  return config_.train_norms ? view(ffn_norm_index_[static_cast<size_t>(layer)], flat, "post_attention_layernorm") : TensorView();
}

TensorView Adapter::final_norm(const TensorView& flat) const { return view(final_norm_index_, flat, "norm"); }

WeightView embedding_table(const Model& model, const Adapter* adapter) {
  const TensorView own = adapter == nullptr ? TensorView() : adapter->embed_tokens(adapter->flat());
  return own.empty() ? model.embed_tokens() : dense_weight(own);
}

WeightView head_table(const Model& model, const Adapter* adapter) {
  const TensorView own = adapter == nullptr ? TensorView() : adapter->head(adapter->flat());
  return own.empty() ? model.head() : dense_weight(own);
}

TensorView final_norm(const Model& model, const Adapter* adapter) {
  const TensorView own = adapter == nullptr ? TensorView() : adapter->final_norm(adapter->flat());
  return own.empty() ? model.final_norm() : own;
}

TensorView attn_norm(const Model& model, const Adapter* adapter, int64_t layer) {
  const TensorView own = adapter == nullptr ? TensorView() : adapter->attn_norm(layer, adapter->flat());
  return own.empty() ? model.layer(layer).attn_norm : own;
}

TensorView ffn_norm(const Model& model, const Adapter* adapter, int64_t layer) {
  const TensorView own = adapter == nullptr ? TensorView() : adapter->ffn_norm(layer, adapter->flat());
  return own.empty() ? model.layer(layer).ffn_norm : own;
}

}  // namespace tenfold
