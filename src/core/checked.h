#pragma once

#include "core/error.h"

#include <cstdint>
#include <optional>
#include <span>

namespace tenfold {

/// a * b for sizes, or nothing when either is negative or the product does not fit int64.
constexpr std::optional<int64_t> checked_mul(int64_t a, int64_t b) {
  int64_t result = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

/// a + b for sizes, or nothing when either is negative or the sum does not fit int64.
constexpr std::optional<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t result = 0;
  if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

/// The product of dimensions, or nothing on overflow or a negative dimension. An empty list gives 1.
constexpr std::optional<int64_t> checked_product(std::span<const int64_t> dims) {
  int64_t total = 1;
  bool zero = false;
  for (const int64_t d : dims) {
    if (d < 0) return std::nullopt;
    if (d == 0) zero = true;
  }
  if (zero) return 0;
  for (const int64_t d : dims) {
    const auto next = checked_mul(total, d);
    if (!next) return std::nullopt;
    total = *next;
  }
  return total;
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t multiple) { return ceil_div(a, multiple) * multiple; }

}  // namespace tenfold
