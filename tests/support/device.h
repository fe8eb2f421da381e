#pragma once

// Where a test computes, and how it reaches what lies there.

#include "device/device.h"

#include <cstdint>
#include <cstring>
#include <vector>

namespace tenfold::test {

/// The GPU that the same cases run on in gpu_test and model_gpu_test (tests/cuda); null: the CPU.
inline Device*& gpu() {
  static Device* device = nullptr;
  return device;
}

/// The GPU where there is one, else the CPU given.
inline Device& gpu_or(Device& cpu) { return gpu() == nullptr ? cpu : *gpu(); }

/// A contiguous f32 tensor of the device as the host reads it.
inline std::vector<float> host_values(Device& device, const TensorView& t) {
  const HostCopy copy(device, t);
  const float* first = copy.view().ptr<float>();
  return {first, first + t.elements()};
}

/// Writes values into a contiguous f32 tensor of the device, from element `at` on.
inline void set_values(Device& device, const TensorView& t, const std::vector<float>& values, int64_t at = 0) {
  TENFOLD_CHECK(at + static_cast<int64_t>(values.size()) <= t.elements(), "{}: {} values at {}", t.name, values.size(), at);
  device.copy_in(t.ptr<float>() + at, values.data(), static_cast<int64_t>(values.size()) * 4);
}

}  // namespace tenfold::test
