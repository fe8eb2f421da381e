#pragma once

// What the programs that test on a GPU share: they open it, tell the tests, and skip where there is none.

#include "core/error.h"
#include "support/device.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

namespace tenfold::test {

/// Runs the tests on GPU 0, but for those of the filter `left_out`; `opened` comes before them. Exits with 77 (skipped) where
/// there is no GPU, and never returns: what tests leave behind in device memory is not unwound.
[[noreturn]] inline void run_on_gpu(int argc, char** argv, const char* left_out, const std::function<void()>& opened) {
  constexpr int kSkipped = 77;
  testing::InitGoogleTest(&argc, argv);
  std::string& filter = testing::GTEST_FLAG(filter);
  if (left_out[0] != '\0' && filter.find(":-") == std::string::npos && filter.find('-') != 0)
    filter += std::string(":-") + left_out;
  std::unique_ptr<Device> device;
  try {
    device = open_cuda_device(0);
  } catch (const DeviceError& error) {
    std::fprintf(stderr, "%s skips: %s\n", argv[0], error.what());
    std::_Exit(kSkipped);
  }
  std::fprintf(stderr, "%s on %s\n", argv[0], device->description().c_str());
  gpu() = device.get();
  opened();
  const int result = RUN_ALL_TESTS();
  std::fflush(nullptr);
  std::_Exit(result);
}

}  // namespace tenfold::test
