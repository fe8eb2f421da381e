#include "ops/cpu/rope.h"

#include "ops/cpu/elementwise.h"

#include <cmath>

namespace tenfold::cpu {

void rope_table(Exec& exec, std::span<const float> inv_freq, std::span<const int64_t> positions, float attention_factor,
                const TensorView& cos, const TensorView& sin) {
  // A sine and cosine cost as much as moving about 256 bytes.
  const auto tokens = static_cast<int64_t>(positions.size());
  parallel_ranges(exec, tokens, static_cast<int64_t>(inv_freq.size()) * 256, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const auto position = static_cast<double>(positions[static_cast<size_t>(t)]);
      float* cos_row = cos.row<float>(t);
      float* sin_row = sin.row<float>(t);
      for (size_t i = 0; i < inv_freq.size(); ++i) {
        const double angle = position * static_cast<double>(inv_freq[i]);
        cos_row[i] = static_cast<float>(std::cos(angle) * static_cast<double>(attention_factor));
        sin_row[i] = static_cast<float>(std::sin(angle) * static_cast<double>(attention_factor));
      }
    }
  });
}

void rope_apply(Exec& exec, const TensorView& x, const TensorView& cos, const TensorView& sin, bool inverse) {
  const auto kernel = elementwise_kernels().rope[kernel_index(x.dtype)];
  const int64_t size = size_of(x.dtype);
  const int64_t heads = x.dim(1);
  const int64_t half = x.dim(2) / 2;
  const float sign = inverse ? -1.0F : 1.0F;
  parallel_ranges(exec, x.dim(0), heads * x.dim(2) * 2 * size, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      auto* token = static_cast<std::byte*>(x.data) + t * x.stride(0) * size;
      for (int64_t h = 0; h < heads; ++h)
        kernel(token + h * x.stride(1) * size, cos.row<float>(t), sin.row<float>(t), sign, half);
    }
  });
}

}  // namespace tenfold::cpu
