#include "ops/cpu/gemm_generic.h"

#include <algorithm>
#include <array>

namespace tenfold::cpu {
namespace {

constexpr int kLanes = 8;
constexpr int kMaxVectors = 4;
constexpr int kMaxRows = 4;
constexpr int64_t kChunk = 256;

int max_rows(int /*vectors*/) { return kMaxRows; }

template <typename T, int kGroup>
void pack(const Source& s, bool by_rows, const PanelRange& r, void* panel) {
  auto* to = static_cast<T*>(panel);
  const int64_t width = (r.cols + kLanes - 1) / kLanes * kLanes;
  const int64_t steps = (r.k_count + kGroup - 1) / kGroup;
  if (width != r.cols || r.k_count % kGroup != 0) std::fill_n(to, steps * width * kGroup, T(0.0F));
  const auto slot = [&](int64_t k, int64_t n) -> T& { return to[(k / kGroup * width + n) * kGroup + k % kGroup]; };
  std::array<float, kChunk> values;
  if (by_rows) {
    for (int64_t k = 0; k < r.k_count; ++k)
      for (int64_t n = 0; n < r.cols; n += kChunk) {
        const int64_t count = std::min(kChunk, r.cols - n);
        decode(s, r.k_begin + k, r.col + n, count, values.data());
        for (int64_t i = 0; i < count; ++i) slot(k, n + i) = T(values[static_cast<size_t>(i)]);
      }
    return;
  }
  for (int64_t n = 0; n < r.cols; ++n)
    for (int64_t k = 0; k < r.k_count; k += kChunk) {
      const int64_t count = std::min(kChunk, r.k_count - k);
      decode(s, r.col + n, r.k_begin + k, count, values.data());
      for (int64_t i = 0; i < count; ++i) slot(k + i, n) = T(values[static_cast<size_t>(i)]);
    }
}

template <typename T, int kGroup>
void tile(const Tile& t) {
  const int width = t.vectors * kLanes;
  std::array<std::array<float, kLanes * kMaxVectors>, kMaxRows> sum{};
  for (int s = 0; s < t.terms; ++s) {
    const auto* a = static_cast<const T*>(t.term[s].a);
    const auto* b = static_cast<const T*>(t.term[s].b);
    for (int64_t k = 0; k < t.term[s].steps; ++k, b += width * kGroup)
      for (int i = 0; i < t.rows; ++i)
        for (int g = 0; g < kGroup; ++g) {
          const auto value = static_cast<float>(a[i * t.term[s].a_stride + k * t.term[s].a_step + g]);
          auto& row = sum[static_cast<size_t>(i)];
          for (int j = 0; j < width; ++j) row[static_cast<size_t>(j)] += value * static_cast<float>(b[j * kGroup + g]);
        }
  }
  for (int i = 0; i < t.rows; ++i)
    for (int j = 0; j < t.cols; ++j) {
      float v = sum[static_cast<size_t>(i)][static_cast<size_t>(j)];
      if (t.alpha != 1.0F) v *= t.alpha;
      if (t.bias != nullptr) v += t.bias[j];
      if (t.residual != nullptr) {
        const int64_t at = i * t.residual_stride + j;
        v += t.residual_bf16 ? static_cast<float>(static_cast<const bf16*>(t.residual)[at])
                             : static_cast<const float*>(t.residual)[at];
      }
      const int64_t at = i * t.out_stride + j;
      if (t.out_bf16)
        static_cast<bf16*>(t.out)[at] = bf16(v);
      else
        static_cast<float*>(t.out)[at] = v;
    }
}

template <typename T>
void round_to(const float* from, int64_t n, void* to) {
  for (int64_t i = 0; i < n; ++i) static_cast<T*>(to)[i] = T(from[i]);
}

}  // namespace

void round_f32(const float* from, int64_t n, void* to) { std::copy_n(from, n, static_cast<float*>(to)); }

const GemmKernels& generic_gemm_kernels(DType compute) {
  static constexpr GemmKernels kF32 = {DType::kF32, 1, kLanes, kMaxVectors, max_rows, pack<float, 1>, tile<float, 1>, round_f32};
  static constexpr GemmKernels kBF16 = {DType::kBF16,  2, kLanes, kMaxVectors, max_rows, pack<bf16, 2>, tile<bf16, 2>,
                                        round_to<bf16>};
  return compute == DType::kBF16 ? kBF16 : kF32;
}

}  // namespace tenfold::cpu
