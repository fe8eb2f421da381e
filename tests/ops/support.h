#pragma once

// What every op test shares: random tensors, outputs between guard bytes, comparators that fail on NaN, tolerances with their
// reason.

#include "core/dtype.h"
#include "core/rng.h"
#include "core/tensor.h"
#include "device/device.h"
#include "device/exec.h"
#include "support/device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <type_traits>
#include <vector>

namespace tenfold::test {

/// An Exec with its own device and scratch (or the GPU's, which all tests share). A test that runs over its planned scratch
/// aborts, as the program would.
struct TestExec {
  Device cpu;
  Device& device;
  Workspace scratch;
  Profile profile;
  Exec exec;

  explicit TestExec(DType compute = DType::kF32, int64_t scratch_bytes = int64_t{64} << 20, int threads = 2)
      : cpu(threads),
        device(gpu_or(cpu)),
        scratch(device.allocate("test scratch", MemoryUse::kWorkspace, scratch_bytes)),
        exec{device, scratch, compute, &profile} {}
};

template <typename T>
T cast_to(double value) {
  return static_cast<T>(static_cast<float>(value));
}

/// n normal values of the given spread; a function of the seed alone.
template <typename T = float>
std::vector<T> random_values(int64_t n, uint64_t seed, double spread = 1.0, double mean = 0.0) {
  Rng rng(seed, 0x7465737400ULL);
  std::vector<T> out(static_cast<size_t>(n));
  for (T& v : out) v = cast_to<T>(mean + spread * rng.normal());
  return out;
}

/// Random bytes, for block formats whose scales are set afterwards.
inline std::vector<uint8_t> random_bytes(int64_t n, uint64_t seed) {
  Rng rng(seed, 0x6279746573ULL);
  std::vector<uint8_t> out(static_cast<size_t>(n));
  for (uint8_t& v : out) v = static_cast<uint8_t>(rng.next_u32() >> 24);
  return out;
}

/// A row-major array (rows, cols) with `stride` elements a row, between guard zones. Everything starts as 0xff bytes (NaN in f32
/// and bf16), so an element that an op forgets to write fails every comparison; intact() says whether a guard or the gap between
/// the rows was written.
template <typename T>
class Guarded {
 public:
  explicit Guarded(int64_t rows, int64_t cols = 1, int64_t stride = 0)
      : rows_(rows),
        cols_(cols),
        stride_(stride == 0 ? cols : stride),
        storage_(bytes_of(rows, stride_) + 2 * kGuard + 64, 0xff) {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data()) + kGuard;
    data_ = reinterpret_cast<T*>((address + 63) / 64 * 64);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() { return data_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  T& at(int64_t i, int64_t j = 0) { return data_[i * stride_ + j]; }

  void assign(std::span<const T> values) {
    ASSERT_EQ(static_cast<int64_t>(values.size()), rows_ * cols_);
    for (int64_t i = 0; i < rows_; ++i) std::copy_n(values.data() + i * cols_, cols_, data_ + i * stride_);
  }
  /// The values without the gaps.
  std::vector<T> values() const {
    std::vector<T> out(static_cast<size_t>(rows_ * cols_));
    for (int64_t i = 0; i < rows_; ++i) std::copy_n(data_ + i * stride_, cols_, out.data() + i * cols_);
    return out;
  }
  TensorView view(const char* name) {
    TensorView v(name, DTypeOf<T>::value, {rows_, cols_}, data_);
    v.strides[0] = stride_;
    return v;
  }
  /// The same elements under another shape; needs stride == cols.
  TensorView view(const char* name, std::initializer_list<int64_t> dims) {
    TensorView v(name, DTypeOf<T>::value, dims, data_);
    EXPECT_TRUE(stride_ == cols_ && v.elements() == rows_ * cols_) << name;
    return v;
  }
  bool intact() const {
    const auto* begin = storage_.data();
    const auto* first = reinterpret_cast<const uint8_t*>(data_);
    const auto* end = begin + storage_.size();
    const auto untouched = [](const uint8_t* from, const uint8_t* to) {
      return std::all_of(from, to, [](uint8_t b) { return b == 0xff; });
    };
    if (!untouched(begin, first)) return false;
    for (int64_t i = 0; i < rows_; ++i) {
      const auto* gap = reinterpret_cast<const uint8_t*>(data_ + i * stride_ + cols_);
      const auto* next = i + 1 < rows_ ? reinterpret_cast<const uint8_t*>(data_ + (i + 1) * stride_) : end;
      if (!untouched(gap, next)) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kGuard = 256;
  static size_t bytes_of(int64_t rows, int64_t stride) { return static_cast<size_t>(rows * stride) * sizeof(T); }

  int64_t rows_, cols_, stride_;
  std::vector<uint8_t> storage_;
  T* data_ = nullptr;
};

template <typename T>
std::vector<double> to_double(const std::vector<T>& values) {
  std::vector<double> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) out[i] = static_cast<double>(static_cast<float>(values[i]));
  return out;
}
inline std::vector<double> to_double(const std::vector<double>& values) { return values; }

/// Unit roundoff: half the distance between 1 and the next number. f32 has 24 significant bits, bf16 8.
inline double unit_roundoff(DType dtype) {
  switch (dtype) {
    case DType::kF64: return 0x1p-53;
    case DType::kF32: return 0x1p-24;
    case DType::kF16: return 0x1p-11;
    case DType::kBF16: return 0x1p-8;
    default: return 0.0;
  }
}

/// Bound on the error of a K-term dot product accumulated in f32 in any order: |fl(s) - s| <= gamma_K sum |a_k b_k|,
/// gamma_K = K u / (1 - K u), u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
inline double dot_tolerance(int64_t k, double sum_of_magnitudes) {
  const double ku = static_cast<double>(k) * 0x1p-24;
  return ku / (1.0 - ku) * sum_of_magnitudes + 1e-37;
}

/// The same, with the result rounded once to `out`, and operands that may carry `operand_roundings` roundings to bf16 between
/// them.
inline double dot_tolerance(int64_t k, double sum_of_magnitudes, double value, DType out, int operand_roundings = 0) {
  const double operands = operand_roundings * 0x1p-8 * 1.01 * sum_of_magnitudes;
  const double before = dot_tolerance(k, sum_of_magnitudes) + operands;
  return before + unit_roundoff(out) * (std::abs(value) + before);
}

/// Every |actual - expected| <= tolerance; a NaN on either side fails. Names the worst element.
template <typename A, typename E>
::testing::AssertionResult near(const std::vector<A>& actual, const std::vector<E>& expected,
                                const std::vector<double>& tolerance) {
  if (actual.size() != expected.size() || actual.size() != tolerance.size())
    return ::testing::AssertionFailure() << "sizes " << actual.size() << ", " << expected.size() << ", " << tolerance.size();
  const auto a = to_double(actual);
  const auto e = to_double(expected);
  size_t worst = 0;
  size_t failures = 0;
  double worst_ratio = -1.0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = std::abs(a[i] - e[i]);
    if (error <= tolerance[i]) continue;  // false for NaN
    ++failures;
    const double ratio = std::isfinite(error) ? error / std::max(tolerance[i], 1e-300) : INFINITY;
    if (ratio > worst_ratio) {
      worst_ratio = ratio;
      worst = i;
    }
  }
  if (failures == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << failures << " of " << a.size() << " elements off; worst at " << worst << ": "
                                       << a[worst] << " for " << e[worst] << ", allowed " << tolerance[worst] << " ("
                                       << worst_ratio << " times)";
}

template <typename A, typename E>
::testing::AssertionResult near(const std::vector<A>& actual, const std::vector<E>& expected, double tolerance) {
  return near(actual, expected, std::vector<double>(actual.size(), tolerance));
}

/// The same bits, element by element; equal NaNs are equal, but 0 and -0 are not.
template <typename T>
::testing::AssertionResult bits_equal(const std::vector<T>& actual, const std::vector<T>& expected) {
  if (actual.size() != expected.size())
    return ::testing::AssertionFailure() << "sizes " << actual.size() << ", " << expected.size();
  size_t failures = 0;
  size_t first = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::memcmp(&actual[i], &expected[i], sizeof(T)) == 0) continue;
    if (failures++ == 0) first = i;
  }
  if (failures == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << failures << " of " << actual.size() << " elements differ, first at " << first << ": "
                                       << static_cast<float>(actual[first]) << " for " << static_cast<float>(expected[first]);
}

}  // namespace tenfold::test
