#include "model/rope_base.h"

#include "core/error.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tenfold {
namespace {

/// Two digits are what a base is worth. The slack keeps 5.0e7 from becoming 5.1e7 by the last bit of a power.
double round_up_to_two_digits(double x) {
  const double unit = std::pow(10.0, std::floor(std::log10(x)) - 1);
  return std::ceil(x / unit - 1e-6) * unit;
}

}  // namespace

StretchedBase stretched_base(double theta, int64_t head_dim, int64_t old_length, int64_t new_length) {
  if (!(theta > 1) || !std::isfinite(theta)) throw_input("--rope-theta auto: the model's base is {}, expected above 1", theta);
  if (head_dim < 4) throw_input("--rope-theta auto: a head has {} dimensions, expected 4 or more", head_dim);
  if (old_length < 1 || new_length < 1)
    throw_input("--rope-theta auto: expected lengths of 1 token or more, got {} (the model's) and {}", old_length, new_length);
  StretchedBase out;
  out.theta = out.ntk = theta;
  if (new_length <= old_length) return out;
  const double stretch = static_cast<double>(new_length) / static_cast<double>(old_length);
  const auto d = static_cast<double>(head_dim);
  const auto old = static_cast<double>(old_length);
  const double exact = d / 2 * std::log(old / (2 * std::numbers::pi * kKnownTurns)) / std::log(theta);
  out.pair = std::clamp<int64_t>(static_cast<int64_t>(std::ceil(exact)), 1, head_dim / 2 - 1);
  const auto k = static_cast<double>(out.pair);
  out.old_turns = old * std::pow(theta, -2 * k / d) / (2 * std::numbers::pi);
  out.ntk = theta * std::pow(stretch, d / (d - 2));
  const double wanted = theta * std::pow(stretch, d / (2 * k));
  if (!(wanted < 1e37)) {
    throw_input("--rope-theta auto: from {} to {} tokens the base would be {:.2g}, beyond what f32 holds; give a number",
                old_length, new_length, wanted);
  }
  out.theta = round_up_to_two_digits(wanted);
  return out;
}

}  // namespace tenfold
