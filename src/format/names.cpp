#include "format/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace tenfold {
namespace {

/// Levenshtein distance, two rows at a time.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string shown(std::string_view text) {
  constexpr size_t kShown = 80;
  std::string out = "\"";
  for (const char c : text.substr(0, kShown)) {
    if (c < 0x20 || c > 0x7e) {  // a char below 0 is a byte above 0x7f
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + (text.size() > kShown ? "...\"" : "\"");
}

std::string near_names(std::string_view wanted, const std::function<void(const std::function<void(std::string_view)>&)>& each) {
  constexpr size_t kNames = 3;
  constexpr size_t kLongest = 256;  // the distance costs the product of the lengths
  std::vector<std::pair<size_t, std::string>> best;
  each([&](std::string_view name) {
    best.emplace_back(edit_distance(wanted.substr(0, kLongest), name.substr(0, kLongest)), name);
    std::sort(best.begin(), best.end());
    if (best.size() > kNames) best.pop_back();
  });
  std::string text;
  for (const auto& [distance, name] : best) text += (text.empty() ? "; near names: " : ", ") + shown(name);
  return text;
}

}  // namespace tenfold
