#pragma once

// Attention by tiles with bf16 products and f32 sums (Dao, FlashAttention-2, arXiv 2307.08691), for the units whose products take
// both operands in pairs along the summed dimension: 16 pairs of b side by side are a vector. A unit includes its products first:
//   kRows, kKeyRows, kDepth, enter_tiles(), leave_tiles(), tile<rows, vectors, accumulate>(...)
//   (attention_tile_avx512.h, attention_tile_amx.h)

#include "ops/cpu/isa/attention_pack_avx512.h"

namespace tenfold::cpu {
namespace {

// c += a b over all columns of c, a multiple of 16.
template <int64_t kHeight>
inline void tile_row(int64_t cols, int64_t depth, const Bits* a, int64_t a_stride, const Bits* b, int64_t b_stride, float* c,
                     int64_t c_stride, int64_t run = 1 << 30, int64_t b_gap = 0) {
  int64_t j = 0;
  for (; j + 64 <= cols; j += 64) tile<kHeight, 4, true>(depth, a, a_stride, b + 2 * j, b_stride, c + j, c_stride, run, b_gap);
  switch (cols - j) {
    case 48: return tile<kHeight, 3, true>(depth, a, a_stride, b + 2 * j, b_stride, c + j, c_stride, run, b_gap);
    case 32: return tile<kHeight, 2, true>(depth, a, a_stride, b + 2 * j, b_stride, c + j, c_stride, run, b_gap);
    case 16: return tile<kHeight, 1, true>(depth, a, a_stride, b + 2 * j, b_stride, c + j, c_stride, run, b_gap);
    default: return;
  }
}

// ---- forward ----

// K (E / 2, 64, 2), V (32, E, 2).
int64_t forward_key_bytes(int64_t head_dim) { return 2 * kBlock * head_dim * 2; }

struct ForwardScratch {
  float* o;  // (rows, E)
  float* l;  // (rows, 16): sums by lane
  float* m;  // (rows)
  float* s;  // (kRows, 128)
  Bits* p;   // (kRows, 128)
  Bits* q;   // (rows, E)

  ForwardScratch(void* at, int64_t head_dim) {
    o = static_cast<float*>(at);
    l = o + kForwardRows * head_dim;
    m = l + kForwardRows * 16;
    s = m + kForwardRows;
    p = reinterpret_cast<Bits*>(s + kRows * kStep);
    q = p + kRows * kStep;
  }
};

int64_t forward_thread_bytes(int64_t head_dim) { return kForwardRows * (6 * head_dim + 17 * 4) + kRows * kStep * 6; }

void pack_forward(const HeadRows& k, const HeadRows& v, int64_t count, int64_t head_dim, void* out) {
  auto* keys = static_cast<Bits*>(out);
  pack_columns(k, count, head_dim, keys);
  pack_row_pairs(v, count, head_dim, keys + kBlock * head_dim);
}

// Brings a row's sums to the maximum of `top`; the first time there is nothing to bring.
inline __m512 raise_maximum(__m512 top, __m512 sum, float* m, float* o, int64_t head_dim) {
  const float highest = _mm512_reduce_max_ps(top);
  const float before = *m;
  *m = highest;
  if (before == kLowest) return sum;
  const __m512 rescale = exp2(_mm512_set1_ps(before - highest));
  for (int64_t e = 0; e < head_dim; e += 16) _mm512_storeu_ps(o + e, _mm512_mul_ps(_mm512_loadu_ps(o + e), rescale));
  return _mm512_mul_ps(sum, rescale);
}

// One row's scores s (16 N) become probabilities p in bf16; l, o and m follow when the maximum grows. Lanes from `seen` on are
// masked.
template <int N, bool kMasked>
inline void softmax_row(const float* s, int64_t seen, float factor, float* m, float* l, float* o, int64_t head_dim, Bits* p) {
  const __m512 c = _mm512_set1_ps(factor);
  __m512 x[N];
  __mmask16 mask[N];
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) {
    mask[j] = kMasked ? first_lanes(seen - 16 * j) : __mmask16{0xffff};
    x[j] = _mm512_loadu_ps(s + 16 * j);
    if (kMasked) x[j] = _mm512_mask_mov_ps(_mm512_set1_ps(kLowest), mask[j], x[j]);
  }
  __m512 top = x[0];
#pragma GCC unroll 8
  for (int j = 1; j < N; ++j) top = _mm512_max_ps(x[j], top);
  top = _mm512_mul_ps(top, c);
  __m512 sum = _mm512_loadu_ps(l);
  if (_mm512_cmp_ps_mask(top, _mm512_set1_ps(*m + kSlack), _CMP_GT_OQ) != 0) [[unlikely]]
    sum = raise_maximum(top, sum, m, o, head_dim);
  const __m512 shift = _mm512_set1_ps(*m);
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) {
    x[j] = exp2(_mm512_fmsub_ps(x[j], c, shift));
    if (kMasked) x[j] = _mm512_maskz_mov_ps(mask[j], x[j]);
    sum = _mm512_add_ps(sum, x[j]);
  }
  _mm512_storeu_ps(l, sum);
#pragma GCC unroll 4
  for (int j = 0; j < N; j += 2) store_bf16_pair(p + 16 * j, x[j], x[j + 1]);
}

// kRows rows from r against the step of 128 keys at `block`.
inline void forward_step(const ForwardRun& run, const ForwardScratch& t, int64_t r, int64_t first, const Bits* block) {
  const int64_t head_dim = run.head_dim;
  const int64_t block_size = 2 * kBlock * head_dim;
  const int64_t most = run.visible + smaller(r + kRows, run.rows) - 1 - first;  // keys of the step that the last row sees
  if (most <= 0) return;
  const int64_t blocks = most > kBlock ? 2 : 1;
  for (int64_t b = 0; b < blocks; ++b)
    tile<kRows, 4, false>(head_dim / 2, t.q + r * head_dim, head_dim, block + b * block_size, 2 * kBlock, t.s + b * kBlock,
                          kStep);
  const float factor = run.scale * kLog2E;
  for (int64_t i = 0; i < kRows; ++i) {
    const float* s = t.s + i * kStep;
    Bits* p = t.p + i * kStep;
    const int64_t row = r + i;
    const int64_t seen = run.visible + row - first;
    float* m = t.m + row;
    float* l = t.l + 16 * row;
    float* o = t.o + row * head_dim;
    if (blocks == 2)
      seen < kStep ? softmax_row<8, true>(s, seen, factor, m, l, o, head_dim, p)
                   : softmax_row<8, false>(s, seen, factor, m, l, o, head_dim, p);
    else
      seen < kBlock ? softmax_row<4, true>(s, seen, factor, m, l, o, head_dim, p)
                    : softmax_row<4, false>(s, seen, factor, m, l, o, head_dim, p);
  }
  const int64_t depth = (smaller(kStep, most + 1) / 2 + kDepth - 1) / kDepth * kDepth;  // the probabilities beyond are zeros
  tile_row<kRows>(head_dim, depth, t.p, kStep, block + kBlock * head_dim, 2 * head_dim, t.o + r * head_dim, head_dim, kBlock / 2,
                  block_size - kBlock * head_dim);
}

// log2 of positive normal numbers to 2e-7 of max(1, |log2|): the exponent and the series of atanh on [3/4, 3/2).
inline __m512 log2(__m512 x) {
  const __m512 mantissa = _mm512_getmant_ps(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src);
  const __m512 exponent = _mm512_getexp_ps(_mm512_div_ps(x, mantissa));
  const __m512 one = _mm512_set1_ps(1.0F);
  const __m512 t = _mm512_div_ps(_mm512_sub_ps(mantissa, one), _mm512_add_ps(mantissa, one));
  const __m512 t2 = _mm512_mul_ps(t, t);
  __m512 p = _mm512_set1_ps(2.0F * kLog2E / 9);
  p = _mm512_fmadd_ps(p, t2, _mm512_set1_ps(2.0F * kLog2E / 7));
  p = _mm512_fmadd_ps(p, t2, _mm512_set1_ps(2.0F * kLog2E / 5));
  p = _mm512_fmadd_ps(p, t2, _mm512_set1_ps(2.0F * kLog2E / 3));
  p = _mm512_fmadd_ps(p, t2, _mm512_set1_ps(2.0F * kLog2E));
  return _mm512_fmadd_ps(p, t, exponent);
}

// o / l and lse, 16 rows at a time.
inline void finish_rows(const ForwardRun& run, const ForwardScratch& t) {
  for (int64_t first = 0; first < run.rows; first += 16) {
    __m512 sums[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sums[i] = _mm512_loadu_ps(t.l + 16 * (first + i));
    const __m512 total = sums_of_lanes(sums);
    const int64_t count = smaller(16, run.rows - first);
    if (run.lse != nullptr) {
      const __m512 lse2 = _mm512_add_ps(_mm512_loadu_ps(t.m + first), log2(total));
      _mm512_mask_storeu_ps(run.lse + first, first_lanes(count), _mm512_mul_ps(lse2, _mm512_set1_ps(kLn2)));
    }
    float inverse[16];
    _mm512_storeu_ps(inverse, _mm512_div_ps(_mm512_set1_ps(1.0F), total));
    for (int64_t i = 0; i < count; ++i) {
      auto* o = static_cast<Bits*>(run.o.data) + (first + i) * run.o.stride;
      const float* sum = t.o + (first + i) * run.head_dim;
      for (int64_t e = 0; e < run.head_dim; e += 16)
        store_bf16(o + e, _mm512_mul_ps(_mm512_loadu_ps(sum + e), _mm512_set1_ps(inverse[i])));
    }
  }
}

// kRows rows from r at the start, and a look at the rows that come some tiles later: they lie far apart, in the shared cache.
inline void start_rows(const ForwardRun& run, const ForwardScratch& t, int64_t r) {
  const int64_t head_dim = run.head_dim;
  constexpr int64_t kAhead = 16;
  for (int64_t i = r + kAhead; i < smaller(r + kAhead + kRows, run.rows); ++i) fetch_row(run.q, i, head_dim);
  const HeadRows rows = {static_cast<Bits*>(run.q.data) + r * run.q.stride, run.q.stride, true};
  pack_rows(rows, run.rows - r, kRows, head_dim, t.q + r * head_dim);
  for (int64_t i = r * head_dim; i < (r + kRows) * head_dim; i += 16) _mm512_storeu_ps(t.o + i, _mm512_setzero_ps());
  for (int64_t i = r; i < r + kRows; ++i) {
    _mm512_storeu_ps(t.l + 16 * i, _mm512_setzero_ps());
    t.m[i] = kLowest;
  }
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

// ---- backward ----

// K, V (64, E), K transposed (E, 64).
int64_t backward_key_bytes(int64_t head_dim) { return 3 * kBlock * head_dim * 2; }
// Q, dO (E / 2, 64, 2), Q, dO (32, E, 2), lse in base 2 and delta (64).
int64_t backward_query_bytes(int64_t head_dim) { return 4 * kBlock * head_dim * 2 + 2 * kBlock * 4; }

struct BackwardScratch {
  float* s;         // (kKeyRows, 64)
  float* d_p;       // (kKeyRows, 64)
  Bits* p;          // (kKeyRows, 64)
  Bits* d_s;        // (kKeyRows, 64)
  Bits* d_s_pairs;  // (32 kBackwardKeyBlocks, 64, 2)

  explicit BackwardScratch(void* at) {
    s = static_cast<float*>(at);
    d_p = s + kKeyRows * kBlock;
    p = reinterpret_cast<Bits*>(d_p + kKeyRows * kBlock);
    d_s = p + kKeyRows * kBlock;
    d_s_pairs = d_s + kKeyRows * kBlock;
  }
};

int64_t backward_thread_bytes(int64_t /*head_dim*/) { return kKeyRows * kBlock * 12 + kBackwardKeyBlocks * kBlock * kBlock * 2; }

void pack_keys(const HeadRows& k, const HeadRows& v, int64_t count, int64_t head_dim, void* out) {
  const int64_t part = kBlock * head_dim;
  auto* keys = static_cast<Bits*>(out);
  pack_columns(k, count, head_dim, keys);  // K by columns lies where K by rows comes afterwards
  split_columns(keys, head_dim, keys + 2 * part);
  pack_rows(k, count, kBlock, head_dim, keys);
  pack_rows(v, count, kBlock, head_dim, keys + part);
}

void pack_queries(const HeadRows& q, const HeadRows& d_o, const HeadRows& o, const float* lse, int64_t count, int64_t head_dim,
                  void* out) {
  const int64_t part = kBlock * head_dim;
  auto* queries = static_cast<Bits*>(out);
  for (int64_t r = 0; r < count; ++r) {
    fetch_row(d_o, r, head_dim);
    fetch_row(o, r, head_dim);
  }
  pack_columns(q, count, head_dim, queries);
  pack_columns(d_o, count, head_dim, queries + part);
  pack_row_pairs(q, count, head_dim, queries + 2 * part);
  pack_row_pairs(d_o, count, head_dim, queries + 3 * part);
  auto* lse2 = reinterpret_cast<float*>(queries + 4 * part);
  float* delta = lse2 + kBlock;
  for (int64_t r = 0; r < kBlock; ++r) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t e = 0; r < count && e < head_dim; e += 16)
      sum = _mm512_fmadd_ps(widen(row_of(d_o, r) + e), widen(row_of(o, r) + e), sum);
    delta[r] = _mm512_reduce_add_ps(sum);
    lse2[r] = r < count ? lse[r] * kLog2E : 0.0F;
  }
}

// P^T and dS^T of kKeyRows keys (rows) by 64 queries (lanes) from their products; query lanes below `hidden` + row do not see the
// key of the row.
template <bool kMasked>
inline void softmax_backward(const BackwardScratch& t, const float* lse2, const float* delta, float factor, int64_t hidden,
                             int64_t r) {
  const __m512 c = _mm512_set1_ps(factor);
  const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                                              20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  for (int64_t j = 0; j < kBlock; j += 32)
#pragma GCC unroll 2
    for (int i = 0; i < kKeyRows; i += 2) {
      __m512 d_s[2][2];
#pragma GCC unroll 2
      for (int g = 0; g < 2; ++g) {
        const int64_t row = (i + g) * kBlock;
        __m512 p[2];
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h) {
          const int64_t at = j + 16 * h;
          p[h] = exp2(_mm512_fmsub_ps(_mm512_loadu_ps(t.s + row + at), c, _mm512_loadu_ps(lse2 + at)));
          d_s[g][h] = _mm512_mul_ps(p[h], _mm512_sub_ps(_mm512_loadu_ps(t.d_p + row + at), _mm512_loadu_ps(delta + at)));
          if (kMasked) {
            const __mmask16 mask = static_cast<__mmask16>(~first_lanes(hidden + i + g - at));
            p[h] = _mm512_maskz_mov_ps(mask, p[h]);
            d_s[g][h] = _mm512_maskz_mov_ps(mask, d_s[g][h]);
          }
        }
        store_bf16_pair(t.p + row + j, p[0], p[1]);
        store_bf16_pair(t.d_s + row + j, d_s[g][0], d_s[g][1]);
      }
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        const __m512i both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(d_s[1][h], d_s[0][h]));
        _mm512_storeu_si512(t.d_s_pairs + ((r + i) / 2 * kBlock + j + 16 * h) * 2, _mm512_permutexvar_epi16(interleave, both));
      }
    }
}

// What the next block of queries reads, asked for a few lines at a time while this one is computed: a long sequence lies in the
// shared cache, and its streams are too short for the hardware to see them coming.
class Ahead {
 public:
  Ahead(const void* begin, int64_t bytes, int64_t slots)
      : at_(static_cast<const char*>(begin)), end_(at_ + bytes), lines_((bytes / 64 + slots - 1) / slots) {}
  void fetch() {
    for (int64_t i = 0; i < lines_ && at_ < end_; ++i, at_ += 64) _mm_prefetch(at_, _MM_HINT_T1);
  }

 private:
  const char* at_;
  const char* end_;
  int64_t lines_;
};

// The keys of block `b` of a run against one block of queries: adds to d_v and d_k, leaves dS for d_q.
inline void backward_block(const BackwardRun& run, const BackwardScratch& t, int64_t b, int64_t begin, const Bits* q,
                           Ahead* packed, Ahead* sums) {
  const int64_t head_dim = run.head_dim;
  const int64_t part = kBlock * head_dim;
  const Bits* d_o = q + part;
  const Bits* q_pairs = d_o + part;
  const Bits* d_o_pairs = q_pairs + part;
  const auto* lse2 = reinterpret_cast<const float*>(d_o_pairs + part);
  const Bits* keys = static_cast<const Bits*>(run.keys) + 3 * b * part;
  const Bits* values = keys + part;
  float* d_k = run.d_k + b * part;
  float* d_v = run.d_v + b * part;
  const int64_t first_key = (run.key_block + b) * kBlock;
  for (int64_t r = 0; r < kBlock; r += kKeyRows) {
    tile<kKeyRows, 4, false>(head_dim / 2, keys + r * head_dim, head_dim, q, 2 * kBlock, t.s, kBlock);
    packed->fetch();
    tile<kKeyRows, 4, false>(head_dim / 2, values + r * head_dim, head_dim, d_o, 2 * kBlock, t.d_p, kBlock);
    sums->fetch();
    const int64_t hidden = first_key + r + 1 - run.visible - begin;  // queries of the block that do not see key r
    if (hidden + kKeyRows > 1)
      softmax_backward<true>(t, lse2, lse2 + kBlock, run.scale * kLog2E, hidden, b * kBlock + r);
    else
      softmax_backward<false>(t, lse2, lse2 + kBlock, run.scale * kLog2E, hidden, b * kBlock + r);
    const int64_t skip = larger(0, smaller(kBlock, hidden)) / 2 / kDepth * kDepth;  // pairs of queries that see none of the rows
    const int64_t depth = kBlock / 2 - skip;
    tile_row<kKeyRows>(head_dim, depth, t.p + 2 * skip, kBlock, d_o_pairs + 2 * skip * head_dim, 2 * head_dim, d_v + r * head_dim,
                       head_dim);
    packed->fetch();
    tile_row<kKeyRows>(head_dim, depth, t.d_s + 2 * skip, kBlock, q_pairs + 2 * skip * head_dim, 2 * head_dim, d_k + r * head_dim,
                       head_dim);
  }
}

void backward(const BackwardRun& run) {
  enter_tiles();
  const int64_t head_dim = run.head_dim;
  const int64_t part = kBlock * head_dim;
  const BackwardScratch t(run.scratch);
  const Bits* keys_t = static_cast<const Bits*>(run.keys) + 2 * part;
  const int64_t first_query = larger(0, run.key_block * kBlock + 1 - run.visible);  // the first that sees a key of these blocks
  for (int64_t begin = first_query / kBlock * kBlock; begin < run.queries; begin += kBlock) {
    const auto* q = reinterpret_cast<const Bits*>(static_cast<const char*>(run.queries_packed) +
                                                  begin / kBlock * backward_query_bytes(head_dim));
    const int64_t slots = run.key_blocks * kBlock / kKeyRows;
    const bool more = begin + kBlock < run.queries;
    Ahead packed(reinterpret_cast<const char*>(q) + backward_query_bytes(head_dim), more ? backward_query_bytes(head_dim) : 0,
                 2 * slots);
    Ahead sums(run.d_q + (begin / kBlock + 1) * part, more ? part * 4 : 0, slots);
    int64_t blocks = 0;
    for (; blocks < run.key_blocks && (run.key_block + blocks) * kBlock < run.visible + begin + kBlock - 1; ++blocks)
      backward_block(run, t, blocks, begin, q, &packed, &sums);
    float* d_q = run.d_q + begin / kBlock * part;
    for (int64_t e = 0; e < head_dim; e += kKeyRows)
      tile<kKeyRows, 4, true>(blocks * kBlock / 2, keys_t + e * kBlock, kBlock, t.d_s_pairs, 2 * kBlock, d_q + e * kBlock, kBlock,
                              kBlock / 2, 0, 3 * part - kBlock);
  }
  leave_tiles();
}

void store_key_grad(const float* sum, float scale, bool add, int64_t count, int64_t head_dim, const HeadRows& out) {
  const __m512 factor = _mm512_set1_ps(scale);
  for (int64_t r = 0; r < count; ++r)
    for (int64_t e = 0; e < head_dim; e += 16) {
      const __m512 x = _mm512_mul_ps(_mm512_loadu_ps(sum + r * head_dim + e), factor);
      if (out.bf16) {
        Bits* at = static_cast<Bits*>(out.data) + r * out.stride + e;
        store_bf16(at, add ? _mm512_add_ps(widen(at), x) : x);
      } else {
        float* at = static_cast<float*>(out.data) + r * out.stride + e;
        _mm512_storeu_ps(at, add ? _mm512_add_ps(_mm512_loadu_ps(at), x) : x);
      }
    }
}

// The accumulators are (E, 64): queries along the lanes.
void store_d_q(const float* parts, int64_t part_stride, int64_t part_count, float scale, int64_t count, int64_t head_dim,
               const HeadRows& out) {
  const __m512 factor = _mm512_set1_ps(scale);
  for (int64_t e = 0; e < head_dim; e += 16)
    for (int64_t r = 0; r < count; r += 16) {
      __m512i block[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        const float* at = parts + (e + i) * kBlock + r;
        __m512 sum = _mm512_loadu_ps(at);
        for (int64_t part = 1; part < part_count; ++part) sum = _mm512_add_ps(sum, _mm512_loadu_ps(at + part * part_stride));
        block[i] = _mm512_castps_si512(_mm512_mul_ps(sum, factor));
      }
      transpose16(block);
      for (int64_t i = 0; i < smaller(16, count - r); ++i) {
        const __m512 row = _mm512_castsi512_ps(block[i]);
        if (out.bf16)
          store_bf16(static_cast<Bits*>(out.data) + (r + i) * out.stride + e, row);
        else
          _mm512_storeu_ps(static_cast<float*>(out.data) + (r + i) * out.stride + e, row);
      }
    }
}

// The unit's table, beside the decoding that it uses.
constexpr AttentionKernels kernels_beside(int64_t (*decode_bytes)(int64_t head_dim, int64_t rows),
                                          void (*decode_rows)(const DecodeRun& run)) {
  return {
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
      .decode_thread_bytes = decode_bytes,
      .decode = decode_rows,
  };
}

}  // namespace
}  // namespace tenfold::cpu
