// Two runs question by question.
#include "eval/compare.h"
#include "eval_fixture.h"

#include <map>

namespace tenfold {
namespace {

using test::input_error;
using test::TemporaryDirectory;

class Compare : public testing::Test {
 protected:
  void write(const std::string& run, const std::string& task, const std::vector<Json>& lines,
             const Json& config = Json::object()) {
    const std::string folder = folder_.file(run + "/eval/" + task);
    std::filesystem::create_directories(folder);
    std::string text;
    for (const Json& line : lines) text += dump_json(line) + "\n";
    test::write(folder + "/answers.jsonl", text);
    test::write(folder + "/config.json", dump_json(config));
  }
  RunComparison compare() { return compare_runs(folder_.file("a"), folder_.file("b")); }
  TemporaryDirectory folder_;
};

TEST(SignTest, IsTheExactBinomial) {
  EXPECT_DOUBLE_EQ(sign_test(0, 0), 1.0);
  EXPECT_DOUBLE_EQ(sign_test(3, 3), 1.0);
  EXPECT_DOUBLE_EQ(sign_test(1, 0), 1.0);
  EXPECT_NEAR(sign_test(5, 0), 0.0625, 1e-14);
  EXPECT_NEAR(sign_test(0, 10), 2.0 / 1024, 1e-15);
  EXPECT_NEAR(sign_test(2, 8), 2.0 * (1 + 10 + 45) / 1024, 1e-14);
  EXPECT_NEAR(sign_test(8, 2), sign_test(2, 8), 0);
  EXPECT_NEAR(sign_test(400, 600), 2.7284641560660184e-10, 1e-21);  // whole numbers: 2 sum C(1000, k) / 2^1000
}

TEST_F(Compare, CountsWhatChanged) {
  const auto line = [](const std::string& id, bool hit, const std::string& hash = "h") {
    return Json{{"id", id}, {"prompt_hash", hash}, {"hit", hit}, {"output", id + (hit ? " yes" : " no")}};
  };
  write("a", "mmlu", {line("1", true), line("2", false), line("3", false), line("4", true), line("x", true)},
        {{"few_shot", 0}, {"model", "m"}, {"notes", "n"}});
  write("b", "mmlu",
        {line("1", true), line("2", true), line("3", true), line("4", false, "other"), line("y", true), line("z", true)},
        {{"few_shot", 5}, {"model", "o"}});
  write("a", "needle", {line("1", true)});
  const RunComparison result = compare();
  ASSERT_EQ(result.tasks.size(), 1U);
  const Comparison& c = result.tasks[0];
  EXPECT_EQ(c.questions, 4);
  EXPECT_EQ(c.better, 2);
  EXPECT_EQ(c.worse, 1);
  EXPECT_EQ(c.only_first, 1);
  EXPECT_EQ(c.only_second, 2);
  EXPECT_EQ(c.other_prompts, 1);
  EXPECT_DOUBLE_EQ(c.first, 0.5);
  EXPECT_DOUBLE_EQ(c.second, 0.75);
  EXPECT_DOUBLE_EQ(c.p_value, 1.0);
  ASSERT_EQ(c.changed.size(), 3U);
  EXPECT_EQ(c.changed[0]["second_output"], "2 yes");
  ASSERT_EQ(result.remarks.size(), 2U);
  EXPECT_EQ(result.remarks[0], "mmlu: not only the models differ: few_shot");
  EXPECT_HAS(result.remarks[1], "needle: only in ");
  EXPECT_EQ(result.json["tasks"][0]["test"], "McNemar, exact binomial");
  // One evaluation against one of another name.
  const RunComparison same = compare_runs(folder_.file("a/eval/mmlu"), folder_.file("b/eval/mmlu"));
  EXPECT_EQ(same.tasks[0].better, 2);
}

TEST_F(Compare, TakesTheScoreOfWhatIsNoWholeHit) {
  write("a", "ruler", {{{"id", "1"}, {"hit", false}, {"score", 0.25}}, {{"id", "2"}, {"hit", true}, {"score", 1.0}}});
  write("b", "ruler", {{{"id", "1"}, {"hit", false}, {"score", 0.75}}, {{"id", "2"}, {"hit", true}, {"score", 1.0}}});
  const RunComparison result = compare();
  const Comparison& c = result.tasks[0];
  EXPECT_EQ(c.measure, "score");
  EXPECT_EQ(c.better, 1);
  EXPECT_EQ(c.worse, 0);
  EXPECT_DOUBLE_EQ(c.second, 0.875);
}

TEST_F(Compare, SplitsABenchmarkIntoItsTasksAndTakesLossesAsLessIsBetter) {
  const auto line = [](const std::string& id, const std::string& task, double score) {
    return Json{{"id", id}, {"task", task}, {"score", score}};
  };
  write("a", "longbench", {line("q-0", "q", 0.5), line("q-1", "q", 0.5), line("s-0", "s", 0.25)});
  write("b", "longbench", {line("q-0", "q", 0.75), line("q-1", "q", 0.5), line("s-0", "s", 0)});
  write("a", "ppl", {{{"id", "w"}, {"tokens", {2, 2}}, {"nll_sum", {3.0, 5.0}}}});
  write("b", "ppl", {{{"id", "w"}, {"tokens", {2, 2}}, {"nll_sum", {2.0, 4.0}}}});
  const RunComparison result = compare();
  ASSERT_EQ(result.tasks.size(), 6U);
  EXPECT_EQ(result.tasks[1].name, "longbench/q");
  EXPECT_EQ(result.tasks[1].better, 1);
  EXPECT_EQ(result.tasks[1].worse, 0);
  EXPECT_EQ(result.tasks[2].worse, 1);
  EXPECT_EQ(result.tasks[3].measure, "nll");
  EXPECT_EQ(result.tasks[3].better, 1);
  EXPECT_DOUBLE_EQ(result.tasks[3].second, 1.5);
  EXPECT_EQ(result.tasks[4].name, "ppl/0-1K");
  EXPECT_DOUBLE_EQ(result.tasks[4].first, 1.5);
  EXPECT_DOUBLE_EQ(result.tasks[4].second, 1.0);
  EXPECT_EQ(result.tasks[5].name, "ppl/1K-2K");
  EXPECT_DOUBLE_EQ(result.tasks[5].difference.mean, -0.5);
  EXPECT_FALSE(result.tasks[5].difference.interval) << "one window has no spread";
}

TEST_F(Compare, ComparesLossesByPositionAndByPairs) {
  const auto far = [](int64_t pair, double first_bucket, double shared) {
    return Json{{"id", fmt::format("0:{} far", pair)},
                {"text", 0},
                {"begin", pair},
                {"pair", pair},
                {"side", "far"},
                {"tokens", {4, 2, 0}},
                {"nll_sum", {first_bucket, 2.0, 0}},
                {"shared_tokens", 2},
                {"shared_nll_sum", shared}};
  };
  const auto near = [](int64_t pair, int64_t piece, double shared) {
    return Json{{"id", fmt::format("0:{} near {}", pair, piece)},
                {"text", 0},
                {"begin", 1},
                {"pair", pair},
                {"side", "near"},
                {"tokens", {1, 0, 0}},
                {"nll_sum", {shared, 0, 0}},
                {"shared_tokens", 1},
                {"shared_nll_sum", shared}};
  };
  write("a", "ppl", {far(0, 4, 8), near(0, 0, 1), near(0, 1, 2), far(1, 8, 8), near(1, 0, 2), near(1, 1, 2)});
  // The last pair of b lacks a piece, so it is no pair yet.
  write("b", "ppl",
        {far(0, 8, 2), near(0, 0, 1), near(0, 1, 1), far(1, 16, 4), near(1, 0, 3), near(1, 1, 3), far(2, 1, 1), near(2, 0, 1)});
  const RunComparison result = compare();
  std::map<std::string, const Comparison*> rows;
  for (const Comparison& c : result.tasks) rows[c.name] = &c;
  ASSERT_EQ(rows.size(), 6U) << "whole, two buckets with tokens, far, near, near-far";
  EXPECT_EQ(rows.at("ppl")->questions, 2) << "short windows repeat what the long ones have";
  EXPECT_DOUBLE_EQ(rows.at("ppl")->first, (1.0 + 10.0 / 6) / 2);
  EXPECT_DOUBLE_EQ(rows.at("ppl/0-1K")->difference.mean, (1.0 + 2.0) / 2);
  // Student's t of one degree: 12.7062 x sd / sqrt(2), sd of {1, 2} is sqrt(1/2).
  EXPECT_NEAR(rows.at("ppl/0-1K")->difference.interval->high, 1.5 + 12.706204736 / 2, 1e-8);
  EXPECT_DOUBLE_EQ(rows.at("ppl/1K-2K")->first, 1.0);
  EXPECT_DOUBLE_EQ(rows.at("ppl/far")->first, 4.0);
  EXPECT_DOUBLE_EQ(rows.at("ppl/far")->second, 1.5);
  EXPECT_DOUBLE_EQ(rows.at("ppl/near")->first, 1.75);
  EXPECT_DOUBLE_EQ(rows.at("ppl/near")->second, 2.0);
  EXPECT_DOUBLE_EQ(rows.at("ppl/near-far")->first, 1.75);
  EXPECT_DOUBLE_EQ(rows.at("ppl/near-far")->second, 1.5);
  EXPECT_EQ(rows.at("ppl/near-far")->better, 1);
  EXPECT_EQ(rows.at("ppl/near-far")->other_prompts, 0);
  for (const Json& row : result.json["tasks"]) EXPECT_TRUE(row.contains("interval")) << row;
}

TEST_F(Compare, SaysWhatIsWrong) {
  EXPECT_HAS(input_error([&] { compare(); }), "expected a run directory with eval/TASK/answers.jsonl");
  write("a", "topic", {{{"id", "1"}, {"hit", true}}});
  write("b", "mmlu", {{{"id", "1"}, {"hit", true}}});
  EXPECT_HAS(input_error([&] { compare(); }), "have no answered question in common\n  topic: only in ");
  write("b", "topic", {{{"id", "1"}, {"score", "x"}}});
  EXPECT_HAS(input_error([&] { compare(); }), "answers.jsonl: 1: score: expected a number");
  write("b", "topic", {{{"id", "1"}, {"score", 1}}});
  EXPECT_HAS(input_error([&] { compare(); }), "has a score where");
  write("b", "topic", {{{"id", "1"}, {"score", nullptr}}});
  EXPECT_HAS(input_error([&] { compare(); }), "expected a number, got null");
  write("b", "topic", {{{"hit", true}}});
  EXPECT_HAS(input_error([&] { compare(); }), "answers.jsonl:1: id: missing");
  write("b", "topic", {{{"id", "1"}, {"hit", true}}, {{"id", "1"}, {"hit", true}}});
  EXPECT_HAS(input_error([&] { compare(); }), "answers.jsonl:2: id: \"1\" is answered twice");
}

}  // namespace
}  // namespace tenfold
