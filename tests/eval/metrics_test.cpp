#include "eval/metrics/fuzz.h"
#include "eval/metrics/numbers.h"
#include "eval/metrics/rouge.h"
#include "eval/metrics/text.h"
#include "eval_fixture.h"

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
