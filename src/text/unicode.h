#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// What a pre-tokenizer asks about a character, as bits of one byte.
enum CharClass : uint8_t {
  kLetter = 1,       ///< \p{L}
  kNumber = 2,       ///< \p{N}
  kSpace = 4,        ///< \s
  kRustNumeric = 8,  ///< Rust's char::is_numeric, which the Digits pre-tokenizer uses: \p{N} of a newer Unicode
  kNfcInert = 16,    ///< a text of such characters alone is in NFC
};

/// Character classes of all of Unicode, as Hugging Face tokenizers 0.23 sees them (Oniguruma with Unicode 16 for the regexes,
/// Rust's Unicode 17 for digits): utf8proc's categories and what has been assigned since.
class UnicodeClasses {
 public:
  UnicodeClasses();
  uint8_t operator[](uint32_t code_point) const {
    return blocks_[(static_cast<uint32_t>(block_of_[code_point >> kShift]) << kShift) | (code_point & kMask)];
  }
  /// Class of a byte below 0x80; kNotAscii for the others.
  uint8_t ascii(uint8_t byte) const { return ascii_[byte]; }
  static constexpr uint8_t kNotAscii = 0x80;

 private:
  static constexpr uint32_t kShift = 7;
  static constexpr uint32_t kMask = (1U << kShift) - 1;
  std::array<uint8_t, 256> ascii_{};
  std::vector<uint16_t> block_of_;  ///< two stages: most blocks of 128 code points are alike
  std::vector<uint8_t> blocks_;
};

/// The table, built once; it never changes.
const UnicodeClasses& unicode_classes();

/// Reads the code point at `p` of valid UTF-8 and moves past it.
inline uint32_t next_code_point(const uint8_t*& p) {
  const uint32_t a = *p++;
  if (a < 0x80) return a;
  const uint32_t b = *p++ & 0x3FU;
  if (a < 0xE0) return ((a & 0x1FU) << 6) | b;
  const uint32_t c = *p++ & 0x3FU;
  if (a < 0xF0) return ((a & 0x0FU) << 12) | (b << 6) | c;
  const uint32_t d = *p++ & 0x3FU;
  return ((a & 0x07U) << 18) | (b << 12) | (c << 6) | d;
}

/// Appends a code point (below 0x110000, no surrogate) as UTF-8.
void append_utf8(std::string& out, uint32_t code_point);

/// Length in bytes of the valid UTF-8 that `text` begins with.
size_t valid_utf8_prefix(std::string_view text);

/// Text with each maximal ill-formed part replaced by U+FFFD, as Rust's String::from_utf8_lossy does.
std::string utf8_lossy(std::string_view text);

/// Text as Python's str sees it: code points, not bytes. Ill-formed parts become U+FFFD.
std::u32string to_code_points(std::string_view text);

/// Moves out of `pending` what can no longer change: all of it but a trailing sequence that more bytes may complete. Ill-formed
/// parts become U+FFFD.
std::string take_complete_utf8(std::string& pending);

/// Unicode NFC of valid UTF-8, in time n log n whatever the text.
std::string normalize_nfc(std::string_view text);
/// Whether NFC could change valid UTF-8: some character is not inert.
bool may_need_nfc(std::string_view text);

/// GPT-2's reversible map of bytes to printable code points (openai/gpt-2, src/encoder.py, bytes_to_unicode).
class ByteMap {
 public:
  ByteMap();
  /// The byte that a code point stands for, or -1.
  int byte_of(uint32_t code_point) const { return code_point < byte_of_.size() ? byte_of_[code_point] : -1; }
  /// Text of mapped characters as bytes; false, leaving `out` as it was, if one of them stands for no byte.
  bool to_bytes(std::string_view text, std::string& out) const;

 private:
  std::array<int16_t, 0x144> byte_of_{};
};

}  // namespace tenfold
