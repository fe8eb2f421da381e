#include "text/unicode.h"

#include "core/error.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <map>

namespace tenfold {
namespace {

constexpr uint32_t kCodePoints = 0x110000;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Range {
  uint32_t first;
  uint32_t last;
};

// Assigned in Unicode 15.1 and 16, which Debian's utf8proc 2.8 (Unicode 15) does not know. Found by asking tokenizers 0.23.3 for
// every code point (dev/make_tokenizer_goldens.py, mode classes).
constexpr Range kNewLetters[] = {
    {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3}, {0x10D4A, 0x10D65}, {0x10D6F, 0x10D85},
    {0x10EC2, 0x10EC4}, {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5}, {0x113B7, 0x113B7},
    {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0}, {0x13460, 0x143FA}, {0x16100, 0x1611D}, {0x16D40, 0x16D6C},
    {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED}, {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}};
constexpr Range kNewNumbers[] = {{0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9}, {0x16130, 0x16139},
                                 {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9}, {0x1E5F1, 0x1E5FA}};
// Numeric for Rust (Unicode 17) but not yet for Oniguruma.
constexpr Range kRustOnlyNumbers[] = {{0x11DE0, 0x11DE9}, {0x16FF4, 0x16FF6}};
// White_Space, the same in both.
constexpr Range kSpaces[] = {{0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
                             {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};

// Marks that HF's NFC, whose tables are older, takes for ordinary characters: nothing moves or composes across them. Found by
// asking tokenizers 0.23.3 for every mark that utf8proc 2.8 knows (and U+11930, which composes since Unicode 13); ids equal to
// HF's matter more here than the newest Unicode.
constexpr Range kMarksNotInNfc[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},     {0xD3B, 0xD3C},
    {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x10D24, 0x10D27},
    {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
    {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11930}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
    {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97},
    {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1E4EC, 0x1E4EF}};

bool is_mark_not_in_nfc(uint32_t code_point) {
  const auto* range = std::upper_bound(std::begin(kMarksNotInNfc), std::end(kMarksNotInNfc), code_point,
                                       [](uint32_t c, const Range& r) { return c < r.first; });
  return range != std::begin(kMarksNotInNfc) && code_point <= (range - 1)->last;
}

uint8_t class_from_category(uint32_t code_point) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return kNumber | kRustNumeric;
    default: return 0;
  }
}

void append_decomposition(std::vector<utf8proc_int32_t>& out, uint32_t code_point) {
  std::array<utf8proc_int32_t, 8> parts;  // no canonical decomposition is longer than four
  int boundary = 0;
  const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point), parts.data(), parts.size(),
                                         static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE), &boundary);
  TENFOLD_CHECK(n >= 0 && n <= std::ssize(parts), "utf8proc decomposes U+{:04X} into {}", code_point, n);
  out.insert(out.end(), parts.begin(), parts.begin() + n);
}

int combining_class(utf8proc_int32_t code_point) { return utf8proc_get_property(code_point)->combining_class; }

// Canonical order. Not utf8proc_map's way of swapping neighbours, which a long run of marks makes quadratic.
void order_marks(std::vector<utf8proc_int32_t>& text) {
  const auto is_starter = [](auto c) { return combining_class(c) == 0; };
  for (auto run = text.begin(); run != text.end();) {
    if (is_starter(*run)) {
      ++run;
      continue;
    }
    const auto stop = std::find_if(run, text.end(), is_starter);
    std::stable_sort(run, stop, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    run = stop;
  }
}

// Puts a canonically ordered decomposition together again.
void compose(std::vector<utf8proc_int32_t>& text) {
  const auto n = utf8proc_normalize_utf32(text.data(), static_cast<utf8proc_ssize_t>(text.size()),
                                          static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  TENFOLD_CHECK(n >= 0, "utf8proc cannot compose: {}", utf8proc_errmsg(n));
  text.resize(static_cast<size_t>(n));
}

// Not a mark (which could combine with what is before it or change places), no Hangul vowel or final consonant, and what it
// decomposes into composes to itself.
bool is_nfc_inert(uint32_t code_point) {
  const auto* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(code_point));
  const bool mark = property->category == UTF8PROC_CATEGORY_MN || property->category == UTF8PROC_CATEGORY_MC ||
                    property->category == UTF8PROC_CATEGORY_ME || property->combining_class != 0;
  if (mark || (code_point >= 0x1160 && code_point < 0x1200)) return false;
  if (property->decomp_seqindex == UINT16_MAX || property->decomp_type != 0) return true;  // no canonical decomposition
  std::vector<utf8proc_int32_t> parts;
  append_decomposition(parts, code_point);
  compose(parts);
  return parts.size() == 1 && parts[0] == static_cast<utf8proc_int32_t>(code_point);
}

// Bytes of a well-formed sequence at `p` (n bytes left), or minus the length of the maximal ill-formed part; `complete` is false
// where the part is ill-formed only because the text ends.
int sequence_length(const uint8_t* p, size_t n, bool& complete) {
  complete = true;
  const uint8_t a = p[0];
  if (a < 0x80) return 1;
  int length = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  if (a >= 0xC2 && a <= 0xDF) {
    length = 2;
  } else if (a >= 0xE0 && a <= 0xEF) {
    length = 3;
    if (a == 0xE0) low = 0xA0;
    if (a == 0xED) high = 0x9F;
  } else if (a >= 0xF0 && a <= 0xF4) {
    length = 4;
    if (a == 0xF0) low = 0x90;
    if (a == 0xF4) high = 0x8F;
  } else {
    return -1;
  }
  for (int i = 1; i < length; ++i) {
    if (static_cast<size_t>(i) >= n) {
      complete = false;
      return -i;
    }
    if (p[i] < low || p[i] > high) return -i;
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

size_t ascii_prefix(const uint8_t* p, size_t n) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t word;
    std::memcpy(&word, p + i, 8);
    if (word & 0x8080808080808080ULL) break;
  }
  while (i < n && p[i] < 0x80) ++i;
  return i;
}

// Appends the text with U+FFFD for ill-formed parts; stops before an incomplete tail if `keep_tail`. Returns what was consumed.
size_t append_lossy(std::string& out, std::string_view text, bool keep_tail) {
  size_t i = 0;
  while (i < text.size()) {
    const size_t valid = valid_utf8_prefix(text.substr(i));
    out.append(text, i, valid);
    i += valid;
    if (i >= text.size()) break;
    bool complete = true;
    const int length = sequence_length(reinterpret_cast<const uint8_t*>(text.data()) + i, text.size() - i, complete);
    if (!complete && keep_tail) return i;
    out += kReplacement;
    i += static_cast<size_t>(-length);
  }
  return i;
}

}  // namespace

UnicodeClasses::UnicodeClasses() : block_of_(kCodePoints >> kShift) {
  std::vector<uint8_t> all(kCodePoints);
  for (uint32_t c = 0; c < kCodePoints; ++c)
    all[c] = static_cast<uint8_t>(class_from_category(c) | (is_nfc_inert(c) ? kNfcInert : 0));
  const auto mark = [&](const auto& ranges, int bits) {
    for (const Range& r : ranges)
      for (uint32_t c = r.first; c <= r.last; ++c) all[c] = static_cast<uint8_t>(all[c] | bits);
  };
  mark(kNewLetters, kLetter);
  mark(kNewNumbers, kNumber | kRustNumeric);
  mark(kRustOnlyNumbers, kRustNumeric);
  mark(kSpaces, kSpace);
  std::map<std::string_view, uint16_t> seen;
  for (uint32_t b = 0; b < block_of_.size(); ++b) {
    const std::string_view block(reinterpret_cast<const char*>(all.data()) + (b << kShift), 1U << kShift);
    const auto [it, added] = seen.emplace(block, static_cast<uint16_t>(seen.size()));
    if (added) blocks_.insert(blocks_.end(), block.begin(), block.end());
    block_of_[b] = it->second;
  }
  for (uint32_t c = 0; c < 256; ++c) ascii_[c] = c < 0x80 ? all[c] : kNotAscii;
}

const UnicodeClasses& unicode_classes() {
  static const UnicodeClasses classes;
  return classes;
}

void append_utf8(std::string& out, uint32_t code_point) {
  const auto push = [&](uint32_t byte) { out += static_cast<char>(static_cast<uint8_t>(byte)); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xC0 | (code_point >> 6));
    push(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    push(0xE0 | (code_point >> 12));
    push(0x80 | ((code_point >> 6) & 0x3F));
    push(0x80 | (code_point & 0x3F));
  } else {
    push(0xF0 | (code_point >> 18));
    push(0x80 | ((code_point >> 12) & 0x3F));
    push(0x80 | ((code_point >> 6) & 0x3F));
    push(0x80 | (code_point & 0x3F));
  }
}

size_t valid_utf8_prefix(std::string_view text) {
  const auto* p = reinterpret_cast<const uint8_t*>(text.data());
  size_t i = 0;
  while (i < text.size()) {
    i += ascii_prefix(p + i, text.size() - i);
    if (i >= text.size()) break;
    bool complete = true;
    const int length = sequence_length(p + i, text.size() - i, complete);
    if (length < 0) return i;
    i += static_cast<size_t>(length);
  }
  return i;
}

std::string utf8_lossy(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  append_lossy(out, text, false);
  return out;
}

std::u32string to_code_points(std::string_view text) {
  const std::string valid = utf8_lossy(text);
  std::u32string out;
  out.reserve(valid.size());
  const auto* p = reinterpret_cast<const uint8_t*>(valid.data());
  const auto* const end = p + valid.size();
  while (p < end) out.push_back(next_code_point(p));
  return out;
}

std::string take_complete_utf8(std::string& pending) {
  std::string out;
  pending.erase(0, append_lossy(out, pending, true));
  return out;
}

bool may_need_nfc(std::string_view text) {
  const UnicodeClasses& classes = unicode_classes();
  const auto* p = reinterpret_cast<const uint8_t*>(text.data());
  const auto* end = p + text.size();
  while (p < end) {
    p += ascii_prefix(p, static_cast<size_t>(end - p));
    if (p < end && !(classes[next_code_point(p)] & kNfcInert)) return true;
  }
  return false;
}

std::string normalize_nfc(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::vector<utf8proc_int32_t> points;
  const auto flush = [&] {
    order_marks(points);
    compose(points);
    for (const auto c : points) append_utf8(out, static_cast<uint32_t>(c));
    points.clear();
  };
  const auto* p = reinterpret_cast<const uint8_t*>(text.data());
  const auto* end = p + text.size();
  while (p < end) {
    const uint32_t c = next_code_point(p);
    if (is_mark_not_in_nfc(c)) {
      flush();
      append_utf8(out, c);
    } else if (c < 0xC0) {
      points.push_back(static_cast<utf8proc_int32_t>(c));
    } else {
      append_decomposition(points, c);
    }
  }
  flush();
  return out;
}

ByteMap::ByteMap() {
  byte_of_.fill(-1);
  uint32_t next = 0x100;
  for (uint32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    byte_of_[printable ? b : next++] = static_cast<int16_t>(b);
  }
}

bool ByteMap::to_bytes(std::string_view text, std::string& out) const {
  const size_t before = out.size();
  const auto* p = reinterpret_cast<const uint8_t*>(text.data());
  const auto* end = p + text.size();
  while (p < end) {
    const int byte = byte_of(next_code_point(p));
    if (byte < 0) {
      out.resize(before);
      return false;
    }
    out += static_cast<char>(byte);
  }
  return true;
}

}  // namespace tenfold
