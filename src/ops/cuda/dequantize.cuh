#pragma once

// Frozen weights as a kernel reads them. Every layout is taken eight columns at a time as w = q * scale (+ offset), the products
// and sums rounded one by one as ggml-quants.c and bitsandbytes do on the CPU (ops/cpu/expand.cpp), so that an expanded weight
// has the same bits on both. A kernel is a template over the layout, picked once by with_layout.

#include "core/tensor.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>
#include <utility>

namespace tenfold::cuda {

/// A WeightView for kernels: trivially copyable, all pointers device memory.
struct DeviceWeight {
  WeightLayout layout = WeightLayout::kF32;
  const uint8_t* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_bytes = 0;  ///< 0 for NF4, whose blocks of 64 run over the flattened array
  bool groups = false;    ///< load_raw8 may be used: rows are whole groups of eight at addresses for its loads
  Nf4Scales nf4;          ///< a kernel may point `code` (16 values) and `nested_code` (256) at copies in shared memory
};
static_assert(std::is_trivially_copyable_v<DeviceWeight>);

constexpr bool is_dense(WeightLayout l) { return l == WeightLayout::kF32 || l == WeightLayout::kF16 || l == WeightLayout::kBF16; }
constexpr bool has_offset(WeightLayout l) {
  return l == WeightLayout::kQ4_1 || l == WeightLayout::kQ5_1 || l == WeightLayout::kQ4_K || l == WeightLayout::kQ5_K;
}

/// The alignment that the blocks of a layout have in themselves; loads rely on it.
inline uintptr_t natural_alignment(WeightLayout layout) {
  switch (layout) {
    case WeightLayout::kNF4: return 1;
    case WeightLayout::kF16:
    case WeightLayout::kBF16:
    case WeightLayout::kQ4_0:
    case WeightLayout::kQ5_0:
    case WeightLayout::kQ8_0:
    case WeightLayout::kQ6_K: return 2;
    default: return 4;
  }
}

inline bool takes_groups(const DeviceWeight& w) {
  const auto address = reinterpret_cast<uintptr_t>(w.data);
  if (is_dense(w.layout)) return w.cols % 8 == 0 && address % 16 == 0 && w.row_bytes % 16 == 0;
  return w.layout != WeightLayout::kNF4 || (w.cols % 8 == 0 && address % 4 == 0);
}

inline DeviceWeight device_weight(const WeightView& w) {
  TENFOLD_CHECK(reinterpret_cast<uintptr_t>(w.data) % natural_alignment(w.layout) == 0, "{}: {} at an odd address", w.name,
                name_of(w.layout));
  DeviceWeight d;
  d.layout = w.layout;
  d.data = reinterpret_cast<const uint8_t*>(w.data);
  d.rows = w.rows;
  d.cols = w.cols;
  d.row_bytes = w.layout == WeightLayout::kNF4 ? 0 : w.row_bytes();
  d.nf4 = w.nf4;
  d.groups = takes_groups(d);
  return d;
}

/// A dense tensor as one; its rows may be strided.
inline DeviceWeight device_weight(const TensorView& t) {
  TENFOLD_CHECK(t.rank == 2 && (t.dtype == DType::kF32 || t.dtype == DType::kBF16), "{}: {} {}", t.name, name_of(t.dtype),
                shape_text(t));
  DeviceWeight d;
  d.layout = t.dtype == DType::kF32 ? WeightLayout::kF32 : WeightLayout::kBF16;
  d.data = static_cast<const uint8_t*>(t.data);
  d.rows = t.dim(0);
  d.cols = t.dim(1);
  d.row_bytes = t.stride(0) * size_of(t.dtype);
  d.groups = takes_groups(d);
  return d;
}

template <WeightLayout L>
using LayoutConstant = std::integral_constant<WeightLayout, L>;

/// Calls f(LayoutConstant<layout>()).
template <typename F>
void with_layout(WeightLayout layout, F&& f) {
  switch (layout) {
    case WeightLayout::kF32: return f(LayoutConstant<WeightLayout::kF32>());
    case WeightLayout::kF16: return f(LayoutConstant<WeightLayout::kF16>());
    case WeightLayout::kBF16: return f(LayoutConstant<WeightLayout::kBF16>());
    case WeightLayout::kQ4_0: return f(LayoutConstant<WeightLayout::kQ4_0>());
    case WeightLayout::kQ4_1: return f(LayoutConstant<WeightLayout::kQ4_1>());
    case WeightLayout::kQ5_0: return f(LayoutConstant<WeightLayout::kQ5_0>());
    case WeightLayout::kQ5_1: return f(LayoutConstant<WeightLayout::kQ5_1>());
    case WeightLayout::kQ8_0: return f(LayoutConstant<WeightLayout::kQ8_0>());
    case WeightLayout::kQ4_K: return f(LayoutConstant<WeightLayout::kQ4_K>());
    case WeightLayout::kQ5_K: return f(LayoutConstant<WeightLayout::kQ5_K>());
    case WeightLayout::kQ6_K: return f(LayoutConstant<WeightLayout::kQ6_K>());
    case WeightLayout::kNF4: return f(LayoutConstant<WeightLayout::kNF4>());
  }
  TENFOLD_CHECK(false, "layout {}", static_cast<int>(layout));
}

/// Eight neighbouring values of a row: q[j] * scale (+ offset where the layout has one).
struct Group8 {
  float q[8];
  float scale;
  float offset;
};

/// The same as it lies: what each word holds is between load_raw8 and decode_raw8, and words that a layout leaves out cost
/// nothing. A kernel loads several before it decodes the first, so that the loads overlap.
struct Raw8 {
  uint32_t codes[8];
  uint32_t scale;
  uint32_t scales;
  uint32_t high[2];
};

/// Where a row begins.
struct RowAt {
  const uint8_t* data;
  int64_t flat;  ///< NF4: elements before it
};

namespace dequantize {

__device__ inline uint16_t load_u16(const uint8_t* p) { return *reinterpret_cast<const uint16_t*>(p); }
__device__ inline uint32_t load_u32(const uint8_t* p) { return *reinterpret_cast<const uint32_t*>(p); }
__device__ inline uint32_t load_u32_of_u16(const uint8_t* p) {
  return static_cast<uint32_t>(load_u16(p)) | static_cast<uint32_t>(load_u16(p + 2)) << 16;
}
__device__ inline float half_bits(uint32_t bits) { return __half2float(__ushort_as_half(static_cast<uint16_t>(bits))); }
__device__ inline float load_half(const uint8_t* p) { return half_bits(load_u16(p)); }
__device__ inline float bf16_bits(uint32_t bits) { return __uint_as_float(bits << 16); }

/// Eight bytes to words [0] and [1], the first in the lowest bits.
template <int kAlignment>
__device__ inline void load_8(const uint8_t* p, uint32_t* words) {
  words[0] = kAlignment == 4 ? load_u32(p) : load_u32_of_u16(p);
  words[1] = kAlignment == 4 ? load_u32(p + 4) : load_u32_of_u16(p + 4);
}

__device__ inline void load_16(const uint8_t* p, uint32_t* words) {
  const uint4 v = *reinterpret_cast<const uint4*>(p);
  words[0] = v.x, words[1] = v.y, words[2] = v.z, words[3] = v.w;
}

/// q[j] = byte j less `minus`; both are small whole numbers, so nothing rounds.
__device__ inline void unsigned_bytes(uint32_t low, uint32_t high, float minus, float (&q)[8]) {
#pragma unroll
  for (int j = 0; j < 8; ++j) q[j] = static_cast<float>(((j < 4 ? low : high) >> (j % 4 * 8)) & 0xffU) - minus;
}

__device__ inline uint32_t nibbles(uint32_t v, int shift) { return (v >> shift) & 0x0f0f0f0fU; }

/// Bits 0..3 of `bits` as the fifth bits of four bytes.
__device__ inline uint32_t fifth_bits(uint32_t bits) {
  return (bits & 1U) << 4 | (bits & 2U) << 11 | (bits & 4U) << 18 | (bits & 8U) << 25;
}

/// The scale of an NF4 block of 64, restored by two separate roundings.
__device__ inline float nf4_scale(const Nf4Scales& s, uint32_t code, float absmax) {
  return s.absmax8 == nullptr ? absmax : __fadd_rn(__fmul_rn(s.nested_code[code], absmax), s.nested_offset);
}

/// Scale and minimum of sub-block j of a Q4_K or Q5_K block from the three bytes that hold them.
__device__ inline void k_scale_min(uint32_t halves, uint32_t bytes, int j, Group8& g) {
  const uint32_t a = bytes & 0xffU;
  const uint32_t b = (bytes >> 8) & 0xffU;
  const uint32_t c = bytes >> 16;
  const uint32_t scale = j < 4 ? a & 63U : (c & 15U) | ((a >> 6) << 4);
  const uint32_t min = j < 4 ? b & 63U : (c >> 4) | ((b >> 6) << 4);
  g.scale = __fmul_rn(half_bits(halves & 0xffffU), static_cast<float>(scale));
  g.offset = -__fmul_rn(half_bits(halves >> 16), static_cast<float>(min));
}

template <WeightLayout L>
constexpr int block_elements() {
  constexpr int kElements[] = {1, 1, 1, 32, 32, 32, 32, 32, 256, 256, 256, 64};
  return kElements[static_cast<int>(L)];
}
template <WeightLayout L>
constexpr int block_bytes() {
  constexpr int kBytes[] = {4, 2, 2, 18, 20, 22, 24, 34, 144, 176, 210, 32};
  return kBytes[static_cast<int>(L)];
}

/// Columns [i, i + 8) of the block that begins at p; i is a multiple of 8.
template <WeightLayout L>
__device__ inline void load_block_8(const uint8_t* p, int i, Raw8& raw) {
  const int sub = i >> 5;  // of 32 values
  const int at = i & 31;   // in it
  if constexpr (L == WeightLayout::kQ4_0) {
    raw.scale = load_u16(p);
    load_8<2>(p + 2 + (i & 15), raw.codes);
  } else if constexpr (L == WeightLayout::kQ4_1) {
    raw.scale = load_u32(p);
    load_8<4>(p + 4 + (i & 15), raw.codes);
  } else if constexpr (L == WeightLayout::kQ5_0) {
    raw.scale = load_u16(p);
    raw.high[0] = load_u32_of_u16(p + 2);
    load_8<2>(p + 6 + (i & 15), raw.codes);
  } else if constexpr (L == WeightLayout::kQ5_1) {
    raw.scale = load_u32(p);
    raw.high[0] = load_u32(p + 4);
    load_8<4>(p + 8 + (i & 15), raw.codes);
  } else if constexpr (L == WeightLayout::kQ8_0) {
    raw.scale = load_u16(p);
    load_8<2>(p + 2 + i, raw.codes);
  } else if constexpr (L == WeightLayout::kQ4_K || L == WeightLayout::kQ5_K) {
    const uint8_t* s = p + 4 + (sub & 3);
    raw.scale = load_u32(p);
    raw.scales = static_cast<uint32_t>(s[0]) | static_cast<uint32_t>(s[4]) << 8 | static_cast<uint32_t>(s[8]) << 16;
    load_8<4>(p + (L == WeightLayout::kQ4_K ? 16 : 48) + (sub >> 1) * 32 + at, raw.codes);
    if constexpr (L == WeightLayout::kQ5_K) load_8<4>(p + 16 + at, raw.high);
  } else {
    static_assert(L == WeightLayout::kQ6_K);
    const int half = sub >> 2;
    const int quarter = sub & 3;
    raw.scale = load_u16(p + 208);
    raw.scales = p[192 + half * 8 + quarter * 2 + (at >> 4)];
    load_8<2>(p + half * 64 + (quarter & 1) * 32 + at, raw.codes);
    load_8<2>(p + 128 + half * 32 + at, raw.high);
  }
}

template <WeightLayout L>
__device__ inline void decode_block_8(const Raw8& raw, int i, Group8& g) {
  const int sub = i >> 5;
  const int shift = (i >> 4) * 4;  // blocks of 32: the second half lies in the high nibbles
  const uint32_t c0 = raw.codes[0];
  const uint32_t c1 = raw.codes[1];
  if constexpr (L == WeightLayout::kQ4_0) {
    g.scale = half_bits(raw.scale);
    unsigned_bytes(nibbles(c0, shift), nibbles(c1, shift), 8.0F, g.q);
  } else if constexpr (L == WeightLayout::kQ4_1) {
    g.scale = half_bits(raw.scale & 0xffffU);
    g.offset = half_bits(raw.scale >> 16);
    unsigned_bytes(nibbles(c0, shift), nibbles(c1, shift), 0.0F, g.q);
  } else if constexpr (L == WeightLayout::kQ5_0 || L == WeightLayout::kQ5_1) {
    constexpr bool kSymmetric = L == WeightLayout::kQ5_0;
    g.scale = half_bits(raw.scale & 0xffffU);
    if constexpr (!kSymmetric) g.offset = half_bits(raw.scale >> 16);
    const uint32_t high = raw.high[0] >> i;
    unsigned_bytes(nibbles(c0, shift) | fifth_bits(high), nibbles(c1, shift) | fifth_bits(high >> 4), kSymmetric ? 16.0F : 0.0F,
                   g.q);
  } else if constexpr (L == WeightLayout::kQ8_0) {
    g.scale = half_bits(raw.scale);
#pragma unroll
    for (int j = 0; j < 8; ++j) g.q[j] = static_cast<float>(static_cast<int8_t>((j < 4 ? c0 : c1) >> (j % 4 * 8)));
  } else if constexpr (L == WeightLayout::kQ4_K || L == WeightLayout::kQ5_K) {
    k_scale_min(raw.scale, raw.scales, sub, g);
    uint32_t low = nibbles(c0, (sub & 1) * 4);
    uint32_t high = nibbles(c1, (sub & 1) * 4);
    if constexpr (L == WeightLayout::kQ5_K) {
      low |= ((raw.high[0] >> sub) & 0x01010101U) << 4;
      high |= ((raw.high[1] >> sub) & 0x01010101U) << 4;
    }
    unsigned_bytes(low, high, 0.0F, g.q);
  } else {
    static_assert(L == WeightLayout::kQ6_K);
    const int quarter = sub & 3;
    const uint32_t low = nibbles(c0, (quarter >> 1) * 4) | ((raw.high[0] >> (2 * quarter)) & 0x03030303U) << 4;
    const uint32_t high = nibbles(c1, (quarter >> 1) * 4) | ((raw.high[1] >> (2 * quarter)) & 0x03030303U) << 4;
    unsigned_bytes(low, high, 32.0F, g.q);
    g.scale = __fmul_rn(half_bits(raw.scale), static_cast<float>(static_cast<int8_t>(raw.scales)));
  }
}

}  // namespace dequantize

__device__ inline RowAt row_at(const DeviceWeight& w, int64_t row) { return {w.data + row * w.row_bytes, row * w.cols}; }

/// Columns [col, col + 8) of a row; col is a multiple of 8, and w.groups.
template <WeightLayout L>
__device__ inline Raw8 load_raw8(const DeviceWeight& w, const RowAt& row, int64_t col) {
  namespace dq = dequantize;
  Raw8 raw;
  if constexpr (is_dense(L)) {
    const uint8_t* p = row.data + col * dq::block_bytes<L>();
    dq::load_16(p, raw.codes);
    if constexpr (L == WeightLayout::kF32) dq::load_16(p + 16, raw.codes + 4);
  } else if constexpr (L == WeightLayout::kNF4) {
    const int64_t flat = row.flat + col;
    raw.codes[0] = dq::load_u32(row.data + (flat >> 1));
    raw.scales = w.nf4.absmax8 == nullptr ? 0 : w.nf4.absmax8[flat >> 6];
    raw.scale = __float_as_uint(w.nf4.absmax8 == nullptr ? w.nf4.absmax[flat >> 6] : w.nf4.nested_absmax[flat >> 14]);
  } else {
    constexpr uint32_t kElements = dq::block_elements<L>();
    const auto c = static_cast<uint32_t>(col);  // a row has fewer than 2^32 columns
    dq::load_block_8<L>(row.data + static_cast<int64_t>(c / kElements) * dq::block_bytes<L>(), static_cast<int>(c % kElements),
                        raw);
  }
  return raw;
}

template <WeightLayout L>
__device__ inline Group8 decode_raw8(const DeviceWeight& w, const Raw8& raw, int64_t col) {
  namespace dq = dequantize;
  Group8 g;
  g.scale = 1.0F;
  g.offset = 0.0F;
  if constexpr (L == WeightLayout::kF32) {
#pragma unroll
    for (int j = 0; j < 8; ++j) g.q[j] = __uint_as_float(raw.codes[j]);
  } else if constexpr (is_dense(L)) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const uint32_t word = raw.codes[j];
      g.q[2 * j] = L == WeightLayout::kBF16 ? dq::bf16_bits(word & 0xffffU) : dq::half_bits(word & 0xffffU);
      g.q[2 * j + 1] = L == WeightLayout::kBF16 ? dq::bf16_bits(word >> 16) : dq::half_bits(word >> 16);
    }
  } else if constexpr (L == WeightLayout::kNF4) {
    g.scale = dq::nf4_scale(w.nf4, raw.scales, __uint_as_float(raw.scale));
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      g.q[2 * j] = w.nf4.code[(raw.codes[0] >> (8 * j + 4)) & 15U];
      g.q[2 * j + 1] = w.nf4.code[(raw.codes[0] >> (8 * j)) & 15U];
    }
  } else {
    dq::decode_block_8<L>(raw, static_cast<int>(static_cast<uint32_t>(col) % dq::block_elements<L>()), g);
  }
  return g;
}

/// The same multiplied out: the values that the CPU expands to.
template <WeightLayout L>
__device__ inline void multiply_out(const Group8& g, float (&out)[8]) {
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    out[j] = is_dense(L) ? g.q[j] : __fmul_rn(g.q[j], g.scale);
    if constexpr (has_offset(L)) out[j] = __fadd_rn(out[j], g.offset);
  }
}

/// One value at any place.
template <WeightLayout L>
__device__ inline float decode_element(const DeviceWeight& w, int64_t row, int64_t col) {
  namespace dq = dequantize;
  if constexpr (L == WeightLayout::kF32) {
    return reinterpret_cast<const float*>(w.data + row * w.row_bytes)[col];
  } else if constexpr (L == WeightLayout::kF16) {
    return dq::load_half(w.data + row * w.row_bytes + 2 * col);
  } else if constexpr (L == WeightLayout::kBF16) {
    return dq::bf16_bits(dq::load_u16(w.data + row * w.row_bytes + 2 * col));
  } else if constexpr (L == WeightLayout::kNF4) {
    const int64_t flat = row * w.cols + col;
    const uint32_t pair = w.data[flat >> 1];
    const float scale = w.nf4.absmax8 == nullptr
                            ? w.nf4.absmax[flat >> 6]
                            : dq::nf4_scale(w.nf4, w.nf4.absmax8[flat >> 6], w.nf4.nested_absmax[flat >> 14]);
    return __fmul_rn(w.nf4.code[flat % 2 == 0 ? pair >> 4 : pair & 15U], scale);
  } else {
    float v[8];
    const int64_t first = col & ~int64_t{7};
    multiply_out<L>(decode_raw8<L>(w, load_raw8<L>(w, row_at(w, row), first), first), v);
    float value = v[0];
#pragma unroll
    for (int j = 1; j < 8; ++j) value = static_cast<int>(col & 7) == j ? v[j] : value;
    return value;
  }
}

/// Eight values of any weight; col is a multiple of 8 and the eight lie inside the row.
template <WeightLayout L>
__device__ inline void decode8(const DeviceWeight& w, int64_t row, int64_t col, float (&out)[8]) {
  if constexpr (is_dense(L) || L == WeightLayout::kNF4) {
    if (!w.groups) {
#pragma unroll
      for (int j = 0; j < 8; ++j) out[j] = decode_element<L>(w, row, col + j);
      return;
    }
  }
  multiply_out<L>(decode_raw8<L>(w, load_raw8<L>(w, row_at(w, row), col), col), out);
}

}  // namespace tenfold::cuda
