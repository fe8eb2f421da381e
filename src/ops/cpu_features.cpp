#include "ops/cpu_features.h"

#include "core/error.h"
#include "ops/cpu/onednn_matmul.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace tenfold::ops {
namespace {

/// CPUID leaf 7: AMX-BF16 and AMX-TILE (Intel, Software Developer's Manual, volume 2A).
bool has_amx_bf16() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kBoth = (1U << 22) | (1U << 24);
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kBoth) == kBoth;
}

/// Linux gives a process the tiles' state when it asks (Documentation/arch/x86/xstate.rst); all its threads have it then.
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

CpuIsa isa_of_cpu() {
  // GCC's check covers the operating system's part (zmm state) too.
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (!avx2) return CpuIsa::kGeneric;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (!avx512) return CpuIsa::kAvx2;
  // Every CPU that has AVX-512 BF16 has VNNI as well, whose byte products serve single tokens there.
  if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512vnni")) return CpuIsa::kAvx512;
  return has_amx_bf16() && may_use_tiles() ? CpuIsa::kAmxBf16 : CpuIsa::kAvx512Bf16;
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
    case CpuIsa::kAmxBf16: return "amx_bf16";
  }
  TENFOLD_CHECK(false, "isa {}", static_cast<int>(isa));
}

DType default_compute_dtype() { return cpu_isa() >= CpuIsa::kAvx512Bf16 ? DType::kBF16 : DType::kF32; }

}  // namespace tenfold::ops
