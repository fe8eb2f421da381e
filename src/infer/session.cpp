#include "infer/session.h"

#include "core/checked.h"
#include "core/error.h"
#include "core/rng.h"
#include "core/stopwatch.h"
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
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

namespace tenfold {
namespace {

/// Prompts are read in pieces that are never shorter than this (unless the prompt is), so that every position goes through the
/// same kernels whatever was found in the cache: reuse then changes no bit.
constexpr int64_t kLeastChunk = 16;
/// Rows of the head at a time when every position is scored.
constexpr int64_t kScoreRows = 512;

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

/// Sequences that a step carries at most: so many tokens are dotted with the weights as they lie, each as if it were alone.
int64_t rows_at_once(const SessionOptions& o) { return o.sequences > 1 ? ops::kGemvRows : 1; }

int64_t cache_rows(const Device& device, const SessionOptions& o) { return round_up(o.capacity, device.row_multiple()); }

bool records(Device& device, const ModelConfig& c, const SessionOptions& o) {
  return o.recorded && device.records() && TokenDecoder::serves(device, c);
}

int64_t scratch_bytes(Device& device, const ModelConfig& c, const LoraConfig* lora, const SessionOptions& o) {
  Workspace none;
  const Exec exec{device, none, o.compute, nullptr};
  const int64_t rows = rows_at_once(o);
  const int64_t chunk = std::max(std::min(prefill_rows(device, o), cache_rows(device, o)), rows);
  Workspace own;
  own.tensor("x", o.compute, {chunk, c.hidden});
  own.tensor("x_out", o.compute, {chunk, c.hidden});
  own.tensor("cos", DType::kF32, {chunk, c.head_dim / 2});
  own.tensor("sin", DType::kF32, {chunk, c.head_dim / 2});
  own.tensor("h", o.compute, {chunk, c.hidden});
  const int64_t block = block_scratch_bytes(exec, c, lora, chunk, o.capacity, /*training=*/false);
  // A short piece takes other paths (dot products, split keys) with scratch of their own.
  int64_t few = block_scratch_bytes(exec, c, lora, 1, o.capacity, /*training=*/false);
  if (rows > 1)
    few = std::max(few, block_scratch_bytes(exec, c, lora, rows, o.sequences * cache_rows(device, o), /*training=*/false));
  const int64_t head = std::max(ops::linear_scratch_bytes(exec, rows, c.vocabulary, c.hidden, 0),
                                ops::cross_entropy_scratch_bytes(exec, std::min(chunk, kScoreRows), c.vocabulary, c.hidden));
  const int64_t whole = own.high_water() + std::max({block, few, head});
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
  std::vector<std::vector<int32_t>> cached;  ///< ids that the cache holds of each sequence
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
        cache(d, m.config(), o.compute, o.sequences, cache_rows(d, o)),
        scratch(d.allocate("session scratch", MemoryUse::kWorkspace,
                           scratch_bytes(d, m.config(), a == nullptr ? nullptr : &a->config(), o))),
        logits_buffer(d.allocate("logits", MemoryUse::kActivations, rows_at_once(o) * m.config().vocabulary * 4)),
        exec{d, scratch, o.compute, d.kind() == DeviceKind::kCpu ? &profile : nullptr} {
    // The padding of an earlier run is attended with weight zero, so it must be finite.
    if (d.row_multiple() > 1) cache.fill_zero();
    chunk = chunk_of(d, o);
    host_logits.resize(static_cast<size_t>(m.config().vocabulary));
    cached.resize(static_cast<size_t>(o.sequences));
    for (auto& ids : cached) ids.reserve(static_cast<size_t>(o.capacity));
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

  TensorView logits_view(int64_t rows = 1) const {
    return logits_buffer.view(DType::kF32, {rows_at_once(options), model.config().vocabulary}).rows(0, rows);
  }
  std::span<const float> fetch_logits(int64_t row = 0) {
    const TensorView logits = logits_view(row + 1).rows(row, row + 1);
    device.copy_out(host_logits.data(), logits.data, logits.bytes());
    return host_logits;
  }
  std::vector<int32_t>& ids_of(int64_t sequence) { return cached[static_cast<size_t>(sequence)]; }

  /// What turns the residual stream into logits: the last norm, then the head.
  WeightView head() const { return head_table(model, adapter); }
  void normalise(const TensorView& x, const TensorView& h) {
    ops::rms_norm_forward(exec, x, final_norm(model, adapter), model.config().rms_eps, h);
  }

  /// Tokens through embedding and all blocks; returns the residual stream after the last (T, D), inside `scratch`. Their keys and
  /// values go to rows of the cache from `row` on, or to the context's cache_rows.
  TensorView through_blocks(BlockContext& context, std::span<const int32_t> ids, int64_t row) {
    const ModelConfig& c = model.config();
    const auto tokens = static_cast<int64_t>(ids.size());
    TensorView x = scratch.tensor("x", options.compute, {tokens, c.hidden});
    TensorView x_out = scratch.tensor("x_out", options.compute, {tokens, c.hidden});
    context.cos = scratch.tensor("cos", DType::kF32, {tokens, c.head_dim / 2});
    context.sin = scratch.tensor("sin", DType::kF32, {tokens, c.head_dim / 2});
    ops::rope_table(exec, rope.inv_freq, context.positions, rope.attention_factor, context.cos, context.sin);
    ops::embedding_forward(exec, ids, embedding_table(model, adapter), x);
    for (int64_t layer = 0; layer < c.layers; ++layer) {
      block_forward(exec, context, layer, x, nullptr, &cache, row, x_out);
      std::swap(x, x_out);
    }
    return x;
  }

  /// Reads ids at positions [cached, ...) of a sequence.
  TensorView read_chunk(int64_t sequence, std::span<const int32_t> ids) {
    // A piece of a prompt is padded to what the device likes: what comes after a token changes nothing for it, and the padding's
    // keys are overwritten before they are ever a token's past. A single decoded token has kernels of its own.
    const auto real = static_cast<int64_t>(ids.size());
    const int64_t tokens = real == 1 ? 1 : round_up(real, device.row_multiple());
    const auto begin = static_cast<int64_t>(ids_of(sequence).size());
    padded.assign(ids.begin(), ids.end());
    padded.resize(static_cast<size_t>(tokens), 0);
    positions.resize(padded.size());
    std::iota(positions.begin(), positions.end(), begin);
    const ops::AttentionSegment segment{0, tokens, 0, begin + tokens};
    BlockContext context{.model = model, .adapter = adapter};
    context.segments = {&segment, 1};
    context.positions = positions;
    const TensorView x = through_blocks(context, padded, cache.row(sequence) + begin);
    ids_of(sequence).insert(ids_of(sequence).end(), ids.begin(), ids.end());
    cache.set_length(sequence, begin + real);
    return x.rows(0, real);
  }

  /// A token more for each of some sequences, in one run; their logits are rows 0, 1, ... of logits_view. A GPU may choose
  /// kernels by the number of rows, so there it is always the same: the first token stands in for those that are missing, and
  /// writes what it writes anyway.
  void read_together(std::span<const int64_t> of, std::span<const int32_t> ids) {
    const Workspace::Scope scope(scratch);
    const size_t rows = device.kind() == DeviceKind::kCpu ? ids.size() : static_cast<size_t>(rows_at_once(options));
    padded.clear();
    positions.clear();
    std::vector<int64_t> cache_rows;
    std::vector<ops::AttentionSegment> segments;
    for (size_t i = 0; i < rows; ++i) {
      const size_t source = i < ids.size() ? i : 0;
      const auto position = static_cast<int64_t>(ids_of(of[source]).size());
      const int64_t first = cache.row(of[source]);
      padded.push_back(ids[source]);
      positions.push_back(position);
      cache_rows.push_back(first + position);
      const auto row = static_cast<int64_t>(i);
      segments.push_back({row, row + 1, first, first + position + 1});
    }
    BlockContext context{.model = model, .adapter = adapter};
    context.segments = segments;
    context.positions = positions;
    context.cache_rows = cache_rows;
    const TensorView x = through_blocks(context, padded, 0);
    for (size_t i = 0; i < ids.size(); ++i) {
      ids_of(of[i]).push_back(ids[i]);
      cache.set_length(of[i], std::ssize(ids_of(of[i])));
    }
    head_of(x);
  }

  /// Padding makes every piece long enough.
  int64_t least_piece() const { return device.row_multiple() > 1 ? 1 : kLeastChunk; }

  /// Tokens of a prompt that the cache already holds. Enough is left to read that the last piece is not a short one, which other
  /// kernels would serve, and pieces begin where the device likes.
  int64_t reusable(std::span<const int32_t> ids, int64_t sequence) const {
    const std::vector<int32_t>& held = cached[static_cast<size_t>(sequence)];
    const auto common = std::mismatch(ids.begin(), ids.end(), held.begin(), held.end()).first - ids.begin();
    const auto unread = static_cast<int64_t>(ids.size()) - least_piece();
    const int64_t kept = std::max<int64_t>(0, std::min<int64_t>(common, unread));
    return kept - kept % device.row_multiple();
  }

  /// Logits of every row.
  void head_of(const TensorView& x) {
    const TensorView h = scratch.tensor("h", options.compute, {x.dim(0), model.config().hidden});
    normalise(x, h);
    ops::linear_forward(exec, h, head(), {}, logits_view(x.dim(0)));
  }
  void head_of_last(const TensorView& x) { head_of(x.rows(x.dim(0) - 1, x.dim(0))); }

  /// Appends one token; its logits stay on the device.
  void read_token(int32_t id) {
    const auto position = static_cast<int64_t>(ids_of(0).size());
    if (position >= options.capacity)
      throw_input("the session is full: {} tokens; start it with a larger capacity", options.capacity);
    const Workspace::Scope scope(scratch);
    if (decoder == nullptr) return head_of_last(read_chunk(0, {&id, 1}));
    decoder->decode(position, id);
    ids_of(0).push_back(id);
    cache.set_length(0, position + 1);
  }

  /// The most likely tokens by the first rows of logits, which stay on a GPU.
  std::vector<int32_t> most_likely(int64_t rows) {
    std::vector<int32_t> ids(static_cast<size_t>(rows));
    if (device.kind() == DeviceKind::kCpu) {
      for (int64_t row = 0; row < rows; ++row) ids[static_cast<size_t>(row)] = sample(fetch_logits(row), {}, 0);
      return ids;
    }
    ops::argmax(exec, logits_view(rows), ids);
    for (int64_t row = 0; row < rows; ++row) {
      float logit = 0;  // a NaN, if there is one
      device.copy_out(&logit, logits_view(rows).row<float>(row) + ids[static_cast<size_t>(row)], sizeof logit);
      sample({&logit, 1}, {}, 0);
    }
    return ids;
  }

  void forget_after(int64_t length, int64_t sequence = 0) {
    ids_of(sequence).resize(static_cast<size_t>(length));
    cache.set_length(sequence, length);
  }

  /// Makes a sequence hold the longest beginning of a prompt that any does; returns its length.
  int64_t take_beginning(int64_t sequence, std::span<const int32_t> ids) {
    int64_t from = sequence;
    for (int64_t s = 0; s < options.sequences; ++s)
      if (reusable(ids, s) > reusable(ids, from)) from = s;
    const int64_t length = reusable(ids, from);
    if (from != sequence && length > 0) copy_beginning(from, sequence, length);
    ids_of(sequence).assign(ids.begin(), ids.begin() + length);
    cache.set_length(sequence, length);
    return length;
  }

  void copy_beginning(int64_t from, int64_t to, int64_t length) {
    positions.resize(static_cast<size_t>(length));
    std::iota(positions.begin(), positions.end(), cache.row(from));
    for (int64_t layer = 0; layer < model.config().layers; ++layer) {
      for (const TensorView& all : {cache.keys(layer), cache.values(layer)}) {
        const TensorView flat = all.reshaped({all.dim(0), all.dim(1) * all.dim(2)});
        ops::gather_rows(exec, flat, positions, flat.rows(cache.row(to), cache.row(to) + length));
      }
    }
  }

  void check_room(std::span<const int32_t> prompt, int64_t max_new_tokens) const {
    // The last new token is not read, so it needs no room.
    if (std::ssize(prompt) + max_new_tokens - 1 <= options.capacity) return;
    throw_input(
        "the prompt has {} tokens and {} new ones are asked for, but this session holds {}; shorten the prompt or lower "
        "--max-new-tokens",
        prompt.size(), max_new_tokens, options.capacity);
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
  void feed(int64_t sequence, std::span<const int32_t> ids, int64_t from, bool want_logits,
            const std::function<void(int64_t, int64_t)>& progress,
            const std::function<void(const TensorView&, int64_t)>& on_chunk) {
    const auto total = static_cast<int64_t>(ids.size());
    int64_t at = from;
    while (at < total) {
      int64_t end = std::min(total, at + chunk);
      if (total - end < least_piece()) end = total;
      const Workspace::Scope scope(scratch);
      const TensorView x = read_chunk(sequence, ids.subspan(static_cast<size_t>(at), static_cast<size_t>(end - at)));
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
int64_t Session::sequences() const { return impl_->options.sequences; }
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
  plan.add("keys and values", MemoryUse::kCache,
           KvCache::bytes(config, options.compute, options.sequences, cache_rows(device, options)));
  plan.add("session scratch", MemoryUse::kWorkspace, scratch_bytes(device, config, lora, options));
  plan.add("logits", MemoryUse::kActivations, rows_at_once(options) * config.vocabulary * 4);
  if (records(device, config, options)) {
    plan.add(TokenDecoder::kStateName, MemoryUse::kWorkspace, TokenDecoder::state_bytes(config));
  }
  return plan.buffers;
}

void Session::forget() { impl_->forget_after(0); }
int64_t Session::reusable(std::span<const int32_t> ids) const { return impl_->reusable(ids, 0); }

std::span<const float> Session::prefill(std::span<const int32_t> ids, const std::function<void(int64_t, int64_t)>& progress) {
  impl_->check_prompt(ids);
  const int64_t common = impl_->reusable(ids, 0);
  impl_->forget_after(common);
  impl_->feed(0, ids, common, /*want_logits=*/true, progress, {});
  return impl_->fetch_logits();
}

std::span<const float> Session::decode(int32_t id) {
  impl_->read_token(id);
  return impl_->fetch_logits();
}

int32_t Session::decode_greedy(int32_t id) {
  impl_->read_token(id);
  return impl_->most_likely(1).front();
}

GenerateResult Session::generate(std::span<const int32_t> prompt, int64_t max_new_tokens, std::span<const int32_t> stop_ids,
                                 const SamplingOptions& sampling, const std::function<bool(int32_t)>& on_token) {
  impl_->check_room(prompt, max_new_tokens);
  GenerateResult result;
  result.prompt_tokens = static_cast<int64_t>(prompt.size());
  Stopwatch watch;
  result.reused_tokens = reusable(prompt);
  const std::span<const float> logits = prefill(prompt);
  result.prefill_seconds = watch.seconds();
  watch = Stopwatch();
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
  result.decode_seconds = watch.seconds();
  return result;
}

std::vector<GenerateResult> Session::generate_together(std::span<const std::span<const int32_t>> prompts, int64_t max_new_tokens,
                                                       std::span<const int32_t> stop_ids,
                                                       const std::function<bool()>& should_stop) {
  TENFOLD_CHECK(std::ssize(prompts) <= sequences(), "{} prompts in a session for {}", prompts.size(), sequences());
  for (const auto& prompt : prompts) {
    impl_->check_prompt(prompt);
    impl_->check_room(prompt, max_new_tokens);
  }
  std::vector<GenerateResult> results(prompts.size());
  std::vector<int64_t> writing;  // the sequences whose answer goes on, and its last token
  std::vector<int32_t> last;
  const auto take = [&](int64_t sequence, int32_t id) {
    GenerateResult& result = results[static_cast<size_t>(sequence)];
    result.stopped = std::find(stop_ids.begin(), stop_ids.end(), id) != stop_ids.end();
    if (!result.stopped) result.ids.push_back(id);
    if (result.stopped || std::ssize(result.ids) == max_new_tokens) return;
    writing.push_back(sequence);
    last.push_back(id);
  };
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (i > 0 && should_stop && should_stop()) {
      results.resize(i);
      break;
    }
    const Stopwatch watch;
    const auto sequence = static_cast<int64_t>(i);
    results[i].prompt_tokens = std::ssize(prompts[i]);
    results[i].reused_tokens = impl_->take_beginning(sequence, prompts[i]);
    impl_->feed(sequence, prompts[i], results[i].reused_tokens, /*want_logits=*/true, {}, {});
    const std::span<const float> logits = impl_->fetch_logits();
    results[i].prefill_seconds = watch.seconds();
    if (max_new_tokens > 0) take(sequence, sample(logits, {}, 0));
  }
  while (!writing.empty()) {
    const std::vector<int64_t> all = std::exchange(writing, {});
    const std::vector<int32_t> before = std::exchange(last, {});
    const auto most = static_cast<size_t>(rows_at_once(impl_->options));
    for (size_t first = 0; first < all.size(); first += most) {
      const Stopwatch watch;
      const std::span<const int64_t> sequences = std::span(all).subspan(first, std::min(most, all.size() - first));
      impl_->read_together(sequences, std::span(before).subspan(first, sequences.size()));
      const std::vector<int32_t> ids = impl_->most_likely(std::ssize(sequences));
      const double share = watch.seconds() / static_cast<double>(sequences.size());
      for (size_t i = 0; i < sequences.size(); ++i) {
        results[static_cast<size_t>(sequences[i])].decode_seconds += share;
        take(sequences[i], ids[i]);
      }
    }
  }
  // As in generate, the answers leave the caches.
  for (size_t i = 0; i < results.size(); ++i) impl_->forget_after(results[i].prompt_tokens, static_cast<int64_t>(i));
  return results;
}

std::vector<float> Session::score(std::span<const int32_t> ids, const std::function<void(int64_t, int64_t)>& progress) {
  impl_->check_prompt(ids);
  impl_->forget_after(0);
  const ModelConfig& c = impl_->model.config();
  std::vector<float> nll(ids.size(), 0.0F);
  const auto total = static_cast<int64_t>(ids.size());
  std::vector<int32_t> targets;
  const std::vector<float> weights(static_cast<size_t>(kScoreRows), 1.0F);
  impl_->feed(0, ids, 0, /*want_logits=*/false, progress, [&](const TensorView& x, int64_t begin) {
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
