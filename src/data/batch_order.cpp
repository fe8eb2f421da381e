#include "data/batch_order.h"

#include "core/checked.h"
#include "core/error.h"
#include "core/rng.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tenfold {
namespace {
constexpr uint64_t kOrderStream = 0x4F52444552;  // "ORDER"
}

BatchOrder::BatchOrder(std::span<const int64_t> lengths, uint64_t seed, bool shuffle, bool group_by_length, int64_t batch)
    : lengths_(lengths.begin(), lengths.end()), seed_(seed), shuffle_(shuffle), group_by_length_(group_by_length), batch_(batch) {
  if (lengths_.empty()) throw_input("there is no example to train on");
  if (batch_ < 1) throw_input("batch size {}: expected at least 1", batch_);
}

int64_t BatchOrder::steps_per_epoch() const { return ceil_div(static_cast<int64_t>(lengths_.size()), batch_); }

std::vector<int64_t> BatchOrder::batch(int64_t step) {
  TENFOLD_CHECK(step >= 0, "step {}", step);
  const int64_t epoch = step / steps_per_epoch();
  if (epoch != cached_epoch_) {
    cached_order_ = order_of(epoch);
    cached_epoch_ = epoch;
  }
  const auto begin = cached_order_.begin() + step % steps_per_epoch() * batch_;
  return {begin, begin + std::min<int64_t>(batch_, cached_order_.end() - begin)};
}

std::vector<int64_t> BatchOrder::order_of(int64_t epoch) const {
  std::vector<int64_t> order(lengths_.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  if (shuffle_) {
    Rng rng(seed_, mix64(kOrderStream, static_cast<uint64_t>(epoch)));
    rng.shuffle(order);
  }
  if (group_by_length_) group(order);
  return order;
}

void BatchOrder::group(std::vector<int64_t>& order) const {
  // Few examples get smaller stretches, else a whole epoch would be sorted and nothing left to chance.
  const auto n = static_cast<int64_t>(order.size());
  const int64_t stretch = batch_ * std::clamp<int64_t>(n / (batch_ * 4), 1, 50);
  const auto longer = [this](int64_t a, int64_t b) {
    return lengths_[static_cast<size_t>(a)] > lengths_[static_cast<size_t>(b)];
  };
  size_t longest = 0;
  for (int64_t begin = 0; begin < n; begin += stretch) {
    const auto first = order.begin() + begin;
    std::stable_sort(first, order.begin() + std::min(begin + stretch, n), longer);
    if (longer(*first, order[longest])) longest = static_cast<size_t>(begin);
  }
  std::swap(order[0], order[longest]);
}

}  // namespace tenfold
