#pragma once

#include "core/checked.h"
#include "core/tensor.h"
#include "device/exec.h"
#include "ops/attention.h"
#include "ops/cpu/isa/attention_kernels.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace tenfold::cpu {

using ops::AttentionSegment;

/// Sizes of one call and the memory that its passes take.
struct AttentionShape {
  int64_t tokens = 0;
  int64_t keys = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int threads = 1;

  int64_t group() const { return heads / kv_heads; }
  int64_t width() const { return round_up(head_dim, 16); }
  /// Blocks that a batch of segments may take: each segment is padded to whole blocks, so a little more than the rows alone.
  static int64_t block_capacity(int64_t rows) {
    const int64_t blocks = ceil_div(rows, kAttentionBlock);
    return blocks + std::min<int64_t>(blocks, 32);
  }
};

/// A run of rows that starts at a row of the caller's tensors.
struct RowBlock {
  int64_t segment = 0;
  int64_t first = 0;  ///< row of the segment
  int64_t count = 0;
};

/// Segments that are packed and processed together.
struct SegmentBatch {
  std::vector<AttentionSegment> segments;
  std::vector<int64_t> key_offset;    ///< first key block of each segment
  std::vector<int64_t> query_offset;  ///< first query block of each segment
  std::vector<RowBlock> key_blocks;
  std::vector<RowBlock> query_blocks;

  void add(const AttentionSegment& segment);
  bool fits(const AttentionSegment& segment, const AttentionShape& shape) const;
  void clear();
};

/// The kernels for tensors of this dtype on this CPU.
const AttentionKernels& attention_kernels(DType dtype, int64_t head_dim);

/// Rows from `row` of head `head` of a (T, H, E) tensor.
HeadRows head_rows(const TensorView& t, int64_t row, int64_t head);

/// Keys that the first query of a segment sees.
inline int64_t visible_at_first(const AttentionSegment& s) { return (s.k_end - s.k_begin) - (s.q_end - s.q_begin) + 1; }
/// Whether the (disjoint) segments hold every query.
bool covers(std::span<const AttentionSegment> segments, int64_t tokens);
void zero_rows(const TensorView& t, int threads);
/// Rounded up to a cache line.
inline int64_t align_bytes(int64_t bytes) { return round_up(bytes, 64); }

/// Kv heads whose packed keys are held at once in the forward.
int64_t forward_kv_heads_at_once(const AttentionKernels& kernels, const AttentionShape& shape);

int64_t forward_scratch_bytes(const AttentionKernels& kernels, const AttentionShape& shape);
int64_t backward_scratch_bytes(const AttentionKernels& kernels, const AttentionShape& shape);
int64_t decode_scratch_bytes(const AttentionKernels& kernels, const AttentionShape& shape);

/// Attends the segments with few queries each (decoding): work is cut by ranges of keys, and partial results join in a fixed
/// order.
void attention_decode(Exec& exec, const AttentionKernels& kernels, const AttentionShape& shape, const TensorView& q,
                      const TensorView& k, const TensorView& v, std::span<const AttentionSegment> segments, float scale,
                      const TensorView& o, const TensorView& lse);

}  // namespace tenfold::cpu
