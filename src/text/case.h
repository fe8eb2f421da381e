#pragma once

#include <string>
#include <string_view>

namespace tenfold {

/// Python's str.lower(): full Unicode mapping. U+0130 becomes two code points; a capital sigma at the end of a word becomes
/// U+03C2. Ill-formed UTF-8 reads as U+FFFD.
std::string lower_case(std::string_view text);

/// Python's str.upper(): full Unicode mapping (U+00DF becomes SS, ligatures fall apart).
std::string upper_case(std::string_view text);

}  // namespace tenfold
