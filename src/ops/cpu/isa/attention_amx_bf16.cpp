#include "ops/cpu/isa/attention_tile_amx.h"
// Needs the tiles above.
#include "ops/cpu/isa/attention_bf16_body.h"

namespace tenfold::cpu {

const AttentionKernels& attention_amx_bf16() {
  // Decoding reads its keys once and waits for memory: tiles would not help.
  static const AttentionKernels kKernels = {
      .forward_rows = kForwardRows,
      .forward_key_bytes = forward_key_bytes,
      .forward_thread_bytes = forward_thread_bytes,
      .pack_forward = pack_forward,
      .forward = forward,
      .backward_key_blocks = kBackwardKeyBlocks,
      .backward_key_bytes = backward_key_bytes,
      .backward_query_bytes = backward_query_bytes,
      .backward_thread_bytes = backward_thread_bytes,
      .pack_keys = pack_keys,
      .pack_queries = pack_queries,
      .backward = backward,
      .store_d_q = store_d_q,
      .store_key_grad = store_key_grad,
      .decode_thread_bytes = attention_avx512_bf16().decode_thread_bytes,
      .decode = attention_avx512_bf16().decode,
  };
  return kKernels;
}

}  // namespace tenfold::cpu
