#include "ops/cuda/bodies.h"
#include "ops/cuda/dequantize.cuh"
#include "ops/cuda/device_rows.h"
#include "ops/cuda/vector.cuh"

#include <utility>
#include <vector>

namespace tenfold::cuda {
namespace {

// Eight columns of a token's row a thread.
template <WeightLayout L, typename Y>
__global__ void forward_rows(DeviceWeight table, const int32_t* ids, Y* y, int64_t y_stride, int64_t tokens, bool vectors) {
  constexpr int N = 8;
  for (int64_t t = blockIdx.y; t < tokens; t += gridDim.y) {
    const int64_t row = ids[t];
    for_row_chunks<N>(table.cols, vectors, [&](int64_t col, int64_t left, auto whole) {
      float values[N] = {};
      if (left >= N) {
        decode8<L>(table, row, col, values);
      } else {
#pragma unroll
        for (int i = 0; i < N; ++i)
          if (i < left) values[i] = decode_element<L>(table, row, col + i);
      }
      Chunk<Y, N> out;
#pragma unroll
      for (int i = 0; i < N; ++i) out.set(i, values[i]);
      store<N>(y + t * y_stride + col, left, whole, out);
    });
  }
}

/// The tokens of one id: `count` entries of the list of tokens from `begin` on.
struct Run {
  int64_t id = 0;
  int64_t begin = 0;
  int64_t count = 0;
};

// A block takes some columns of one run and adds its tokens in their order; enough rows are read ahead that a frequent token does
// not hold up the rest.
__global__ void backward_runs(const Run* runs, const int32_t* tokens, const float* d_y, int64_t d_y_stride, float* d_table,
                              int64_t d_table_stride, int64_t d, int64_t column_blocks, bool vectors) {
  constexpr int N = kChunk<float>;
  constexpr int kAhead = 8;
  const Run run = runs[blockIdx.x / column_blocks];
  const int64_t first = (blockIdx.x % column_blocks * blockDim.x + threadIdx.x) * N;
  const int32_t* list = tokens + run.begin;
  for_chunks<N>(first, /*step=*/d, d, vectors, [&](int64_t col, int64_t left, auto whole) {
    float* to = d_table + run.id * d_table_stride + col;
    const float* from = d_y + col;
    auto sum = load<N>(to, left, whole);
    const auto add = [&](const Chunk<float, N>& row) {
#pragma unroll
      for (int i = 0; i < N; ++i) sum.element[i] += row.element[i];
    };
    int64_t at = 0;
    for (; at + kAhead <= run.count; at += kAhead) {
      Chunk<float, N> rows[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) rows[i] = load<N>(from + list[at + i] * d_y_stride, left, whole);
#pragma unroll
      for (int i = 0; i < kAhead; ++i) add(rows[i]);
    }
#pragma unroll 1
    for (; at < run.count; ++at) add(load<N>(from + list[at] * d_y_stride, left, whole));
    store<N>(to, left, whole, sum);
  });
}

/// The tokens sorted by id, those of one id in their order, and where each id's lie; the longest runs first, so that none is left
/// for the end.
struct Occurrences {
  std::vector<int32_t> tokens;
  std::vector<Run> runs;

  Occurrences(std::span<const int32_t> ids, int64_t rows) : tokens(ids.size()) {
    std::vector<int64_t> next(static_cast<size_t>(rows), 0);
    for (const int32_t id : ids) ++next[static_cast<size_t>(id)];
    int64_t begin = 0;
    for (int64_t id = 0; id < rows; ++id) {
      const int64_t count = std::exchange(next[static_cast<size_t>(id)], begin);
      if (count > 0) runs.push_back({id, begin, count});
      begin += count;
    }
    for (size_t t = 0; t < ids.size(); ++t)
      tokens[static_cast<size_t>(next[static_cast<size_t>(ids[t])]++)] = static_cast<int32_t>(t);
    std::stable_sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.count > b.count; });
  }
};

}  // namespace

void embedding_of(const Context& context, const int32_t* ids, const WeightView& table, const TensorView& y) {
  const DeviceWeight weight = device_weight(table);
  const RowGrid grid(context, y.dim(0), y.dim(1), 8);
  with_float(y.dtype, [&](auto type) {
    using Y = typename decltype(type)::type;
    with_layout(table.layout, [&](auto layout) {
      forward_rows<decltype(layout)::value><<<grid.blocks, grid.threads, 0, context.stream()>>>(
          weight, ids, static_cast<Y*>(y.data), y.stride(0), y.dim(0), takes_vectors(y, 8));
    });
  });
  TENFOLD_LAUNCHED();
}

void embedding_forward(Exec& exec, std::span<const int32_t> ids, const WeightView& table, const TensorView& y) {
  if (y.elements() == 0) return;
  Context& context = context_of(exec);
  embedding_of(context, context.upload(ids), table, y);
}

void embedding_backward(Exec& exec, std::span<const int32_t> ids, const TensorView& d_y, const TensorView& d_table) {
  if (d_y.elements() == 0) return;
  constexpr int N = kChunk<float>;
  constexpr int kThreads = 128;
  Context& context = context_of(exec);
  const Occurrences occurrences(ids, d_table.dim(0));
  const int32_t* tokens = context.upload(std::span(occurrences.tokens));
  const Run* runs = context.upload(std::span(occurrences.runs));
  const int64_t d = d_y.dim(1);
  const int64_t column_blocks = ceil_div(d, kThreads * N);
  const auto blocks = static_cast<unsigned>(column_blocks * static_cast<int64_t>(occurrences.runs.size()));
  backward_runs<<<blocks, kThreads, 0, context.stream()>>>(runs, tokens, d_y.ptr<float>(), d_y.stride(0), d_table.ptr<float>(),
                                                           d_table.stride(0), d, column_blocks,
                                                           takes_vectors(d_y, N) && takes_vectors(d_table, N));
  TENFOLD_LAUNCHED();
}

}  // namespace tenfold::cuda
