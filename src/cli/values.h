#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold::cli {

/// A number of bytes as people write it: 24GiB, 1.5GB, 512MiB, 4096.
struct ByteSize {
  int64_t bytes = 0;
};

/// A number that the program may be left to choose: 5e6, auto.
struct RealOrAuto {
  bool is_auto = false;
  double value = 0;
};

/// A count: 8192, 8K (8 x 1024), 2M, 2e5, 200e6; InputError unless it is a whole number that fits int64.
int64_t parse_count(std::string_view text);
/// A finite real number; InputError otherwise.
double parse_real(std::string_view text);
/// Bytes: a number with an optional unit (B, K, KB, KiB ... TiB, decimal units are powers of 1000). InputError otherwise.
ByteSize parse_bytes(std::string_view text);
/// true/false, yes/no, on/off in any case; nothing for other text.
std::optional<bool> parse_switch(std::string_view text);

// What an option's words become. Scalars take the last word given; lists take all, split at commas (texts and paths are not
// split).
void read_words(std::span<const std::string> words, std::string& value);
void read_words(std::span<const std::string> words, int64_t& value);
void read_words(std::span<const std::string> words, double& value);
void read_words(std::span<const std::string> words, bool& value);
void read_words(std::span<const std::string> words, ByteSize& value);
void read_words(std::span<const std::string> words, RealOrAuto& value);
void read_words(std::span<const std::string> words, std::vector<std::string>& value);
void read_words(std::span<const std::string> words, std::vector<int64_t>& value);
void read_words(std::span<const std::string> words, std::vector<double>& value);
template <typename T>
void read_words(std::span<const std::string> words, std::optional<T>& value) {
  T inner{};
  read_words(words, inner);
  value = std::move(inner);
}

/// The value as TOML, so that a run's config.toml can be given to --config; "" when an optional is not set.
std::string toml_text(std::string_view value);
std::string toml_text(const std::string& value);
std::string toml_text(int64_t value);
std::string toml_text(double value);
std::string toml_text(bool value);
std::string toml_text(const ByteSize& value);
std::string toml_text(const RealOrAuto& value);
std::string toml_text(const std::vector<std::string>& value);
std::string toml_text(const std::vector<int64_t>& value);
std::string toml_text(const std::vector<double>& value);
template <typename T>
std::string toml_text(const std::optional<T>& value) {
  return value ? toml_text(*value) : std::string();
}

/// 1.5 GiB, 94.2 MiB, 512 B.
std::string bytes_text(int64_t bytes);
/// 42 s, 3 min 05 s, 2 h 10 min.
std::string duration_text(double seconds);

}  // namespace tenfold::cli
