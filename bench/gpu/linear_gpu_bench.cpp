// The GPU's products on the shapes of Llama 3 8B and of SmolLM2-135M: those of few tokens, which read every weight for little
// work, beside copying memory; those of training beside the library's bare product.
#include "gpu_bench.h"

#include "ops/backend.h"
#include "ops/decode.h"
#include "ops/expand.h"
#include "ops/linear.h"
#include "ops/nf4.h"

#include <fmt/format.h>

#include <initializer_list>
#include <tuple>
#include <utility>

namespace tenfold::bench {
namespace {

/// Weights of one shape side by side in device memory, more than any cache holds.
struct Weights {
  Buffer data, tables;
  WeightView view;
  int64_t each, count;

  Weights(Exec& exec, WeightLayout layout, int64_t rows, int64_t cols) {
    Device& gpu = exec.device;
    view = {
        .name = "weights", .layout = layout, .device = DeviceKind::kCuda, .rows = rows, .cols = cols, .data = nullptr, .nf4 = {}};
    each = (view.bytes() + 255) / 256 * 256;
    count = std::max<int64_t>(2, (int64_t{1} << 30) / each);
    data = noise(exec, each * count);
    if (layout != WeightLayout::kNF4) return;
    // The scales are few; all weights have the same.
    const int64_t blocks = rows * cols / 64;
    const int64_t nested = (blocks + 255) / 256;
    tables = gpu.allocate("tables", MemoryUse::kWeights, (16 + 256 + nested) * 4 + blocks);
    auto* at = static_cast<std::byte*>(tables.data());
    const auto put = [&](const void* from, int64_t bytes) {
      gpu.copy_in(at, from, bytes);
      at += bytes;
      return reinterpret_cast<const float*>(at - bytes);
    };
    view.nf4.code = put(ops::nf4_code().data(), 16 * 4);
    view.nf4.nested_code = put(ops::dynamic_code().data(), 256 * 4);
    view.nf4.nested_absmax = put(std::vector<float>(static_cast<size_t>(nested), 0.01F).data(), nested * 4);
    view.nf4.nested_offset = 0.02F;
    view.nf4.absmax8 = reinterpret_cast<const uint8_t*>(at);
    ops::RandomFill scales;
    scales.data = at;
    scales.bytes = blocks;
    ops::random_fill(exec, scales);
  }
  WeightView at(int64_t i) const {
    WeightView w = view;
    w.data = static_cast<const std::byte*>(data.data()) + i % count * each;
    return w;
  }
  /// Of one weight, with its scales.
  double bytes() const {
    const double n = static_cast<double>(view.elements());
    return static_cast<double>(view.bytes()) + (view.layout == WeightLayout::kNF4 ? n / 64 + n / 16384 * 4 : 0.0);
  }
};

void print_rate(std::string_view what, const WeightView& w, int64_t tokens, double bytes, double seconds, double copy) {
  const double rate = bytes * 1e-9 / seconds;
  fmt::print("{} {:5} T {} {:6} x {:5}: {:7.1f} us, {:6.0f} GB/s, {:3.0f} % of copy\n", what, name_of(w.layout), tokens, w.rows,
             w.cols, seconds * 1e6, rate, 100 * rate / copy);
}

void few_tokens(Device& gpu, WeightLayout layout, std::initializer_list<std::pair<int64_t, int64_t>> shapes) {
  BenchExec env(gpu, int64_t{1} << 20);
  Exec& exec = env.exec;
  const double copy = gpu.backend()->copy_gigabytes(exec);
  const Buffer x = noise(exec, int64_t{4} * 14336 * 2);
  const Buffer y = gpu.allocate("y", MemoryUse::kActivations, int64_t{4} * 128256 * 4);
  for (const auto& [n, k] : shapes) {
    const Weights weights(exec, layout, n, k);
    for (const int64_t t : {1, 4}) {
      const TensorView in = x.view(DType::kBF16, {t, k}), out = y.view(DType::kF32, {t, n});
      const double seconds = seconds_of(gpu, 200, [&](int i) { ops::linear_forward(exec, in, weights.at(i), {}, out); });
      print_rate("gemv", weights.view, t, weights.bytes(), seconds, copy);
    }
  }
}

void few_tokens_gguf(Device& gpu) {
  for (const WeightLayout layout : {WeightLayout::kBF16, WeightLayout::kQ4_1, WeightLayout::kQ4_K, WeightLayout::kQ8_0})
    few_tokens(gpu, layout, {{1024, 4096}, {4096, 4096}, {14336, 4096}, {4096, 14336}, {128256, 4096}});
}

void few_tokens_nf4(Device& gpu) {
  few_tokens(gpu, WeightLayout::kNF4,
             {{1024, 4096},
              {4096, 4096},
              {6144, 4096},
              {14336, 4096},
              {28672, 4096},
              {4096, 14336},
              {128256, 4096},
              {576, 576},
              {1536, 576},
              {576, 1536}});
}

void gate_up_nf4(Device& gpu) {
  BenchExec env(gpu, int64_t{1} << 20);
  Exec& exec = env.exec;
  const double copy = gpu.backend()->copy_gigabytes(exec);
  const int64_t n = 14336, k = 4096;
  const Buffer x = noise(exec, k * 2), gate = noise(exec, n * 2), up = noise(exec, n * 2);
  const Weights weights(exec, WeightLayout::kNF4, n, k);
  const auto product = [&](int i, const Buffer& y) {
    return ops::TokenProduct{weights.at(i), {}, {}, y.view(DType::kBF16, {1, n})};
  };
  const double seconds = seconds_of(gpu, 200, [&](int i) {
    ops::decode_gate_up(exec, x.view(DType::kBF16, {1, k}), product(2 * i, gate), product(2 * i + 1, up));
  });
  print_rate("gate and up", weights.view, 1, 2 * weights.bytes(), seconds, copy);
}

void expansion(Device& gpu) {
  BenchExec env(gpu, 64);
  Exec& exec = env.exec;
  const double copy = gpu.backend()->copy_gigabytes(exec);
  const int64_t n = 14336, k = 4096;
  const Buffer out = gpu.allocate("out", MemoryUse::kWorkspace, n * k * 2);
  for (const WeightLayout layout : {WeightLayout::kNF4, WeightLayout::kQ4_K, WeightLayout::kQ8_0}) {
    const Weights weights(exec, layout, n, k);
    const double seconds = seconds_of(gpu, 50, [&](int i) {
      ops::expand_rows(exec, weights.at(i), 0, out.view(DType::kBF16, {n, k}));
    });
    const double rate = (weights.bytes() + static_cast<double>(n * k) * 2) * 1e-9 / seconds;
    fmt::print("expand {:5} {} x {}: {:6.1f} us, {:6.0f} GB/s, {:3.0f} % of copy\n", name_of(layout), n, k, seconds * 1e6, rate,
               100 * rate / copy);
  }
}

void linear_training(Device& gpu) {
  const int64_t t = 16384, r = 32;
  BenchExec env(gpu, ops::linear_scratch_bytes(BenchExec(gpu, 64).exec, t, 14336, 14336, r));
  Exec& exec = env.exec;
  const double bare = gpu.backend()->product_gflops(exec, 8192, 4096, 4096) * 1e-3;
  const Buffer x = noise(exec, t * 14336 * 2), y = noise(exec, t * 14336 * 2), u = noise(exec, t * r * 2);
  const Buffer masters = noise(exec, (14336 + 14336) * r * 4), gradients = noise(exec, (14336 + 14336) * r * 4);
  const Buffer d_x = noise(exec, t * 14336 * 4);
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{1024, 4096}, {4096, 4096}, {14336, 4096}, {4096, 14336}}) {
    const Weights weights(exec, WeightLayout::kNF4, n, k);
    const auto lora = [&](const Buffer& b) {
      const TensorView all = b.view(DType::kF32, {(n + k) * r});
      return std::pair(all.rows(0, r * k).reshaped({r, k}), all.rows(r * k, (n + k) * r).reshaped({n, r}));
    };
    ops::LinearArgs args;
    std::tie(args.lora.a, args.lora.b) = lora(masters);
    args.lora.scale = 0.75F;
    args.lora_u = u.view(DType::kBF16, {t, r});
    ops::LinearGrads grads;
    std::tie(grads.d_a, grads.d_b) = lora(gradients);
    const TensorView in = x.view(DType::kBF16, {t, k}), out = y.view(DType::kBF16, {t, n});
    const auto report = [&](std::string_view what, const std::function<void(int)>& call) {
      const double seconds = seconds_of(gpu, 5, call);
      const double rate = 2e-12 * static_cast<double>(t) * static_cast<double>(n) * static_cast<double>(k) / seconds;
      fmt::print("{:23} {:5} x {:5}, {} tokens: {:7.2f} ms, {:4.0f} TFLOP/s, {:3.0f} % of the bare product\n", what, n, k, t,
                 seconds * 1e3, rate, 100 * rate / bare);
    };
    report("forward, NF4", [&](int i) { ops::linear_forward(exec, in, weights.at(i), {}, out); });
    report("forward, NF4 + LoRA", [&](int i) { ops::linear_forward(exec, in, weights.at(i), args, out); });
    grads.d_x = d_x.view(DType::kBF16, {t, k});
    report("backward, d_x bf16", [&](int i) { ops::linear_backward(exec, out, in, weights.at(i), args, grads); });
    grads.d_x = d_x.view(DType::kF32, {t, k});
    grads.accumulate = true;
    report("backward, d_x f32 added", [&](int i) { ops::linear_backward(exec, out, in, weights.at(i), args, grads); });
  }
}

}  // namespace

std::vector<Benchmark> linear_benchmarks() {
  return {{"few-tokens-gguf", "products of 1 and 4 tokens with bf16, Q4_1, Q4_K and Q8_0 weights", few_tokens_gguf},
          {"few-tokens-nf4", "products of 1 and 4 tokens with NF4 weights", few_tokens_nf4},
          {"gate-up-nf4", "gate, up and SwiGLU of one token, NF4", gate_up_nf4},
          {"expansion", "NF4, Q4_K and Q8_0 weights to bf16", expansion},
          {"linear-training", "products of 16,384 tokens with NF4 weights and LoRA, forward and backward", linear_training}};
}

}  // namespace tenfold::bench
