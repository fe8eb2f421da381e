#pragma once

#include "core/tensor.h"
#include "device/exec.h"

#include <cstdint>
#include <span>
#include <vector>

namespace tenfold::ops {

/// An NF4 weight that owns its codes and scales (bitsandbytes, functional.py, blocksize 64, double quantisation in blocks of
/// 256).
struct Nf4Weight {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<uint8_t> codes;        ///< [(n + 1) / 2], even element in the high nibble
  std::vector<float> absmax;         ///< [ceil(n / 64)] without double quantisation, else empty
  std::vector<uint8_t> absmax8;      ///< [ceil(n / 64)] with double quantisation
  std::vector<float> nested_absmax;  ///< [ceil(n / 64 / 256)]
  float nested_offset = 0.0F;        ///< mean of absmax

  /// The view shares this object's memory; `name` must outlive it.
  WeightView view(const char* name) const;
};

/// Quantises dense rows (rows, cols) f32, bit for bit as bitsandbytes' quantize_4bit(quant_type="nf4",
/// compress_statistics=double_quant).
Nf4Weight quantize_nf4(std::span<const float> values, int64_t rows, int64_t cols, bool double_quant);

/// The 16 NF4 code values, and the 256 of the signed dynamic map that holds the nested scales.
std::span<const float> nf4_code();
std::span<const float> dynamic_code();

}  // namespace tenfold::ops
