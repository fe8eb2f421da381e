#include "model/decode.h"

#include "core/error.h"
#include "model/block.h"
#include "ops/attention.h"
#include "ops/decode.h"
#include "ops/linear.h"
#include "ops/rms_norm.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tenfold {
namespace {

constexpr int64_t kFrequenciesAt = 64;  ///< bytes; before them lies the place

}  // namespace

/// What one token computes on its way: taken from the workspace in one place, so that measuring and running cannot differ.
struct TokenDecoder::Token {
  TensorView x, x_out;  ///< (1, D) the residual stream, by turns
  TensorView cos, sin;  ///< (1, E/2) f32
  TensorView h;         ///< (1, D)
  TensorView q, o;      ///< (1, H E)
  TensorView k, v;      ///< (1, G E)
  TensorView x_mid;     ///< (1, D)
  TensorView gate, up;  ///< (1, F)
  std::array<TensorView, kProjections> u;
};

TokenDecoder::Token TokenDecoder::take(Workspace& ws, const ModelConfig& c, DType compute, const LoraConfig* lora) {
  Token t;
  t.x = ws.tensor("x", compute, {1, c.hidden});
  t.x_out = ws.tensor("x_out", compute, {1, c.hidden});
  t.cos = ws.tensor("cos", DType::kF32, {1, c.head_dim / 2});
  t.sin = ws.tensor("sin", DType::kF32, {1, c.head_dim / 2});
  t.h = ws.tensor("h", compute, {1, c.hidden});
  t.q = ws.tensor("q", compute, {1, c.q_size()});
  t.o = ws.tensor("o", compute, {1, c.q_size()});
  t.k = ws.tensor("k", compute, {1, c.kv_size()});
  t.v = ws.tensor("v", compute, {1, c.kv_size()});
  t.x_mid = ws.tensor("x_mid", compute, {1, c.hidden});
  t.gate = ws.tensor("gate", compute, {1, c.ffn});
  t.up = ws.tensor("up", compute, {1, c.ffn});
  if (lora != nullptr)
    for (TensorView& u : t.u) u = ws.tensor("lora_u", compute, {1, lora->r});
  return t;
}

bool TokenDecoder::serves(Device& device, const ModelConfig& config) { return ops::decodes(device, config.head_dim); }

int64_t TokenDecoder::state_bytes(const ModelConfig& config) {
  return kFrequenciesAt + config.head_dim / 2 * size_of(DType::kF32);
}

int64_t TokenDecoder::scratch_bytes(const Exec& exec, const ModelConfig& c, const LoraConfig* lora, int64_t capacity) {
  Workspace ws;
  take(ws, c, exec.compute, lora);
  const int64_t rank = lora == nullptr ? 0 : lora->r;
  int64_t most = ops::attention_scratch_bytes(exec, 1, capacity, c.heads, c.kv_heads, c.head_dim, /*training=*/false);
  for (size_t p = 0; p < kProjections; ++p) {
    const auto [out, in] = projection_shape(c, static_cast<Projection>(p));
    most = std::max(most, ops::linear_scratch_bytes(exec, 1, out, in, rank));
  }
  ws.bytes(std::max(most, ops::linear_scratch_bytes(exec, 1, c.vocabulary, c.hidden, 0)));
  return ws.high_water();
}

TokenDecoder::TokenDecoder(Exec& exec, const Model& model, const Adapter* adapter, const KvCache& cache,
                           const RopeFrequencies& rope, const TensorView& logits)
    : exec_(exec),
      model_(model),
      adapter_(adapter),
      cache_(cache),
      attention_factor_(rope.attention_factor),
      logits_(logits),
      state_(exec.device.allocate(kStateName, MemoryUse::kWorkspace, state_bytes(model.config()))) {
  TENFOLD_CHECK(exec.profile == nullptr, "tokens cannot be recorded with a profile");
  const TensorView frequencies = inv_freq();
  TENFOLD_CHECK(frequencies.elements() == static_cast<int64_t>(rope.inv_freq.size()), "{} frequencies", rope.inv_freq.size());
  exec.device.copy_in(frequencies.data, rope.inv_freq.data(), frequencies.bytes());
}

TensorView TokenDecoder::place() const { return state_.view(DType::kI64, {2}); }

TensorView TokenDecoder::inv_freq() const {
  TensorView out("inverse frequencies", DType::kF32, {model_.config().head_dim / 2},
                 static_cast<std::byte*>(state_.data()) + kFrequenciesAt);
  out.device = state_.device_kind();
  return out;
}

void TokenDecoder::decode(int64_t position, int32_t id) {
  TENFOLD_CHECK(0 <= position && position < cache_.capacity(), "position {} of {}", position, cache_.capacity());
  TENFOLD_CHECK(0 <= id && id < model_.config().vocabulary, "token {} of {}", id, model_.config().vocabulary);
  ops::decode_place(exec_, position, id, place());
  if (recording_ != nullptr) return recording_->replay();
  enqueue();
  // The first token runs as it is, so that what a device loads on first use is there before it records.
  if (!std::exchange(begun_, true)) recording_ = exec_.device.record([this] { enqueue(); });
}

/// embedding -> blocks -> logits.
void TokenDecoder::enqueue() {
  const Workspace::Scope scope(exec_.scratch);
  const ModelConfig& c = model_.config();
  const Token t = take(exec_.scratch, c, exec_.compute, adapter_ == nullptr ? nullptr : &adapter_->config());
  ops::decode_begin(exec_, place(), embedding_table(model_, adapter_), inv_freq(), attention_factor_, t.x, t.cos, t.sin);
  TensorView x = t.x;
  TensorView x_out = t.x_out;
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    block(t, layer, x, x_out);
    std::swap(x, x_out);
  }
  ops::rms_norm_forward(exec_, x, final_norm(model_, adapter_), c.rms_eps, t.h);
  ops::linear_forward(exec_, t.h, head_table(model_, adapter_), {}, logits_);
}

/// block_forward (model/block.cpp) over one token.
void TokenDecoder::block(const Token& t, int64_t layer, const TensorView& x, const TensorView& x_out) {
  const ModelConfig& c = model_.config();
  const LayerWeights& w = model_.layer(layer);
  const auto product = [&](Projection p, const WeightView& weight, const TensorView& y) {
    ops::TokenProduct out{weight, {}, t.u[static_cast<size_t>(p)], y};
    if (adapter_ != nullptr) out.lora = adapter_->lora(layer, p);
    return out;
  };
  const auto project = [&](Projection p, const WeightView& weight, const TensorView& in, const TensorView& residual,
                           const TensorView& y) {
    const ops::TokenProduct own = product(p, weight, y);
    ops::LinearArgs args;
    args.lora = own.lora;
    args.lora_u = own.lora_u;
    args.residual = residual;
    ops::linear_forward(exec_, in, weight, args, y);
  };
  const auto heads = [&](const TensorView& y, int64_t n) { return y.reshaped({1, n, c.head_dim}); };
  const int64_t row = cache_.row(0);
  const TensorView keys = cache_.keys(layer).rows(row, row + cache_.capacity());
  const TensorView values = cache_.values(layer).rows(row, row + cache_.capacity());

  ops::rms_norm_forward(exec_, x, attn_norm(model_, adapter_, layer), c.rms_eps, t.h);
  const std::array qkv = {product(Projection::kQ, w.q, t.q), product(Projection::kK, w.k, t.k),
                          product(Projection::kV, w.v, t.v)};
  ops::decode_products(exec_, t.h, qkv);
  const TensorView q = heads(t.q, c.heads);
  ops::decode_rope(exec_, place(), q, heads(t.k, c.kv_heads), heads(t.v, c.kv_heads), t.cos, t.sin, keys, values);
  ops::decode_attention(exec_, place(), q, keys, values, attention_scale(c), heads(t.o, c.heads));
  project(Projection::kO, w.o, t.o, x, t.x_mid);

  ops::rms_norm_forward(exec_, t.x_mid, ffn_norm(model_, adapter_, layer), c.rms_eps, t.h);
  ops::decode_gate_up(exec_, t.h, product(Projection::kGate, w.gate, t.gate), product(Projection::kUp, w.up, t.up));
  project(Projection::kDown, w.down, t.gate, t.x_mid, x_out);
}

}  // namespace tenfold
