#pragma once

#include "device/exec.h"
#include "model/adapter.h"
#include "model/kv_cache.h"
#include "model/model.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace tenfold {

struct SessionOptions {
  int64_t capacity = 0;  ///< tokens that prompt and answer may take together
  DType compute = DType::kF32;
  int64_t prefill_chunk = 0;  ///< tokens of a prompt read at a time; 0: the device's choice
  bool recorded = true;       ///< where the device can, single tokens replay a recording (model/decode.h)
  int64_t sequences = 1;      ///< caches side by side: answers that generate_together writes at once
};

struct SamplingOptions {
  float temperature = 0;  ///< 0: greedy
  float top_p = 1;
  int64_t top_k = 0;  ///< 0: all
  uint64_t seed = 0;
};

struct GenerateResult {
  std::vector<int32_t> ids;  ///< without the stop token
  bool stopped = false;      ///< a stop token ended it (else the budget did)
  int64_t prompt_tokens = 0;
  int64_t reused_tokens = 0;  ///< of the prompt, found in the cache
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

/// A sequence being read and continued, or several: prefill, decode, sampling. Keeps its caches between prompts and reuses the
/// longest common prefix; that does not change a single bit of the answers (tested). What names no sequence means the first.
class Session {
 public:
  /// Allocates everything it will ever use. Throws DeviceError.
  Session(Device& device, const Model& model, const Adapter* adapter, const SessionOptions& options);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  int64_t capacity() const;
  int64_t sequences() const;
  /// Tokens of a prompt that the cache holds and prefill would not read again.
  int64_t reusable(std::span<const int32_t> ids) const;
  /// Empties the cache: weights or adapter changed, so what it holds is no longer what they say.
  void forget();
  /// Makes the cache hold exactly `ids` and returns the logits (V) f32 after the last; valid until the next call. InputError when
  /// the prompt is longer than the capacity. `progress(done, total)` is called between chunks.
  std::span<const float> prefill(std::span<const int32_t> ids, const std::function<void(int64_t, int64_t)>& progress = {});
  /// Appends one token and returns the logits after it.
  std::span<const float> decode(int32_t id);
  /// The same, returning the most likely token alone: a GPU then keeps its logits.
  int32_t decode_greedy(int32_t id);
  /// Prefill, then up to max_new_tokens; `on_token` may return false to stop.
  GenerateResult generate(std::span<const int32_t> prompt, int64_t max_new_tokens, std::span<const int32_t> stop_ids,
                          const SamplingOptions& sampling = {}, const std::function<bool(int32_t)>& on_token = {});
  /// Greedy answers to at most `sequences` prompts, each its own result: read one after another, each from the longest beginning
  /// that any cache holds, then written together, so that a step reads the weights once for (up to ops::kGemvRows of) them. On a
  /// CPU the bits are those of generate; a GPU runs other kernels than for a single token, and the same ones however many prompts
  /// there are, so that an answer does not depend on which others are written beside it. decode_seconds is a prompt's share.
  /// `should_stop` is asked between prompts: those not read yet are then left out, and the results are fewer.
  std::vector<GenerateResult> generate_together(std::span<const std::span<const int32_t>> prompts, int64_t max_new_tokens,
                                                std::span<const int32_t> stop_ids, const std::function<bool()>& should_stop = {});
  /// Negative log-likelihood (natural log) of ids[t] given ids[0..t), for t >= 1; nll[0] = 0. Empties the cache before.
  std::vector<float> score(std::span<const int32_t> ids, const std::function<void(int64_t, int64_t)>& progress = {});

  Profile& profile();
  /// What a process with one session holds, by buffer: the program, the weights and the adapter too (`lora` null: none). Made
  /// before anything is allocated or loaded.
  static MemoryPlan plan(Device& device, const ModelConfig& config, const LoraConfig* lora, const SessionOptions& options,
                         int64_t weight_bytes);
  /// What the session alone holds.
  static std::vector<PlannedBuffer> buffers(Device& device, const ModelConfig& config, const LoraConfig* lora,
                                            const SessionOptions& options);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The next token under the options: greedy, or top-k and top-p of the softmax at a temperature, drawn from (seed, step).
int32_t sample(std::span<const float> logits, const SamplingOptions& options, int64_t step);

}  // namespace tenfold
