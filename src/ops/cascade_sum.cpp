#include "ops/cascade_sum.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace tenfold::ops {
namespace {

constexpr int64_t kRows = 4;
constexpr int64_t kLevels = 4;

/// Sums `size` rows of kRows * lanes values; every partial sum is carried one level up when it holds 2^power rows.
template <int64_t lanes>
std::array<float, kRows * lanes> sum_rows(const float* values, int64_t size) {
  constexpr auto kWidth = static_cast<size_t>(kRows * lanes);
  const int64_t log2 = size <= 1 ? 0 : static_cast<int64_t>(std::bit_width(static_cast<uint64_t>(size - 1)));
  const int64_t power = std::max<int64_t>(4, log2 / kLevels);
  const int64_t step = int64_t{1} << power;
  std::array<std::array<float, kWidth>, kLevels> sums{};
  const auto add_row = [&](int64_t row) {
    for (size_t k = 0; k < kWidth; ++k) sums[0][k] += values[static_cast<size_t>(row) * kWidth + k];
  };
  int64_t row = 0;
  while (row + step <= size) {
    for (int64_t j = 0; j < step; ++j) add_row(row++);
    for (int64_t level = 1; level < kLevels; ++level) {
      const auto l = static_cast<size_t>(level);
      for (size_t k = 0; k < kWidth; ++k) sums[l][k] += sums[l - 1][k];
      sums[l - 1].fill(0.0F);
      if ((row & ((step - 1) << (level * power))) != 0) break;
    }
  }
  while (row < size) add_row(row++);
  for (size_t l = 1; l < kLevels; ++l) {
    for (size_t k = 0; k < kWidth; ++k) sums[0][k] += sums[l][k];
  }
  return sums[0];
}

/// Sums `size` groups of `lanes` values, lane by lane.
template <int64_t lanes>
std::array<float, lanes> sum_lanes(const float* values, int64_t size) {
  constexpr auto kLanes = static_cast<size_t>(lanes);
  const int64_t rows = size / kRows;
  const auto partial = sum_rows<lanes>(values, rows);
  std::array<float, lanes> out{};
  std::copy_n(partial.begin(), kLanes, out.begin());
  for (int64_t i = rows * kRows; i < size; ++i) {
    for (size_t k = 0; k < kLanes; ++k) out[k] += values[static_cast<size_t>(i) * kLanes + k];
  }
  for (size_t row = 1; row < kRows; ++row) {
    for (size_t k = 0; k < kLanes; ++k) out[k] += partial[row * kLanes + k];
  }
  return out;
}

}  // namespace

float cascade_sum(std::span<const float> values) {
  constexpr int64_t kVector = 8;
  const auto n = static_cast<int64_t>(values.size());
  if (n < kVector) return sum_lanes<1>(values.data(), n)[0];
  const auto lanes = sum_lanes<kVector>(values.data(), n / kVector);
  float sum = 0.0F;
  for (int64_t i = n / kVector * kVector; i < n; ++i) sum += values[static_cast<size_t>(i)];
  for (const float lane : lanes) sum += lane;
  return sum;
}

}  // namespace tenfold::ops
