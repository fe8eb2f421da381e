#pragma once

#include <cstdint>

namespace tenfold {

/// A RoPE base for a longer context, and what it follows from.
struct StretchedBase {
  double theta = 0;      ///< rounded up to two digits; the old base where the new length is not longer
  int64_t pair = 0;      ///< the pair of a head's dimensions that decides, from 0; 0 where nothing was stretched
  double old_turns = 0;  ///< how often that pair goes round within the old length
  double ntk = 0;        ///< the least base: NTK-aware scaling's
};

/// How often a pair must have gone round within the old length for all of its angles to count as known.
inline constexpr double kKnownTurns = 2.0;

/// The rule behind --rope-theta auto (docs/numerics.md). Pair i of a head of d dimensions turns by theta^(-2i/d) a token. Let k
/// be the first pair that went round fewer than kKnownTurns times within `old_length`, k = ceil(d/2 ln(old / (2 pi kKnownTurns))
/// / ln theta), 1 <= k <= d/2 - 1. With theta' = theta s^(d/(2k)), s = new / old, that pair turns no further over the new length
/// than it did over the old, and slower pairs turn less. k = d/2 - 1, the slowest pair alone, is NTK-aware scaling, s^(d/(d-2)).
/// InputError: theta not above 1, a head of fewer than 4 dimensions, lengths below 1, a base beyond f32.
StretchedBase stretched_base(double theta, int64_t head_dim, int64_t old_length, int64_t new_length);

}  // namespace tenfold
