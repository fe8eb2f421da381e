// The memory-bound ops beside copying memory, at the sizes of an 80K step of Llama 3 8B (the MLP at a quarter of its tokens).
#include "gpu_bench.h"

#include "core/rng.h"
#include "ops/adamw.h"
#include "ops/backend.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/swiglu.h"

#include <fmt/format.h>

#include <cmath>
#include <initializer_list>
#include <numeric>

namespace tenfold::bench {
namespace {

constexpr int64_t kTokens = 81920;
constexpr int64_t kHidden = 4096;
constexpr int64_t kMlpTokens = kTokens / 4;
constexpr int64_t kFfn = 14336;
constexpr int64_t kVocabulary = 128256;
constexpr double kElements = static_cast<double>(kTokens * kHidden);  // of the residual stream
constexpr float kEps = 1e-5F;

/// The tensors of one benchmark, and the rates of ops on them beside copying memory.
class Rates {
 public:
  explicit Rates(Device& gpu) : env_(gpu, int64_t{64} << 20), copy_(gpu.backend()->copy_gigabytes(env_.exec)) {
    fmt::print("copy {:.0f} GB/s\n", copy_);
  }
  Exec& exec() { return env_.exec; }
  /// Zeros.
  TensorView tensor(const char* name, DType dtype, std::initializer_list<int64_t> dims) {
    TensorView t(name, dtype, dims, nullptr);
    Buffer& buffer = buffers_.emplace_back(exec().device.allocate(name, MemoryUse::kActivations, t.bytes()));
    buffer.fill_zero();
    t.device = DeviceKind::kCuda;
    t.data = buffer.data();
    return t;
  }
  /// `bytes`: read and written by an op that meets each element once.
  void measure(std::string_view name, double bytes, const std::function<void()>& op) {
    const double seconds = seconds_of(exec().device, 4, [&](int) { op(); });
    const double rate = bytes / seconds * 1e-9;
    fmt::print("{:24} {:8.3f} ms {:6.0f} GB/s {:5.1f} % of copy\n", name, seconds * 1e3, rate, 100 * rate / copy_);
  }

 private:
  BenchExec env_;
  double copy_;
  std::vector<Buffer> buffers_;
};

void residual_stream(Device& gpu) {
  Rates rates(gpu);
  Exec& exec = rates.exec();
  const TensorView x = rates.tensor("x", DType::kBF16, {kTokens, kHidden}),
                   y = rates.tensor("y", DType::kBF16, {kTokens, kHidden}),
                   f = rates.tensor("f", DType::kF32, {kTokens, kHidden});
  const TensorView w = rates.tensor("w", DType::kF32, {kHidden}), d_w = rates.tensor("d_w", DType::kF32, {kHidden});
  const TensorView cos = rates.tensor("cos", DType::kF32, {kTokens, 64}), sin = rates.tensor("sin", DType::kF32, {kTokens, 64});
  std::vector<int64_t> positions(static_cast<size_t>(kTokens));
  std::iota(positions.begin(), positions.end(), 0);
  const std::vector<float> inv_freq(64, 0.5F);
  rates.measure("cast f32 -> bf16", 6 * kElements, [&] { ops::cast(exec, f, y); });
  rates.measure("cast bf16 -> f32", 6 * kElements, [&] { ops::cast(exec, x, f); });
  rates.measure("add bf16", 10 * kElements, [&] { ops::add(exec, x, f); });
  rates.measure("gather_rows", 4 * kElements, [&] { ops::gather_rows(exec, x, positions, y); });
  rates.measure("dropout", 4 * kElements, [&] { ops::dropout(exec, x, positions, 0.1F, 1, 2, y); });
  rates.measure("rms_norm", 4 * kElements, [&] { ops::rms_norm_forward(exec, x, w, kEps, y); });
  rates.measure("rms_norm backward", 12 * kElements, [&] { ops::rms_norm_backward(exec, y, x, w, kEps, f, TensorView()); });
  rates.measure("  with d_weight", 16 * kElements, [&] { ops::rms_norm_backward(exec, y, x, w, kEps, f, d_w); });
  rates.measure("rope_table", 0.125 * kElements, [&] { ops::rope_table(exec, inv_freq, positions, 1.0F, cos, sin); });
  rates.measure("rope_apply", 4.125 * kElements, [&] { ops::rope_apply(exec, x.reshaped({kTokens, 32, 128}), cos, sin, false); });
}

void swiglu(Device& gpu) {
  Rates rates(gpu);
  Exec& exec = rates.exec();
  const TensorView gate = rates.tensor("gate", DType::kBF16, {kMlpTokens, kFfn}),
                   up = rates.tensor("up", DType::kBF16, {kMlpTokens, kFfn}),
                   a = rates.tensor("a", DType::kBF16, {kMlpTokens, kFfn});
  const auto elements = static_cast<double>(kMlpTokens * kFfn);
  rates.measure("swiglu", 6 * elements, [&] { ops::swiglu_forward(exec, gate, up, a); });
  rates.measure("swiglu backward", 10 * elements, [&] { ops::swiglu_backward(exec, a, gate, up, gate, up); });
}

void optimizer(Device& gpu) {
  Rates rates(gpu);
  Exec& exec = rates.exec();
  const int64_t n = kVocabulary * kHidden + 27262976;  // the trained embedding and the LoRA matrices of the 8B
  const TensorView p = rates.tensor("p", DType::kF32, {n}), g = rates.tensor("g", DType::kF32, {n}),
                   m = rates.tensor("m", DType::kF32, {n}), v = rates.tensor("v", DType::kF32, {n});
  const auto elements = static_cast<double>(n);
  rates.measure("adamw of zeros", 28 * elements, [&] { ops::adamw_step(exec, {}, p, g, m, v); });
  fill_noise(exec, g.data, g.bytes());
  rates.measure("adamw", 28 * elements, [&] { ops::adamw_step(exec, {}, p, g, m, v); });
  rates.measure("sum_of_squares", 4 * elements, [&] { ops::sum_of_squares(exec, p); });
}

void embedding(Device& gpu) {
  Rates rates(gpu);
  Exec& exec = rates.exec();
  const TensorView bytes = rates.tensor("table", DType::kBF16, {kVocabulary, kHidden}),
                   y = rates.tensor("y", DType::kBF16, {kTokens, kHidden});
  WeightView table;
  table.name = "table";
  table.device = DeviceKind::kCuda;
  table.rows = kVocabulary;
  table.cols = kHidden;
  table.data = static_cast<const std::byte*>(bytes.data);
  std::vector<int32_t> ids(static_cast<size_t>(kTokens));
  for (size_t t = 0; t < ids.size(); ++t) ids[t] = static_cast<int32_t>(t * 7919 % static_cast<size_t>(kVocabulary));
  table.layout = WeightLayout::kBF16;
  rates.measure("embedding bf16", 4 * kElements, [&] { ops::embedding_forward(exec, ids, table, y); });
  table.layout = WeightLayout::kQ4_1;
  rates.measure("embedding q4_1", 2.625 * kElements, [&] { ops::embedding_forward(exec, ids, table, y); });
  const TensorView d_y = rates.tensor("d_y", DType::kF32, {kTokens, kHidden}),
                   d_table = rates.tensor("d_table", DType::kF32, {kVocabulary, kHidden});
  Rng rng(1, 2);
  for (int32_t& id : ids) id = static_cast<int32_t>(std::pow(static_cast<double>(kVocabulary), rng.uniform())) - 1;  // Zipf's law
  rates.measure("embedding_backward", 4 * kElements, [&] { ops::embedding_backward(exec, ids, d_y, d_table); });
}

void argmax(Device& gpu) {
  Rates rates(gpu);
  constexpr int64_t kRows = 2048;
  const TensorView logits = rates.tensor("logits", DType::kF32, {kRows, kVocabulary});
  std::vector<int32_t> best(static_cast<size_t>(kRows));
  rates.measure("argmax", 4 * static_cast<double>(kRows * kVocabulary), [&] { ops::argmax(rates.exec(), logits, best); });
}

}  // namespace

std::vector<Benchmark> elementwise_benchmarks() {
  return {{"residual-stream", "casts, sums, rows, dropout, norms and RoPE of 80K tokens", residual_stream},
          {"swiglu", "SwiGLU forward and backward", swiglu},
          {"optimizer", "AdamW and the gradient's norm, over the trained embedding and LoRA of the 8B", optimizer},
          {"embedding", "embedding forward and backward", embedding},
          {"argmax", "the largest of each row of logits", argmax}};
}

}  // namespace tenfold::bench
