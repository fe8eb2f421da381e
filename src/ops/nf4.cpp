#include "ops/nf4.h"

#include "core/checked.h"
#include "ops/cascade_sum.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tenfold::ops {
namespace {

constexpr int64_t kBlock = 64;
constexpr int64_t kNestedBlock = 256;

constexpr std::array<float, 16> kCode = {
    -1.0F,
    -0.6961928009986877F,
    -0.5250730514526367F,
    -0.39491748809814453F,
    -0.28444138169288635F,
    -0.18477343022823334F,
    -0.09105003625154495F,
    0.0F,
    0.07958029955625534F,
    0.16093020141124725F,
    0.24611230194568634F,
    0.33791524171829224F,
    0.44070982933044434F,
    0.5626170039176941F,
    0.7229568362236023F,
    1.0F,
};

/// bitsandbytes' create_dynamic_map(signed, 7 exponent bits, 8 bits): for each decade 10^(i - 6) the midpoints of 2^i equal parts
/// of [0.1, 1], with both signs, then 0 and 1. The parts are torch.linspace's in f32: the lower half counts up from 0.1, the
/// upper down from 1.
std::array<float, 256> make_dynamic_code() {
  std::array<float, 256> code{};
  size_t n = 0;
  for (int i = 0; i < 7; ++i) {
    const int parts = 1 << i;
    const float step = (1.0F - 0.1F) / static_cast<float>(parts);
    const auto edge = [&](int j) {
      return j < (parts + 1) / 2 ? std::fma(step, static_cast<float>(j), 0.1F)
                                 : std::fma(-step, static_cast<float>(parts - j), 1.0F);
    };
    const auto decade = static_cast<float>(std::pow(10.0, i - 6));
    for (int j = 0; j < parts; ++j) {
      const float value = decade * ((edge(j) + edge(j + 1)) / 2.0F);
      code[n++] = value;
      code[n++] = -value;
    }
  }
  code[n++] = 0.0F;
  code[n++] = 1.0F;
  std::sort(code.begin(), code.end());
  return code;
}

/// The number of midpoints below v: the nearest code, a tie goes low.
uint8_t nearest_code(float v) {
  static const std::array<float, 15> midpoints = [] {
    std::array<float, 15> m{};
    for (size_t i = 0; i < m.size(); ++i) m[i] = (kCode[i] + kCode[i + 1]) / 2.0F;
    return m;
  }();
  return static_cast<uint8_t>(std::lower_bound(midpoints.begin(), midpoints.end(), v) - midpoints.begin());
}

/// The nearest of the dynamic code; a tie goes to the even index, as the search of bitsandbytes' CUDA kernel ends.
uint8_t nearest_dynamic(float v) {
  const auto code = dynamic_code();
  const auto above = std::lower_bound(code.begin(), code.end(), v) - code.begin();
  if (above == 0) return 0;
  if (above == 256) return 255;
  const auto high = static_cast<size_t>(above);
  const float middle = (code[high] + code[high - 1]) * 0.5F;
  if (v > middle) return static_cast<uint8_t>(high);
  if (v < middle) return static_cast<uint8_t>(high - 1);
  return static_cast<uint8_t>(high % 2 == 0 ? high : high - 1);
}

float largest_magnitude(std::span<const float> values) {
  float best = 0.0F;
  for (const float v : values) best = std::max(best, std::abs(v));
  return best;
}

/// bitsandbytes multiplies by the reciprocal; its guard keeps a block of zeros from becoming NaN.
float reciprocal(float magnitude) { return 1.0F / std::max(magnitude, 1e-38F); }

void quantize_scales(Nf4Weight& weight) {
  const auto n = static_cast<int64_t>(weight.absmax.size());
  weight.nested_offset = cascade_sum(weight.absmax) / static_cast<float>(std::max<int64_t>(n, 1));
  std::vector<float> centred(weight.absmax);
  for (float& a : centred) a -= weight.nested_offset;
  weight.absmax8.resize(centred.size());
  for (int64_t begin = 0; begin < n; begin += kNestedBlock) {
    const auto count = static_cast<size_t>(std::min(kNestedBlock, n - begin));
    const auto block = std::span(centred).subspan(static_cast<size_t>(begin), count);
    const float magnitude = largest_magnitude(block);
    weight.nested_absmax.push_back(magnitude);
    const float inverse = 1.0F / magnitude;  // no guard here: bitsandbytes gives a block of zeros (0 * inf, a NaN) code 0
    for (size_t i = 0; i < count; ++i) weight.absmax8[static_cast<size_t>(begin) + i] = nearest_dynamic(block[i] * inverse);
  }
  weight.absmax.clear();
}

}  // namespace

std::span<const float> nf4_code() { return kCode; }

std::span<const float> dynamic_code() {
  static const std::array<float, 256> code = make_dynamic_code();
  return code;
}

Nf4Weight quantize_nf4(std::span<const float> values, int64_t rows, int64_t cols, bool double_quant) {
  const auto n = static_cast<int64_t>(values.size());
  TENFOLD_CHECK(checked_mul(rows, cols) == n, "{} values for [{}, {}]", n, rows, cols);
  Nf4Weight weight;
  weight.rows = rows;
  weight.cols = cols;
  weight.codes.assign(static_cast<size_t>((n + 1) / 2), 0);
  weight.absmax.reserve(static_cast<size_t>(ceil_div(n, kBlock)));
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const auto block = values.subspan(static_cast<size_t>(begin), static_cast<size_t>(std::min(kBlock, n - begin)));
    const float magnitude = largest_magnitude(block);
    weight.absmax.push_back(magnitude);
    const float inverse = reciprocal(magnitude);
    for (size_t i = 0; i < block.size(); ++i) {
      const uint8_t code = nearest_code(block[i] * inverse);
      uint8_t& byte = weight.codes[(static_cast<size_t>(begin) + i) / 2];
      byte = static_cast<uint8_t>(i % 2 == 0 ? code << 4 : byte | code);
    }
  }
  // The value that pads an odd count is 0, whose code is 7.
  if (n % 2 != 0) weight.codes.back() = static_cast<uint8_t>(weight.codes.back() | nearest_code(0.0F));
  if (double_quant) quantize_scales(weight);
  return weight;
}

WeightView Nf4Weight::view(const char* name) const {
  WeightView v;
  v.name = name;
  v.layout = WeightLayout::kNF4;
  v.rows = rows;
  v.cols = cols;
  v.data = reinterpret_cast<const std::byte*>(codes.data());
  v.nf4.code = nf4_code().data();
  if (absmax8.empty()) {
    v.nf4.absmax = absmax.data();
  } else {
    v.nf4.absmax8 = absmax8.data();
    v.nf4.nested_absmax = nested_absmax.data();
    v.nf4.nested_code = dynamic_code().data();
    v.nf4.nested_offset = nested_offset;
  }
  return v;
}

}  // namespace tenfold::ops
