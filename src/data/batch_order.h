#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tenfold {

/// Which examples step s trains on, as a pure function of (seed, s): resuming needs no state but the step.
/// An epoch is one permutation of all examples; its last batch may be shorter.
class BatchOrder {
 public:
  /// `lengths` are the examples' token counts, `batch` the examples of one step. `shuffle` permutes each epoch anew.
  /// `group_by_length` sorts stretches of the permutation by falling length, so that a step's examples are of like length; the
  /// longest example opens the epoch, so that what does not fit fails first (transformers' LengthGroupedSampler).
  /// InputError without examples or with batch < 1.
  BatchOrder(std::span<const int64_t> lengths, uint64_t seed, bool shuffle, bool group_by_length, int64_t batch);

  int64_t steps_per_epoch() const;
  /// Example indices of step `step` >= 0, counted over all epochs.
  std::vector<int64_t> batch(int64_t step);

 private:
  std::vector<int64_t> order_of(int64_t epoch) const;
  void group(std::vector<int64_t>& order) const;

  std::vector<int64_t> lengths_;
  uint64_t seed_;
  bool shuffle_;
  bool group_by_length_;
  int64_t batch_;
  int64_t cached_epoch_ = -1;
  std::vector<int64_t> cached_order_;
};

}  // namespace tenfold
