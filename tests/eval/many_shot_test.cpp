// Many-shot classification: what is made, how it fills a length, and how an answer is scored.
#include "eval/many_shot.h"

#include "eval_fixture.h"

#include <map>
#include <set>

namespace tenfold {
namespace {

using test::input_error;
using test::RuleReader;
using test::TemporaryDirectory;

class ManyShotTest : public ::testing::Test {
 protected:
  ManyShotTest() { options_.queries = 10; }
  ManyShotTask make() { return make_many_shot_task(tokenizer_, ChatTemplate::by_name("chatml"), options_); }
  TemporaryDirectory folder_;
  Tokenizer tokenizer_ = test::small_tokenizer("qwen2");
  ManyShotOptions options_;
};

TEST(ManyShotTextsTest, NothingTwiceAndEveryClassInEveryRound) {
  const ManyShotTexts made(42);
  const auto examples = made.examples(ManyShotTexts::most());
  const auto queries = made.queries(200);
  std::set<std::string> seen;
  std::map<std::string, int64_t> labels;
  for (const LabelledText& one : examples) {
    EXPECT_TRUE(seen.insert(one.text).second) << one.text;
    ++labels[one.label];
  }
  EXPECT_EQ(std::ssize(labels), kManyShotClasses);
  for (const auto& [label, count] : labels) EXPECT_EQ(count, ManyShotTexts::most() / kManyShotClasses) << label;
  for (int64_t i = 0; i < 3 * kManyShotClasses; i += kManyShotClasses) {
    std::set<std::string> round;
    for (int64_t j = 0; j < kManyShotClasses; ++j) round.insert(examples[static_cast<size_t>(i + j)].label);
    EXPECT_EQ(std::ssize(round), kManyShotClasses);
  }
  for (const LabelledText& query : queries) EXPECT_TRUE(seen.insert(query.text).second) << "asked for an example: " << query.text;
  EXPECT_EQ(made.examples(3)[2].text, examples[2].text);
  EXPECT_NE(ManyShotTexts(43).examples(1)[0].text, examples[0].text);
  EXPECT_HAS(input_error([&] { made.examples(ManyShotTexts::most() + 1); }), "expected at most");
  EXPECT_HAS(input_error([&] { made.queries(1 << 20); }), "--queries: expected at most");
}

TEST_F(ManyShotTest, FillsALengthAndSharesTheExamples) {
  options_.lengths = {4000, 2000};
  const ManyShotTask task = make();
  ASSERT_EQ(task.lengths, (std::vector<int64_t>{2000, 4000}));
  ASSERT_EQ(task.questions.size(), 20U);
  EXPECT_EQ(task.classes, kManyShotClasses);
  EXPECT_LE(task.tokens_needed(), 4000);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_GT(task.shots[i], 20);
    // One example more would not fit: the prompt lacks less than the longest example, about 40 tokens, and the question's spread.
    int64_t most = 0;
    for (size_t q = 10 * i; q < 10 * (i + 1); ++q) most = std::max(most, std::ssize(task.questions[q].prompt));
    EXPECT_LE(most + 12, task.lengths[i]);
    EXPECT_GT(most + 12 + 80, task.lengths[i]);
  }
  // A reader that looks for the last example about the same thing.
  RuleReader reader(tokenizer_, [](const std::string& prompt) -> std::string {
    const size_t last = prompt.rfind("Message: ");
    const std::string question = prompt.substr(last);
    for (size_t at = prompt.find("Message: "); at < last; at = prompt.find("Message: ", at + 1)) {
      const size_t label = prompt.find("\nLabel: ", at);
      const std::string example = prompt.substr(at, label - at);
      for (size_t the = example.find(" the "); the != std::string::npos; the = example.find(" the ", the + 1)) {
        const std::string thing = example.substr(the, 14);  // "before the weekend" tells nothing
        if (!thing.starts_with(" the weekend") && question.find(thing) != std::string::npos) {
          return fmt::format(" {}.\nMessage: more", prompt.substr(label + 8, prompt.find('\n', label + 1) - label - 8));
        }
      }
    }
    return "99";
  });
  EvalRunOptions in;
  in.directory = folder_.file("run");
  const ManyShotResult result = run_many_shot(reader, tokenizer_, task, in);
  ASSERT_EQ(result.lengths.size(), 2U);
  EXPECT_GE(result.lengths[1].hits, 5);
  EXPECT_EQ(result.lengths[1].questions, 10);
  EXPECT_EQ(result.metrics["lengths"][1]["shots"], task.shots[1]);
  EXPECT_EQ(result.metrics["chance"], 0.05);
  // Within a length all but the question is read once, and a longer length begins with the shorter one's examples.
  for (size_t i = 1; i < 20; ++i) EXPECT_GT(reader.reused()[i], 1850) << i;
  for (size_t i = 11; i < 20; ++i) EXPECT_GT(reader.reused()[i], 3850) << i;
  EXPECT_EQ(run_many_shot(reader, tokenizer_, task, in).metrics["lengths"], result.metrics["lengths"]);
  EXPECT_EQ(reader.questions(), 20);
}

TEST_F(ManyShotTest, ScoresTheFirstLine) {
  options_.examples = folder_.file("train.jsonl");
  options_.data = folder_.file("test.jsonl");
  std::string rows;
  for (int i = 0; i < 100; ++i)
    rows += dump_json({{"text", "sea " + std::to_string(i)}, {"label", i % 2 == 0 ? "Big Fish" : "bird"}}) + "\n";
  test::write(options_.examples, rows);
  test::write(options_.data, R"({"text": "shark", "label": "Big Fish"})"
                             "\n");
  options_.lengths = {600};
  const ManyShotTask task = make();
  EXPECT_EQ(task.classes, 2);
  ASSERT_EQ(task.questions.size(), 1U);
  EXPECT_HAS(tokenizer_.decode(task.questions[0].prompt), "Message: sea 1\nLabel: bird\n\nMessage: sea 2\nLabel: Big Fish\n\n");
  EXPECT_HAS(tokenizer_.decode(task.questions[0].prompt), "\n\nMessage: shark\nLabel:<|im_end|>");
  const auto hits = [&](const std::string& answer) {
    RuleReader reader(tokenizer_, [&](const std::string&) { return answer; });
    return run_many_shot(reader, tokenizer_, task, {}).lengths.at(0).hits;
  };
  for (const char* right : {"Big Fish", " big fish.\nMessage: x", "\nLabel: Big Fish", "The Big Fish"})
    EXPECT_EQ(hits(right), 1) << right;
  for (const char* wrong : {"", "bird", "Big Fish or bird", "Fish", "it is Big Fish", "bird\nBig Fish"})
    EXPECT_EQ(hits(wrong), 0) << wrong;
}

TEST_F(ManyShotTest, SaysWhatIsWrong) {
  options_.lengths = {50};
  EXPECT_HAS(input_error([&] { make(); }), "a length of 50 tokens has no room for an example");
  options_.lengths = {300};
  EXPECT_HAS(input_error([&] { make(); }), "have none of label");
  options_.lengths = {};
  EXPECT_HAS(input_error([&] { make(); }), "no lengths");
  options_.lengths = {4000};
  options_.examples = folder_.file("train.jsonl");
  EXPECT_HAS(input_error([&] { make(); }), "expected both or neither");
  options_.data = options_.examples;
  const auto refusal = [&](const std::string& text) {
    test::write(options_.examples, text);
    return input_error([&] { make(); });
  };
  EXPECT_HAS(refusal(""), "expected rows {text, label}");
  EXPECT_HAS(refusal("{\"text\": \"a\"}\n"), "train.jsonl:1: label: missing");
  EXPECT_HAS(refusal("{\"text\": \"a\", \"label\": \" the \"}\n"), "train.jsonl:1: label: expected a word");
  EXPECT_HAS(refusal("{\"text\": \"a\", \"label\": \"x\"}\n"), "all 1 examples fill");
}

}  // namespace
}  // namespace tenfold
