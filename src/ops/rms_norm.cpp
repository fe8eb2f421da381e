#include "ops/rms_norm.h"

#include "ops/backend.h"
#include "ops/cpu/rms_norm.h"

namespace tenfold::ops {
namespace {

void check_input(const Exec& exec, const TensorView& x, const TensorView& weight) {
  TENFOLD_CHECK(x.rank == 2 && x.dim(1) > 0 && x.stride(1) == 1, "{} {}: expected contiguous rows (T, D)", x.name, shape_text(x));
  TENFOLD_CHECK(x.dtype == DType::kF32 || x.dtype == exec.compute, "{}: dtype {}", x.name, name_of(x.dtype));
  TENFOLD_CHECK(weight.rank == 1 && weight.dtype == DType::kF32 && weight.dim(0) == x.dim(1) && weight.is_contiguous(),
                "{} {} {} for {} {}", weight.name, name_of(weight.dtype), shape_text(weight), x.name, shape_text(x));
}

void check_like(const Exec& exec, const TensorView& t, const TensorView& x, bool f32_only) {
  TENFOLD_CHECK(t.rank == 2 && t.dim(0) == x.dim(0) && t.dim(1) == x.dim(1) && t.stride(1) == 1, "{} {} for {} {}", t.name,
                shape_text(t), x.name, shape_text(x));
  TENFOLD_CHECK(t.dtype == DType::kF32 || (!f32_only && t.dtype == exec.compute), "{}: dtype {}", t.name, name_of(t.dtype));
}

}  // namespace

void rms_norm_forward(Exec& exec, const TensorView& x, const TensorView& weight, float eps, const TensorView& y) {
  check_input(exec, x, weight);
  check_like(exec, y, x, false);
  const PartTimer timer(exec, Part::kElementwise, 4.0 * static_cast<double>(x.elements()));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::rms_norm_forward(exec, x, weight, eps, y);
    case DeviceKind::kCuda: return exec.device.backend()->rms_norm_forward(exec, x, weight, eps, y);
  }
  TENFOLD_CHECK(false, "{}: no device", x.name);
}

void rms_norm_backward(Exec& exec, const TensorView& d_y, const TensorView& x, const TensorView& weight, float eps,
                       const TensorView& d_x, const TensorView& d_weight) {
  check_input(exec, x, weight);
  check_like(exec, d_y, x, false);
  check_like(exec, d_x, x, true);
  TENFOLD_CHECK(d_weight.empty() || (d_weight.rank == 1 && d_weight.dtype == DType::kF32 && d_weight.dim(0) == x.dim(1)),
                "{} {} {} for {} {}", d_weight.name, name_of(d_weight.dtype), shape_text(d_weight), x.name, shape_text(x));
  const PartTimer timer(exec, Part::kElementwise, 10.0 * static_cast<double>(x.elements()));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::rms_norm_backward(exec, d_y, x, weight, eps, d_x, d_weight);
    case DeviceKind::kCuda: return exec.device.backend()->rms_norm_backward(exec, d_y, x, weight, eps, d_x, d_weight);
  }
  TENFOLD_CHECK(false, "{}: no device", x.name);
}

}  // namespace tenfold::ops
