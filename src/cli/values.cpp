#include "cli/values.h"

#include "core/error.h"
#include "format/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

namespace tenfold::cli {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

/// The number that text begins with and what follows it; no sign but '-'.
std::optional<std::pair<double, std::string_view>> leading_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return std::pair(value, text.substr(static_cast<size_t>(end - text.data())));
}

/// A whole number of type int64 from a product that was made in double.
std::optional<int64_t> whole(double value) {
  if (!(std::abs(value) < 9.0e18) || value != std::floor(value)) return std::nullopt;
  return static_cast<int64_t>(value);
}

std::vector<std::string> split_commas(std::span<const std::string> words) {
  std::vector<std::string> items;
  for (const std::string& word : words) {
    size_t begin = 0;
    while (begin <= word.size()) {
      const size_t end = std::min(word.find(',', begin), word.size());
      std::string item = word.substr(begin, end - begin);
      std::erase_if(item, [](unsigned char c) { return std::isspace(c) != 0; });
      if (!item.empty()) items.push_back(std::move(item));
      begin = end + 1;
    }
  }
  return items;
}

}  // namespace

int64_t parse_count(std::string_view text) {
  int64_t exact = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exact);
  if (error == std::errc() && end == text.data() + text.size()) return exact;
  const auto number = leading_number(text);
  if (number) {
    double unit = 0;
    if (number->second.empty()) unit = 1;
    if (lower(number->second) == "k") unit = 1024;
    if (lower(number->second) == "m") unit = 1024.0 * 1024.0;
    const auto value = whole(number->first * unit);
    if (unit > 0 && value) return *value;
  }
  throw_input("expected a whole number such as 8192, 8K or 2e5, got {}", shown(text));
}

double parse_real(std::string_view text) {
  const auto number = leading_number(text);
  if (!number || !number->second.empty() || !std::isfinite(number->first)) {
    throw_input("expected a number such as 0.3, 1e-3 or 200e6, got {}", shown(text));
  }
  return number->first;
}

ByteSize parse_bytes(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, double>, 14> kUnits = {{{"", 1.0},
                                                                                  {"b", 1.0},
                                                                                  {"k", 0x1p10},
                                                                                  {"m", 0x1p20},
                                                                                  {"g", 0x1p30},
                                                                                  {"t", 0x1p40},
                                                                                  {"kb", 1e3},
                                                                                  {"mb", 1e6},
                                                                                  {"gb", 1e9},
                                                                                  {"tb", 1e12},
                                                                                  {"kib", 0x1p10},
                                                                                  {"mib", 0x1p20},
                                                                                  {"gib", 0x1p30},
                                                                                  {"tib", 0x1p40}}};
  const auto number = leading_number(text);
  if (number && number->first >= 0) {
    std::string unit = lower(number->second);
    std::erase(unit, ' ');
    for (const auto& [name, scale] : kUnits) {
      if (unit == name && number->first * scale < 9e18) return {static_cast<int64_t>(number->first * scale)};
    }
  }
  throw_input("expected a size such as 24GiB, 1500MB or 4096, got {}", shown(text));
}

std::optional<bool> parse_switch(std::string_view text) {
  const std::string word = lower(text);
  if (word == "true" || word == "yes" || word == "on") return true;
  if (word == "false" || word == "no" || word == "off") return false;
  return std::nullopt;
}

void read_words(std::span<const std::string> words, std::string& value) { value = words.back(); }
void read_words(std::span<const std::string> words, int64_t& value) { value = parse_count(words.back()); }
void read_words(std::span<const std::string> words, double& value) { value = parse_real(words.back()); }
void read_words(std::span<const std::string> words, ByteSize& value) { value = parse_bytes(words.back()); }

void read_words(std::span<const std::string> words, RealOrAuto& value) {
  value.is_auto = words.back() == "auto";
  value.value = value.is_auto ? 0.0 : parse_real(words.back());
}

void read_words(std::span<const std::string> words, bool& value) {
  const auto parsed = parse_switch(words.back());
  if (!parsed) throw_input("expected true or false, got {}", shown(words.back()));
  value = *parsed;
}

void read_words(std::span<const std::string> words, std::vector<std::string>& value) { value.assign(words.begin(), words.end()); }

void read_words(std::span<const std::string> words, std::vector<int64_t>& value) {
  value.clear();
  for (const std::string& item : split_commas(words)) value.push_back(parse_count(item));
}

void read_words(std::span<const std::string> words, std::vector<double>& value) {
  value.clear();
  for (const std::string& item : split_commas(words)) value.push_back(parse_real(item));
}

std::string toml_text(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      case '\r': out += "\\r"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          out += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
        } else {
          out += c;
        }
    }
  }
  return out + '"';
}

std::string toml_text(const std::string& value) { return toml_text(std::string_view(value)); }
std::string toml_text(int64_t value) { return fmt::format("{}", value); }
std::string toml_text(bool value) { return value ? "true" : "false"; }
std::string toml_text(const ByteSize& value) { return fmt::format("{}", value.bytes); }

std::string toml_text(const RealOrAuto& value) {
  return value.is_auto ? toml_text(std::string_view("auto")) : toml_text(value.value);
}

std::string toml_text(double value) {
  std::string out = fmt::format("{}", value);
  // TOML tells floats from integers by the point or the exponent.
  if (out.find_first_of(".en") == std::string::npos) out += ".0";
  return out;
}

namespace {
template <typename T>
std::string toml_list(const std::vector<T>& values) {
  std::string out = "[";
  for (const T& value : values) out += (out.size() > 1 ? ", " : "") + toml_text(value);
  return out + "]";
}
}  // namespace

std::string toml_text(const std::vector<std::string>& value) { return toml_list(value); }
std::string toml_text(const std::vector<int64_t>& value) { return toml_list(value); }
std::string toml_text(const std::vector<double>& value) { return toml_list(value); }

std::string bytes_text(int64_t bytes) {
  const double value = static_cast<double>(bytes);
  if (bytes >= int64_t{1} << 30) return fmt::format("{:.2f} GiB", value / 0x1p30);
  if (bytes >= int64_t{1} << 20) return fmt::format("{:.1f} MiB", value / 0x1p20);
  if (bytes >= 1024) return fmt::format("{:.1f} KiB", value / 0x1p10);
  return fmt::format("{} B", bytes);
}

std::string duration_text(double seconds) {
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto total = static_cast<int64_t>(seconds + 0.5);
  if (total < 60) return fmt::format("{} s", total);
  if (total < 3600) return fmt::format("{} min {:02} s", total / 60, total % 60);
  return fmt::format("{} h {:02} min", total / 3600, total % 3600 / 60);
}

}  // namespace tenfold::cli
