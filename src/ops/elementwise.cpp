#include "ops/elementwise.h"

#include "ops/backend.h"
#include "ops/cpu/elementwise.h"

namespace tenfold::ops {
namespace {

bool is_float(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16; }
bool inner_contiguous(const TensorView& t) { return t.rank == 0 || t.dim(t.rank - 1) == 1 || t.stride(t.rank - 1) == 1; }

void check_float(const TensorView& t) {
  TENFOLD_CHECK(is_float(t.dtype), "{}: dtype {}", t.name, name_of(t.dtype));
  TENFOLD_CHECK(inner_contiguous(t), "{} {}: the last dimension is strided", t.name, shape_text(t));
}

void check_same_shape(const TensorView& x, const TensorView& y) {
  bool same = x.rank == y.rank;
  for (int i = 0; same && i < x.rank; ++i) same = x.dim(i) == y.dim(i);
  TENFOLD_CHECK(same, "{} {}, {} {}", x.name, shape_text(x), y.name, shape_text(y));
}

void check_rows(const TensorView& all, const TensorView& some, std::span<const int64_t> rows) {
  TENFOLD_CHECK(all.rank == 2 && some.rank == 2 && all.dim(1) == some.dim(1) && some.dim(0) == static_cast<int64_t>(rows.size()),
                "{} {}, {} {}, {} rows", all.name, shape_text(all), some.name, shape_text(some), rows.size());
  for (const int64_t row : rows) TENFOLD_CHECK(row >= 0 && row < all.dim(0), "{} {}: row {}", all.name, shape_text(all), row);
}

}  // namespace

void cast(Exec& exec, const TensorView& x, const TensorView& y) {
  check_float(x);
  check_float(y);
  check_same_shape(x, y);
  const PartTimer timer(exec, Part::kElementwise, 0);
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::cast(exec, x, y);
    case DeviceKind::kCuda: return exec.device.backend()->cast(exec, x, y);
  }
  TENFOLD_CHECK(false, "{}: no device", x.name);
}

void add(Exec& exec, const TensorView& x, const TensorView& y) {
  check_float(x);
  check_float(y);
  check_same_shape(x, y);
  TENFOLD_CHECK(y.dtype == DType::kF32, "{}: dtype {}", y.name, name_of(y.dtype));
  const PartTimer timer(exec, Part::kElementwise, static_cast<double>(x.elements()));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::add(exec, x, y);
    case DeviceKind::kCuda: return exec.device.backend()->add(exec, x, y);
  }
  TENFOLD_CHECK(false, "{}: no device", x.name);
}

void gather_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y) {
  check_rows(x, y, rows);
  TENFOLD_CHECK(x.dtype == y.dtype && inner_contiguous(x) && inner_contiguous(y), "{} {}, {} {}", x.name, name_of(x.dtype),
                y.name, name_of(y.dtype));
  const PartTimer timer(exec, Part::kElementwise, 0);
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::gather_rows(exec, x, rows, y);
    case DeviceKind::kCuda: return exec.device.backend()->gather_rows(exec, x, rows, y);
  }
  TENFOLD_CHECK(false, "{}: no device", x.name);
}

void scatter_rows(Exec& exec, const TensorView& x, std::span<const int64_t> rows, const TensorView& y) {
  check_rows(y, x, rows);
  TENFOLD_CHECK(x.dtype == y.dtype && inner_contiguous(x) && inner_contiguous(y), "{} {}, {} {}", x.name, name_of(x.dtype),
                y.name, name_of(y.dtype));
  const PartTimer timer(exec, Part::kElementwise, 0);
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::scatter_rows(exec, x, rows, y);
    case DeviceKind::kCuda: return exec.device.backend()->scatter_rows(exec, x, rows, y);
  }
  TENFOLD_CHECK(false, "{}: no device", x.name);
}

void dropout(Exec& exec, const TensorView& x, std::span<const int64_t> token_index, float p, uint64_t seed, uint64_t stream,
             const TensorView& y) {
  check_float(x);
  check_float(y);
  check_same_shape(x, y);
  TENFOLD_CHECK(x.rank == 2 && x.dim(0) == static_cast<int64_t>(token_index.size()), "{} {}: {} token indices", x.name,
                shape_text(x), token_index.size());
  TENFOLD_CHECK(y.dtype == x.dtype || y.dtype == DType::kF32, "{}: {} from {}", y.name, name_of(y.dtype), name_of(x.dtype));
  TENFOLD_CHECK(p >= 0 && p < 1, "{}: dropout {}", x.name, p);
  const PartTimer timer(exec, Part::kElementwise, static_cast<double>(x.elements()));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::dropout(exec, x, token_index, p, seed, stream, y);
    case DeviceKind::kCuda: return exec.device.backend()->dropout(exec, x, token_index, p, seed, stream, y);
  }
  TENFOLD_CHECK(false, "{}: no device", x.name);
}

void argmax(Exec& exec, const TensorView& x, std::span<int32_t> out) {
  check_float(x);
  TENFOLD_CHECK(x.rank == 2 && x.dtype == DType::kF32 && x.dim(1) > 0 && x.dim(0) == static_cast<int64_t>(out.size()),
                "{} {} {} into {}", x.name, name_of(x.dtype), shape_text(x), out.size());
  const PartTimer timer(exec, Part::kElementwise, static_cast<double>(x.elements()));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::argmax(exec, x, out);
    case DeviceKind::kCuda: return exec.device.backend()->argmax(exec, x, out);
  }
  TENFOLD_CHECK(false, "{}: no device", x.name);
}

}  // namespace tenfold::ops
