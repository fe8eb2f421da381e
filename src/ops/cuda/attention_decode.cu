// Attention of few queries over many keys: bound by reading the cache. A block reads one range of keys of one kv head for up to R
// rows (a row is a query in one head of the group), so that the heads of a group share each key; a second kernel joins the
// ranges.
//
// L lanes have one key, 8 elements each; a warp has 32 / L keys at a time ("slots") and takes kUnroll of them in one go. The R x
// kUnroll dot products of a slot are summed over its lanes by halving: each step hands half of the values to the other half of
// the lanes, so that in the end a lane has M / L finished scores of one row, and keeps the running maximum and sum of that row
// for its slot.
#include "core/checked.h"
#include "device/cuda/context.h"
#include "ops/cuda/attention_bodies.h"
#include "ops/cuda/attention_rows.cuh"
#include "ops/cuda/bodies.h"
#include "ops/cuda/overlap.cuh"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tenfold::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kJoinThreads = 1024;
constexpr int kUnroll = 4;
constexpr unsigned kAllLanes = 0xffffffffU;
constexpr float kLog2E = 1.4426950408889634F;
constexpr float kLn2 = 0.6931471805599453F;

constexpr int64_t kLeastRange = 128;  // keys of a block
constexpr int64_t kMostBlocks = 396;  // ranges of all kv heads: one wave on 132 multiprocessors, three blocks on each
constexpr int64_t kRangeMultiple = 32;
constexpr int64_t kBatchQueries = 64;  // queries whose partial results are held at once, beyond one segment's
constexpr int kPrefetchedKeys = 64;    // of a range, brought to L2 while the kernel before still runs

/// At most this many ranges of a segment of `keys` keys: a function of the sizes alone, so that results are.
__host__ __device__ constexpr int64_t most_splits(int64_t keys, int64_t kv_heads) {
  const int64_t wanted = ceil_div(keys, kLeastRange);
  const int64_t most = kv_heads < kMostBlocks ? kMostBlocks / kv_heads : 1;
  return wanted < most ? wanted : most;
}

__host__ __device__ constexpr int64_t range_of(int64_t keys, int64_t kv_heads) {
  const int64_t even = round_up(ceil_div(keys, most_splits(keys, kv_heads)), kRangeMultiple);
  return even < kLeastRange ? kLeastRange : even;
}

/// One segment in work.
struct DecodeItem {
  int64_t query;    ///< first row of q
  int64_t key;      ///< first row of k
  int64_t keys;     ///< of the segment
  int64_t range;    ///< keys of a block
  int64_t partial;  ///< first partial row: [splits][kv head][query][head of the group]
  int queries;
  int splits;
};

/// One item goes with the kernel's arguments, several lie in device memory. Of a token whose place lies in device memory `only`
/// lacks what follows from the place.
struct DecodeItems {
  DecodeItem only{};
  const DecodeItem* all = nullptr;
  const ops::DecodePlace* place = nullptr;

  /// What the kernels before have nothing to do with: their place is written before the first of them begins.
  __device__ bool known_before() const { return place != nullptr; }
  __device__ DecodeItem at(unsigned i, int kv_heads) const {
    if (place == nullptr) return all == nullptr ? only : all[i];
    DecodeItem item = only;
    item.keys = __ldcg(&place->position) + 1;
    item.range = range_of(item.keys, kv_heads);
    item.splits = static_cast<int>(ceil_div(item.keys, item.range));
    return item;
  }
};

template <typename T>
struct DecodeArgs {
  HeadRows<const T> q, k, v;
  DecodeItems items;
  float* values;  ///< (partial rows, head_dim): sum of 2^(score - maximum) v
  float2* stats;  ///< (partial rows): the maximum and the sum of 2^(score - maximum), scores in units of log 2
  int kv_heads;
  int group;
  int head_dim;
  float scale;  ///< with log2(e)
};

/// The 8 elements of a row at p, as far as it has `left`. kWhole: rows are whole, aligned chunks.
template <bool kWhole, typename T>
__device__ Chunk<T, 8> read_eight(const T* p, int left) {
  if constexpr (!kWhole) return read_chunk<8>(p, left, false);
  return left > 0 ? *reinterpret_cast<const Chunk<T, 8>*>(p) : Chunk<T, 8>{};
}

/// Sums M values over L lanes; lane l is left with those of index l M / L and on, in values[0 ...]. `Left` values at a distance
/// of `Step` lanes are still to do.
template <int M, int Left, int Step>
__device__ void sum_by_halves(float (&values)[M], int lane) {
  if constexpr (Step > 0 && Left > 1) {
    constexpr int kHalf = Left / 2;
    const bool upper = (lane & Step) != 0;
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const float mine = upper ? values[i + kHalf] : values[i];
      const float other = upper ? values[i] : values[i + kHalf];
      values[i] = mine + __shfl_xor_sync(kAllLanes, other, Step);
    }
    sum_by_halves<M, kHalf, Step / 2>(values, lane);
  } else if constexpr (Step > 0) {
    values[0] += __shfl_xor_sync(kAllLanes, values[0], Step);
    sum_by_halves<M, 1, Step / 2>(values, lane);
  }
}

template <int L, int M>
__device__ void sum_over_lanes(float (&values)[M], int lane) {
  sum_by_halves<M, M, L / 2>(values, lane);
}

/// 2^(x - top), where nothing seen yet (-inf - -inf) counts as 0.
__device__ float relative(float x, float top) { return exp2f(x - (top == -INFINITY ? 0.0F : top)); }

/// What a slot knows of the keys that it has seen.
template <int R>
struct SlotState {
  float top = -INFINITY;  ///< of this lane's row
  float sum = 0.0F;       ///< of the scores that this lane finished
  float values[R][8] = {};
};

template <int L, int R>
struct Lanes {
  static constexpr int kValues = R * kUnroll;                    // M
  static constexpr int kOwn = kValues > L ? kValues / L : 1;     // finished scores of a lane
  static constexpr int kCopies = L > kValues ? L / kValues : 1;  // lanes with the same finished score
  static constexpr int kOfRow = L / R;                           // lanes of a slot that share a row
  static constexpr int kSlots = 32 / L;
  static_assert(kOwn <= kUnroll && kOfRow >= 1);
};

/// Scores -> weights of this lane; returns the factor for what was summed before (of this lane's row).
template <int L, int R>
__device__ float take_scores(float (&scores)[R * kUnroll], int first_key, int visible, int lane, SlotState<R>& state) {
  using S = Lanes<L, R>;
  const int index = lane % L * S::kValues / L;
  float top = state.top;
#pragma unroll
  for (int i = 0; i < S::kOwn; ++i) {
    const int key = first_key + (index + i) % kUnroll * S::kSlots;
    scores[i] = key < visible ? scores[i] : -INFINITY;
    top = fmaxf(top, scores[i]);
  }
#pragma unroll
  for (int step = S::kOfRow / 2; step > 0; step /= 2) top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, step));
  const float factor = relative(state.top, top);
  float sum = 0.0F;
#pragma unroll
  for (int i = 0; i < S::kOwn; ++i) {
    scores[i] = relative(scores[i], top);
    sum += scores[i];
  }
  state.sum = fmaf(state.sum, factor, sum);
  state.top = top;
  return factor;
}

/// Reads what is this warp's of `keys` keys, the first of which lies at k and v (the elements of this lane). Of this lane's row,
/// the first `visible` count.
template <typename T, int L, int R, bool kWhole>
__device__ void read_range(const T* k, int64_t k_row, const T* v, int64_t v_row, int keys, int visible, int elements,
                           const float (&q)[R][8], SlotState<R>& state) {
  using S = Lanes<L, R>;
  constexpr int kStep = S::kSlots * kUnroll;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int group_lane = lane / L * L;
  int key = static_cast<int>(threadIdx.x) / 32 * kStep + lane / L;
  k += key * k_row;
  v += key * v_row;
  for (; key - lane / L < keys; key += kWarps * kStep, k += kWarps * kStep * k_row, v += kWarps * kStep * v_row) {
    Chunk<T, 8> k_chunk[kUnroll];
    Chunk<T, 8> v_chunk[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
      k_chunk[u] = read_eight<kWhole>(k + u * S::kSlots * k_row, key + u * S::kSlots < keys ? elements : 0);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
      v_chunk[u] = read_eight<kWhole>(v + u * S::kSlots * v_row, key + u * S::kSlots < keys ? elements : 0);
    float scores[S::kValues];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
#pragma unroll
      for (int r = 0; r < R; ++r) {
        float dot = 0.0F;
#pragma unroll
        for (int i = 0; i < 8; ++i) dot = fmaf(q[r][i], k_chunk[u][i], dot);
        scores[r * kUnroll + u] = dot;
      }
    sum_over_lanes<L>(scores, lane);
    const float before = state.top;
    const float factor = take_scores<L, R>(scores, key, visible, lane, state);
    if (__any_sync(kAllLanes, state.top != before)) {
#pragma unroll
      for (int r = 0; r < R; ++r) {
        const float f = __shfl_sync(kAllLanes, factor, group_lane + r * S::kOfRow);
#pragma unroll
        for (int i = 0; i < 8; ++i) state.values[r][i] *= f;
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
#pragma unroll
      for (int r = 0; r < R; ++r) {
        constexpr int kOwn = S::kOwn;
        const int index = r * kUnroll + u;
        const float p = __shfl_sync(kAllLanes, scores[index % kOwn], group_lane + index / kOwn * S::kCopies);
#pragma unroll
        for (int i = 0; i < 8; ++i) state.values[r][i] = fmaf(p, v_chunk[u][i], state.values[r][i]);
      }
  }
}

/// The slots of a warp become one, in the lanes of the first.
template <int L, int R>
__device__ void join_slots(SlotState<R>& state) {
  using S = Lanes<L, R>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (lane % S::kCopies != 0) state.sum = 0.0F;
#pragma unroll
  for (int step = S::kOfRow / 2; step > 0; step /= 2) state.sum += __shfl_xor_sync(kAllLanes, state.sum, step);
  float top = state.top;
#pragma unroll
  for (int step = L; step < 32; step *= 2) top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, step));
  const float factor = relative(state.top, top);
  state.sum *= factor;
  state.top = top;
#pragma unroll
  for (int step = L; step < 32; step *= 2) state.sum += __shfl_xor_sync(kAllLanes, state.sum, step);
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const float f = __shfl_sync(kAllLanes, factor, lane / L * L + r * S::kOfRow);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      state.values[r][i] *= f;
#pragma unroll
      for (int step = L; step < 32; step *= 2) state.values[r][i] += __shfl_xor_sync(kAllLanes, state.values[r][i], step);
    }
  }
}

/// The first keys of a range on their way to L2. One that is still being written is found there all the same.
template <typename T>
__device__ void prefetch_keys(const HeadRows<const T>& t, int64_t first, int kv_head, int keys, int head_dim) {
  constexpr int kLine = 128 / static_cast<int>(sizeof(T));
  const int lines = (head_dim + kLine - 1) / kLine;
  for (int i = static_cast<int>(threadIdx.x); i < min(keys, kPrefetchedKeys) * lines; i += kThreads)
    asm volatile("prefetch.global.L2 [%0];" ::"l"(t.at(first + i / lines, kv_head) + i % lines * kLine));
}

template <typename T, int L, int R, bool kWhole>
__global__ void __launch_bounds__(kThreads, R <= 4 ? 3 : 2) range_kernel(DecodeArgs<T> args) {
  using S = Lanes<L, R>;
  __shared__ float values[kWarps][R][L * 8];
  __shared__ float tops[kWarps][R];
  __shared__ float sums[kWarps][R];
  let_next_begin();
  if (!args.items.known_before()) wait_for_previous();
  const DecodeItem item = args.items.at(blockIdx.y, args.kv_heads);
  const int rows = item.queries * args.group;
  const int batches = (rows + R - 1) / R;
  const int batch = static_cast<int>(blockIdx.x) % batches;
  const int kv_head = static_cast<int>(blockIdx.x) / batches % args.kv_heads;
  const int split = static_cast<int>(blockIdx.x) / batches / args.kv_heads;
  if (split >= item.splits) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int e = lane % L * 8;
  const int64_t first = split * item.range;
  const auto keys = static_cast<int>(min(item.range, item.keys - first));
  if (args.items.known_before()) {
    prefetch_keys(args.k, item.key + first, kv_head, keys, args.head_dim);
    prefetch_keys(args.v, item.key + first, kv_head, keys, args.head_dim);
    wait_for_previous();
  }
  float q[R][8];
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const int row = batch * R + r;
    const T* from = args.q.at(item.query + row / args.group, kv_head * args.group + row % args.group) + e;
    const Chunk<T, 8> chunk = read_eight<kWhole>(from, row < rows ? args.head_dim - e : 0);
#pragma unroll
    for (int i = 0; i < 8; ++i) q[r][i] = chunk[i] * args.scale;
  }
  const int own_row = batch * R + lane % L / S::kOfRow;
  const int64_t visible = item.keys - item.queries + 1 + own_row / args.group - first;
  SlotState<R> state;
  read_range<T, L, R, kWhole>(args.k.at(item.key + first, kv_head) + e, args.k.row, args.v.at(item.key + first, kv_head) + e,
                              args.v.row, keys, static_cast<int>(max(min(visible, int64_t{keys}), int64_t{0})), args.head_dim - e,
                              q, state);
  join_slots<L, R>(state);
  if (lane < L) {
#pragma unroll
    for (int r = 0; r < R; ++r)
#pragma unroll
      for (int i = 0; i < 8; ++i) values[warp][r][e + i] = state.values[r][i];
    if (lane % S::kOfRow == 0) {
      tops[warp][lane / S::kOfRow] = state.top;
      sums[warp][lane / S::kOfRow] = state.sum;
    }
  }
  __syncthreads();
  const int64_t partial = item.partial + (static_cast<int64_t>(split) * args.kv_heads + kv_head) * rows + batch * R;
  for (int at = static_cast<int>(threadIdx.x); at < R * L * 8; at += kThreads) {
    const int r = at / (L * 8);
    const int col = at % (L * 8);
    if (batch * R + r >= rows || col >= args.head_dim) continue;
    float top = tops[0][r];
    for (int w = 1; w < kWarps; ++w) top = fmaxf(top, tops[w][r]);
    float value = 0.0F;
    float sum = 0.0F;
    for (int w = 0; w < kWarps; ++w) {
      const float factor = relative(tops[w][r], top);
      value = fmaf(factor, values[w][r][col], value);
      sum = fmaf(factor, sums[w][r], sum);
    }
    args.values[(partial + r) * args.head_dim + col] = value;
    if (col == 0) args.stats[partial + r] = {top, sum};
  }
}

template <typename T>
struct JoinArgs {
  DecodeItems items;
  const float* values;
  const float2* stats;
  HeadRows<T> o;
  float* lse;  ///< (H, lse_stride), or null
  int64_t lse_stride;
  int heads;
  int kv_heads;
  int group;
  int head_dim;
};

/// One row: o = sum of the ranges' values, each brought to the common maximum, over the sum of their denominators. Threads are
/// columns, several times over: each set of columns takes every n-th range.
template <typename T>
__global__ void __launch_bounds__(kJoinThreads) join_kernel(JoinArgs<T> args) {
  __shared__ float parts[kJoinThreads];
  let_next_begin();
  wait_for_previous();
  const DecodeItem item = args.items.at(blockIdx.y, args.kv_heads);
  const int64_t rows = static_cast<int64_t>(item.queries) * args.heads;  // of one split
  const int64_t row = blockIdx.x;
  if (row >= rows) return;
  const float2* stats = args.stats + item.partial + row;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float top = -INFINITY;
  for (int s = lane; s < item.splits; s += 32) top = fmaxf(top, stats[s * rows].x);
  for (int step = 16; step > 0; step /= 2) top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, step));
  float sum = 0.0F;
  for (int s = lane; s < item.splits; s += 32) sum = fmaf(relative(stats[s * rows].x, top), stats[s * rows].y, sum);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);

  const int columns = (args.head_dim + 31) / 32 * 32;
  const int sets = kJoinThreads / columns;
  const int col = static_cast<int>(threadIdx.x) % columns;
  const int set = static_cast<int>(threadIdx.x) / columns;
  float value = 0.0F;
  if (set < sets && col < args.head_dim) {
    const float* from = args.values + (item.partial + row) * args.head_dim + col;
#pragma unroll 8
    for (int s = set; s < item.splits; s += sets)
      value = fmaf(relative(stats[s * rows].x, top), from[s * rows * args.head_dim], value);
  }
  parts[threadIdx.x] = value;
  __syncthreads();
  if (set > 0 || col >= args.head_dim) return;
  for (int s = 1; s < sets; ++s) value += parts[s * columns + col];
  const int64_t of_kv_head = static_cast<int64_t>(item.queries) * args.group;
  const int64_t query = item.query + row % of_kv_head / args.group;
  const int64_t head = row / of_kv_head * args.group + row % args.group;
  args.o.at(query, head)[col] = narrow<T>(value / sum);
  if (args.lse != nullptr && col == 0) args.lse[head * args.lse_stride + query] = fmaf(top, kLn2, logf(sum));
}

// ---- host ----

/// Partial rows that are held at once.
int64_t row_capacity(int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads) {
  const int64_t one = std::min(tokens, kDecodeQueries) * most_splits(keys, kv_heads);
  return heads * (one + std::min(tokens, kBatchQueries));
}

struct Partials {
  TensorView values;
  TensorView stats;

  Partials(Workspace& ws, int64_t rows, int64_t head_dim)
      : values(ws.tensor("decode values", DType::kF32, {rows, head_dim})),
        stats(ws.tensor("decode sums", DType::kF32, {rows, 2})) {}
};

struct DecodeCall {
  Context& context;
  const TensorView& q;
  const TensorView& k;
  const TensorView& v;
  const TensorView& o;
  const TensorView& lse;
  float scale;
  const Partials& partials;

  int64_t heads() const { return q.dim(1); }
  int64_t kv_heads() const { return k.dim(1); }
  int64_t group() const { return heads() / kv_heads(); }
  int64_t head_dim() const { return q.dim(2); }
};

template <int N>
using Constant = std::integral_constant<int, N>;

/// body(L, R, whole) for a head dim and the rows that share a key; any L that holds the head will do where rows are not aligned.
template <typename Body>
void with_lanes(int64_t head_dim, int64_t rows, bool whole, const Body& body) {
  if (!whole) return body(Constant<32>{}, Constant<4>{}, std::false_type{});
  if (head_dim > 128) return body(Constant<32>{}, Constant<4>{}, std::true_type{});
  if (head_dim > 64)
    return rows > 4 ? body(Constant<16>{}, Constant<8>{}, std::true_type{})
                    : body(Constant<16>{}, Constant<4>{}, std::true_type{});
  return rows > 4 ? body(Constant<8>{}, Constant<8>{}, std::true_type{}) : body(Constant<8>{}, Constant<4>{}, std::true_type{});
}

/// The two kernels for items of at most so many rows that share a kv head, and so many ranges.
template <typename T>
void run_items(const DecodeCall& call, const DecodeItems& items, int64_t count, int64_t rows, int64_t splits) {
  auto* values = call.partials.values.ptr<float>();
  auto* stats = reinterpret_cast<float2*>(call.partials.stats.ptr<float>());
  const auto y = static_cast<unsigned>(count);
  const DecodeArgs<T> args{reads<T>(call.q),
                           reads<T>(call.k),
                           reads<T>(call.v),
                           items,
                           values,
                           stats,
                           static_cast<int>(call.kv_heads()),
                           static_cast<int>(call.group()),
                           static_cast<int>(call.head_dim()),
                           call.scale * kLog2E};
  const bool whole = args.q.vectors && args.k.vectors && args.v.vectors && call.head_dim() % 8 == 0;
  with_lanes(call.head_dim(), rows, whole, [&](auto lanes, auto at_once, auto chunks) {
    constexpr int L = decltype(lanes)::value;
    constexpr int R = decltype(at_once)::value;
    const dim3 grid(static_cast<unsigned>(splits * call.kv_heads() * ceil_div(rows, R)), y);
    launch_overlapped(call.context, range_kernel<T, L, R, decltype(chunks)::value>, grid, kThreads, args);
  });
  const JoinArgs<T> join{items,
                         values,
                         stats,
                         writes<T>(call.o),
                         static_cast<float*>(call.lse.data),
                         call.lse.empty() ? 0 : call.lse.stride(0),
                         static_cast<int>(call.heads()),
                         static_cast<int>(call.kv_heads()),
                         static_cast<int>(call.group()),
                         static_cast<int>(call.head_dim())};
  const dim3 grid(static_cast<unsigned>(rows * call.kv_heads()), y);
  launch_overlapped(call.context, join_kernel<T>, grid, kJoinThreads, join);
}

template <typename T>
void decode_batch(const DecodeCall& call, const std::vector<DecodeItem>& items) {
  int64_t rows = 0;  // that share a kv head
  int64_t splits = 0;
  for (const auto& item : items) {
    rows = std::max(rows, item.queries * call.group());
    splits = std::max<int64_t>(splits, item.splits);
  }
  DecodeItems all{.only = items.front(), .all = nullptr, .place = nullptr};
  if (items.size() > 1) all.all = call.context.upload(std::span(items));
  run_items<T>(call, all, static_cast<int64_t>(items.size()), rows, splits);
}

}  // namespace

void attention_decode(Exec& exec, const TensorView& q, const TensorView& k, const TensorView& v,
                      std::span<const AttentionSegment> segments, float scale, const TensorView& o, const TensorView& lse) {
  const Workspace::Scope scope(exec.scratch);
  const int64_t heads = q.dim(1);
  const int64_t kv_heads = k.dim(1);
  const int64_t capacity = row_capacity(q.dim(0), k.dim(0), heads, kv_heads);
  const Partials partials(exec.scratch, capacity, q.dim(2));
  const DecodeCall call{context_of(exec), q, k, v, o, lse, scale, partials};
  std::vector<DecodeItem> items;
  int64_t used = 0;
  const auto run = [&] {
    if (!items.empty()) with_float(q.dtype, [&](auto type) { decode_batch<typename decltype(type)::type>(call, items); });
    items.clear();
    used = 0;
  };
  for (const auto& s : segments) {
    const int64_t range = range_of(keys_of(s), kv_heads);
    const int64_t splits = ceil_div(keys_of(s), range);
    const int64_t rows = splits * queries_of(s) * heads;
    if (used + rows > capacity || items.size() == 65535) run();
    items.push_back({s.q_begin, s.k_begin, keys_of(s), range, used, static_cast<int>(queries_of(s)), static_cast<int>(splits)});
    used += rows;
  }
  run();
}

void decode_attention(Exec& exec, const TensorView& place, const TensorView& q, const TensorView& keys, const TensorView& values,
                      float scale, const TensorView& o) {
  const Workspace::Scope scope(exec.scratch);
  const int64_t heads = q.dim(1);
  const int64_t kv_heads = keys.dim(1);
  const Partials partials(exec.scratch, row_capacity(1, keys.dim(0), heads, kv_heads), q.dim(2));
  const TensorView no_lse;
  const DecodeCall call{context_of(exec), q, keys, values, o, no_lse, scale, partials};
  DecodeItems items;
  items.only.queries = 1;
  items.place = static_cast<const ops::DecodePlace*>(place.data);
  with_float(q.dtype, [&](auto type) {
    run_items<typename decltype(type)::type>(call, items, 1, heads / kv_heads, most_splits(keys.dim(0), kv_heads));
  });
}

int64_t attention_decode_scratch_bytes(int64_t tokens, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim) {
  if (head_dim > kDecodeHeadDim) return 0;
  Workspace measure;
  const Partials partials(measure, row_capacity(tokens, keys, heads, kv_heads), head_dim);
  return measure.high_water();
}

}  // namespace tenfold::cuda
