#pragma once

#include <array>
#include <cstdint>

namespace tenfold {

/// Philox 4x32-10 (Salmon et al., SC 2011): 128 random bits as a pure function of a key and a counter, so that randomness
/// depends on (seed, record, layer, token) and never on thread or order.
std::array<uint32_t, 4> philox(uint64_t key, uint64_t counter_high, uint64_t counter_low);

/// A named stream of random numbers over philox: stream `stream` of seed `seed`, position kept by the caller's copy.
/// The state is (seed, stream, position), so saving it takes three integers.
class Rng {
 public:
  Rng(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}

  uint32_t next_u32();
  uint64_t next_u64();
  /// Uniform in [0, 1) with 53 bits.
  double uniform();
  /// Uniform integer in [0, n), unbiased; n > 0.
  uint64_t below(uint64_t n);
  /// Uniform integer in [low, high], both included.
  int64_t between(int64_t low, int64_t high);
  /// Standard normal (Box-Muller).
  double normal();

  /// Fisher-Yates.
  template <typename Container>
  void shuffle(Container& items) {
    for (uint64_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }
  template <typename Container>
  const auto& pick(const Container& items) {
    return items[below(items.size())];
  }

  uint64_t position() const { return position_; }
  void seek(uint64_t position) { position_ = position; }

 private:
  uint64_t seed_;
  uint64_t stream_;
  uint64_t position_ = 0;  ///< in 32-bit words
};

/// A 64-bit mix (splitmix64 finaliser) to derive stream numbers from several integers.
constexpr uint64_t mix64(uint64_t a, uint64_t b) {
  uint64_t z = a * 0x9E3779B97F4A7C15U + b + 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

}  // namespace tenfold
