// Attention against oneDNN's rate of the same run: `share` is useful operations (causal pairs only) over it.

#include "core/rng.h"
#include "ops/attention.h"
#include "ops/cpu/ceiling.h"
#include "ops/cpu_features.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

namespace tenfold {
namespace {

struct Problem {
  Device device;
  DType dtype;
  int64_t tokens, keys, heads, kv_heads, head_dim;
  Buffer q, k, v, o, d_o, d_q, d_k, d_v, lse;
  Workspace scratch;
  Exec exec;

  static Buffer random(Device& device, DType dtype, int64_t n, uint64_t seed) {
    Buffer buffer = device.allocate("bench", MemoryUse::kWorkspace, n * size_of(dtype));
    Rng rng(seed, 1);
    for (int64_t i = 0; i < n; ++i) {
      const auto x = static_cast<float>(rng.uniform() * 2 - 1);
      if (dtype == DType::kBF16)
        static_cast<bf16*>(buffer.data())[i] = bf16(x);
      else
        static_cast<float*>(buffer.data())[i] = x;
    }
    return buffer;
  }

  Problem(DType type, int64_t t, int64_t s, int64_t h, int64_t g, int64_t e)
      : dtype(type),
        tokens(t),
        keys(s),
        heads(h),
        kv_heads(g),
        head_dim(e),
        q(random(device, type, t * h * e, 1)),
        k(random(device, type, s * g * e, 2)),
        v(random(device, type, s * g * e, 3)),
        o(random(device, type, t * h * e, 4)),
        d_o(random(device, type, t * h * e, 5)),
        d_q(random(device, DType::kF32, t * h * e, 6)),
        d_k(random(device, DType::kF32, s * g * e, 7)),
        d_v(random(device, DType::kF32, s * g * e, 8)),
        lse(random(device, DType::kF32, t * h, 9)),
        exec{device, scratch, type, nullptr} {
    scratch = Workspace(
        device.allocate("scratch", MemoryUse::kWorkspace,
                        ops::attention_scratch_bytes(exec, tokens, keys, heads, kv_heads, head_dim, /*training=*/true)));
  }

  std::vector<ops::AttentionSegment> segments() const { return {{0, tokens, 0, keys}}; }
  double flops() const { return ops::attention_flops(segments(), heads, head_dim); }
  float scale() const { return 1.0F / std::sqrt(static_cast<float>(head_dim)); }
  void forward() {
    ops::attention_forward(exec, q.view(dtype, {tokens, heads, head_dim}), k.view(dtype, {keys, kv_heads, head_dim}),
                           v.view(dtype, {keys, kv_heads, head_dim}), segments(), scale(),
                           o.view(dtype, {tokens, heads, head_dim}), lse.view(DType::kF32, {heads, tokens}));
  }
  void backward() {
    ops::attention_backward(exec, d_o.view(dtype, {tokens, heads, head_dim}), q.view(dtype, {tokens, heads, head_dim}),
                            k.view(dtype, {keys, kv_heads, head_dim}), v.view(dtype, {keys, kv_heads, head_dim}),
                            o.view(dtype, {tokens, heads, head_dim}), lse.view(DType::kF32, {heads, tokens}), segments(), scale(),
                            {d_q.view(DType::kF32, {tokens, heads, head_dim}), d_k.view(DType::kF32, {keys, kv_heads, head_dim}),
                             d_v.view(DType::kF32, {keys, kv_heads, head_dim})});
  }
};

double seconds_now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void report(benchmark::State& state, const Problem& p, double flops, std::vector<double> seconds, double ceiling) {
  std::sort(seconds.begin(), seconds.end());
  const double rate = flops / seconds[seconds.size() / 2] * 1e-9;
  state.counters["GFLOPs"] = rate;
  state.counters["best"] = flops / seconds[0] * 1e-9;
  state.counters["ceiling"] = ceiling;
  state.counters["share"] = rate / ceiling;
  state.counters["scratchMB"] = static_cast<double>(p.scratch.capacity()) * 1e-6;
}

DType dtype_of(int64_t bits) { return bits == 16 ? DType::kBF16 : DType::kF32; }

template <typename Body>
void measure(benchmark::State& state, Problem& p, double flops, const Body& body) {
  const double before = ops::onednn_ceiling_gflops(p.dtype, p.device.threads(), 4);
  std::vector<double> seconds;
  for (auto _ : state) {
    const double start = seconds_now();
    body();
    seconds.push_back(seconds_now() - start);
  }
  const double after = ops::onednn_ceiling_gflops(p.dtype, p.device.threads(), 4);
  report(state, p, flops, std::move(seconds), std::max(before, after));
}

// Arguments: bits, T, S, H, G, E.
void Forward(benchmark::State& state) {
  Problem p(dtype_of(state.range(0)), state.range(1), state.range(2), state.range(3), state.range(4), state.range(5));
  measure(state, p, p.flops(), [&] { p.forward(); });
}

void Backward(benchmark::State& state) {
  Problem p(dtype_of(state.range(0)), state.range(1), state.range(2), state.range(3), state.range(4), state.range(5));
  p.forward();
  measure(state, p, 2.5 * p.flops(), [&] { p.backward(); });
}

// One token on a cache: bytes of keys and values a second.
void Decode(benchmark::State& state) {
  Problem p(dtype_of(state.range(0)), state.range(1), state.range(2), state.range(3), state.range(4), state.range(5));
  for (auto _ : state) p.forward();
  state.SetBytesProcessed(state.iterations() * p.keys * p.kv_heads * p.head_dim * 2 * size_of(p.dtype));
}

void shapes(benchmark::internal::Benchmark* b) {
  for (const int64_t t : {512, 2048, 8192}) b->Args({16, t, t, 9, 3, 64});
  b->Args({16, 512, 8192, 9, 3, 64});
  b->Args({16, 2048, 2048, 8, 2, 128});
  b->Args({32, 2048, 2048, 9, 3, 64});
  b->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(1.0);
}

BENCHMARK(Forward)->Apply(shapes);
BENCHMARK(Backward)->Apply(shapes);
BENCHMARK(Decode)
    ->Args({16, 1, 1024, 9, 3, 64})
    ->Args({16, 1, 8192, 9, 3, 64})
    ->Args({16, 1, 65536, 9, 3, 64})
    ->Args({16, 1, 8192, 32, 8, 128})
    ->Args({32, 1, 8192, 9, 3, 64})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

}  // namespace
}  // namespace tenfold

BENCHMARK_MAIN();
