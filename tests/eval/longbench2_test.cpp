// LongBench v2 on small made-up files.
#include "eval/longbench2.h"
#include "eval_fixture.h"

namespace tenfold {
namespace {

using test::input_error;
using test::RuleReader;
using test::small_tokenizer;
using test::TemporaryDirectory;

Json record(const std::string& id, const Json& more = Json::object()) {
  Json json = {{"_id", id},         {"domain", "Novels"},   {"sub_domain", "x"}, {"difficulty", "easy"},
               {"length", "short"}, {"question", " Who? "}, {"choice_A", "Ann"}, {"choice_B", "$DOC$"},
               {"choice_C", "Cy"},  {"choice_D", "Di"},     {"answer", "B"},     {"context", "\nthe {book} $Q$ \n"}};
  json.update(more);
  return json;
}

class LongBench2 : public testing::Test {
 protected:
  LongBench2() { options_.data = folder_.file("data.jsonl"); }
  void write(const std::vector<Json>& records) {
    std::string text;
    for (const Json& json : records) text += dump_json(json) + "\n";
    test::write(options_.data, text);
  }
  LongBench2Task make() { return make_longbench2_task(tokenizer_, ChatTemplate::by_name("chatml"), options_); }
  void refused(const Json& more, const std::string& expected) {
    write({record("a", more)});
    EXPECT_HAS(input_error([&] { make(); }), expected);
  }

  TemporaryDirectory folder_;
  Tokenizer tokenizer_ = small_tokenizer("qwen2");
  LongBench2Options options_;
};

TEST_F(LongBench2, FillsTheBenchmarksTextOnce) {
  options_.prompts = folder_.file("0shot.txt");
  test::write(options_.prompts, "<$DOC$> $Q$ A $C_A$ B $C_B$ C $C_C$ D $C_D$ $5");
  write({record("a")});
  const LongBench2Task task = make();
  EXPECT_EQ(tokenizer_.decode(task.questions[0].prompt),
            "<|im_start|>user\n<the {book} $Q$> Who? A Ann B $DOC$ C Cy D Di $5<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(task.tokens_needed(), std::ssize(task.questions[0].prompt) + 128);
  test::write(options_.prompts, "$DOC$ $Q$");
  EXPECT_HAS(input_error([&] { make(); }), "0shot.txt: expected $C_A$ in it");
}

TEST_F(LongBench2, ScoresByTheBenchmarksRuleAndGroups) {
  write({record("a"), record("b", {{"difficulty", "hard"}, {"length", "long"}, {"context", "silent"}}),
         record("c", {{"length", "medium"}, {"domain", "Code"}, {"answer", "A"}}), record("d", {{"answer", "A"}})});
  const LongBench2Task task = make();
  ASSERT_EQ(task.questions.size(), 4U);
  RuleReader model(tokenizer_, [](const std::string& prompt) {
    EXPECT_HAS(prompt, "in this form, with its letter in the brackets: The correct answer is (X)<|im_end|>");
    return prompt.find("silent") != std::string::npos ? "I cannot say." : "So: **The correct answer is (B)**";
  });
  EvalRunOptions in;
  in.directory = folder_.file("run");
  const LongBench2Result result = run_longbench2(model, tokenizer_, task, in);
  const Json groups = result.metrics["groups"];
  EXPECT_EQ(groups["overall"]["questions"], 4);
  EXPECT_EQ(groups["overall"]["hits"], 1);
  EXPECT_EQ(groups["overall"]["score"], 25.0);
  EXPECT_EQ(groups["overall"]["unanswered"], 1);
  EXPECT_EQ(groups["easy"]["score"], 33.3);  // one of three, to 1 digit
  EXPECT_EQ(groups["hard"]["score"], 0.0);
  EXPECT_EQ(groups["hard"]["unanswered"], 1);
  EXPECT_EQ(groups["medium"]["questions"], 1);
  EXPECT_EQ(groups["short"]["score"], 50.0);
  EXPECT_EQ(result.metrics["domains"]["Code"]["hits"], 0);
  EXPECT_EQ(result.domains.front().name, "Novels");
  EXPECT_EQ(result.run.answers[0]["letter"], "B");
  EXPECT_TRUE(result.run.answers[1]["letter"].is_null());
  // Asked once; scored again from the texts.
  EXPECT_EQ(run_longbench2(model, tokenizer_, task, in).metrics["groups"], groups);
  EXPECT_EQ(model.questions(), 4);
}

TEST_F(LongBench2, TakesTheLikeliestLetterWhenAsked) {
  write({record("a"), record("b", {{"answer", "A"}}), record("c", {{"context", "other"}, {"answer", "C"}})});
  options_.likelihood = true;
  const LongBench2Task task = make();
  ASSERT_EQ(task.letters.size(), 3U);
  EXPECT_TRUE(tokenizer_.decode(task.questions[0].prompt).ends_with("<|im_start|>assistant\nThe correct answer is ("));
  for (size_t i = 0; i < 4; ++i)
    EXPECT_EQ(tokenizer_.decode(std::vector<int32_t>{task.letters[0][i]}), std::string(1, "ABCD"[i]));
  RuleReader model(tokenizer_, [](const std::string& prompt) { return prompt.find("other") == std::string::npos ? "B" : "D"; });
  EvalRunOptions in;
  in.directory = folder_.file("run");
  const LongBench2Result result = run_longbench2(model, tokenizer_, task, in);
  EXPECT_EQ(result.metrics["groups"]["overall"]["hits"], 1);
  EXPECT_EQ(result.metrics["groups"]["overall"]["unanswered"], 0);
  EXPECT_EQ(result.run.answers[2]["letter"], "D");
  EXPECT_EQ(result.run.answers[2]["nll"].size(), 4U);
  EXPECT_EQ(run_longbench2(model, tokenizer_, task, in).metrics["groups"], result.metrics["groups"]);
  EXPECT_EQ(model.questions(), 3);
}

TEST_F(LongBench2, ReadsTheArrayThatIsPublishedAndTheFirstRecords) {
  test::write(options_.data, dump_json(Json::array({record("a"), record("b"), record("c")}), 1));
  EXPECT_EQ(make().questions.size(), 3U);
  options_.first = 2;
  const LongBench2Task task = make();
  ASSERT_EQ(task.questions.size(), 2U);
  EXPECT_EQ(task.questions[1].id, "b");
  test::write(options_.data, " [1]");
  EXPECT_HAS(input_error([&] { make(); }), "data.jsonl: [0]: expected an object, got number");
}

TEST_F(LongBench2, LosesTheMiddleOfALongText) {
  std::string words;
  for (int i = 0; i < 400; ++i) words += " w" + std::to_string(i);
  write({record("a", {{"context", words}})});
  options_.max_length = 120;
  const LongBench2Task task = make();
  EXPECT_TRUE(task.questions[0].about["truncated"].get<bool>());
  EXPECT_GT(task.questions[0].about["whole_prompt_tokens"].get<int64_t>(), 400);
  const std::string text = tokenizer_.decode(task.questions[0].prompt);
  EXPECT_HAS(text, "Here is a text.");
  EXPECT_HAS(text, "The correct answer is (X)");
  EXPECT_EQ(text.find("w200"), std::string::npos);
}

TEST_F(LongBench2, RescoresSavedAnswers) {
  const std::string saved = folder_.file("saved.jsonl");
  test::write(saved, dump_json(record("a", {{"response", "The correct answer is B"}})) + "\n" +
                         dump_json(record("b", {{"response", "The correct answer is (A)"}, {"difficulty", "hard"}})) + "\n");
  const LongBench2Result result = rescore_longbench2(saved);
  EXPECT_EQ(result.metrics["groups"]["overall"]["score"], 50.0);
  EXPECT_EQ(result.metrics["groups"]["hard"]["score"], 0.0);
  test::write(saved, dump_json(record("a")) + "\n");
  EXPECT_HAS(input_error([&] { rescore_longbench2(saved); }), "saved.jsonl:1: response: missing");
}

TEST_F(LongBench2, SaysWhatIsWrong) {
  refused({{"answer", "E"}}, "data.jsonl:1: answer: expected one of A, B, C, D, got \"E\"");
  refused({{"difficulty", "Easy"}}, "difficulty: expected one of easy, hard, got \"Easy\"");
  refused({{"length", 5}}, "length: expected a string, got number");
  refused({{"choice_C", nullptr}}, "choice_C: expected a string, got null");
  write({record("a"), record("a")});
  EXPECT_HAS(input_error([&] { make(); }), "data.jsonl:2: _id: \"a\" is there twice");
  write({});
  EXPECT_HAS(input_error([&] { make(); }), "expected questions, got none");
  write({record("a")});
  options_.max_length = 1;
  EXPECT_HAS(input_error([&] { make(); }), "--max-length: expected 2 or more, got 1");
}

}  // namespace
}  // namespace tenfold
