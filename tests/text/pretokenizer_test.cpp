#include "text/pretokenizer.h"

#include "core/error.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace tenfold {
namespace {

using Words = std::vector<std::string>;
using Step = PreTokenizer::Step;

Words words_of(const PreTokenizer& pre, std::string_view text) {
  Words words;
  pre.for_each_word(text, [&](const uint8_t* p, const uint8_t* q) { words.emplace_back(p, q); });
  return words;
}

Words split(Step step, std::string_view text) {
  PreTokenizer pre;
  pre.add(step);
  return words_of(pre, text);
}

TEST(PreTokenizer, Gpt2) {
  EXPECT_EQ(split(Step::kGpt2, "Hello  world's 123!"), (Words{"Hello", " ", " world", "'s", " 123", "!"}));
  EXPECT_EQ(split(Step::kGpt2, "a \n b"), (Words{"a", " \n", " b"}));
  EXPECT_EQ(split(Step::kGpt2, "x   "), (Words{"x", "   "}));
  EXPECT_EQ(split(Step::kGpt2, "'S've"), (Words{"'", "S", "'ve"}));
  EXPECT_EQ(split(Step::kGpt2, "  5"), (Words{" ", " 5"}));
  EXPECT_EQ(split(Step::kGpt2, ""), Words{});
}

TEST(PreTokenizer, DigitsStandAlone) {
  EXPECT_EQ(split(Step::kGpt2SplitDigits, "a12  5"), (Words{"a", "1", "2", "  ", "5"}));
  EXPECT_EQ(split(Step::kGpt2SplitDigits, "x\xC2\xBDy \xC2\xBD"), (Words{"x", "\xC2\xBD", "y", " ", "\xC2\xBD"}));
}

TEST(PreTokenizer, Llama3) {
  EXPECT_EQ(split(Step::kLlama3, "It'S 12345\t\tx"), (Words{"It", "'S", " ", "123", "45", "\t", "\tx"}));
  EXPECT_EQ(split(Step::kLlama3, "a  \n \n  b"), (Words{"a", "  \n \n", " ", " b"}));
  EXPECT_EQ(split(Step::kLlama3, "!\n\nz (y)"), (Words{"!\n\n", "z", " (", "y", ")"}));
  EXPECT_EQ(split(Step::kLlama3, "'\xC5\xBFx"), (Words{"'\xC5\xBF", "x"}));
  EXPECT_EQ(split(Step::kQwen2, "123"), (Words{"1", "2", "3"}));
}

TEST(PreTokenizer, DigitSteps) {
  EXPECT_EQ(split(Step::kDigitsAlone, "ab12c"), (Words{"ab", "1", "2", "c"}));
  EXPECT_EQ(split(Step::kDigitsRuns, "ab12c"), (Words{"ab", "12", "c"}));
}

TEST(PreTokenizer, DigitsThenGpt2IsOneScanner) {
  PreTokenizer pre;
  pre.add(Step::kDigitsAlone);
  pre.add(Step::kGpt2);
  EXPECT_EQ(pre.steps(), std::vector<Step>{Step::kGpt2SplitDigits});
}

TEST(PreTokenizer, KnownPatternsGetScanners) {
  PreTokenizer pre;
  pre.add_split(kGpt2Pattern, "t");
  pre.add_split(kLlama3Pattern, "t");
  pre.add_split(kQwen2Pattern, "t");
  pre.add_split("[a-z]+", "t");
  EXPECT_EQ(pre.steps(), (std::vector<Step>{Step::kGpt2, Step::kLlama3, Step::kQwen2, Step::kRegex}));
}

TEST(PreTokenizer, RegexKeepsGapsAndEmptyMatchesEnd) {
  PreTokenizer pre;
  pre.add_split("[a-z]+", "t");
  EXPECT_EQ(words_of(pre, "12ab..cd"), (Words{"12", "ab", "..", "cd"}));
  EXPECT_EQ(words_of(pre, "12"), Words{"12"});
  PreTokenizer empty;
  empty.add_split("x*", "t");
  EXPECT_EQ(words_of(empty, "ab\xC3\xA9xxc"), (Words{"a", "b", "\xC3\xA9", "xx", "c"}));  // as HF cuts it
  PreTokenizer literal;
  literal.add_literal_split("a.", "t");
  EXPECT_EQ(words_of(literal, "aba.b"), (Words{"ab", "a.", "b"}));
}

// U+180E is no space for Oniguruma, but is for PCRE2.
TEST(PreTokenizer, RegexSpacesAreThoseOfUnicode) {
  const std::string mvs = "\xE1\xA0\x8E";
  for (const char* pattern : {R"(\s+)", R"([\s]+)", R"([^\S]+)", R"((?!\S)(?:.|\n))"}) {
    const bool negated_class = std::string_view(pattern) == R"([^\S]+)";  // \S within a class stays PCRE2's
    PreTokenizer pre;
    pre.add_split(pattern, "t");
    EXPECT_EQ(words_of(pre, "a" + mvs +
                                "b\xE2\x80\x83"
                                "c")
                  .size(),
              negated_class ? 5u : 3u)
        << pattern;
  }
  PreTokenizer classes;
  classes.add_split(R"([[:digit:]\s\]x]+|\[)", "t");
  EXPECT_EQ(words_of(classes, "a1 ]xb[s"), (Words{"a", "1 ]x", "b", "[", "s"}));
}

TEST(PreTokenizer, StepsNest) {
  PreTokenizer pre;
  pre.add_split("-", "t");
  pre.add_split("[xy]", "t");
  pre.add(Step::kGpt2);
  EXPECT_EQ(words_of(pre, "ax b-1y2"), (Words{"a", "x", " b", "-", "1", "y", "2"}));
}

TEST(PreTokenizer, BadPatternIsAnInputError) {
  PreTokenizer pre;
  try {
    pre.add_split("a(", "file.json: pre_tokenizer");
    FAIL() << "accepted";
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("file.json: pre_tokenizer"), std::string::npos) << e.what();
  }
}

// The scanners against the regexes themselves, run by PCRE2, on mixtures of everything that they branch on (characters whose
// class PCRE2's older Unicode agrees on).
class ScannerAgainstRegex : public testing::TestWithParam<Step> {};

TEST_P(ScannerAgainstRegex, SameWords) {
  const Step step = GetParam();
  const SplitRegex regex(step == Step::kGpt2 ? kGpt2Pattern : step == Step::kLlama3 ? kLlama3Pattern : kQwen2Pattern, false, "t");
  const Words atoms = {" ",
                       "  ",
                       "\n",
                       "\r",
                       "\r\n",
                       "\t",
                       "'",
                       "'s",
                       "'LL",
                       "'rE",
                       "'d",
                       "r",
                       "e",
                       "a",
                       "Bc",
                       "1",
                       "23",
                       ".",
                       "!",
                       "\xC2\xA0",
                       "\xC2\x85",
                       "\xC3\xA9",
                       "_",
                       "l",
                       "V",
                       "s",
                       "\xE4\xB8\xAD",
                       "\xC2\xBD",
                       "\xCC\x81",
                       "\xF0\x9F\x98\x80",
                       "\xC5\xBF",
                       "\xE2\x80\xA8",
                       "\xE3\x80\x80",
                       std::string(1, '\0')};
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    const size_t length = 1 + random() % 12;
    for (size_t i = 0; i < length; ++i) text += atoms[random() % atoms.size()];
    Words expected;
    size_t begin = 0;
    for (const size_t end : regex.cut(text)) {
      expected.push_back(text.substr(begin, end - begin));
      begin = end;
    }
    ASSERT_EQ(split(step, text), expected) << testing::PrintToString(text);
  }
}

INSTANTIATE_TEST_SUITE_P(Patterns, ScannerAgainstRegex, testing::Values(Step::kGpt2, Step::kLlama3, Step::kQwen2));

}  // namespace
}  // namespace tenfold
