#include "ops/cpu/attention.h"
#include "ops/cpu/attention_plan.h"

#include <omp.h>

#include <cstddef>
#include <cstring>

namespace tenfold::cpu {
namespace {

// Scratch of the backward: the packed keys, their gradients and the packed queries of one head, and what each lane owns.
struct BackwardBytes {
  int64_t keys, key_grads, queries, lane_d_q, lane_scratch;

  BackwardBytes(const AttentionKernels& kernels, const AttentionShape& shape)
      : keys(align_bytes(AttentionShape::block_capacity(shape.keys) * kernels.backward_key_bytes(shape.head_dim))),
        key_grads(AttentionShape::block_capacity(shape.keys) * kAttentionBlock * shape.width() * 4),
        queries(align_bytes(AttentionShape::block_capacity(shape.tokens) * kernels.backward_query_bytes(shape.head_dim))),
        lane_d_q(AttentionShape::block_capacity(shape.tokens) * kAttentionBlock * shape.width() * 4),
        lane_scratch(align_bytes(kernels.backward_thread_bytes(shape.head_dim))) {}
  int64_t total(int threads) const { return keys + 2 * key_grads + queries + threads * (lane_d_q + lane_scratch); }
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
  std::byte* keys;
  std::byte* queries;
  float* d_k;
  float* d_v;
  std::byte* lanes;

  int64_t block_floats() const { return kAttentionBlock * shape.width(); }
  float* lane_d_q(int64_t lane) const { return reinterpret_cast<float*>(lanes + lane * bytes.lane_d_q); }
  std::byte* lane_scratch(int64_t lane) const { return lanes + shape.threads * bytes.lane_d_q + lane * bytes.lane_scratch; }

  void pack_keys(const SegmentBatch& batch, int64_t block, int64_t kv_head) const {
    const RowBlock& b = batch.key_blocks[static_cast<size_t>(block)];
    const int64_t row = batch.segments[static_cast<size_t>(b.segment)].k_begin + b.first;
    kernels.pack_keys(head_rows(k, row, kv_head), head_rows(v, row, kv_head), b.count, shape.head_dim,
                      keys + block * kernels.backward_key_bytes(shape.head_dim));
    std::fill_n(d_k + block * block_floats(), block_floats(), 0.0F);
    std::fill_n(d_v + block * block_floats(), block_floats(), 0.0F);
  }

  void pack_queries(const SegmentBatch& batch, int64_t block, int64_t head) const {
    const RowBlock& b = batch.query_blocks[static_cast<size_t>(block)];
    const int64_t row = batch.segments[static_cast<size_t>(b.segment)].q_begin + b.first;
    kernels.pack_queries(head_rows(q, row, head), head_rows(d_o, row, head), head_rows(o, row, head), lse.row<float>(head) + row,
                         b.count, shape.head_dim, queries + block * kernels.backward_query_bytes(shape.head_dim));
  }

  void run_lane(const SegmentBatch& batch, const std::vector<KeyRun>& share, int64_t lane) const {
    std::memset(lane_d_q(lane), 0, batch.query_blocks.size() * static_cast<size_t>(block_floats()) * sizeof(float));
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
      run.keys = keys + block * kernels.backward_key_bytes(shape.head_dim);
      run.queries_packed = queries + batch.query_offset[index] * kernels.backward_query_bytes(shape.head_dim);
      run.d_k = d_k + block * block_floats();
      run.d_v = d_v + block * block_floats();
      run.d_q = lane_d_q(lane) + batch.query_offset[index] * block_floats();
      run.scratch = lane_scratch(lane);
      kernels.backward(run);
    }
  }

  void store_d_q(const SegmentBatch& batch, int64_t block, int64_t head, int64_t lane_count) const {
    const RowBlock& b = batch.query_blocks[static_cast<size_t>(block)];
    const int64_t row = batch.segments[static_cast<size_t>(b.segment)].q_begin + b.first;
    kernels.store_d_q(lane_d_q(0) + block * block_floats(), bytes.lane_d_q / 4, lane_count, scale, b.count, shape.head_dim,
                      head_rows(grads.d_q, row, head));
  }

  void store_key_grads(const SegmentBatch& batch, int64_t block, int64_t kv_head) const {
    const RowBlock& b = batch.key_blocks[static_cast<size_t>(block)];
    const int64_t row = batch.segments[static_cast<size_t>(b.segment)].k_begin + b.first;
    kernels.store_key_grad(d_k + block * block_floats(), scale, add_key_grads, b.count, shape.head_dim,
                           head_rows(grads.d_k, row, kv_head));
    kernels.store_key_grad(d_v + block * block_floats(), 1.0F, add_key_grads, b.count, shape.head_dim,
                           head_rows(grads.d_v, row, kv_head));
  }
};

void backward_batch(const BackwardPass& pass, const SegmentBatch& batch) {
  const AttentionShape& shape = pass.shape;
  const auto key_blocks = static_cast<int64_t>(batch.key_blocks.size());
  const auto query_blocks = static_cast<int64_t>(batch.query_blocks.size());
  const int64_t lanes = std::min<int64_t>(shape.threads, key_blocks);
  const auto shares = share_out(batch, pass.kernels.backward_key_blocks, lanes);
#pragma omp parallel num_threads(static_cast <int>(lanes))
  for (int64_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
#pragma omp for schedule(static)
    for (int64_t i = 0; i < key_blocks; ++i) pass.pack_keys(batch, i, kv_head);
    for (int64_t head = kv_head * shape.group(); head < (kv_head + 1) * shape.group(); ++head) {
#pragma omp for schedule(static)
      for (int64_t i = 0; i < query_blocks; ++i) pass.pack_queries(batch, i, head);
#pragma omp for schedule(static, 1)
      for (int64_t lane = 0; lane < lanes; ++lane) pass.run_lane(batch, shares[static_cast<size_t>(lane)], lane);
#pragma omp for schedule(static)
      for (int64_t i = 0; i < query_blocks; ++i) pass.store_d_q(batch, i, head, lanes);
    }
#pragma omp for schedule(static)
    for (int64_t i = 0; i < key_blocks; ++i) pass.store_key_grads(batch, i, kv_head);
  }
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
  auto* keys = static_cast<std::byte*>(exec.scratch.bytes(bytes.keys));
  auto* d_k = static_cast<float*>(exec.scratch.bytes(bytes.key_grads));
  auto* d_v = static_cast<float*>(exec.scratch.bytes(bytes.key_grads));
  auto* queries = static_cast<std::byte*>(exec.scratch.bytes(bytes.queries));
  auto* lanes = static_cast<std::byte*>(exec.scratch.bytes(shape.threads * (bytes.lane_d_q + bytes.lane_scratch)));
  const bool whole_keys = covers_keys_once(segments, shape.keys);
  const BackwardPass pass{kernels, shape, d_o, q, k, v, o, lse, grads, scale, !whole_keys, bytes, keys, queries, d_k, d_v, lanes};
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
