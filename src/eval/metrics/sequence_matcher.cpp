#include "eval/metrics/sequence_matcher.h"

#include "text/unicode.h"

#include <algorithm>
#include <utility>

namespace tenfold {
namespace {

constexpr int64_t kAutojunkFrom = 200;

}  // namespace

SequenceMatcher::SequenceMatcher(std::string_view b) : b_(to_code_points(b)) {
  for (size_t j = 0; j < b_.size(); ++j) places_[b_[j]].push_back(static_cast<int64_t>(j));
  const auto n = static_cast<int64_t>(b_.size());
  if (n >= kAutojunkFrom) {
    std::erase_if(places_, [n](const auto& entry) { return std::ssize(entry.second) > n / 100 + 1; });
  }
}

SequenceMatcher::Block SequenceMatcher::longest_block(const std::u32string& a, const Window& window) const {
  Block best{window.a_low, window.b_low, 0};
  // lengths[j]: of the block that ends at a[i - 1], b[j]; only where there is one.
  std::unordered_map<int64_t, int64_t> lengths;
  for (int64_t i = window.a_low; i < window.a_high; ++i) {
    std::unordered_map<int64_t, int64_t> next;
    if (const auto places = places_.find(a[static_cast<size_t>(i)]); places != places_.end()) {
      const auto& list = places->second;
      for (auto j = std::lower_bound(list.begin(), list.end(), window.b_low); j != list.end() && *j < window.b_high; ++j) {
        const auto before = lengths.find(*j - 1);
        const int64_t size = (before == lengths.end() ? 0 : before->second) + 1;
        next[*j] = size;
        if (size > best.size) best = {i - size + 1, *j - size + 1, size};
      }
    }
    lengths = std::move(next);
  }
  const auto equal = [&](int64_t i, int64_t j) { return a[static_cast<size_t>(i)] == b_[static_cast<size_t>(j)]; };
  // Characters that the index left out still lengthen a block, an empty one at the corner, too.
  while (best.a > window.a_low && best.b > window.b_low && equal(best.a - 1, best.b - 1)) --best.a, --best.b, ++best.size;
  while (best.a + best.size < window.a_high && best.b + best.size < window.b_high &&
         equal(best.a + best.size, best.b + best.size)) {
    ++best.size;
  }
  return best;
}

double SequenceMatcher::ratio(std::string_view text) const {
  const std::u32string a = to_code_points(text);
  const auto total = static_cast<int64_t>(a.size() + b_.size());
  if (total == 0) return 1;
  int64_t matched = 0;
  std::vector<Window> windows = {{0, std::ssize(a), 0, std::ssize(b_)}};
  while (!windows.empty()) {
    const Window window = windows.back();
    windows.pop_back();
    const Block block = longest_block(a, window);
    if (block.size == 0) continue;
    matched += block.size;
    if (window.a_low < block.a && window.b_low < block.b) windows.push_back({window.a_low, block.a, window.b_low, block.b});
    if (block.a + block.size < window.a_high && block.b + block.size < window.b_high) {
      windows.push_back({block.a + block.size, window.a_high, block.b + block.size, window.b_high});
    }
  }
  return 2.0 * static_cast<double>(matched) / static_cast<double>(total);
}

}  // namespace tenfold
