#include "eval/metrics/text.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace tenfold {
namespace {

/// First of each run of ten digits in category Nd (Unicode 15); the mathematical digits are five runs in a row.
constexpr std::array<char32_t, 68> kZeros = {
    0x0030,  0x0660,  0x06F0,  0x07C0,  0x0966,  0x09E6,  0x0A66,  0x0AE6,  0x0B66,  0x0BE6,  0x0C66,  0x0CE6,  0x0D66,  0x0DE6,
    0x0E50,  0x0ED0,  0x0F20,  0x1040,  0x1090,  0x17E0,  0x1810,  0x1946,  0x19D0,  0x1A80,  0x1A90,  0x1B50,  0x1BB0,  0x1C40,
    0x1C50,  0xA620,  0xA8D0,  0xA900,  0xA9D0,  0xA9F0,  0xAA50,  0xABF0,  0xFF10,  0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136,
    0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16A60,
    0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E950, 0x1FBF0};

}  // namespace

Character character_at(std::string_view text, size_t at) {
  const auto lead = static_cast<uint8_t>(text[at]);
  if (lead < 0x80) return {lead, 1};
  const size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  const std::string_view bytes = text.substr(at, size);
  if (bytes.size() < size || valid_utf8_prefix(bytes) != size) return {};
  const auto* p = reinterpret_cast<const uint8_t*>(bytes.data());
  return {next_code_point(p), size};
}

bool is_python_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_decimal_digit(char32_t c) {
  const auto next = std::upper_bound(kZeros.begin(), kZeros.end(), c);
  return next != kZeros.begin() && c - *std::prev(next) < 10;
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (is_python_space(c.value)) {
      if (at > begin) words.push_back(text.substr(begin, at - begin));
      begin = at + c.size;
    }
    at += c.size;
  }
  if (begin < text.size()) words.push_back(text.substr(begin));
  return words;
}

std::string collapse_spaces(std::string_view text) {
  std::string out;
  for (const std::string_view word : split_words(text)) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  return out;
}

std::string_view strip(std::string_view text) {
  const auto words = split_words(text);
  if (words.empty()) return {};
  return {words.front().data(), static_cast<size_t>(words.back().data() + words.back().size() - words.front().data())};
}

std::string_view first_digits(std::string_view text) {
  size_t begin = std::string_view::npos;
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (is_decimal_digit(c.value)) {
      if (begin == std::string_view::npos) begin = at;
    } else if (begin != std::string_view::npos) {
      return text.substr(begin, at - begin);
    }
    at += c.size;
  }
  return begin == std::string_view::npos ? std::string_view{} : text.substr(begin);
}

std::vector<std::string_view> digit_runs(std::string_view text) {
  std::vector<std::string_view> runs;
  for (std::string_view run = first_digits(text); !run.empty(); run = first_digits(text)) {
    runs.push_back(run);
    text.remove_prefix(static_cast<size_t>(run.data() - text.data()) + run.size());
  }
  return runs;
}

std::string ascii_digits(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (c.value >= 0x80 && is_decimal_digit(c.value)) {
      out += static_cast<char>('0' + (c.value - *std::prev(std::upper_bound(kZeros.begin(), kZeros.end(), c.value))));
    } else {
      out += text.substr(at, c.size);
    }
    at += c.size;
  }
  return out;
}

bool is_word_character(char32_t c) {
  return c == '_' || (unicode_classes()[static_cast<uint32_t>(c)] & (kLetter | kNumber)) != 0;
}

std::string_view first_characters(std::string_view text, size_t count) {
  size_t at = 0;
  for (; count > 0 && at < text.size(); --count) at += character_at(text, at).size;
  return text.substr(0, at);
}

std::string without_ascii_punctuation(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const bool punctuation = (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
    if (!punctuation) out += c;
  }
  return out;
}

std::string with_spaces_for(std::string_view text, std::string_view characters) {
  std::string out(text);
  std::replace_if(
      out.begin(), out.end(), [&](char c) { return characters.find(c) != std::string_view::npos; }, ' ');
  return out;
}

}  // namespace tenfold
