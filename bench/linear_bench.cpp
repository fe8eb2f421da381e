// The matrix products on SmolLM2's shapes, each beside oneDNN's packed product of the same run: a share of that ceiling means
// something on any machine, a rate does not.
//
//   linear_bench [rounds [threads]]      medians over so many rounds (default 15)

#include "core/rng.h"
#include "ops/cpu/ceiling.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu_features.h"
#include "ops/cross_entropy.h"
#include "ops/linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <vector>

namespace tenfold {
namespace {

/// On one thread the processor time of the process, which other programs do not disturb; else the time on the wall.
double now(bool one_thread) {
  timespec t{};
  clock_gettime(one_thread ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

struct Timing {
  double median = 0;
  double best = 0;
};

Timing time(int rounds, bool one_thread, const std::function<void()>& work) {
  std::vector<double> times;
  work();
  for (int i = 0; i < rounds; ++i) {
    const double start = now(one_thread);
    work();
    times.push_back(now(one_thread) - start);
  }
  return {median(times), *std::min_element(times.begin(), times.end())};
}

/// Q4_1 or Q8_0 bytes with sane scales, or dense bf16.
struct Weight {
  std::vector<uint8_t> bytes;
  WeightView view;

  Weight(WeightLayout layout, int64_t rows, int64_t cols, uint64_t seed) {
    view = {.name = "w", .layout = layout, .rows = rows, .cols = cols, .data = nullptr, .nf4 = {}};
    bytes.resize(static_cast<size_t>(view.bytes()));
    Rng rng(seed, 1);
    for (auto& b : bytes) b = static_cast<uint8_t>(rng.next_u32());
    const auto put = [&](int64_t at, float v) {
      const uint16_t h = layout == WeightLayout::kBF16 ? bf16(v).bits : float_to_half(v);
      bytes[static_cast<size_t>(at)] = static_cast<uint8_t>(h);
      bytes[static_cast<size_t>(at + 1)] = static_cast<uint8_t>(h >> 8);
    };
    const int64_t size = block_bytes(layout);
    for (int64_t at = 0; at < view.bytes(); at += size) {
      put(at, 0.01F);
      if (layout == WeightLayout::kQ4_1) put(at + 2, -0.07F);
    }
    view.data = reinterpret_cast<const std::byte*>(bytes.data());
  }
};

struct Bench {
  int rounds;
  DType dtype = ops::default_compute_dtype();
  Device device;
  Workspace scratch{device.allocate("scratch", MemoryUse::kWorkspace, int64_t{256} << 20)};
  Exec exec{device, scratch, dtype, nullptr};
  double ceiling = 0;
  double one_thread = 0;

  bool single() const { return device.threads() == 1; }

  Bench(int n, int threads) : rounds(n), device(threads) {}

  Buffer filled(int64_t elements, DType type, uint64_t seed) {
    Buffer b = device.allocate("bench", MemoryUse::kActivations, elements * size_of(type));
    Rng rng(seed, 2);
    for (int64_t i = 0; i < elements; ++i) {
      const float v = static_cast<float>(rng.uniform()) - 0.5F;
      if (type == DType::kBF16)
        static_cast<bf16*>(b.data())[i] = bf16(v);
      else
        static_cast<float*>(b.data())[i] = v;
    }
    return b;
  }

  void line(const std::string& what, double flops, const Timing& t, double of = 0) {
    if (of == 0) of = ceiling;
    const double best = flops / t.best * 1e-9;
    const double middle = flops / t.median * 1e-9;
    fmt::print("{:46} {:8.3f} ms  median {:6.0f} best {:6.0f} GFLOP/s  {:5.1f} % / {:5.1f} % of the ceiling\n", what,
               t.median * 1e3, middle, best, 100 * middle / of, 100 * best / of);
  }

  void measure_ceiling() {
    ceiling = std::max(ceiling, ops::onednn_ceiling_gflops(dtype, device.threads(), 2 * rounds));
    one_thread = std::max(one_thread, ops::onednn_ceiling_gflops(dtype, 1, 2 * rounds));
    fmt::print("-- oneDNN {} ceiling {:.0f} GFLOP/s on {} threads, {:.0f} on one ({})\n", name_of(dtype), ceiling,
               device.threads(), one_thread, ops::name_of(ops::cpu_isa()));
  }

  /// The product of one shape from a dense weight of the compute dtype (packing is then a copy) and from Q4_1.
  void products(int64_t t, int64_t n, int64_t k) {
    const double flops = 2.0 * static_cast<double>(t) * static_cast<double>(n) * static_cast<double>(k);
    const Buffer xb = filled(t * k, dtype, 1);
    const Buffer yb = filled(t * n, dtype, 2);
    const auto x = xb.view(dtype, {t, k});
    const auto y = yb.view(dtype, {t, n});
    const auto& kernels = cpu::gemm_kernels(dtype);
    const Weight q(WeightLayout::kQ4_1, n, k, 3);
    // The kernel alone, all panels packed before.
    Buffer panels = device.allocate("panels", MemoryUse::kWorkspace, kernels.panel_bytes(k, n));
    const int64_t wide = kernels.panel_cols();
    const int64_t count = n / wide;
    for (int64_t p = 0; p < count; ++p)
      kernels.pack(cpu::source_of(q.view), false, {p * wide, wide, 0, k},
                   static_cast<std::byte*>(panels.data()) + p * kernels.panel_bytes(k, wide));
    const cpu::KernelScope use(kernels);
    const auto alone = time(rounds, true, [&] {
      for (int64_t row = 0; row < t; row += kernels.max_rows(kernels.max_vectors))
        for (int64_t p = 0; p < count; ++p) {
          cpu::Tile tile;
          tile.term[0] = {static_cast<const std::byte*>(x.data) + row * k * size_of(dtype), k, kernels.group,
                          static_cast<const std::byte*>(panels.data()) + p * kernels.panel_bytes(k, wide), kernels.steps(k)};
          tile.rows = static_cast<int>(std::min<int64_t>(kernels.max_rows(kernels.max_vectors), t - row));
          tile.vectors = kernels.max_vectors;
          tile.cols = static_cast<int>(wide);
          tile.out = static_cast<std::byte*>(y.data) + (row * n + p * wide) * size_of(dtype);
          tile.out_stride = n;
          tile.out_bf16 = dtype == DType::kBF16;
          kernels.tile(tile);
        }
    });
    line(fmt::format("kernel  T {:4} N {:4} K {:4} (1 thread)", t, n, k), flops, alone, one_thread);
    const auto all = time(rounds, single(), [&] { ops::linear_forward(exec, x, q.view, {}, y); });
    line(fmt::format("forward T {:4} N {:4} K {:4} Q4_1", t, n, k), flops, all);
  }

  void expansion(WeightLayout layout) {
    const auto& kernels = cpu::gemm_kernels(dtype);
    const std::pair<int64_t, int64_t> shapes[] = {{576, 576},  {192, 576},  {192, 576}, {576, 576},
                                                  {1536, 576}, {1536, 576}, {576, 1536}};
    std::vector<Weight> layer;
    int64_t elements = 0;
    for (const auto& [n, k] : shapes) layer.emplace_back(layout, n, k, 1), elements += n * k;
    Buffer panel = device.allocate("panel", MemoryUse::kWorkspace, int64_t{4} << 20);
    for (const bool by_rows : {false, true}) {
      const auto t = time(rounds, single(), [&] {
        for (const auto& w : layer) {
          const int64_t cols = by_rows ? w.view.cols : w.view.rows;
          const int64_t k = by_rows ? w.view.rows : w.view.cols;
          for (int64_t col = 0; col < cols; col += kernels.panel_cols())
            kernels.pack(cpu::source_of(w.view), by_rows, {col, std::min(kernels.panel_cols(), cols - col), 0, k}, panel.data());
        }
      });
      fmt::print("expand a layer of {:5} {:8} 1 thread: {:.3f} ms, {:.2f} ns a value x 1000, {:.1f} GB/s written\n",
                 name_of(layout), by_rows ? "by rows" : "by cols", t.median * 1e3,
                 t.median / static_cast<double>(elements) * 1e12,
                 static_cast<double>(elements * size_of(dtype)) / t.median * 1e-9);
    }
  }

  void lora(int64_t t, int64_t n, int64_t k, int64_t r) {
    const double flops = 2.0 * static_cast<double>(t) * static_cast<double>(n) * static_cast<double>(k);
    const double branch = 2.0 * static_cast<double>(t) * static_cast<double>(r) * static_cast<double>(n + k);
    const Weight w(WeightLayout::kQ4_1, n, k, 3);
    const Buffer xb = filled(t * k, dtype, 1), yb = filled(t * n, dtype, 2), ub = filled(t * r, dtype, 3),
                 ab = filled(r * k, DType::kF32, 4), bb = filled(n * r, DType::kF32, 5), dab = filled(r * k, DType::kF32, 6),
                 dbb = filled(n * r, DType::kF32, 7), dyb = filled(t * n, DType::kF32, 8), dxb = filled(t * k, DType::kF32, 9);
    ops::LinearArgs args;
    args.lora = {ab.view(DType::kF32, {r, k}), bb.view(DType::kF32, {n, r}), 0.5F};
    args.lora_u = ub.view(dtype, {t, r});
    args.residual = yb.view(dtype, {t, n});
    const auto x = xb.view(dtype, {t, k});
    const auto y = yb.view(dtype, {t, n});
    Profile profile;
    exec.profile = &profile;
    const auto forward = time(rounds, single(), [&] { ops::linear_forward(exec, x, w.view, args, y); });
    line(fmt::format("lora forward  T {:4} N {:4} K {:4} R {}", t, n, k, r), flops + branch, forward);
    parts(profile);
    ops::LinearGrads grads{.d_x = dxb.view(DType::kF32, {t, k}),
                           .d_a = dab.view(DType::kF32, {r, k}),
                           .d_b = dbb.view(DType::kF32, {n, r}),
                           .d_lora_in = {}};
    const auto backward = time(rounds, single(), [&] {
      ops::linear_backward(exec, dyb.view(DType::kF32, {t, n}), x, w.view, args, grads);
    });
    line(fmt::format("lora backward T {:4} N {:4} K {:4} R {}", t, n, k, r), flops + 2 * branch, backward);
    parts(profile);
    exec.profile = nullptr;
  }

  void parts(Profile& profile) {
    const double calls = rounds + 1;
    fmt::print("    products {:.3f} ms, expansion {:.3f} ms, lora {:.3f} ms\n",
               profile.row(Part::kProducts).seconds / calls * 1e3, profile.row(Part::kExpansion).seconds / calls * 1e3,
               profile.row(Part::kLora).seconds / calls * 1e3);
    profile.clear();
  }

  void head(int64_t rows) {
    const int64_t v = 49152, d = 576;
    const Weight w(WeightLayout::kQ8_0, v, d, 1);
    const Buffer hb = filled(rows * d, dtype, 1), db = filled(rows * d, DType::kF32, 2);
    std::vector<int32_t> targets(static_cast<size_t>(rows), 7);
    std::vector<float> weights(targets.size(), 1e-3F), nll(targets.size());
    const double flops = 2.0 * static_cast<double>(rows) * static_cast<double>(v * d);
    const auto h = hb.view(dtype, {rows, d});
    const int few = std::max(3, rounds / 3);
    line(fmt::format("cross entropy, loss only, {} rows", rows), flops,
         time(few, single(), [&] { ops::cross_entropy(exec, h, w.view, targets, {}, nll, {}, {}); }));
    line(fmt::format("cross entropy with d_h, {} rows", rows), 2 * flops, time(few, single(), [&] {
           ops::cross_entropy(exec, h, w.view, targets, weights, nll, db.view(DType::kF32, {rows, d}), {});
         }));
  }

  /// A pass of decoding: every linear of 30 layers and the head, in memory apart as a model's are.
  void decode_pass(int64_t t) {
    const std::pair<int64_t, int64_t> shapes[] = {{576, 576},  {192, 576},  {192, 576}, {576, 576},
                                                  {1536, 576}, {1536, 576}, {576, 1536}};
    std::vector<Weight> weights;
    for (int layer = 0; layer < 30; ++layer)
      for (const auto& [n, k] : shapes) weights.emplace_back(WeightLayout::kQ4_1, n, k, 1);
    weights.emplace_back(WeightLayout::kQ8_0, 49152, 576, 1);
    double bytes = 0;
    for (const auto& w : weights) bytes += static_cast<double>(w.view.bytes());
    const Buffer xb = filled(t * 1536, dtype, 1), yb = filled(t * 49152, DType::kF32, 2);
    const auto pass = time(rounds, single(), [&] {
      for (const auto& w : weights)
        ops::linear_forward(exec, xb.view(dtype, {t, w.view.cols}), w.view, {}, yb.view(DType::kF32, {t, w.view.rows}));
    });
    fmt::print("decode pass, {} rows: median {:.2f} ms, {:.0f} tok/s, {:.1f} GB/s; best {:.2f} ms, {:.0f} tok/s\n", t,
               pass.median * 1e3, static_cast<double>(t) / pass.median, bytes / pass.median * 1e-9, pass.best * 1e3,
               static_cast<double>(t) / pass.best);
  }
};

}  // namespace
}  // namespace tenfold

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 15;
  tenfold::Bench bench(rounds, argc > 2 ? std::atoi(argv[2]) : 0);
  bench.measure_ceiling();
  for (const int64_t t : {512, 2048})
    for (const auto& [n, k] : {std::pair<int64_t, int64_t>{576, 576}, {192, 576}, {1536, 576}, {576, 1536}})
      bench.products(t, n, k);
  bench.measure_ceiling();
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{576, 576}, {192, 576}, {1536, 576}, {576, 1536}})
    bench.lora(512, n, k, 32);
  for (const auto layout : {tenfold::WeightLayout::kQ4_1, tenfold::WeightLayout::kQ8_0, tenfold::WeightLayout::kBF16})
    bench.expansion(layout);
  bench.measure_ceiling();
  bench.head(512);
  for (const int64_t t : {1, 4}) bench.decode_pass(t);
  return 0;
}
