#include "eval/grid.h"

#include "core/checked.h"
#include "core/error.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <string>
#include <utility>

namespace tenfold {

std::vector<int64_t> linspace(int64_t low, int64_t high, int64_t n) {
  TENFOLD_CHECK(n >= 1, "linspace of {} values", n);
  std::vector<int64_t> values;
  const auto first = static_cast<double>(low);
  const double step = n > 1 ? (static_cast<double>(high) - first) / static_cast<double>(n - 1) : 0.0;
  for (int64_t i = 0; i < n; ++i) values.push_back(static_cast<int64_t>(static_cast<double>(i) * step + first));
  if (n > 1) values.back() = high;
  return values;
}

namespace {

/// Comma-separated whole numbers, with a factor for a trailing K where `kilo` is more than 1.
std::vector<int64_t> parse_list(std::string_view text, std::string_view option, int64_t kilo, int64_t low, int64_t high) {
  std::vector<int64_t> values;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    std::string_view item = text.substr(begin, end - begin);
    begin = end + 1;
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    const std::string_view whole = item;
    int64_t factor = 1;
    if (kilo > 1 && (item.ends_with('K') || item.ends_with('k'))) {
      factor = kilo;
      item.remove_suffix(1);
    }
    int64_t value = 0;
    const auto [stop, error] = std::from_chars(item.data(), item.data() + item.size(), value);
    const auto scaled = checked_mul(value, factor);
    if (error != std::errc{} || stop != item.data() + item.size() || !scaled || *scaled < low || *scaled > high) {
      throw_input("{}: expected whole numbers from {} to {} between commas{}, got \"{}\" in \"{}\"", option, low, high,
                  kilo > 1 ? " (1K = 1024)" : "", whole, text);
    }
    if (std::find(values.begin(), values.end(), *scaled) != values.end()) {
      throw_input("{}: {} is there twice in \"{}\"", option, whole, text);
    }
    values.push_back(*scaled);
  }
  return values;
}

}  // namespace

std::vector<int64_t> parse_lengths(std::string_view text, std::string_view option) {
  return parse_list(text, option, 1024, 1, int64_t{1} << 32);
}

std::vector<int64_t> parse_depths(std::string_view text, std::string_view option) { return parse_list(text, option, 1, 0, 100); }

namespace {

/// numpy.random.SeedSequence(seed).generate_state(8, uint32) (numpy/random/bit_generator.pyx).
std::array<uint32_t, 8> seed_state(uint64_t seed) {
  uint32_t h = 0x43b0d7e5U;
  const auto hash = [&h](uint32_t v) {
    v ^= h;
    h *= 0x931e8875U;
    v *= h;
    return v ^ (v >> 16);
  };
  const auto mix = [](uint32_t x, uint32_t y) {
    const uint32_t r = 0xca01f9ddU * x - 0x4973f715U * y;
    return r ^ (r >> 16);
  };
  const std::array<uint32_t, 4> words = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), 0, 0};
  std::array<uint32_t, 4> pool{};
  for (size_t i = 0; i < 4; ++i) pool[i] = hash(words[i]);
  for (size_t s = 0; s < 4; ++s) {
    for (size_t d = 0; d < 4; ++d) {
      if (d != s) pool[d] = mix(pool[d], hash(pool[s]));
    }
  }
  std::array<uint32_t, 8> state{};
  h = 0x8b51f9ddU;
  for (size_t i = 0; i < 8; ++i) {
    uint32_t v = pool[i % 4] ^ h;
    h *= 0x58f38dedU;
    v *= h;
    state[i] = v ^ (v >> 16);
  }
  return state;
}

}  // namespace

NumpyRng::NumpyRng(uint64_t seed) {
  const auto words = seed_state(seed);
  const auto pair = [&](size_t i) { return words[2 * i] | (static_cast<uint64_t>(words[2 * i + 1]) << 32); };
  const Uint128 start = (static_cast<Uint128>(pair(0)) << 64) | pair(1);
  const Uint128 sequence = (static_cast<Uint128>(pair(2)) << 64) | pair(3);
  increment_ = (sequence << 1) | 1;
  step();
  state_ += start;
  step();
}

void NumpyRng::step() {
  constexpr Uint128 kMultiplier = (static_cast<Uint128>(0x2360ED051FC65DA4ULL) << 64) | 0x4385DF649FCCF645ULL;
  state_ = state_ * kMultiplier + increment_;
}

uint64_t NumpyRng::next64() {
  step();
  const uint64_t mixed = static_cast<uint64_t>(state_ >> 64) ^ static_cast<uint64_t>(state_);
  return std::rotr(mixed, static_cast<int>(state_ >> 122));
}

uint32_t NumpyRng::next32() {
  if (spare_) return *std::exchange(spare_, std::nullopt);
  const uint64_t both = next64();
  spare_ = static_cast<uint32_t>(both >> 32);
  return static_cast<uint32_t>(both);
}

int64_t NumpyRng::integers(int64_t low, int64_t high) {
  TENFOLD_CHECK(low < high, "integers({}, {})", low, high);
  const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  if (range == 1) return low;
  // Lemire's rejection, in the narrowest width that numpy takes.
  uint64_t offset = 0;
  if (range < (uint64_t{1} << 32)) {
    uint64_t m = next32() * range;
    if (static_cast<uint32_t>(m) < range) {
      const uint64_t threshold = ((uint64_t{1} << 32) - range) % range;
      while (static_cast<uint32_t>(m) < threshold) m = next32() * range;
    }
    offset = m >> 32;
  } else if (range == (uint64_t{1} << 32)) {
    offset = next32();
  } else {
    Uint128 m = static_cast<Uint128>(next64()) * range;
    if (static_cast<uint64_t>(m) < range) {
      const uint64_t threshold = (0 - range) % range;
      while (static_cast<uint64_t>(m) < threshold) m = static_cast<Uint128>(next64()) * range;
    }
    offset = static_cast<uint64_t>(m >> 64);
  }
  return static_cast<int64_t>(static_cast<uint64_t>(low) + offset);
}

}  // namespace tenfold
