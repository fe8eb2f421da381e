#pragma once

#include "core/dtype.h"
#include "device/device.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace tenfold {

/// Where the time of a step goes; `bench` prints one row each.
enum class Part : uint8_t { kProducts, kExpansion, kAttention, kElementwise, kHead, kLora, kOptimizer, kCount };
std::string_view name_of(Part part);

/// Seconds and useful floating point operations by part, added up over a run.
class Profile {
 public:
  void add(Part part, double seconds, double flops) {
    auto& row = rows_[static_cast<size_t>(part)];
    row.seconds += seconds;
    row.flops += flops;
    ++row.calls;
  }
  struct Row {
    double seconds = 0;
    double flops = 0;
    int64_t calls = 0;
  };
  const Row& row(Part part) const { return rows_[static_cast<size_t>(part)]; }
  void clear() { rows_ = {}; }

 private:
  std::array<Row, static_cast<size_t>(Part::kCount)> rows_{};
};

/// What every op is handed: where to compute, its temporaries, the dtype of activations and products, and who counts the time.
struct Exec {
  Device& device;
  Workspace& scratch;
  DType compute = DType::kF32;  ///< kBF16 (f32 accumulation) or kF32
  Profile* profile = nullptr;
};

/// Adds the time between its construction and destruction to a part; free when there is no profile. Work that a device still has
/// to do is waited for on both sides, so a profile costs a GPU its overlap.
class PartTimer {
 public:
  PartTimer(Exec& exec, Part part, double flops) : exec_(exec), part_(part), flops_(flops) {
    if (exec_.profile == nullptr) return;
    exec_.device.synchronize();
    start_ = Clock::now();
  }
  PartTimer(const PartTimer&) = delete;
  PartTimer& operator=(const PartTimer&) = delete;
  ~PartTimer() {
    if (exec_.profile == nullptr) return;
    exec_.device.synchronize();
    exec_.profile->add(part_, std::chrono::duration<double>(Clock::now() - start_).count(), flops_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  Exec& exec_;
  Part part_;
  double flops_;
  Clock::time_point start_;
};

}  // namespace tenfold
