#include "train/positions.h"

#include "core/rng.h"

#include <algorithm>
#include <numeric>

namespace tenfold {
namespace {

constexpr uint64_t kSkipStream = 0x736b6970;  // "skip"

}  // namespace

void fill_positions(const SkipOptions& options, int64_t tokens, uint64_t seed, int64_t record, int64_t step,
                    std::vector<int64_t>& positions) {
  positions.resize(static_cast<size_t>(tokens));
  std::iota(positions.begin(), positions.end(), int64_t{0});
  const int64_t room = options.length - tokens;
  if (options.share <= 0 || room <= 0 || tokens < 2) return;
  Rng rng(seed, mix64(kSkipStream, mix64(static_cast<uint64_t>(record), static_cast<uint64_t>(step))));
  if (rng.uniform() >= options.share) return;
  const auto cut = [&] { return static_cast<size_t>(rng.between(1, tokens - 1)); };
  const auto [first, second] = std::minmax({cut(), cut()});
  const int64_t far = rng.between(0, room);
  const int64_t near = rng.between(0, far);
  for (size_t t = first; t < positions.size(); ++t) positions[t] += t < second ? near : far;
}

}  // namespace tenfold
