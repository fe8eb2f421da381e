#include "ops/random_fill.h"

#include "core/checked.h"
#include "ops/backend.h"
#include "ops/cpu/random_fill.h"
#include "ops/random_pieces.h"

namespace tenfold::ops {
namespace {

constexpr float kUniformLimit = 1.7320508F;  // of a uniform distribution with the spread 1
constexpr float kNf4Spread = 0.53F;          // of the 16 codes

RandomFill codes_of(const WeightView& w, float spread) {
  RandomFill fill;
  fill.limit = spread * kUniformLimit;
  fill.data = const_cast<std::byte*>(w.data);
  fill.bytes = w.bytes();
  switch (w.layout) {
    case WeightLayout::kF32: fill.kind = RandomKind::kF32; break;
    case WeightLayout::kBF16: fill.kind = RandomKind::kBF16; break;
    case WeightLayout::kNF4: fill.kind = RandomKind::kBytes; break;
    case WeightLayout::kQ4_0:
      fill.kind = RandomKind::kQ4_0;
      fill.scale = float_to_half(spread / 4.1833F);  // the spread of -7 .. 7 with 0 twice
      break;
    case WeightLayout::kQ4_1:
      fill.kind = RandomKind::kQ4_1;
      fill.scale = float_to_half(spread / 4.6098F);  // the spread of 0 .. 15
      fill.minimum = float_to_half(spread / 4.6098F * -7.5F);
      break;
    case WeightLayout::kQ8_0:
      fill.kind = RandomKind::kQ8_0;
      fill.scale = float_to_half(spread / 73.9F);  // the spread of -128 .. 127
      break;
    default:
      throw_input("random weights: layout {} is not offered; expected F32, BF16, NF4, Q4_0, Q4_1 or Q8_0", name_of(w.layout));
  }
  return fill;
}

int64_t granule(RandomKind kind) {
  int64_t bytes = 1;
  with_random_kind(kind, [&](auto constant) {
    constexpr RandomKind K = decltype(constant)::value;
    if (K == RandomKind::kBF16) bytes = 2;
    if (K == RandomKind::kF32 || K == RandomKind::kMagnitudes) bytes = 4;
    if (kPieceHalves < K >> 4) bytes = 2 * kPieceHalves<K>;
  });
  return bytes;
}

}  // namespace

void random_fill(Exec& exec, const RandomFill& fill) {
  TENFOLD_CHECK(fill.bytes >= 0 && fill.bytes % granule(fill.kind) == 0 && reinterpret_cast<uintptr_t>(fill.data) % 2 == 0,
                "random fill of kind {}: {} bytes at {}", static_cast<int>(fill.kind), fill.bytes,
                static_cast<const void*>(fill.data));
  switch (exec.device.kind()) {
    case DeviceKind::kCpu: return cpu::random_fill(exec, fill);
    case DeviceKind::kCuda: return exec.device.backend()->random_fill(exec, fill);
  }
  TENFOLD_CHECK(false, "no device");
}

float random_nf4_offset(float spread) { return spread / kNf4Spread; }

void random_weight(Exec& exec, uint64_t seed, uint64_t stream, float spread, const WeightView& w) {
  const auto key = [&](uint64_t array) { return mix64(mix64(seed, stream), array); };
  RandomFill codes = codes_of(w, spread);
  codes.key = key(0);
  random_fill(exec, codes);
  if (w.layout != WeightLayout::kNF4) return;
  TENFOLD_CHECK(w.nf4.absmax8 != nullptr && w.nf4.nested_absmax != nullptr, "{}: NF4 without double quantisation", w.name);
  const int64_t blocks = ceil_div(w.elements(), 64);
  RandomFill scales;
  scales.key = key(1);
  scales.data = reinterpret_cast<std::byte*>(const_cast<uint8_t*>(w.nf4.absmax8));
  scales.bytes = blocks;
  random_fill(exec, scales);
  RandomFill nested;
  nested.kind = RandomKind::kMagnitudes;
  nested.key = key(2);
  nested.limit = 0.6F * random_nf4_offset(spread);  // so every scale stays above 0
  nested.data = reinterpret_cast<std::byte*>(const_cast<float*>(w.nf4.nested_absmax));
  nested.bytes = ceil_div(blocks, 256) * 4;
  random_fill(exec, nested);
}

}  // namespace tenfold::ops
