#include "eval/metrics/fuzz.h"

#include "eval/metrics/numbers.h"
#include "eval/metrics/text.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tenfold {
namespace {

/// Length of a longest common subsequence, one row of the table at a time.
int64_t common_subsequence(const std::u32string& a, const std::u32string& b) {
  std::vector<int64_t> row(b.size() + 1, 0);
  for (const char32_t c : a) {
    int64_t diagonal = 0;
    for (size_t j = 0; j < b.size(); ++j) {
      const int64_t above = row[j + 1];
      row[j + 1] = c == b[j] ? diagonal + 1 : std::max(above, row[j]);
      diagonal = above;
    }
  }
  return row.back();
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
