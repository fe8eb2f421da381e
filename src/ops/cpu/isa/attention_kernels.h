#pragma once

#include <cstdint>

namespace tenfold::cpu {

/// Keys, and queries in the backward, are packed and processed in blocks of this many rows.
inline constexpr int64_t kAttentionBlock = 64;

/// Rows (rows, E) of one head as the caller's tensor holds them.
struct HeadRows {
  void* data = nullptr;
  int64_t stride = 0;  ///< elements from one row to the next
  bool bf16 = false;
};

/// A run of query rows of one head against the packed keys of its segment: row r sees the first visible + r keys.
struct ForwardRun {
  HeadRows q;
  HeadRows o;
  float* lse = nullptr;  ///< (rows), or null
  int64_t rows = 0;
  int64_t visible = 0;
  int64_t head_dim = 0;
  float scale = 1;
  const void* keys = nullptr;  ///< blocks of forward_key_bytes
  void* scratch = nullptr;     ///< forward_thread_bytes
};

/// A few blocks of keys of one head against all query blocks of its segment.
struct BackwardRun {
  int64_t head_dim = 0;
  float scale = 1;
  int64_t key_block = 0;  ///< number of the first block
  int64_t key_blocks = 1;
  int64_t queries = 0;                   ///< of the segment
  int64_t visible = 0;                   ///< keys that query 0 sees
  const void* keys = nullptr;            ///< the first block, each backward_key_bytes
  const void* queries_packed = nullptr;  ///< block 0, blocks of backward_query_bytes
  float* d_k = nullptr;                  ///< blocks of (64, padded E), +=
  float* d_v = nullptr;                  ///< the same
  float* d_q = nullptr;                  ///< block 0, blocks of 64 x padded E floats in the kernel's own order, +=
  void* scratch = nullptr;               ///< backward_thread_bytes
};

/// A few query rows against a range of unpacked keys; the partial result is (m, l, o): maximum (base 2), sum, weighted values.
struct DecodeRun {
  HeadRows k;  ///< first key of the range
  HeadRows v;
  int64_t keys = 0;  ///< in the range
  int64_t head_dim = 0;
  float scale = 1;
  int64_t rows = 0;
  const float* q = nullptr;          ///< (rows, padded E) f32
  const int64_t* visible = nullptr;  ///< (rows) keys of the range that the row sees, may be <= 0
  float* partial = nullptr;          ///< (rows, padded E + 16): o, then m and l
  void* scratch = nullptr;           ///< decode_thread_bytes
};

/// Attention by tiles for one instruction set and arithmetic; packing and tile order are the kernel's own. E is padded to a
/// multiple of 16. A query row's result depends on its keys only, not on the run that it is in.
struct AttentionKernels {
  int64_t forward_rows;  ///< most rows of a ForwardRun
  int64_t (*forward_key_bytes)(int64_t head_dim);
  int64_t (*forward_thread_bytes)(int64_t head_dim);
  void (*pack_forward)(const HeadRows& k, const HeadRows& v, int64_t count, int64_t head_dim, void* out);
  void (*forward)(const ForwardRun& run);

  int64_t backward_key_blocks;  ///< most blocks of a BackwardRun
  int64_t (*backward_key_bytes)(int64_t head_dim);
  int64_t (*backward_query_bytes)(int64_t head_dim);
  int64_t (*backward_thread_bytes)(int64_t head_dim);
  void (*pack_keys)(const HeadRows& k, const HeadRows& v, int64_t count, int64_t head_dim, void* out);
  /// Also computes delta = rowsum(d_o o) of each query.
  void (*pack_queries)(const HeadRows& q, const HeadRows& d_o, const HeadRows& o, const float* lse, int64_t count,
                       int64_t head_dim, void* out);
  void (*backward)(const BackwardRun& run);
  /// out = scale * the sum of `parts` accumulators of a query block, in their order; each is `part_stride` floats after the one
  /// before.
  void (*store_d_q)(const float* parts, int64_t part_stride, int64_t part_count, float scale, int64_t count, int64_t head_dim,
                    const HeadRows& out);
  /// out = or += scale * sum, for rows of a d_k or d_v block.
  void (*store_key_grad)(const float* sum, float scale, bool add, int64_t count, int64_t head_dim, const HeadRows& out);

  int64_t (*decode_thread_bytes)(int64_t head_dim, int64_t rows);
  void (*decode)(const DecodeRun& run);
};

const AttentionKernels& attention_f32_generic();
const AttentionKernels& attention_f32_avx2();
const AttentionKernels& attention_f32_avx512();
/// bf16 products with f32 sums; every HeadRows of q, k, v, o, d_o is bf16 and E a multiple of 16 up to 256.
const AttentionKernels& attention_avx512_bf16();
/// The same where E is a multiple of 32.
const AttentionKernels& attention_amx_bf16();

}  // namespace tenfold::cpu
