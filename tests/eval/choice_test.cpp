// Topic retrieval and MMLU on small made-up files.
#include "eval/mmlu.h"
#include "eval/topic.h"
#include "eval_fixture.h"

namespace tenfold {
namespace {

using test::input_error;
using test::RuleReader;
using test::small_tokenizer;
using test::TemporaryDirectory;

EvalRunOptions in(const TemporaryDirectory& folder, const std::string& name) {
  EvalRunOptions options;
  options.directory = folder.file(name);
  options.model = {{"path", "m.gguf"}};
  return options;
}

std::string topic_row(int64_t n, const std::string& first, const std::string& context) {
  return dump_json({{"context", context}, {"question", "Which was the first?"}, {"topics", {first, "Y"}}, {"num_topics", n}}) +
         "\n";
}

TEST(Topic, GroupsByTheNumberOfTopics) {
  const TemporaryDirectory folder;
  const Tokenizer tokenizer = small_tokenizer("qwen2");
  const ChatTemplate chat = ChatTemplate::by_name("chatml");
  test::write(folder.file("topics.json"), topic_row(5, "The Sea", "sea talk") + topic_row(5, "Hills", "hill talk") +
                                              topic_row(7, "Left out", "x") + topic_row(10, "Tea", "sea talk"));
  TopicOptions options;
  options.data = folder.file("topics.json");
  const AnswerTask task = make_topic_task(tokenizer, chat, options);
  ASSERT_EQ(task.questions.size(), 3U);
  EXPECT_EQ(tokenizer.decode(task.questions[0].prompt),
            "<|im_start|>user\nsea talk Which was the first?<|im_end|>\n<|im_start|>assistant\n");
  RuleReader model(tokenizer,
                   [](const std::string& prompt) { return prompt.find("sea") != std::string::npos ? "It was THE SEA." : "?"; });
  const TopicResult result = run_topic(model, tokenizer, task, in(folder, "topic"));
  ASSERT_EQ(result.groups.size(), 2U);
  EXPECT_EQ(result.groups[0].questions, 2);
  EXPECT_EQ(result.groups[0].hits, 1);
  EXPECT_DOUBLE_EQ(result.groups[0].f1, 0.25);  // "it was sea" and "sea": 2 * 1/3 / (4/3)
  EXPECT_EQ(result.groups[1].hits, 0);
  EXPECT_EQ(result.metrics["by_num_topics"][1]["num_topics"], 10);
  // Nothing is asked twice, and the answers are scored again from their texts.
  const int64_t asked = model.questions();
  const TopicResult again = run_topic(model, tokenizer, task, in(folder, "topic"));
  EXPECT_EQ(model.questions(), asked);
  EXPECT_EQ(again.published_results, result.published_results);
}

TEST(Topic, EqualMeansAreKeptApartUnlessStrict) {
  const TemporaryDirectory folder;
  const Tokenizer tokenizer = small_tokenizer("qwen2");
  test::write(folder.file("topics.json"), topic_row(5, "sea", "a b c") + topic_row(10, "hill", "a b c"));
  for (const bool strict : {false, true}) {
    TopicOptions options;
    options.data = folder.file("topics.json");
    options.strict_reference = strict;
    const AnswerTask task = make_topic_task(tokenizer, ChatTemplate::by_name("chatml"), options);
    RuleReader model(tokenizer, [](const std::string&) { return "sea"; });
    const TopicResult result = run_topic(model, tokenizer, task, {});
    const std::string key = std::to_string(task.questions[0].prompt.size());
    EXPECT_EQ(result.published_metrics["accuracy"].size(), strict ? 1U : 2U);
    EXPECT_EQ(result.published_metrics["accuracy"][key], strict ? 0.0 : 1.0);
    EXPECT_EQ(result.published_results[key].size(), strict ? 2U : 1U);
    EXPECT_EQ(result.metrics["by_num_topics"].size(), 2U);
  }
}

TEST(Topic, NamesBadRecords) {
  const TemporaryDirectory folder;
  const Tokenizer tokenizer = small_tokenizer("qwen2");
  const auto refusal = [&](const std::string& text) {
    test::write(folder.file("t.json"), text);
    TopicOptions options;
    options.data = folder.file("t.json");
    return input_error([&] { make_topic_task(tokenizer, ChatTemplate::by_name("chatml"), options); });
  };
  EXPECT_HAS(refusal("{}\n"), "t.json:1: num_topics: missing");
  EXPECT_HAS(refusal(R"({"num_topics": 5, "context": "a", "question": "b", "topics": "c"})"),
             "t.json:1: topics: expected a list");
  EXPECT_HAS(refusal(R"({"num_topics": 5, "context": "a", "question": "b", "topics": []})"), "topics: expected at least one");
  EXPECT_HAS(refusal(""), "got none");
}

std::string mmlu_row(int64_t id, const std::string& subject, const std::string& query, int64_t answer) {
  return dump_json({{"query_id", id},
                    {"subject", subject},
                    {"query", query},
                    {"choices", {"one", "two", "three", "four"}},
                    {"answer", answer}}) +
         "\n";
}

TEST(Mmlu, AsksWithShotsAndAveragesOverSubjects) {
  const TemporaryDirectory folder;
  const Tokenizer tokenizer = small_tokenizer("qwen2");
  test::write(folder.file("test.json"), mmlu_row(0, "college_physics", " Why? ", 1) + mmlu_row(1, "college_physics", "How?", 2) +
                                            mmlu_row(2, "anatomy", "Who?", 1));
  test::write(folder.file("dev.json"), mmlu_row(0, "college_physics", "First ", 3) + mmlu_row(1, "college_physics", "Second", 0) +
                                           mmlu_row(2, "anatomy", "Bone", 0));
  MmluOptions options;
  options.data = folder.file("test.json");
  options.train_data = folder.file("dev.json");
  options.few_shot = 1;
  const MmluTask task = make_mmlu_task(tokenizer, ChatTemplate::by_name("chatml"), options);
  const std::string choices = "\nA. one\nB. two\nC. three\nD. four\nAnswer:";
  EXPECT_EQ(tokenizer.decode(task.questions[0].prompt),
            "<|im_start|>user\nThe following are multiple choice questions (with answers) about college physics.\n\nFirst " +
                choices + " D\n\nWhy?" + choices + "<|im_end|>\n<|im_start|>assistant\n");
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{task.letters[0][i]}), std::string(1, "ABCD"[i]));
  RuleReader model(tokenizer, [](const std::string&) { return "B"; });
  const MmluResult result = run_mmlu(model, task, in(folder, "mmlu"));
  EXPECT_EQ(result.correct, 2);
  EXPECT_EQ(result.categories["STEM"], 0.5);
  EXPECT_EQ(result.categories["Others"], 1.0);
  EXPECT_EQ(result.categories["All"], 0.75);  // over subjects, not over questions
  EXPECT_TRUE(result.categories["Humanities"].is_null());
  EXPECT_GT(model.reused()[1], 40);  // the shot is read once
  EXPECT_HAS(result.published_results, "\"choices\": [\"one\", \"two\", \"three\", \"four\"], \"answer\": 1, \"output\": 1}\n");
  const MmluResult again = run_mmlu(model, task, in(folder, "mmlu"));
  EXPECT_EQ(model.questions(), 3);
  EXPECT_EQ(again.published_results, result.published_results);
}

TEST(Mmlu, TiesGoToTheFirstLetterAndStrictCountsTheEndOfTurn) {
  const TemporaryDirectory folder;
  const Tokenizer tokenizer = small_tokenizer("qwen2");
  test::write(folder.file("test.json"), mmlu_row(0, "virology", "Q", 2));
  MmluOptions options;
  options.data = folder.file("test.json");
  const ChatTemplate chat = ChatTemplate::by_name("chatml");
  RuleReader silent(tokenizer, [](const std::string&) { return ""; });  // every logit is equal
  EXPECT_EQ(run_mmlu(silent, make_mmlu_task(tokenizer, chat, options), {}).run.answers[0]["output"], 0);

  // This reader ends its turn only after C; the letter alone is a tie.
  options.strict_reference = true;
  const MmluTask strict = make_mmlu_task(tokenizer, chat, options);
  ASSERT_GE(strict.end_of_turn, 0);
  options.stop_ids = {strict.end_of_turn};
  EXPECT_EQ(make_mmlu_task(tokenizer, chat, options).end_of_turn, -1);
  RuleReader ending(tokenizer, [](const std::string& prompt) { return prompt.ends_with("C") ? "<|im_end|>" : "x"; });
  const MmluResult result = run_mmlu(ending, strict, {});
  EXPECT_EQ(ending.questions(), 5);
  EXPECT_EQ(result.run.answers[0]["output"], 2);
  EXPECT_EQ(result.categories["STEM"], Json::array());
}

TEST(Mmlu, NamesBadRows) {
  const TemporaryDirectory folder;
  const Tokenizer tokenizer = small_tokenizer("qwen2");
  const auto refusal = [&](const std::string& text) {
    test::write(folder.file("t.json"), text);
    MmluOptions options;
    options.data = folder.file("t.json");
    return input_error([&] { make_mmlu_task(tokenizer, ChatTemplate::by_name("chatml"), options); });
  };
  EXPECT_HAS(refusal("{}\n"), "t.json:1: subject: missing");
  EXPECT_HAS(refusal(mmlu_row(0, "anatomi", "Q", 0)),
             "t.json:1: subject: expected one of MMLU's 57, got \"anatomi\"; near names: \"anatomy\"");
  EXPECT_HAS(refusal(mmlu_row(0, "anatomy", "Q", 4)), "t.json:1: answer: expected 0 to 3, got 4");
  EXPECT_HAS(refusal(mmlu_row(0, "anatomy", "Q", 0) + mmlu_row(2, "anatomy", "Q", 0)), "t.json:2: query_id: expected 1");
  EXPECT_HAS(refusal(R"({"query_id": 0, "subject": "anatomy", "query": "Q", "choices": ["a"], "answer": 0})"),
             "choices: expected 4, got 1");
  EXPECT_HAS(refusal(""), "got none");
}

TEST(Mmlu, EverySubjectHasItsCategory) {
  EXPECT_EQ(mmlu_category("anatomy"), "Others");
  EXPECT_EQ(mmlu_category("abstract_algebra"), "STEM");
  EXPECT_EQ(mmlu_category("machine_learning"), "STEM");
  EXPECT_EQ(mmlu_category("us_foreign_policy"), "Social Sciences");
  EXPECT_EQ(mmlu_category("world_religions"), "Humanities");
  EXPECT_EQ(mmlu_category("algebra"), "");
  EXPECT_EQ(mmlu_category(""), "");
  EXPECT_EQ(mmlu_category("anatomy business_ethics"), "");
}

}  // namespace
}  // namespace tenfold
