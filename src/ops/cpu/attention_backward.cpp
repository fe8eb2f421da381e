#include "ops/cpu/attention.h"
#include "ops/cpu/attention_plan.h"

#include <omp.h>

#include <cstddef>
#include <cstring>

namespace tenfold::cpu {
namespace {

// Heads are processed several at once where their scratch fits this: threads then meet a few times a call, not a few times a
// head.
constexpr int64_t kBackwardBudget = int64_t{24} << 20;

// Scratch of the backward: of each kv head at once the packed keys and their gradients, of each head at once the packed queries
// and the lanes' d_q.
struct BackwardBytes {
  int64_t keys, key_grads, queries, lane_d_q, lane_scratch;
  int64_t kv_heads = 1;  ///< at once
  int64_t heads = 1;     ///< at once; whole groups, or a part of one group

  BackwardBytes(const AttentionKernels& kernels, const AttentionShape& shape)
      : keys(align_bytes(AttentionShape::block_capacity(shape.keys) * kernels.backward_key_bytes(shape.head_dim))),
        key_grads(AttentionShape::block_capacity(shape.keys) * kAttentionBlock * shape.width() * 4),
        queries(align_bytes(AttentionShape::block_capacity(shape.tokens) * kernels.backward_query_bytes(shape.head_dim))),
        lane_d_q(AttentionShape::block_capacity(shape.tokens) * kAttentionBlock * shape.width() * 4),
        lane_scratch(align_bytes(kernels.backward_thread_bytes(shape.head_dim))) {
    const int64_t kv_head = keys + 2 * key_grads;
    const int64_t head = queries + shape.threads * lane_d_q;
    kv_heads = std::clamp<int64_t>(kBackwardBudget / (kv_head + shape.group() * head), 1, shape.kv_heads);
    heads = kv_heads > 1 ? kv_heads * shape.group() : std::clamp<int64_t>((kBackwardBudget - kv_head) / head, 1, shape.group());
  }
  int64_t total(int threads) const {
    return kv_heads * (keys + 2 * key_grads) + heads * (queries + threads * lane_d_q) + threads * lane_scratch;
  }
};

// Neighbouring key blocks of a segment, which one BackwardRun takes.
struct KeyRun {
  int64_t block = 0;
  int64_t count = 0;
  int64_t cost = 0;
};

// Runs of key blocks shared out among the lanes: by falling cost, back and forth, so that lanes are even. Which lane adds which
// run to its own d_q is thereby fixed by the sizes and the number of lanes.
std::vector<std::vector<KeyRun>> share_out(const SegmentBatch& batch, int64_t most_blocks, int64_t lanes) {
  std::vector<KeyRun> runs;
  for (size_t i = 0; i < batch.segments.size(); ++i) {
    const AttentionSegment& s = batch.segments[i];
    const int64_t blocks = ceil_div(s.k_end - s.k_begin, kAttentionBlock);
    // Short sequences give one block a run, so that every lane has some.
    const int64_t size =
        blocks >= 4 * most_blocks * lanes ? most_blocks : std::clamp<int64_t>(blocks / (2 * lanes), 1, most_blocks);
    for (int64_t first = 0; first < blocks; first += size) {
      const int64_t hidden = std::max<int64_t>(0, first * kAttentionBlock + 1 - visible_at_first(s));
      const int64_t count = std::min(size, blocks - first);
      runs.push_back({batch.key_offset[i] + first, count, count * std::max<int64_t>(0, s.q_end - s.q_begin - hidden)});
    }
  }
  std::stable_sort(runs.begin(), runs.end(), [](const KeyRun& a, const KeyRun& b) { return a.cost > b.cost; });
  std::vector<std::vector<KeyRun>> shares(static_cast<size_t>(lanes));
  for (size_t i = 0; i < runs.size(); ++i) {
    const size_t at = i % (2 * shares.size());
    shares[at < shares.size() ? at : 2 * shares.size() - 1 - at].push_back(runs[i]);
  }
  return shares;
}

struct BackwardPass {
  const AttentionKernels& kernels;
  const AttentionShape& shape;
  const TensorView& d_o;
  const TensorView& q;
  const TensorView& k;
  const TensorView& v;
  const TensorView& o;
  const TensorView& lse;
  const ops::AttentionGrads& grads;
  float scale;
  bool add_key_grads;  ///< to outputs that start as zeros: segments share keys, or leave some out
  BackwardBytes bytes;
  std::byte* scratch;

  // A slot is the place of a head (or kv head) among those at once.
  int64_t block_floats() const { return kAttentionBlock * shape.width(); }
  std::byte* keys(int64_t slot, int64_t block) const {
    return scratch + slot * bytes.keys + block * kernels.backward_key_bytes(shape.head_dim);
  }
  float* d_k(int64_t slot, int64_t block) const { return key_grads(2 * slot, block); }
  float* d_v(int64_t slot, int64_t block) const { return key_grads(2 * slot + 1, block); }
  float* key_grads(int64_t index, int64_t block) const {
    return reinterpret_cast<float*>(scratch + bytes.kv_heads * bytes.keys + index * bytes.key_grads) + block * block_floats();
  }
  std::byte* queries(int64_t slot, int64_t block) const {
    return scratch + bytes.kv_heads * (bytes.keys + 2 * bytes.key_grads) + slot * bytes.queries +
           block * kernels.backward_query_bytes(shape.head_dim);
  }
  float* lane_d_q(int64_t slot, int64_t lane, int64_t block) const {
    std::byte* first = queries(bytes.heads, 0);
    return reinterpret_cast<float*>(first + (slot * shape.threads + lane) * bytes.lane_d_q) + block * block_floats();
  }
  std::byte* lane_scratch(int64_t lane) const {
    return reinterpret_cast<std::byte*>(lane_d_q(bytes.heads, 0, 0)) + lane * bytes.lane_scratch;
  }

  void pack_keys(const SegmentBatch& batch, int64_t block, int64_t kv_head, int64_t slot) const {
    const RowBlock& b = batch.key_blocks[static_cast<size_t>(block)];
    const int64_t row = batch.segments[static_cast<size_t>(b.segment)].k_begin + b.first;
    kernels.pack_keys(head_rows(k, row, kv_head), head_rows(v, row, kv_head), b.count, shape.head_dim, keys(slot, block));
    std::fill_n(d_k(slot, block), block_floats(), 0.0F);
    std::fill_n(d_v(slot, block), block_floats(), 0.0F);
  }

  void pack_queries(const SegmentBatch& batch, int64_t block, int64_t head, int64_t slot) const {
    const RowBlock& b = batch.query_blocks[static_cast<size_t>(block)];
    const int64_t row = batch.segments[static_cast<size_t>(b.segment)].q_begin + b.first;
    kernels.pack_queries(head_rows(q, row, head), head_rows(d_o, row, head), head_rows(o, row, head), lse.row<float>(head) + row,
                         b.count, shape.head_dim, queries(slot, block));
  }

  void run_lane(const SegmentBatch& batch, const std::vector<KeyRun>& share, int64_t lane, int64_t slot, int64_t kv_slot) const {
    std::memset(lane_d_q(slot, lane, 0), 0, batch.query_blocks.size() * static_cast<size_t>(block_floats()) * sizeof(float));
    for (const auto& [block, count, cost] : share) {
      const RowBlock& b = batch.key_blocks[static_cast<size_t>(block)];
      const auto index = static_cast<size_t>(b.segment);
      const AttentionSegment& s = batch.segments[index];
      BackwardRun run;
      run.head_dim = shape.head_dim;
      run.scale = scale;
      run.key_block = b.first / kAttentionBlock;
      run.key_blocks = count;
      run.queries = s.q_end - s.q_begin;
      run.visible = visible_at_first(s);
      run.keys = keys(kv_slot, block);
      run.queries_packed = queries(slot, batch.query_offset[index]);
      run.d_k = d_k(kv_slot, block);
      run.d_v = d_v(kv_slot, block);
      run.d_q = lane_d_q(slot, lane, batch.query_offset[index]);
      run.scratch = lane_scratch(lane);
      kernels.backward(run);
    }
  }

  void store_d_q(const SegmentBatch& batch, int64_t block, int64_t head, int64_t slot, int64_t lane_count) const {
    const RowBlock& b = batch.query_blocks[static_cast<size_t>(block)];
    const int64_t row = batch.segments[static_cast<size_t>(b.segment)].q_begin + b.first;
    kernels.store_d_q(lane_d_q(slot, 0, block), bytes.lane_d_q / 4, lane_count, scale, b.count, shape.head_dim,
                      head_rows(grads.d_q, row, head));
  }

  void store_key_grads(const SegmentBatch& batch, int64_t block, int64_t kv_head, int64_t slot) const {
    const RowBlock& b = batch.key_blocks[static_cast<size_t>(block)];
    const int64_t row = batch.segments[static_cast<size_t>(b.segment)].k_begin + b.first;
    kernels.store_key_grad(d_k(slot, block), scale, add_key_grads, b.count, shape.head_dim, head_rows(grads.d_k, row, kv_head));
    kernels.store_key_grad(d_v(slot, block), 1.0F, add_key_grads, b.count, shape.head_dim, head_rows(grads.d_v, row, kv_head));
  }
};

// Runs inside a parallel region. The kv heads [first, first + count), whose keys lie in the slots.
void backward_heads(const BackwardPass& pass, const SegmentBatch& batch, const std::vector<std::vector<KeyRun>>& shares,
                    int64_t first, int64_t count) {
  const int64_t group = pass.shape.group();
  const auto key_blocks = static_cast<int64_t>(batch.key_blocks.size());
  const auto query_blocks = static_cast<int64_t>(batch.query_blocks.size());
  const auto lanes = static_cast<int64_t>(shares.size());
#pragma omp for schedule(static) nowait
  for (int64_t i = 0; i < count * key_blocks; ++i) pass.pack_keys(batch, i % key_blocks, first + i / key_blocks, i / key_blocks);
  for (int64_t head = first * group; head < (first + count) * group; head += pass.bytes.heads) {
    const int64_t heads = std::min(pass.bytes.heads, (first + count) * group - head);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < heads * query_blocks; ++i)
      pass.pack_queries(batch, i % query_blocks, head + i / query_blocks, i / query_blocks);
      // A key block's gradients belong to one lane for all heads of its group.
#pragma omp for schedule(static, 1)
    for (int64_t lane = 0; lane < lanes; ++lane)
      for (int64_t slot = 0; slot < heads; ++slot)
        pass.run_lane(batch, shares[static_cast<size_t>(lane)], lane, slot, (head + slot) / group - first);
#pragma omp for schedule(static) nowait
    for (int64_t i = 0; i < heads * query_blocks; ++i)
      pass.store_d_q(batch, i % query_blocks, head + i / query_blocks, i / query_blocks, lanes);
  }
#pragma omp for schedule(static)
  for (int64_t i = 0; i < count * key_blocks; ++i)
    pass.store_key_grads(batch, i % key_blocks, first + i / key_blocks, i / key_blocks);
}

void backward_batch(const BackwardPass& pass, const SegmentBatch& batch) {
  const AttentionShape& shape = pass.shape;
  const auto lanes = std::min<int64_t>(shape.threads, static_cast<int64_t>(batch.key_blocks.size()));
  const auto shares = share_out(batch, pass.kernels.backward_key_blocks, lanes);
#pragma omp parallel num_threads(static_cast <int>(lanes))
  for (int64_t kv_head = 0; kv_head < shape.kv_heads; kv_head += pass.bytes.kv_heads)
    backward_heads(pass, batch, shares, kv_head, std::min(pass.bytes.kv_heads, shape.kv_heads - kv_head));
}

// In order, without a gap, and none empty of queries: the usual packed batch.
bool covers_keys_once(std::span<const AttentionSegment> segments, int64_t keys) {
  int64_t at = 0;
  for (const auto& s : segments) {
    if (s.k_begin != at || s.q_end == s.q_begin) return false;
    at = s.k_end;
  }
  return at == keys;
}

bool shares_keys(const SegmentBatch& batch, const AttentionSegment& s) {
  return std::any_of(batch.segments.begin(), batch.segments.end(),
                     [&](const AttentionSegment& other) { return s.k_begin < other.k_end && other.k_begin < s.k_end; });
}

}  // namespace

int64_t backward_scratch_bytes(const AttentionKernels& kernels, const AttentionShape& shape) {
  return BackwardBytes(kernels, shape).total(shape.threads);
}

void attention_backward(Exec& exec, const TensorView& d_o, const TensorView& q, const TensorView& k, const TensorView& v,
                        const TensorView& o, const TensorView& lse, std::span<const AttentionSegment> segments, float scale,
                        const ops::AttentionGrads& grads) {
  const AttentionShape shape{q.dim(0), k.dim(0), q.dim(1), k.dim(1), q.dim(2), exec.device.threads()};
  const AttentionKernels& kernels = attention_kernels(q.dtype, shape.head_dim);
  const BackwardBytes bytes(kernels, shape);
  const Workspace::Scope scope(exec.scratch);
  auto* scratch = static_cast<std::byte*>(exec.scratch.bytes(bytes.total(shape.threads)));
  const bool whole_keys = covers_keys_once(segments, shape.keys);
  const BackwardPass pass{kernels, shape, d_o, q, k, v, o, lse, grads, scale, !whole_keys, bytes, scratch};
  if (!whole_keys)
    for (const TensorView* t : {&grads.d_k, &grads.d_v}) zero_rows(*t, shape.threads);
  if (!covers(segments, shape.tokens)) zero_rows(grads.d_q, shape.threads);
  SegmentBatch batch;
  for (const auto& s : segments) {
    if (s.q_end == s.q_begin) continue;
    if (!batch.segments.empty() && (!batch.fits(s, shape) || shares_keys(batch, s))) {
      backward_batch(pass, batch);
      batch.clear();
    }
    batch.add(s);
  }
  if (!batch.segments.empty()) backward_batch(pass, batch);
}

}  // namespace tenfold::cpu
