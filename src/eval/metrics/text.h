#pragma once

#include "text/unicode.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

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
/// Every match of \d+.
std::vector<std::string_view> digit_runs(std::string_view text);
/// Decimal digits of every script as 0 to 9, the rest as it is: what int() and float() read.
std::string ascii_digits(std::string_view text);

/// Whether the regex \w matches: letters, numbers (all of Unicode category N) and the underscore; no combining marks.
bool is_word_character(char32_t c);
/// The first `count` code points: text[:count].
std::string_view first_characters(std::string_view text, size_t count);
/// Text without the 32 characters of string.punctuation.
std::string without_ascii_punctuation(std::string_view text);
/// Text with a space for each of some ASCII characters.
std::string with_spaces_for(std::string_view text, std::string_view characters);

/// A code point of a text and the bytes that it takes there; an ill-formed byte reads as U+FFFD.
struct Character {
  char32_t value = 0xFFFD;
  size_t size = 1;
};
Character character_at(std::string_view text, size_t at);

}  // namespace tenfold
