#include "ops/cpu_features.h"

#include "core/error.h"
#include "ops/cpu/onednn_matmul.h"

#include <algorithm>

namespace tenfold::ops {
namespace {

CpuIsa isa_of_cpu() {
  // GCC's check covers the operating system's part (zmm state) too.
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (!avx2) return CpuIsa::kGeneric;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (!avx512) return CpuIsa::kAvx2;
  return __builtin_cpu_supports("avx512bf16") ? CpuIsa::kAvx512Bf16 : CpuIsa::kAvx512;
}

}  // namespace

CpuIsa cpu_isa() {
  static const CpuIsa isa = std::min(isa_of_cpu(), cpu::onednn_isa());
  return isa;
}

std::string_view name_of(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kGeneric: return "generic";
    case CpuIsa::kAvx2: return "avx2";
    case CpuIsa::kAvx512: return "avx512";
    case CpuIsa::kAvx512Bf16: return "avx512_bf16";
  }
  TENFOLD_CHECK(false, "isa {}", static_cast<int>(isa));
}

DType default_compute_dtype() { return cpu_isa() == CpuIsa::kAvx512Bf16 ? DType::kBF16 : DType::kF32; }

}  // namespace tenfold::ops
