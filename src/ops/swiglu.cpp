#include "ops/swiglu.h"

#include "ops/backend.h"
#include "ops/cpu/swiglu.h"

namespace tenfold::ops {
namespace {

void check_like(const TensorView& t, const TensorView& gate, DType compute, bool f32_allowed) {
  TENFOLD_CHECK(t.rank == 2 && t.dim(0) == gate.dim(0) && t.dim(1) == gate.dim(1) && (t.dim(1) == 1 || t.stride(1) == 1),
                "{} {} for {} {}", t.name, shape_text(t), gate.name, shape_text(gate));
  TENFOLD_CHECK(t.dtype == compute || (f32_allowed && t.dtype == DType::kF32), "{}: dtype {}, computing in {}", t.name,
                name_of(t.dtype), name_of(compute));
}

}  // namespace

void swiglu_forward(Exec& exec, const TensorView& gate, const TensorView& up, const TensorView& a) {
  for (const TensorView* t : {&gate, &up, &a}) check_like(*t, gate, exec.compute, false);
  const PartTimer timer(exec, Part::kElementwise, 5.0 * static_cast<double>(gate.elements()));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::swiglu_forward(exec, gate, up, a);
    case DeviceKind::kCuda: return exec.device.backend()->swiglu_forward(exec, gate, up, a);
  }
  TENFOLD_CHECK(false, "{}: no device", gate.name);
}

void swiglu_backward(Exec& exec, const TensorView& d_a, const TensorView& gate, const TensorView& up, const TensorView& d_gate,
                     const TensorView& d_up) {
  check_like(d_a, gate, exec.compute, true);
  for (const TensorView* t : {&gate, &up, &d_gate, &d_up}) check_like(*t, gate, exec.compute, false);
  const PartTimer timer(exec, Part::kElementwise, 10.0 * static_cast<double>(gate.elements()));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::swiglu_backward(exec, d_a, gate, up, d_gate, d_up);
    case DeviceKind::kCuda: return exec.device.backend()->swiglu_backward(exec, d_a, gate, up, d_gate, d_up);
  }
  TENFOLD_CHECK(false, "{}: no device", gate.name);
}

}  // namespace tenfold::ops
