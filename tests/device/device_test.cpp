#include "device/device.h"

#include "core/error.h"
#include "device/exec.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

namespace tenfold {
namespace {

TEST(Buffer, CountsWhatIsHeld) {
  Device device(1);
  EXPECT_EQ(device.bytes_in_use(), 0);
  {
    Buffer a = device.allocate("a", MemoryUse::kWeights, 1000);
    Buffer b = device.allocate("b", MemoryUse::kCache, 3 << 20);
    EXPECT_EQ(device.bytes_in_use(), 1000 + (3 << 20));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data()) % 64, 0U);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(b.data()) % 64, 0U);
    Buffer moved = std::move(a);
    EXPECT_EQ(moved.bytes(), 1000);
    EXPECT_EQ(device.bytes_in_use(), 1000 + (3 << 20));
    b = std::move(moved);
    EXPECT_EQ(device.bytes_in_use(), 1000);
    EXPECT_EQ(b.name(), "a");
  }
  EXPECT_EQ(device.bytes_in_use(), 0);
  EXPECT_EQ(device.allocations(), 2);
  EXPECT_EQ(device.peak_bytes(), 1000 + (3 << 20));
}

TEST(Buffer, ThatCannotBeHadIsADeviceErrorThatNamesIt) {
  Device device(1);
  try {
    const Buffer huge = device.allocate("an impossible cache", MemoryUse::kCache, int64_t{1} << 60);
    FAIL() << "got an exbibyte";
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("an impossible cache"), std::string::npos) << error.what();
  }
  EXPECT_EQ(device.bytes_in_use(), 0);
}

TEST(Workspace, MeasuresExactlyWhatItThenTakes) {
  const auto use = [](Workspace& ws) {
    const TensorView kept = ws.tensor("kept", DType::kBF16, {33, 7});
    {
      const Workspace::Scope scope(ws);
      ws.tensor("first", DType::kF32, {100});
    }
    const Workspace::Scope scope(ws);
    ws.tensor("second", DType::kF32, {50});
    return kept;
  };
  Workspace measured;
  EXPECT_TRUE(use(measured).empty());
  Device device(1);
  Workspace real(device.allocate("scratch", MemoryUse::kWorkspace, measured.high_water()));
  EXPECT_FALSE(use(real).empty());
  EXPECT_EQ(real.high_water(), measured.high_water());
  EXPECT_EQ(measured.high_water(), workspace_bytes(DType::kBF16, {33, 7}) + workspace_bytes(DType::kF32, {100}));
}

TEST(WorkspaceDeathTest, RunningOverThePlanIsABug) {
  Device device(1);
  Workspace ws(device.allocate("small scratch", MemoryUse::kWorkspace, 128));
  EXPECT_DEATH(ws.tensor("too much", DType::kF32, {33}), "small scratch");
}

TEST(MemoryPlan, SumsByUse) {
  MemoryPlan plan;
  plan.add("w", MemoryUse::kWeights, 5);
  plan.add("a", MemoryUse::kActivations, 7);
  plan.add("b", MemoryUse::kActivations, 11);
  EXPECT_EQ(plan.total(), 23);
  EXPECT_EQ(plan.total(MemoryUse::kActivations), 18);
}

TEST(Profile, AddsUpByPart) {
  Profile profile;
  Device device(1);
  Workspace scratch;
  Exec exec{device, scratch, DType::kF32, &profile};
  { const PartTimer timer(exec, Part::kHead, 10); }
  { const PartTimer timer(exec, Part::kHead, 20); }
  exec.profile = nullptr;
  { const PartTimer timer(exec, Part::kHead, 20); }
  EXPECT_EQ(profile.row(Part::kHead).calls, 2);
  EXPECT_EQ(profile.row(Part::kHead).flops, 30);
  EXPECT_GT(profile.row(Part::kHead).seconds, 0);
  EXPECT_EQ(profile.row(Part::kProducts).calls, 0);
}

}  // namespace
}  // namespace tenfold
