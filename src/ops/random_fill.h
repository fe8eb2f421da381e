#pragma once

#include "core/tensor.h"
#include "device/exec.h"

#include <cstddef>
#include <cstdint>

namespace tenfold::ops {

/// What random bits become.
enum class RandomKind : uint8_t {
  kBytes,       ///< themselves
  kF32,         ///< f32 in [-limit, limit)
  kMagnitudes,  ///< f32 in [0, limit]
  kBF16,        ///< bf16 in [-limit, limit)
  kQ4_0,        ///< blocks of `scale`; no code 0, so that the values have the mean 0
  kQ4_1,        ///< blocks of `scale` and `minimum`
  kQ8_0,        ///< blocks of `scale`
};

/// An array to fill.
struct RandomFill {
  RandomKind kind = RandomKind::kBytes;
  uint64_t key = 0;
  float limit = 0.0F;
  uint16_t scale = 0;    ///< a half's bits
  uint16_t minimum = 0;  ///< a half's bits
  std::byte* data = nullptr;
  int64_t bytes = 0;  ///< the blocks' kinds: whole blocks; kF32, kMagnitudes: a multiple of 4; kBF16: of 2
};

/// Fills an array at an even address with a function of (kind, key, place) alone: the same bits on every device.
void random_fill(Exec& exec, const RandomFill& fill);

/// Fills a weight where it lies with values of mean 0 and standard deviation `spread`: F32, BF16, Q4_0, Q4_1, Q8_0, or NF4 with
/// double quantisation (codes, absmax8 and nested_absmax; the code tables are the caller's, and nested_offset is
/// random_nf4_offset(spread)). A function of (seed, stream). InputError for another layout.
void random_weight(Exec& exec, uint64_t seed, uint64_t stream, float spread, const WeightView& w);
/// The mean scale of NF4 blocks whose values have that spread: the codes' own is 0.53 of a block's largest.
float random_nf4_offset(float spread);

}  // namespace tenfold::ops
