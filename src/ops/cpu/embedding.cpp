#include "ops/cpu/embedding.h"

#include "core/checked.h"
#include "ops/cpu/elementwise.h"
#include "ops/cpu/expand.h"

#include <array>

namespace tenfold::cpu {

void embedding_forward(Exec& exec, std::span<const int32_t> ids, const WeightView& table, const TensorView& y) {
  const auto convert = elementwise_kernels().convert[kernel_index(DType::kF32)][kernel_index(y.dtype)];
  const Source source = source_of(table);
  const int64_t size = size_of(y.dtype);
  constexpr int64_t kRun = 1024;  // whole blocks of every layout
  // Decoding a block format costs about four times its dense bytes.
  parallel_ranges(exec, y.dim(0), table.cols * 16, [&](int64_t begin, int64_t end) {
    std::array<float, kRun> run{};
    for (int64_t t = begin; t < end; ++t) {
      auto* out = static_cast<std::byte*>(y.data) + t * y.stride(0) * size;
      for (int64_t col = 0; col < table.cols; col += kRun) {
        const int64_t count = std::min(kRun, table.cols - col);
        decode(source, ids[static_cast<size_t>(t)], col, count, run.data());
        convert(run.data(), out + col * size, count);
      }
    }
  });
}

void embedding_backward(Exec& exec, std::span<const int32_t> ids, const TensorView& d_y, const TensorView& d_table) {
  const auto add = elementwise_kernels().add[kernel_index(DType::kF32)];
  const int64_t columns = d_y.dim(1);
  constexpr int64_t kColumns = 64;
  // Threads own columns: an id that occurs twice is added in the order of t whatever the number of threads.
  const int64_t bytes = d_y.dim(0) * kColumns * 12;
  parallel_ranges(exec, ceil_div(columns, kColumns), bytes, [&](int64_t begin, int64_t end) {
    const int64_t from = begin * kColumns;
    const int64_t n = std::min(end * kColumns, columns) - from;
    for (int64_t t = 0; t < d_y.dim(0); ++t)
      add(d_y.row<float>(t) + from, d_table.row<float>(ids[static_cast<size_t>(t)]) + from, n);
  });
}

}  // namespace tenfold::cpu
