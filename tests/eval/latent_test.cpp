// Latent needles: what they ask must not give them away, and what comes of them.
#include "eval/latent.h"

#include "eval/metrics/answers.h"
#include "eval/metrics/text.h"
#include "eval_fixture.h"

#include <set>

namespace tenfold {
namespace {

using test::golden;
using test::input_error;
using test::RuleReader;
using test::TemporaryDirectory;

LatentOptions latent_options() {
  LatentOptions options;
  options.haystack = golden("haystack");
  options.lengths = {1200, 300};
  options.depths = {0, 50, 100};
  options.pairs = 4;
  return options;
}

/// What is hidden before and after names a place, and the rule reads the name.
std::string hidden_name(const std::string& prompt) {
  for (const std::string& name : LatentWording().names) {
    if (prompt.find(name) != std::string::npos) return name;
  }
  return "nobody";
}

class LatentTest : public ::testing::Test {
 protected:
  LatentTask make(const LatentOptions& options) { return make_latent_task(tokenizer_, ChatTemplate::by_name("chatml"), options); }
  TemporaryDirectory folder_;
  Tokenizer tokenizer_ = test::small_tokenizer("qwen2");
};

/// Words of a text by their first four letters, so that "walk" and "walking" are one; small words that any sentence has left out.
std::set<std::string> stems(const std::string& text) {
  const std::set<std::string> common = {"who", "whos", "is", "was", "has", "in",   "of",
                                        "to",  "on",   "at", "and", "for", "from", "been"};
  std::set<std::string> out;
  const std::string normal = normalize_answer(text);
  for (const std::string_view word : split_words(normal)) {
    if (const std::string stem(word.substr(0, 4)); !common.contains(stem)) out.insert(stem);
  }
  return out;
}

TEST(LatentWordingTest, NoQuestionSharesAWordWithItsSentence) {
  const LatentWording wording;
  EXPECT_EQ(wording.pairs.size(), 20U);
  std::set<std::string> questions;
  for (const LatentPair& pair : wording.pairs) {
    EXPECT_HAS(pair.needle, "{name}");
    questions.insert(pair.question);
    const auto needle = stems(pair.needle);
    for (const std::string& stem : stems(pair.question)) EXPECT_FALSE(needle.contains(stem)) << pair.question << ": " << stem;
  }
  EXPECT_EQ(questions.size(), 20U);
}

TEST_F(LatentTest, AsksEachPairAtEveryPlaceAndFindsTheEffectiveLength) {
  const LatentTask task = make(latent_options());
  ASSERT_EQ(task.questions.size(), 24U);
  EXPECT_EQ(task.lengths, (std::vector<int64_t>{300, 1200}));
  std::set<std::string> names;
  for (const EvalQuestion& question : task.questions) {
    const std::string prompt = tokenizer_.decode(question.prompt);
    const auto name = question.about["target"].get<std::string>();
    names.insert(name);
    EXPECT_HAS(prompt, name);
    EXPECT_EQ(hidden_name(prompt), name) << "no other name is in it";
    EXPECT_HAS(prompt, LatentWording().pairs[question.about["pair"].get<size_t>()].question);
    EXPECT_NEAR(static_cast<double>(question.prompt.size()), question.about["length"].get<double>() + 8, 8);
  }
  EXPECT_GT(names.size(), 5U) << "a name cannot be learned from the other questions";
  // Reads everything that is short; of the long ones the needles near the end alone. Names count however they are written.
  RuleReader reader(tokenizer_, [](const std::string& prompt) {
    const std::string name = hidden_name(prompt);
    std::string loud = name;
    std::transform(loud.begin(), loud.end(), loud.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return prompt.size() < 2500 || prompt.find(name) > prompt.size() / 2 ? "It is " + loud + "." : "I do not know";
  });
  EvalRunOptions in;
  in.directory = folder_.file("latent");
  const LatentResult result = run_latent(reader, tokenizer_, task, in);
  ASSERT_EQ(result.lengths.size(), 2U);
  EXPECT_EQ(result.lengths[0].hits, 12);
  EXPECT_LT(result.lengths[1].hits, 9);
  EXPECT_GT(result.lengths[1].hits, 3);
  EXPECT_EQ(result.base, 1.0);
  EXPECT_EQ(result.effective_length, 300);
  EXPECT_EQ(result.metrics["by_depth"].size(), 3U);
  EXPECT_EQ(result.metrics["by_depth"][2]["hits"], 8);
  EXPECT_EQ(result.metrics["by_pair"].size(), 4U);
  // What precedes a needle is read once, whatever the pair.
  int64_t reused = 0;
  for (const int64_t tokens : reader.reused()) reused += tokens;
  EXPECT_GT(reused, 5000);
  EXPECT_EQ(run_latent(reader, tokenizer_, task, in).metrics["by_length"], result.metrics["by_length"]);
  EXPECT_EQ(reader.questions(), 24);
}

TEST_F(LatentTest, WithoutABaseThereIsNoEffectiveLength) {
  RuleReader silent(tokenizer_, [](const std::string&) { return "no"; });
  const LatentResult result = run_latent(silent, tokenizer_, make(latent_options()), {});
  EXPECT_EQ(result.base, 0);
  EXPECT_FALSE(result.effective_length.has_value());
  EXPECT_TRUE(result.metrics["effective_length"].is_null());
}

TEST_F(LatentTest, NamesOfTheTextAreNotTaken) {
  const std::string text = folder_.file("text.txt");
  LatentOptions options = latent_options();
  options.haystack = text;
  options.wording.names = {"Ann", "Bob"};
  test::write(text, "Ann went to the sea. ");
  for (const EvalQuestion& question : make(options).questions) EXPECT_EQ(question.about["target"], "Bob");
  test::write(text, "Ann and Bob went to the sea. ");
  EXPECT_HAS(input_error([&] { make(options); }), "each of the 2 names is in it already");
}

TEST_F(LatentTest, ReadsAWordingAndSaysWhatIsWrong) {
  const std::string path = folder_.file("w.json");
  const auto refusal = [&](const std::string& text) {
    test::write(path, text);
    return input_error([&] { LatentWording::from_json(path); });
  };
  EXPECT_HAS(refusal("[]"), "w.json: expected an object, got array");
  EXPECT_HAS(refusal(R"({"needle": "x"})"), "unknown key \"needle\"; known: description, ask, pairs, names");
  EXPECT_HAS(refusal(R"({"ask": "Who?"})"), "ask: expected {question} in it");
  EXPECT_HAS(refusal(R"({"pairs": []})"), "pairs: expected a list");
  EXPECT_HAS(refusal(R"({"pairs": [{"needle": "x", "question": "y"}]})"), "pairs[0]: needle: expected {name} in it");
  EXPECT_HAS(refusal(R"({"pairs": [{"needle": "{name}", "question": " "}]})"), "pairs[0]: question: expected a text");
  EXPECT_HAS(refusal(R"({"pairs": [{"needle": "{name}", "question": "y", "answer": "z"}]})"), "unknown key \"answer\"");
  EXPECT_HAS(refusal(R"({"names": ["Ann", " "]})"), "names: expected names");
  test::write(path, R"({"pairs": [{"needle": "{name} is, {name}.", "question": "Who?"}], "ask": "Q {question}"})");
  LatentOptions options = latent_options();
  options.wording = LatentWording::from_json(path);
  const LatentTask task = make(options);
  EXPECT_EQ(task.questions.size(), 6U);
  const auto name = task.questions[0].about["target"].get<std::string>();
  EXPECT_HAS(tokenizer_.decode(task.questions[0].prompt), name + " is, " + name + ".");
  options.lengths = {40};
  EXPECT_HAS(input_error([&] { make(options); }), "eval latent: a length of 40 tokens is too small");
  options.lengths = {};
  EXPECT_HAS(input_error([&] { make(options); }), "eval latent: no lengths");
}

}  // namespace
}  // namespace tenfold
