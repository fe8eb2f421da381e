#include "ops/linear.h"

#include "ops/backend.h"
#include "ops/cpu/linear.h"

namespace tenfold::ops {
namespace {

void check_rows(const TensorView& t, int64_t rows, int64_t cols, const char* what) {
  TENFOLD_CHECK(t.rank == 2 && t.dim(0) == rows && t.dim(1) == cols, "{} {}: {}, expected [{}, {}]", what, t.name, shape_text(t),
                rows, cols);
  TENFOLD_CHECK(t.stride(1) == 1 || cols == 1, "{} {}: columns are strided by {}", what, t.name, t.stride(1));
}

void check_dtype(const TensorView& t, DType a, DType b, const char* what) {
  TENFOLD_CHECK(t.dtype == a || t.dtype == b, "{} {}: dtype {}, expected {} or {}", what, t.name, name_of(t.dtype), name_of(a),
                name_of(b));
}

void check_common(const Exec& exec, const TensorView& x, const WeightView& w, const LinearArgs& args) {
  TENFOLD_CHECK(exec.compute == DType::kF32 || exec.compute == DType::kBF16, "compute dtype {}", name_of(exec.compute));
  TENFOLD_CHECK(x.rank == 2, "x {}: {}", x.name, shape_text(x));
  const int64_t tokens = x.dim(0);
  check_rows(x, tokens, w.cols, "x");
  check_dtype(x, exec.compute, exec.compute, "x");
  if (args.lora.empty()) return;
  const int64_t rank = args.lora.a.dim(0);
  check_rows(args.lora.a, rank, w.cols, "lora A");
  check_rows(args.lora.b, w.rows, rank, "lora B");
  check_dtype(args.lora.a, DType::kF32, DType::kF32, "lora A");
  check_dtype(args.lora.b, DType::kF32, DType::kF32, "lora B");
  check_rows(args.lora_u, tokens, rank, "lora u");
  check_dtype(args.lora_u, exec.compute, exec.compute, "lora u");
  if (args.lora_in.empty()) return;
  check_rows(args.lora_in, tokens, w.cols, "lora input");
  check_dtype(args.lora_in, exec.compute, exec.compute, "lora input");
}

}  // namespace

void linear_forward(Exec& exec, const TensorView& x, const WeightView& w, const LinearArgs& args, const TensorView& y) {
  check_common(exec, x, w, args);
  check_rows(y, x.dim(0), w.rows, "y");
  check_dtype(y, exec.compute, DType::kF32, "y");
  if (!args.residual.empty()) {
    check_rows(args.residual, x.dim(0), w.rows, "residual");
    check_dtype(args.residual, DType::kBF16, DType::kF32, "residual");
  }
  if (!args.bias.empty())
    TENFOLD_CHECK(args.bias.elements() == w.rows && args.bias.is_contiguous() && args.bias.dtype == DType::kF32, "bias {}: {} {}",
                  args.bias.name, name_of(args.bias.dtype), shape_text(args.bias));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::linear_forward(exec, x, w, args, y);
    case DeviceKind::kCuda: return exec.device.backend()->linear_forward(exec, x, w, args, y);
  }
  TENFOLD_CHECK(false, "{}: no device", w.name);
}

void linear_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const WeightView& w, const LinearArgs& args,
                     const LinearGrads& grads) {
  check_common(exec, x, w, args);
  check_rows(d_y, x.dim(0), w.rows, "d_y");
  check_dtype(d_y, exec.compute, DType::kF32, "d_y");
  if (!grads.d_x.empty()) {
    check_rows(grads.d_x, x.dim(0), w.cols, "d_x");
    check_dtype(grads.d_x, exec.compute, DType::kF32, "d_x");
    TENFOLD_CHECK(!grads.accumulate || grads.d_x.dtype == DType::kF32, "d_x {}: accumulates in {}", grads.d_x.name,
                  name_of(grads.d_x.dtype));
  }
  if (!grads.d_a.empty() || !grads.d_b.empty() || !grads.d_lora_in.empty())
    TENFOLD_CHECK(!args.lora.empty(), "{}: gradients of a missing lora", w.name);
  if (!grads.d_a.empty()) check_rows(grads.d_a, args.lora.a.dim(0), w.cols, "d_a");
  if (!grads.d_b.empty()) check_rows(grads.d_b, w.rows, args.lora.a.dim(0), "d_b");
  if (!grads.d_lora_in.empty()) {
    TENFOLD_CHECK(!args.lora_in.empty(), "{}: d_lora_in without lora_in", w.name);
    check_rows(grads.d_lora_in, x.dim(0), w.cols, "d_lora_in");
    check_dtype(grads.d_lora_in, DType::kF32, DType::kF32, "d_lora_in");
  }
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::linear_backward(exec, d_y, x, w, args, grads);
    case DeviceKind::kCuda: return exec.device.backend()->linear_backward(exec, d_y, x, w, args, grads);
  }
  TENFOLD_CHECK(false, "{}: no device", w.name);
}

int64_t linear_scratch_bytes(const Exec& exec, int64_t tokens, int64_t out_features, int64_t in_features, int64_t rank) {
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::linear_scratch_bytes(exec, tokens, out_features, in_features, rank);
    case DeviceKind::kCuda: return exec.device.backend()->linear_scratch_bytes(exec, tokens, out_features, in_features, rank);
  }
  TENFOLD_CHECK(false, "no device");
}

}  // namespace tenfold::ops
