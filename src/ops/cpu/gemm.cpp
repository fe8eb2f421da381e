#include "ops/cpu/gemm.h"

#include "core/checked.h"
#include "core/stopwatch.h"
#include "ops/cpu/isa/gemm_kernels.h"
#include "ops/cpu_features.h"

#include <omp.h>

#include <algorithm>
#include <array>

namespace tenfold::cpu {
namespace {

/// Panels are expanded in groups of about this size, so that a group stays in the second-level cache while the rows run past it.
constexpr int64_t kGroupBytes = 384 * 1024;
constexpr size_t kMaxTerms = 2;

struct Plan {
  const GemmKernels& kernels;
  int64_t m = 0;
  int64_t n = 0;
  int64_t panels = 0;
  std::array<int64_t, kMaxTerms> k{};
  size_t terms = 0;
  int64_t panel_bytes = 0;  ///< of all terms of a full panel
  int64_t group = 1;        ///< panels expanded together

  Plan(DType compute, int64_t rows, int64_t cols, std::span<const int64_t> ks)
      : kernels(gemm_kernels(compute)), m(rows), n(cols) {
    terms = ks.size();
    panels = ceil_div(n, kernels.panel_cols());
    for (size_t i = 0; i < terms; ++i) {
      k[i] = ks[i];
      panel_bytes += round_up(kernels.panel_bytes(ks[i], kernels.panel_cols()), 64);
    }
    group = std::clamp<int64_t>(kGroupBytes / std::max<int64_t>(panel_bytes, 1), 1, panels);
  }
  int64_t cols_of(int64_t panel) const { return std::min(kernels.panel_cols(), n - panel * kernels.panel_cols()); }
  int64_t offset(size_t term) const { return term == 0 ? 0 : round_up(kernels.panel_bytes(k[0], kernels.panel_cols()), 64); }
};

struct Job {
  const Plan& plan;
  std::span<const GemmTerm> terms;
  const GemmOut& out;
};

/// Rows [row_begin, row_end) of panels [first, last), which have the same width.
struct Block {
  int64_t first, last, row_begin, row_end;
};

void* element(const TensorView& t, int64_t row, int64_t col) {
  return static_cast<std::byte*>(t.data) + (row * t.stride(0) + col) * size_of(t.dtype);
}

void run_tile(const Job& job, int64_t panel, const std::byte* packed, int64_t row, int64_t rows) {
  const Plan& plan = job.plan;
  const int64_t col = panel * plan.kernels.panel_cols();
  Tile t;
  t.terms = static_cast<int>(plan.terms);
  for (size_t i = 0; i < plan.terms; ++i) {
    const TensorView& a = job.terms[i].a;
    t.term[i] = {element(a, row, 0), a.stride(0), plan.kernels.group, packed + plan.offset(i), plan.kernels.steps(plan.k[i])};
  }
  t.rows = static_cast<int>(rows);
  t.cols = static_cast<int>(plan.cols_of(panel));
  t.vectors = static_cast<int>(ceil_div(t.cols, plan.kernels.lanes));
  t.out = element(job.out.out, row, col);
  t.out_stride = job.out.out.stride(0);
  t.out_bf16 = job.out.out.dtype == DType::kBF16;
  if (!job.out.bias.empty()) t.bias = job.out.bias.ptr<float>() + col;
  if (!job.out.residual.empty()) {
    t.residual = element(job.out.residual, row, col);
    t.residual_stride = job.out.residual.stride(0);
    t.residual_bf16 = job.out.residual.dtype == DType::kBF16;
  }
  plan.kernels.tile(t);
}

/// Returns the seconds spent on expansion.
double run_block(const Job& job, const Block& block, std::byte* scratch) {
  const Plan& plan = job.plan;
  double expansion = 0.0;
  for (int64_t first = block.first; first < block.last; first += plan.group) {
    const int64_t last = std::min(block.last, first + plan.group);
    const Stopwatch watch;
    for (int64_t p = first; p < last; ++p)
      for (size_t i = 0; i < plan.terms; ++i)
        plan.kernels.pack(job.terms[i].b, job.terms[i].by_rows, {p * plan.kernels.panel_cols(), plan.cols_of(p), 0, plan.k[i]},
                          scratch + (p - first) * plan.panel_bytes + plan.offset(i));
    expansion += watch.seconds();
    const int vectors = static_cast<int>(ceil_div(plan.cols_of(first), plan.kernels.lanes));
    const int64_t rows = block.row_end - block.row_begin;
    const int64_t tiles = ceil_div(rows, plan.kernels.max_rows(vectors));
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t begin = block.row_begin + plan.kernels.tile_row(rows, tiles, t);
      const int64_t end = block.row_begin + plan.kernels.tile_row(rows, tiles, t + 1);
      for (int64_t p = first; p < last; ++p) run_tile(job, p, scratch + (p - first) * plan.panel_bytes, begin, end - begin);
    }
  }
  return expansion;
}

/// The part of thread `id`: a run of (panel, row) positions in panel order, as at most four blocks.
double run_part(const Job& job, int id, int threads, std::byte* scratch) {
  const Plan& plan = job.plan;
  const int64_t full = plan.panels - (plan.cols_of(plan.panels - 1) < plan.kernels.panel_cols() ? 1 : 0);
  const int64_t narrow_work = plan.m * round_up(full < plan.panels ? plan.cols_of(full) : 0, plan.kernels.lanes);
  const int64_t full_work = plan.m * plan.kernels.panel_cols();
  const int64_t total = full * full_work + narrow_work;
  const auto position = [&](int64_t at) {
    if (at >= total) return std::pair{plan.panels, int64_t{0}};
    const int64_t panel = std::min(at / full_work, full);
    const int64_t width = panel < full ? plan.kernels.panel_cols() : narrow_work / plan.m;
    return std::pair{panel, (at - panel * full_work) / width};
  };
  auto [panel, row] = position(total / threads * id + total % threads * id / threads);
  const auto [last_panel, last_row] = position(total / threads * (id + 1) + total % threads * (id + 1) / threads);
  double seconds = 0.0;
  if (row > 0 && panel < last_panel) {
    seconds += run_block(job, {panel, panel + 1, row, plan.m}, scratch);
    ++panel;
    row = 0;
  }
  const int64_t whole = std::min(last_panel, full);
  if (panel < whole) {
    seconds += run_block(job, {panel, whole, 0, plan.m}, scratch);
    panel = whole;
  }
  for (; panel < last_panel; ++panel) seconds += run_block(job, {panel, panel + 1, 0, plan.m}, scratch);
  if (panel == last_panel && last_row > row) seconds += run_block(job, {panel, panel + 1, row, last_row}, scratch);
  return seconds;
}

}  // namespace

const GemmKernels& gemm_kernels(DType compute) {
  const ops::CpuIsa isa = ops::cpu_isa();
  if (compute == DType::kBF16) {
    if (isa == ops::CpuIsa::kAmxBf16) return gemm_kernels_amx_bf16();
    return isa == ops::CpuIsa::kAvx512Bf16 ? gemm_kernels_avx512_bf16() : generic_gemm_kernels(compute);
  }
  switch (isa) {
    case ops::CpuIsa::kAmxBf16:
    case ops::CpuIsa::kAvx512Bf16:
    case ops::CpuIsa::kAvx512: return gemm_kernels_avx512();
    case ops::CpuIsa::kAvx2: return gemm_kernels_avx2();
    case ops::CpuIsa::kGeneric: break;
  }
  return generic_gemm_kernels(compute);
}

void gemm(Exec& exec, std::span<const GemmTerm> terms, const GemmOut& out, Part part, double flops) {
  TENFOLD_CHECK(!terms.empty() && terms.size() <= kMaxTerms, "{} terms", terms.size());
  std::array<int64_t, kMaxTerms> ks{};
  for (size_t i = 0; i < terms.size(); ++i) ks[i] = terms[i].by_rows ? terms[i].b.rows : terms[i].b.cols;
  const int64_t m = terms[0].a.dim(0);
  const int64_t n = terms[0].by_rows ? terms[0].b.cols : terms[0].b.rows;
  if (m == 0 || n == 0) return;
  const Plan plan(exec.compute, m, n, std::span(ks).first(terms.size()));
  for (size_t i = 0; i < terms.size(); ++i) {
    const TensorView& a = terms[i].a;
    TENFOLD_CHECK(a.dtype == exec.compute && a.dim(0) == m && a.dim(1) == plan.kernels.steps(ks[i]) * plan.kernels.group,
                  "{}: {} {} for K = {}", a.name, name_of(a.dtype), shape_text(a), ks[i]);
  }
  const Stopwatch watch;
  const int threads = exec.device.threads();
  const Workspace::Scope scope(exec.scratch);
  const int64_t scratch_bytes = plan.group * plan.panel_bytes;
  auto* scratch = static_cast<std::byte*>(exec.scratch.bytes(threads * scratch_bytes));
  const Job job{plan, terms, out};
  double expansion = 0.0;
#pragma omp parallel num_threads(threads)
  {
    const KernelScope use(plan.kernels);
    const int id = omp_get_thread_num();
    const double seconds = run_part(job, id, omp_get_num_threads(), scratch + id * scratch_bytes);
    if (id == 0) expansion = seconds;
  }
  if (exec.profile == nullptr) return;
  const double seconds = watch.seconds();
  if (part == Part::kProducts) {
    exec.profile->add(Part::kExpansion, expansion, 0.0);
    exec.profile->add(part, seconds - expansion, flops);
  } else {
    exec.profile->add(part, seconds, flops);
  }
}

void plan_gemm(Exec& exec, int64_t n, std::span<const int64_t> ks) {
  const Plan plan(exec.compute, 1, n, ks);
  const Workspace::Scope scope(exec.scratch);
  exec.scratch.bytes(exec.device.threads() * plan.group * plan.panel_bytes);
}

TensorView gemm_operand(Exec& exec, const TensorView& t) {
  const GemmKernels& kernels = gemm_kernels(exec.compute);
  const int64_t group = kernels.group;
  const int64_t rows = t.dim(0);
  const int64_t cols = t.dim(1);
  if (t.dtype == exec.compute && cols % group == 0) return t;
  const int64_t padded = round_up(cols, group);
  const TensorView copy = exec.scratch.tensor("operand", exec.compute, {rows, padded});
  if (exec.scratch.measuring()) return copy;
  const Source source = source_of(t);
#pragma omp parallel for schedule(static) num_threads(exec.device.threads())
  for (int64_t i = 0; i < rows; ++i) {
    if (exec.compute == DType::kF32) {
      decode(source, i, 0, cols, copy.row<float>(i));
      continue;
    }
    bf16* to = copy.row<bf16>(i);
    if (t.dtype == DType::kBF16)
      std::copy_n(t.row<bf16>(i), cols, to);
    else
      kernels.round(t.row<float>(i), cols, to);
    std::fill(to + cols, to + padded, bf16());
  }
  return copy;
}

}  // namespace tenfold::cpu
