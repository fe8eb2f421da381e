// Attention for every case that cuDNN does not take: f32 sums of products in 64 x 64 tiles, 256 threads, a thread has 4 x 4 of a
// tile.
//
// All kernels share one scheme: c[m][n] = sum_e a[m][e] b[n][e] (scores, or d_o v^T), then a function of it goes to shared memory
// as weights[n][m], then out[m][e] += sum_n weights[n][m] x[n][e]. A block owns its outputs: nothing is added atomically. Head
// dims above 128 are cut into slices of the output, each of which makes the scores again.
#include "core/checked.h"
#include "device/cuda/context.h"
#include "ops/cuda/attention_bodies.h"
#include "ops/cuda/attention_rows.cuh"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tenfold::cuda {
namespace {

constexpr int kTile = 64;       // rows of a, rows of b, columns of an output at a time
constexpr int kThreads = 256;   // 16 x 16
constexpr int kDepth = 32;      // e at a time in the first product
constexpr int kPitch = 68;      // floats from one row of a tile to the next: 16-byte aligned, on other banks
constexpr int kMaxSlice = 128;  // columns of the output that a block accumulates

struct alignas(16) Tiles {
  float stage[kTile * kPitch];    // two transposed operands of kDepth e, or one operand of the second product
  float weights[kTile * kPitch];  // [n][m]
};
static_assert(2 * kDepth * kPitch == kTile * kPitch);

/// Rows of one head.
template <typename T>
struct Rows {
  const T* data;
  int64_t stride;
  int count;  ///< rows that exist, at most kTile; the others count as zeros
  bool vectors;

  __device__ Rows(const HeadRows<const T>& t, int64_t row, int64_t head, int64_t rows)
      : data(t.at(row, head)), stride(t.row), count(rows < kTile ? static_cast<int>(rows) : kTile), vectors(t.vectors) {}
};

__device__ int lane_m() { return static_cast<int>(threadIdx.x) / 16 * 4; }  // this thread's rows of c and of out
__device__ int lane_n() { return static_cast<int>(threadIdx.x) % 16 * 4; }  // its columns

/// to[e][row] = from[row][first + e]. A warp has 32 rows of the same 8 columns, so the stores meet no bank twice.
template <typename T>
__device__ void load_transposed(float* to, const Rows<T>& from, int first, int head_dim) {
  const int row = static_cast<int>(threadIdx.x) % kTile;
  const int e = static_cast<int>(threadIdx.x) / kTile * 8;
  const int left = row < from.count ? head_dim - first - e : 0;
  const Chunk<T, 8> chunk = read_chunk<8>(from.data + row * from.stride + first + e, left, from.vectors);
#pragma unroll
  for (int i = 0; i < 8; ++i) to[(e + i) * kPitch + row] = chunk[i];
}

/// to[row][e] = from[row][first + e], kTile columns.
template <typename T>
__device__ void load_straight(float* to, const Rows<T>& from, int first, int head_dim) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = half * 32 + static_cast<int>(threadIdx.x) / 8;
    const int e = static_cast<int>(threadIdx.x) % 8 * 8;
    const int left = row < from.count ? head_dim - first - e : 0;
    const Chunk<T, 8> chunk = read_chunk<8>(from.data + row * from.stride + first + e, left, from.vectors);
    float4* at = reinterpret_cast<float4*>(to + row * kPitch + e);
    at[0] = {chunk[0], chunk[1], chunk[2], chunk[3]};
    at[1] = {chunk[4], chunk[5], chunk[6], chunk[7]};
  }
}

/// sum += the outer product of four rows and four columns.
__device__ void add_outer(float (&sum)[4][4], const float4& a, const float4& b) {
  const float m[4] = {a.x, a.y, a.z, a.w};
  const float n[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) sum[i][j] = fmaf(m[i], n[j], sum[i][j]);
}

/// c[i][j] = a row (lane_m() + i) times b row (lane_n() + j), over e in order.
template <typename T>
__device__ void multiply(float (&c)[4][4], const Rows<T>& a, const Rows<T>& b, int head_dim, Tiles& tiles) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) c[i][j] = 0.0F;
  float* const a_tile = tiles.stage;
  float* const b_tile = tiles.stage + kDepth * kPitch;
  for (int first = 0; first < head_dim; first += kDepth) {
    __syncthreads();
    load_transposed(a_tile, a, first, head_dim);
    load_transposed(b_tile, b, first, head_dim);
    __syncthreads();
#pragma unroll 8
    for (int e = 0; e < kDepth; ++e)
      add_outer(c, *reinterpret_cast<const float4*>(a_tile + e * kPitch + lane_m()),
                *reinterpret_cast<const float4*>(b_tile + e * kPitch + lane_n()));
  }
}

/// tiles.weights[n][m] = c. Whoever still reads the old ones must have passed a barrier.
__device__ void put_weights(const float (&c)[4][4], Tiles& tiles) {
#pragma unroll
  for (int j = 0; j < 4; ++j)
    *reinterpret_cast<float4*>(tiles.weights + (lane_n() + j) * kPitch + lane_m()) = {c[0][j], c[1][j], c[2][j], c[3][j]};
}

/// out[g][i][j] += sum over n of weights[n][lane_m() + i] x[n][first + kTile g + lane_n() + j]. Begins with a barrier.
template <int G, typename T>
__device__ void accumulate(float (&out)[G][4][4], const Rows<T>& x, int first, int head_dim, Tiles& tiles) {
#pragma unroll
  for (int g = 0; g < G; ++g) {
    if (first + g * kTile >= head_dim) break;
    __syncthreads();
    load_straight(tiles.stage, x, first + g * kTile, head_dim);
    __syncthreads();
#pragma unroll 8
    for (int n = 0; n < kTile; ++n)
      add_outer(out[g], *reinterpret_cast<const float4*>(tiles.weights + n * kPitch + lane_m()),
                *reinterpret_cast<const float4*>(tiles.stage + n * kPitch + lane_n()));
  }
}

/// Stores factor[i] * out to rows [row, row + count).
template <int G, typename T>
__device__ void store_rows(const HeadRows<T>& to, int64_t row, int64_t head, int64_t count, const float (&out)[G][4][4],
                           const float (&factor)[4], int first, int head_dim) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (lane_m() + i >= count) break;
    T* const at = to.at(row + lane_m() + i, head);
#pragma unroll
    for (int g = 0; g < G; ++g) {
      const int e = first + g * kTile + lane_n();
      Chunk<T, 4> chunk;
#pragma unroll
      for (int j = 0; j < 4; ++j) chunk.set(j, out[g][i][j] * factor[i]);
      if (e < head_dim) write_chunk<4>(at + e, head_dim - e, to.vectors, chunk);
    }
  }
}

/// At most kTile queries of one segment.
struct QueryTile {
  int64_t row;      ///< of q
  int64_t count;    ///< queries
  int64_t key;      ///< first key of the segment
  int64_t visible;  ///< keys that the first query sees; each further one sees one more
};

/// At most kTile keys.
struct KeyTile {
  int64_t row;    ///< of k
  int64_t count;  ///< keys
};

template <typename T>
struct Inputs {
  HeadRows<const T> q, k, v;
  int64_t group;  ///< query heads of a kv head
  int head_dim;
  float scale;
};

template <typename T>
struct ForwardArgs {
  Inputs<T> in;
  const QueryTile* tiles;
  HeadRows<T> o;
  float* lse;  ///< (H, lse_stride), or null
  int64_t lse_stride;
};

/// The 16 threads of a row agree on its sum or maximum.
__device__ float row_max(float x) {
  for (int distance = 8; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffU, x, distance));
  return x;
}
__device__ float row_sum(float x) {
  for (int distance = 8; distance > 0; distance /= 2) x += __shfl_xor_sync(0xffffffffU, x, distance);
  return x;
}

template <int G, typename T>
__global__ void __launch_bounds__(kThreads, 2) forward_kernel(ForwardArgs<T> args) {
  __shared__ Tiles tiles;
  const Inputs<T>& in = args.in;
  const QueryTile tile = args.tiles[blockIdx.x];
  const int64_t head = blockIdx.y;
  const int64_t kv_head = head / in.group;
  const int slice = static_cast<int>(blockIdx.z) * kMaxSlice;
  const Rows<T> q(in.q, tile.row, head, tile.count);
  float top[4];
  float sum[4];
  float out[G][4][4] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    top[i] = -INFINITY;
    sum[i] = 0.0F;
  }
  const int64_t last = tile.visible + tile.count - 1;  // keys that the last query sees
  for (int64_t key = 0; key < last; key += kTile) {
    const int64_t row = tile.key + key;
    float p[4][4];
    multiply(p, q, Rows<T>(in.k, row, kv_head, last - key), in.head_dim, tiles);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t visible = tile.visible + lane_m() + i - key;
      float high = top[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        p[i][j] = lane_n() + j < visible ? p[i][j] * in.scale : -INFINITY;
        high = fmaxf(high, p[i][j]);
      }
      high = row_max(high);
      float total = 0.0F;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        p[i][j] = expf(p[i][j] - high);
        total += p[i][j];
      }
      const float factor = expf(top[i] - high);
      sum[i] = fmaf(sum[i], factor, row_sum(total));
      top[i] = high;
#pragma unroll
      for (int g = 0; g < G; ++g)
#pragma unroll
        for (int j = 0; j < 4; ++j) out[g][i][j] *= factor;
    }
    put_weights(p, tiles);
    accumulate(out, Rows<T>(in.v, row, kv_head, last - key), slice, in.head_dim, tiles);
  }
  float inverse[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) inverse[i] = 1.0F / sum[i];
  store_rows(args.o, tile.row, head, tile.count, out, inverse, slice, in.head_dim);
  if (args.lse == nullptr || slice > 0 || lane_n() > 0) return;
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (lane_m() + i < tile.count) args.lse[head * args.lse_stride + tile.row + lane_m() + i] = top[i] + logf(sum[i]);
}

template <typename T>
struct BackwardInputs {
  Inputs<T> in;
  HeadRows<const T> d_o;
  const float* lse;    ///< (H, lse_stride)
  const float* delta;  ///< (H, tokens): sum of d_o o
  int64_t lse_stride;
  int64_t tokens;
};

/// delta, a warp a row and head.
template <typename T>
__global__ void delta_kernel(HeadRows<const T> d_o, HeadRows<const T> o, int64_t tokens, int64_t heads, int head_dim,
                             float* delta) {
  const int64_t warp = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (warp >= tokens * heads) return;
  const int64_t row = warp / heads;
  const int64_t head = warp % heads;
  const T* const a = d_o.at(row, head);
  const T* const b = o.at(row, head);
  float sum = 0.0F;
  for (int e = lane; e < head_dim; e += 32) sum = fmaf(widen(a[e]), widen(b[e]), sum);
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, distance);
  if (lane == 0) delta[head * tokens + row] = sum;
}

template <typename T, typename Out>
struct QueryGradArgs {
  BackwardInputs<T> inputs;
  const QueryTile* tiles;
  HeadRows<Out> d_q;
};

/// d_q = scale sum over keys of p (d_o v - delta) k.
template <int G, typename T, typename Out>
__global__ void __launch_bounds__(kThreads, 2) query_grad_kernel(QueryGradArgs<T, Out> args) {
  __shared__ Tiles tiles;
  const BackwardInputs<T>& inputs = args.inputs;
  const Inputs<T>& in = inputs.in;
  const QueryTile tile = args.tiles[blockIdx.x];
  const int64_t head = blockIdx.y;
  const int64_t kv_head = head / in.group;
  const int slice = static_cast<int>(blockIdx.z) * kMaxSlice;
  const Rows<T> q(in.q, tile.row, head, tile.count);
  const Rows<T> d_o(inputs.d_o, tile.row, head, tile.count);
  float lse[4];
  float delta[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const bool exists = lane_m() + i < tile.count;
    const int64_t row = tile.row + lane_m() + i;
    lse[i] = exists ? inputs.lse[head * inputs.lse_stride + row] : INFINITY;
    delta[i] = exists ? inputs.delta[head * inputs.tokens + row] : 0.0F;
  }
  float out[G][4][4] = {};
  const int64_t last = tile.visible + tile.count - 1;
  for (int64_t key = 0; key < last; key += kTile) {
    const int64_t row = tile.key + key;
    const Rows<T> k(in.k, row, kv_head, last - key);
    float p[4][4];
    float d[4][4];
    multiply(p, q, k, in.head_dim, tiles);
    multiply(d, d_o, Rows<T>(in.v, row, kv_head, last - key), in.head_dim, tiles);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t visible = tile.visible + lane_m() + i - key;
#pragma unroll
      for (int j = 0; j < 4; ++j)
        d[i][j] = lane_n() + j < visible ? expf(p[i][j] * in.scale - lse[i]) * (d[i][j] - delta[i]) : 0.0F;
    }
    put_weights(d, tiles);
    accumulate(out, k, slice, in.head_dim, tiles);
  }
  const float factor[4] = {in.scale, in.scale, in.scale, in.scale};
  store_rows(args.d_q, tile.row, head, tile.count, out, factor, slice, in.head_dim);
}

template <typename T, typename Out>
struct KeyGradArgs {
  BackwardInputs<T> inputs;
  const KeyTile* tiles;
  const AttentionSegment* segments;  ///< with queries
  int64_t segment_count;
  HeadRows<Out> d_k, d_v;
};

/// Adds what the queries [first, first + kTile) of a segment, in one head, send to a tile of keys.
template <int G, typename T>
__device__ void add_key_grads(const BackwardInputs<T>& inputs, const KeyTile& tile, const AttentionSegment& s, int64_t first,
                              int64_t head, int slice, float (&d_k)[G][4][4], float (&d_v)[G][4][4], Tiles& tiles) {
  const Inputs<T>& in = inputs.in;
  const int64_t kv_head = head / in.group;
  const int64_t query = s.q_begin + first;
  const int64_t queries = s.q_end - s.q_begin;
  const Rows<T> q(in.q, query, head, queries - first);
  const Rows<T> d_o(inputs.d_o, query, head, queries - first);
  float p[4][4];
  float d[4][4];
  multiply(p, Rows<T>(in.k, tile.row, kv_head, tile.count), q, in.head_dim, tiles);
  multiply(d, Rows<T>(in.v, tile.row, kv_head, tile.count), d_o, in.head_dim, tiles);
  const int64_t visible = (s.k_end - s.k_begin) - queries + 1 + first;  // keys that query `first` sees
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int row = lane_n() + j;
    const bool exists = first + row < queries;
    const float lse = exists ? inputs.lse[head * inputs.lse_stride + query + row] : 0.0F;
    const float delta = exists ? inputs.delta[head * inputs.tokens + query + row] : 0.0F;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t key = tile.row + lane_m() + i - s.k_begin;
      const bool sees = exists && lane_m() + i < tile.count && key >= 0 && key < visible + row;
      p[i][j] = sees ? expf(p[i][j] * in.scale - lse) : 0.0F;
      d[i][j] = sees ? p[i][j] * (d[i][j] - delta) : 0.0F;
    }
  }
  put_weights(p, tiles);
  accumulate(d_v, d_o, slice, in.head_dim, tiles);
  __syncthreads();
  put_weights(d, tiles);
  accumulate(d_k, q, slice, in.head_dim, tiles);
}

/// d_v = sum over queries and heads of the group of p d_o, d_k = scale sum of p (d_o v - delta) q.
template <int G, typename T, typename Out>
__global__ void __launch_bounds__(kThreads, 2) key_grad_kernel(KeyGradArgs<T, Out> args) {
  __shared__ Tiles tiles;
  const Inputs<T>& in = args.inputs.in;
  const KeyTile tile = args.tiles[blockIdx.x];
  const int64_t kv_head = blockIdx.y;
  const int slice = static_cast<int>(blockIdx.z) * kMaxSlice;
  float d_k[G][4][4] = {};
  float d_v[G][4][4] = {};
  for (int64_t index = 0; index < args.segment_count; ++index) {
    const AttentionSegment s = args.segments[index];
    if (s.k_begin >= tile.row + tile.count || s.k_end <= tile.row) continue;
    const int64_t queries = s.q_end - s.q_begin;
    // The first query that sees the tile's first key of this segment; its tile of queries begins where the forward's does.
    const int64_t key = max(tile.row - s.k_begin, int64_t{0});
    const int64_t from = max(key - (s.k_end - s.k_begin - queries), int64_t{0}) / kTile * kTile;
    for (int64_t first = from; first < queries; first += kTile)
      for (int64_t head = kv_head * in.group; head < (kv_head + 1) * in.group; ++head)
        add_key_grads(args.inputs, tile, s, first, head, slice, d_k, d_v, tiles);
  }
  const float one[4] = {1.0F, 1.0F, 1.0F, 1.0F};
  const float factor[4] = {in.scale, in.scale, in.scale, in.scale};
  store_rows(args.d_v, tile.row, kv_head, tile.count, d_v, one, slice, in.head_dim);
  store_rows(args.d_k, tile.row, kv_head, tile.count, d_k, factor, slice, in.head_dim);
}

template <typename T>
__global__ void zero_kernel(HeadRows<T> t, int64_t rows, int64_t heads, int head_dim) {
  const int64_t n = rows * heads * head_dim;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    const int64_t row = i / head_dim;
    t.at(row / heads, row % heads)[i % head_dim] = narrow<T>(0.0F);
  }
}

// ---- host ----

template <typename T>
Inputs<T> inputs_of(const TensorView& q, const TensorView& k, const TensorView& v, float scale) {
  return {reads<T>(q), reads<T>(k), reads<T>(v), q.dim(1) / k.dim(1), static_cast<int>(q.dim(2)), scale};
}

/// The dearest first, so that blocks which start in order end together.
std::vector<QueryTile> query_tiles(std::span<const AttentionSegment> segments) {
  std::vector<QueryTile> tiles;
  for (const auto& s : segments)
    for (int64_t first = 0; first < queries_of(s); first += kTile)
      tiles.push_back(
          {s.q_begin + first, std::min<int64_t>(kTile, queries_of(s) - first), s.k_begin, visible_at_first(s) + first});
  std::stable_sort(tiles.begin(), tiles.end(), [](const QueryTile& a, const QueryTile& b) { return a.visible > b.visible; });
  return tiles;
}

/// Tiles over the keys that belong to a segment, each key in one.
std::vector<KeyTile> key_tiles(std::vector<AttentionSegment> segments) {
  std::sort(segments.begin(), segments.end(),
            [](const AttentionSegment& a, const AttentionSegment& b) { return a.k_begin < b.k_begin; });
  std::vector<KeyTile> tiles;
  int64_t done = 0;
  for (const auto& s : segments)
    for (done = std::max(done, s.k_begin); done < s.k_end; done += tiles.back().count)
      tiles.push_back({done, std::min<int64_t>(kTile, s.k_end - done)});
  return tiles;
}

std::vector<AttentionSegment> with_queries(std::span<const AttentionSegment> segments) {
  std::vector<AttentionSegment> out;
  for (const auto& s : segments)
    if (queries_of(s) > 0) out.push_back(s);
  return out;
}

dim3 grid_of(size_t tiles, int64_t heads, int64_t head_dim) {
  return {static_cast<unsigned>(tiles), static_cast<unsigned>(heads), static_cast<unsigned>(ceil_div(head_dim, kMaxSlice))};
}

/// body(integral_constant G): how many kTile columns a block accumulates.
template <typename Body>
void with_slice(int64_t head_dim, const Body& body) {
  if (head_dim <= kTile)
    body(std::integral_constant<int, 1>{});
  else
    body(std::integral_constant<int, kMaxSlice / kTile>{});
}

template <typename T>
void find_delta(Context& context, const TensorView& d_o, const TensorView& o, float* delta) {
  const int64_t threads = o.dim(0) * o.dim(1) * 32;
  delta_kernel<<<static_cast<unsigned>(ceil_div(threads, kThreads)), kThreads, 0, context.stream()>>>(
      reads<T>(d_o), reads<T>(o), o.dim(0), o.dim(1), static_cast<int>(o.dim(2)), delta);
  TENFOLD_LAUNCHED();
}

template <typename T, typename Out>
void backward(Context& context, const BackwardInputs<T>& inputs, const std::vector<AttentionSegment>& segments, int64_t heads,
              const ops::AttentionGrads& grads) {
  const int64_t head_dim = inputs.in.head_dim;
  const int64_t kv_heads = heads / inputs.in.group;
  const std::vector<QueryTile> queries = query_tiles(segments);
  const std::vector<KeyTile> keys = key_tiles(segments);
  const QueryGradArgs<T, Out> query_args{inputs, context.upload(std::span(queries)), writes<Out>(grads.d_q)};
  const KeyGradArgs<T, Out> key_args{inputs,
                                     context.upload(std::span(keys)),
                                     context.upload(std::span(segments)),
                                     static_cast<int64_t>(segments.size()),
                                     writes<Out>(grads.d_k),
                                     writes<Out>(grads.d_v)};
  with_slice(head_dim, [&](auto slice) {
    constexpr int G = decltype(slice)::value;
    query_grad_kernel<G, T, Out><<<grid_of(queries.size(), heads, head_dim), kThreads, 0, context.stream()>>>(query_args);
    TENFOLD_LAUNCHED();
    key_grad_kernel<G, T, Out><<<grid_of(keys.size(), kv_heads, head_dim), kThreads, 0, context.stream()>>>(key_args);
    TENFOLD_LAUNCHED();
  });
}

}  // namespace

void zero_heads(Exec& exec, const TensorView& t) {
  const int64_t n = t.elements();
  if (n == 0) return;
  Context& context = context_of(exec);
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(ceil_div(n, kThreads), int64_t{16} * context.multiprocessors()));
  with_float(t.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    zero_kernel<<<blocks, kThreads, 0, context.stream()>>>(writes<T>(t), t.dim(0), t.dim(1), static_cast<int>(t.dim(2)));
    TENFOLD_LAUNCHED();
  });
}

void attention_generic_forward(Exec& exec, const TensorView& q, const TensorView& k, const TensorView& v,
                               std::span<const AttentionSegment> segments, float scale, const TensorView& o,
                               const TensorView& lse) {
  Context& context = context_of(exec);
  const std::vector<QueryTile> tiles = query_tiles(segments);
  if (tiles.empty()) return;
  const QueryTile* uploaded = context.upload(std::span(tiles));
  const int64_t head_dim = q.dim(2);
  with_float(q.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const ForwardArgs<T> args{inputs_of<T>(q, k, v, scale), uploaded, writes<T>(o), static_cast<float*>(lse.data),
                              lse.empty() ? 0 : lse.stride(0)};
    with_slice(head_dim, [&](auto slice) {
      forward_kernel<decltype(slice)::value, T>
          <<<grid_of(tiles.size(), q.dim(1), head_dim), kThreads, 0, context.stream()>>>(args);
      TENFOLD_LAUNCHED();
    });
  });
}

void attention_generic_backward(Exec& exec, const TensorView& d_o, const TensorView& q, const TensorView& k, const TensorView& v,
                                const TensorView& o, const TensorView& lse, std::span<const AttentionSegment> segments,
                                float scale, const ops::AttentionGrads& grads) {
  const std::vector<AttentionSegment> whole = with_queries(segments);
  if (whole.empty()) return;
  Context& context = context_of(exec);
  const Workspace::Scope scope(exec.scratch);
  auto* delta = exec.scratch.tensor("delta", DType::kF32, {q.dim(1), q.dim(0)}).ptr<float>();
  with_float(q.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    find_delta<T>(context, d_o, o, delta);
    const BackwardInputs<T> inputs{inputs_of<T>(q, k, v, scale), reads<T>(d_o), lse.ptr<float>(), delta, lse.stride(0), q.dim(0)};
    if (grads.d_q.dtype == q.dtype)
      backward<T, T>(context, inputs, whole, q.dim(1), grads);
    else
      backward<T, float>(context, inputs, whole, q.dim(1), grads);
  });
}

int64_t attention_generic_scratch_bytes(int64_t tokens, int64_t heads) { return workspace_bytes(DType::kF32, {heads, tokens}); }

}  // namespace tenfold::cuda
