#include "eval/metrics/fuzz.h"
#include "eval/metrics/numbers.h"
#include "eval/metrics/rouge.h"
#include "eval/metrics/segmenter.h"
#include "eval/metrics/sequence_matcher.h"
#include "eval/metrics/text.h"
#include "eval_fixture.h"
#include "text/case.h"

#include <cmath>

namespace tenfold {
namespace {

using test::golden;

/// Calls `check` for each golden line of a kind; fails when there are fewer than `least`.
void for_golden(std::string_view kind, int least, const std::function<void(const Json&)>& check) {
  int seen = 0;
  for_each_json_line(golden("metrics.jsonl"), [&](Json& line, int64_t) {
    if (json_string(line, "kind", "golden") != kind) return;
    ++seen;
    check(line);
  });
  EXPECT_GE(seen, least) << kind;
}

/// The package computes in the same order in doubles, so the numbers are equal, not close.
void expect_score(const RougeScore& got, const Json& want, const Json& line) {
  EXPECT_EQ(got.recall, want[0].get<double>()) << line.dump();
  EXPECT_EQ(got.precision, want[1].get<double>()) << line.dump();
  EXPECT_EQ(got.f, want[2].get<double>()) << line.dump();
}

TEST(Rouge, EqualsThePackage) {
  for_golden("rouge", 75, [](const Json& line) {
    const auto hyp = line.at("hyp").get<std::string>();
    const auto ref = line.at("ref").get<std::string>();
    expect_score(rouge_l(hyp, ref), line.at("rouge_l"), line);
    expect_score(rouge_n(hyp, ref, 1), line.at("rouge_1"), line);
    expect_score(rouge_n(hyp, ref, 2), line.at("rouge_2"), line);
  });
}

/// A piece of n words against m others without a word in common: the traceback walks m steps to the left and then stops.
std::string words(char letter, int n) {
  std::string text;
  for (int i = 0; i < n; ++i) text += fmt::format("{}{}{}", i == 0 ? "" : " ", letter, i);
  return text;
}

TEST(Rouge, StrictGivesUpPast985Steps) {
  // The first word is common, so every traceback ends at it: m - 1 steps left, then one diagonal step.
  const auto score = [](int m, RougeRecursion recursion) { return rouge_l("key " + words('y', m - 1), "key", recursion).f; };
  EXPECT_GT(score(985, RougeRecursion::kReference), 0);
  EXPECT_EQ(score(986, RougeRecursion::kReference), 0);
  EXPECT_GT(score(986, RougeRecursion::kNone), 0);
}

TEST(Rouge, LongTextsFitInMemory) {
  const std::string a = words('x', 3001);
  EXPECT_NEAR(rouge_l(a, a).f, 1.0, 1e-8);
  EXPECT_EQ(rouge_l(a, words('z', 2999)).f, 0.0);
}

TEST(Fuzz, EqualsThePackage) {
  for_golden("fuzz", 40, [](const Json& line) {
    EXPECT_EQ(fuzz_ratio(line.at("a").get<std::string>(), line.at("b").get<std::string>()), line.at("ratio").get<int>())
        << line.dump();
  });
}

TEST(Fuzz, LongTextsTakeLinearMemory) {
  const std::string a = words('x', 30000);
  EXPECT_EQ(fuzz_ratio(a, a + " x"), 100);
  EXPECT_EQ(fuzz_ratio(std::string(100001, 'a'), std::string(50000, 'a') + std::string(50001, 'b')), 50);
}

TEST(SequenceMatcher, EqualsDifflib) {
  for_golden("difflib", 45, [](const Json& line) {
    const SequenceMatcher matcher(line.at("b").get<std::string>());
    EXPECT_EQ(matcher.ratio(line.at("a").get<std::string>()), line.at("ratio").get<double>()) << line.dump();
  });
}

TEST(Text, CasesAsPython) {
  for_golden("case", 30, [](const Json& line) {
    const auto text = line.at("text").get<std::string>();
    EXPECT_EQ(lower_case(text), line.at("lower").get<std::string>()) << text;
    EXPECT_EQ(upper_case(text), line.at("upper").get<std::string>()) << text;
  });
  EXPECT_EQ(lower_case("A\xFF"), "a\uFFFD");
}

TEST(Text, WordCharactersAsPython) {
  for_golden("words", 1, [](const Json& line) {
    bool inside = false;
    auto edge = line.at("edges").begin();
    for (char32_t c = 0; c <= 0x1C7F; ++c) {
      if (edge != line.at("edges").end() && edge->get<int64_t>() == static_cast<int64_t>(c)) {
        inside = !inside;
        ++edge;
      }
      ASSERT_EQ(is_word_character(c), inside) << std::hex << static_cast<uint32_t>(c);
    }
  });
}

TEST(Segmenter, EqualsJieba) {
  const std::string directory = test::jieba_directory();
  if (directory.empty()) GTEST_SKIP() << test::kNoJieba;
  const Segmenter segmenter(directory);
  for_golden("cut", 85, [&](const Json& line) {
    const auto text = line.at("text").get<std::string>();
    const auto got = segmenter.cut(text);
    EXPECT_EQ(std::vector<std::string>(got.begin(), got.end()), line.at("words").get<std::vector<std::string>>()) << text;
  });
}

void expect_contains(const std::string& text, std::string_view part) { EXPECT_NE(text.find(part), std::string::npos) << text; }

/// A small package of tables in jieba's form; `emit` stands for prob_emit.py.
void write_tables(const test::TemporaryDirectory& folder, const std::string& dictionary, const std::string& emit) {
  std::filesystem::create_directories(folder.file("finalseg"));
  test::write(folder.file("dict.txt"), dictionary);
  test::write(folder.file("finalseg/prob_start.py"), "P={'B': -0.3,\n 'E': -3.14e+100,\n 'M': -3.14e+100,\n 'S': -1.5}\n");
  test::write(folder.file("finalseg/prob_trans.py"),
              "P={'B': {'E': -0.5, 'M': -0.9},\n 'E': {'B': -0.6, 'S': -0.8},\n 'M': {'E': -0.3, 'M': -1.3},\n 'S': {'B': -0.7, "
              "'S': -0.7}}\n");
  test::write(folder.file("finalseg/prob_emit.py"), emit);
}

TEST(Segmenter, NamesWhatIsWrongWithItsTables) {
  const test::TemporaryDirectory folder;
  const auto refusal = [&] { return test::input_error([&] { Segmenter(folder.path()); }); };
  expect_contains(refusal(), "dict.txt: not found");
  const std::string emit =
      "from __future__ import unicode_literals\n\nP={'B': {'\\u4e00': -3.6},\n'E': {},\n'M': {},\n'S': {'\\u4e00': -2.0}}\n";
  write_tables(folder, "\xE4\xB8\x80 5 m\n\xE4\xB8\x80\xE4\xB8\x80 many m\n", emit);
  expect_contains(refusal(), "dict.txt:2: expected a word, a space and how often it occurs");
  write_tables(folder, "\xE4\xB8 5 m\n", emit);
  expect_contains(refusal(), "dict.txt:1: expected UTF-8");
  const std::string dictionary = "\xE4\xB8\x80 1 m\n\xE4\xB8\x80\xE4\xB8\x80 9 m\n";
  write_tables(folder, dictionary, "Q = 3\n");
  expect_contains(refusal(), "prob_emit.py: expected a line P={...}");
  write_tables(folder, dictionary, "\nP={'B': {'\\u4e00': }}\n");
  expect_contains(refusal(), "prob_emit.py:2:");
  write_tables(folder, dictionary, "P={'B': {'\\u4e00\\u4e00': -1.0}, 'M': {}, 'E': {}, 'S': {}}\n");
  expect_contains(refusal(), "expected one character and a number");
  write_tables(folder, dictionary, "P={'B': {}}\n");
  expect_contains(refusal(), "expected the states B, M, E, S");
  write_tables(folder, dictionary, emit);
  const Segmenter segmenter(folder.path());
  const auto words = segmenter.cut("\xE4\xB8\x80\xE4\xB8\x80 a");
  EXPECT_EQ(std::vector<std::string>(words.begin(), words.end()),
            (std::vector<std::string>{"\xE4\xB8\x80\xE4\xB8\x80", " ", "a"}));
}

TEST(Numbers, RoundAsPython) {
  for_golden("round", 20, [](const Json& line) {
    const auto x = line.at("x").get<double>();
    EXPECT_EQ(python_round(x, 2), line.at("r2").get<double>()) << line.dump();
    EXPECT_EQ(python_round(x, 4), line.at("r4").get<double>()) << line.dump();
    if (std::fabs(x) < 4e18) {
      EXPECT_EQ(python_round(x), line.at("r0").get<int64_t>()) << line.dump();
    }
    EXPECT_EQ(python_repr(x), line.at("text").get<std::string>());
  });
}

TEST(Numbers, ReprAsPython) {
  for_golden("repr", 9,
             [](const Json& line) { EXPECT_EQ(python_repr(line.at("x").get<double>()), line.at("text").get<std::string>()); });
  EXPECT_EQ(python_repr(0.0), "0.0");
  EXPECT_EQ(python_repr(-0.0), "-0.0");
  EXPECT_EQ(python_repr(std::nan("")), "nan");
  EXPECT_EQ(python_repr(-INFINITY), "-inf");
}

TEST(Numbers, Wilson) {
  for_golden("wilson", 5, [](const Json& line) {
    const Interval got = wilson_interval(line.at("hits").get<int64_t>(), line.at("total").get<int64_t>());
    // A dozen operations on numbers of order one, each within 2^-53.
    EXPECT_NEAR(got.low, line.at("low").get<double>(), 1e-14);
    EXPECT_NEAR(got.high, line.at("high").get<double>(), 1e-14);
  });
  EXPECT_EQ(wilson_interval(0, 0).low, 0.0);
  EXPECT_EQ(wilson_interval(0, 0).high, 1.0);
}

TEST(Text, AsPythonStrings) {
  for_golden("text", 9, [](const Json& line) {
    const auto text = line.at("text").get<std::string>();
    const auto got = split_words(text);
    EXPECT_EQ(std::vector<std::string>(got.begin(), got.end()), line.at("words").get<std::vector<std::string>>()) << line.dump();
    EXPECT_EQ(strip(text), line.at("strip").get<std::string>());
    EXPECT_EQ(first_digits(text), line.at("digits").get<std::string>());
    EXPECT_EQ(std::ssize(to_code_points(text)), line.at("points").get<int64_t>());
  });
}

TEST(Text, IllFormedBytesAreNoSpaceAndNoCrash) {
  const std::string text = "a\xC2 b\xE3\x80 12\xF0\x9F";
  EXPECT_EQ(split_words(text).size(), 3U);
  EXPECT_EQ(first_digits(text), "12");
  EXPECT_EQ(to_code_points("\xF0\x9F"), U"\uFFFD");
  EXPECT_EQ(fuzz_ratio("\xFF", "\xFE"), 100);  // both read as U+FFFD
}

}  // namespace
}  // namespace tenfold
