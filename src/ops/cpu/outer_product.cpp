// out += alpha a^T b, summed over rows: both sides are packed as panels (pairs of rows interleaved), one is then read by columns
// as the kernel's left operand. The wide side is shared out among the threads and packed panel by panel; every thread packs the
// narrow one.
#include "core/checked.h"
#include "ops/cpu/gemm.h"

#include <omp.h>

#include <algorithm>

namespace tenfold::cpu {
namespace {

struct Side {
  Source source;
  int64_t cols;
};

struct Job {
  const GemmKernels& kernels;
  Side a, b;
  int64_t k;
  float alpha;
  TensorView out;

  int64_t panel_cols(const Side& side, int64_t col, int64_t end) const {
    return std::min({kernels.panel_cols(), side.cols - col, end - col});
  }
  int64_t width(int64_t cols) const { return round_up(cols, kernels.lanes); }
  void pack(const Side& side, int64_t col, int64_t cols, std::byte* to) const {
    kernels.pack(side.source, true, {col, cols, 0, k}, to);
  }
};

/// The tiles of columns [a_col, a_col + a_cols) of a with [b_col, b_col + b_cols) of b, both packed.
void run_panels(const Job& job, int64_t a_col, int64_t a_cols, const std::byte* a_panel, int64_t b_col, int64_t b_cols,
                const std::byte* b_panel) {
  const GemmKernels& kernels = job.kernels;
  Tile t;
  t.cols = static_cast<int>(b_cols);
  t.vectors = static_cast<int>(ceil_div(b_cols, kernels.lanes));
  t.alpha = job.alpha;
  t.term[0] = {nullptr, kernels.group, job.width(a_cols) * kernels.group, b_panel, kernels.steps(job.k)};
  t.out_stride = job.out.stride(0);
  t.residual_stride = t.out_stride;
  const int64_t tiles = ceil_div(a_cols, kernels.max_rows(t.vectors));
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t begin = kernels.tile_row(a_cols, tiles, i);
    const int64_t end = kernels.tile_row(a_cols, tiles, i + 1);
    t.rows = static_cast<int>(end - begin);
    t.term[0].a = a_panel + begin * kernels.group * size_of(kernels.dtype);
    t.out = job.out.row<float>(a_col + begin) + b_col;
    t.residual = t.out;
    kernels.tile(t);
  }
}

/// A thread's part: columns [begin, end) of the wide side against all of the narrow one.
void run_part(const Job& job, bool a_is_wide, int64_t begin, int64_t end, std::byte* scratch) {
  if (begin >= end) return;
  const GemmKernels& kernels = job.kernels;
  const Side& wide = a_is_wide ? job.a : job.b;
  const Side& narrow = a_is_wide ? job.b : job.a;
  const int64_t panel_bytes = round_up(kernels.panel_bytes(job.k, kernels.panel_cols()), 64);
  std::byte* wide_panel = scratch;
  std::byte* narrow_panels = scratch + panel_bytes;
  for (int64_t col = 0; col < narrow.cols; col += kernels.panel_cols())
    job.pack(narrow, col, job.panel_cols(narrow, col, narrow.cols), narrow_panels + col / kernels.panel_cols() * panel_bytes);
  for (int64_t col = begin; col < end; col += kernels.panel_cols()) {
    const int64_t cols = job.panel_cols(wide, col, end);
    job.pack(wide, col, cols, wide_panel);
    for (int64_t other = 0; other < narrow.cols; other += kernels.panel_cols()) {
      const std::byte* panel = narrow_panels + other / kernels.panel_cols() * panel_bytes;
      const int64_t other_cols = job.panel_cols(narrow, other, narrow.cols);
      if (a_is_wide)
        run_panels(job, col, cols, wide_panel, other, other_cols, panel);
      else
        run_panels(job, other, other_cols, panel, col, cols, wide_panel);
    }
  }
}

int64_t part_bytes(const GemmKernels& kernels, int64_t k, int64_t m, int64_t n) {
  return (1 + ceil_div(std::min(m, n), kernels.panel_cols())) * round_up(kernels.panel_bytes(k, kernels.panel_cols()), 64);
}

}  // namespace

void outer_product(Exec& exec, const TensorView& a, const TensorView& b, float alpha, const TensorView& out) {
  const int64_t m = a.dim(1);
  const int64_t n = b.dim(1);
  TENFOLD_CHECK(a.dim(0) == b.dim(0) && out.dim(0) == m && out.dim(1) == n && out.dtype == DType::kF32,
                "{}^T {} into {}: {}, {}, {}", a.name, b.name, out.name, shape_text(a), shape_text(b), shape_text(out));
  const Workspace::Scope scope(exec.scratch);
  const Job job{gemm_kernels(exec.compute), {source_of(a), m}, {source_of(b), n}, a.dim(0), alpha, out};
  const int threads = exec.device.threads();
  const int64_t bytes = part_bytes(job.kernels, job.k, m, n);
  auto* scratch = static_cast<std::byte*>(exec.scratch.bytes(threads * bytes));
  const bool a_is_wide = m >= n;
  // Shares begin at multiples of 32: a run of every layout.
  constexpr int64_t kRun = 32;
  const int64_t runs = ceil_div(std::max(m, n), kRun);
#pragma omp parallel num_threads(threads)
  {
    const KernelScope use(job.kernels);
    const int id = omp_get_thread_num();
    const int count = omp_get_num_threads();
    run_part(job, a_is_wide, runs * id / count * kRun, std::min(std::max(m, n), runs * (id + 1) / count * kRun),
             scratch + id * bytes);
  }
}

void plan_outer_product(Exec& exec, int64_t k, int64_t m, int64_t n) {
  const Workspace::Scope scope(exec.scratch);
  exec.scratch.bytes(exec.device.threads() * part_bytes(gemm_kernels(exec.compute), k, m, n));
}

}  // namespace tenfold::cpu
