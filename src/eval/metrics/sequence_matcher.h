#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tenfold {

/// Python's difflib.SequenceMatcher(None, a, b).ratio() for one text b against many a: Ratcliff and Obershelp's matching blocks
/// over code points, with autojunk (evaluations.md 2.4).
class SequenceMatcher {
 public:
  explicit SequenceMatcher(std::string_view b);

  /// 2 M / T with the size M of the matching blocks and the sum T of both lengths; 1 where both are empty. Not symmetric.
  double ratio(std::string_view a) const;

 private:
  struct Block {
    int64_t a = 0;
    int64_t b = 0;
    int64_t size = 0;
  };
  struct Window {
    int64_t a_low;
    int64_t a_high;
    int64_t b_low;
    int64_t b_high;
  };
  Block longest_block(const std::u32string& a, const Window& window) const;

  std::u32string b_;
  std::unordered_map<char32_t, std::vector<int64_t>> places_;  ///< in b, rising; without the characters that are too common
};

}  // namespace tenfold
