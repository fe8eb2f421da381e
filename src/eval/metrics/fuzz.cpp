#include "eval/metrics/fuzz.h"

#include "eval/metrics/numbers.h"
#include "eval/metrics/text.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace tenfold {
namespace {

/// Length of a longest common subsequence, 64 characters of a at a time: a zero bit of `row` is a place in a where the length up
/// to there rises (Hyyro 2004, Bit-parallel LCS-length computation revisited). What overflows from one 64 into the next is kept
/// for every character of b, so memory is linear in both lengths.
int64_t common_subsequence(const std::u32string& a, const std::u32string& b) {
  std::unordered_map<char32_t, size_t> number_of;
  std::vector<size_t> numbers;
  for (const char32_t c : b) numbers.push_back(number_of.try_emplace(c, number_of.size()).first->second);
  std::vector<uint64_t> places(number_of.size(), 0);  // of each character of b in the 64
  std::vector<uint8_t> carry(b.size(), 0);
  int64_t length = 0;
  for (size_t begin = 0; begin < a.size(); begin += 64) {
    const size_t size = std::min<size_t>(64, a.size() - begin);
    std::fill(places.begin(), places.end(), 0);
    for (size_t i = 0; i < size; ++i) {
      const auto found = number_of.find(a[begin + i]);
      if (found != number_of.end()) places[found->second] |= uint64_t{1} << i;
    }
    uint64_t row = ~uint64_t{0};
    for (size_t j = 0; j < numbers.size(); ++j) {
      const uint64_t match = places[numbers[j]];
      const uint64_t hit = row & match;
      const uint64_t sum = row + hit;
      const uint64_t carried = sum + carry[j];
      carry[j] = sum < hit || carried < sum ? 1 : 0;
      row = carried | (row & ~match);
    }
    const uint64_t used = size == 64 ? ~uint64_t{0} : (uint64_t{1} << size) - 1;
    length += std::popcount(~row & used);
  }
  return length;
}

}  // namespace

int fuzz_ratio(std::string_view a, std::string_view b) {
  if (a == b) return 100;
  if (a.empty() || b.empty()) return 0;
  const std::u32string x = to_code_points(a);
  const std::u32string y = to_code_points(b);
  const auto sum = static_cast<int64_t>(x.size() + y.size());
  const int64_t distance = sum - 2 * common_subsequence(x, y);
  // 1 - d / L, not (L - d) / L: the doubles differ at exact halves (evaluations.md 2.3).
  return static_cast<int>(python_round(100.0 * (1.0 - static_cast<double>(distance) / static_cast<double>(sum))));
}

}  // namespace tenfold
