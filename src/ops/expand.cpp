#include "ops/expand.h"

#include "ops/backend.h"
#include "ops/cpu/expand.h"

namespace tenfold::ops {

void expand_rows(Exec& exec, const WeightView& weight, int64_t row, const TensorView& out) {
  TENFOLD_CHECK(out.rank == 2 && out.dim(1) == weight.cols && row >= 0 && row + out.dim(0) <= weight.rows,
                "{}: rows from {} of [{}, {}] into {} {}", weight.name, row, weight.rows, weight.cols, out.name, shape_text(out));
  TENFOLD_CHECK(out.dtype == DType::kF32 || out.dtype == DType::kBF16, "{}: dtype {}", out.name, name_of(out.dtype));
  TENFOLD_CHECK(out.stride(1) == 1 || out.dim(1) == 1, "{}: strided columns", out.name);
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::expand_rows(exec, weight, row, out);
    case DeviceKind::kCuda: return exec.device.backend()->expand_rows(exec, weight, row, out);
  }
  TENFOLD_CHECK(false, "{}: no device", weight.name);
}

void expand_row_reference(const WeightView& weight, int64_t row, float* out) {
  TENFOLD_CHECK(row >= 0 && row < weight.rows, "{}: row {} of {}", weight.name, row, weight.rows);
  cpu::decode(cpu::source_of(weight), row, 0, weight.cols, out);
}

}  // namespace tenfold::ops
