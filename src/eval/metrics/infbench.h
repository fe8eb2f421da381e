#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tenfold::infbench {

/// Scores of one prediction against its label, as InfiniteBench and the published evaluation count (evaluations.md 10). Where
/// theirs raises, the score is 0 (false).

/// A number of a label as Python compares it: an int exactly, a float by value.
struct Number {
  bool is_float = false;
  std::string digits;  ///< decimal, "-" first where negative, no leading zeros; of a float only where it is whole, else ""
  double value = 0;
};

/// The longest run of Python's int() limit; a longer one raises.
inline constexpr size_t kLongestInt = 4300;

/// passkey, number_string: whether the first run of ASCII digits is the label.
bool first_number_is(std::string_view prediction, std::string_view label);
/// Whether the label is one of the words that are left when punctuation is a space.
bool kv_retrieval(std::string_view prediction, std::string_view label);
/// The same with the words in upper case.
bool longdialogue_qa(std::string_view prediction, std::string_view label);
/// Whether the first \d+\.\d+ or \d+ equals the label; no sign is seen, and an int label raises on a fraction.
bool math_find(std::string_view prediction, const Number& label);
/// Length of the prefix of the labels that the prediction's numbers match, over their count. No labels raise.
double math_calc(std::string_view prediction, std::span<const Number> labels);
/// Whether the last word, read as Python's int(), equals the label.
bool code_run(std::string_view prediction, const Number& label);
/// `label` holds the option's text and its letter.
bool longbook_choice(std::string_view prediction, std::span<const std::string> label);
/// `label` holds the function's name and its letter. The original looks at the first two characters before it strips white space;
/// `strip_first` strips before.
bool code_debug(std::string_view prediction, std::span<const std::string> label, bool strip_first);

}  // namespace tenfold::infbench
