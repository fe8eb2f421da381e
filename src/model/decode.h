#pragma once

#include "device/exec.h"
#include "model/adapter.h"
#include "model/kv_cache.h"
#include "model/model.h"

#include <cstdint>
#include <memory>

namespace tenfold {

/// Single tokens after what a cache holds of sequence 0: what one of them enqueues (ops/decode.h) is recorded once and replayed,
/// where the device records. The same bits as block_forward over one token.
class TokenDecoder {
 public:
  static bool serves(Device& device, const ModelConfig& config);
  /// What it holds beside exec.scratch; the name is a row of the memory plan.
  static constexpr const char* kStateName = "decode state";
  static int64_t state_bytes(const ModelConfig& config);
  static int64_t scratch_bytes(const Exec& exec, const ModelConfig& config, const LoraConfig* lora, int64_t capacity);

  /// All must outlive it. `logits` (1, V) f32 on the device. exec has no profile: that would wait inside of what is recorded.
  TokenDecoder(Exec& exec, const Model& model, const Adapter* adapter, const KvCache& cache, const RopeFrequencies& rope,
               const TensorView& logits);

  /// Enqueues one token at a position whose past the cache holds: its keys and values go to that row, its logits to `logits`.
  /// exec.scratch must be as free as at the first call.
  void decode(int64_t position, int32_t id);

 private:
  struct Token;
  static Token take(Workspace& ws, const ModelConfig& config, DType compute, const LoraConfig* lora);
  void enqueue();
  void block(const Token& t, int64_t layer, const TensorView& x, const TensorView& x_out);
  TensorView place() const;
  TensorView inv_freq() const;

  Exec& exec_;
  const Model& model_;
  const Adapter* adapter_;
  const KvCache& cache_;
  float attention_factor_;
  TensorView logits_;
  Buffer state_;  ///< the place, then the inverse frequencies
  std::unique_ptr<Recording> recording_;
  bool begun_ = false;
};

}  // namespace tenfold
