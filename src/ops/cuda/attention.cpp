// Which body attends a segment: split keys for a few queries, cuDNN for what it does fastest, the generic tiles for the rest.
#include "core/checked.h"
#include "device/cuda/context.h"
#include "ops/cuda/attention_bodies.h"
#include "ops/cuda/attention_cudnn.h"
#include "ops/cuda/bodies.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

namespace tenfold::cuda {
namespace {

constexpr int64_t kBlock = 128;                      // queries and keys come in multiples of it for cuDNN
constexpr int64_t kGroupBytes = int64_t{576} << 20;  // of cuDNN's backward: above it, a few kv heads at a time
constexpr int64_t kLeastBytes = int64_t{4} << 20;    // planned for its forward, which may ask more of a shorter run
constexpr int64_t kAlignment = 256;                  // of its workspace, as cudaMalloc gives
// Of a tensor in one call of cuDNN: beyond, its backward finds rows of o and d_o, and puts those of d_q, at offsets of 32 bits
// (GpuAttentionLarge.PastTwoToThe31Elements, cuDNN 9.14). Its forward does not.
constexpr int64_t kMostElements = int64_t{1} << 31;

struct Heads {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
};

bool takes_cudnn(const Heads& h, DType dtype) { return dtype == DType::kBF16 && (h.head_dim == 64 || h.head_dim == 128); }

bool whole_blocks(const AttentionSegment& s) {
  return queries_of(s) > 0 && queries_of(s) % kBlock == 0 && keys_of(s) % kBlock == 0;
}

/// 16-byte aligned rows and heads.
bool aligned(const TensorView& t) {
  const auto fits = [](int64_t stride) { return stride * size_of(DType::kBF16) % 16 == 0; };
  return t.dtype == DType::kBF16 && reinterpret_cast<uintptr_t>(t.data) % 16 == 0 && fits(t.stride(0)) && fits(t.stride(1));
}

bool all_aligned(std::initializer_list<const TensorView*> tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const TensorView* t) { return aligned(*t); });
}

/// What cuDNN's backward asks for: d_q in f32, d_k and d_v of every query head, the sums of d_o o.
int64_t backward_bytes(int64_t queries, int64_t keys, int64_t heads, int64_t head_dim) {
  return heads * (queries * (4 * head_dim + 4) + keys * 4 * head_dim);
}

/// Kv heads of one call of cuDNN: a function of the sizes alone. Few heads at a time bound the workspace, and are no slower where
/// there are many keys (performance.md, 9.4).
int64_t kv_heads_at_once(bool backward, int64_t queries, int64_t keys, const Heads& h) {
  if (!backward) return queries * h.heads * h.head_dim < kMostElements ? h.kv_heads : 1;
  int64_t at_once = h.kv_heads;
  while (at_once > 1 &&
         (h.kv_heads % at_once != 0 || backward_bytes(queries, keys, h.heads / h.kv_heads * at_once, h.head_dim) > kGroupBytes))
    --at_once;
  return at_once;
}

SdpaTensor part_of(const TensorView& t, int64_t row, int64_t head) {
  if (t.empty()) return {};
  return {static_cast<std::byte*>(t.data) + (row * t.stride(0) + head * t.stride(1)) * size_of(t.dtype), t.stride(0),
          t.stride(1)};
}

/// The tensors of a call, forward or backward.
struct Operands {
  const TensorView& q;
  const TensorView& k;
  const TensorView& v;
  const TensorView& o;
  const TensorView& lse;
  float scale;
  TensorView d_o;
  ops::AttentionGrads grads;

  Heads heads() const { return {q.dim(1), k.dim(1), q.dim(2)}; }
  bool backward() const { return !d_o.empty(); }
  /// Heads without gaps, as packing them copies whole rows.
  bool side_by_side() const {
    const auto dense = [](const TensorView& x) { return x.stride(1) == x.dim(2); };
    return dense(q) && dense(k) && dense(v) && dense(o) && dense(d_o) && dense(grads.d_q) && dense(grads.d_k) && dense(grads.d_v);
  }
  bool suits_cudnn() const {
    return takes_cudnn(heads(), q.dtype) && all_aligned({&q, &k, &v, &o}) &&
           (!backward() || (all_aligned({&d_o, &grads.d_q, &grads.d_k, &grads.d_v}) && side_by_side()));
  }
};

/// A segment's call for the kv heads from `first` on; lse (heads, queries) is contiguous.
Sdpa call_of(const Operands& t, const AttentionSegment& s, int64_t first, int64_t at_once, float* lse) {
  const Heads h = t.heads();
  const int64_t group = h.heads / h.kv_heads;
  Sdpa c;
  c.backward = t.backward();
  c.queries = queries_of(s);
  c.keys = keys_of(s);
  c.heads = at_once * group;
  c.kv_heads = at_once;
  c.head_dim = h.head_dim;
  c.scale = t.scale;
  c.with_lse = lse != nullptr;
  c.q = part_of(t.q, s.q_begin, first * group);
  c.k = part_of(t.k, s.k_begin, first);
  c.v = part_of(t.v, s.k_begin, first);
  c.o = part_of(t.o, s.q_begin, first * group);
  c.d_o = part_of(t.d_o, s.q_begin, first * group);
  c.d_q = part_of(t.grads.d_q, s.q_begin, first * group);
  c.d_k = part_of(t.grads.d_k, s.k_begin, first);
  c.d_v = part_of(t.grads.d_v, s.k_begin, first);
  if (lse != nullptr) c.lse = lse + first * group * c.queries;
  return c;
}

void copy_columns(Context& context, void* to, int64_t to_stride, const void* from, int64_t from_stride, int64_t cols,
                  int64_t rows, DType dtype) {
  const auto bytes = [dtype](int64_t n) { return static_cast<size_t>(n * size_of(dtype)); };
  TENFOLD_CUDA(cudaMemcpy2DAsync(to, bytes(std::max(to_stride, cols)), from, bytes(std::max(from_stride, cols)), bytes(cols),
                                 static_cast<size_t>(rows), cudaMemcpyDefault, context.stream()));
}

/// Whether the backward of so many rows takes its heads packed side by side.
bool packs(bool backward, int64_t rows, int64_t row_elements) { return backward && rows * row_elements >= kMostElements; }

/// Elements from row to row, the most of these.
int64_t longest_row(std::initializer_list<const TensorView*> tensors) {
  int64_t longest = 0;
  for (const TensorView* t : tensors)
    if (!t->empty()) longest = std::max(longest, t->stride(0));
  return longest;
}

/// The heads of one call, packed: copies of what cuDNN reads, room for what it writes.
class PackedHeads {
 public:
  /// Four tensors of as many heads and rows.
  PackedHeads(Workspace& scratch, int64_t rows, int64_t heads, int64_t head_dim) : rows_(rows), width_(heads * head_dim) {
    for (auto& room : rooms_) room = scratch.tensor("packed heads", DType::kBF16, {rows, width_});
  }
  /// Copies `from` into room i, whose address and strides replace it.
  void take(Context& context, size_t i, SdpaTensor& from, int64_t head_dim) {
    copy_columns(context, rooms_[i].data, width_, from.data, from.row, width_, rows_, DType::kBF16);
    from = {rooms_[i].data, width_, head_dim};
  }
  /// Room i stands for `to` until give() copies it there.
  SdpaTensor lend(size_t i, int64_t head_dim) const { return {rooms_[i].data, width_, head_dim}; }
  void give(Context& context, size_t i, const SdpaTensor& to) const {
    copy_columns(context, to.data, to.row, rooms_[i].data, width_, width_, rows_, DType::kBF16);
  }

 private:
  int64_t rows_;
  int64_t width_;
  std::array<TensorView, 4> rooms_;
};

int64_t packed_bytes(int64_t rows, int64_t heads, int64_t head_dim) {
  return 4 * workspace_bytes(DType::kBF16, {rows, heads * head_dim});
}

/// The call as cuDNN will see it with its heads packed: what a plan is made for.
Sdpa with_packed_strides(Sdpa call, bool queries, bool keys) {
  const auto pack = [&](std::initializer_list<SdpaTensor*> tensors, int64_t heads) {
    for (SdpaTensor* t : tensors) t->row = heads * call.head_dim, t->head = call.head_dim;
  };
  if (queries) pack({&call.q, &call.o, &call.d_o, &call.d_q}, call.heads);
  if (keys) pack({&call.k, &call.v, &call.d_k, &call.d_v}, call.kv_heads);
  return call;
}

/// sdpa_run over tensors too large for one call's offsets: q, o, d_o and d_q of the call's heads packed; k, v, d_k, d_v, too,
/// where those are as large.
void run_packed(Exec& exec, Sdpa call, void* workspace, bool queries, bool keys) {
  Context& context = context_of(exec);
  const Workspace::Scope scope(exec.scratch);
  std::optional<PackedHeads> of_queries;
  std::optional<PackedHeads> of_keys;
  const SdpaTensor d_q = call.d_q;
  const SdpaTensor d_k = call.d_k;
  const SdpaTensor d_v = call.d_v;
  if (queries) {
    of_queries.emplace(exec.scratch, call.queries, call.heads, call.head_dim);
    of_queries->take(context, 0, call.q, call.head_dim);
    of_queries->take(context, 1, call.o, call.head_dim);
    of_queries->take(context, 2, call.d_o, call.head_dim);
    call.d_q = of_queries->lend(3, call.head_dim);
  }
  if (keys) {
    of_keys.emplace(exec.scratch, call.keys, call.kv_heads, call.head_dim);
    of_keys->take(context, 0, call.k, call.head_dim);
    of_keys->take(context, 1, call.v, call.head_dim);
    call.d_k = of_keys->lend(2, call.head_dim);
    call.d_v = of_keys->lend(3, call.head_dim);
  }
  sdpa_run(context, call, workspace);
  if (queries) of_queries->give(context, 3, d_q);
  if (keys) {
    of_keys->give(context, 2, d_k);
    of_keys->give(context, 3, d_v);
  }
}

void* take_workspace(Workspace& scratch, int64_t bytes) {
  const auto address = reinterpret_cast<uintptr_t>(scratch.bytes(bytes + kAlignment));
  return reinterpret_cast<void*>(round_up(static_cast<int64_t>(address), kAlignment));
}

/// False where cuDNN refuses the segment.
bool run_cudnn(Exec& exec, const Operands& t, const AttentionSegment& s) {
  Context& context = context_of(exec);
  const Workspace::Scope scope(exec.scratch);
  const Heads h = t.heads();
  const int64_t queries = queries_of(s);
  const int64_t at_once = kv_heads_at_once(t.backward(), queries, keys_of(s), h);
  const bool with_lse = !t.lse.empty();
  // cuDNN reads and writes (heads, queries) without gaps; a segment of several is a range of columns.
  const bool copies = with_lse && h.heads > 1 && t.lse.stride(0) != queries;
  float* const whole = with_lse ? t.lse.ptr<float>() + s.q_begin : nullptr;
  float* const lse = copies ? exec.scratch.tensor("segment lse", DType::kF32, {h.heads, queries}).ptr<float>() : whole;
  const bool packs_queries = packs(t.backward(), queries, longest_row({&t.q, &t.o, &t.d_o, &t.grads.d_q}));
  const bool packs_keys = packs(t.backward(), keys_of(s), longest_row({&t.k, &t.v, &t.grads.d_k, &t.grads.d_v}));
  const SdpaPlan& plan = sdpa_plan(context, with_packed_strides(call_of(t, s, 0, at_once, lse), packs_queries, packs_keys));
  if (!plan.refusal.empty()) return false;
  void* const workspace = take_workspace(exec.scratch, plan.workspace);
  if (copies && t.backward()) copy_columns(context, lse, queries, whole, t.lse.stride(0), queries, h.heads, DType::kF32);
  for (int64_t first = 0; first < h.kv_heads; first += at_once) {
    const Sdpa call = call_of(t, s, first, at_once, lse);
    if (packs_queries || packs_keys) {
      run_packed(exec, call, workspace, packs_queries, packs_keys);
    } else {
      sdpa_run(context, call, workspace);
    }
  }
  if (copies && !t.backward()) copy_columns(context, whole, t.lse.stride(0), lse, queries, queries, h.heads, DType::kF32);
  return true;
}

bool covers_queries(std::span<const AttentionSegment> segments, int64_t tokens) {
  int64_t covered = 0;
  for (const auto& s : segments) covered += queries_of(s);
  return covered == tokens;
}

/// How segments that have queries share out the keys.
struct KeyCover {
  bool all = true;        ///< every key belongs to one
  bool overlaps = false;  ///< some key belongs to several

  KeyCover(std::span<const AttentionSegment> segments, int64_t keys) {
    std::vector<AttentionSegment> sorted;
    for (const auto& s : segments)
      if (queries_of(s) > 0) sorted.push_back(s);
    std::sort(sorted.begin(), sorted.end(),
              [](const AttentionSegment& a, const AttentionSegment& b) { return a.k_begin < b.k_begin; });
    int64_t done = 0;
    for (const auto& s : sorted) {
      all = all && s.k_begin <= done;
      overlaps = overlaps || s.k_begin < done;
      done = std::max(done, s.k_end);
    }
    all = all && done == keys;
  }
};

/// What a block of a model asks of cuDNN: contiguous tensors, whole blocks of queries and keys, kv heads as run_cudnn takes them.
Sdpa block_call(bool backward, bool with_lse, int64_t queries, int64_t keys, const Heads& h) {
  const int64_t at_once = kv_heads_at_once(backward, queries, keys, h);
  const SdpaTensor query_rows{nullptr, h.heads * h.head_dim, h.head_dim};
  const SdpaTensor key_rows{nullptr, h.kv_heads * h.head_dim, h.head_dim};
  Sdpa c;
  c.backward = backward;
  c.queries = queries;
  c.keys = keys;
  c.heads = at_once * (h.heads / h.kv_heads);
  c.kv_heads = at_once;
  c.head_dim = h.head_dim;
  c.scale = 1.0F / std::sqrt(static_cast<float>(h.head_dim));
  c.with_lse = with_lse;
  c.q = c.o = query_rows;
  c.k = c.v = key_rows;
  if (backward) {
    c.d_o = c.d_q = query_rows;
    c.d_k = c.d_v = key_rows;
  }
  return with_packed_strides(c, packs(backward, queries, query_rows.row), packs(backward, keys, key_rows.row));
}

int64_t asked_bytes(Context& context, const Sdpa& call) {
  const SdpaPlan& plan = sdpa_plan(context, call);
  return plan.refusal.empty() ? plan.workspace : 0;
}

/// Of the backward for at most so many tokens: shorter ones take more kv heads at once, so the longest of each number are asked
/// for.
int64_t backward_workspace(Context& context, int64_t queries, int64_t keys, const Heads& h) {
  const Sdpa longest = block_call(true, true, queries, keys, h);
  int64_t most = asked_bytes(context, longest);
  for (int64_t at_once = longest.kv_heads + 1; at_once <= h.kv_heads; ++at_once) {
    if (h.kv_heads % at_once != 0) continue;
    const int64_t blocks = kGroupBytes / backward_bytes(kBlock, kBlock, h.heads / h.kv_heads * at_once, h.head_dim);
    const int64_t tokens = std::min(blocks * kBlock, queries);
    if (tokens > 0) most = std::max(most, asked_bytes(context, block_call(true, true, tokens, tokens, h)));
  }
  return most;
}

}  // namespace

void attention_forward(Exec& exec, const TensorView& q, const TensorView& k, const TensorView& v,
                       std::span<const ops::AttentionSegment> segments, float scale, const TensorView& o, const TensorView& lse) {
  if (!covers_queries(segments, q.dim(0))) zero_heads(exec, o);
  const Operands operands{q, k, v, o, lse, scale, {}, {}};
  const bool fast = operands.suits_cudnn();
  std::vector<AttentionSegment> few;
  std::vector<AttentionSegment> rest;
  for (const auto& s : segments) {
    if (queries_of(s) == 0) continue;
    if (queries_of(s) <= kDecodeQueries && q.dim(2) <= kDecodeHeadDim)
      few.push_back(s);
    else if (!fast || !whole_blocks(s) || !run_cudnn(exec, operands, s))
      rest.push_back(s);
  }
  if (!few.empty()) attention_decode(exec, q, k, v, few, scale, o, lse);
  if (!rest.empty()) attention_generic_forward(exec, q, k, v, rest, scale, o, lse);
}

void attention_backward(Exec& exec, const TensorView& d_o, const TensorView& q, const TensorView& k, const TensorView& v,
                        const TensorView& o, const TensorView& lse, std::span<const ops::AttentionSegment> segments, float scale,
                        const ops::AttentionGrads& grads) {
  const KeyCover cover(segments, k.dim(0));
  if (!covers_queries(segments, q.dim(0))) zero_heads(exec, grads.d_q);
  if (!cover.all)
    for (const TensorView* t : {&grads.d_k, &grads.d_v}) zero_heads(exec, *t);
  const Operands operands{q, k, v, o, lse, scale, d_o, grads};
  // cuDNN's gradients replace what is there, so keys of several segments are summed by the generic body.
  const bool fast = !cover.overlaps && operands.suits_cudnn();
  std::vector<AttentionSegment> rest;
  for (const auto& s : segments)
    if (queries_of(s) > 0 && (!fast || !whole_blocks(s) || !run_cudnn(exec, operands, s))) rest.push_back(s);
  if (!rest.empty()) attention_generic_backward(exec, d_o, q, k, v, o, lse, rest, scale, grads);
}

int64_t attention_scratch_bytes(const Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                                bool training) {
  const int64_t slow = std::max(attention_generic_scratch_bytes(tokens, heads),
                                attention_decode_scratch_bytes(tokens, keys, heads, kv_heads, head_dim));
  const Heads h{heads, kv_heads, head_dim};
  const int64_t queries = tokens / kBlock * kBlock;
  const int64_t whole_keys = keys / kBlock * kBlock;
  if (!takes_cudnn(h, exec.compute) || queries == 0 || whole_keys < queries) return slow;
  Context& context = context_of(exec);
  int64_t workspace = std::max(kLeastBytes, asked_bytes(context, block_call(false, training, queries, whole_keys, h)));
  if (training) workspace = std::max(workspace, backward_workspace(context, queries, whole_keys, h));
  const Sdpa longest = block_call(training, true, queries, whole_keys, h);
  int64_t packed = 0;
  if (packs(training, queries, heads * head_dim)) packed += packed_bytes(queries, longest.heads, head_dim);
  if (packs(training, whole_keys, kv_heads * head_dim)) packed += packed_bytes(whole_keys, longest.kv_heads, head_dim);
  return std::max(slow,
                  workspace_bytes(DType::kF32, {heads, tokens}) + workspace_bytes(DType::kU8, {workspace + kAlignment}) + packed);
}

void attention_prepare(Exec& exec, int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                       bool training) {
  const Heads h{heads, kv_heads, head_dim};
  if (!takes_cudnn(h, exec.compute) || !whole_blocks({0, tokens, 0, keys})) return;
  Context& context = context_of(exec);
  sdpa_plan(context, block_call(false, training, tokens, keys, h));
  if (training) sdpa_plan(context, block_call(true, true, tokens, keys, h));
}

}  // namespace tenfold::cuda
