#include "eval/metrics/numbers.h"

#include "core/error.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numbers>
#include <string_view>

namespace tenfold {

double python_round(double x, int digits) {
  TENFOLD_CHECK(digits >= 0 && digits <= 20, "digits is {}", digits);
  if (!std::isfinite(x)) return x;
  // glibc prints the exact value of the double, rounded half to even: what Python's own dtoa does.
  std::array<char, 400> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.*f", digits, x);
  return std::strtod(buffer.data(), nullptr);
}

int64_t python_round(double x) { return static_cast<int64_t>(std::nearbyint(x)); }

std::string python_repr(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), x, std::chars_format::scientific).ptr;
  const std::string_view text(buffer.data(), static_cast<size_t>(end - buffer.data()));
  const size_t e = text.find('e');
  const bool negative = text.front() == '-';
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  const int exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
  std::string out = negative ? "-" : "";
  if (exponent >= 16 || exponent < -4) {
    out += digits.substr(0, 1);
    if (digits.size() > 1) (out += ".") += digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

Interval wilson_interval(int64_t hits, int64_t total) {
  TENFOLD_CHECK(hits >= 0 && hits <= total, "{} of {}", hits, total);
  if (total == 0) return {};
  constexpr double kZ = 1.959963984540054;  // 97.5 % point of the normal distribution
  const auto n = static_cast<double>(total);
  const double p = static_cast<double>(hits) / n;
  const double middle = (p + kZ * kZ / (2 * n)) / (1 + kZ * kZ / n);
  const double half = kZ / (1 + kZ * kZ / n) * std::sqrt(p * (1 - p) / n + kZ * kZ / (4 * n * n));
  return {hits == 0 ? 0.0 : std::max(0.0, middle - half), hits == total ? 1.0 : std::min(1.0, middle + half)};
}

namespace {

/// P(-t < T < t) for Student's t with n degrees of freedom (Abramowitz & Stegun 26.7.3 and 26.7.4).
double student_t_within(double t, int64_t n) {
  const double theta = std::atan(t / std::sqrt(static_cast<double>(n)));
  const double square = std::cos(theta) * std::cos(theta);
  const bool odd = n % 2 != 0;
  // The terms' factors: 1, 2/3, 4/5 ... for odd n, 1, 1/2, 3/4 ... for even n.
  double term = odd ? std::cos(theta) : 1.0;
  double sum = 0;
  for (int64_t k = odd ? 3 : 2; k <= n; k += 2) {
    sum += term;
    term *= square * static_cast<double>(k - 1) / static_cast<double>(k);
  }
  return odd ? (theta + std::sin(theta) * sum) * 2 * std::numbers::inv_pi : std::sin(theta) * sum;
}

}  // namespace

double student_t_95(int64_t degrees) {
  TENFOLD_CHECK(degrees >= 1, "{} degrees of freedom", degrees);
  double low = 1.959963984540054;  // of the normal distribution, which is the limit
  if (degrees > 1000000) return low;
  double high = 13;  // above that of one degree, 12.706
  for (int i = 0; i < 48; ++i) {
    const double middle = (low + high) / 2;
    (student_t_within(middle, degrees) < 0.95 ? low : high) = middle;
  }
  return (low + high) / 2;
}

MeanInterval mean_interval(std::span<const double> values) {
  TENFOLD_CHECK(!values.empty(), "a mean of nothing");
  MeanInterval out;
  const auto n = static_cast<double>(values.size());
  for (const double value : values) out.mean += value / n;
  if (values.size() < 2) return out;
  double squares = 0;
  for (const double value : values) squares += (value - out.mean) * (value - out.mean);
  const double half = student_t_95(std::ssize(values) - 1) * std::sqrt(squares / (n - 1) / n);
  out.interval = Interval{out.mean - half, out.mean + half};
  return out;
}

}  // namespace tenfold
