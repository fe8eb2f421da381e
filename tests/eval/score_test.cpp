#include "eval/metrics/score.h"
#include "eval_fixture.h"

#include <cmath>
#include <random>
#include <set>

namespace tenfold {
namespace {

using namespace std::string_literals;
using test::golden;
using test::input_error;

/// A text, or one by rule (dev/make_case_goldens.py): words w0, w1, w4, w9 ... of a modulus, a full stop after every `stop`.
Json expanded(const Json& text) {
  if (!text.is_object()) return text;
  const auto count = text.at("count").get<int64_t>();
  const auto modulus = text.at("modulus").get<int64_t>();
  const auto stop = text.at("stop").get<int64_t>();
  std::string out;
  for (int64_t i = 0; i < count; ++i) {
    out += fmt::format("{}w{}{}", i == 0 ? "" : " ", i * i % modulus, stop > 0 && i % stop == stop - 1 ? "." : "");
  }
  return out;
}

/// Whether a score is the wanted one: numbers to 1e-9 (a NaN never is), texts and null exactly, objects member by member.
bool same(const Json& got, const Json& want) {
  if (want.is_number()) return got.is_number() && std::fabs(got.get<double>() - want.get<double>()) <= 1e-9;
  if (!want.is_object()) return got == want;
  if (!got.is_object() || got.size() != want.size()) return false;
  for (const auto& [key, value] : want.items()) {
    if (!got.contains(key) || !same(got.at(key), value)) return false;
  }
  return true;
}

TEST(Same, FailsOnWhatIsNotEqual) {
  EXPECT_TRUE(same(0.5, 0.5 + 1e-10));
  EXPECT_FALSE(same(0.5, 0.5 + 1e-8));
  EXPECT_FALSE(same(std::nan(""), 0.5));
  EXPECT_FALSE(same(0.5, std::nan("")));
  EXPECT_FALSE(same(std::nan(""), std::nan("")));
  EXPECT_FALSE(same(nullptr, 0.0));
  EXPECT_FALSE(same("a", "b"));
  EXPECT_FALSE(same({{"x", 1.0}}, {{"y", 1.0}}));
  EXPECT_FALSE(same({{"x", 1.0}, {"y", 2.0}}, {{"x", 1.0}}));
}

bool is_chinese(std::string_view metric) { return metric == "longbench.qa_f1_zh_score" || metric == "longbench.rouge_zh_score"; }

/// Every golden case, of the Chinese metrics or of all others, in both modes.
void check_cases(bool chinese, const std::string& jieba, int least) {
  Scorer usual({.strict_reference = false, .jieba_directory = jieba});
  Scorer strict({.strict_reference = true, .jieba_directory = jieba});
  int seen = 0;
  std::set<std::string> metrics;
  for_each_json_line(golden("metric_cases.jsonl"), [&](Json& line, int64_t number) {
    if (line.contains("made_by")) return;
    line["prediction"] = expanded(line["prediction"]);
    for (Json& reference : line["references"]) reference = expanded(reference);
    const MetricCase item = Scorer::read(line, "", fmt::format("case {}", number));
    if (is_chinese(item.metric) != chinese) return;
    ++seen;
    metrics.insert(item.metric);
    const Json got = usual.score(item);
    EXPECT_TRUE(same(got, line["score"])) << got << " for " << line.dump().substr(0, 1000);
    const Json got_strict = strict.score(item);
    EXPECT_TRUE(same(got_strict, line.contains("strict_score") ? line["strict_score"] : line["score"]))
        << "strict: " << got_strict << " for " << line.dump().substr(0, 1000);
  });
  EXPECT_GE(seen, least);
  EXPECT_EQ(metrics.size(), chinese ? 2U : Scorer::names().size() - 2);
}

TEST(Score, EqualsTheOriginals) { check_cases(false, "", 1500); }

TEST(Score, ChineseEqualsTheOriginals) {
  const std::string jieba = test::jieba_directory();
  if (jieba.empty()) GTEST_SKIP() << test::kNoJieba;
  check_cases(true, jieba, 150);
}

/// Whatever a model writes, every metric gives numbers within its range, and at once.
TEST(Score, AnyTextIsScored) {
  const std::vector<std::string> pieces = {"a",
                                           "The",
                                           " ",
                                           "\n",
                                           ".",
                                           "5",
                                           "\xCE\xA3",
                                           "\xE6\x98\xAF",
                                           "\xF0\x9F\x98\x80",
                                           "answer is",
                                           ":",
                                           "A",
                                           "\xFF",
                                           "\xE6",
                                           "\0"s,
                                           "//",
                                           "`",
                                           "Paragraph 5",
                                           "_",
                                           "\xC2\xA0",
                                           "option",
                                           "-",
                                           "\xD9\xA3"};
  std::mt19937 rng(5);
  const auto text = [&](int most) {
    std::string out;
    for (int n = static_cast<int>(rng() % static_cast<unsigned>(most)); n > 0; --n) out += pieces[rng() % pieces.size()];
    return out;
  };
  Scorer scorer({.strict_reference = false, .jieba_directory = test::jieba_directory()});
  const auto check = [](const Json& score, std::string_view metric) {
    if (!score.is_number()) return;
    EXPECT_TRUE(score.get<double>() >= 0 && score.get<double>() <= 100) << metric << " " << score;
  };
  for (const std::string_view metric : Scorer::names()) {
    if (is_chinese(metric) && test::jieba_directory().empty()) continue;
    const bool numbers = metric == "infbench.math_find" || metric == "infbench.math_calc" || metric == "infbench.code_run";
    for (int i = 0; i < 60; ++i) {
      MetricCase item{std::string(metric), text(i < 55 ? 30 : 2000), {}, {text(5), text(5), "A"}};
      for (int n = 2; n > 0; --n) item.references.push_back(numbers ? Json(5.5 * n) : Json(text(6)));
      const Json score = scorer.score(item);
      check(score, metric);
      if (score.is_object()) {
        for (const auto& [key, value] : score.items()) check(value, metric);
      }
    }
  }
}

TEST(Score, ChineseWithoutTablesIsRefusedAndTheRestIsNot) {
  const test::TemporaryDirectory empty;
  Scorer scorer({.strict_reference = false, .jieba_directory = empty.path()});
  const std::string message = input_error([&] { scorer.score({"longbench.rouge_zh_score", "a", {"a"}, {}}); });
  EXPECT_NE(message.find("longbench.rouge_zh_score: "), std::string::npos) << message;
  EXPECT_NE(message.find("python3-jieba"), std::string::npos) << message;
  EXPECT_EQ(scorer.score({"longbench.qa_f1_score", "a b", {"b"}, {}}), 1.0);
}

TEST(Score, NamesWhatIsWrongWithACase) {
  const auto refusal = [](std::string_view text) {
    return input_error([&] { Scorer::read(parse_json(text, "text"), "", "cases.jsonl:3"); });
  };
  const auto expect = [&](std::string_view text, std::string_view part) {
    const std::string message = refusal(text);
    EXPECT_TRUE(message.starts_with("cases.jsonl:3: ")) << message;
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect(R"({"prediction": "a", "references": []})", "metric: missing");
  expect(R"({"metric": 1, "prediction": "a", "references": []})", "metric: expected a string");
  expect(R"({"metric": "infbench.paskey", "prediction": "a", "references": []})", "infbench.passkey");
  expect(R"({"metric": "fuzz.ratio", "references": ["a"]})", "prediction: missing");
  expect(R"({"metric": "fuzz.ratio", "prediction": null, "references": ["a"]})", "prediction: expected a string");
  expect(R"({"metric": "fuzz.ratio", "prediction": "a"})", "references: missing");
  expect(R"({"metric": "longbench.qa_f1_score", "prediction": "a", "references": "b"})", "references: expected a list");
  expect(R"({"metric": "longbench.qa_f1_score", "prediction": "a", "references": ["b", 3]})", "references[1]: expected a string");
  expect(R"({"metric": "infbench.math_find", "prediction": "a", "references": ["3"]})", "references[0]: expected a number");
  expect(R"({"metric": "infbench.math_calc", "prediction": "a", "references": 3})", "references: expected a list");
  expect(R"({"metric": "longbench.classification_score", "prediction": "a", "references": ["a"]})", "all_classes: missing");
  expect(R"({"metric": "normalize_answer", "prediction": "a", "all_classes": "x"})", "all_classes: expected a list");
  expect(R"({"metric": "normalize_answer", "prediction": "a", "all_classes": [2]})", "all_classes[0]: expected a string");
}

TEST(Score, ReadsInfiniteBenchsOwnFiles) {
  Scorer scorer;
  const auto score = [&](std::string_view text, std::string_view metric) {
    return scorer.score(Scorer::read(parse_json(text, "text"), metric, "line"));
  };
  EXPECT_EQ(score(R"({"id": 0, "prediction": "71432.", "ground_truth": "71432"})", "infbench.passkey"), 1.0);
  EXPECT_EQ(score(R"({"id": 0, "pred": ": A", "label": ["Ann", "A"]})", "infbench.longbook_choice_eng"), 1.0);
  EXPECT_EQ(score(R"({"id": 0, "prediction": "88 or", "ground_truth": 88})", "infbench.math_find"), 1.0);
}

}  // namespace
}  // namespace tenfold
