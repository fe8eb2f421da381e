#pragma once

#include "core/dtype.h"
#include "core/rng.h"
#include "ops/random_fill.h"

#include <array>
#include <bit>
#include <cstdint>

namespace tenfold::ops {

/// 16-bit words that one step of random_fill writes: a block of a layout of blocks, else 8 bytes.
template <RandomKind K>
inline constexpr int kPieceHalves = K == RandomKind::kQ4_0   ? 9
                                    : K == RandomKind::kQ4_1 ? 10
                                    : K == RandomKind::kQ8_0 ? 17
                                                             : 4;

/// Piece i of an array, for every body of random_fill: each value is rounded once, so that devices agree.
template <RandomKind K>
constexpr std::array<uint16_t, kPieceHalves<K>> random_piece(const RandomFill& fill, uint64_t i) {
  std::array<uint16_t, kPieceHalves<K>> piece{};
  constexpr bool kBlocks = K == RandomKind::kQ4_0 || K == RandomKind::kQ4_1 || K == RandomKind::kQ8_0;
  constexpr int kHead = !kBlocks ? 0 : K == RandomKind::kQ4_1 ? 2 : 1;
  constexpr int kWords = (kPieceHalves<K> - kHead) / 4;
  if constexpr (kBlocks) piece[0] = fill.scale;
  if constexpr (kHead == 2) piece[1] = fill.minimum;
  for (int w = 0; w < kWords; ++w) {
    uint64_t word = mix64(fill.key, i * kWords + static_cast<uint64_t>(w));
    if constexpr (K == RandomKind::kQ4_0) {
      const uint64_t any = (word | word >> 1 | word >> 2 | word >> 3) & 0x1111111111111111U;
      word |= (any ^ 0x1111111111111111U) << 3;  // a nibble of 0 becomes 8, which stands for the value 0
    }
    for (int half = 0; half < 4; ++half) {
      auto bits = static_cast<uint16_t>(word >> (16 * half));
      if constexpr (K == RandomKind::kBF16)
        bits = bf16(fill.limit * (static_cast<float>(static_cast<int16_t>(bits)) * 0x1p-15F)).bits;
      piece[static_cast<size_t>(kHead + 4 * w + half)] = bits;
    }
    if constexpr (K == RandomKind::kF32 || K == RandomKind::kMagnitudes) {
      for (int k = 0; k < 2; ++k) {
        const auto whole = static_cast<int32_t>(static_cast<uint32_t>(word >> (32 * k)));
        auto bits = std::bit_cast<uint32_t>(fill.limit * (static_cast<float>(whole) * 0x1p-31F));
        if constexpr (K == RandomKind::kMagnitudes) bits &= 0x7fffffffU;
        piece[static_cast<size_t>(2 * k)] = static_cast<uint16_t>(bits);
        piece[static_cast<size_t>(2 * k + 1)] = static_cast<uint16_t>(bits >> 16);
      }
    }
  }
  return piece;
}

/// Calls f(integral_constant<RandomKind, kind>()).
template <typename F>
void with_random_kind(RandomKind kind, const F& f) {
  switch (kind) {
    case RandomKind::kBytes: return f(std::integral_constant<RandomKind, RandomKind::kBytes>());
    case RandomKind::kF32: return f(std::integral_constant<RandomKind, RandomKind::kF32>());
    case RandomKind::kMagnitudes: return f(std::integral_constant<RandomKind, RandomKind::kMagnitudes>());
    case RandomKind::kBF16: return f(std::integral_constant<RandomKind, RandomKind::kBF16>());
    case RandomKind::kQ4_0: return f(std::integral_constant<RandomKind, RandomKind::kQ4_0>());
    case RandomKind::kQ4_1: return f(std::integral_constant<RandomKind, RandomKind::kQ4_1>());
    case RandomKind::kQ8_0: return f(std::integral_constant<RandomKind, RandomKind::kQ8_0>());
  }
  TENFOLD_CHECK(false, "kind {}", static_cast<int>(kind));
}

}  // namespace tenfold::ops
