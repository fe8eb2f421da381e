#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace tenfold {

/// int(linspace(low, high, n)) as numpy computes it (evaluations.md 1.6): step in double, the last value exact, then truncated.
/// n = 1 gives `low`. TENFOLD_CHECK n >= 1.
std::vector<int64_t> linspace(int64_t low, int64_t high, int64_t n);

/// "1K,2K,8192" (K = 1024) as lengths in tokens, "0,25,50" as depths in per cent (0 to 100). `option` is named in the InputError
/// on anything else, a repeated value included.
std::vector<int64_t> parse_lengths(std::string_view text, std::string_view option);
std::vector<int64_t> parse_depths(std::string_view text, std::string_view option);

/// numpy.random.default_rng(seed): SeedSequence, PCG64 (XSL-RR 128/64) and Generator.integers, bit for bit.
class NumpyRng {
 public:
  explicit NumpyRng(uint64_t seed);
  /// integers(low, high): uniform in [low, high). TENFOLD_CHECK low < high.
  int64_t integers(int64_t low, int64_t high);

 private:
  __extension__ using Uint128 = unsigned __int128;
  void step();
  uint64_t next64();
  uint32_t next32();

  Uint128 state_ = 0;
  Uint128 increment_ = 0;
  std::optional<uint32_t> spare_;  ///< upper half of the last draw of 32 bits
};

}  // namespace tenfold
