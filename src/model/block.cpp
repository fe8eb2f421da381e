#include "model/block.h"

#include "core/rng.h"
#include "ops/elementwise.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/swiglu.h"

#include <algorithm>
#include <cmath>

namespace tenfold {
namespace {

/// One block's view of the run: which weights, which adapter, how its projections are called.
class Block {
 public:
  Block(Exec& exec, const BlockContext& context, int64_t layer)
      : exec_(exec), context_(context), weights_(context.model.layer(layer)), config_(context.model.config()), layer_(layer) {}

  const ModelConfig& config() const { return config_; }
  const LayerWeights& weights() const { return weights_; }

  TensorView attn_norm() const { return tenfold::attn_norm(context_.model, context_.adapter, layer_); }
  TensorView ffn_norm() const { return tenfold::ffn_norm(context_.model, context_.adapter, layer_); }

  ops::LoraView lora(Projection p) const {
    return context_.adapter == nullptr ? ops::LoraView{} : context_.adapter->lora(layer_, p);
  }
  bool has_lora(Projection p) const { return !lora(p).empty(); }

  /// y = x W^T + LoRA [+ residual]. `u` is where the LoRA branch's (T, R) intermediate goes.
  void project(Projection p, const WeightView& w, const TensorView& x, const TensorView& u, const TensorView& y,
               const TensorView& residual = {}) {
    const Workspace::Scope scope(exec_.scratch);
    ops::LinearArgs args = arguments(p, x, u);
    args.residual = residual;
    ops::linear_forward(exec_, x, w, args, y);
  }

  /// d_x (=, or += with accumulate) and the LoRA gradients of `project`.
  void project_backward(Projection p, const WeightView& w, const TensorView& d_y, const TensorView& x, const TensorView& u,
                        const TensorView& gradients, const TensorView& d_x, bool accumulate) {
    const Workspace::Scope scope(exec_.scratch);
    const ops::LinearArgs args = arguments(p, x, u);
    ops::LinearGrads grads;
    grads.d_x = d_x;
    grads.accumulate = accumulate;
    if (!args.lora.empty()) {
      const ops::LoraView into = context_.adapter->lora(layer_, p, gradients);
      grads.d_a = into.a;
      grads.d_b = into.b;
    }
    if (args.lora_in.empty()) {
      ops::linear_backward(exec_, d_y, x, w, args, grads);
      return;
    }
    grads.d_lora_in = exec_.scratch.tensor("d_lora_in", DType::kF32, {x.dim(0), x.dim(1)});
    const TensorView whole = exec_.scratch.tensor("d_x", DType::kF32, {x.dim(0), x.dim(1)});
    if (!accumulate) grads.d_x = whole;
    ops::linear_backward(exec_, d_y, x, w, args, grads);
    drop(p, grads.d_lora_in, grads.d_lora_in);
    ops::add(exec_, grads.d_lora_in, grads.d_x);
    if (!accumulate) ops::cast(exec_, whole, d_x);
  }

 private:
  bool drops() const { return context_.training && context_.adapter != nullptr && context_.adapter->config().dropout > 0; }

  void drop(Projection p, const TensorView& x, const TensorView& y) {
    const uint64_t stream =
        mix64(context_.dropout_stream, static_cast<uint64_t>(layer_) * kProjections + static_cast<uint64_t>(p));
    ops::dropout(exec_, x, context_.positions, static_cast<float>(context_.adapter->config().dropout), context_.seed, stream, y);
  }

  ops::LinearArgs arguments(Projection p, const TensorView& x, const TensorView& u) {
    ops::LinearArgs args;
    args.lora = lora(p);
    if (args.lora.empty()) return args;
    args.lora_u = u;
    if (drops()) {
      args.lora_in = exec_.scratch.tensor("lora_in", exec_.compute, {x.dim(0), x.dim(1)});
      drop(p, x, args.lora_in);
    }
    return args;
  }

  Exec& exec_;
  const BlockContext& context_;
  const LayerWeights& weights_;
  const ModelConfig& config_;
  int64_t layer_;
};

bool targets(const LoraConfig* lora, Projection p) {
  return lora != nullptr && std::find(lora->targets.begin(), lora->targets.end(), p) != lora->targets.end();
}

/// What a block computes on its way: taken from the workspace in one place, so that measuring and running cannot differ.
struct Middle {
  TensorView h;      ///< (T, D) normalised input of the projections
  TensorView q;      ///< (T, H E)
  TensorView k;      ///< (T, G E)
  TensorView v;      ///< (T, G E)
  TensorView o;      ///< (T, H E)
  TensorView lse;    ///< (H, T)
  TensorView x_mid;  ///< (T, D)
  std::array<TensorView, kProjections> u;
};

Middle take_middle(Workspace& ws, const ModelConfig& c, const LoraConfig* lora, DType compute, int64_t tokens,
                   const BlockSaved* saved, bool cached, bool needs_lse) {
  const auto kept = [&](TensorView BlockSaved::*member) { return saved == nullptr ? TensorView() : saved->*member; };
  const auto flat = [](const TensorView& t) { return t.rank == 3 ? t.reshaped({t.dim(0), t.dim(1) * t.dim(2)}) : t; };
  const auto take = [&](TensorView BlockSaved::*member, const char* name, int64_t cols) {
    const TensorView own = kept(member);
    return own.empty() ? ws.tensor(name, compute, {tokens, cols}) : flat(own);
  };
  Middle m;
  m.h = ws.tensor("h", compute, {tokens, c.hidden});
  m.q = take(&BlockSaved::q, "q", c.q_size());
  if (!cached) {
    m.k = take(&BlockSaved::k, "k", c.kv_size());
    m.v = take(&BlockSaved::v, "v", c.kv_size());
  }
  m.o = take(&BlockSaved::attn_out, "o", c.q_size());
  m.lse = kept(&BlockSaved::lse);
  if (m.lse.empty() && needs_lse) m.lse = ws.tensor("lse", DType::kF32, {c.heads, tokens});
  m.x_mid = take(&BlockSaved::x_mid, "x_mid", c.hidden);
  for (size_t i = 0; i < kProjections; ++i) {
    if (!targets(lora, static_cast<Projection>(i))) continue;
    m.u[i] = saved == nullptr ? TensorView() : saved->lora_u[i];
    if (m.u[i].empty()) m.u[i] = ws.tensor("lora_u", compute, {tokens, lora->r});
  }
  return m;
}

/// The same for a chunk of the MLP.
struct MlpChunk {
  TensorView gate, up, a;  ///< (rows, F)
  TensorView d_a;          ///< (rows, F), backward
  TensorView d_h;          ///< (rows, D) f32, backward
};

MlpChunk take_mlp(Workspace& ws, const ModelConfig& c, const LoraConfig* lora, DType compute, int64_t rows, bool kept,
                  bool backward) {
  MlpChunk m;
  m.gate = ws.tensor("gate", compute, {rows, c.ffn});
  m.up = ws.tensor("up", compute, {rows, c.ffn});
  if (kept || (backward && targets(lora, Projection::kDown))) m.a = ws.tensor("a", compute, {rows, c.ffn});
  if (backward) {
    m.d_a = ws.tensor("d_a", compute, {rows, c.ffn});
    m.d_h = ws.tensor("d_h", DType::kF32, {rows, c.hidden});
  }
  return m;
}

/// Backward temporaries of the attention part.
struct AttentionTemps {
  TensorView d_o, d_q, d_k, d_v;
  TensorView d_h;  ///< (T, D) f32
};

AttentionTemps take_attention(Workspace& ws, const ModelConfig& c, DType compute, int64_t tokens) {
  AttentionTemps t;
  t.d_o = ws.tensor("d_o", compute, {tokens, c.q_size()});
  t.d_q = ws.tensor("d_q", compute, {tokens, c.q_size()});
  t.d_k = ws.tensor("d_k", compute, {tokens, c.kv_size()});
  t.d_v = ws.tensor("d_v", compute, {tokens, c.kv_size()});
  t.d_h = ws.tensor("d_h", DType::kF32, {tokens, c.hidden});
  return t;
}

TensorView heads_view(const TensorView& x, int64_t heads, int64_t head_dim) { return x.reshaped({x.dim(0), heads, head_dim}); }

TensorView rows_of(const TensorView& t, int64_t begin, int64_t end) { return t.empty() ? t : t.rows(begin, end); }

/// h = norm(x); q, k, v with RoPE.
void query_key_value(Exec& exec, const BlockContext& context, Block& block, const TensorView& x, Middle& m) {
  const ModelConfig& c = block.config();
  const LayerWeights& w = block.weights();
  const auto u = [&](Projection p) { return m.u[static_cast<size_t>(p)]; };
  ops::rms_norm_forward(exec, x, block.attn_norm(), c.rms_eps, m.h);
  block.project(Projection::kQ, w.q, m.h, u(Projection::kQ), m.q);
  block.project(Projection::kK, w.k, m.h, u(Projection::kK), m.k);
  block.project(Projection::kV, w.v, m.h, u(Projection::kV), m.v);
  ops::rope_apply(exec, heads_view(m.q, c.heads, c.head_dim), context.cos, context.sin, /*inverse=*/false);
  ops::rope_apply(exec, heads_view(m.k, c.kv_heads, c.head_dim), context.cos, context.sin, /*inverse=*/false);
}

/// gate and up of rows [begin, end) from the normalised middle residual, which is written to h.
void gate_up(Exec& exec, Block& block, const Middle& m, const MlpChunk& mlp, int64_t begin, int64_t end) {
  const LayerWeights& w = block.weights();
  const TensorView h = m.h.rows(begin, end);
  const auto u = [&](Projection p) { return rows_of(m.u[static_cast<size_t>(p)], begin, end); };
  ops::rms_norm_forward(exec, m.x_mid.rows(begin, end), block.ffn_norm(), block.config().rms_eps, h);
  block.project(Projection::kGate, w.gate, h, u(Projection::kGate), mlp.gate);
  block.project(Projection::kUp, w.up, h, u(Projection::kUp), mlp.up);
}

void mlp_forward(Exec& exec, Block& block, const BlockSaved* saved, const Middle& m, const TensorView& x_out) {
  const ModelConfig& c = block.config();
  const bool kept = saved != nullptr && !saved->gate.empty();
  const LoraConfig* lora = nullptr;
  const int64_t step = exec.device.mlp_rows();
  for (int64_t begin = 0; begin < m.x_mid.dim(0); begin += step) {
    const int64_t end = std::min(begin + step, m.x_mid.dim(0));
    const Workspace::Scope scope(exec.scratch);
    MlpChunk mlp = take_mlp(exec.scratch, c, lora, exec.compute, end - begin, kept, /*backward=*/false);
    if (kept) {
      mlp.gate = saved->gate.rows(begin, end);
      mlp.up = saved->up.rows(begin, end);
    } else {
      mlp.a = mlp.gate;
    }
    gate_up(exec, block, m, mlp, begin, end);
    ops::swiglu_forward(exec, mlp.gate, mlp.up, mlp.a);
    block.project(Projection::kDown, block.weights().down, mlp.a,
                  rows_of(m.u[static_cast<size_t>(Projection::kDown)], begin, end), x_out.rows(begin, end),
                  m.x_mid.rows(begin, end));
  }
}

void mlp_backward(Exec& exec, const BlockContext& context, Block& block, int64_t layer, const BlockSaved& saved, const Middle& m,
                  const TensorView& gradients, const TensorView& d_x) {
  const ModelConfig& c = block.config();
  const LayerWeights& w = block.weights();
  const bool kept = !saved.gate.empty();
  const Adapter& adapter = *context.adapter;
  const int64_t step = exec.device.mlp_rows();
  for (int64_t begin = 0; begin < m.x_mid.dim(0); begin += step) {
    const int64_t end = std::min(begin + step, m.x_mid.dim(0));
    const Workspace::Scope scope(exec.scratch);
    MlpChunk mlp = take_mlp(exec.scratch, c, &adapter.config(), exec.compute, end - begin, kept, /*backward=*/true);
    const TensorView h = m.h.rows(begin, end);
    const TensorView d = d_x.rows(begin, end);
    const auto u = [&](Projection p) { return rows_of(m.u[static_cast<size_t>(p)], begin, end); };
    if (kept) {
      mlp.gate = saved.gate.rows(begin, end);
      mlp.up = saved.up.rows(begin, end);
      ops::rms_norm_forward(exec, m.x_mid.rows(begin, end), block.ffn_norm(), c.rms_eps, h);
    } else {
      gate_up(exec, block, m, mlp, begin, end);
    }
    TensorView a = mlp.gate;  // down_proj's input matters to its LoRA gradients alone
    if (block.has_lora(Projection::kDown)) {
      a = mlp.a;
      ops::swiglu_forward(exec, mlp.gate, mlp.up, a);
    }
    block.project_backward(Projection::kDown, w.down, d, a, u(Projection::kDown), gradients, mlp.d_a, /*accumulate=*/false);
    ops::swiglu_backward(exec, mlp.d_a, mlp.gate, mlp.up, mlp.gate, mlp.up);
    block.project_backward(Projection::kGate, w.gate, mlp.gate, h, u(Projection::kGate), gradients, mlp.d_h,
                           /*accumulate=*/false);
    block.project_backward(Projection::kUp, w.up, mlp.up, h, u(Projection::kUp), gradients, mlp.d_h, /*accumulate=*/true);
    ops::rms_norm_backward(exec, mlp.d_h, m.x_mid.rows(begin, end), block.ffn_norm(), c.rms_eps, d,
                           adapter.ffn_norm(layer, gradients));
  }
}

void attention_backward_part(Exec& exec, const BlockContext& context, Block& block, int64_t layer, const BlockSaved& saved,
                             const Middle& m, const TensorView& gradients, const TensorView& d_x) {
  const ModelConfig& c = block.config();
  const LayerWeights& w = block.weights();
  const Workspace::Scope scope(exec.scratch);
  const AttentionTemps t = take_attention(exec.scratch, c, exec.compute, saved.x.dim(0));
  const auto u = [&](Projection p) { return m.u[static_cast<size_t>(p)]; };
  const auto as_heads = [&](const TensorView& x) { return heads_view(x, x.dim(1) / c.head_dim, c.head_dim); };

  block.project_backward(Projection::kO, w.o, d_x, m.o, u(Projection::kO), gradients, t.d_o, /*accumulate=*/false);
  ops::attention_backward(exec, as_heads(t.d_o), as_heads(m.q), as_heads(m.k), as_heads(m.v), as_heads(m.o), m.lse,
                          context.segments, attention_scale(c), {as_heads(t.d_q), as_heads(t.d_k), as_heads(t.d_v)});
  ops::rope_apply(exec, as_heads(t.d_q), context.cos, context.sin, /*inverse=*/true);
  ops::rope_apply(exec, as_heads(t.d_k), context.cos, context.sin, /*inverse=*/true);
  ops::rms_norm_forward(exec, saved.x, block.attn_norm(), c.rms_eps, m.h);
  block.project_backward(Projection::kQ, w.q, t.d_q, m.h, u(Projection::kQ), gradients, t.d_h, /*accumulate=*/false);
  block.project_backward(Projection::kK, w.k, t.d_k, m.h, u(Projection::kK), gradients, t.d_h, /*accumulate=*/true);
  block.project_backward(Projection::kV, w.v, t.d_v, m.h, u(Projection::kV), gradients, t.d_h, /*accumulate=*/true);
  ops::rms_norm_backward(exec, t.d_h, saved.x, block.attn_norm(), c.rms_eps, d_x, context.adapter->attn_norm(layer, gradients));
}

}  // namespace

float attention_scale(const ModelConfig& c) { return 1.0F / std::sqrt(static_cast<float>(c.head_dim)); }

void block_forward(Exec& exec, const BlockContext& context, int64_t layer, const TensorView& x, const BlockSaved* saved,
                   KvCache* cache, int64_t cache_row, const TensorView& x_out) {
  const Workspace::Scope scope(exec.scratch);
  Block block(exec, context, layer);
  const ModelConfig& c = block.config();
  const LoraConfig* lora = context.adapter == nullptr ? nullptr : &context.adapter->config();
  const int64_t tokens = x.dim(0);
  const bool scattered = !context.cache_rows.empty();
  // A forward that a backward may repeat makes its log-sum-exp even where it is not kept: both are then one and the same kernel.
  Middle m = take_middle(exec.scratch, c, lora, exec.compute, tokens, saved, cache != nullptr && !scattered, saved != nullptr);
  TensorView keys;
  TensorView values;
  if (cache != nullptr) {
    keys = cache->keys(layer);
    values = cache->values(layer);
  }
  if (scattered) {
    TENFOLD_CHECK(cache != nullptr && std::ssize(context.cache_rows) == tokens, "{} cache rows for {} tokens",
                  context.cache_rows.size(), tokens);
  } else if (cache != nullptr) {
    const int64_t page = cache_row / cache->capacity() * cache->capacity();
    m.k = keys.rows(cache_row, cache_row + tokens).reshaped({tokens, c.kv_size()});
    m.v = values.rows(cache_row, cache_row + tokens).reshaped({tokens, c.kv_size()});
    keys = keys.rows(page, page + cache->capacity());
    values = values.rows(page, page + cache->capacity());
  } else {
    keys = heads_view(m.k, c.kv_heads, c.head_dim);
    values = heads_view(m.v, c.kv_heads, c.head_dim);
  }
  query_key_value(exec, context, block, x, m);
  if (scattered) {
    const auto put = [&](const TensorView& from, const TensorView& to) {
      ops::scatter_rows(exec, from, context.cache_rows, to.reshaped({to.dim(0), c.kv_size()}));
    };
    put(m.k, keys);
    put(m.v, values);
  }
  ops::attention_forward(exec, heads_view(m.q, c.heads, c.head_dim), keys, values, context.segments, attention_scale(c),
                         heads_view(m.o, c.heads, c.head_dim), m.lse);
  block.project(Projection::kO, block.weights().o, m.o, m.u[static_cast<size_t>(Projection::kO)], m.x_mid, x);
  mlp_forward(exec, block, saved, m, x_out);
}

void block_backward(Exec& exec, const BlockContext& context, int64_t layer, const BlockSaved& saved, const TensorView& gradients,
                    const TensorView& d_x) {
  TENFOLD_CHECK(context.adapter != nullptr, "backward without an adapter");
  const Workspace::Scope scope(exec.scratch);
  Block block(exec, context, layer);
  const ModelConfig& c = block.config();
  Middle m = take_middle(exec.scratch, c, &context.adapter->config(), exec.compute, saved.x.dim(0), &saved, false, true);
  if (saved.keep < Keep::kMiddle) {
    query_key_value(exec, context, block, saved.x, m);
    if (saved.keep < Keep::kAttention) {
      ops::attention_forward(exec, heads_view(m.q, c.heads, c.head_dim), heads_view(m.k, c.kv_heads, c.head_dim),
                             heads_view(m.v, c.kv_heads, c.head_dim), context.segments, attention_scale(c),
                             heads_view(m.o, c.heads, c.head_dim), m.lse);
    }
    block.project(Projection::kO, block.weights().o, m.o, m.u[static_cast<size_t>(Projection::kO)], m.x_mid, saved.x);
  }
  mlp_backward(exec, context, block, layer, saved, m, gradients, d_x);
  attention_backward_part(exec, context, block, layer, saved, m, gradients, d_x);
}

int64_t block_scratch_bytes(const Exec& exec, const ModelConfig& c, const LoraConfig* lora, int64_t tokens, int64_t keys,
                            bool training) {
  Workspace ws;
  const int64_t rank = lora == nullptr ? 0 : lora->r;
  const bool drops = training && lora != nullptr && lora->dropout > 0;
  const int64_t chunk = std::min(tokens, exec.device.mlp_rows());
  const auto linear = [&](int64_t rows, int64_t out, int64_t in) {
    int64_t bytes = ops::linear_scratch_bytes(exec, rows, out, in, rank);
    if (drops) bytes += workspace_bytes(exec.compute, {rows, in}) + 2 * workspace_bytes(DType::kF32, {rows, in});
    return bytes;
  };
  // Nothing kept is the hungriest case: every intermediate is a temporary.
  take_middle(ws, c, lora, exec.compute, tokens, nullptr, false, training);
  {
    const Workspace::Scope scope(ws);
    take_mlp(ws, c, lora, exec.compute, chunk, true, training);
    ws.bytes(std::max(linear(chunk, c.ffn, c.hidden), linear(chunk, c.hidden, c.ffn)));
  }
  {
    const Workspace::Scope scope(ws);
    if (training) take_attention(ws, c, exec.compute, tokens);
    const int64_t products = std::max(
        {linear(tokens, c.q_size(), c.hidden), linear(tokens, c.kv_size(), c.hidden), linear(tokens, c.hidden, c.q_size())});
    ws.bytes(std::max(
        products, ops::attention_scratch_bytes(exec, tokens, std::max(tokens, keys), c.heads, c.kv_heads, c.head_dim, training)));
  }
  return ws.high_water();
}

BlockSaved take_block_saved(Workspace& ws, const ModelConfig& c, const LoraConfig& lora, DType compute, Keep keep,
                            int64_t tokens) {
  BlockSaved s;
  s.keep = keep;
  s.x = ws.tensor("saved x", compute, {tokens, c.hidden});
  // No backward repeats the down projection, so what its LoRA branch needs is always kept.
  if (targets(&lora, Projection::kDown)) {
    s.lora_u[static_cast<size_t>(Projection::kDown)] = ws.tensor("saved lora_u", compute, {tokens, lora.r});
  }
  if (keep >= Keep::kAttention) {
    s.attn_out = ws.tensor("saved attention output", compute, {tokens, c.heads, c.head_dim});
    s.lse = ws.tensor("saved lse", DType::kF32, {c.heads, tokens});
  }
  if (keep >= Keep::kMiddle) {
    s.q = ws.tensor("saved q", compute, {tokens, c.heads, c.head_dim});
    s.k = ws.tensor("saved k", compute, {tokens, c.kv_heads, c.head_dim});
    s.v = ws.tensor("saved v", compute, {tokens, c.kv_heads, c.head_dim});
    s.x_mid = ws.tensor("saved x_mid", compute, {tokens, c.hidden});
    for (const Projection p : {Projection::kQ, Projection::kK, Projection::kV, Projection::kO}) {
      if (targets(&lora, p)) s.lora_u[static_cast<size_t>(p)] = ws.tensor("saved lora_u", compute, {tokens, lora.r});
    }
  }
  if (keep >= Keep::kAll) {
    s.gate = ws.tensor("saved gate", compute, {tokens, c.ffn});
    s.up = ws.tensor("saved up", compute, {tokens, c.ffn});
    for (const Projection p : {Projection::kGate, Projection::kUp}) {
      if (targets(&lora, p)) s.lora_u[static_cast<size_t>(p)] = ws.tensor("saved lora_u", compute, {tokens, lora.r});
    }
  }
  return s;
}

int64_t block_saved_bytes(const ModelConfig& c, const LoraConfig& lora, DType compute, Keep keep, int64_t tokens) {
  Workspace ws;
  take_block_saved(ws, c, lora, compute, keep, tokens);
  return ws.high_water();
}

}  // namespace tenfold
