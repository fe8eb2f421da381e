#include "ops/rope.h"

#include "ops/backend.h"
#include "ops/cpu/rope.h"

namespace tenfold::ops {
namespace {

void check_table(const TensorView& t, int64_t tokens, int64_t half) {
  TENFOLD_CHECK(
      t.rank == 2 && t.dtype == DType::kF32 && t.dim(0) == tokens && t.dim(1) == half && (half == 1 || t.stride(1) == 1),
      "{} {} {}: expected f32 [{}, {}]", t.name, name_of(t.dtype), shape_text(t), tokens, half);
}

}  // namespace

void rope_table(Exec& exec, std::span<const float> inv_freq, std::span<const int64_t> positions, float attention_factor,
                const TensorView& cos, const TensorView& sin) {
  check_table(cos, static_cast<int64_t>(positions.size()), static_cast<int64_t>(inv_freq.size()));
  check_table(sin, static_cast<int64_t>(positions.size()), static_cast<int64_t>(inv_freq.size()));
  const PartTimer timer(exec, Part::kElementwise, 0);
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::rope_table(exec, inv_freq, positions, attention_factor, cos, sin);
    case DeviceKind::kCuda: return exec.device.backend()->rope_table(exec, inv_freq, positions, attention_factor, cos, sin);
  }
  TENFOLD_CHECK(false, "{}: no device", cos.name);
}

void rope_apply(Exec& exec, const TensorView& x, const TensorView& cos, const TensorView& sin, bool inverse) {
  TENFOLD_CHECK(x.rank == 3 && x.dim(2) > 0 && x.dim(2) % 2 == 0 && x.stride(2) == 1, "{} {}: expected (T, heads, even E)",
                x.name, shape_text(x));
  TENFOLD_CHECK(x.dtype == DType::kF32 || x.dtype == exec.compute, "{}: dtype {}", x.name, name_of(x.dtype));
  check_table(cos, x.dim(0), x.dim(2) / 2);
  check_table(sin, x.dim(0), x.dim(2) / 2);
  const PartTimer timer(exec, Part::kElementwise, 3.0 * static_cast<double>(x.elements()));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::rope_apply(exec, x, cos, sin, inverse);
    case DeviceKind::kCuda: return exec.device.backend()->rope_apply(exec, x, cos, sin, inverse);
  }
  TENFOLD_CHECK(false, "{}: no device", x.name);
}

}  // namespace tenfold::ops
