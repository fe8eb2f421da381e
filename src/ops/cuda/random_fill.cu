#include "ops/random_pieces.h"

#include "core/checked.h"
#include "device/cuda/context.h"
#include "ops/cuda/bodies.h"

#include <algorithm>

namespace tenfold::cuda {
namespace {

template <ops::RandomKind K>
__global__ void fill_pieces(ops::RandomFill fill, int64_t pieces) {
  constexpr int kHalves = ops::kPieceHalves<K>;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < pieces;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    const auto piece = ops::random_piece<K>(fill, static_cast<uint64_t>(i));
    const int64_t at = i * 2 * kHalves;
#pragma unroll
    for (int h = 0; h < kHalves; ++h) {
      auto* out = reinterpret_cast<uint16_t*>(fill.data + at) + h;
      if (at + 2 * h + 2 <= fill.bytes)
        *out = piece[h];
      else if (at + 2 * h < fill.bytes)
        *reinterpret_cast<uint8_t*>(out) = static_cast<uint8_t>(piece[h]);
    }
  }
}

}  // namespace

void random_fill(Exec& exec, const ops::RandomFill& fill) {
  if (fill.bytes == 0) return;
  const Context& context = context_of(exec);
  ops::with_random_kind(fill.kind, [&](auto kind) {
    constexpr auto K = decltype(kind)::value;
    constexpr int kThreads = 256;
    const int64_t pieces = ceil_div(fill.bytes, int64_t{2} * ops::kPieceHalves<K>);
    const int64_t blocks = std::min<int64_t>(ceil_div(pieces, int64_t{kThreads}), int64_t{16} * context.multiprocessors());
    fill_pieces<K><<<static_cast<unsigned>(blocks), kThreads, 0, context.stream()>>>(fill, pieces);
  });
  TENFOLD_LAUNCHED();
}

}  // namespace tenfold::cuda
