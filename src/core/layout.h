#pragma once

#include <cstdint>
#include <string_view>

namespace tenfold {

/// How the elements of a frozen weight lie in memory. The block types are ggml's (ggml-common.h); kNF4 is bitsandbytes'
/// (functional.py).
enum class WeightLayout : uint8_t { kF32, kF16, kBF16, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kQ4_K, kQ5_K, kQ6_K, kNF4 };

/// Elements that share one block: 1 for the dense types, 32 or 256 for ggml blocks, 64 for NF4.
int64_t block_elements(WeightLayout layout);
/// Bytes of one block. NF4 counts its packed codes only (32 bytes); its scales lie apart.
int64_t block_bytes(WeightLayout layout);
std::string_view name_of(WeightLayout layout);

}  // namespace tenfold
