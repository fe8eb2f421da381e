#include "ops/cpu/gemv.h"

#include "core/checked.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/isa/gemv_kernels.h"
#include "ops/cpu_features.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <functional>

namespace tenfold::cpu {
namespace {

/// Rows of a tensor as f32 in scratch.
TensorView widened(Exec& exec, const TensorView& t) {
  const TensorView out = exec.scratch.tensor("x as f32", DType::kF32, {t.dim(0), t.dim(1)});
  if (exec.scratch.measuring()) return out;
  const Source source = source_of(t);
  for (int64_t i = 0; i < t.dim(0); ++i) decode(source, i, 0, t.dim(1), out.row<float>(i));
  return out;
}

/// x in integers for the layouts and CPUs that dot it so; an empty view elsewhere. Taken from scratch for any layout, so that a
/// plan does not depend on it.
TensorView digits_of(Exec& exec, const TensorView& x, const WeightView& w, const TensorView& x32) {
  if (x.dtype != DType::kBF16 || ops::cpu_isa() < ops::CpuIsa::kAvx512Bf16) return {};
  const int64_t bytes = digits_bytes(x.dim(1));
  const TensorView digits = exec.scratch.tensor("digits of x", DType::kF32, {x.dim(0), bytes / 4});
  const bool integers = w.layout == WeightLayout::kQ4_0 || w.layout == WeightLayout::kQ4_1 || w.layout == WeightLayout::kQ8_0;
  if (!integers) return {};
  if (exec.scratch.measuring()) return digits;
  for (int64_t i = 0; i < x.dim(0); ++i)
    write_digits_avx512_bf16(w.layout, x32.row<float>(i), x.dim(1), reinterpret_cast<std::byte*>(digits.row<float>(i)));
  return digits;
}

const float* sums_of_32(Exec& exec, const TensorView& x) {
  if (x.dim(1) % 32 != 0) return nullptr;
  const int64_t groups = x.dim(1) / 32;
  const TensorView sums = exec.scratch.tensor("sums of x", DType::kF32, {x.dim(0), groups});
  if (exec.scratch.measuring()) return nullptr;
  for (int64_t i = 0; i < x.dim(0); ++i)
    for (int64_t g = 0; g < groups; ++g) {
      const float* p = x.row<float>(i) + g * 32;
      // Eight partial sums, in this order whatever the compiler makes of it.
      std::array<float, 8> part{};
      for (size_t j = 0; j < 32; ++j) part[j % 8] += p[j];
      sums.row<float>(i)[g] = ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]));
    }
  return sums.ptr<float>();
}

float load_float(const TensorView& t, int64_t row, int64_t col) {
  return t.dtype == DType::kBF16 ? static_cast<float>(t.row<bf16>(row)[col]) : t.row<float>(row)[col];
}

void store_float(const TensorView& t, int64_t row, int64_t col, float value) {
  if (t.dtype == DType::kBF16)
    t.row<bf16>(row)[col] = bf16(value);
  else
    t.row<float>(row)[col] = value;
}

struct Share {
  int64_t begin, end;
};

Share share_of(int64_t n, int id, int threads) { return {n * id / threads, n * (id + 1) / threads}; }

/// u = x A^T, rounded to u's dtype; `rounded` keeps the rounded values as f32.
struct LoraBranch {
  Source a, b;
  TensorView x, u, rounded;
  const float* x_sums = nullptr;
};

/// Dot products are taken for this many weight rows at a time, then finished.
constexpr int64_t kRowBlock = 64;

void add_values(const TensorView& t, int64_t row, Share cols, float* to) {
  const int64_t n = cols.end - cols.begin;
  if (t.dtype == DType::kBF16) {
    const bf16* from = t.row<bf16>(row) + cols.begin;
    for (int64_t i = 0; i < n; ++i) to[i] += static_cast<float>(from[i]);
  } else {
    const float* from = t.row<float>(row) + cols.begin;
    for (int64_t i = 0; i < n; ++i) to[i] += from[i];
  }
}

/// y = sums + LoRA branch + bias + residual for some columns of every row; `sums` (tokens, kRowBlock) is overwritten.
void finish_rows(const ops::LinearArgs& args, const LoraBranch& lora, const TensorView& y, Share cols, float* sums) {
  const int64_t n = cols.end - cols.begin;
  std::array<float, ops::kGemvRows * kRowBlock> branch;
  if (!args.lora.empty()) {
    gemv_kernel()({.weight = lora.b,
                   .x = lora.rounded.ptr<float>(),
                   .x_stride = lora.rounded.stride(0),
                   .tokens = static_cast<int>(y.dim(0)),
                   .row_begin = cols.begin,
                   .row_end = cols.end,
                   .out = branch.data(),
                   .out_stride = kRowBlock});
  }
  for (int64_t t = 0; t < y.dim(0); ++t) {
    float* v = sums + t * kRowBlock;
    const float* b = branch.data() + t * kRowBlock;
    if (!args.lora.empty()) std::transform(v, v + n, b, v, std::plus<>());
    if (!args.bias.empty()) std::transform(v, v + n, args.bias.ptr<float>() + cols.begin, v, std::plus<>());
    if (!args.residual.empty()) add_values(args.residual, t, cols, v);
    if (y.dtype == DType::kBF16)
      gemm_kernels(DType::kBF16).round(v, n, y.row<bf16>(t) + cols.begin);
    else
      std::copy_n(v, n, y.row<float>(t) + cols.begin);
  }
}

void lora_input(const LoraBranch& lora, Share rank) {
  if (rank.begin == rank.end) return;
  const int64_t tokens = lora.x.dim(0);
  gemv_kernel()({.weight = lora.a,
                 .x = lora.x.ptr<float>(),
                 .x_stride = lora.x.stride(0),
                 .x_sums = lora.x_sums,
                 .tokens = static_cast<int>(tokens),
                 .row_begin = rank.begin,
                 .row_end = rank.end,
                 .out = lora.rounded.ptr<float>() + rank.begin,
                 .out_stride = lora.rounded.stride(0)});
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t r = rank.begin; r < rank.end; ++r) {
      store_float(lora.u, t, r, lora.rounded.row<float>(t)[r]);
      lora.rounded.row<float>(t)[r] = load_float(lora.u, t, r);
    }
}

}  // namespace

void gemv_generic(const GemvTask& task) {
  constexpr int64_t kChunk = 256;
  constexpr size_t kParts = 8;
  for (int64_t row = task.row_begin; row < task.row_end; ++row) {
    std::array<std::array<float, kParts>, ops::kGemvRows> sum{};
    for (int64_t col = 0; col < task.weight.cols; col += kChunk) {
      std::array<float, kChunk> values{};
      const int64_t count = std::min(kChunk, task.weight.cols - col);
      decode(task.weight, row, col, count, values.data());
      for (int t = 0; t < task.tokens; ++t) {
        const float* x = task.x + t * task.x_stride + col;
        auto& part = sum[static_cast<size_t>(t)];
        int64_t c = 0;
        for (; c + 8 <= count; c += 8)
          for (size_t j = 0; j < kParts; ++j) part[j] += values[static_cast<size_t>(c) + j] * x[c + static_cast<int64_t>(j)];
        for (; c < count; ++c) part[0] += values[static_cast<size_t>(c)] * x[c];
      }
    }
    for (int t = 0; t < task.tokens; ++t) {
      const auto& p = sum[static_cast<size_t>(t)];
      task.out[t * task.out_stride + row - task.row_begin] = ((p[0] + p[4]) + (p[1] + p[5])) + ((p[2] + p[6]) + (p[3] + p[7]));
    }
  }
}

GemvKernel gemv_kernel() {
  const ops::CpuIsa isa = ops::cpu_isa();
  if (isa >= ops::CpuIsa::kAvx512) return gemv_avx512;
  return isa == ops::CpuIsa::kAvx2 ? gemv_avx2 : gemv_generic;
}

void gemv_forward(Exec& exec, const TensorView& x, const WeightView& w, const ops::LinearArgs& args, const TensorView& y) {
  const Workspace::Scope scope(exec.scratch);
  const int64_t tokens = x.dim(0);
  const double flops = 2.0 * static_cast<double>(tokens) * static_cast<double>(w.rows) * static_cast<double>(w.cols);
  const PartTimer timer(exec, Part::kProducts, flops);
  const TensorView x32 = widened(exec, x);
  const float* x_sums = sums_of_32(exec, x32);
  const TensorView digits = digits_of(exec, x, w, x32);
  LoraBranch lora;
  const int64_t rank = args.lora.empty() ? 0 : args.lora.a.dim(0);
  if (rank > 0) {
    lora.a = source_of(args.lora.a);
    lora.b = source_of(args.lora.b, args.lora.scale);
    lora.x = args.lora_in.empty() ? x32 : widened(exec, args.lora_in);
    lora.x_sums = args.lora_in.empty() ? x_sums : nullptr;
    lora.u = args.lora_u;
    lora.rounded = exec.scratch.tensor("u as f32", DType::kF32, {tokens, rank});
  }
  if (exec.scratch.measuring()) return;
  const Source weight = source_of(w);
  const GemvKernel kernel = digits.empty() ? gemv_kernel() : gemv_digits_avx512_bf16;
#pragma omp parallel num_threads(exec.device.threads())
  {
    const int id = omp_get_thread_num();
    const int threads = omp_get_num_threads();
    if (rank > 0) {
      lora_input(lora, share_of(rank, id, threads));
#pragma omp barrier
    }
    GemvTask task{.weight = weight, .x = x32.ptr<float>(), .x_stride = x32.stride(0), .x_sums = x_sums};
    task.digits = digits.empty() ? nullptr : reinterpret_cast<const std::byte*>(digits.ptr<float>());
    task.digits_stride = digits_bytes(w.cols);
    task.tokens = static_cast<int>(tokens);
    task.out_stride = kRowBlock;
    const Share mine = share_of(w.rows, id, threads);
    for (int64_t begin = mine.begin; begin < mine.end; begin += kRowBlock) {
      const Share rows = {begin, std::min(mine.end, begin + kRowBlock)};
      std::array<float, ops::kGemvRows * kRowBlock> sums;
      task.row_begin = rows.begin;
      task.row_end = rows.end;
      task.out = sums.data();
      kernel(task);
      finish_rows(args, lora, y, rows, sums.data());
    }
  }
}

}  // namespace tenfold::cpu
