#include "ops/cpu/attention.h"
#include "ops/cpu/attention_plan.h"
#include "ops/cpu/elementwise.h"

#include <omp.h>

#include <cmath>
#include <cstddef>

namespace tenfold::cpu {
namespace {

constexpr int64_t kRange = 512;          // keys; fixed, so that results do not depend on the number of threads
constexpr int64_t kMaxBatchTokens = 64;  // queries whose partial results are held at once, beyond one segment's

int64_t partial_floats(const AttentionShape& shape) { return shape.width() + 16; }

// Partial results, counted in query rows of all heads.
int64_t row_capacity(const AttentionShape& shape) {
  const int64_t one = std::min(shape.tokens, kDecodeQueries) * ceil_div(shape.keys, kRange);
  return shape.heads * (one + std::min(shape.tokens, kMaxBatchTokens));
}

struct DecodeItem {
  AttentionSegment segment;
  int64_t first = 0;   ///< key of the segment
  int64_t count = 0;   ///< keys
  int64_t offset = 0;  ///< first partial row
};

int64_t ranges_of(const AttentionSegment& s) { return ceil_div(s.k_end - s.k_begin, kRange); }
int64_t queries_of(const AttentionSegment& s) { return s.q_end - s.q_begin; }

struct DecodePass {
  const AttentionKernels& kernels;
  const AttentionShape& shape;
  const TensorView& q;
  const TensorView& k;
  const TensorView& v;
  const TensorView& o;
  const TensorView& lse;
  float scale;
  float* partials;
  std::byte* thread_scratch;
  int64_t thread_bytes;

  // Partial rows of a segment: range, kv head, query, head of the group.
  float* partial(int64_t offset, int64_t range, int64_t kv_head, const AttentionSegment& s) const {
    const int64_t rows = queries_of(s) * shape.group();
    return partials + (offset + (range * shape.kv_heads + kv_head) * rows) * partial_floats(shape);
  }

  void attend(const DecodeItem& item, int64_t kv_head, int thread) const {
    const AttentionSegment& s = item.segment;
    const int64_t group = shape.group();
    const int64_t rows = queries_of(s) * group;
    auto* scratch = thread_scratch + thread * thread_bytes;
    auto* queries = reinterpret_cast<float*>(scratch);
    auto* visible = reinterpret_cast<int64_t*>(queries + shape.width() * kDecodeQueries * group);
    for (int64_t r = 0; r < rows; ++r) {
      const HeadRows row = head_rows(q, s.q_begin + r / group, kv_head * group + r % group);
      elementwise_kernels().convert[row.bf16 ? 1 : 0][0](row.data, queries + r * shape.width(), shape.head_dim);
      std::fill(queries + r * shape.width() + shape.head_dim, queries + (r + 1) * shape.width(), 0.0F);
      visible[r] = visible_at_first(s) + r / group - item.first;
    }
    DecodeRun run;
    run.k = head_rows(k, s.k_begin + item.first, kv_head);
    run.v = head_rows(v, s.k_begin + item.first, kv_head);
    run.keys = item.count;
    run.head_dim = shape.head_dim;
    run.scale = scale;
    run.rows = rows;
    run.q = queries;
    run.visible = visible;
    run.partial = partial(item.offset, item.first / kRange, kv_head, s);
    run.scratch = visible + round_up(kDecodeQueries * group, 8);
    kernels.decode(run);
  }

  // o = sum of the ranges' values, each brought to the common maximum, over the sum of their denominators.
  void join(const AttentionSegment& s, int64_t offset, int64_t kv_head, int64_t r) const {
    const int64_t ranges = ranges_of(s);
    const int64_t width = shape.width();
    const auto part = [&](int64_t i) { return partial(offset, i, kv_head, s) + r * partial_floats(shape); };
    float* sum = part(0);
    float top = sum[width];
    for (int64_t i = 1; i < ranges; ++i) top = part(i)[width] > top ? part(i)[width] : top;
    float total = 0;
    for (int64_t i = 0; i < ranges; ++i) {
      const float* p = part(i);
      const float factor = std::exp2(p[width] - top);
      total += factor * p[width + 1];
      for (int64_t e = 0; e < shape.head_dim; ++e) sum[e] = (i == 0 ? 0.0F : sum[e]) + factor * p[e];
    }
    const int64_t query = s.q_begin + r / shape.group();
    const int64_t head = kv_head * shape.group() + r % shape.group();
    const float inverse = 1.0F / total;
    for (int64_t e = 0; e < shape.head_dim; ++e) sum[e] *= inverse;
    const HeadRows out = head_rows(o, query, head);
    elementwise_kernels().convert[0][out.bf16 ? 1 : 0](sum, out.data, shape.head_dim);
    if (!lse.empty())
      lse.row<float>(head)[query] = static_cast<float>((static_cast<double>(top) + std::log2(total)) * 0.6931471805599453);
  }
};

void decode_batch(Exec& exec, const DecodePass& pass, const std::vector<DecodeItem>& items) {
  const AttentionShape& shape = pass.shape;
  const auto count = static_cast<int64_t>(items.size()) * shape.kv_heads;
  int64_t key_rows = 0;
  for (const auto& item : items) key_rows += item.count;
  const int threads = threads_for(exec, key_rows * shape.kv_heads * shape.head_dim * 2 * size_of(pass.k.dtype));
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < count; ++i)
      pass.attend(items[static_cast<size_t>(i / shape.kv_heads)], i % shape.kv_heads, omp_get_thread_num());
#pragma omp for schedule(static)
    for (int64_t i = 0; i < count; ++i) {
      const DecodeItem& item = items[static_cast<size_t>(i / shape.kv_heads)];
      if (item.first != 0) continue;
      for (int64_t r = 0; r < queries_of(item.segment) * shape.group(); ++r)
        pass.join(item.segment, item.offset, i % shape.kv_heads, r);
    }
  }
}

int64_t thread_bytes_of(const AttentionKernels& kernels, const AttentionShape& shape) {
  const int64_t rows = kDecodeQueries * shape.group();
  return align_bytes(rows * shape.width() * 4 + round_up(rows, 8) * 8 + kernels.decode_thread_bytes(shape.head_dim, rows));
}

}  // namespace

int64_t decode_scratch_bytes(const AttentionKernels& kernels, const AttentionShape& shape) {
  return align_bytes(row_capacity(shape) * partial_floats(shape) * 4) + shape.threads * thread_bytes_of(kernels, shape);
}

void attention_decode(Exec& exec, const AttentionKernels& kernels, const AttentionShape& shape, const TensorView& q,
                      const TensorView& k, const TensorView& v, std::span<const AttentionSegment> segments, float scale,
                      const TensorView& o, const TensorView& lse) {
  const Workspace::Scope scope(exec.scratch);
  const int64_t thread_bytes = thread_bytes_of(kernels, shape);
  auto* partials = static_cast<float*>(exec.scratch.bytes(row_capacity(shape) * partial_floats(shape) * 4));
  auto* thread_scratch = static_cast<std::byte*>(exec.scratch.bytes(thread_bytes * shape.threads));
  const DecodePass pass{kernels, shape, q, k, v, o, lse, scale, partials, thread_scratch, thread_bytes};
  std::vector<DecodeItem> items;
  int64_t offset = 0;
  for (const auto& s : segments) {
    const int64_t rows = ranges_of(s) * queries_of(s) * shape.heads;
    if (offset + rows > row_capacity(shape)) {
      decode_batch(exec, pass, items);
      items.clear();
      offset = 0;
    }
    for (int64_t first = 0; first < s.k_end - s.k_begin; first += kRange)
      items.push_back({s, first, std::min(kRange, s.k_end - s.k_begin - first), offset});
    offset += rows;
  }
  decode_batch(exec, pass, items);
}

}  // namespace tenfold::cpu
