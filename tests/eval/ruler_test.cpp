// RULER's samples: what they hold, that they fit, that answers are found.
#include "eval/metrics/ruler.h"
#include "eval/ruler.h"
#include "eval_fixture.h"

#include <set>

namespace tenfold {
namespace {

using test::input_error;
using test::RuleReader;
using test::small_tokenizer;
using test::TemporaryDirectory;

/// Sentences of made-up small words.
std::string novel() {
  std::string text;
  for (int i = 0; i < 3000; ++i) {
    std::string word;
    for (int n = i * 7919 % 2000, k = 0; k < 5; ++k, n /= 5) word += std::string(1, "bdfgl"[n % 5]) + "aeiou"[(n + k) % 5];
    text += word + (i % 9 == 8 ? ". " : " ");
  }
  return text;
}

int64_t count(const std::string& text, const std::string& part) {
  int64_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

class Ruler : public testing::Test {
 protected:
  Ruler() {
    test::write(folder_.file("novel.txt"), novel());
    options_.haystack = {folder_.file("novel.txt")};
    options_.samples = 2;
    options_.lengths = {2500};
  }
  RulerTask make() { return make_ruler_task(tokenizer_, ChatTemplate::by_name("chatml"), options_); }
  RulerSample sample(const std::string& task, int64_t size, int64_t length = 8192, uint64_t stream = 1) {
    return RulerSamples(novel(), RulerWording()).make(task, size, length, 0, Rng(7, stream));
  }

  TemporaryDirectory folder_;
  Tokenizer tokenizer_ = small_tokenizer("qwen2");
  RulerOptions options_;
};

TEST_F(Ruler, NeedlesAreInTheirHaystack) {
  for (const auto& [task, needles, outputs] : {std::tuple("niah_single_1", 1, 1),
                                               {"niah_single_2", 1, 1},
                                               {"niah_single_3", 1, 1},
                                               {"niah_multikey_1", 4, 1},
                                               {"niah_multikey_2", 41, 1},
                                               {"niah_multikey_3", 41, 1},
                                               {"niah_multivalue", 4, 4},
                                               {"niah_multiquery", 4, 4}}) {
    const RulerSample made = sample(task, 40);
    EXPECT_EQ(count(made.input, "One of the secret "), needles) << task;
    ASSERT_EQ(std::ssize(made.outputs), outputs) << task;
    for (const std::string& output : made.outputs) EXPECT_EQ(count(made.input, ": " + output + "."), 1) << task;
    EXPECT_EQ(made.input.find("{"), std::string::npos) << task;
  }
  const RulerSample one = sample("niah_single_3", 40);
  EXPECT_TRUE(one.input.starts_with("A secret uuid is hidden in the text below. "));
  EXPECT_TRUE(one.answer_prefix.starts_with(" The secret uuid for ")) << one.answer_prefix;
  EXPECT_TRUE(one.answer_prefix.ends_with(" in the text above is"));
  EXPECT_EQ(one.outputs[0].size(), 36U);
  EXPECT_EQ(one.outputs[0][14], '4');
  const RulerSample four = sample("niah_multiquery", 40);
  EXPECT_EQ(count(four.answer_prefix, ", "), 3);
  EXPECT_EQ(count(four.answer_prefix, ", and "), 1);
  EXPECT_TRUE(four.answer_prefix.ends_with(" are"));
  // A sample is a function of its stream.
  EXPECT_EQ(sample("niah_multiquery", 40).input, four.input);
  EXPECT_NE(sample("niah_multiquery", 40, 8192, 2).input, four.input);
}

TEST_F(Ruler, VariablesFollowOneChain) {
  const RulerSample made = sample("vt", 30);
  ASSERT_EQ(made.outputs.size(), 5U);
  EXPECT_EQ(count(made.input, "VAR "), 2 * (5 + 4));  // the example's chain and the question's, each naming four twice
  size_t before = made.input.find("VAR " + made.outputs[0] + " = ");
  ASSERT_NE(before, std::string::npos);
  for (size_t i = 1; i < 5; ++i) {
    const size_t at = made.input.find("VAR " + made.outputs[i] + " = VAR " + made.outputs[i - 1] + " ");
    ASSERT_NE(at, std::string::npos);
    EXPECT_GT(at, before);
    before = at;
  }
  const std::string value = made.input.substr(made.input.find("VAR " + made.outputs[0] + " = ") + 12, 5);
  EXPECT_HAS(made.answer_prefix, "5 variables have the value " + value);
  EXPECT_EQ(count(made.input, "Answer: By the assignments"), 1);  // the example is answered
}

TEST_F(Ruler, CommonWordsAreCommon) {
  for (const auto& [length, often, seldom] : {std::tuple(8192, 30, 3), {2048, 6, 1}}) {
    const RulerSample made = sample("cwe", 50, length);
    ASSERT_EQ(made.outputs.size(), 10U);
    const std::string question = made.input.substr(made.input.rfind("Below is a numbered list"));
    for (const std::string& word : made.outputs)
      EXPECT_EQ(count(question, ". " + word + " ") + count(question, ". " + word + "\n"), often);
    EXPECT_EQ(count(question, ". "), 10 * often + 50 * seldom + 2);  // and two sentences of the wording
    EXPECT_EQ(count(made.input, "The 10 words that appear most often in the list are:"), 1);
  }
}

TEST_F(Ruler, CodedWordsFallWithTheirRank) {
  for (const int64_t size : {80, 500, 4000}) {
    const RulerSample made = sample("fwe", size, 4000);
    ASSERT_EQ(made.outputs.size(), 3U);
    std::map<std::string, int64_t> counts;
    std::string text = made.input.substr(made.input.find("below. ") + 7);
    text = text.substr(0, text.find("\nQuestion"));
    for (size_t at = 0; at < text.size(); at = text.find(' ', at) == std::string::npos ? text.size() : text.find(' ', at) + 1) {
      ++counts[text.substr(at, text.find(' ', at) - at)];
    }
    const int64_t third = counts[made.outputs[2]];
    EXPECT_GT(counts["..."], counts[made.outputs[0]]);
    EXPECT_GT(counts[made.outputs[0]], counts[made.outputs[1]]);
    EXPECT_GT(counts[made.outputs[1]], third);
    int64_t as_often = 0;
    for (const auto& [word, n] : counts) as_often += n >= third ? 1 : 0;
    EXPECT_EQ(as_often, 4) << size;
  }
}

TEST_F(Ruler, PromptsFillTheirLengthAndAreFound) {
  const RulerTask task = make();
  ASSERT_EQ(task.questions.size(), 22U);
  for (size_t i = 0; i < task.questions.size(); ++i) {
    const int64_t whole = std::ssize(task.questions[i].prompt) + task.decoding(i).max_new_tokens;
    EXPECT_LE(whole, 2500) << task.questions[i].id;
    EXPECT_GE(whole, 2250) << task.questions[i].id;
  }
  EXPECT_EQ(task.questions[0].id, "niah_single_1-2500-0");
  // A reader that repeats its prompt's needles finds them; the counts of words it misses.
  RuleReader model(tokenizer_, [](const std::string& prompt) {
    const size_t at = prompt.find("One of the secret numbers");
    return at == std::string::npos ? "nothing" : prompt.substr(at, prompt.find('.', at) - at);
  });
  const RulerResult result = run_ruler(model, tokenizer_, task, {});
  ASSERT_EQ(result.lengths.size(), 1U);
  EXPECT_EQ(result.lengths[0].tasks.at("niah_single_1"), 100.0);
  EXPECT_EQ(result.lengths[0].tasks.at("niah_multivalue"), 25.0);
  EXPECT_EQ(result.lengths[0].tasks.at("cwe"), 0.0);
  EXPECT_FALSE(result.effective_length.has_value());
  EXPECT_EQ(result.metrics["lengths"][0]["tasks"]["niah_single_1"]["hits"], 2);
  EXPECT_EQ(make().questions[5].prompt, task.questions[5].prompt);
}

TEST_F(Ruler, TheEffectiveLengthIsTheLongestThatIsGoodEnough) {
  options_.lengths = {2000, 1000, 500};
  options_.tasks = {"niah_single_1"};
  const RulerTask task = make();
  EXPECT_EQ(task.lengths, (std::vector<int64_t>{500, 1000, 2000}));
  RuleReader model(tokenizer_, [&](const std::string& prompt) {
    const size_t at = prompt.find("One of the secret");
    return tokenizer_.encode(prompt).size() > 1000 ? "no" : prompt.substr(at, prompt.find('.', at) - at);
  });
  const RulerResult result = run_ruler(model, tokenizer_, task, {});
  EXPECT_EQ(result.effective_length, 1000);
  EXPECT_EQ(result.metrics["by_prompt_tokens"].size(), 2U);
}

TEST_F(Ruler, AsksAboutDocuments) {
  test::write(folder_.file("squad.json"), [] {
    Json paragraphs = Json::array();
    for (int i = 0; i < 60; ++i) {
      const std::string n = std::to_string(i);
      paragraphs.push_back({{"context", "House " + n + " is colour " + n + "."},
                            {"qas",
                             {{{"question", "Colour of house " + n + "?"}, {"answers", {{{"text", "colour " + n}}}}},
                              {{"question", "Never?"}, {"is_impossible", true}, {"answers", Json::array()}}}}});
    }
    return dump_json({{"data", {{{"paragraphs", paragraphs}}}}});
  }());
  test::write(folder_.file("hotpot.json"), [] {
    Json all = Json::array();
    for (int i = 0; i < 60; ++i) {
      const std::string n = std::to_string(i);
      all.push_back({{"question", "Q" + n},
                     {"answer", "A" + n},
                     {"context", Json::array({Json::array({"Title " + n, {"One. ", "A" + n + "."}})})}});
    }
    return dump_json(all);
  }());
  options_.tasks = {"qa_1,qa_2"};
  options_.lengths = {500};
  EXPECT_HAS(input_error([&] { make(); }), "qa_1 needs --squad FILE");
  options_.squad = folder_.file("squad.json");
  options_.hotpot = folder_.file("hotpot.json");
  const RulerTask task = make();
  const std::string prompt = tokenizer_.decode(task.questions[1].prompt);
  EXPECT_HAS(prompt, "House 1 is colour 1.");
  EXPECT_HAS(prompt, "Document 1:\nHouse");
  EXPECT_HAS(prompt, "Question: Colour of house 1?");
  EXPECT_HAS(tokenizer_.decode(task.questions[2].prompt), "Title 0\nOne. A0.");
  EXPECT_EQ(task.outputs[1], std::vector<std::string>{"colour 1"});
  test::write(folder_.file("squad.json"), R"({"data": [{"paragraphs": [{"context": 1}]}]})");
  EXPECT_HAS(input_error([&] { make(); }), "squad.json: data[].paragraphs[]: context: expected a string");
  test::write(folder_.file("squad.json"), R"({"data": []})");
  EXPECT_HAS(input_error([&] { make(); }), "expected questions with answers, got none");
}

TEST_F(Ruler, SaysWhatIsWrong) {
  options_.tasks = {"cwe"};
  options_.lengths = {200};
  EXPECT_HAS(input_error([&] { make(); }), "a length of 200 tokens is too small for cwe");
  options_.lengths = {100000};
  EXPECT_HAS(input_error([&] { make(); }), "give it more text or leave it out");
  options_.tasks = {"cwf"};
  EXPECT_HAS(input_error([&] { make(); }), "near names: \"cwe\"");
  test::write(folder_.file("novel.txt"), "too few words");
  options_.tasks = {"vt"};
  EXPECT_HAS(input_error([&] { make(); }), "at least 200 different words");
  test::write(folder_.file("w.json"), R"({"nia": "x"})");
  EXPECT_HAS(input_error([&] { RulerWording::from_json(folder_.file("w.json")); }), "unknown key \"nia\"");
}

TEST(RulerShare, CountsReferencesWhateverTheCase) {
  const std::vector<std::string> two = {"Ab", "cd"};
  EXPECT_EQ(ruler_share(" xaB ", two), 0.5);
  EXPECT_EQ(ruler_share("CD\x01 ab", two), 1.0);
  EXPECT_EQ(ruler_share("", two), 0.0);
  EXPECT_EQ(ruler_share("x", {}), 0.0);
}

}  // namespace
}  // namespace tenfold
