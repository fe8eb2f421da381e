#include "ops/cpu/isa/gemv_kernels.h"
#include "ops/cpu/isa/lanes_avx512.h"

#include <immintrin.h>

namespace tenfold::cpu {
namespace {

using Words = __m512i;  // of 16 bits

constexpr int kBits = 22;
constexpr int64_t kRows = 4;           // dotted together, so that a long x is read from the second cache once for all
constexpr int64_t kChunk = 128;        // blocks of 32: as much of x as the first cache holds beside the weight
constexpr int64_t kBytesAhead = 3072;  // asked for before they are needed: the next rows, which the hardware fetches late

/// Indices of 16-bit words: word i of the lower half is the scale of the block that lane i belongs to; words 4 * place ... of the
/// upper half are the blocks' minima.
struct alignas(64) WordOrder {
  uint16_t word[32];
};

constexpr WordOrder word_order(int block_words, int lanes, int place) {
  WordOrder order{};
  for (int i = 0; i < 16; ++i) order.word[i] = static_cast<uint16_t>(i / lanes * block_words);
  for (int i = 0; i < 4; ++i) order.word[16 + 4 * place + i] = static_cast<uint16_t>(i * block_words + 1);
  return order;
}

inline __m512i above(const __m512i& digits) { return _mm512_slli_epi32(digits, 8); }

/// The digits of 4 runs of x in the order of 4-bit codes: byte 16 i + j belongs to value j of run i, or to value j + 16.
struct NibbleDigits {
  static constexpr int64_t kBlocks = 4;
  int8_t low[3][64];  ///< the highest digit first
  int8_t high[3][64];
  float scale[16];   ///< of each lane's run
  int32_t zero[16];  ///< the codes' zero point times the sum of the lane's x, negative

  void put(int64_t run, int digit, __m128i first, __m128i second) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(low[digit] + 16 * run), first);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(high[digit] + 16 * run), second);
  }
  void put_scale(int64_t run, float value) { _mm_storeu_ps(scale + 4 * run, _mm_set1_ps(value)); }
  /// first, second: x[4 i] + ... + x[4 i + 3] in lane 4 i.
  void put_zero(int64_t run, int32_t point, __m512i first, __m512i second) {
    const __m512i sums = _mm512_mullo_epi32(_mm512_add_epi32(first, second), _mm512_set1_epi32(-point));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(zero + 4 * run), _mm512_castsi512_si128(_mm512_permutexvar_epi32(order, sums)));
  }

  struct Codes {
    __m512i low, high;
  };
  __m512i dot(const Codes& q) const {
    __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q.low, _mm512_load_si512(low[0]));
    sum = above(_mm512_dpbusd_epi32(sum, q.high, _mm512_load_si512(high[0])));
    sum = _mm512_dpbusd_epi32(sum, q.low, _mm512_load_si512(low[1]));
    sum = above(_mm512_dpbusd_epi32(sum, q.high, _mm512_load_si512(high[1])));
    sum = _mm512_dpbusd_epi32(sum, q.low, _mm512_load_si512(low[2]));
    return _mm512_dpbusd_epi32(sum, q.high, _mm512_load_si512(high[2]));
  }
};

/// The same of 2 runs in the order of 8-bit codes.
struct ByteDigits {
  static constexpr int64_t kBlocks = 2;
  int8_t digit[3][64];
  float scale[16];
  int32_t zero[16];

  void put(int64_t run, int which, __m128i first, __m128i second) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(digit[which] + 32 * run), first);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(digit[which] + 32 * run + 16), second);
  }
  void put_scale(int64_t run, float value) { _mm256_storeu_ps(scale + 8 * run, _mm256_set1_ps(value)); }
  void put_zero(int64_t run, int32_t point, __m512i first, __m512i second) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i sums = _mm512_mullo_epi32(_mm512_permutex2var_epi32(first, order, second), _mm512_set1_epi32(-point));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(zero + 8 * run), _mm512_castsi512_si256(sums));
  }

  using Codes = __m512i;
  __m512i dot(const Codes& q) const {
    __m512i sum = above(_mm512_dpbusd_epi32(_mm512_setzero_si512(), q, _mm512_load_si512(digit[0])));
    sum = above(_mm512_dpbusd_epi32(sum, q, _mm512_load_si512(digit[1])));
    return _mm512_dpbusd_epi32(sum, q, _mm512_load_si512(digit[2]));
  }
};

/// The 4-bit codes of up to 4 blocks, kStride bytes apart; the last stands in for those missing.
template <int64_t kStride>
inline NibbleDigits::Codes nibbles(const std::byte* p, int64_t blocks) {
  const auto block = [p, blocks](int64_t i) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + smaller(i, blocks - 1) * kStride));
  };
  __m512i q = _mm512_castsi128_si512(block(0));
  q = _mm512_mask_broadcast_i32x4(q, 0x00F0, block(1));
  q = _mm512_mask_broadcast_i32x4(q, 0x0F00, block(2));
  q = _mm512_mask_broadcast_i32x4(q, 0xF000, block(3));
  const __m512i mask = _mm512_set1_epi8(15);
  return {_mm512_and_si512(q, mask), _mm512_and_si512(_mm512_srli_epi16(q, 4), mask)};
}

struct Q4_1 {
  using Digits = NibbleDigits;
  static constexpr int64_t kBytes = 20;
  static constexpr bool kHasMin = true;
  static constexpr int32_t kZeroPoint = 0;
  static constexpr WordOrder kOrder[4] = {word_order(10, 4, 0), word_order(10, 4, 1), word_order(10, 4, 2), word_order(10, 4, 3)};
  static Digits::Codes codes(const std::byte* p, int64_t blocks) { return nibbles<kBytes>(p + 4, blocks); }
};

struct Q4_0 {
  using Digits = NibbleDigits;
  static constexpr int64_t kBytes = 18;
  static constexpr bool kHasMin = false;
  static constexpr int32_t kZeroPoint = 8;
  static constexpr WordOrder kOrder[1] = {word_order(9, 4, 0)};
  static Digits::Codes codes(const std::byte* p, int64_t blocks) { return nibbles<kBytes>(p + 2, blocks); }
};

struct Q8_0 {
  using Digits = ByteDigits;
  static constexpr int64_t kBytes = 34;
  static constexpr bool kHasMin = false;
  static constexpr int32_t kZeroPoint = 128;
  static constexpr WordOrder kOrder[1] = {word_order(17, 8, 0)};
  static Digits::Codes codes(const std::byte* p, int64_t blocks) {
    const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 2));
    const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 2 + (blocks - 1) * kBytes));
    const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
    return _mm512_xor_si512(both, _mm512_set1_epi8(static_cast<char>(0x80)));  // q + 128
  }
};

template <typename Block, int kTokens>
struct Row {
  using Digits = typename Block::Digits;
  static constexpr int64_t kBlocks = Digits::kBlocks;

  const std::byte* x;  ///< the group's digits
  int64_t x_stride;    ///< bytes from one token to the next
  __m512 sum[kTokens];
  Words words;

  /// The `place`th group of 4. Of the last one of a row `blocks` are there; nothing is read beyond them, and the others' scale is
  /// 0.
  void group(int place, const std::byte* p, int64_t blocks) {
    const Words raw =
        blocks == kBlocks ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8((1ULL << (blocks * Block::kBytes)) - 1, p);
    const Words order = _mm512_load_si512(Block::kOrder + (Block::kHasMin ? place : 0));
    // Minima of earlier groups stay where they are.
    const __mmask32 written = Block::kHasMin ? 0xFFFFU | (0xFU << (16 + 4 * place)) : 0xFFFFU;
    words = _mm512_mask_permutexvar_epi16(words, written, order, raw);
    const __m512 d = _mm512_cvtph_ps(_mm512_castsi512_si256(words));
    const typename Digits::Codes q = Block::codes(p, blocks);
#pragma GCC unroll 4
    for (int i = 0; i < kTokens; ++i) {
      const auto& digits = *reinterpret_cast<const Digits*>(x + i * x_stride);
      __m512i dot = digits.dot(q);
      if constexpr (Block::kZeroPoint != 0) dot = _mm512_add_epi32(dot, _mm512_load_si512(digits.zero));
      sum[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(d, _mm512_load_ps(digits.scale)), sum[i]);
    }
    x += sizeof(Digits);
  }

  /// Blocks [first, first + blocks) of a row at p; x points to their digits. x_sums: of those blocks, sums_stride apart.
  void add(const std::byte* p, int64_t blocks, const float* x_sums, int64_t sums_stride) {
    constexpr int64_t kRun = 4 * kBlocks;
    constexpr int64_t kGroupBytes = kBlocks * Block::kBytes;
    for (; blocks > 0; blocks -= kRun, p += 4 * kGroupBytes, x_sums += kRun) {
      words = _mm512_setzero_si512();
      if (blocks >= kRun) {
#pragma GCC unroll 5
        for (int64_t line = 0; line < 4 * kGroupBytes; line += 64) _mm_prefetch(p + kBytesAhead + line, _MM_HINT_T0);
#pragma GCC unroll 4
        for (int place = 0; place < 4; ++place) group(place, p + place * kGroupBytes, kBlocks);
      } else {
        for (int64_t line = 0; line < blocks * Block::kBytes; line += 64) _mm_prefetch(p + kBytesAhead + line, _MM_HINT_T0);
        for (int place = 0; place * kBlocks < blocks; ++place) {
          group(place, p + place * kGroupBytes, smaller(kBlocks, blocks - place * kBlocks));
        }
      }
      if constexpr (Block::kHasMin) {
        const __m512 m = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(words, 1));
        const __mmask16 real = first_lanes(blocks);
        for (int i = 0; i < kTokens; ++i)
          sum[i] = _mm512_fmadd_ps(m, _mm512_maskz_loadu_ps(real, x_sums + i * sums_stride), sum[i]);
      }
    }
  }
};

/// The sums of four vectors.
inline __m128 sums_of(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  const __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  const __m512 lanes = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
  const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
  return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
}

template <typename Block, int kTokens>
void dot_rows(const GemvTask& t) {
  using Digits = typename Block::Digits;
  static_assert(kChunk % (4 * Digits::kBlocks) == 0);
  const int64_t blocks = t.weight.cols / 32;
  for (int64_t row = t.row_begin; row < t.row_end; row += kRows) {
    const int64_t rows = smaller(kRows, t.row_end - row);
    __m512 sum[kRows][kTokens];
    for (auto& of_row : sum)
      for (auto& v : of_row) v = _mm512_setzero_ps();
    for (int64_t first = 0; first < blocks; first += kChunk) {
      const int64_t count = smaller(kChunk, blocks - first);
      for (int64_t r = 0; r < rows; ++r) {
        Row<Block, kTokens> run;
        run.x = t.digits + first / Digits::kBlocks * static_cast<int64_t>(sizeof(Digits));
        run.x_stride = t.digits_stride;
        for (int i = 0; i < kTokens; ++i) run.sum[i] = sum[r][i];
        const std::byte* p = t.weight.data + (t.weight.first_row + row + r) * t.weight.row_bytes;
        run.add(p + first * Block::kBytes, count, t.x_sums + first, blocks);
        for (int i = 0; i < kTokens; ++i) sum[r][i] = run.sum[i];
      }
    }
    for (int i = 0; i < kTokens; ++i)
      _mm_mask_storeu_ps(t.out + i * t.out_stride + row - t.row_begin, static_cast<__mmask8>(first_lanes(rows)),
                         sums_of(sum[0][i], sum[1][i], sum[2][i], sum[3][i]));
  }
}

template <typename Block>
void dot(const GemvTask& t) {
  switch (t.tokens) {
    case 1: return dot_rows<Block, 1>(t);
    case 2: return dot_rows<Block, 2>(t);
    case 3: return dot_rows<Block, 3>(t);
    default: return dot_rows<Block, 4>(t);
  }
}

inline __m512i sums_of_four_lanes(__m512i v) {
  v = _mm512_add_epi32(v, _mm512_shuffle_epi32(v, _MM_PERM_CDAB));
  return _mm512_add_epi32(v, _mm512_shuffle_epi32(v, _MM_PERM_BADC));
}

inline float power_of_two(int exponent) { return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((exponent + 127) << 23))); }

/// x - 256 round(x / 256) in the low byte, and round(x / 256): digits from -128 to 127.
inline __m512i next_digit(__m512i x) { return _mm512_srai_epi32(_mm512_add_epi32(x, _mm512_set1_epi32(128)), 8); }

template <typename Digits>
void write(const float* x, int64_t cols, int32_t zero_point, Digits* to) {
  const int64_t blocks = cols / 32;
  for (int64_t b = 0; b < blocks; ++b) {
    Digits& group = to[b / Digits::kBlocks];
    const int64_t run = b % Digits::kBlocks;
    if (run == 0)
      for (size_t at = 0; at < sizeof(Digits); at += 64)
        _mm512_store_si512(reinterpret_cast<std::byte*>(&group) + at, _mm512_setzero_si512());
    const __m512 first = _mm512_loadu_ps(x + b * 32);
    const __m512 second = _mm512_loadu_ps(x + b * 32 + 16);
    // Magnitudes are ordered as integers, with infinity and then NaN above all.
    const __m512i magnitude = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(first), _mm512_set1_epi32(0x7FFFFFFF)),
                                               _mm512_and_si512(_mm512_castps_si512(second), _mm512_set1_epi32(0x7FFFFFFF)));
    const int biased = static_cast<int>(_mm512_reduce_max_epu32(magnitude) >> 23);
    // |x| < 2^exponent; below 2^-104 the factor would not be a number, and x is taken for less than 2^-104.
    constexpr int kLeast = -104;
    const auto exponent = static_cast<int>(larger(kLeast, biased - 126));
    const bool finite = biased < 255;
    const __m512 up = _mm512_set1_ps(finite ? power_of_two(kBits - exponent) : 0.0F);
    __m512i digits[2] = {_mm512_cvtps_epi32(_mm512_mul_ps(first, up)), _mm512_cvtps_epi32(_mm512_mul_ps(second, up))};
    if (zero_point != 0) group.put_zero(run, zero_point, sums_of_four_lanes(digits[0]), sums_of_four_lanes(digits[1]));
    for (int digit = 2; digit >= 0; --digit) {
      group.put(run, digit, _mm512_cvtepi32_epi8(digits[0]), _mm512_cvtepi32_epi8(digits[1]));
      for (__m512i& d : digits) d = next_digit(d);
    }
    group.put_scale(run, finite ? power_of_two(exponent - kBits) : __builtin_nanf(""));
  }
}

}  // namespace

void write_digits_avx512_bf16(WeightLayout layout, const float* x, int64_t cols, std::byte* to) {
  static_assert(sizeof(NibbleDigits) == 512 && sizeof(ByteDigits) == 320);  // digits_bytes holds either
  if (layout == WeightLayout::kQ8_0) return write(x, cols, Q8_0::kZeroPoint, reinterpret_cast<ByteDigits*>(to));
  write(x, cols, layout == WeightLayout::kQ4_0 ? Q4_0::kZeroPoint : 0, reinterpret_cast<NibbleDigits*>(to));
}

void gemv_digits_avx512_bf16(const GemvTask& task) {
  switch (task.weight.layout) {
    case WeightLayout::kQ4_0: return dot<Q4_0>(task);
    case WeightLayout::kQ4_1: return dot<Q4_1>(task);
    default: return dot<Q8_0>(task);
  }
}

}  // namespace tenfold::cpu
