#include "ops/cpu/isa/attention_tile_avx512.h"
// Needs the tiles above.
#include "ops/cpu/isa/attention_bf16_body.h"
#include "ops/cpu/isa/attention_decode_avx512.h"

namespace tenfold::cpu {
namespace {

// kRows rows from r against the step of 128 keys at `block`.
inline void forward_step(const ForwardRun& run, const ForwardScratch& t, int64_t r, int64_t first, const Bits* block) {
  const int64_t head_dim = run.head_dim;
  const int64_t block_size = 2 * kBlock * head_dim;
  const int64_t most = most_seen(run, r, first);
  if (most <= 0) return;
  for (int64_t b = 0; b < key_blocks(most); ++b)
    tile<kRows, 4, false>(head_dim / 2, t.q + r * head_dim, head_dim, block + b * block_size, 2 * kBlock, t.s + b * kBlock,
                          kStep);
  for (int64_t i = 0; i < kRows; ++i) probabilities(run, t, r + i, first, most, t.s + i * kStep, t.p + i * kStep);
  tile_row<kRows>(head_dim, value_pairs(most), t.p, kStep, block + kBlock * head_dim, 2 * head_dim, t.o + r * head_dim, head_dim,
                  kBlock / 2, block_size - kBlock * head_dim);
}

void forward(const ForwardRun& run) {
  enter_tiles();
  const ForwardScratch t(run.scratch, run.head_dim);
  const auto* block = static_cast<const Bits*>(run.keys);
  for (int64_t first = 0; first < run.visible + run.rows - 1; first += kStep, block += 4 * kBlock * run.head_dim)
    for (int64_t r = 0; r < run.rows; r += kRows) {
      if (first == 0) start_rows(run, t, r);
      forward_step(run, t, r, first, block);
    }
  leave_tiles();
  finish_rows(run, t);
}

constexpr AttentionKernels kKernels = kernels_beside(forward_thread_bytes, forward, decode_thread_bytes, decode);

}  // namespace

const AttentionKernels& attention_avx512_bf16() { return kKernels; }

}  // namespace tenfold::cpu
