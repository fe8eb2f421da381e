#include "eval/metrics/infbench.h"

#include "eval/metrics/text.h"
#include "text/case.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <vector>

namespace tenfold::infbench {
namespace {

constexpr std::string_view kRetrievalMarks = "\n:\"'.,?!{}";
constexpr std::string_view kDigits = "0123456789";

std::vector<std::string_view> ascii_digit_runs(std::string_view text) {
  std::vector<std::string_view> runs;
  for (size_t begin = text.find_first_of(kDigits); begin != std::string_view::npos; begin = text.find_first_of(kDigits, begin)) {
    const size_t end = std::min(text.find_first_not_of(kDigits, begin), text.size());
    runs.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return runs;
}

/// "007" as "7", "-0" as "0".
std::string canonical(std::string_view digits, bool negative) {
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.empty()) return "0";
  std::string out(negative ? 1 : 0, '-');
  return out += digits;
}

/// Python's int(word): sign, digits of any script, single underscores between digits. In canonical form.
std::optional<std::string> python_int(std::string_view word) {
  const std::string text = ascii_digits(word);
  const bool negative = text.starts_with('-');
  const size_t first = negative || text.starts_with('+') ? 1 : 0;
  std::string digits;
  bool after_digit = false;
  for (size_t i = first; i < text.size(); ++i) {
    if (text[i] >= '0' && text[i] <= '9') {
      digits += text[i];
      after_digit = true;
    } else if (text[i] == '_' && after_digit && i + 1 < text.size()) {
      after_digit = false;
    } else {
      return std::nullopt;
    }
  }
  if (digits.empty() || digits.size() > kLongestInt) return std::nullopt;
  return canonical(digits, negative);
}

std::string with_space_for_word(std::string_view text, std::string_view word) {
  std::string out;
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word)) {
    (out += text.substr(0, at)) += ' ';
    text.remove_prefix(at + word.size());
  }
  return out += text;
}

std::string single_spaces(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' || !out.ends_with(' ')) out += c;
  }
  return out;
}

/// What follows the first of the prefixes that the text holds, one character skipped; nothing where it holds none or ends there.
struct AfterPrefix {
  bool found = false;
  std::optional<std::string_view> text;
};
AfterPrefix after_prefix(std::string_view text, std::span<const std::string_view> prefixes) {
  for (const std::string_view prefix : prefixes) {
    const size_t at = text.find(prefix);
    if (at == std::string_view::npos) continue;
    const std::string_view rest = text.substr(at + prefix.size());
    if (rest.empty()) return {true, std::nullopt};
    return {true, rest.substr(character_at(rest, 0).size)};
  }
  return {};
}

bool is_one_of(std::string_view text, std::span<const std::string> label) {
  return std::find(label.begin(), label.end(), text) != label.end();
}
bool begins_with_one_of(std::string_view text, std::span<const std::string> label) {
  return std::any_of(label.begin(), label.end(), [&](const std::string& l) { return text.starts_with(l); });
}

}  // namespace

bool first_number_is(std::string_view prediction, std::string_view label) {
  const auto runs = ascii_digit_runs(prediction);
  return label == (runs.empty() ? std::string_view() : runs.front());
}

bool kv_retrieval(std::string_view prediction, std::string_view label) {
  const std::string text = with_spaces_for(prediction, kRetrievalMarks);
  const auto words = split_words(text);
  return std::find(words.begin(), words.end(), label) != words.end();
}

bool longdialogue_qa(std::string_view prediction, std::string_view label) {
  const std::string text = with_spaces_for(prediction, kRetrievalMarks);
  const auto words = split_words(text);
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return upper_case(word) == label; });
}

bool math_find(std::string_view prediction, const Number& label) {
  const std::string_view whole = first_digits(prediction);
  if (whole.empty()) return false;
  std::string_view fraction;
  const std::string_view rest = prediction.substr(static_cast<size_t>(whole.data() - prediction.data()) + whole.size());
  if (rest.starts_with('.')) {
    const std::string_view after = rest.substr(1);
    if (const std::string_view digits = first_digits(after); digits.data() == after.data()) fraction = digits;
  }
  if (label.is_float) {
    std::string text = ascii_digits(whole);
    if (!fraction.empty()) (text += '.') += ascii_digits(fraction);
    return std::strtod(text.c_str(), nullptr) == label.value;
  }
  const auto number = fraction.empty() ? python_int(whole) : std::nullopt;
  return number && *number == label.digits;
}

double math_calc(std::string_view prediction, std::span<const Number> labels) {
  const auto runs = ascii_digit_runs(prediction);
  const bool raises = std::any_of(runs.begin(), runs.end(), [](std::string_view run) { return run.size() > kLongestInt; });
  if (labels.empty() || raises) return 0;
  size_t matched = 0;
  while (matched < std::min(labels.size(), runs.size()) && canonical(runs[matched], false) == labels[matched].digits) ++matched;
  return static_cast<double>(matched) / static_cast<double>(labels.size());
}

bool code_run(std::string_view prediction, const Number& label) {
  const std::string text = with_spaces_for(prediction, "\n.`'\":");
  const auto words = split_words(text);
  if (words.empty()) return false;
  const auto number = python_int(words.back());
  return number && *number == label.digits;
}

bool longbook_choice(std::string_view prediction, std::span<const std::string> label) {
  constexpr std::string_view kLetters = "ABCD";
  const std::string_view stripped = strip(prediction);
  if (stripped.empty()) return false;
  if (kLetters.find(stripped.front()) != std::string_view::npos) return is_one_of(stripped.substr(0, 1), label);
  if (is_one_of(stripped, label)) return true;
  const std::string text = single_spaces(with_spaces_for(stripped, "\n\"'.,?!{}"));
  static constexpr std::array<std::string_view, 4> kPrefixes = {"answer is:", "answer:", "answer is", "option is"};
  if (const AfterPrefix after = after_prefix(text, kPrefixes); after.found) {
    return after.text && begins_with_one_of(*after.text, label);
  }
  for (const std::string_view word : split_words(text)) {
    if (kLetters.find(word) != std::string_view::npos) return is_one_of(word, label);
  }
  return false;
}

bool code_debug(std::string_view prediction, std::span<const std::string> label, bool strip_first) {
  if (label.size() < 2) return false;
  const std::string& name = label[0];
  const std::string& letter = label[1];
  const std::string_view stripped = strip(prediction);
  const std::string_view start = first_characters(strip_first ? stripped : prediction, 2);
  if (start == fmt::format("{}.", letter) || start == fmt::format("{}:", letter)) return true;
  const std::string marks = with_space_for_word(with_spaces_for(stripped, "\n`'\"-*"), "Option");
  const std::string text = single_spaces(with_space_for_word(marks, "option"));
  static constexpr std::array<std::string_view, 3> kPrefixes = {"answer is:", "is:", "answer:"};
  const AfterPrefix after = after_prefix(text, kPrefixes);
  return after.text && (after.text->starts_with(letter) || after.text->starts_with(name));
}

}  // namespace tenfold::infbench
