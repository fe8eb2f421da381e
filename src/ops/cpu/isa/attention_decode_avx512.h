#pragma once

// Attention of a few query rows over unpacked keys, with the tiles of 4 rows: included by the unit that has them.

#include "ops/cpu/isa/attention_bf16_body.h"

namespace tenfold::cpu {
namespace {

struct DecodeScratch {
  float* o;  // (rows, E), rows a multiple of 4
  float* l;  // (rows, 16)
  float* m;  // (rows)
  float* s;  // (4, 64)
  Bits* p;   // (4, 64)
  Bits* q;   // (rows, E)
  Bits* v;   // (32, E, 2)

  DecodeScratch(void* at, int64_t head_dim, int64_t rows) {
    o = static_cast<float*>(at);
    l = o + rows * head_dim;
    s = l + rows * 16;
    m = s + kRows * kBlock;
    p = reinterpret_cast<Bits*>(m + rows);
    q = p + kRows * kBlock;
    v = q + rows * head_dim;
  }
};

inline int64_t whole_tiles(int64_t rows) { return (rows + kRows - 1) / kRows * kRows; }

int64_t decode_thread_bytes(int64_t head_dim, int64_t rows) {
  const int64_t all = whole_tiles(rows);
  return all * (6 * head_dim + 17 * 4) + kRows * kBlock * 6 + kBlock * head_dim * 2;
}

// The rows of the next block of a cache, asked for in small portions: several heads' rows lie between two of one, which the
// hardware does not foresee, and a burst would stop the work that hides it.
class RowsAhead {
 public:
  RowsAhead(const HeadRows& k, const HeadRows& v, int64_t head_dim, int64_t first, int64_t end, int64_t portions)
      : k_(k), v_(v), head_dim_(head_dim), at_(first), end_(end), portion_((end - first + portions - 1) / portions) {}
  void fetch() {
    for (const int64_t stop = smaller(at_ + portion_, end_); at_ < stop; ++at_) {
      fetch_row(k_, at_, head_dim_);
      fetch_row(v_, at_, head_dim_);
    }
  }

 private:
  HeadRows k_, v_;
  int64_t head_dim_, at_, end_, portion_;
};

// Scores of one query against keys [first, first + count), 16 at a time; lanes beyond are not meaningful. kVectors of 32
// elements, or any.
template <int kVectors>
inline void decode_scores(const Bits* q, const HeadRows& k, int64_t first, int64_t count, int64_t head_dim, float* s,
                          RowsAhead* ahead) {
  const int64_t whole = kVectors > 0 ? kVectors * 32 : head_dim / 32 * 32;
  for (int64_t g = 0; g < count; g += 16) {
    ahead->fetch();
    __m512 sum[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      const Bits* key = row_of(k, first + smaller(g + i, count - 1));
      sum[i] = _mm512_setzero_ps();
#pragma GCC unroll 4
      for (int64_t e = 0; e < whole; e += 32) sum[i] = _mm512_dpbf16_ps(sum[i], pairs(q + e), pairs(key + e));
      if (kVectors == 0 && whole < head_dim) {
        const __m512i a = _mm512_maskz_loadu_epi16(0xffff, q + whole), b = _mm512_maskz_loadu_epi16(0xffff, key + whole);
        sum[i] = _mm512_dpbf16_ps(sum[i], reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
      }
    }
    _mm512_storeu_ps(s + g, sums_of_lanes(sum));
  }
}

void decode(const DecodeRun& run) {
  const int64_t head_dim = run.head_dim;
  const int64_t rows = whole_tiles(run.rows);
  const DecodeScratch t(run.scratch, head_dim, rows);
  for (int64_t i = 0; i < rows * head_dim; ++i) t.o[i] = 0.0F;
  for (int64_t i = 0; i < rows * 16; ++i) t.l[i] = 0.0F;
  for (int64_t i = 0; i < rows; ++i) t.m[i] = kLowest;
  for (int64_t i = 0; i < kRows * kBlock; ++i) t.p[i] = 0;
  for (int64_t i = 0; i < rows * head_dim; i += 16) {
    const __mmask16 real = i < run.rows * head_dim ? __mmask16{0xffff} : __mmask16{0};
    store_bf16(t.q + i, _mm512_maskz_loadu_ps(real, run.q + i));
  }
  for (int64_t first = 0; first < run.keys; first += kBlock) {
    const int64_t count = smaller(kBlock, run.keys - first);
    const int64_t portions = run.rows * (kBlock / 16);
    RowsAhead ahead(run.k, run.v, head_dim, first + count, smaller(first + count + kBlock, run.keys), portions);
    const HeadRows values = {static_cast<Bits*>(run.v.data) + first * run.v.stride, run.v.stride, true};
    pack_row_pairs(values, count, head_dim, t.v);
    for (int64_t r = 0; r < run.rows; r += kRows) {
      for (int64_t i = 0; i < kRows && r + i < run.rows; ++i) {
        const int64_t row = r + i;
        const int64_t seen = larger(0, smaller(count, run.visible[row] - first));
        const Bits* q = t.q + row * head_dim;
        if (head_dim == 64)
          decode_scores<2>(q, run.k, first, count, head_dim, t.s, &ahead);
        else if (head_dim == 128)
          decode_scores<4>(q, run.k, first, count, head_dim, t.s, &ahead);
        else
          decode_scores<0>(q, run.k, first, count, head_dim, t.s, &ahead);
        softmax_row<4, true>(t.s, seen, run.scale * kLog2E, t.m + row, t.l + 16 * row, t.o + row * head_dim, head_dim,
                             t.p + i * kBlock);
      }
      tile_row<kRows>(head_dim, (count + 1) / 2, t.p, kBlock, t.v, 2 * head_dim, t.o + r * head_dim, head_dim);
    }
  }
  for (int64_t r = 0; r < run.rows; ++r) {
    float* out = run.partial + r * (head_dim + 16);
    for (int64_t e = 0; e < head_dim; ++e) out[e] = t.o[r * head_dim + e];
    out[head_dim] = t.m[r];
    out[head_dim + 1] = _mm512_reduce_add_ps(_mm512_loadu_ps(t.l + 16 * r));
  }
}

}  // namespace
}  // namespace tenfold::cpu
