#include "report/colour.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tenfold {
namespace {

constexpr Colour kLow = {0xF0 / 255.0, 0x49 / 255.0, 0x6E / 255.0};
constexpr Colour kMiddle = {0xEB / 255.0, 0xB8 / 255.0, 0x39 / 255.0};
constexpr Colour kHigh = {0x0C / 255.0, 0xD7 / 255.0, 0x9F / 255.0};

Colour between(const Colour& a, const Colour& b, double t) {
  return {a.red + (b.red - a.red) * t, a.green + (b.green - a.green) * t, a.blue + (b.blue - a.blue) * t};
}

double luminance(const Colour& c) {
  const auto linear = [](double v) { return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); };
  return 0.2126 * linear(c.red) + 0.7152 * linear(c.green) + 0.0722 * linear(c.blue);
}

}  // namespace

Colour heat_colour(double share) {
  if (std::isnan(share)) return {0.75, 0.75, 0.75};
  // 256 steps: value v falls into step floor(256 v), whose colour stands at step / 255.
  const double t = std::min(255.0, std::floor(std::clamp(share, 0.0, 1.0) * 256.0)) / 255.0;
  return t < 0.5 ? between(kLow, kMiddle, 2 * t) : between(kMiddle, kHigh, 2 * t - 1);
}

std::string hex(const Colour& c) {
  const auto byte = [](double v) { return static_cast<int>(std::lround(std::clamp(v, 0.0, 1.0) * 255.0)); };
  return fmt::format("#{:02x}{:02x}{:02x}", byte(c.red), byte(c.green), byte(c.blue));
}

bool wants_dark_text(const Colour& colour) {
  const double l = luminance(colour);
  return (l + 0.05) / 0.05 >= 1.05 / (l + 0.05);
}

}  // namespace tenfold
