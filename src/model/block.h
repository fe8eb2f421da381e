#pragma once

#include "device/exec.h"
#include "model/adapter.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "ops/attention.h"

#include <array>
#include <cstdint>
#include <span>

namespace tenfold {

/// What one run of T tokens shares across its blocks. T is x.dim(0); a batch is one flat run with segments and explicit
/// positions.
struct BlockContext {
  const Model& model;
  const Adapter* adapter = nullptr;  ///< optional
  TensorView cos{};                  ///< (T, E/2) f32
  TensorView sin{};                  ///< (T, E/2) f32
  std::span<const ops::AttentionSegment> segments{};
  // Dropout of the LoRA branches: on only while training.
  bool training = false;
  uint64_t seed = 0;
  uint64_t dropout_stream = 0;
  std::span<const int64_t> positions{};
  /// With a cache: the row of it that each token's keys and values go to; empty: rows in a row from cache_row on.
  std::span<const int64_t> cache_rows{};
};

/// How much of a block's forward is kept for its backward; the rest is recomputed, bit for bit (performance.md, plans a, b, c).
enum class Keep : uint8_t {
  kInput,      ///< x (and the LoRA intermediate of down_proj): everything else recomputed
  kAttention,  ///< and the attention output with its log-sum-exp: the attention forward is not repeated
  kMiddle,     ///< and q, k, v, the middle residual and the LoRA inputs of the attention part: only the MLP is repeated
  kAll,        ///< and gate and up
};

/// Views of what a block keeps; those that its Keep does not name are empty.
struct BlockSaved {
  Keep keep = Keep::kInput;
  TensorView x;                                 ///< (T, D)
  TensorView attn_out;                          ///< (T, H, E)
  TensorView lse;                               ///< (H, T) f32
  TensorView q;                                 ///< (T, H, E), after RoPE
  TensorView k;                                 ///< (T, G, E), after RoPE
  TensorView v;                                 ///< (T, G, E)
  TensorView x_mid;                             ///< (T, D)
  TensorView gate;                              ///< (T, F)
  TensorView up;                                ///< (T, F)
  std::array<TensorView, kProjections> lora_u;  ///< (T, R)
};

/// What the scores of queries and keys are multiplied by.
float attention_scale(const ModelConfig& config);

/// x_out = block(x). `saved` receives what its views name (x itself is written by the caller). With a cache, the keys and values
/// of the run go to rows [cache_row, cache_row + T) of layer `layer`, all of one page, whose rows the segments' keys address; or
/// to the context's cache_rows, and the segments' keys address the whole cache.
void block_forward(Exec& exec, const BlockContext& context, int64_t layer, const TensorView& x, const BlockSaved* saved,
                   KvCache* cache, int64_t cache_row, const TensorView& x_out);

/// d_x (T, D) f32 holds the gradient of x_out on entry and of x on return; parameter gradients are added into the flat array
/// `gradients`.
void block_backward(Exec& exec, const BlockContext& context, int64_t layer, const BlockSaved& saved, const TensorView& gradients,
                    const TensorView& d_x);

/// Bytes of exec.scratch that a block of T tokens needs, forward or (training) backward too.
int64_t block_scratch_bytes(const Exec& exec, const ModelConfig& config, const LoraConfig* lora, int64_t tokens, int64_t keys,
                            bool training);

/// Bytes of what a block keeps, for T tokens.
int64_t block_saved_bytes(const ModelConfig& config, const LoraConfig& lora, DType compute, Keep keep, int64_t tokens);
/// Carves the views of a block's saved tensors out of a workspace.
BlockSaved take_block_saved(Workspace& workspace, const ModelConfig& config, const LoraConfig& lora, DType compute, Keep keep,
                            int64_t tokens);

}  // namespace tenfold
