#include "ops/cpu/isa/attention_tile_avx512.h"
// Needs the tiles above.
#include "ops/cpu/isa/attention_decode_avx512.h"

namespace tenfold::cpu {
namespace {

constexpr AttentionKernels kKernels = kernels_beside(decode_thread_bytes, decode);

}  // namespace

const AttentionKernels& attention_avx512_bf16() { return kKernels; }

}  // namespace tenfold::cpu
