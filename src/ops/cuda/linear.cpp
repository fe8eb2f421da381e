// A product of one frozen weight and its LoRA branch is one call of the library: the operands are laid side by side, [x, u] [W, s
// B]^T forward and [d_y, v] [W; A] backward, so that everything is summed in f32 before the one rounding. What lies in scratch is
// padded with zeros to 16 bytes. Tokens are taken kTokenRows at a time, weights too large to expand at once in blocks of what
// they make.
#include "ops/linear.h"

#include "core/checked.h"
#include "device/cuda/context.h"
#include "ops/cuda/bodies.h"
#include "ops/cuda/expand.h"
#include "ops/cuda/gemm.h"
#include "ops/cuda/gemv.h"

#include <algorithm>

namespace tenfold::cuda {
namespace {

constexpr int64_t kTokenRows = 8192;                   ///< tokens of a product
constexpr int64_t kWeightBytes = int64_t{256} << 20;   ///< of an expanded weight
constexpr int64_t kOperandBytes = int64_t{512} << 20;  ///< of activations laid in scratch
constexpr int64_t kBlock = 256;                        ///< weights are cut at multiples of this

double flops_of(int64_t m, int64_t n, int64_t k) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}

int64_t padded(int64_t n) { return round_up(n, 8); }

/// How many rows of `row_bytes` fit into `bytes`, in steps of kBlock, at least one step and at most `rows`.
int64_t fitting(int64_t rows, int64_t row_bytes, int64_t bytes) {
  return std::min(rows, std::max(kBlock, bytes / std::max<int64_t>(row_bytes, 1) / kBlock * kBlock));
}

TensorView columns(const TensorView& t, int64_t begin, int64_t end) {
  if (t.empty()) return t;
  TensorView out = t;
  out.shape[1] = end - begin;
  out.data = static_cast<std::byte*>(t.data) + begin * size_of(t.dtype);
  return out;
}

TensorView rows_of(const TensorView& t, int64_t begin, int64_t end) { return t.empty() ? t : t.rows(begin, end); }

/// A dense weight of this dtype needs no expansion.
bool lies_ready(const WeightView& w, DType dtype) {
  return w.layout == (dtype == DType::kBF16 ? WeightLayout::kBF16 : WeightLayout::kF32);
}

TensorView as_tensor(const WeightView& w, DType dtype) {
  return {w.name, dtype, {w.rows, w.cols}, const_cast<std::byte*>(w.data)};
}

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

/// f(Range) for [0, n) in steps.
template <typename F>
void for_steps(int64_t n, int64_t step, const F& f) {
  for (int64_t begin = 0; begin < n; begin += step) f(Range{begin, std::min(n, begin + step)});
}

/// Scratch of a forward. Both wide operands have the columns [K, 0.. | R, 0.. | bias].
struct Forward {
  int64_t u_col;     ///< where u and s B begin
  int64_t bias_col;  ///< where the ones and the bias begin
  int64_t wide;
  bool joined;        ///< x is laid beside u or ones
  int64_t rows;       ///< of W at a time
  int64_t tokens;     ///< at a time
  TensorView weight;  ///< (rows, wide)
  TensorView x;       ///< (tokens, wide) when joined
  TensorView a;       ///< (R, u_col), padded rows

  Forward(Exec& exec, int64_t t, int64_t n, int64_t k, int64_t rank, bool bias, bool expands) {
    const int64_t size = size_of(exec.compute);
    u_col = padded(k);
    bias_col = u_col + padded(rank);
    wide = bias_col + (bias ? kBiasColumns : 0);
    joined = rank > 0 || bias;
    rows = fitting(n, wide * size, kWeightBytes);
    tokens = std::min(kTokenRows, fitting(t, wide * size, kOperandBytes));
    if (expands) weight = exec.scratch.tensor("expanded weight", exec.compute, {rows, wide});
    if (joined) x = exec.scratch.tensor("x and u", exec.compute, {tokens, wide});
    if (rank > 0) a = exec.scratch.tensor("A", exec.compute, {padded(rank), u_col});
  }
};

/// [W, s B, bias] for some rows.
TensorView forward_weight(Exec& exec, const Forward& f, const WeightView& w, const ops::LinearArgs& args, Range rows) {
  const PartTimer timer(exec, Part::kExpansion, 0.0);
  const TensorView wide = f.weight.rows(0, rows.size());
  expand_block(exec, w, rows.begin, 0, columns(wide, 0, w.cols));
  if (!f.joined) return columns(wide, 0, w.cols);
  const TensorView nothing("zeros", DType::kF32, {0, 0}, nullptr);
  copy_padded(exec, nothing, 1.0F, columns(wide, w.cols, f.u_col));
  if (!args.lora.empty())
    copy_padded(exec, args.lora.b.rows(rows.begin, rows.end), args.lora.scale, columns(wide, f.u_col, f.bias_col));
  if (!args.bias.empty()) {
    const TensorView bias("bias", DType::kF32, {rows.size()}, args.bias.ptr<float>() + rows.begin);
    bias_columns(exec, bias, columns(wide, f.bias_col, f.wide));
  }
  return wide;
}

/// [x, u, ones] for some tokens; u is computed for the first block of W and read back for the others.
TensorView forward_operand(Exec& exec, const Forward& f, const TensorView& x, const ops::LinearArgs& args, Range tokens,
                           bool first, int64_t out_features) {
  const TensorView mine = x.rows(tokens.begin, tokens.end);
  if (!f.joined) return mine;
  const int64_t rank = args.lora.empty() ? 0 : args.lora.a.dim(0);
  const PartTimer timer(exec, rank > 0 ? Part::kLora : Part::kProducts,
                        first ? flops_of(tokens.size(), rank, x.dim(1) + out_features) : 0.0);
  const TensorView wide = f.x.rows(0, tokens.size());
  const TensorView own = columns(wide, 0, f.u_col);
  copy_padded(exec, mine, 1.0F, own);
  if (rank > 0) {
    const TensorView u = columns(wide, f.u_col, f.bias_col);
    const TensorView kept = args.lora_u.rows(tokens.begin, tokens.end);
    if (first) {
      const bool apart = !args.lora_in.empty();
      Product down;
      down.a = apart ? args.lora_in.rows(tokens.begin, tokens.end) : own;
      down.b = apart ? columns(f.a, 0, x.dim(1)) : f.a;
      down.b_transposed = true;
      down.out = u;
      gemm(context_of(exec), down);
      copy_padded(exec, columns(u, 0, rank), 1.0F, kept);
    } else {
      copy_padded(exec, kept, 1.0F, u);
    }
  }
  if (f.bias_col < f.wide) one_columns(exec, columns(wide, f.bias_col, f.wide));
  return wide;
}

/// Scratch of a backward. Joined operands are [d_y, 0.. | v, 0..] and [W; 0..; A; 0..].
struct Backward {
  int64_t v_col;  ///< where v and A begin
  bool joined;
  bool cast;     ///< d_y is laid in scratch
  int64_t cols;  ///< of W at a time
  int64_t tokens;
  TensorView weight;  ///< (v_col + R, cols) when joined, else (N, cols)
  TensorView d_y;     ///< (tokens, v_col [+ R])
  TensorView v;       ///< (tokens, R), padded columns
  TensorView a;       ///< (R, K), padded rows, where v A is a product of its own
  TensorView b;       ///< (N, R) times the scale, padded columns

  Backward(Exec& exec, int64_t t, int64_t n, int64_t k, int64_t rank, bool joins, bool casts, bool expands) {
    const int64_t size = size_of(exec.compute);
    const int64_t branch = padded(rank);
    joined = joins;
    cast = casts;
    v_col = padded(n);
    const int64_t tall = joined ? v_col + branch : n;
    cols = fitting(k, tall * size, kWeightBytes);
    const int64_t wide = v_col + (joined ? branch : 0);
    tokens = std::min(kTokenRows, fitting(t, (v_col + branch) * size, kOperandBytes));
    if (expands) weight = exec.scratch.tensor("expanded weight", exec.compute, {tall, padded(cols)});
    if (cast) d_y = exec.scratch.tensor("d_y and v", exec.compute, {tokens, wide});
    if (rank == 0) return;
    v = joined ? columns(d_y, v_col, wide) : exec.scratch.tensor("v", exec.compute, {tokens, branch});
    if (!joined) a = exec.scratch.tensor("A", exec.compute, {branch, padded(k)});
    b = exec.scratch.tensor("B", exec.compute, {n, branch});
  }
};

/// [W; A] for some columns.
TensorView backward_weight(Exec& exec, const Backward& s, const WeightView& w, const ops::LinearArgs& args, Range cols) {
  const PartTimer timer(exec, Part::kExpansion, 0.0);
  const TensorView tall = columns(s.weight, 0, cols.size());
  expand_block(exec, w, 0, cols.begin, tall.rows(0, w.rows));
  if (!s.joined) return tall;
  const TensorView nothing("zeros", DType::kF32, {0, 0}, nullptr);
  copy_padded(exec, nothing, 1.0F, tall.rows(w.rows, s.v_col));
  copy_padded(exec, columns(args.lora.a, cols.begin, cols.end), 1.0F, tall.rows(s.v_col, tall.dim(0)));
  return tall;
}

/// d_y of some tokens in the compute dtype; joined: with room for v behind it.
TensorView backward_operand(Exec& exec, const Backward& s, const TensorView& d_y, Range tokens) {
  const TensorView mine = d_y.rows(tokens.begin, tokens.end);
  if (!s.cast) return mine;
  const PartTimer timer(exec, Part::kProducts, 0.0);
  const TensorView wide = s.d_y.rows(0, tokens.size());
  copy_padded(exec, mine, 1.0F, columns(wide, 0, s.v_col));
  return wide;
}

/// v = d_y (s B), (tokens, R) with padded columns.
TensorView branch_gradient(Exec& exec, const Backward& s, const TensorView& d_y, double flops) {
  const PartTimer timer(exec, Part::kLora, flops);
  Product up;
  up.a = d_y;
  up.b = s.b;
  up.out = s.v.rows(0, d_y.dim(0));
  gemm(context_of(exec), up);
  return up.out;
}

/// d_a += v^T in, d_b += s d_y^T u, d_lora_in = v A.
void branch_gradients(Exec& exec, const Backward& s, const TensorView& d_y, const TensorView& v, const TensorView& in,
                      const ops::LinearArgs& args, const ops::LinearGrads& grads, Range tokens) {
  const int64_t rank = args.lora.a.dim(0);
  const double flops = (grads.d_a.empty() ? 0.0 : flops_of(tokens.size(), rank, in.dim(1))) +
                       (grads.d_b.empty() ? 0.0 : flops_of(tokens.size(), rank, d_y.dim(1)));
  const PartTimer timer(exec, Part::kLora, flops);
  Context& context = context_of(exec);
  Product p;
  if (!grads.d_a.empty()) {
    p.a = columns(v, 0, rank);
    p.a_transposed = true;
    p.b = in.rows(tokens.begin, tokens.end);
    p.out = p.add = grads.d_a;
    gemm(context, p);
  }
  if (!grads.d_b.empty()) {
    p = {};
    p.a = d_y;
    p.a_transposed = true;
    p.b = args.lora_u.rows(tokens.begin, tokens.end);
    p.out = p.add = grads.d_b;
    p.alpha = args.lora.scale;
    gemm(context, p);
  }
  if (!grads.d_lora_in.empty()) {
    p = {};
    p.a = v;
    p.b = columns(s.a, 0, in.dim(1));
    p.out = grads.d_lora_in.rows(tokens.begin, tokens.end);
    gemm(context, p);
  }
}

/// d_x of some tokens and columns; `branch`: v A is added by a product of its own.
void input_gradient(Exec& exec, const Backward& s, const TensorView& operand, const TensorView& weight, const TensorView& v,
                    bool branch, Range cols, const TensorView& d_x, bool accumulate, int64_t out_features) {
  const PartTimer timer(exec, Part::kProducts, flops_of(d_x.dim(0), out_features, cols.size()));
  Product p;
  p.a = operand;
  p.b = weight;
  p.out = columns(d_x, cols.begin, cols.end);
  if (accumulate) p.add = p.out;
  gemm(context_of(exec), p);
  if (!branch) return;
  p.a = v;
  p.b = columns(s.a, cols.begin, cols.end);
  p.add = p.out;
  gemm(context_of(exec), p);
}

}  // namespace

void linear_forward(Exec& exec, const TensorView& x, const WeightView& w, const ops::LinearArgs& args, const TensorView& y) {
  if (x.dim(0) == 0 || w.rows == 0) return;
  if (x.dim(0) <= ops::kGemvRows) return gemv_forward(exec, x, w, args, y);
  const Workspace::Scope scope(exec.scratch);
  const int64_t rank = args.lora.empty() ? 0 : args.lora.a.dim(0);
  const bool ready = rank == 0 && args.bias.empty() && lies_ready(w, exec.compute);
  const Forward f(exec, x.dim(0), w.rows, w.cols, rank, !args.bias.empty(), !ready);
  if (rank > 0) {
    const PartTimer timer(exec, Part::kLora, 0.0);
    copy_padded(exec, args.lora.a, 1.0F, f.a);
  }
  for_steps(w.rows, ready ? w.rows : f.rows, [&](Range rows) {
    Product p;
    p.b = ready ? as_tensor(w, exec.compute) : forward_weight(exec, f, w, args, rows);
    p.b_transposed = true;
    for_steps(x.dim(0), f.tokens, [&](Range tokens) {
      p.a = forward_operand(exec, f, x, args, tokens, rows.begin == 0, w.rows);
      p.out = columns(y.rows(tokens.begin, tokens.end), rows.begin, rows.end);
      p.add = columns(rows_of(args.residual, tokens.begin, tokens.end), rows.begin, rows.end);
      const PartTimer timer(exec, Part::kProducts, flops_of(tokens.size(), rows.size(), w.cols));
      gemm(context_of(exec), p);
    });
  });
}

void linear_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const WeightView& w, const ops::LinearArgs& args,
                     const ops::LinearGrads& grads) {
  if (x.dim(0) == 0 || w.rows == 0) return;
  const Workspace::Scope scope(exec.scratch);
  const int64_t rank = args.lora.empty() ? 0 : args.lora.a.dim(0);
  const bool apart = !args.lora_in.empty();
  const bool wanted = !grads.d_x.empty();
  const bool through = wanted && rank > 0 && !apart;  // d_x has a LoRA part
  // Where d_y needs no cast and d_x is summed in f32 anyway, a second small product costs less than laying d_y beside v.
  const bool casts = d_y.dtype != exec.compute;
  const bool joined = through && (casts || grads.d_x.dtype != DType::kF32);
  const bool ready = !joined && lies_ready(w, exec.compute);
  const Backward s(exec, x.dim(0), w.rows, w.cols, rank, joined, casts || joined, wanted && !ready);
  if (rank > 0) {
    const PartTimer timer(exec, Part::kLora, 0.0);
    copy_padded(exec, args.lora.b, args.lora.scale, s.b);
    if (!joined) copy_padded(exec, args.lora.a, 1.0F, s.a);
  }
  for_steps(w.cols, wanted && !ready ? s.cols : w.cols, [&](Range cols) {
    TensorView weight;
    if (wanted) weight = ready ? as_tensor(w, exec.compute) : backward_weight(exec, s, w, args, cols);
    for_steps(x.dim(0), s.tokens, [&](Range tokens) {
      const TensorView operand = backward_operand(exec, s, d_y, tokens);
      const TensorView own = columns(operand, 0, w.rows);
      const bool first = cols.begin == 0;
      TensorView v;
      if (rank > 0 && (first || through))
        v = branch_gradient(exec, s, own, first ? flops_of(tokens.size(), rank, w.cols + w.rows) : 0.0);
      if (rank > 0 && first) branch_gradients(exec, s, own, v, apart ? args.lora_in : x, args, grads, tokens);
      if (wanted) {
        input_gradient(exec, s, joined ? operand : own, weight, v, through && !joined, cols,
                       grads.d_x.rows(tokens.begin, tokens.end), grads.accumulate, w.rows);
      }
    });
  });
}

int64_t linear_scratch_bytes(const Exec& exec, int64_t tokens, int64_t out_features, int64_t in_features, int64_t rank) {
  Workspace measure;
  Exec plan{exec.device, measure, exec.compute, nullptr};
  {
    const Workspace::Scope scope(measure);
    take_gemv(plan, std::min(tokens, ops::kGemvRows), in_features);
  }
  // Every way that the calls may go: with and without LoRA, bias, cast and joined operands. Blocks of them round differently.
  for (const int64_t r : {int64_t{0}, rank}) {
    for (const bool bias : {false, true}) {
      const Workspace::Scope scope(measure);
      Forward(plan, tokens, out_features, in_features, r, bias, /*expands=*/true);
    }
    for (const bool joined : {false, r > 0}) {
      const Workspace::Scope scope(measure);
      Backward(plan, tokens, out_features, in_features, r, joined, /*casts=*/true, /*expands=*/true);
    }
  }
  return measure.high_water();
}

}  // namespace tenfold::cuda
