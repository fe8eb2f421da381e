#pragma once

#include <chrono>

namespace tenfold {

/// Counts from when it was made.
class Stopwatch {
 public:
  /// Wall-clock seconds, from a clock that nobody sets.
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace tenfold
