#include "ops/cpu/attention.h"

#include "ops/cpu/attention_plan.h"
#include "ops/cpu_features.h"

#include <omp.h>

#include <cstddef>
#include <numeric>

namespace tenfold::cpu {

const AttentionKernels& attention_kernels(DType dtype, int64_t head_dim) {
  switch (ops::cpu_isa()) {
    case ops::CpuIsa::kAmxBf16:
      if (dtype == DType::kBF16 && head_dim % 32 == 0 && head_dim <= 256) return attention_amx_bf16();
      [[fallthrough]];
    case ops::CpuIsa::kAvx512Bf16:
      if (dtype == DType::kBF16 && head_dim % 16 == 0 && head_dim <= 256) return attention_avx512_bf16();
      return attention_f32_avx512();
    case ops::CpuIsa::kAvx512: return attention_f32_avx512();
    case ops::CpuIsa::kAvx2: return attention_f32_avx2();
    case ops::CpuIsa::kGeneric: break;
  }
  return attention_f32_generic();
}

HeadRows head_rows(const TensorView& t, int64_t row, int64_t head) {
  HeadRows rows;
  rows.data = static_cast<std::byte*>(t.data) + (row * t.stride(0) + head * t.stride(1)) * size_of(t.dtype);
  rows.stride = t.stride(0);
  rows.bf16 = t.dtype == DType::kBF16;
  return rows;
}

void SegmentBatch::add(const AttentionSegment& segment) {
  const auto index = static_cast<int64_t>(segments.size());
  segments.push_back(segment);
  key_offset.push_back(static_cast<int64_t>(key_blocks.size()));
  query_offset.push_back(static_cast<int64_t>(query_blocks.size()));
  const auto cut = [index](std::vector<RowBlock>& blocks, int64_t rows) {
    for (int64_t first = 0; first < rows; first += kAttentionBlock)
      blocks.push_back({index, first, std::min(kAttentionBlock, rows - first)});
  };
  cut(key_blocks, segment.k_end - segment.k_begin);
  cut(query_blocks, segment.q_end - segment.q_begin);
}

bool SegmentBatch::fits(const AttentionSegment& segment, const AttentionShape& shape) const {
  const int64_t keys = static_cast<int64_t>(key_blocks.size()) + ceil_div(segment.k_end - segment.k_begin, kAttentionBlock);
  const int64_t queries = static_cast<int64_t>(query_blocks.size()) + ceil_div(segment.q_end - segment.q_begin, kAttentionBlock);
  return keys <= AttentionShape::block_capacity(shape.keys) && queries <= AttentionShape::block_capacity(shape.tokens);
}

void SegmentBatch::clear() {
  segments.clear();
  key_offset.clear();
  query_offset.clear();
  key_blocks.clear();
  query_blocks.clear();
}

void zero_rows(const TensorView& t, int threads) {
  const auto bytes = static_cast<size_t>(t.dim(2) * size_of(t.dtype));
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t row = 0; row < t.dim(0); ++row)
    for (int64_t head = 0; head < t.dim(1); ++head)
      std::fill_n(static_cast<std::byte*>(head_rows(t, row, head).data), bytes, std::byte{0});
}

bool covers(std::span<const AttentionSegment> segments, int64_t tokens) {
  int64_t covered = 0;
  for (const auto& s : segments) covered += s.q_end - s.q_begin;
  return covered == tokens;
}

namespace {

constexpr int64_t kForwardPackBudget = int64_t{16} << 20;

AttentionShape shape_of(const Exec& exec, const TensorView& q, const TensorView& k) {
  return {q.dim(0), k.dim(0), q.dim(1), k.dim(1), q.dim(2), exec.device.threads()};
}

// ---- forward ----

// Query runs of a batch, the dearest first, so that threads that take them one by one end together.
std::vector<RowBlock> forward_runs(const SegmentBatch& batch, int64_t rows) {
  std::vector<RowBlock> runs;
  for (size_t i = 0; i < batch.segments.size(); ++i) {
    const auto& s = batch.segments[i];
    for (int64_t first = 0; first < s.q_end - s.q_begin; first += rows)
      runs.push_back({static_cast<int64_t>(i), first, std::min(rows, s.q_end - s.q_begin - first)});
  }
  const auto cost = [&](const RowBlock& r) {
    return r.count * (visible_at_first(batch.segments[static_cast<size_t>(r.segment)]) + r.first + r.count / 2);
  };
  std::stable_sort(runs.begin(), runs.end(), [&](const RowBlock& a, const RowBlock& b) { return cost(a) > cost(b); });
  return runs;
}

struct ForwardPass {
  const AttentionKernels& kernels;
  const AttentionShape& shape;
  const TensorView& q;
  const TensorView& k;
  const TensorView& v;
  const TensorView& o;
  const TensorView& lse;
  float scale;
  std::byte* packed;
  int64_t thread_bytes;
  std::byte* thread_scratch;

  void pack(const SegmentBatch& batch, int64_t slot, int64_t kv_head, int64_t block) const {
    const RowBlock& b = batch.key_blocks[static_cast<size_t>(block)];
    const int64_t row = batch.segments[static_cast<size_t>(b.segment)].k_begin + b.first;
    kernels.pack_forward(head_rows(k, row, kv_head), head_rows(v, row, kv_head), b.count, shape.head_dim, block_at(slot, block));
  }

  void attend(const SegmentBatch& batch, const RowBlock& rows, int64_t slot, int64_t head, int thread) const {
    const auto index = static_cast<size_t>(rows.segment);
    const AttentionSegment& s = batch.segments[index];
    const int64_t row = s.q_begin + rows.first;
    ForwardRun run;
    run.q = head_rows(q, row, head);
    run.o = head_rows(o, row, head);
    if (!lse.empty()) run.lse = lse.row<float>(head) + row;
    run.rows = rows.count;
    run.visible = visible_at_first(s) + rows.first;
    run.head_dim = shape.head_dim;
    run.scale = scale;
    run.keys = block_at(slot, batch.key_offset[index]);
    run.scratch = thread_scratch + thread * thread_bytes;
    kernels.forward(run);
  }

  std::byte* block_at(int64_t slot, int64_t block) const {
    return packed + (slot * AttentionShape::block_capacity(shape.keys) + block) * kernels.forward_key_bytes(shape.head_dim);
  }
};

void forward_batch(const ForwardPass& pass, const SegmentBatch& batch) {
  const AttentionShape& shape = pass.shape;
  const int64_t at_once = forward_kv_heads_at_once(pass.kernels, shape);
  const auto runs = forward_runs(batch, pass.kernels.forward_rows);
  const auto blocks = static_cast<int64_t>(batch.key_blocks.size());
  const auto run_count = static_cast<int64_t>(runs.size());
  for (int64_t first = 0; first < shape.kv_heads; first += at_once) {
    const int64_t kv_heads = std::min(at_once, shape.kv_heads - first);
    const int64_t heads = kv_heads * shape.group();
#pragma omp parallel num_threads(shape.threads)
    {
#pragma omp for schedule(static)
      for (int64_t i = 0; i < kv_heads * blocks; ++i) pass.pack(batch, i / blocks, first + i / blocks, i % blocks);
#pragma omp for schedule(dynamic, 1)
      for (int64_t i = 0; i < run_count * heads; ++i) {
        const int64_t head = i % heads;
        pass.attend(batch, runs[static_cast<size_t>(i / heads)], head / shape.group(), first * shape.group() + head,
                    omp_get_thread_num());
      }
    }
  }
}

}  // namespace

int64_t forward_kv_heads_at_once(const AttentionKernels& kernels, const AttentionShape& shape) {
  const int64_t bytes = AttentionShape::block_capacity(shape.keys) * kernels.forward_key_bytes(shape.head_dim);
  return std::clamp<int64_t>(kForwardPackBudget / bytes, 1, shape.kv_heads);
}

int64_t forward_scratch_bytes(const AttentionKernels& kernels, const AttentionShape& shape) {
  const int64_t blocks = forward_kv_heads_at_once(kernels, shape) * AttentionShape::block_capacity(shape.keys);
  return align_bytes(blocks * kernels.forward_key_bytes(shape.head_dim)) +
         shape.threads * align_bytes(kernels.forward_thread_bytes(shape.head_dim));
}

void attention_forward(Exec& exec, const TensorView& q, const TensorView& k, const TensorView& v,
                       std::span<const AttentionSegment> segments, float scale, const TensorView& o, const TensorView& lse) {
  const AttentionShape shape = shape_of(exec, q, k);
  const AttentionKernels& kernels = attention_kernels(q.dtype, shape.head_dim);
  if (!covers(segments, shape.tokens)) zero_rows(o, shape.threads);
  std::vector<AttentionSegment> few;
  std::vector<AttentionSegment> many;
  for (const auto& s : segments)
    if (s.q_end > s.q_begin) (s.q_end - s.q_begin <= kDecodeQueries ? few : many).push_back(s);
  if (!few.empty()) attention_decode(exec, kernels, shape, q, k, v, few, scale, o, lse);
  if (many.empty()) return;

  const Workspace::Scope scope(exec.scratch);
  const int64_t blocks = forward_kv_heads_at_once(kernels, shape) * AttentionShape::block_capacity(shape.keys);
  const int64_t thread_bytes = align_bytes(kernels.forward_thread_bytes(shape.head_dim));
  auto* packed = static_cast<std::byte*>(exec.scratch.bytes(blocks * kernels.forward_key_bytes(shape.head_dim)));
  auto* thread_scratch = static_cast<std::byte*>(exec.scratch.bytes(thread_bytes * shape.threads));
  const ForwardPass pass{kernels, shape, q, k, v, o, lse, scale, packed, thread_bytes, thread_scratch};
  SegmentBatch batch;
  for (const auto& s : many) {
    if (!batch.fits(s, shape)) {
      forward_batch(pass, batch);
      batch.clear();
    }
    batch.add(s);
  }
  forward_batch(pass, batch);
}

int64_t attention_scratch_bytes(const Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                                bool training) {
  const AttentionShape shape{tokens, keys, heads, kv_heads, head_dim, exec.device.threads()};
  const AttentionKernels& kernels = attention_kernels(exec.compute, head_dim);
  return std::max({forward_scratch_bytes(kernels, shape), decode_scratch_bytes(kernels, shape),
                   training ? backward_scratch_bytes(kernels, shape) : 0});
}

}  // namespace tenfold::cpu
