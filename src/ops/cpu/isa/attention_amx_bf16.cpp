#include "ops/cpu/isa/attention_tile_amx.h"
// Needs the tiles above.
#include "ops/cpu/isa/attention_bf16_body.h"

namespace tenfold::cpu {

const AttentionKernels& attention_amx_bf16() {
  // Decoding reads its keys once and waits for memory: tiles would not help.
  static const AttentionKernels kKernels =
      kernels_beside(attention_avx512_bf16().decode_thread_bytes, attention_avx512_bf16().decode);
  return kKernels;
}

}  // namespace tenfold::cpu
