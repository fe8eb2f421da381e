#include "infer/session.h"

#include "core/checked.h"
#include "core/error.h"
#include "core/rng.h"
#include "model/block.h"
#include "model/decode.h"
#include "ops/attention.h"
#include "ops/cross_entropy.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <numeric>

namespace tenfold {
namespace {

/// Prompts are read in pieces that are never shorter than this (unless the prompt is), so that every position goes through the
/// same kernels whatever was found in the cache: reuse then changes no bit.
constexpr int64_t kLeastChunk = 16;
/// Rows of the head at a time when every position is scored.
constexpr int64_t kScoreRows = 512;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

int64_t prefill_rows(const Device& device, const SessionOptions& o) {
  return o.prefill_chunk > 0 ? o.prefill_chunk : device.prefill_rows();
}

/// Tokens of a piece: where pieces are not padded, room is left for a short remainder.
int64_t chunk_of(const Device& device, const SessionOptions& o) {
  const int64_t rows = prefill_rows(device, o);
  const int64_t chunk = device.row_multiple() > 1 ? rows - rows % device.row_multiple() : rows - kLeastChunk;
  TENFOLD_CHECK(chunk > kLeastChunk, "prefill in pieces of {}", rows);
  return chunk;
}

int64_t cache_rows(const Device& device, const SessionOptions& o) { return round_up(o.capacity, device.row_multiple()); }

bool records(Device& device, const ModelConfig& c, const SessionOptions& o) {
  return o.recorded && device.records() && TokenDecoder::serves(device, c);
}

int64_t scratch_bytes(Device& device, const ModelConfig& c, const LoraConfig* lora, const SessionOptions& o) {
  Workspace none;
  const Exec exec{device, none, o.compute, nullptr};
  const int64_t chunk = std::min(prefill_rows(device, o), cache_rows(device, o));
  Workspace own;
  own.tensor("x", o.compute, {chunk, c.hidden});
  own.tensor("x_out", o.compute, {chunk, c.hidden});
  own.tensor("cos", DType::kF32, {chunk, c.head_dim / 2});
  own.tensor("sin", DType::kF32, {chunk, c.head_dim / 2});
  own.tensor("h", o.compute, {chunk, c.hidden});
  const int64_t block = block_scratch_bytes(exec, c, lora, chunk, o.capacity, /*training=*/false);
  // A short piece takes other paths (dot products, split keys) with scratch of their own.
  const int64_t single = block_scratch_bytes(exec, c, lora, 1, o.capacity, /*training=*/false);
  const int64_t head = std::max(ops::linear_scratch_bytes(exec, 1, c.vocabulary, c.hidden, 0),
                                ops::cross_entropy_scratch_bytes(exec, std::min(chunk, kScoreRows), c.vocabulary, c.hidden));
  const int64_t whole = own.high_water() + std::max({block, single, head});
  return records(device, c, o) ? std::max(whole, TokenDecoder::scratch_bytes(exec, c, lora, cache_rows(device, o))) : whole;
}

}  // namespace

struct Session::Impl {
  Device& device;
  const Model& model;
  const Adapter* adapter;
  SessionOptions options;
  KvCache cache;
  Workspace scratch;
  Buffer logits_buffer;
  std::vector<float> host_logits;
  Profile profile;
  Exec exec;
  std::vector<int32_t> cached;  ///< ids that the cache holds
  bool logits_valid = false;
  std::vector<int64_t> positions;
  std::vector<int32_t> padded;  ///< the piece in work
  int64_t chunk = 0;            ///< tokens of a piece of a prompt
  RopeFrequencies rope;
  std::unique_ptr<TokenDecoder> decoder;  ///< null: single tokens go the way of a prompt's

  Impl(Device& d, const Model& m, const Adapter* a, const SessionOptions& o)
      : device(d),
        model(m),
        adapter(a),
        options(o),
        cache(d, m.config(), o.compute, 1, cache_rows(d, o)),
        scratch(d.allocate("session scratch", MemoryUse::kWorkspace,
                           scratch_bytes(d, m.config(), a == nullptr ? nullptr : &a->config(), o))),
        logits_buffer(d.allocate("logits", MemoryUse::kActivations, m.config().vocabulary * 4)),
        exec{d, scratch, o.compute, d.kind() == DeviceKind::kCpu ? &profile : nullptr} {
    // The padding of an earlier run is attended with weight zero, so it must be finite.
    if (d.row_multiple() > 1) cache.fill_zero();
    chunk = chunk_of(d, o);
    host_logits.resize(static_cast<size_t>(m.config().vocabulary));
    cached.reserve(static_cast<size_t>(o.capacity));
    positions.reserve(static_cast<size_t>(o.capacity));
    const ModelConfig& c = m.config();
    // `dynamic` RoPE depends on the length; a session freezes it for its capacity, so that cached keys stay valid.
    rope = rope_frequencies(c.rope, c.head_dim, c.max_position, o.capacity);
    prepare_attention();
    if (records(d, c, o)) decoder = std::make_unique<TokenDecoder>(exec, m, a, cache, rope, logits_view());
  }

  /// For the pieces of a prompt as long as the capacity. The last piece of a shorter one is met as it comes.
  void prepare_attention() {
    const ModelConfig& c = model.config();
    for (int64_t at = 0; at < options.capacity; at += chunk) {
      const int64_t tokens = round_up(std::min(chunk, options.capacity - at), device.row_multiple());
      ops::attention_prepare(exec, tokens, at + tokens, c.heads, c.kv_heads, c.head_dim, /*training=*/false);
    }
  }

  TensorView logits_view() const { return logits_buffer.view(DType::kF32, {1, model.config().vocabulary}); }
  std::span<const float> fetch_logits() {
    device.copy_out(host_logits.data(), logits_buffer.data(), logits_buffer.bytes());
    return host_logits;
  }

  /// What turns the residual stream into logits: the last norm, then the head.
  WeightView head() const { return head_table(model, adapter); }
  void normalise(const TensorView& x, const TensorView& h) {
    ops::rms_norm_forward(exec, x, final_norm(model, adapter), model.config().rms_eps, h);
  }

  /// Reads ids at positions [cached.size(), ...) through all blocks; returns the residual stream after the last (T, D), inside
  /// `scratch`.
  TensorView read_chunk(std::span<const int32_t> ids) {
    const ModelConfig& c = model.config();
    // A piece of a prompt is padded to what the device likes: what comes after a token changes nothing for it, and the padding's
    // keys are overwritten before they are ever a token's past. A single decoded token has kernels of its own.
    const auto real = static_cast<int64_t>(ids.size());
    const int64_t tokens = real == 1 ? 1 : round_up(real, device.row_multiple());
    const auto begin = static_cast<int64_t>(cached.size());
    padded.assign(ids.begin(), ids.end());
    padded.resize(static_cast<size_t>(tokens), 0);
    positions.resize(padded.size());
    std::iota(positions.begin(), positions.end(), begin);
    const int64_t row = cache.row(0);
    const ops::AttentionSegment segment{0, tokens, row, row + begin + tokens};
    BlockContext context{.model = model, .adapter = adapter};
    context.segments = {&segment, 1};
    context.positions = positions;
    TensorView x = scratch.tensor("x", options.compute, {tokens, c.hidden});
    TensorView x_out = scratch.tensor("x_out", options.compute, {tokens, c.hidden});
    context.cos = scratch.tensor("cos", DType::kF32, {tokens, c.head_dim / 2});
    context.sin = scratch.tensor("sin", DType::kF32, {tokens, c.head_dim / 2});
    ops::rope_table(exec, rope.inv_freq, positions, rope.attention_factor, context.cos, context.sin);
    ops::embedding_forward(exec, padded, embedding_table(model, adapter), x);
    for (int64_t layer = 0; layer < c.layers; ++layer) {
      block_forward(exec, context, layer, x, nullptr, &cache, row + begin, x_out);
      std::swap(x, x_out);
    }
    cached.insert(cached.end(), ids.begin(), ids.end());
    cache.set_length(0, begin + real);
    return x.rows(0, real);
  }

  /// Padding makes every piece long enough.
  int64_t least_piece() const { return device.row_multiple() > 1 ? 1 : kLeastChunk; }

  /// Tokens of a prompt that the cache already holds. Enough is left to read that the last piece is not a short one, which other
  /// kernels would serve, and pieces begin where the device likes.
  int64_t reusable(std::span<const int32_t> ids) const {
    const auto common = std::mismatch(ids.begin(), ids.end(), cached.begin(), cached.end()).first - ids.begin();
    const auto unread = static_cast<int64_t>(ids.size()) - least_piece();
    const int64_t kept = std::max<int64_t>(0, std::min<int64_t>(common, unread));
    return kept - kept % device.row_multiple();
  }

  void head_of_last(const TensorView& x) {
    const ModelConfig& c = model.config();
    const TensorView h = scratch.tensor("h", options.compute, {1, c.hidden});
    normalise(x.rows(x.dim(0) - 1, x.dim(0)), h);
    ops::linear_forward(exec, h, head(), {}, logits_view());
  }

  /// Appends one token; its logits stay on the device.
  void read_token(int32_t id) {
    const auto position = static_cast<int64_t>(cached.size());
    if (position >= options.capacity)
      throw_input("the session is full: {} tokens; start it with a larger capacity", options.capacity);
    const Workspace::Scope scope(scratch);
    if (decoder == nullptr) return head_of_last(read_chunk({&id, 1}));
    decoder->decode(position, id);
    cached.push_back(id);
    cache.set_length(0, position + 1);
  }

  /// The most likely token by the logits on the device.
  int32_t most_likely() {
    int32_t id = 0;
    ops::argmax(exec, logits_view(), {&id, 1});
    float logit = 0;  // a NaN, if there is one
    device.copy_out(&logit, logits_view().ptr<float>() + id, sizeof logit);
    sample({&logit, 1}, {}, 0);
    return id;
  }

  void forget_after(int64_t length) {
    cached.resize(static_cast<size_t>(length));
    cache.set_length(0, length);
  }

  void check_prompt(std::span<const int32_t> ids) const {
    if (ids.empty()) throw_input("the prompt has no tokens");
    if (static_cast<int64_t>(ids.size()) > options.capacity) {
      throw_input("the prompt has {} tokens, and this session holds {}; shorten it or raise the limit", ids.size(),
                  options.capacity);
    }
    for (const int32_t id : ids) {
      if (id < 0 || id >= model.config().vocabulary)
        throw_input("token id {} is outside the vocabulary of {}", id, model.config().vocabulary);
    }
  }

  /// Feeds ids[from..) in chunks of absolute boundaries; the last chunk takes a short remainder with it.
  void feed(std::span<const int32_t> ids, int64_t from, bool want_logits, const std::function<void(int64_t, int64_t)>& progress,
            const std::function<void(const TensorView&, int64_t)>& on_chunk) {
    const auto total = static_cast<int64_t>(ids.size());
    int64_t at = from;
    while (at < total) {
      int64_t end = std::min(total, at + chunk);
      if (total - end < least_piece()) end = total;
      const Workspace::Scope scope(scratch);
      const TensorView x = read_chunk(ids.subspan(static_cast<size_t>(at), static_cast<size_t>(end - at)));
      if (on_chunk) on_chunk(x, at);
      if (want_logits && end == total) head_of_last(x);
      at = end;
      if (progress) progress(at, total);
    }
  }
};

Session::Session(Device& device, const Model& model, const Adapter* adapter, const SessionOptions& options) {
  TENFOLD_CHECK(options.capacity > 0, "capacity {}", options.capacity);
  impl_ = std::make_unique<Impl>(device, model, adapter, options);
}
Session::~Session() = default;

int64_t Session::capacity() const { return impl_->options.capacity; }
Profile& Session::profile() { return impl_->profile; }

MemoryPlan Session::plan(Device& device, const ModelConfig& config, const LoraConfig* lora, const SessionOptions& options,
                         int64_t weight_bytes) {
  MemoryPlan plan;
  plan.add_surroundings(device);
  plan.add("base weights", MemoryUse::kWeights, weight_bytes);
  if (lora != nullptr) plan.add("adapter", MemoryUse::kAdapter, Adapter::elements_of(config, *lora) * 4);
  for (const PlannedBuffer& buffer : buffers(device, config, lora, options)) plan.add(buffer.name, buffer.use, buffer.bytes);
  return plan;
}

std::vector<PlannedBuffer> Session::buffers(Device& device, const ModelConfig& config, const LoraConfig* lora,
                                            const SessionOptions& options) {
  MemoryPlan plan;
  plan.add("keys and values", MemoryUse::kCache, KvCache::bytes(config, options.compute, 1, cache_rows(device, options)));
  plan.add("session scratch", MemoryUse::kWorkspace, scratch_bytes(device, config, lora, options));
  plan.add("logits", MemoryUse::kActivations, config.vocabulary * 4);
  if (records(device, config, options)) {
    plan.add(TokenDecoder::kStateName, MemoryUse::kWorkspace, TokenDecoder::state_bytes(config));
  }
  return plan.buffers;
}

void Session::forget() { impl_->forget_after(0); }
int64_t Session::reusable(std::span<const int32_t> ids) const { return impl_->reusable(ids); }

std::span<const float> Session::prefill(std::span<const int32_t> ids, const std::function<void(int64_t, int64_t)>& progress) {
  impl_->check_prompt(ids);
  const int64_t common = impl_->reusable(ids);
  impl_->forget_after(common);
  impl_->feed(ids, common, /*want_logits=*/true, progress, {});
  return impl_->fetch_logits();
}

std::span<const float> Session::decode(int32_t id) {
  impl_->read_token(id);
  return impl_->fetch_logits();
}

int32_t Session::decode_greedy(int32_t id) {
  if (impl_->device.kind() == DeviceKind::kCpu) return sample(decode(id), {}, 0);
  impl_->read_token(id);
  return impl_->most_likely();
}

GenerateResult Session::generate(std::span<const int32_t> prompt, int64_t max_new_tokens, std::span<const int32_t> stop_ids,
                                 const SamplingOptions& sampling, const std::function<bool(int32_t)>& on_token) {
  GenerateResult result;
  result.prompt_tokens = static_cast<int64_t>(prompt.size());
  // The last new token is not read, so it needs no room.
  if (result.prompt_tokens + max_new_tokens - 1 > impl_->options.capacity) {
    throw_input(
        "the prompt has {} tokens and {} new ones are asked for, but this session holds {}; shorten the prompt or lower "
        "--max-new-tokens",
        result.prompt_tokens, max_new_tokens, impl_->options.capacity);
  }
  auto start = Clock::now();
  result.reused_tokens = reusable(prompt);
  const std::span<const float> logits = prefill(prompt);
  result.prefill_seconds = seconds_since(start);
  start = Clock::now();
  // The decoded tokens are not prompt: they leave the cache, so that a later prompt reuses only what was read as one.
  int32_t id = 0;
  for (int64_t i = 0; i < max_new_tokens; ++i) {
    if (i == 0) {
      id = sample(logits, sampling, 0);
    } else {
      id = sampling.temperature <= 0 ? decode_greedy(id) : sample(decode(id), sampling, i);
    }
    if (std::find(stop_ids.begin(), stop_ids.end(), id) != stop_ids.end()) {
      result.stopped = true;
      break;
    }
    result.ids.push_back(id);
    if (on_token && !on_token(id)) break;
  }
  impl_->forget_after(result.prompt_tokens);
  result.decode_seconds = seconds_since(start);
  return result;
}

std::vector<float> Session::score(std::span<const int32_t> ids, const std::function<void(int64_t, int64_t)>& progress) {
  impl_->check_prompt(ids);
  impl_->forget_after(0);
  const ModelConfig& c = impl_->model.config();
  std::vector<float> nll(ids.size(), 0.0F);
  const auto total = static_cast<int64_t>(ids.size());
  std::vector<int32_t> targets;
  const std::vector<float> weights(static_cast<size_t>(kScoreRows), 1.0F);
  impl_->feed(ids, 0, /*want_logits=*/false, progress, [&](const TensorView& x, int64_t begin) {
    for (int64_t r = 0; r < x.dim(0) && begin + r + 1 < total; r += kScoreRows) {
      const int64_t rows = std::min({kScoreRows, x.dim(0) - r, total - 1 - begin - r});
      const Workspace::Scope scope(impl_->scratch);
      const TensorView h = impl_->scratch.tensor("h", impl_->options.compute, {rows, c.hidden});
      impl_->normalise(x.rows(r, r + rows), h);
      const auto first = static_cast<size_t>(begin + r + 1);
      ops::cross_entropy(impl_->exec, h, impl_->head(), ids.subspan(first, static_cast<size_t>(rows)),
                         std::span(weights).first(static_cast<size_t>(rows)),
                         std::span(nll).subspan(first, static_cast<size_t>(rows)), {}, {});
    }
  });
  return nll;
}

}  // namespace tenfold
