// InfiniteBench on small made-up files, and its own saved predictions where they are.
#include "eval/infbench.h"
#include "eval_fixture.h"

namespace tenfold {
namespace {

using test::input_error;
using test::RuleReader;
using test::small_tokenizer;
using test::TemporaryDirectory;

std::string row(const Json& more) {
  Json json = {{"id", 1}, {"context", "the {book}"}, {"input", "who?"}, {"answer", {"Ann"}}, {"options", Json::array()}};
  json.update(more);
  return dump_json(json) + "\n";
}

class InfBench : public testing::Test {
 protected:
  InfBench() {
    options_.data = {folder_.path()};
    options_.tasks = {"all"};
  }
  void write(const std::string& task, const std::string& text) { test::write(folder_.file(task + ".jsonl"), text); }
  InfBenchTask make() { return make_infbench_task(tokenizer_, ChatTemplate::by_name("chatml"), options_); }
  std::string message(const InfBenchTask& task, size_t i) { return tokenizer_.decode(task.asked.questions[i].prompt); }
  InfBenchResult run(const InfBenchTask& task, const RuleReader::Rule& rule) {
    RuleReader model(tokenizer_, rule);
    return run_infbench(model, tokenizer_, task, {});
  }
  void refused(const std::string& task, const Json& more, const std::string& expected) {
    write(task, row(more));
    EXPECT_HAS(input_error([&] { make(); }), expected);
    std::filesystem::remove(folder_.file(task + ".jsonl"));
  }

  TemporaryDirectory folder_;
  Tokenizer tokenizer_ = small_tokenizer("qwen2");
  InfBenchOptions options_;
};

TEST_F(InfBench, FillsTheTextsOfAFile) {
  test::write(folder_.file("p.json"),
              R"({"gpt4": {"math_find": "{prefix}|{context}|{input}", "code_run": "{context}|{func}|{func_call}",
"code_debug": "{context} A {OPTION_A} D {OPTION_D}", "longbook_qa_eng": "{context}|{question}", "kv_retrieval": "{context}|{input}"}})");
  options_.prompts = folder_.file("p.json");
  options_.table = "gpt4";
  write("math_find", row({{"answer", {7}}, {"input", "Find it. The Largest number of the list of numbers is:\nThe end of"}}));
  write("code_run", row({{"answer", {-5}}, {"input", "Give func_x(1) and func_12(-3), func_2(4)"}}));
  write("code_debug", row({{"answer", {"f3"}}, {"options", {"f1", "f2", "f3", "f4"}}}));
  const InfBenchTask task = make();
  ASSERT_EQ(task.asked.questions.size(), 3U);
  EXPECT_HAS(message(task, 0), "What is the largest number of the list in the following list?|the {book}|Find it.");
  EXPECT_HAS(message(task, 1), "the {book}|func_12|func_12(-3)<|im_end|>");
  EXPECT_HAS(message(task, 2), "the {book} A f1 D f4<|im_end|>");
  EXPECT_EQ(task.labels[2], Json::array({"f3", "C"}));
  EXPECT_EQ(task.asked.decoding(0).max_new_tokens, 3);
  EXPECT_EQ(task.asked.decoding(1).max_new_tokens, 5);
  EXPECT_EQ(task.missing.size(), 9U);
}

TEST_F(InfBench, ScoresInOurWordingAndReadsItsFilesBack) {
  write("passkey", row({{"answer", {"71432"}}}) + row({{"answer", {"1"}}}));
  write("longbook_qa_eng", row({{"answer", {"a red house", "Ann"}}}));
  write("longbook_choice_eng", row({{"answer", {"sea", "B"}}, {"options", {"hill", "sea", "c", "d"}}}));
  const InfBenchTask task = make();
  const InfBenchResult result = run(task, [](const std::string& prompt) -> std::string {
    if (prompt.find("digits") != std::string::npos || prompt.find("hidden") != std::string::npos) return "71432.";
    return prompt.find("A. hill") != std::string::npos ? " B" : "red house";
  });
  const std::vector<std::pair<std::string, double>> expected = {
      {"passkey", 0.5}, {"longbook_choice_eng", 1.0}, {"longbook_qa_eng", 1.0}};
  EXPECT_EQ(result.scores, expected);
  EXPECT_EQ(result.average, 0.8333);
  EXPECT_EQ(result.metrics["tasks"]["passkey"]["hits"], 1);
  EXPECT_FALSE(result.metrics["tasks"]["longbook_qa_eng"].contains("hits"));
  EXPECT_EQ(result.published_files[1].second, "1.0\n{\"index\": 0, \"pred\": \" B\", \"label\": [\"sea\", \"B\"]}\n");
  std::filesystem::remove(folder_.file("passkey.jsonl"));
  std::vector<std::string> saved;
  for (const auto& [name, text] : result.published_files) {
    saved.push_back(folder_.file(name));
    test::write(saved.back(), text);
  }
  const InfBenchResult again = rescore_infbench(saved, options_);
  EXPECT_EQ(again.scores, result.scores);
  EXPECT_EQ(again.published_files, result.published_files);
}

TEST_F(InfBench, OneFractionMakesEveryNumberOfAFileAFloat) {
  write("math_find", row({{"answer", {3}}, {"input", "The median of"}}) + row({{"answer", {2.5}}, {"input", "The median of"}}));
  // An int label would refuse "3.0"; a float label takes it.
  EXPECT_EQ(run(make(), [](const std::string&) { return "3.0"; }).scores[0].second, 0.5);
  write("math_find", row({{"answer", {3}}, {"input", "The median of"}}));
  EXPECT_EQ(run(make(), [](const std::string&) { return "3.0"; }).scores[0].second, 0.0);
}

TEST_F(InfBench, CutsWithoutCountingABos) {
  std::string words;
  for (int i = 0; i < 60; ++i) words += " w" + std::to_string(i);
  write("longbook_sum_eng", row({{"context", words}, {"answer", {"x"}}}));
  options_.max_length = 20;
  const InfBenchTask task = make();
  EXPECT_TRUE(task.asked.questions[0].about["truncated"].get<bool>());
  EXPECT_HAS(message(task, 0), "Read this book and sum it");
  EXPECT_HAS(message(task, 0), "Summary of the book:");
  const InfBenchResult result = run(task, [](const std::string&) { return ""; });
  EXPECT_EQ(result.metrics["truncated"], 1);
  EXPECT_EQ(result.metrics["empty_answers"], 1);
}

TEST_F(InfBench, SaysWhatIsWrong) {
  refused("passkey", {{"answer", Json::array()}}, "passkey.jsonl:1: answer: expected at least one");
  refused("passkey", {{"answer", {5}}}, "expected a string");
  refused("passkey", {{"context", nullptr}}, "passkey.jsonl:1: context: expected a string, got null");
  refused("code_run", {{"answer", {"x"}}, {"input", "func_1(2)"}}, "expected a number");
  refused("code_run", {{"answer", {1}}, {"input", "func_1()"}}, "expected a call such as func_1(2)");
  refused("math_find", {{"answer", {1}}, {"input", "The of"}}, "expected \"The ... of\"");
  refused("code_debug", {{"answer", {"x"}}, {"options", {"a", "b", "c", "d"}}}, "answer: \"x\" is none of the options");
  refused("code_debug", {{"answer", {"x"}}}, "options: expected 4, got 0");
  test::write(folder_.file("p.json"), R"({"mistral": {"passkey": "{context} {question}"}})");
  options_.prompts = folder_.file("p.json");
  refused("passkey", Json::object(), "p.json: mistral: passkey: unknown place {\"question\"}; known: {context}, {input}");
  refused("kv_retrieval", Json::object(), "p.json: mistral: kv_retrieval: missing");
  options_.table = "kimi";
  refused("passkey", Json::object(), "expected mistral or gpt4, got \"kimi\"");
  EXPECT_HAS(input_error([&] { rescore_infbench({folder_.path()}, options_); }), "expected TASK.json or preds_TASK.jsonl");
}

TEST_F(InfBench, RescoresTheBenchmarksOwnPredictions) {
  const std::string folder = test::shared_data("infinitebench");
  if (folder.empty()) GTEST_SKIP() << test::kNoSharedData;
  for (const bool strict : {false, true}) {
    options_.strict_reference = strict;
    const InfBenchResult result = rescore_infbench({folder}, options_);
    const std::vector<std::pair<std::string, double>> published = {
        {"passkey", 0.9271}, {"longbook_choice_eng", 0.2795}, {"longbook_qa_eng", 0.0955}, {"math_find", 0.1714}};
    EXPECT_EQ(result.scores, published);
  }
}

}  // namespace
}  // namespace tenfold
