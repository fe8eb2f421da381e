// One pass over the vocabulary: for a block of it the logits of a thread's rows are made, turned into exponentials relative to
// the row's running maximum, and multiplied into d_h before the next block, as flash attention does with its keys. No logits ever
// leave the cache.
//
// The target's own term is kept out of the product and added in f32 at the end: softmax - onehot there is -sum(others) / sum,
// which 1 - p would cancel away where the model is sure.
#include "ops/cpu/cross_entropy.h"

#include "core/checked.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/softmax.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>

namespace tenfold::cpu {
namespace {

constexpr int64_t kThreadRows =
    256;  ///< rows of a thread at a time: their exponentials of a block should stay in the second-level cache
constexpr int64_t kBlockBytes = 640 * 1024;  ///< a block's panels should stay in the second-level cache
constexpr int64_t kMaxBlock = 512;

struct RowState {
  float max = -std::numeric_limits<float>::infinity();
  float target_logit = 0.0F;
  double others = 0.0;  ///< sum of exp(logit - max) over all but the target
};

/// Sizes that depend on the head alone, so that a row's result does not depend on the call's rows.
struct Plan {
  const GemmKernels& kernels;
  DType compute;
  int64_t vocabulary;
  int64_t hidden;
  int64_t block;             ///< rows of the head taken at a time
  int64_t head_panel_bytes;  ///< of a panel of logits: block / panel_cols of them
  int64_t back_panel_bytes;  ///< of a panel of d_h: hidden / panel_cols of them

  Plan(DType dtype, int64_t v, int64_t d) : kernels(gemm_kernels(dtype)), compute(dtype), vocabulary(v), hidden(d) {
    const int64_t wanted = kBlockBytes / std::max<int64_t>(d * size_of(dtype), 1) / 64 * 64;
    block = std::min(std::clamp<int64_t>(wanted, 64, kMaxBlock), round_up(v, 64));
    head_panel_bytes = round_up(kernels.panel_bytes(d, kernels.panel_cols()), 64);
    back_panel_bytes = round_up(kernels.panel_bytes(block, kernels.panel_cols()), 64);
  }
  int64_t head_panels() const { return block / kernels.panel_cols(); }
  int64_t back_panels() const { return ceil_div(hidden, kernels.panel_cols()); }
  int64_t panels_bytes(bool gradient) const {
    return head_panels() * head_panel_bytes + (gradient ? back_panels() * back_panel_bytes : 0);
  }
  int64_t blocks() const { return ceil_div(vocabulary, block); }
};

/// What the gradients need of a finished row: softmax = scale exp(logit - max) with the row's weight folded in.
struct RowResult {
  float max;
  float scale;
  float target_scale;  ///< weight (softmax - 1) at the target
};

struct Job {
  const Plan& plan;
  Source head;
  TensorView h;  ///< columns padded to the group
  std::span<const int32_t> targets;
  std::span<const float> weights;
  std::span<float> nll;
  TensorView d_h;
  RowResult* results = nullptr;
  std::byte* panels[2] = {};  ///< two blocks: one is filled while another thread still reads the other
};

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

Range share_of(int64_t n, int id, int threads) { return {n * id / threads, n * (id + 1) / threads}; }

void expand_block(const Job& job, Range vocabulary, std::byte* panels, int id, int threads) {
  const Plan& plan = job.plan;
  const int64_t cols = plan.kernels.panel_cols();
  const int64_t heads = ceil_div(vocabulary.size(), cols);
  const int64_t backs = job.d_h.empty() ? 0 : plan.back_panels();
  const Range mine = share_of(heads + backs, id, threads);
  for (int64_t i = mine.begin; i < mine.end; ++i) {
    if (i < heads) {
      const int64_t col = vocabulary.begin + i * cols;
      plan.kernels.pack(job.head, false, {col, std::min(cols, vocabulary.end - col), 0, plan.hidden},
                        panels + i * plan.head_panel_bytes);
      continue;
    }
    const int64_t col = (i - heads) * cols;
    plan.kernels.pack(job.head, true, {col, std::min(cols, plan.hidden - col), vocabulary.begin, vocabulary.size()},
                      panels + plan.head_panels() * plan.head_panel_bytes + (i - heads) * plan.back_panel_bytes);
  }
}

Tile tile_of(const Plan& plan, const void* a, int64_t a_stride, const std::byte* panel, int64_t k, int64_t rows, int64_t cols) {
  Tile t;
  t.term[0] = {a, a_stride, plan.kernels.group, panel, plan.kernels.steps(k)};
  t.rows = static_cast<int>(rows);
  t.cols = static_cast<int>(cols);
  t.vectors = static_cast<int>(ceil_div(cols, plan.kernels.lanes));
  return t;
}

void* element(const TensorView& t, int64_t row, int64_t col) {
  return static_cast<std::byte*>(t.data) + (row * t.stride(0) + col) * size_of(t.dtype);
}

/// Logits (rows, block) of some rows, at most a tile's.
void block_logits(const Job& job, Range rows, Range vocabulary, const std::byte* panels, float* logits) {
  const Plan& plan = job.plan;
  const int64_t cols = plan.kernels.panel_cols();
  for (int64_t at = 0; at < vocabulary.size(); at += cols) {
    Tile t = tile_of(plan, element(job.h, rows.begin, 0), job.h.stride(0), panels + at / cols * plan.head_panel_bytes,
                     plan.hidden, rows.size(), std::min(cols, vocabulary.size() - at));
    t.out = logits + at;
    t.out_stride = plan.block;
    plan.kernels.tile(t);
  }
}

/// Takes a row's logits of a block into its running softmax; `out` (may be null) gets the exponentials, 0 at the target.
void take_block(const Job& job, int64_t row, Range vocabulary, float* logits, RowState& state, void* out) {
  const SoftmaxKernels& softmax = softmax_kernels();
  const int64_t n = vocabulary.size();
  const float max = std::max(state.max, softmax.maximum(logits, n));
  const int64_t target = job.targets[static_cast<size_t>(row)];
  if (target >= vocabulary.begin && target < vocabulary.end) {
    state.target_logit = logits[target - vocabulary.begin];
    logits[target - vocabulary.begin] = -std::numeric_limits<float>::infinity();
  }
  if (max != state.max && vocabulary.begin > 0) {
    const float factor = std::exp(state.max - max);
    state.others *= factor;
    if (!job.d_h.empty()) std::for_each_n(job.d_h.row<float>(row), job.plan.hidden, [factor](float& v) { v *= factor; });
  }
  state.max = max;
  const bool is_bf16 = job.plan.compute == DType::kBF16;
  state.others += softmax.exponentials(logits, n, max, out, is_bf16);
  if (out != nullptr && is_bf16 && n % 2 != 0) static_cast<bf16*>(out)[n] = bf16();
}

/// d_h rows += exponentials (rows, block) times the head's block.
void add_block(const Job& job, Range rows, Range vocabulary, const std::byte* exponentials, int64_t stride_bytes,
               const std::byte* panels) {
  const Plan& plan = job.plan;
  const int64_t cols = plan.kernels.panel_cols();
  const std::byte* back = panels + plan.head_panels() * plan.head_panel_bytes;
  const int64_t tiles = ceil_div(rows.size(), plan.kernels.max_rows(plan.kernels.max_vectors));
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t begin = plan.kernels.tile_row(rows.size(), tiles, i);
    const int64_t end = plan.kernels.tile_row(rows.size(), tiles, i + 1);
    for (int64_t col = 0; col < plan.hidden; col += cols) {
      Tile t =
          tile_of(plan, exponentials + begin * stride_bytes, stride_bytes / size_of(plan.compute),
                  back + col / cols * plan.back_panel_bytes, vocabulary.size(), end - begin, std::min(cols, plan.hidden - col));
      t.out = element(job.d_h, rows.begin + begin, col);
      t.out_stride = job.d_h.stride(0);
      if (vocabulary.begin > 0) {
        t.residual = t.out;
        t.residual_stride = t.out_stride;
      }
      plan.kernels.tile(t);
    }
  }
}

/// The loss of a row; scales d_h and adds the target's term.
void finish_row(const Job& job, int64_t row, const RowState& state, float* head_row) {
  const double own = std::exp(static_cast<double>(state.target_logit) - static_cast<double>(state.max));
  const double sum = state.others + own;
  const double log_sum = state.target_logit == state.max ? std::log1p(state.others) : std::log(sum);
  job.nll[static_cast<size_t>(row)] =
      static_cast<float>(static_cast<double>(state.max) - static_cast<double>(state.target_logit) + log_sum);
  if (job.weights.empty()) return;
  const double weight = static_cast<double>(job.weights[static_cast<size_t>(row)]);
  const auto scale = static_cast<float>(weight / sum);
  const auto target_scale = static_cast<float>(-weight * state.others / sum);
  job.results[row] = {state.max, scale, target_scale};
  if (job.d_h.empty()) return;
  decode(job.head, job.targets[static_cast<size_t>(row)], 0, job.plan.hidden, head_row);
  float* d = job.d_h.row<float>(row);
  const bool is_bf16 = job.plan.compute == DType::kBF16;
  for (int64_t i = 0; i < job.plan.hidden; ++i) {
    const float w = is_bf16 ? static_cast<float>(bf16(head_row[i])) : head_row[i];
    d[i] = d[i] * scale + target_scale * w;
  }
}

/// Scratch of a thread: logits of a tile, exponentials of its rows, a row of the head.
struct ThreadScratch {
  float* logits;
  float* head_row;
  std::byte* exponentials;
  RowState* states;
};

struct ScratchLayout {
  int64_t logits, head_row, exponentials, states;
  int64_t total() const { return logits + head_row + exponentials + states; }

  ScratchLayout(const Plan& plan, int64_t rows, bool gradient)
      : logits(round_up(plan.kernels.max_rows(plan.kernels.max_vectors) * plan.block * 4, 64)),
        head_row(round_up(plan.hidden * 4, 64)),
        exponentials(gradient ? round_up(rows * plan.block * size_of(plan.compute), 64) : 0),
        states(round_up(rows * static_cast<int64_t>(sizeof(RowState)), 64)) {}

  ThreadScratch at(std::byte* p) const {
    return {reinterpret_cast<float*>(p), reinterpret_cast<float*>(p + logits), p + logits + head_row,
            reinterpret_cast<RowState*>(p + logits + head_row + exponentials)};
  }
};

void run_rows(const Job& job, Range rows, ThreadScratch scratch, int id, int threads) {
  const Plan& plan = job.plan;
  std::uninitialized_fill_n(scratch.states, rows.size(), RowState());
  const bool gradient = !job.d_h.empty();
  const int64_t stride_bytes = plan.block * size_of(plan.compute);
  const int64_t tiles = ceil_div(rows.size(), plan.kernels.max_rows(plan.kernels.max_vectors));
  for (int64_t b = 0; b < plan.blocks(); ++b) {
    const Range vocabulary = {b * plan.block, std::min(plan.vocabulary, (b + 1) * plan.block)};
    std::byte* panels = job.panels[b % 2];
    expand_block(job, vocabulary, panels, id, threads);
    // One barrier a block is enough: whoever fills these panels again has passed the next one, which everybody reaches only after
    // this block.
#pragma omp barrier
    for (int64_t i = 0; i < tiles; ++i) {
      const Range tile = {rows.begin + plan.kernels.tile_row(rows.size(), tiles, i),
                          rows.begin + plan.kernels.tile_row(rows.size(), tiles, i + 1)};
      block_logits(job, tile, vocabulary, panels, scratch.logits);
      for (int64_t row = tile.begin; row < tile.end; ++row)
        take_block(job, row, vocabulary, scratch.logits + (row - tile.begin) * plan.block, scratch.states[row - rows.begin],
                   gradient ? scratch.exponentials + (row - rows.begin) * stride_bytes : nullptr);
    }
    if (gradient) add_block(job, rows, vocabulary, scratch.exponentials, stride_bytes, panels);
  }
  for (int64_t row = rows.begin; row < rows.end; ++row) finish_row(job, row, scratch.states[row - rows.begin], scratch.head_row);
}

void run_chunk(Exec& exec, Job& job) {
  const Workspace::Scope scope(exec.scratch);
  const int threads = exec.device.threads();
  const bool gradient = !job.d_h.empty();
  const int64_t rows = job.h.dim(0);
  for (auto& p : job.panels) p = static_cast<std::byte*>(exec.scratch.bytes(job.plan.panels_bytes(gradient)));
  const ScratchLayout layout(job.plan, ceil_div(rows, threads), gradient);
  auto* scratch = static_cast<std::byte*>(exec.scratch.bytes(threads * layout.total()));
  if (exec.scratch.measuring()) return;
#pragma omp parallel num_threads(threads)
  {
    const KernelScope use(job.plan.kernels);
    const int id = omp_get_thread_num();
    // OpenMP may grant fewer threads than asked for; each then takes more rows, and the scratch of the missing ones.
    const int granted = omp_get_num_threads();
    const ScratchLayout mine(job.plan, ceil_div(rows, granted), gradient);
    TENFOLD_CHECK(granted * mine.total() <= threads * layout.total(), "{} of {} threads for {} rows", granted, threads, rows);
    run_rows(job, share_of(rows, id, granted), mine.at(scratch + id * mine.total()), id, granted);
  }
}

/// Block [begin, end) of weight (softmax - onehot), in the compute dtype.
void block_gradient(Exec& exec, const Job& job, Range vocabulary, const TensorView& logits, const TensorView& out) {
  const SoftmaxKernels& softmax = softmax_kernels();
  const GemmKernels& kernels = job.plan.kernels;
#pragma omp parallel for schedule(static) num_threads(exec.device.threads())
  for (int64_t i = 0; i < logits.dim(0); ++i) {
    const RowResult& row = job.results[i];
    float* l = logits.row<float>(i);
    softmax.exponentials(l, vocabulary.size(), row.max, l, false);
    for (int64_t j = 0; j < vocabulary.size(); ++j) l[j] *= row.scale;
    const int64_t target = job.targets[static_cast<size_t>(i)];
    if (target >= vocabulary.begin && target < vocabulary.end) l[target - vocabulary.begin] = row.target_scale;
    kernels.round(l, vocabulary.size(), element(out, i, 0));
  }
}

/// d_head += weight (softmax - onehot)^T h for a chunk whose losses are known: the logits are made a second time.
void add_head_gradient(Exec& exec, const Job& job, const TensorView& d_head) {
  const int64_t rows = job.h.dim(0);
  const Plan& plan = job.plan;
  const Workspace::Scope scope(exec.scratch);
  const TensorView logits = exec.scratch.tensor("logits", DType::kF32, {rows, plan.block});
  const TensorView gradient = exec.scratch.tensor("d_logits", plan.compute, {rows, plan.block});
  TensorView h = job.h;
  h.shape[1] = plan.hidden;
  for (int64_t begin = 0; begin < plan.vocabulary; begin += plan.block) {
    const Range vocabulary = {begin, std::min(plan.vocabulary, begin + plan.block)};
    TensorView part = logits;
    part.shape[1] = vocabulary.size();
    TensorView d_part = gradient;
    d_part.shape[1] = vocabulary.size();
    const GemmTerm forward{job.h, slice_rows(job.head, vocabulary.begin, vocabulary.end), false};
    gemm(exec, std::span(&forward, 1), {.out = part}, Part::kHead, 0.0);
    block_gradient(exec, job, vocabulary, part, d_part);
    outer_product(exec, d_part, h, 1.0F, d_head.rows(vocabulary.begin, vocabulary.end));
  }
}

}  // namespace

void cross_entropy(Exec& exec, const TensorView& h, const WeightView& head, std::span<const int32_t> targets,
                   std::span<const float> weights, std::span<float> nll, const TensorView& d_h, const TensorView& d_head) {
  const int64_t rows = h.dim(0);
  if (rows == 0) return;
  const int products = 1 + (d_h.empty() ? 0 : 1) + (d_head.empty() ? 0 : 1);
  const double product = 2.0 * static_cast<double>(rows) * static_cast<double>(head.rows) * static_cast<double>(head.cols);
  const PartTimer timer(exec, Part::kHead, products * product);
  Exec inner{exec.device, exec.scratch, exec.compute, nullptr};  // the timer above already counts this
  const Plan plan(exec.compute, head.rows, head.cols);
  const int64_t chunk = kThreadRows * exec.device.threads();
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const Workspace::Scope scope(exec.scratch);
    const int64_t end = std::min(rows, begin + chunk);
    const auto at = static_cast<size_t>(begin);
    const auto count = static_cast<size_t>(end - begin);
    Job job{plan,
            source_of(head),
            gemm_operand(inner, h.rows(begin, end)),
            targets.subspan(at, count),
            weights.empty() ? weights : weights.subspan(at, count),
            nll.subspan(at, count),
            {}};
    if (!d_h.empty()) job.d_h = d_h.rows(begin, end);
    job.results = static_cast<RowResult*>(exec.scratch.bytes((end - begin) * static_cast<int64_t>(sizeof(RowResult))));
    run_chunk(inner, job);
    if (!d_head.empty()) add_head_gradient(inner, job, d_head);
  }
}

int64_t cross_entropy_scratch_bytes(const Exec& exec, int64_t rows, int64_t vocabulary, int64_t hidden) {
  Workspace measure;
  Exec inner{exec.device, measure, exec.compute, nullptr};
  const Plan plan(exec.compute, vocabulary, hidden);
  const int64_t chunk = std::min(rows, kThreadRows * exec.device.threads());
  Job job{plan, {}, {}, {}, {}, {}, {}};
  const int64_t group = plan.kernels.group;
  job.h = measure.tensor("h", exec.compute, {chunk, round_up(hidden, group)});
  job.results = static_cast<RowResult*>(measure.bytes(chunk * static_cast<int64_t>(sizeof(RowResult))));
  // Any non-null pointer says that d_h is wanted.
  job.d_h = TensorView("d_h", DType::kF32, {chunk, hidden}, &measure);
  run_chunk(inner, job);
  const Workspace::Scope scope(measure);
  measure.tensor("logits", DType::kF32, {chunk, plan.block});
  measure.tensor("d_logits", exec.compute, {chunk, plan.block});
  plan_gemm(inner, plan.block, std::span(&hidden, 1));
  plan_outer_product(inner, chunk, plan.block, hidden);
  return measure.high_water();
}

}  // namespace tenfold::cpu
