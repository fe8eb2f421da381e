#include "ops/cpu/random_fill.h"

#include "core/checked.h"
#include "ops/random_pieces.h"

#include <algorithm>
#include <cstring>

namespace tenfold::cpu {

void random_fill(Exec& exec, const ops::RandomFill& fill) {
  ops::with_random_kind(fill.kind, [&](auto kind) {
    constexpr auto K = decltype(kind)::value;
    constexpr int64_t kBytes = 2 * ops::kPieceHalves<K>;
    const int64_t pieces = ceil_div(fill.bytes, kBytes);
#pragma omp parallel for num_threads(exec.device.threads()) schedule(static)
    for (int64_t i = 0; i < pieces; ++i) {
      const auto piece = ops::random_piece<K>(fill, static_cast<uint64_t>(i));
      std::memcpy(fill.data + i * kBytes, piece.data(), static_cast<size_t>(std::min(kBytes, fill.bytes - i * kBytes)));
    }
  });
}

}  // namespace tenfold::cpu
