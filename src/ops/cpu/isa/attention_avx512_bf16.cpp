#include "ops/cpu/isa/attention_tile_avx512.h"
// Needs the tiles above.
#include "ops/cpu/isa/attention_decode_avx512.h"

namespace tenfold::cpu {
namespace {

constexpr AttentionKernels kKernels = {
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
    .decode_thread_bytes = decode_thread_bytes,
    .decode = decode,
};

}  // namespace

const AttentionKernels& attention_avx512_bf16() { return kKernels; }

}  // namespace tenfold::cpu
