#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace tenfold::test {

/// f(i) for i in [0, n) on every core; f must not throw.
template <typename F>
void parallel(int64_t n, const F& f) {
  std::atomic<int64_t> next{0};
  const auto work = [&] {
    for (int64_t i = next++; i < n; i = next++) f(i);
  };
  std::vector<std::thread> others;
  for (unsigned t = 1; t < std::thread::hardware_concurrency(); ++t) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
}

/// sum of a[i] b[i] in f64; eight partial sums, so that a compiler may use vectors.
template <typename A, typename B>
double dot(const A* a, const B* b, int64_t n) {
  double parts[8] = {};
  const int64_t whole = n / 8 * 8;
  for (int64_t i = 0; i < whole; i += 8)
    for (int64_t l = 0; l < 8; ++l) parts[l] += static_cast<double>(a[i + l]) * static_cast<double>(b[i + l]);
  for (int64_t i = whole; i < n; ++i) parts[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7]));
}

/// y += factor x
template <typename X>
void add_scaled(double factor, const X* x, int64_t n, double* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += factor * static_cast<double>(x[i]);
}

}  // namespace tenfold::test
