#pragma once

// What the micro-benchmarks on a GPU share: their list, where they compute, what they compute on, and how a call is timed.

#include "device/exec.h"
#include "ops/random_fill.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace tenfold::bench {

struct Benchmark {
  std::string_view name;
  std::string_view about;  ///< for --help
  void (*run)(Device& gpu);
};

/// Each in the order that it runs in.
std::vector<Benchmark> linear_benchmarks();
std::vector<Benchmark> elementwise_benchmarks();

/// An Exec in bf16 with scratch of its own. It has no profile: that would wait for the GPU before and after every op.
struct BenchExec {
  Workspace scratch;
  Exec exec;

  BenchExec(Device& gpu, int64_t scratch_bytes)
      : scratch(gpu.allocate("bench scratch", MemoryUse::kWorkspace, scratch_bytes)), exec{gpu, scratch, DType::kBF16, nullptr} {}
  BenchExec(const BenchExec&) = delete;
  BenchExec& operator=(const BenchExec&) = delete;
};

/// Fills memory of the device with random bf16 of spread 0.1. Two of them read as f32 are a value of that order, too, and the
/// blocks of a quantised weight get finite scales.
inline void fill_noise(Exec& exec, void* data, int64_t bytes) {
  ops::RandomFill fill;
  fill.kind = ops::RandomKind::kBF16;
  fill.limit = 0.17F;
  fill.data = static_cast<std::byte*>(data);
  fill.bytes = bytes;
  ops::random_fill(exec, fill);
}

inline Buffer noise(Exec& exec, int64_t bytes) {
  Buffer buffer = exec.device.allocate("noise", MemoryUse::kActivations, bytes);
  fill_noise(exec, buffer.data(), bytes);
  return buffer;
}

/// Seconds of a call: the best of five rounds of so many in a row, as in a step, which does not wait for the GPU after each. One
/// that is not counted comes before: it chooses kernels. A call is told its number in the round, so that it can take other memory
/// than the one before it, which caches may still hold.
inline double seconds_of(Device& gpu, int calls, const std::function<void(int)>& call) {
  using Clock = std::chrono::steady_clock;
  constexpr int kRounds = 5;
  double best = 1e30;
  call(0);
  for (int round = 0; round < kRounds; ++round) {
    gpu.synchronize();
    const auto start = Clock::now();
    for (int i = 0; i < calls; ++i) call(i);
    gpu.synchronize();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count() / calls);
  }
  return best;
}

}  // namespace tenfold::bench
