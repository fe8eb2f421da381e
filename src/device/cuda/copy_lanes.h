#pragma once

#include "device/device.h"

#include <cuda_runtime.h>

#include <array>
#include <cstdint>

namespace tenfold::cuda {

/// Copies between a GPU and page-locked host memory beside the compute stream: one stream a direction, so that both copy engines
/// work at once (CUDA C++ Programming Guide, Asynchronous Concurrent Execution). Tickets are counted from 1; each has an event of
/// a ring, and one whose slot was taken again is done, as taking it waits.
class CopyLanes {
 public:
  enum class Lane : uint8_t { kOut, kIn };

  explicit CopyLanes(cudaStream_t compute);
  CopyLanes(const CopyLanes&) = delete;
  CopyLanes& operator=(const CopyLanes&) = delete;
  ~CopyLanes();

  /// Enqueues a copy after the compute stream's work so far and after `after`.
  CopyTicket copy(Lane lane, void* to, const void* from, int64_t bytes, CopyTicket after);
  /// The compute stream goes on after that copy.
  void wait_for(CopyTicket ticket);
  /// Returns when both lanes are empty.
  void finish() const noexcept;

 private:
  static constexpr int64_t kSlots = 256;
  bool in_ring(CopyTicket ticket) const { return ticket > 0 && ticket > last_ - kSlots; }
  cudaEvent_t event_of(CopyTicket ticket) const { return done_[static_cast<size_t>(ticket % kSlots)]; }

  cudaStream_t compute_;
  std::array<cudaStream_t, 2> lanes_{};
  std::array<cudaEvent_t, kSlots> done_{};
  cudaEvent_t begin_ = nullptr;
  CopyTicket last_ = 0;
};

}  // namespace tenfold::cuda
