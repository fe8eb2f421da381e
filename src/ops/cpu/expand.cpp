#include "ops/cpu/expand.h"

#include "ops/cpu/isa/nf4_scale.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace tenfold::cpu {
namespace {

uint16_t load_u16(const std::byte* p) {
  uint16_t v = 0;
  std::memcpy(&v, p, sizeof v);
  return v;
}

uint32_t load_u32(const std::byte* p) {
  uint32_t v = 0;
  std::memcpy(&v, p, sizeof v);
  return v;
}

float load_half(const std::byte* p) { return half_to_float(load_u16(p)); }
int byte_at(const std::byte* p) { return static_cast<int>(std::to_integer<unsigned>(*p)); }
int signed_at(const std::byte* p) { return static_cast<int>(static_cast<int8_t>(std::to_integer<uint8_t>(*p))); }

constexpr int64_t kGroup = 32;  ///< every block format is decoded 32 values at a time

void decode_q4_0(const std::byte* p, float* out) {
  const float d = load_half(p);
  for (int j = 0; j < 16; ++j) {
    const int q = byte_at(p + 2 + j);
    out[j] = static_cast<float>((q & 15) - 8) * d;
    out[j + 16] = static_cast<float>((q >> 4) - 8) * d;
  }
}

void decode_q4_1(const std::byte* p, float* out) {
  const float d = load_half(p);
  const float m = load_half(p + 2);
  for (int j = 0; j < 16; ++j) {
    const int q = byte_at(p + 4 + j);
    out[j] = static_cast<float>(q & 15) * d + m;
    out[j + 16] = static_cast<float>(q >> 4) * d + m;
  }
}

/// The fifth bits: bit j of `high` belongs to value j.
int five_bits(int nibble, uint32_t high, int j) { return nibble | static_cast<int>(((high >> j) & 1U) << 4); }

void decode_q5_0(const std::byte* p, float* out) {
  const float d = load_half(p);
  const uint32_t high = load_u32(p + 2);
  for (int j = 0; j < 16; ++j) {
    const int q = byte_at(p + 6 + j);
    out[j] = static_cast<float>(five_bits(q & 15, high, j) - 16) * d;
    out[j + 16] = static_cast<float>(five_bits(q >> 4, high, j + 16) - 16) * d;
  }
}

void decode_q5_1(const std::byte* p, float* out) {
  const float d = load_half(p);
  const float m = load_half(p + 2);
  const uint32_t high = load_u32(p + 4);
  for (int j = 0; j < 16; ++j) {
    const int q = byte_at(p + 8 + j);
    out[j] = static_cast<float>(five_bits(q & 15, high, j)) * d + m;
    out[j + 16] = static_cast<float>(five_bits(q >> 4, high, j + 16)) * d + m;
  }
}

void decode_q8_0(const std::byte* p, float* out) {
  const float d = load_half(p);
  for (int j = 0; j < 32; ++j) out[j] = static_cast<float>(signed_at(p + 2 + j)) * d;
}

struct ScaleMin {
  float scale;
  float min;
};

/// Scale and minimum of sub-block j of a Q4_K or Q5_K block: six bits each, packed in 12 bytes after d and dmin.
ScaleMin k_scale_min(const std::byte* block, int j) {
  const std::byte* s = block + 4;
  int sc = 0;
  int m = 0;
  if (j < 4) {
    sc = byte_at(s + j) & 63;
    m = byte_at(s + j + 4) & 63;
  } else {
    sc = (byte_at(s + j + 4) & 15) | ((byte_at(s + j - 4) >> 6) << 4);
    m = (byte_at(s + j + 4) >> 4) | ((byte_at(s + j) >> 6) << 4);
  }
  return {load_half(block) * static_cast<float>(sc), load_half(block + 2) * static_cast<float>(m)};
}

/// Sub-block j (32 values) of a Q4_K block.
void decode_q4_k(const std::byte* block, int j, float* out) {
  const auto [d, m] = k_scale_min(block, j);
  const std::byte* qs = block + 16 + (j / 2) * 32;
  const int shift = (j & 1) * 4;
  for (int l = 0; l < 32; ++l) out[l] = d * static_cast<float>((byte_at(qs + l) >> shift) & 15) - m;
}

void decode_q5_k(const std::byte* block, int j, float* out) {
  const auto [d, m] = k_scale_min(block, j);
  const std::byte* qh = block + 16;
  const std::byte* qs = block + 48 + (j / 2) * 32;
  const int shift = (j & 1) * 4;
  for (int l = 0; l < 32; ++l) {
    const int q = ((byte_at(qs + l) >> shift) & 15) | (((byte_at(qh + l) >> j) & 1) << 4);
    out[l] = d * static_cast<float>(q) - m;
  }
}

/// Values [32 j, 32 j + 32) of a Q6_K block: quarter j % 4 of half j / 4.
void decode_q6_k(const std::byte* block, int j, float* out) {
  const int half = j / 4;
  const int quarter = j % 4;
  const std::byte* ql = block + half * 64 + (quarter & 1) * 32;
  const std::byte* qh = block + 128 + half * 32;
  const std::byte* scales = block + 192 + half * 8 + quarter * 2;
  const float d = load_half(block + 208);
  const int shift = (quarter / 2) * 4;
  for (int l = 0; l < 32; ++l) {
    const int q = ((byte_at(ql + l) >> shift) & 15) | (((byte_at(qh + l) >> (2 * quarter)) & 3) << 4);
    out[l] = d * static_cast<float>(signed_at(scales + l / 16)) * static_cast<float>(q - 32);
  }
}

void decode_nf4(const Source& source, int64_t row, int64_t col, int64_t count, float* out) {
  const int64_t first = (source.first_row + row) * source.cols + col;
  for (int64_t i = first; i < first + count;) {
    const float scale = nf4_scale(source.nf4, i / 64);
    const int64_t end = std::min(first + count, (i / 64 + 1) * 64);
    for (; i < end; ++i) {
      const int pair = byte_at(source.data + i / 2);
      out[i - first] = source.nf4.code[i % 2 == 0 ? pair >> 4 : pair & 15] * scale;
    }
  }
}

void decode_group(WeightLayout layout, const std::byte* row, int64_t col, float* out) {
  const std::byte* block = row + col / block_elements(layout) * block_bytes(layout);
  const int sub = static_cast<int>(col % 256 / kGroup);
  switch (layout) {
    case WeightLayout::kQ4_0: return decode_q4_0(block, out);
    case WeightLayout::kQ4_1: return decode_q4_1(block, out);
    case WeightLayout::kQ5_0: return decode_q5_0(block, out);
    case WeightLayout::kQ5_1: return decode_q5_1(block, out);
    case WeightLayout::kQ8_0: return decode_q8_0(block, out);
    case WeightLayout::kQ4_K: return decode_q4_k(block, sub, out);
    case WeightLayout::kQ5_K: return decode_q5_k(block, sub, out);
    case WeightLayout::kQ6_K: return decode_q6_k(block, sub, out);
    default: TENFOLD_CHECK(false, "layout {} has no blocks", name_of(layout));
  }
}

}  // namespace

Source source_of(const WeightView& weight) {
  Source s;
  s.layout = weight.layout;
  s.data = weight.data;
  s.rows = weight.rows;
  s.cols = weight.cols;
  s.nf4 = weight.nf4;
  if (weight.layout != WeightLayout::kNF4) s.row_bytes = weight.row_bytes();
  return s;
}

Source source_of(const TensorView& dense, float scale) {
  Source s;
  switch (dense.dtype) {
    case DType::kF32: s.layout = WeightLayout::kF32; break;
    case DType::kBF16: s.layout = WeightLayout::kBF16; break;
    case DType::kF16: s.layout = WeightLayout::kF16; break;
    default: TENFOLD_CHECK(false, "{}: dtype {}", dense.name, name_of(dense.dtype));
  }
  TENFOLD_CHECK(dense.rank == 2 && (dense.stride(1) == 1 || dense.dim(1) == 1), "{}: {}", dense.name, shape_text(dense));
  TENFOLD_CHECK(scale == 1.0F || dense.dtype == DType::kF32, "{}: scaled {}", dense.name, name_of(dense.dtype));
  s.data = static_cast<const std::byte*>(dense.data);
  s.row_bytes = dense.stride(0) * size_of(dense.dtype);
  s.rows = dense.dim(0);
  s.cols = dense.dim(1);
  s.scale = scale;
  return s;
}

Source slice_rows(const Source& source, int64_t begin, int64_t end) {
  TENFOLD_CHECK(0 <= begin && begin <= end && end <= source.rows, "rows [{}, {}) of {}", begin, end, source.rows);
  Source s = source;
  s.first_row += begin;
  s.rows = end - begin;
  return s;
}

void decode(const Source& source, int64_t row, int64_t col, int64_t count, float* out) {
  const std::byte* data = source.data + (source.first_row + row) * source.row_bytes;
  switch (source.layout) {
    case WeightLayout::kF32:
      std::memcpy(out, data + col * 4, static_cast<size_t>(count) * 4);
      if (source.scale != 1.0F) std::for_each(out, out + count, [&](float& v) { v *= source.scale; });
      return;
    case WeightLayout::kBF16:
      for (int64_t i = 0; i < count; ++i)
        out[i] = std::bit_cast<float>(static_cast<uint32_t>(load_u16(data + (col + i) * 2)) << 16);
      return;
    case WeightLayout::kF16:
      for (int64_t i = 0; i < count; ++i) out[i] = load_half(data + (col + i) * 2);
      return;
    case WeightLayout::kNF4: return decode_nf4(source, row, col, count, out);
    default:
      for (int64_t i = 0; i < count; i += kGroup) decode_group(source.layout, data, col + i, out + i);
  }
}

void expand_rows(Exec& exec, const WeightView& weight, int64_t row, const TensorView& out) {
  const Source source = source_of(weight);
  constexpr int64_t kChunk = 1024;
  const int64_t chunks = (weight.cols + kChunk - 1) / kChunk;
  const int64_t rows = out.dim(0);
#pragma omp parallel for schedule(static) num_threads(exec.device.threads()) if (rows * weight.cols > 16384)
  for (int64_t unit = 0; unit < rows * chunks; ++unit) {
    const int64_t i = unit / chunks;
    const int64_t col = unit % chunks * kChunk;
    const int64_t count = std::min(kChunk, weight.cols - col);
    if (out.dtype == DType::kF32) {
      decode(source, row + i, col, count, out.row<float>(i) + col);
      continue;
    }
    std::array<float, kChunk> values;
    decode(source, row + i, col, count, values.data());
    bf16* to = out.row<bf16>(i) + col;
    for (int64_t c = 0; c < count; ++c) to[c] = bf16(values[static_cast<size_t>(c)]);
  }
}

}  // namespace tenfold::cpu
