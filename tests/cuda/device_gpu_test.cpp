// What a GPU refuses, and that it goes on afterwards.
#include "core/error.h"
#include "ops/backend.h"
#include "ops/elementwise.h"

#include "ops/support.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace tenfold {
namespace {

void expect_refused(const std::function<void()>& call, std::initializer_list<const char*> words) {
  try {
    call();
    FAIL() << "not refused";
  } catch (const DeviceError& error) {
    const std::string text = error.what();
    for (const char* word : words) EXPECT_NE(text.find(word), std::string::npos) << word << " is not in: " << text;
  }
}

/// A kernel runs and its result arrives: no error of before is left.
void expect_works() {
  Device& device = *test::gpu();
  const Buffer x = device.allocate("x", MemoryUse::kWorkspace, 4 * 4);
  const Buffer y = device.allocate("y", MemoryUse::kWorkspace, 4 * 4);
  const std::vector<float> ones(4, 1.0F);
  device.copy_in(x.data(), ones.data(), 16);
  device.copy_in(y.data(), ones.data(), 16);
  Workspace none;
  Exec exec{device, none, DType::kF32, nullptr};
  ops::add(exec, x.view(DType::kF32, {4}), y.view(DType::kF32, {4}));
  std::vector<float> sum(4);
  device.copy_out(sum.data(), y.data(), 16);
  EXPECT_EQ(sum, std::vector<float>(4, 2.0F));
}

TEST(GpuRefusals, TooMuchDeviceMemory) {
  Device& device = *test::gpu();
  const int64_t before = device.bytes_in_use();
  expect_refused([&] { device.allocate("an impossible cache", MemoryUse::kCache, int64_t{1} << 44); },
                 {"out of GPU memory", "an impossible cache", "16384.00 GiB", "free", "--gpu-memory", "nvidia-smi"});
  EXPECT_EQ(device.bytes_in_use(), before);
  expect_works();
}

TEST(GpuRefusals, TooMuchPinnedHostMemory) {
  Device& device = *test::gpu();
  const int64_t before = device.host_bytes_in_use();
  expect_refused([&] { device.allocate_host("impossible offload", MemoryUse::kActivations, int64_t{1} << 44); },
                 {"page-locked host memory", "impossible offload", "--host-memory"});
  EXPECT_EQ(device.host_bytes_in_use(), before);
  expect_works();
}

TEST(GpuRefusals, AGpuThatIsNotThere) {
  expect_refused([] { open_cuda_device(99); }, {"cuda:99", "no such GPU", "numbered from 0"});
  expect_works();
}

TEST(GpuCeilings, PinnedCopiesHaveRates) {
  Workspace none;
  Exec exec{*test::gpu(), none, DType::kF32, nullptr};
  const ops::PinnedRates rates = test::gpu()->backend()->pinned_gigabytes(exec);
  EXPECT_GT(rates.to_device, 1.0);
  EXPECT_GT(rates.to_host, 1.0);
  EXPECT_GT(rates.both, std::max(rates.to_device, rates.to_host));
}

}  // namespace
}  // namespace tenfold
