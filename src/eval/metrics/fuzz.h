#pragma once

#include <string_view>

namespace tenfold {

/// fuzzywuzzy's fuzz.ratio over rapidfuzz (python-Levenshtein >= 0.21), 0 to 100: round(100 * (1 - d / L)) with the indel
/// distance d and the sum L of both lengths in code points; equal texts 100, else one empty 0.
int fuzz_ratio(std::string_view a, std::string_view b);

}  // namespace tenfold
