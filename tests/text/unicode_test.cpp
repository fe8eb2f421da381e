#include "text/unicode.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace tenfold {
namespace {

std::string utf8(std::initializer_list<uint32_t> points) {
  std::string out;
  for (const uint32_t c : points) append_utf8(out, c);
  return out;
}

// Counts from tokenizers 0.23.3 (dev/make_tokenizer_goldens.py classes): the whole of Unicode, not samples.
TEST(UnicodeClasses, CountsEqualHuggingFaceTokenizers) {
  const UnicodeClasses& classes = unicode_classes();
  int64_t letters = 0;
  int64_t numbers = 0;
  int64_t spaces = 0;
  int64_t numeric = 0;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    letters += (classes[c] & kLetter) != 0;
    numbers += (classes[c] & kNumber) != 0;
    spaces += (classes[c] & kSpace) != 0;
    numeric += (classes[c] & kRustNumeric) != 0;
  }
  EXPECT_EQ(letters, 141028);
  EXPECT_EQ(numbers, 1911);
  EXPECT_EQ(spaces, 25);
  EXPECT_EQ(numeric, 1924);
}

TEST(UnicodeClasses, Samples) {
  const UnicodeClasses& classes = unicode_classes();
  constexpr uint8_t kAll = kLetter | kNumber | kSpace;
  for (const uint32_t c : {0x61U, 0xAAU, 0x17FU, 0x4E00U, 0x2EBF0U}) EXPECT_EQ(classes[c] & kAll, kLetter) << c;
  for (const uint32_t c : {0x30U, 0xBDU, 0xB2U, 0x663U, 0x2167U, 0x3007U}) EXPECT_EQ(classes[c] & kAll, kNumber) << c;
  for (const uint32_t c : {0x9U, 0xBU, 0x20U, 0x85U, 0xA0U, 0x2003U, 0x3000U}) EXPECT_EQ(classes[c] & kAll, kSpace) << c;
  for (const uint32_t c : {0x0U, 0x1CU, 0x21U, 0x301U, 0x180EU, 0x200BU, 0xFEFFU, 0x1F600U, 0x10FFFFU})
    EXPECT_EQ(classes[c] & kAll, 0) << c;
  EXPECT_EQ(classes[0x11DE0] & (kNumber | kRustNumeric), kRustNumeric);
  EXPECT_EQ(classes.ascii(0x80), UnicodeClasses::kNotAscii);
}

TEST(Utf8, CodePointsRoundTrip) {
  for (const uint32_t c : {0x0U, 0x7FU, 0x80U, 0x7FFU, 0x800U, 0xD7FFU, 0xE000U, 0xFFFFU, 0x10000U, 0x10FFFFU}) {
    const std::string text = utf8({c});
    EXPECT_EQ(valid_utf8_prefix(text), text.size()) << c;
    const auto* p = reinterpret_cast<const uint8_t*>(text.data());
    EXPECT_EQ(next_code_point(p), c);
    EXPECT_EQ(p, reinterpret_cast<const uint8_t*>(text.data()) + text.size());
  }
}

// The examples of Rust's String::from_utf8_lossy and of Unicode's table 3-8 (maximal subparts).
TEST(Utf8, LossyReplacesMaximalSubparts) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(utf8_lossy("Hello \xF0\x90\x80World"), "Hello " + r + "World");
  EXPECT_EQ(utf8_lossy("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(utf8_lossy("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(utf8_lossy("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(utf8_lossy("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
  EXPECT_EQ(utf8_lossy("abc\xE2\x82"), "abc" + r);
  EXPECT_EQ(utf8_lossy(""), "");
  // Past the eight-byte steps of the ASCII path.
  EXPECT_EQ(utf8_lossy("0123456789\xFF"
                       "0123456789"),
            "0123456789" + r + "0123456789");
}

TEST(Utf8, TakesOnlyWhatIsComplete) {
  std::string pending = "a\xF0\x9F\x98";
  EXPECT_EQ(take_complete_utf8(pending), "a");
  EXPECT_EQ(pending, "\xF0\x9F\x98");
  pending += "\x80z";
  EXPECT_EQ(take_complete_utf8(pending), "\xF0\x9F\x98\x80z");
  EXPECT_TRUE(pending.empty());
  pending = "\xF0\x9Fx\xC3";
  EXPECT_EQ(take_complete_utf8(pending), "\xEF\xBF\xBDx");
  EXPECT_EQ(pending, "\xC3");
}

TEST(Nfc, ComposesAndOrders) {
  EXPECT_EQ(normalize_nfc("cafe\xCC\x81"), "caf\xC3\xA9");
  EXPECT_EQ(normalize_nfc(utf8({'a', 0x301, 0x328})), utf8({0x105, 0x301}));  // marks change places, then a + ogonek
  EXPECT_EQ(normalize_nfc(utf8({0x1100, 0x1161, 0x11A8})), utf8({0xAC01}));   // Hangul
  EXPECT_EQ(normalize_nfc(utf8({0x2126, 0x212B})), utf8({0x3A9, 0xC5}));      // singletons
  EXPECT_EQ(normalize_nfc(utf8({0x958})), utf8({0x915, 0x93C}));              // composition exclusion
  EXPECT_EQ(normalize_nfc(std::string("a\0b", 3)), std::string("a\0b", 3));
  EXPECT_EQ(normalize_nfc(""), "");
  // HF's tables do not know U+08D2 as a mark (class 220): it neither moves before U+0301 nor lets it through to the a.
  EXPECT_EQ(normalize_nfc(utf8({'x', 0x301, 0x8D2})), utf8({'x', 0x301, 0x8D2}));
  EXPECT_EQ(normalize_nfc(utf8({'a', 0x8D2, 0x301})), utf8({'a', 0x8D2, 0x301}));
}

TEST(Nfc, InertTextIsLeftAlone) {
  EXPECT_FALSE(may_need_nfc("plain \xE2\x80\x9Cquotes\xE2\x80\x9D caf\xC3\xA9 \xE4\xB8\xAD\xEA\xB0\x81\xF0\x9F\x98\x80"));
  EXPECT_TRUE(may_need_nfc("cafe\xCC\x81"));
  EXPECT_TRUE(may_need_nfc(utf8({0x2126})));
  EXPECT_TRUE(may_need_nfc(utf8({0x1100, 0x1161})));
  // Every character called inert is its own normal form.
  for (uint32_t c = 1; c < 0x110000; ++c) {
    if ((c >= 0xD800 && c < 0xE000) || !(unicode_classes()[c] & kNfcInert)) continue;
    const std::string text = utf8({c});
    ASSERT_EQ(normalize_nfc(text), text) << c;
  }
}

TEST(Nfc, LongRunOfMarksIsNotQuadratic) {
  std::string text = "a";
  for (int i = 0; i < 200000; ++i) text += i % 2 ? "\xCC\xA8" : "\xCC\x81";  // U+0328 belongs before U+0301
  const auto start = std::chrono::steady_clock::now();
  const std::string out = normalize_nfc(text);
  EXPECT_EQ(out.size(), text.size() - 1);  // a + ogonek became one character of two bytes
  // Swapping neighbours takes 10^10 steps; sorting takes milliseconds.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(ByteMap, IsReversibleAndRefusesOthers) {
  const ByteMap map;
  std::string out = "x";
  EXPECT_TRUE(map.to_bytes("\xC4\xA0the\xC4\x8A", out));  // U+0120 is the space, U+010A the newline
  EXPECT_EQ(out, "x the\n");
  EXPECT_FALSE(map.to_bytes("a b", out));
  EXPECT_EQ(out, "x the\n");
  EXPECT_FALSE(map.to_bytes("\xE4\xB8\xAD", out));
  std::vector<int> seen(256);
  for (uint32_t c = 0; c < 0x200; ++c)
    if (map.byte_of(c) >= 0) ++seen[static_cast<size_t>(map.byte_of(c))];
  EXPECT_EQ(seen, std::vector<int>(256, 1));
}

}  // namespace
}  // namespace tenfold
