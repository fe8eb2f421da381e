#include "ops/embedding.h"

#include "ops/backend.h"
#include "ops/cpu/embedding.h"

namespace tenfold::ops {
namespace {

void check_ids(std::span<const int32_t> ids, const char* table, int64_t rows) {
  for (size_t t = 0; t < ids.size(); ++t)
    TENFOLD_CHECK(ids[t] >= 0 && ids[t] < rows, "{}: id {} at {} of a table with {} rows", table, ids[t], t, rows);
}

}  // namespace

void embedding_forward(Exec& exec, std::span<const int32_t> ids, const WeightView& table, const TensorView& y) {
  TENFOLD_CHECK(y.rank == 2 && y.dim(0) == static_cast<int64_t>(ids.size()) && y.dim(1) == table.cols &&
                    (y.dim(1) == 1 || y.stride(1) == 1),
                "{} {}: {} ids of {} [{}, {}]", y.name, shape_text(y), ids.size(), table.name, table.rows, table.cols);
  TENFOLD_CHECK(y.dtype == DType::kF32 || y.dtype == exec.compute, "{}: dtype {}", y.name, name_of(y.dtype));
  check_ids(ids, table.name, table.rows);
  const PartTimer timer(exec, Part::kElementwise, 0);
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::embedding_forward(exec, ids, table, y);
    case DeviceKind::kCuda: return exec.device.backend()->embedding_forward(exec, ids, table, y);
  }
  TENFOLD_CHECK(false, "{}: no device", table.name);
}

void embedding_backward(Exec& exec, std::span<const int32_t> ids, const TensorView& d_y, const TensorView& d_table) {
  TENFOLD_CHECK(d_y.rank == 2 && d_table.rank == 2 && d_y.dim(0) == static_cast<int64_t>(ids.size()) &&
                    d_y.dim(1) == d_table.dim(1) && (d_y.dim(1) == 1 || (d_y.stride(1) == 1 && d_table.stride(1) == 1)),
                "{} {} of {} ids into {} {}", d_y.name, shape_text(d_y), ids.size(), d_table.name, shape_text(d_table));
  TENFOLD_CHECK(d_y.dtype == DType::kF32 && d_table.dtype == DType::kF32, "{} {}, {} {}", d_y.name, name_of(d_y.dtype),
                d_table.name, name_of(d_table.dtype));
  check_ids(ids, d_table.name, d_table.dim(0));
  const PartTimer timer(exec, Part::kElementwise, static_cast<double>(d_y.elements()));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::embedding_backward(exec, ids, d_y, d_table);
    case DeviceKind::kCuda: return exec.device.backend()->embedding_backward(exec, ids, d_y, d_table);
  }
  TENFOLD_CHECK(false, "{}: no device", d_table.name);
}

}  // namespace tenfold::ops
