#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// Text as Python's str sees it: code points, not bytes. Ill-formed UTF-8 counts as U+FFFD.
std::u32string to_code_points(std::string_view text);

/// Whether str.split() and str.strip() take the code point for white space (\x1c-\x1f, \x85, NBSP and U+3000 included).
bool is_python_space(char32_t c);
/// Whether the regex \d matches: Unicode category Nd.
bool is_decimal_digit(char32_t c);

/// str.split(): the maximal runs without white space.
std::vector<std::string_view> split_words(std::string_view text);
/// " ".join(text.split()).
std::string collapse_spaces(std::string_view text);
/// str.strip().
std::string_view strip(std::string_view text);
/// The first match of \d+, or "".
std::string_view first_digits(std::string_view text);

}  // namespace tenfold
