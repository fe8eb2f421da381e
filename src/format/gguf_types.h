#pragma once

#include "core/layout.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace tenfold {

/// Constants of the GGUF container (ggml-org/ggml, docs/gguf.md and include/gguf.h), shared by reader and writer.
constexpr int64_t kGgufDefaultAlignment = 32;
constexpr int64_t kGgufMaxKey = 65535;
constexpr int64_t kGgufMaxName = 64;
constexpr int64_t kGgufMaxDims = 4;

/// Types of metadata values, as numbered in the file.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12
};

/// A tensor type of ggml: its block, and our layout when we read it.
struct GgmlType {
  uint32_t id;
  std::string_view name;
  int64_t elements;  ///< of one block
  int64_t bytes;     ///< of one block
  std::optional<WeightLayout> layout;
};

/// The type numbered `id` in the file, or null when ggml has none of that number (or has removed it).
const GgmlType* ggml_type(uint32_t id);

/// The file's number of a layout; aborts for NF4, which ggml does not have.
uint32_t ggml_type_of(WeightLayout layout);

}  // namespace tenfold
