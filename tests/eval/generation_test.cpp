// Free generation on small made-up files.
#include "eval/generation.h"
#include "eval_fixture.h"

namespace tenfold {
namespace {

using test::input_error;
using test::RuleReader;
using test::small_tokenizer;
using test::TemporaryDirectory;

class Generation : public testing::Test {
 protected:
  GenerationTask make(const std::string& text) {
    test::write(folder_.file("data.json"), text);
    options_.data = folder_.file("data.json");
    return make_generation_task(tokenizer_, ChatTemplate::by_name("chatml"), options_);
  }
  std::string message(const GenerationTask& task, size_t i) { return tokenizer_.decode(task.questions[i].prompt); }

  TemporaryDirectory folder_;
  Tokenizer tokenizer_ = small_tokenizer("qwen2");
  GenerationOptions options_;
};

TEST_F(Generation, AsksTheFirstUserTurnAndComparesWithTheNext) {
  const GenerationTask task = make(
      R"({"conversations": [{"role": "system", "content": "S"}, {"role": "user", "content": "Sea?"}, {"role": "assistant", "content": "The blue sea."}, {"role": "user", "content": "More"}]}
{"conversations": [{"role": "user", "content": "Hill?"}]}
)");
  ASSERT_EQ(task.questions.size(), 2U);
  EXPECT_EQ(message(task, 0), "<|im_start|>user\nSea?<|im_end|>\n<|im_start|>assistant\n");
  RuleReader model(tokenizer_, [](const std::string&) { return "the BLUE sea"; });
  const GenerationResult result = run_generation(model, tokenizer_, task, {});
  EXPECT_NEAR(result.rouge["rouge-l"].get<double>(), 1.0, 1e-7);
  EXPECT_NEAR(result.rouge["rouge-2"].get<double>(), 1.0, 1e-7);
  EXPECT_EQ(result.metrics["without_target"], 1);
  EXPECT_EQ(result.published_results,
            "{\"prediction\": \"the BLUE sea\", \"target\": \"The blue sea.\", \"index\": 0}\n"
            "{\"prediction\": \"the BLUE sea\", \"target\": null, \"index\": 1}\n");
}

TEST_F(Generation, CutsTextsAndLeavesOutPromptsByLength) {
  options_.max_length = 4;
  options_.decoding.stop_ids = {tokenizer_.id_of("<|im_end|>")};
  const std::string rows = "{\"text\": \"the water in the well is cold and deep\"}\n{\"text\": \"a\"}\n";
  GenerationTask task = make(rows);
  EXPECT_EQ(task.questions[0].prompt.size(), 4U);
  EXPECT_TRUE(task.questions[0].about["truncated"].get<bool>());
  EXPECT_EQ(message(task, 1), "a");
  options_.strict_reference = true;
  EXPECT_EQ(message(make(rows), 1), "a<|im_end|>");
  options_.strict_reference = false;
  options_.min_length = 4;
  options_.max_num = 5;
  task = make(rows);
  EXPECT_EQ(task.questions.size(), 1U);
  EXPECT_EQ(task.left_out, 1);
  EXPECT_HAS(input_error([&] { make("{\"text\": \"a\"}\n"); }), "got none of 1");
}

TEST_F(Generation, TakesOneObjectWithItsContext) {
  for (const char* text : {"{\"context\": \"Who?\", \"answer\": [\"Ann\", \"Bob\"]}",
                           "{\n\"context\": \"Who?\",\n\"answer\": [\"Ann\", \"Bob\"]}\n"}) {
    const GenerationTask task = make(text);
    EXPECT_HAS(message(task, 0), "user\nWho?<|im_end|>");
    RuleReader model(tokenizer_, [](const std::string&) { return "Bob"; });
    EXPECT_NEAR(run_generation(model, tokenizer_, task, {}).rouge["rouge-1"].get<double>(), 1.0, 1e-7);
  }
}

TEST_F(Generation, EveryRowDrawsFromItsOwnSeed) {
  options_.decoding.sampling = {.temperature = 1, .seed = 5};
  const GenerationTask task = make("{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
  EXPECT_EQ(task.config["seed"], 5);
  const auto rule = [](const std::string&) { return "x"; };
  RuleReader model(tokenizer_, rule);
  EvalRunOptions run{.directory = folder_.file("run")};
  run_generation(model, tokenizer_, task, run);
  ASSERT_EQ(model.seeds().size(), 2U);
  EXPECT_NE(model.seeds()[0], model.seeds()[1]);
  // The second alone, after a stop, draws as it would have.
  std::string lines = read_text_file(folder_.file("run/answers.jsonl"));
  test::write(folder_.file("run/answers.jsonl"), lines.substr(0, lines.find('\n') + 1));
  RuleReader resumed(tokenizer_, rule);
  run_generation(resumed, tokenizer_, task, run);
  EXPECT_EQ(resumed.seeds(), std::vector<uint64_t>{model.seeds()[1]});
  EXPECT_EQ(read_text_file(folder_.file("run/answers.jsonl")), lines);
}

TEST_F(Generation, SaysWhatIsWrong) {
  const auto refusal = [&](const std::string& text) { return input_error([&] { make(text); }); };
  EXPECT_HAS(refusal("{\"a\": 1}\n"), "data.json:1: expected conversations, text, or context and answer");
  EXPECT_HAS(refusal("{\"conversations\": []}\n"), "conversations[0]: expected a user's turn, got none");
  EXPECT_HAS(refusal("{\"conversations\": [{\"role\": \"system\", \"content\": \"x\"}]}\n"),
             "conversations[1]: expected a user's turn");
  EXPECT_HAS(refusal("{\"conversations\": [{\"role\": \"user\"}]}\n"), "data.json:1: conversations[0]: content: missing");
  EXPECT_HAS(refusal("{\"conversations\": 3}\n"), "expected a list of turns");
  EXPECT_HAS(refusal("{\"context\": \"a\"}\n"), "answer: missing");
  EXPECT_HAS(refusal(""), "got none of 0");
}

}  // namespace
}  // namespace tenfold
