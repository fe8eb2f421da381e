#pragma once

// Random frozen weights of every layout, and their values by a route of the tests' own.

#include "ops/nf4.h"
#include "ops/support.h"

#include <array>
#include <string>

namespace tenfold::test {

inline constexpr std::array<WeightLayout, 12> kAllLayouts = {
    WeightLayout::kF32,  WeightLayout::kF16,  WeightLayout::kBF16, WeightLayout::kQ4_0, WeightLayout::kQ4_1, WeightLayout::kQ5_0,
    WeightLayout::kQ5_1, WeightLayout::kQ8_0, WeightLayout::kQ4_K, WeightLayout::kQ5_K, WeightLayout::kQ6_K, WeightLayout::kNF4};

/// Owns the bytes of a weight. Values are of the order of 1 / sqrt(cols), as a model's are.
class TestWeight {
 public:
  TestWeight(WeightLayout layout, int64_t rows, int64_t cols, uint64_t seed, bool double_quant = true) {
    const double spread = 1.0 / std::sqrt(static_cast<double>(cols));
    if (layout == WeightLayout::kNF4) {
      nf4_ = ops::quantize_nf4(random_values(rows * cols, seed, spread), rows, cols, double_quant);
      code_.assign(ops::nf4_code().begin(), ops::nf4_code().end());
      nested_code_.assign(ops::dynamic_code().begin(), ops::dynamic_code().end());
      return;
    }
    view_.name = "test weight";
    view_.layout = layout;
    view_.rows = rows;
    view_.cols = cols;
    bytes_ = random_bytes(view_.bytes(), seed);
    const auto noise = random_values(rows * cols, seed + 1, spread);
    if (block_elements(layout) == 1)
      fill_dense(noise);
    else
      fill_scales(spread, seed);
  }
  WeightView view() const {
    if (nf4_.rows > 0) {
      WeightView v = nf4_.view("test weight");
      v.nf4.code = code_.data();
      if (v.nf4.absmax8 != nullptr) v.nf4.nested_code = nested_code_.data();
      return v;
    }
    WeightView v = view_;
    v.data = reinterpret_cast<const std::byte*>(bytes_.data());
    return v;
  }
  std::vector<uint8_t>& bytes() { return bytes_; }

 private:
  void fill_dense(const std::vector<float>& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      const bf16 b(values[i]);
      const uint16_t h = float_to_half(values[i]);
      if (view_.layout == WeightLayout::kF32) std::memcpy(bytes_.data() + 4 * i, &values[i], 4);
      if (view_.layout == WeightLayout::kF16) std::memcpy(bytes_.data() + 2 * i, &h, 2);
      if (view_.layout == WeightLayout::kBF16) std::memcpy(bytes_.data() + 2 * i, &b, 2);
    }
  }
  void put_half(int64_t at, double value) {
    const uint16_t h = float_to_half(static_cast<float>(value));
    std::memcpy(bytes_.data() + at, &h, 2);
  }
  /// The codes stay random; the scales become small halves of either sign.
  void fill_scales(double spread, uint64_t seed) {
    Rng rng(seed, 77);
    const int64_t size = block_bytes(view_.layout);
    for (int64_t at = 0; at < static_cast<int64_t>(bytes_.size()); at += size) {
      const double d = spread * (0.5 + rng.uniform()) * (rng.next_u32() % 2 == 0 ? 1.0 : -1.0);
      switch (view_.layout) {
        case WeightLayout::kQ4_0: put_half(at, d / 8); break;
        case WeightLayout::kQ4_1: put_half(at, d / 8), put_half(at + 2, -d * rng.uniform()); break;
        case WeightLayout::kQ5_0: put_half(at, d / 16); break;
        case WeightLayout::kQ5_1: put_half(at, d / 16), put_half(at + 2, -d * rng.uniform()); break;
        case WeightLayout::kQ8_0: put_half(at, d / 127); break;
        case WeightLayout::kQ4_K: put_half(at, d / 512), put_half(at + 2, d / 64 * rng.uniform()); break;
        case WeightLayout::kQ5_K: put_half(at, d / 1024), put_half(at + 2, d / 64 * rng.uniform()); break;
        case WeightLayout::kQ6_K: put_half(at + 208, d / 2048); break;
        default: break;
      }
    }
  }

  WeightView view_;
  std::vector<uint8_t> bytes_;
  ops::Nf4Weight nf4_;
  std::vector<float> code_, nested_code_;  ///< on the heap, where a GPU reaches them, too (tests/cuda/main.cpp)
};

/// Columns that a layout allows near a wanted number.
inline int64_t allowed_cols(WeightLayout layout, int64_t wanted) {
  const int64_t block = layout == WeightLayout::kNF4 ? 1 : block_elements(layout);
  return std::max<int64_t>(1, (wanted + block - 1) / block) * block;
}

}  // namespace tenfold::test
