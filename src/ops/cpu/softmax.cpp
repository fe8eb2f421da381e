#include "ops/cpu/softmax.h"

#include "core/dtype.h"
#include "ops/cpu/isa/softmax_kernels.h"
#include "ops/cpu_features.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tenfold::cpu {
namespace {

float maximum(const float* x, int64_t n) { return *std::max_element(x, x + n); }

float exponentials(const float* x, int64_t n, float max, void* out, bool out_bf16) {
  std::array<float, 8> sum{};
  for (int64_t i = 0; i < n; ++i) {
    const float e = std::exp(x[i] - max);
    sum[static_cast<size_t>(i % 8)] += e;
    if (out == nullptr) continue;
    if (out_bf16)
      static_cast<bf16*>(out)[i] = bf16(e);
    else
      static_cast<float*>(out)[i] = e;
  }
  return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

}  // namespace

const SoftmaxKernels& generic_softmax_kernels() {
  static constexpr SoftmaxKernels kKernels = {maximum, exponentials};
  return kKernels;
}

const SoftmaxKernels& softmax_kernels() {
  switch (ops::cpu_isa()) {
    case ops::CpuIsa::kAmxBf16:
    case ops::CpuIsa::kAvx512Bf16: return softmax_kernels_avx512_bf16();
    case ops::CpuIsa::kAvx512: return softmax_kernels_avx512();
    default: return generic_softmax_kernels();
  }
}

}  // namespace tenfold::cpu
