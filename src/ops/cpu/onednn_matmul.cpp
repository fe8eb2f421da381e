// The one file that knows oneDNN. Our products are our own kernels (their sums do not depend on the number of rows, which oneDNN
// does not promise); oneDNN is the yardstick they are measured against, and says which instruction sets it may use.
#include "ops/cpu/onednn_matmul.h"

#include "core/error.h"
#include "core/stopwatch.h"
#include "ops/cpu/ceiling.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>

#include <algorithm>
#include <cstring>
#include <limits>

namespace tenfold {
namespace {

using dnnl::memory;

/// oneDNN takes the number of threads from OpenMP when a primitive is made and when it runs.
class ThreadLimit {
 public:
  explicit ThreadLimit(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ThreadLimit(const ThreadLimit&) = delete;
  ThreadLimit& operator=(const ThreadLimit&) = delete;
  ~ThreadLimit() { omp_set_num_threads(before_); }

 private:
  int before_;
};

dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, const memory::desc& a, const memory::desc& b,
                                      const memory::desc& c) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::matmul::primitive_desc(engine, a, b, c);
#else
  return dnnl::matmul::primitive_desc(dnnl::matmul::desc(a, b, c), engine);
#endif
}

}  // namespace

namespace cpu {

ops::CpuIsa onednn_isa() {
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto has = [isa](dnnl::cpu_isa wanted) { return (isa & static_cast<unsigned>(wanted)) == static_cast<unsigned>(wanted); };
  if (has(dnnl::cpu_isa::avx512_core_amx)) return ops::CpuIsa::kAmxBf16;
  if (has(dnnl::cpu_isa::avx512_core_bf16)) return ops::CpuIsa::kAvx512Bf16;
  if (has(dnnl::cpu_isa::avx512_core)) return ops::CpuIsa::kAvx512;
  if (has(dnnl::cpu_isa::avx2)) return ops::CpuIsa::kAvx2;
  return ops::CpuIsa::kGeneric;
}

}  // namespace cpu

namespace ops {

double onednn_gflops(DType dtype, int threads, int64_t m, int64_t n, int64_t k, int repeats) {
  TENFOLD_CHECK(dtype == DType::kF32 || dtype == DType::kBF16, "dtype {}", name_of(dtype));
  const ThreadLimit limit(threads);
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto type = dtype == DType::kBF16 ? memory::data_type::bf16 : memory::data_type::f32;
  const memory::desc a({m, k}, type, memory::format_tag::ab);
  const memory::desc b({k, n}, type, memory::format_tag::any);
  const memory::desc c({m, n}, memory::data_type::f32, memory::format_tag::ab);
  const auto pd = describe(engine, a, b, c);
  memory a_memory(pd.src_desc(), engine);
  memory b_memory(pd.weights_desc(), engine);
  memory c_memory(pd.dst_desc(), engine);
  // Zeros: subnormal garbage would slow the products down.
  for (memory* t : {&a_memory, &b_memory, &c_memory}) std::memset(t->get_data_handle(), 0, t->get_desc().get_size());
  const dnnl::matmul primitive(pd);
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= repeats; ++i) {
    const Stopwatch watch;
    primitive.execute(stream, {{DNNL_ARG_SRC, a_memory}, {DNNL_ARG_WEIGHTS, b_memory}, {DNNL_ARG_DST, c_memory}});
    stream.wait();
    const double seconds = watch.seconds();
    if (i > 0) best = std::min(best, seconds);
  }
  return 2e-9 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) / best;
}

double onednn_ceiling_gflops(DType dtype, int threads, int repeats) {
  double best = 0.0;
  for (const int64_t n : {576, 1536})
    for (const int64_t k : {576, 1536}) best = std::max(best, onednn_gflops(dtype, threads, 512, n, k, repeats));
  return best;
}

}  // namespace ops
}  // namespace tenfold
