#pragma once

namespace tenfold::cli {

/// While it lives, SIGINT and SIGTERM set a flag that long work asks between steps; a second one ends the process at once.
/// One object at a time.
class StopSignal {
 public:
  StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  ~StopSignal();

  bool requested() const { return number() != 0; }
  /// The signal that came, or 0.
  int number() const;
};

}  // namespace tenfold::cli
