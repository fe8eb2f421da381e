#include "ops/cpu/linear.h"

#include "core/checked.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/gemv.h"

#include <algorithm>
#include <array>

namespace tenfold::cpu {
namespace {

/// The gradients of A and B sum over tokens; a packed panel covers this many at a time.
constexpr int64_t kTokenBlock = 512;

double flops_of(int64_t m, int64_t n, int64_t k) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}

/// d_a += v^T x and d_b += scale d_y^T u.
void lora_weight_gradients(Exec& exec, const TensorView& d_y, const TensorView& x, const TensorView& v,
                           const ops::LinearArgs& args, const ops::LinearGrads& grads) {
  for (int64_t begin = 0; begin < x.dim(0); begin += kTokenBlock) {
    const int64_t end = std::min(x.dim(0), begin + kTokenBlock);
    if (!grads.d_a.empty()) outer_product(exec, v.rows(begin, end), x.rows(begin, end), 1.0F, grads.d_a);
    if (!grads.d_b.empty()) outer_product(exec, d_y.rows(begin, end), args.lora_u.rows(begin, end), args.lora.scale, grads.d_b);
  }
}

TensorView accumulated(const TensorView& t, bool accumulate) { return accumulate ? t : TensorView(); }

}  // namespace

void linear_forward(Exec& exec, const TensorView& x, const WeightView& w, const ops::LinearArgs& args, const TensorView& y) {
  const int64_t tokens = x.dim(0);
  if (tokens == 0 || w.rows == 0) return;
  if (tokens <= ops::kGemvRows) return gemv_forward(exec, x, w, args, y);
  const Workspace::Scope scope(exec.scratch);
  std::array<GemmTerm, 2> terms;
  terms[0] = {gemm_operand(exec, x), source_of(w), false};
  size_t count = 1;
  if (!args.lora.empty()) {
    const int64_t rank = args.lora.a.dim(0);
    const GemmTerm down{args.lora_in.empty() ? terms[0].a : gemm_operand(exec, args.lora_in), source_of(args.lora.a), false};
    gemm(exec, std::span(&down, 1), {.out = args.lora_u}, Part::kLora, flops_of(tokens, rank, w.cols + w.rows));
    terms[count++] = {gemm_operand(exec, args.lora_u), source_of(args.lora.b, args.lora.scale), false};
  }
  gemm(exec, std::span(terms).first(count), {.out = y, .bias = args.bias, .residual = args.residual}, Part::kProducts,
       flops_of(tokens, w.rows, w.cols));
}

void linear_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const WeightView& w, const ops::LinearArgs& args,
                     const ops::LinearGrads& grads) {
  const int64_t tokens = x.dim(0);
  if (tokens == 0 || w.rows == 0) return;
  const Workspace::Scope scope(exec.scratch);
  std::array<GemmTerm, 2> terms;
  terms[0] = {gemm_operand(exec, d_y), source_of(w), true};
  size_t count = 1;
  const bool apart = !args.lora_in.empty();
  if (!args.lora.empty()) {
    const int64_t rank = args.lora.a.dim(0);
    const TensorView v = exec.scratch.tensor("v", exec.compute, {tokens, rank});
    const GemmTerm up{terms[0].a, source_of(args.lora.b, args.lora.scale), true};
    gemm(exec, std::span(&up, 1), {.out = v}, Part::kLora, flops_of(tokens, rank, w.cols + w.rows));
    const TensorView rounded = terms[0].a.dim(1) == d_y.dim(1) ? terms[0].a : d_y;
    {
      const double weight_flops =
          (grads.d_a.empty() ? 0.0 : flops_of(tokens, rank, w.cols)) + (grads.d_b.empty() ? 0.0 : flops_of(tokens, rank, w.rows));
      const PartTimer timer(exec, Part::kLora, weight_flops);
      lora_weight_gradients(exec, rounded, apart ? args.lora_in : x, v, args, grads);
    }
    terms[1] = {gemm_operand(exec, v), source_of(args.lora.a), true};
    if (!apart) count = 2;
    if (!grads.d_lora_in.empty()) gemm(exec, std::span(terms).subspan(1), {.out = grads.d_lora_in}, Part::kLora, 0.0);
  }
  if (grads.d_x.empty()) return;
  gemm(exec, std::span(terms).first(count), {.out = grads.d_x, .residual = accumulated(grads.d_x, grads.accumulate)},
       Part::kProducts, flops_of(tokens, w.rows, w.cols));
}

int64_t linear_scratch_bytes(const Exec& exec, int64_t tokens, int64_t out_features, int64_t in_features, int64_t rank) {
  Workspace measure;
  Exec plan{exec.device, measure, exec.compute, nullptr};
  const auto take = [&](const char* name, int64_t rows, int64_t cols) {
    measure.tensor(name, DType::kF32, {rows, round_up(cols, 2)});
  };
  {
    // Few tokens: x, its sums and u as f32, x in integers.
    const Workspace::Scope scope(measure);
    const int64_t few = std::min(tokens, ops::kGemvRows);
    take("x", 3 * few, in_features);
    take("u", few, rank);
    take("digits", few, digits_bytes(in_features) / 4);
  }
  // The larger of forward (x and its LoRA input padded where K is odd) and backward (d_y rounded), then one product at a time.
  const int64_t odd_x = in_features % 2 == 0 ? 0 : 2 * in_features;
  measure.tensor("operands", exec.compute, {tokens, std::max(odd_x, round_up(out_features, 2)) + 2});
  measure.tensor("v and u", exec.compute, {tokens, 2 * round_up(rank, 2)});
  const std::array<int64_t, 2> forward = {in_features, rank};
  const std::array<int64_t, 2> backward = {out_features, rank};
  // With and without the LoRA term: the groups of panels round differently.
  plan_gemm(plan, out_features, std::span(forward).first(1));
  plan_gemm(plan, in_features, std::span(backward).first(1));
  if (rank > 0) {
    plan_gemm(plan, out_features, forward);
    plan_gemm(plan, in_features, backward);
    plan_gemm(plan, in_features, std::span(backward).last(1));
    plan_gemm(plan, rank, std::span(forward).first(1));
    plan_gemm(plan, rank, std::span(backward).first(1));
    plan_outer_product(plan, std::min(tokens, kTokenBlock), rank, in_features);
    plan_outer_product(plan, std::min(tokens, kTokenBlock), out_features, rank);
  }
  return measure.high_water();
}

}  // namespace tenfold::cpu
