// Attention by tiles in f32 (Dao, FlashAttention-2, arXiv 2307.08691, algorithms 1 and 2): the specification of the op, for f32
// or bf16 tensors. Included by one unit an instruction set, which defines in an anonymous namespace before it: Vec (kLanes
// floats) with load, store, splat, add, mul, fused (a b + c), below (a < b ? a : b), above (a > b ? a : b), scale_by_power (p 2^n
// of an integral n >= -127), sum, and the product tile kTileRows x kTileVecs. No inline library code, so that the linker cannot
// mix the units' copies.

#include "ops/cpu/isa/attention_kernels.h"
#include "ops/cpu/isa/lanes.h"

#include <cstdint>

namespace tenfold::cpu {
namespace {

constexpr int64_t kBlock = kAttentionBlock;
constexpr int64_t kMaxHeadDim = 1024;
constexpr float kLog2E = 1.44269504F;
constexpr float kLowest = -3.0e38F;

inline int64_t padded(int64_t head_dim) { return (head_dim + 15) / 16 * 16; }

inline float widen(uint16_t x) { return __builtin_bit_cast(float, static_cast<uint32_t>(x) << 16); }
inline uint16_t narrow(float x) {
  const auto u = __builtin_bit_cast(uint32_t, x);
  if ((u & 0x7fffffffU) > 0x7f800000U) return static_cast<uint16_t>((u >> 16) | 0x40U);
  return static_cast<uint16_t>((u + 0x7fffU + ((u >> 16) & 1U)) >> 16);
}

inline void read_row(const HeadRows& rows, int64_t i, int64_t n, float* out) {
  if (rows.bf16) {
    const auto* in = static_cast<const uint16_t*>(rows.data) + i * rows.stride;
    for (int64_t e = 0; e < n; ++e) out[e] = widen(in[e]);
  } else {
    const auto* in = static_cast<const float*>(rows.data) + i * rows.stride;
    for (int64_t e = 0; e < n; ++e) out[e] = in[e];
  }
}

inline void write_row(const HeadRows& rows, int64_t i, int64_t n, const float* in, float factor) {
  if (rows.bf16) {
    auto* out = static_cast<uint16_t*>(rows.data) + i * rows.stride;
    for (int64_t e = 0; e < n; ++e) out[e] = narrow(in[e] * factor);
  } else {
    auto* out = static_cast<float*>(rows.data) + i * rows.stride;
    for (int64_t e = 0; e < n; ++e) out[e] = in[e] * factor;
  }
}

inline void fill(float* out, int64_t n, float value) {
  for (int64_t i = 0; i < n; ++i) out[i] = value;
}

// 2^x, relative error below 1e-7; 0 below 2^-126, NaN stays NaN. A minimax polynomial of degree 6 on [-1/2, 1/2].
inline Vec exp2(Vec x) {
  x = above(splat(-127.0F), x);
  x = below(splat(127.0F), x);
  const Vec round = splat(12582912.0F);  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const Vec n = add(add(x, round), splat(-12582912.0F));
  const Vec f = fused(n, splat(-1.0F), x);
  Vec p = splat(0.0001534581242594868F);
  p = fused(p, f, splat(0.0013399930903688073F));
  p = fused(p, f, splat(0.009618489071726799F));
  p = fused(p, f, splat(0.05550328642129898F));
  p = fused(p, f, splat(0.24022646248340607F));
  p = fused(p, f, splat(0.6931471824645996F));
  p = fused(p, f, splat(1.0F));
  return scale_by_power(p, n);
}

inline float exp2_scalar(float x) {
  float lanes[kLanes];
  store(lanes, exp2(splat(x)));
  return lanes[0];
}

// c (MR, NV vectors; row stride ldc) = or += a b: a(i, k) = a[i rs + k cs], b (k, ldb) row-major.
template <int MR, int NV>
void product_tile(int64_t depth, const float* a, int64_t rs, int64_t cs, const float* b, int64_t ldb, float* c, int64_t ldc,
                  bool accumulate) {
  Vec sum[MR][NV];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) sum[i][j] = accumulate ? load(c + i * ldc + j * kLanes) : splat(0.0F);
  for (int64_t k = 0; k < depth; ++k, b += ldb) {
    Vec row[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) row[j] = load(b + j * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      const Vec value = splat(a[i * rs + k * cs]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) sum[i][j] = fused(value, row[j], sum[i][j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) store(c + i * ldc + j * kLanes, sum[i][j]);
}

template <int NV>
void product_columns(int64_t rows, int64_t depth, const float* a, int64_t rs, int64_t cs, const float* b, int64_t ldb, float* c,
                     int64_t ldc, bool accumulate) {
  int64_t i = 0;
  for (; i + kTileRows <= rows; i += kTileRows)
    product_tile<kTileRows, NV>(depth, a + i * rs, rs, cs, b, ldb, c + i * ldc, ldc, accumulate);
  for (; i + 2 <= rows; i += 2) product_tile<2, NV>(depth, a + i * rs, rs, cs, b, ldb, c + i * ldc, ldc, accumulate);
  if (i < rows) product_tile<1, NV>(depth, a + i * rs, rs, cs, b, ldb, c + i * ldc, ldc, accumulate);
}

// The whole product; cols is a multiple of 16. An element's sum runs over k in order, whatever the tile.
void product(int64_t rows, int64_t cols, int64_t depth, const float* a, int64_t rs, int64_t cs, const float* b, int64_t ldb,
             float* c, int64_t ldc, bool accumulate) {
  int64_t j = 0;
  for (; j + kTileVecs * kLanes <= cols; j += kTileVecs * kLanes)
    product_columns<kTileVecs>(rows, depth, a, rs, cs, b + j, ldb, c + j, ldc, accumulate);
  for (; j < cols; j += kLanes) product_columns<1>(rows, depth, a, rs, cs, b + j, ldb, c + j, ldc, accumulate);
}

void transpose(const float* in, int64_t stride, int64_t rows, int64_t cols, float* out) {
  for (int64_t c = 0; c < cols; ++c)
    for (int64_t r = 0; r < rows; ++r) out[c * rows + r] = in[r * stride + c];
}

// Rows [0, count) widened to (64, padded E), zeros elsewhere.
void read_block(const HeadRows& rows, int64_t count, int64_t head_dim, float* out) {
  const int64_t width = padded(head_dim);
  for (int64_t i = 0; i < kBlock; ++i) {
    float* row = out + i * width;
    if (i < count) read_row(rows, i, head_dim, row);
    fill(row + (i < count ? head_dim : 0), width - (i < count ? head_dim : 0), 0.0F);
  }
}

// ---- forward ----

// Packed keys: K transposed (E, 64), V (64, padded E), and room to transpose from.
int64_t forward_key_bytes(int64_t head_dim) { return kBlock * 2 * padded(head_dim) * 4; }
// q, o (64, padded E), s (64, 64), m, l (64).
int64_t forward_thread_bytes(int64_t head_dim) { return kBlock * (2 * padded(head_dim) + kBlock + 2) * 4; }

void pack_forward(const HeadRows& k, const HeadRows& v, int64_t count, int64_t head_dim, void* out) {
  auto* keys = static_cast<float*>(out);
  float* values = keys + kBlock * padded(head_dim);
  read_block(k, count, head_dim, values);
  transpose(values, padded(head_dim), kBlock, padded(head_dim), keys);
  read_block(v, count, head_dim, values);
}

// Scores of one row against 64 keys, of which `visible` count, become probabilities; m, l and o are rescaled when the maximum
// grows.
void softmax_row(float* s, int64_t visible, float factor, float* m, float* l, float* o, int64_t width) {
  for (int64_t j = 0; j < kBlock; j += kLanes) store(s + j, mul(load(s + j), splat(factor)));
  if (visible < kBlock) fill(s + visible, kBlock - visible, kLowest);
  Vec top = splat(*m);
  for (int64_t j = 0; j < kBlock; j += kLanes) top = above(load(s + j), top);
  float lanes[kLanes];
  store(lanes, top);
  float highest = lanes[0];
  for (int i = 1; i < kLanes; ++i) highest = lanes[i] > highest ? lanes[i] : highest;
  if (highest > *m) {
    const float rescale = exp2_scalar(*m - highest);
    *m = highest;
    *l *= rescale;
    for (int64_t e = 0; e < width; ++e) o[e] *= rescale;
  }
  Vec total = splat(0.0F);
  const Vec shift = splat(-*m);
  for (int64_t j = 0; j < kBlock; j += kLanes) {
    const Vec p = exp2(add(load(s + j), shift));
    store(s + j, p);
    total = add(total, p);
  }
  *l += sum(total);
}

void forward(const ForwardRun& run) {
  const int64_t head_dim = run.head_dim;
  const int64_t width = padded(head_dim);
  auto* q = static_cast<float*>(run.scratch);
  float* o = q + kBlock * width;
  float* s = o + kBlock * width;
  float* m = s + kBlock * kBlock;
  float* l = m + kBlock;
  for (int64_t r = 0; r < run.rows; ++r) read_row(run.q, r, head_dim, q + r * width);
  fill(o, run.rows * width, 0.0F);
  fill(m, run.rows, kLowest);
  fill(l, run.rows, 0.0F);
  const auto* block = static_cast<const float*>(run.keys);
  for (int64_t first = 0; first < run.visible + run.rows - 1; first += kBlock, block += kBlock * 2 * width) {
    // Rows before `skip` see no key of this block.
    const int64_t skip = larger(0, first + 1 - run.visible);
    product(run.rows - skip, kBlock, head_dim, q + skip * width, width, 1, block, kBlock, s + skip * kBlock, kBlock, false);
    for (int64_t r = skip; r < run.rows; ++r)
      softmax_row(s + r * kBlock, smaller(kBlock, run.visible + r - first), run.scale * kLog2E, m + r, l + r, o + r * width,
                  width);
    product(run.rows - skip, width, kBlock, s + skip * kBlock, kBlock, 1, block + kBlock * width, width, o + skip * width, width,
            true);
  }
  for (int64_t r = 0; r < run.rows; ++r) {
    write_row(run.o, r, head_dim, o + r * width, 1.0F / l[r]);
    if (run.lse != nullptr)
      run.lse[r] = static_cast<float>((static_cast<double>(m[r]) + __builtin_log2(l[r])) * 0.6931471805599453);
  }
}

// ---- backward ----

// K transposed, V transposed (E, 64), K (64, padded E).
int64_t backward_key_bytes(int64_t head_dim) { return kBlock * 3 * padded(head_dim) * 4; }
// Q, dO (64, padded E), lse in base 2 and delta (64).
int64_t backward_query_bytes(int64_t head_dim) { return kBlock * (2 * padded(head_dim) + 2) * 4; }
// P, dS (64, 64).
int64_t backward_thread_bytes(int64_t /*head_dim*/) { return 2 * kBlock * kBlock * 4; }

void pack_keys(const HeadRows& k, const HeadRows& v, int64_t count, int64_t head_dim, void* out) {
  const int64_t part = kBlock * padded(head_dim);
  auto* keys = static_cast<float*>(out);
  read_block(v, count, head_dim, keys + 2 * part);
  transpose(keys + 2 * part, padded(head_dim), kBlock, padded(head_dim), keys + part);
  read_block(k, count, head_dim, keys + 2 * part);
  transpose(keys + 2 * part, padded(head_dim), kBlock, padded(head_dim), keys);
}

void pack_queries(const HeadRows& q, const HeadRows& d_o, const HeadRows& o, const float* lse, int64_t count, int64_t head_dim,
                  void* out) {
  const int64_t width = padded(head_dim);
  auto* queries = static_cast<float*>(out);
  float* grads = queries + kBlock * width;
  float* lse2 = grads + kBlock * width;
  float* delta = lse2 + kBlock;
  fill(lse2, 2 * kBlock, 0.0F);
  read_block(o, count, head_dim, queries);
  read_block(d_o, count, head_dim, grads);
  for (int64_t r = 0; r < count; ++r) {
    Vec total = splat(0.0F);
    for (int64_t e = 0; e < width; e += kLanes) total = fused(load(queries + r * width + e), load(grads + r * width + e), total);
    delta[r] = sum(total);
    lse2[r] = lse[r] * kLog2E;
  }
  read_block(q, count, head_dim, queries);
}

void backward(const BackwardRun& run) {
  const int64_t head_dim = run.head_dim;
  const int64_t width = padded(head_dim);
  const int64_t part = kBlock * width;
  const auto* keys_t = static_cast<const float*>(run.keys);
  const float* values_t = keys_t + part;
  const float* keys = values_t + part;
  auto* p = static_cast<float*>(run.scratch);
  float* d_s = p + kBlock * kBlock;
  const int64_t first_key = run.key_block * kBlock;
  // The first query that sees a key of this block.
  const int64_t first_query = larger(0, first_key + 1 - run.visible);
  for (int64_t begin = first_query / kBlock * kBlock; begin < run.queries; begin += kBlock) {
    const float* q = static_cast<const float*>(run.queries_packed) + begin / kBlock * (2 * part + 2 * kBlock);
    const float* d_o = q + part;
    const float* lse2 = d_o + part;
    const float* delta = lse2 + kBlock;
    const int64_t rows = smaller(kBlock, run.queries - begin);
    product(rows, kBlock, head_dim, q, width, 1, keys_t, kBlock, p, kBlock, false);
    product(rows, kBlock, head_dim, d_o, width, 1, values_t, kBlock, d_s, kBlock, false);
    for (int64_t r = 0; r < rows; ++r) {
      float* p_row = p + r * kBlock;
      float* d_s_row = d_s + r * kBlock;
      for (int64_t j = 0; j < kBlock; j += kLanes) {
        const Vec x = exp2(fused(load(p_row + j), splat(run.scale * kLog2E), splat(-lse2[r])));
        store(p_row + j, x);
        store(d_s_row + j, mul(x, add(load(d_s_row + j), splat(-delta[r]))));
      }
      const int64_t seen = larger(0, smaller(kBlock, run.visible + begin + r - first_key));
      fill(p_row + seen, kBlock - seen, 0.0F);
      fill(d_s_row + seen, kBlock - seen, 0.0F);
    }
    product(kBlock, width, rows, p, 1, kBlock, d_o, width, run.d_v, width, true);
    product(kBlock, width, rows, d_s, 1, kBlock, q, width, run.d_k, width, true);
    product(rows, width, kBlock, d_s, kBlock, 1, keys, width, run.d_q + begin / kBlock * part, width, true);
  }
}

void store_key_grad(const float* sum, float scale, bool add, int64_t count, int64_t head_dim, const HeadRows& out) {
  float row[kMaxHeadDim];
  for (int64_t r = 0; r < count; ++r) {
    const float* in = sum + r * padded(head_dim);
    const HeadRows at = {out.bf16 ? static_cast<void*>(static_cast<uint16_t*>(out.data) + r * out.stride)
                                  : static_cast<void*>(static_cast<float*>(out.data) + r * out.stride),
                         out.stride, out.bf16};
    fill(row, head_dim, 0.0F);
    if (add) read_row(at, 0, head_dim, row);
    for (int64_t e = 0; e < head_dim; ++e) row[e] += in[e] * scale;
    write_row(at, 0, head_dim, row, 1.0F);
  }
}

void store_d_q(const float* parts, int64_t part_stride, int64_t part_count, float scale, int64_t count, int64_t head_dim,
               const HeadRows& out) {
  float row[kMaxHeadDim];
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t e = 0; e < head_dim; ++e) {
      float total = 0;
      for (int64_t i = 0; i < part_count; ++i) total += parts[i * part_stride + r * padded(head_dim) + e];
      row[e] = total;
    }
    write_row(out, r, head_dim, row, scale);
  }
}

// ---- decode ----

// A block of keys or values in f32 (64, padded E), s (64).
int64_t decode_thread_bytes(int64_t head_dim, int64_t /*rows*/) { return kBlock * (2 * padded(head_dim) + 1) * 4; }

void decode(const DecodeRun& run) {
  const int64_t width = padded(run.head_dim);
  auto* keys = static_cast<float*>(run.scratch);
  float* values = keys + kBlock * width;
  float* s = values + kBlock * width;
  for (int64_t r = 0; r < run.rows; ++r) {
    float* o = run.partial + r * (width + 16);
    fill(o, width + 16, 0.0F);
    o[width] = kLowest;
  }
  for (int64_t first = 0; first < run.keys; first += kBlock) {
    const int64_t count = smaller(kBlock, run.keys - first);
    for (int64_t i = 0; i < count; ++i) {
      read_row(run.k, first + i, run.head_dim, keys + i * width);
      read_row(run.v, first + i, run.head_dim, values + i * width);
      fill(keys + i * width + run.head_dim, width - run.head_dim, 0.0F);
      fill(values + i * width + run.head_dim, width - run.head_dim, 0.0F);
    }
    for (int64_t r = 0; r < run.rows; ++r) {
      const int64_t seen = smaller(count, run.visible[r] - first);
      if (seen <= 0) continue;
      const float* q = run.q + r * width;
      for (int64_t i = 0; i < seen; ++i) {
        Vec total = splat(0.0F);
        for (int64_t e = 0; e < width; e += kLanes) total = fused(load(q + e), load(keys + i * width + e), total);
        s[i] = sum(total);
      }
      float* o = run.partial + r * (width + 16);
      softmax_row(s, seen, run.scale * kLog2E, o + width, o + width + 1, o, width);
      product(1, width, seen, s, kBlock, 1, values, width, o, width, true);
    }
  }
}

constexpr AttentionKernels kKernels = {
    .forward_rows = kBlock,
    .forward_key_bytes = forward_key_bytes,
    .forward_thread_bytes = forward_thread_bytes,
    .pack_forward = pack_forward,
    .forward = forward,
    .backward_key_blocks = 1,
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
}  // namespace tenfold::cpu
