// The bodies of ElementwiseKernels as plain loops that the compiler vectorises. Included by one unit an instruction set;
// everything is in an anonymous namespace and uses no inline library code, so that the linker cannot mix the units' copies.

#include "ops/cpu/isa/elementwise_kernels.h"

#include <cstdint>

namespace tenfold::cpu {
namespace {

using Bf16Bits = uint16_t;

inline float widen(float x) { return x; }
inline float widen(Bf16Bits x) { return __builtin_bit_cast(float, static_cast<uint32_t>(x) << 16); }

template <typename T>
inline T narrow(float x);
template <>
inline float narrow<float>(float x) {
  return x;
}
template <>
inline Bf16Bits narrow<Bf16Bits>(float x) {
  const auto u = __builtin_bit_cast(uint32_t, x);
  const uint32_t rounded = (u + 0x7fffU + ((u >> 16) & 1U)) >> 16;
  const uint32_t quiet = (u >> 16) | 0x40U;
  return static_cast<Bf16Bits>((u & 0x7fffffffU) > 0x7f800000U ? quiet : rounded);
}

// e^x to about 2 ulp (Cody-Waite reduction, Taylor to degree 7 on +-ln2/2); clamped to finite results, NaN stays NaN.
inline float exp_f32(float x) {
  x = x < -87.0F ? -87.0F : x;
  x = x > 88.0F ? 88.0F : x;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const float shifted = x * 1.44269504F + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.0F / 5040.0F;
  p = p * r + 1.0F / 720.0F;
  p = p * r + 1.0F / 120.0F;
  p = p * r + 1.0F / 24.0F;
  p = p * r + 1.0F / 6.0F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const uint32_t exponent = (__builtin_bit_cast(uint32_t, shifted) + 127U) << 23;
  return p * __builtin_bit_cast(float, exponent);
}

template <typename X, typename Y>
void convert(const void* x, void* y, int64_t n) {
  const auto* in = static_cast<const X*>(x);
  auto* out = static_cast<Y*>(y);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = narrow<Y>(widen(in[i]));
}

template <typename X>
void add(const void* x, float* y, int64_t n) {
  const auto* in = static_cast<const X*>(x);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] += widen(in[i]);
}

template <typename X>
float inverse_rms(const void* x, float eps, int64_t n) {
  const auto* in = static_cast<const X*>(x);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    const float v = widen(in[i]);
    sum += v * v;
  }
  return 1.0F / __builtin_sqrtf(sum / static_cast<float>(n) + eps);
}

template <typename X, typename Y>
void rms_norm(const void* x, const float* weight, float eps, void* y, int64_t n) {
  const float r = inverse_rms<X>(x, eps, n);
  const auto* in = static_cast<const X*>(x);
  auto* out = static_cast<Y*>(y);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = narrow<Y>(widen(in[i]) * r * weight[i]);
}

template <typename DY, typename X>
void rms_norm_backward(const void* d_y, const void* x, const float* weight, float eps, float* d_x, int64_t n) {
  const float r = inverse_rms<X>(x, eps, n);
  const auto* g = static_cast<const DY*>(d_y);
  const auto* in = static_cast<const X*>(x);
  float dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t i = 0; i < n; ++i) dot += widen(g[i]) * weight[i] * (widen(in[i]) * r);
  const float mean = dot / static_cast<float>(n);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) d_x[i] += r * (widen(g[i]) * weight[i] - widen(in[i]) * r * mean);
}

template <typename DY, typename X>
void rms_norm_weight(const void* d_y, const void* x, float r, float* d_weight, int64_t n) {
  const auto* g = static_cast<const DY*>(d_y);
  const auto* in = static_cast<const X*>(x);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) d_weight[i] += widen(g[i]) * (widen(in[i]) * r);
}

template <typename X>
void rope(void* x, const float* cos, const float* sin, float sign, int64_t half) {
  auto* low = static_cast<X*>(x);
  auto* high = low + half;
#pragma omp simd
  for (int64_t i = 0; i < half; ++i) {
    const float a = widen(low[i]);
    const float b = widen(high[i]);
    const float s = sin[i] * sign;
    low[i] = narrow<X>(a * cos[i] - b * s);
    high[i] = narrow<X>(b * cos[i] + a * s);
  }
}

template <typename X>
void swiglu(const void* gate, const void* up, void* a, int64_t n) {
  const auto* g = static_cast<const X*>(gate);
  const auto* u = static_cast<const X*>(up);
  auto* out = static_cast<X*>(a);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float x = widen(g[i]);
    out[i] = narrow<X>(x / (1.0F + exp_f32(-x)) * widen(u[i]));
  }
}

template <typename DA, typename X>
void swiglu_backward(const void* d_a, const void* gate, const void* up, void* d_gate, void* d_up, int64_t n) {
  const auto* da = static_cast<const DA*>(d_a);
  const auto* g = static_cast<const X*>(gate);
  const auto* u = static_cast<const X*>(up);
  auto* dg = static_cast<X*>(d_gate);
  auto* du = static_cast<X*>(d_up);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float x = widen(g[i]);
    const float w = widen(u[i]);
    const float d = widen(da[i]);
    const float s = 1.0F / (1.0F + exp_f32(-x));
    dg[i] = narrow<X>(d * w * s * (1.0F + x * (1.0F - s)));
    du[i] = narrow<X>(d * x * s);
  }
}

// The order of operations is torch's (torch/optim/adamw.py, _single_tensor_adamw), so that trajectories can be compared.
void adamw(const ops::AdamWCoefficients& c, float* parameter, const float* gradient, float* m, float* v, int64_t n) {
  const ops::AdamWCoefficients k = c;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient[i] * k.gradient_scale;
    const float m_next = m[i] + k.one_minus_beta1 * (g - m[i]);
    const float v_next = v[i] * k.beta2 + k.one_minus_beta2 * (g * g);
    m[i] = m_next;
    v[i] = v_next;
    const float denominator = __builtin_sqrtf(v_next) / k.correction2 + k.eps;
    parameter[i] = parameter[i] * k.decay - k.step_size * m_next / denominator;
  }
}

template <typename X>
double sum_of_squares(const void* x, int64_t n) {
  const auto* in = static_cast<const X*>(x);
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    const double v = widen(in[i]);
    sum += v * v;
  }
  return sum;
}

constexpr int64_t kPhiloxLanes = 16;

// 16 consecutive counters of philox (core/rng.h) at once: word w of counter first + i is out[w][i].
inline void philox_lanes(uint64_t key, uint64_t high, uint64_t first, uint32_t out[4][kPhiloxLanes]) {
  uint32_t a[kPhiloxLanes];
  uint32_t b[kPhiloxLanes];
  uint32_t c[kPhiloxLanes];
  uint32_t d[kPhiloxLanes];
  for (int64_t i = 0; i < kPhiloxLanes; ++i) {
    const uint64_t counter = first + static_cast<uint64_t>(i);
    a[i] = static_cast<uint32_t>(counter);
    b[i] = static_cast<uint32_t>(counter >> 32);
    c[i] = static_cast<uint32_t>(high);
    d[i] = static_cast<uint32_t>(high >> 32);
  }
  auto k0 = static_cast<uint32_t>(key);
  auto k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
#pragma omp simd
    for (int64_t i = 0; i < kPhiloxLanes; ++i) {
      const uint64_t p0 = uint64_t{0xD2511F53U} * a[i];
      const uint64_t p1 = uint64_t{0xCD9E8D57U} * c[i];
      a[i] = static_cast<uint32_t>(p1 >> 32) ^ b[i] ^ k0;
      b[i] = static_cast<uint32_t>(p1);
      c[i] = static_cast<uint32_t>(p0 >> 32) ^ d[i] ^ k1;
      d[i] = static_cast<uint32_t>(p0);
    }
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  for (int64_t i = 0; i < kPhiloxLanes; ++i) {
    out[0][i] = a[i];
    out[1][i] = b[i];
    out[2][i] = c[i];
    out[3][i] = d[i];
  }
}

template <typename X, typename Y>
void dropout(const void* x, const DropoutMask& mask, void* y, int64_t n) {
  const auto* in = static_cast<const X*>(x);
  auto* out = static_cast<Y*>(y);
  constexpr int64_t kBlock = 4 * kPhiloxLanes;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    uint32_t words[4][kPhiloxLanes];
    philox_lanes(mask.key, mask.row, static_cast<uint64_t>(begin / 4), words);
    float factor[kBlock];
    for (int64_t i = 0; i < kPhiloxLanes; ++i)
      for (int64_t w = 0; w < 4; ++w) factor[4 * i + w] = words[w][i] < mask.threshold ? 0.0F : mask.scale;
    const int64_t count = n - begin < kBlock ? n - begin : kBlock;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) out[begin + i] = narrow<Y>(widen(in[begin + i]) * factor[i]);
  }
}

int64_t argmax(const float* x, int64_t n) {
  float best = x[0];
  bool ordered = true;
#pragma omp simd reduction(max : best) reduction(&& : ordered)
  for (int64_t i = 0; i < n; ++i) {
    best = x[i] > best ? x[i] : best;
    ordered = ordered && x[i] == x[i];
  }
  int64_t at = 0;
  if (!ordered) {  // like torch, the first NaN is the maximum
    while (x[at] == x[at]) ++at;
    return at;
  }
  while (x[at] != best) ++at;
  return at;
}

using B = Bf16Bits;
constexpr ElementwiseKernels kKernels = {
    .convert = {{convert<float, float>, convert<float, B>}, {convert<B, float>, convert<B, B>}},
    .add = {add<float>, add<B>},
    .rms_norm = {{rms_norm<float, float>, rms_norm<float, B>}, {rms_norm<B, float>, rms_norm<B, B>}},
    .inverse_rms = {inverse_rms<float>, inverse_rms<B>},
    .rms_norm_backward = {{rms_norm_backward<float, float>, rms_norm_backward<float, B>},
                          {rms_norm_backward<B, float>, rms_norm_backward<B, B>}},
    .rms_norm_weight = {{rms_norm_weight<float, float>, rms_norm_weight<float, B>},
                        {rms_norm_weight<B, float>, rms_norm_weight<B, B>}},
    .rope = {rope<float>, rope<B>},
    .swiglu = {swiglu<float>, swiglu<B>},
    .swiglu_backward = {{swiglu_backward<float, float>, swiglu_backward<float, B>},
                        {swiglu_backward<B, float>, swiglu_backward<B, B>}},
    .adamw = adamw,
    .sum_of_squares = {sum_of_squares<float>, sum_of_squares<B>},
    .dropout = {{dropout<float, float>, dropout<float, B>}, {dropout<B, float>, dropout<B, B>}},
    .argmax = argmax,
};

}  // namespace
}  // namespace tenfold::cpu
