#include "ops/cross_entropy.h"

#include "ops/backend.h"
#include "ops/cpu/cross_entropy.h"

namespace tenfold::ops {

void cross_entropy(Exec& exec, const TensorView& h, const WeightView& head, std::span<const int32_t> targets,
                   std::span<const float> weights, std::span<float> nll, const TensorView& d_h, const TensorView& d_head) {
  const auto rows = static_cast<int64_t>(targets.size());
  TENFOLD_CHECK(
      h.rank == 2 && h.dim(0) == rows && h.dim(1) == head.cols && h.dtype == exec.compute && (h.stride(1) == 1 || h.dim(1) == 1),
      "{}: {} {} for {} targets and head {} [{}, {}]", h.name, name_of(h.dtype), shape_text(h), rows, head.name, head.rows,
      head.cols);
  TENFOLD_CHECK(nll.size() == targets.size(), "{} losses for {} targets", nll.size(), rows);
  const bool gradient = !d_h.empty() || !d_head.empty();
  TENFOLD_CHECK(weights.size() == targets.size() || (weights.empty() && !gradient), "{} weights for {} targets", weights.size(),
                rows);
  for (const int32_t t : targets) TENFOLD_CHECK(t >= 0 && t < head.rows, "target {} of {} in {}", t, head.rows, head.name);
  if (!d_h.empty())
    TENFOLD_CHECK(d_h.rank == 2 && d_h.dim(0) == rows && d_h.dim(1) == head.cols && d_h.dtype == DType::kF32 &&
                      (d_h.stride(1) == 1 || d_h.dim(1) == 1),
                  "{}: {} {}", d_h.name, name_of(d_h.dtype), shape_text(d_h));
  if (!d_head.empty())
    TENFOLD_CHECK(d_head.rank == 2 && d_head.dim(0) == head.rows && d_head.dim(1) == head.cols && d_head.dtype == DType::kF32 &&
                      (d_head.stride(1) == 1 || d_head.dim(1) == 1),
                  "{}: {} {}", d_head.name, name_of(d_head.dtype), shape_text(d_head));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::cross_entropy(exec, h, head, targets, weights, nll, d_h, d_head);
    case DeviceKind::kCuda: return exec.device.backend()->cross_entropy(exec, h, head, targets, weights, nll, d_h, d_head);
  }
  TENFOLD_CHECK(false, "{}: no device", head.name);
}

int64_t cross_entropy_scratch_bytes(const Exec& exec, int64_t rows, int64_t vocabulary, int64_t hidden) {
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::cross_entropy_scratch_bytes(exec, rows, vocabulary, hidden);
    case DeviceKind::kCuda: return exec.device.backend()->cross_entropy_scratch_bytes(exec, rows, vocabulary, hidden);
  }
  TENFOLD_CHECK(false, "no device");
}

}  // namespace tenfold::ops
