#include "ops/adamw.h"

#include "ops/backend.h"
#include "ops/cpu/adamw.h"

namespace tenfold::ops {

void adamw_step(Exec& exec, const AdamWArgs& args, const TensorView& parameter, const TensorView& gradient, const TensorView& m,
                const TensorView& v) {
  for (const TensorView* t : {&parameter, &gradient, &m, &v}) {
    TENFOLD_CHECK(t->dtype == DType::kF32 && t->is_contiguous() && t->elements() == parameter.elements(), "{} {} {} for {} {}",
                  t->name, name_of(t->dtype), shape_text(*t), parameter.name, shape_text(parameter));
  }
  TENFOLD_CHECK(args.step >= 1, "{}: step {}", parameter.name, args.step);
  const PartTimer timer(exec, Part::kOptimizer, 15.0 * static_cast<double>(parameter.elements()));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::adamw_step(exec, args, parameter, gradient, m, v);
    case DeviceKind::kCuda: return exec.device.backend()->adamw_step(exec, args, parameter, gradient, m, v);
  }
  TENFOLD_CHECK(false, "{}: no device", parameter.name);
}

void adamw_step_rows(Exec& exec, const AdamWArgs& args, std::span<const int32_t> rows, const TensorView& parameter,
                     const TensorView& gradient, const TensorView& m, const TensorView& v) {
  for (const TensorView* t : {&parameter, &gradient, &m, &v}) {
    TENFOLD_CHECK(t->dtype == DType::kF32 && t->is_contiguous() && t->rank == 2 && t->shape == parameter.shape,
                  "{} {} {} for {} {}", t->name, name_of(t->dtype), shape_text(*t), parameter.name, shape_text(parameter));
  }
  TENFOLD_CHECK(args.step >= 1, "{}: step {}", parameter.name, args.step);
  int64_t before = -1;
  for (const int32_t row : rows) {
    TENFOLD_CHECK(row > before && row < parameter.dim(0), "{}: row {} after {} of {}", parameter.name, row, before,
                  parameter.dim(0));
    before = row;
  }
  const auto elements = static_cast<double>(rows.size()) * static_cast<double>(parameter.dim(1));
  const PartTimer timer(exec, Part::kOptimizer, 15.0 * elements);
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::adamw_step_rows(exec, args, rows, parameter, gradient, m, v);
    case DeviceKind::kCuda: return exec.device.backend()->adamw_step_rows(exec, args, rows, parameter, gradient, m, v);
  }
  TENFOLD_CHECK(false, "{}: no device", parameter.name);
}

double sum_of_squares(Exec& exec, const TensorView& x) {
  TENFOLD_CHECK((x.dtype == DType::kF32 || x.dtype == DType::kBF16) && x.is_contiguous(),
                "{} {} {}: expected contiguous f32 or bf16", x.name, name_of(x.dtype), shape_text(x));
  const PartTimer timer(exec, Part::kOptimizer, 2.0 * static_cast<double>(x.elements()));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::sum_of_squares(exec, x);
    case DeviceKind::kCuda: return exec.device.backend()->sum_of_squares(exec, x);
  }
  TENFOLD_CHECK(false, "{}: no device", x.name);
}

}  // namespace tenfold::ops
