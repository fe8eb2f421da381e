#include "core/rng.h"

#include "core/error.h"

#include <cmath>
#include <numbers>

namespace tenfold {

std::array<uint32_t, 4> philox(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53U;
  constexpr uint64_t kMultiplier1 = 0xCD9E8D57U;
  constexpr uint32_t kWeyl0 = 0x9E3779B9U;
  constexpr uint32_t kWeyl1 = 0xBB67AE85U;
  std::array<uint32_t, 4> x = {static_cast<uint32_t>(counter_low), static_cast<uint32_t>(counter_low >> 32),
                               static_cast<uint32_t>(counter_high), static_cast<uint32_t>(counter_high >> 32)};
  auto k0 = static_cast<uint32_t>(key);
  auto k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = kMultiplier0 * x[0];
    const uint64_t p1 = kMultiplier1 * x[2];
    x = {static_cast<uint32_t>(p1 >> 32) ^ x[1] ^ k0, static_cast<uint32_t>(p1), static_cast<uint32_t>(p0 >> 32) ^ x[3] ^ k1,
         static_cast<uint32_t>(p0)};
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  return x;
}

uint32_t Rng::next_u32() {
  const uint64_t at = position_++;
  return philox(seed_, stream_, at / 4)[at % 4];
}

uint64_t Rng::next_u64() {
  const uint64_t low = next_u32();
  return low | (static_cast<uint64_t>(next_u32()) << 32);
}

double Rng::uniform() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

uint64_t Rng::below(uint64_t n) {
  TENFOLD_CHECK(n > 0, "empty range");
  const uint64_t limit = UINT64_MAX - (UINT64_MAX % n + 1) % n;  // the largest multiple of n, less one
  uint64_t x = next_u64();
  while (x > limit) x = next_u64();
  return x % n;
}

int64_t Rng::between(int64_t low, int64_t high) {
  TENFOLD_CHECK(low <= high, "[{}, {}]", low, high);
  return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low) + 1));
}

double Rng::normal() {
  const double u = 1.0 - uniform();
  const double v = uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

}  // namespace tenfold
