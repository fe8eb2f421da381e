#pragma once

#include <cstdint>
#include <vector>

namespace tenfold {

/// Jumps in the positions of records, so that short ones teach far distances at the price of short ones (PoSE: Zhu and others,
/// arXiv 2309.10400).
struct SkipOptions {
  double share = 0;    ///< of the records of a step that are read with jumps; 0: off
  int64_t length = 0;  ///< positions stay below it; a record that is as long has no room for jumps
};

/// The positions of a record's tokens: 0, 1, 2, ..., or with two jumps: before two tokens drawn from all, positions go on at a
/// place drawn from where the rest still fits. A function of (seed, record, step).
void fill_positions(const SkipOptions& options, int64_t tokens, uint64_t seed, int64_t record, int64_t step,
                    std::vector<int64_t>& positions);

}  // namespace tenfold
