#pragma once

#include "text/unicode.h"

#include <cstdint>

namespace tenfold {

/// Hand-written equivalents of the pre-tokenizer regexes in use. Each `next(p, end)` returns the end of the word that begins at
/// p; [p, end) is valid UTF-8, not empty, and a whole piece as the regex sees it (`\s+(?!\S)` takes the end for a space).
class ScannerBase {
 public:
  explicit ScannerBase(const UnicodeClasses& classes) : classes_(classes) {}

 protected:
  uint8_t class_at(const uint8_t* p, const uint8_t*& after) const {
    const uint8_t ascii = classes_.ascii(*p);
    if (ascii != UnicodeClasses::kNotAscii) [[likely]] {
      after = p + 1;
      return ascii;
    }
    after = p;
    return classes_[next_code_point(after)];
  }
  /// End of the run of characters with a bit of kMask, or with none of them if kInvert.
  template <uint8_t kMask, bool kInvert = false>
  const uint8_t* run(const uint8_t* p, const uint8_t* end) const {
    const uint8_t* after = p;
    while (p < end && ((class_at(p, after) & kMask) != 0) != kInvert) p = after;
    return p;
  }

  const UnicodeClasses& classes_;
};

/// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+   (GPT-2; HF's ByteLevel with use_regex).
/// With kSplitDigits, the text is first cut at every Rust-numeric character, which stands alone (HF's Digits, SmolLM).
template <bool kSplitDigits>
class Gpt2Scanner : public ScannerBase {
 public:
  using ScannerBase::ScannerBase;

  const uint8_t* next(const uint8_t* p, const uint8_t* end) const {
    const uint8_t* after = p;
    uint8_t cls = class_at(p, after);
    if (cls & kLetter) return run<kLetter>(after, end);
    if (cls & kSpace) {
      if (*p != ' ' || after == end) return spaces(p, end);
      const uint8_t* after_second = after;
      const uint8_t second = class_at(after, after_second);
      if (second & kLetter) return run<kLetter>(after_second, end);
      if (second & kSpace) return spaces(p, end);
      if (second & kDigit) return kSplitDigits ? after : run<kDigit>(after_second, end);
      return run<kWordly, true>(after_second, end);
    }
    if (cls & kDigit) return kSplitDigits ? after : run<kDigit>(after, end);
    if (*p == '\'') {
      if (const int n = contraction(after, end)) return after + n;
    }
    return run<kWordly, true>(after, end);
  }

 private:
  static constexpr uint8_t kDigit = kSplitDigits ? kRustNumeric : kNumber;
  static constexpr uint8_t kWordly = kLetter | kSpace | kDigit;

  static int contraction(const uint8_t* p, const uint8_t* end) {
    if (p == end) return 0;
    if (*p == 's' || *p == 't' || *p == 'm' || *p == 'd') return 1;
    if (end - p < 2) return 0;
    return (p[1] == 'e' && (*p == 'r' || *p == 'v')) || (p[0] == 'l' && p[1] == 'l') ? 2 : 0;
  }
  const uint8_t* spaces(const uint8_t* p, const uint8_t* end) const {
    const uint8_t* last = p;
    const uint8_t* q = p;
    const uint8_t* after = p;
    uint8_t cls = 0;
    while (q < end && ((cls = class_at(q, after)) & kSpace)) {
      last = q;
      q = after;
    }
    if (q == end || (kSplitDigits && (cls & kDigit)) || last == p) return q;
    return last;
  }
};

/// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,kMaxDigits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
/// (Llama 3 with three digits, Qwen 2 with one).
template <int kMaxDigits>
class Llama3Scanner : public ScannerBase {
 public:
  using ScannerBase::ScannerBase;

  const uint8_t* next(const uint8_t* p, const uint8_t* end) const {
    const uint8_t* after = p;
    const uint8_t cls = class_at(p, after);
    if (cls & kLetter) return run<kLetter>(after, end);
    if (cls & kNumber) return digits(after, end);
    if (*p == '\'') {
      if (const int n = contraction(after, end)) return after + n;
    }
    if (*p != '\r' && *p != '\n' && after < end) {
      const uint8_t* after_second = after;
      const uint8_t second = class_at(after, after_second);
      if (second & kLetter) return run<kLetter>(after_second, end);
      if (*p == ' ' && !(second & kWordly)) return newlines(run<kWordly, true>(after_second, end), end);
    }
    if (cls & kSpace) return spaces(p, end);
    return newlines(run<kWordly, true>(after, end), end);
  }

 private:
  static constexpr uint8_t kWordly = kLetter | kSpace | kNumber;

  const uint8_t* digits(const uint8_t* p, const uint8_t* end) const {
    const uint8_t* after = p;
    for (int i = 1; i < kMaxDigits && p < end && (class_at(p, after) & kNumber); ++i) p = after;
    return p;
  }
  static const uint8_t* newlines(const uint8_t* p, const uint8_t* end) {
    while (p < end && (*p == '\r' || *p == '\n')) ++p;
    return p;
  }
  static int contraction(const uint8_t* p, const uint8_t* end) {
    if (p == end) return 0;
    const auto lower = [](uint8_t c) { return static_cast<uint8_t>(c | 0x20); };
    const uint8_t a = lower(p[0]);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 1;
    if (end - p < 2) return 0;
    if (p[0] == 0xC5 && p[1] == 0xBF) return 2;  // U+017F, the long s, folds to s
    const uint8_t b = lower(p[1]);
    return (b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l') ? 2 : 0;
  }
  const uint8_t* spaces(const uint8_t* p, const uint8_t* end) const {
    const uint8_t* last = p;
    const uint8_t* newline_end = nullptr;
    const uint8_t* q = p;
    const uint8_t* after = p;
    while (q < end && (class_at(q, after) & kSpace)) {
      if (*q == '\r' || *q == '\n') newline_end = after;
      last = q;
      q = after;
    }
    if (newline_end) return newline_end;
    return q == end || last == p ? q : last;
  }
};

/// HF's Digits: every numeric character alone, or in runs; and what is between them.
template <bool kIndividual>
class DigitsScanner : public ScannerBase {
 public:
  using ScannerBase::ScannerBase;
  const uint8_t* next(const uint8_t* p, const uint8_t* end) const {
    const uint8_t* after = p;
    if (!(class_at(p, after) & kRustNumeric)) return run<kRustNumeric, true>(after, end);
    return kIndividual ? after : run<kRustNumeric>(after, end);
  }
};

}  // namespace tenfold
