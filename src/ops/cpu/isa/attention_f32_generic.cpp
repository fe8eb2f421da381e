#include <cstdint>

namespace tenfold::cpu {
namespace {

// The compiler's own vectors: SSE or NEON registers, or plain code.
using Float4 = float __attribute__((vector_size(16)));
using Int4 = int32_t __attribute__((vector_size(16)));
struct Vec {
  Float4 v;
};
constexpr int kLanes = 4;
constexpr int kTileRows = 4;
constexpr int kTileVecs = 2;

inline Vec load(const float* p) {
  Vec a;
  __builtin_memcpy(&a.v, p, sizeof a.v);
  return a;
}
inline void store(float* p, Vec a) { __builtin_memcpy(p, &a.v, sizeof a.v); }
inline Vec splat(float x) { return {Float4{x, x, x, x}}; }
inline Vec add(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec mul(Vec a, Vec b) { return {a.v * b.v}; }
inline Vec fused(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
inline Vec below(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
inline Vec above(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
inline Vec scale_by_power(Vec p, Vec n) {
  const Int4 exponent = (__builtin_convertvector(n.v, Int4) + 127) << 23;
  return {p.v * reinterpret_cast<Float4>(exponent)};
}
inline float sum(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }

}  // namespace
}  // namespace tenfold::cpu

#include "ops/cpu/isa/attention_f32_body.h"

namespace tenfold::cpu {

const AttentionKernels& attention_f32_generic() { return kKernels; }

}  // namespace tenfold::cpu
