#pragma once

#include "core/checked.h"
#include "core/tensor.h"
#include "device/exec.h"
#include "ops/cpu/expand.h"

#include <algorithm>
#include <span>

namespace tenfold::cpu {

/// One tile of a product for a kernel: rows x columns sums over up to two terms in the same accumulators, then the epilogue.
/// An element's sum runs over k upwards in one accumulator whatever the tile's shape, so results do not depend on how rows and
/// columns are cut into tiles.
struct Tile {
  struct Term {
    const void* a = nullptr;  ///< rows of the kernel's element type, contiguous in k
    int64_t a_stride = 0;     ///< elements from one row of a to the next
    int64_t a_step =
        0;  ///< elements from one step to the next: the group, or a panel's row where a is a packed panel read by columns
    const void* b = nullptr;  ///< a packed panel
    int64_t steps = 0;        ///< k / group, rounded up
  };
  Term term[2];
  int terms = 1;
  int rows = 0;     ///< at most GemmKernels::max_rows(vectors)
  int vectors = 0;  ///< columns of the panel / lanes
  int cols = 0;     ///< columns that are stored, in (lanes (vectors - 1), lanes vectors]

  void* out = nullptr;
  int64_t out_stride = 0;
  bool out_bf16 = false;
  float alpha = 1.0F;              ///< factor of the sums
  const float* bias = nullptr;     ///< added, a column each
  const void* residual = nullptr;  ///< added, an element each
  int64_t residual_stride = 0;
  bool residual_bf16 = false;
};

/// A panel holds columns [col, col + cols) of op(B) for k in [k_begin, k_begin + k_count): layout [steps][lanes vectors][group],
/// k padded to the group and columns to the lanes with zeros.
struct PanelRange {
  int64_t col = 0;
  int64_t cols = 0;
  int64_t k_begin = 0;
  int64_t k_count = 0;
};

/// The kernels of one instruction set and element type.
struct GemmKernels {
  DType dtype;                   ///< of a and of the panels
  int group;                     ///< k values side by side in a panel: 2 for bf16, 1 for f32
  int lanes;                     ///< columns of a vector
  int max_vectors;               ///< vectors of a full panel, whose columns are a multiple of 32: a run of every block format
  int (*max_rows)(int vectors);  ///< a multiple of row_multiple
  /// Packs a panel of B (K x N): B(k, n) = source(n, k), or source(k, n) when `by_rows`.
  void (*pack)(const Source& source, bool by_rows, const PanelRange& range, void* panel);
  void (*tile)(const Tile& tile);
  /// n values of f32 to the element type, to nearest even.
  void (*round)(const float* from, int64_t n, void* to);
  int row_multiple = 1;       ///< tiles of so many rows are the fastest
  void (*enter)() = nullptr;  ///< to be called by a thread before its first tile: see KernelScope
  void (*leave)() = nullptr;  ///< and after its last

  /// The first row of tile `i` of `tiles`, which share out `rows`.
  int64_t tile_row(int64_t rows, int64_t tiles, int64_t i) const {
    return std::min(rows, round_up(i * rows / tiles, row_multiple));
  }
  int64_t panel_cols() const { return int64_t{lanes} * max_vectors; }
  int64_t steps(int64_t k) const { return (k + group - 1) / group; }
  int64_t panel_bytes(int64_t k, int64_t cols) const {
    return steps(k) * group * ((cols + lanes - 1) / lanes * lanes) * size_of(dtype);
  }
};

/// While it lives, its thread may call tile().
class KernelScope {
 public:
  explicit KernelScope(const GemmKernels& kernels) : leave_(kernels.leave) {
    if (kernels.enter != nullptr) kernels.enter();
  }
  KernelScope(const KernelScope&) = delete;
  KernelScope& operator=(const KernelScope&) = delete;
  ~KernelScope() {
    if (leave_ != nullptr) leave_();
  }

 private:
  void (*leave_)();
};

/// The fastest kernels of this CPU for a compute dtype.
const GemmKernels& gemm_kernels(DType compute);
/// Plain C++, the same arithmetic up to the order of two neighbouring products: what the others are tested against.
const GemmKernels& generic_gemm_kernels(DType compute);

/// a (M, K) times op(B) (K, N).
struct GemmTerm {
  TensorView a;  ///< compute dtype
  Source b;
  bool by_rows = false;  ///< B(k, n) = b(k, n), so b has K rows; else B(k, n) = b(n, k)
};

struct GemmOut {
  TensorView out;            ///< (M, N)
  TensorView bias = {};      ///< optional (N) f32
  TensorView residual = {};  ///< optional (M, N); may be `out`
};

/// out = sum of terms + bias + residual; expands each panel of B just before its use, so B is never in memory as a whole.
/// Adds the time of the expansion to Part::kExpansion and the rest to `part`, with `flops`.
void gemm(Exec& exec, std::span<const GemmTerm> terms, const GemmOut& out, Part part, double flops);

/// Rows of a tensor as the kernels read them: itself, or a copy in scratch with the columns padded to the group by zeros and
/// rounded to the compute dtype.
TensorView gemm_operand(Exec& exec, const TensorView& t);

/// out (M, N) f32 += alpha a^T b for a (K, M) and b (K, N), summed over their rows in order. For gradients of weights.
void outer_product(Exec& exec, const TensorView& a, const TensorView& b, float alpha, const TensorView& out);

/// Takes from the workspace what gemm() takes for such a product: for planning.
void plan_gemm(Exec& exec, int64_t n, std::span<const int64_t> ks);
void plan_outer_product(Exec& exec, int64_t k, int64_t m, int64_t n);

}  // namespace tenfold::cpu
