#include "eval/needle.h"

#include "eval/haystack.h"
#include "eval/passkey.h"
#include "eval/reference_layout.h"
#include "eval_fixture.h"

#include <algorithm>
#include <filesystem>
#include <set>

namespace tenfold {
namespace {

using test::golden;
using test::input_error;
using test::RuleReader;
using test::TemporaryDirectory;

NeedleOptions needle_options() {
  NeedleOptions options;
  options.haystack = golden("haystack");
  options.lengths = {400, 700, 1500};
  options.depths = {0, 25, 50, 100};
  return options;
}

/// Says the default needle's sentence where its place in the prompt is in the first half, else something else.
std::string half_reader(const std::string& prompt) {
  const size_t at = prompt.find("The lighthouse keeper");
  EXPECT_NE(at, std::string::npos);
  if (at < prompt.size() / 2)
    return "The lighthouse keeper of Port Merrin hides the spare key inside a blue teapot on the third shelf.";
  return " I do not know\n";
}

class NeedleTest : public ::testing::Test {
 protected:
  Tokenizer tokenizer_ = test::small_tokenizer("llama3");
  ChatTemplate chat_ = ChatTemplate::by_name("llama-3");
};

TEST_F(NeedleTest, ScoresCellsAndSumsThemUp) {
  const GridTask task = make_needle_task(tokenizer_, chat_, needle_options());
  RuleReader reader(tokenizer_, half_reader);
  GridResult result = run_needle(reader, tokenizer_, task, {});
  ASSERT_EQ(result.cells.size(), 3U);
  EXPECT_EQ(result.total, 12);
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 4; ++j) {
      const GridCell& cell = result.cells[i][j];
      EXPECT_EQ(cell.length, task.options.lengths[i]);
      EXPECT_EQ(cell.depth, task.options.depths[j]);
      EXPECT_NEAR(static_cast<double>(cell.prompt_tokens), static_cast<double>(cell.length) + 10, 6);
      EXPECT_EQ(cell.hit, cell.exact);
      EXPECT_EQ(cell.score, cell.hit ? 0.97 : 0.0) << cell.output;  // the "" word of the needle's newlines (evaluations.md 3)
      if (j < 2) {
        EXPECT_TRUE(cell.hit);
      }
      if (j == 3) {
        EXPECT_FALSE(cell.hit);
        EXPECT_EQ(cell.output, " I do not know\n") << "outputs are not stripped";
      }
    }
  }
  int64_t hits = 0;
  for (const LengthSummary& s : result.by_length) {
    EXPECT_EQ(s.cells, 4);
    hits += s.hits;
  }
  EXPECT_EQ(hits, result.hits);
  EXPECT_EQ(result.metrics.at("hits"), result.hits);
  EXPECT_EQ(result.metrics.at("total"), 12);
  EXPECT_EQ(result.metrics.at("rouge").at("400").at("0"), 0.97);
  EXPECT_EQ(result.metrics.at("cells").size(), 12U);
  EXPECT_EQ(result.metrics.at("truncated"), 0);
  EXPECT_LT(result.interval.low, static_cast<double>(result.hits) / 12);
  EXPECT_GT(result.interval.high, static_cast<double>(result.hits) / 12);
}

TEST_F(NeedleTest, EachPromptSharesWhatPrecedesTheNeedleBefore) {
  const GridTask task = make_needle_task(tokenizer_, chat_, needle_options());
  const auto description = std::ssize(tokenizer_.encode(NeedleWording().description));
  const auto template_tokens = 5;  // begin_of_text, header, "user", header, newlines
  RuleReader reader(tokenizer_, half_reader);
  run_needle(reader, tokenizer_, task, {});
  ASSERT_EQ(std::ssize(reader.reused()), std::ssize(task.questions));
  int64_t longest_before = 0;
  for (size_t i = 1; i < task.questions.size(); ++i) {
    // Tokens before the needle of the question before, without the splice: encoding again may join a token or two there.
    const std::string& id = task.questions[i - 1].id;
    const int64_t length = std::stoll(id.substr(0, id.find('-')));
    const int64_t depth = std::stoll(id.substr(id.find('-') + 1));
    const PromptParts parts = {length, description, std::ssize(tokenizer_.encode(NeedleWording().needle)),
                               std::ssize(tokenizer_.encode(NeedleWording().question))};
    const int64_t before = template_tokens + parts.position(depth);
    EXPECT_GE(reader.reused()[i], before - 3) << task.questions[i].id << " after " << id;
    EXPECT_GE(before, longest_before) << "deeper questions come later";
    longest_before = before;
  }
}

TEST_F(NeedleTest, CleanUpChangesPromptsAndOutputs) {
  NeedleOptions options = needle_options();
  options.clean_up = true;
  const GridTask task = make_needle_task(tokenizer_, chat_, options);
  RuleReader reader(tokenizer_, [](const std::string& prompt) {
    EXPECT_EQ(prompt.find("lamp ,"), std::string::npos);
    return std::string("blue teapot , or n't .");
  });
  const GridResult result = run_needle(reader, tokenizer_, task, {});
  EXPECT_EQ(result.cells[0][0].output, "blue teapot, orn't.");
  EXPECT_EQ(result.hits, 12);
}

TEST_F(NeedleTest, AFileIsStrippedAndRepeated) {
  const TemporaryDirectory directory;
  test::write(directory.file("h.txt"), "\n\n  Only nine words are in this little text here.  \n");
  EXPECT_EQ(load_haystack(directory.file("h.txt"), tokenizer_, 10000), "Only nine words are in this little text here.");
  NeedleOptions options = needle_options();
  options.haystack = directory.file("h.txt");
  options.lengths = {300};
  options.depths = {0};
  const GridTask task = make_needle_task(tokenizer_, chat_, options);
  const std::string prompt = tokenizer_.decode(task.questions[0].prompt);
  EXPECT_HAS(prompt, "text here.Only nine words");  // repeated without a separator
  EXPECT_NEAR(static_cast<double>(task.questions[0].prompt.size()), 310, 5);
}

TEST_F(NeedleTest, AFolderIsReadInOrderUntilItIsEnough) {
  const TemporaryDirectory directory;
  test::write(directory.file("b.txt"), "second file ");
  test::write(directory.file("a.md"), " first file\n");
  test::write(directory.file("c.txt"), "third file");
  test::write(directory.file("d.json"), "{}");
  EXPECT_EQ(load_haystack(directory.path(), tokenizer_, 100), " first file\nsecond file third file");
  const auto first = std::ssize(tokenizer_.encode(" first file\n"));
  EXPECT_EQ(load_haystack(directory.path(), tokenizer_, first - 1), " first file\n");
  EXPECT_EQ(load_haystack(directory.path(), tokenizer_, first), " first file\nsecond file ")
      << "more than the longest, not as many";
}

TEST_F(NeedleTest, SaysWhatIsWrong) {
  const TemporaryDirectory directory;
  const auto message = [&](const std::function<void(NeedleOptions&)>& change) {
    NeedleOptions options = needle_options();
    change(options);
    return input_error([&] { make_needle_task(tokenizer_, chat_, options); });
  };
  EXPECT_HAS(message([](auto& o) { o.lengths = {40}; }), "a length of 40 tokens is too small");
  EXPECT_HAS(message([](auto& o) { o.lengths = {}; }), "--lengths");
  EXPECT_HAS(message([](auto& o) { o.lengths = {400, 400}; }), "twice");
  EXPECT_HAS(message([](auto& o) { o.depths = {101}; }), "--depths: 101");
  EXPECT_HAS(message([](auto& o) { o.depths = {}; }), "--depths");
  EXPECT_HAS(message([](auto& o) { o.max_new_tokens = 0; }), "--max-new-tokens");
  EXPECT_HAS(message([](auto& o) { o.haystack = "/nowhere/at/all"; }), "/nowhere/at/all");
  EXPECT_HAS(message([&](auto& o) { o.haystack = directory.path(); }), "no *.txt or *.md");
  test::write(directory.file("empty.txt"), " \n ");
  EXPECT_HAS(message([&](auto& o) { o.haystack = directory.file("empty.txt"); }), "no words");
  test::write(directory.file("bad.txt"), "good \xFF bad");
  const std::string bad = message([&](auto& o) { o.haystack = directory.file("bad.txt"); });
  EXPECT_HAS(bad, "bad.txt");
  EXPECT_HAS(bad, "byte 5");
  EXPECT_HAS(message([](auto& o) { o.wording.needle = "\n\n", o.wording.answer = ""; }), "no words");
}

TEST_F(NeedleTest, TheSmallestLengthThatFits) {
  NeedleOptions options = needle_options();
  const auto parts = std::ssize(tokenizer_.encode(options.wording.description)) +
                     std::ssize(tokenizer_.encode(options.wording.needle)) +
                     std::ssize(tokenizer_.encode(options.wording.question));
  options.lengths = {parts + 1};
  EXPECT_EQ(make_needle_task(tokenizer_, chat_, options).questions.size(), 4U);
  options.lengths = {parts};
  EXPECT_HAS(input_error([&] { make_needle_task(tokenizer_, chat_, options); }), "too small");
}

TEST_F(NeedleTest, ASessionThatIsTooShortIsRefusedBeforeAsking) {
  const GridTask task = make_needle_task(tokenizer_, chat_, needle_options());
  RuleReader reader(tokenizer_, half_reader);
  reader.set_capacity(task.tokens_needed() - 1);
  EXPECT_HAS(input_error([&] { run_needle(reader, tokenizer_, task, {}); }), "was made for");
  EXPECT_EQ(reader.questions(), 0);
  reader.set_capacity(task.tokens_needed());
  EXPECT_EQ(run_needle(reader, tokenizer_, task, {}).total, 12);
}

TEST_F(NeedleTest, WordingFromAFile) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("w.json");
  test::write(path, R"({"needle": "N is M.", "question": "What is N?"})");
  const NeedleWording wording = NeedleWording::from_json(path);
  EXPECT_EQ(wording.needle, "N is M.");
  EXPECT_EQ(wording.question, "What is N?");
  EXPECT_EQ(wording.description, NeedleWording().description);
  EXPECT_EQ(wording.answer, "") << "the default answer belongs to the default needle";
  NeedleOptions options = needle_options();
  options.wording = wording;
  EXPECT_EQ(make_needle_task(tokenizer_, chat_, options).questions[0].about.at("answer"), "N is M.");
  test::write(path, R"({"nedle": "x"})");
  EXPECT_HAS(input_error([&] { NeedleWording::from_json(path); }), "known: description, needle, question, answer");
  test::write(path, R"({"needle": 3})");
  EXPECT_HAS(input_error([&] { NeedleWording::from_json(path); }), "needle: expected a string");
  test::write(path, R"([])");
  EXPECT_HAS(input_error([&] { NeedleWording::from_json(path); }), "expected an object");
  test::write(path, R"({"question": ""})");
  EXPECT_HAS(input_error([&] { NeedleWording::from_json(path); }), "question: expected a text");
}

TEST_F(NeedleTest, MetricsAreWrittenWhenTheGridIsWhole) {
  const TemporaryDirectory directory;
  EvalRunOptions options;
  options.directory = directory.file("eval/needle");
  const GridTask task = make_needle_task(tokenizer_, chat_, needle_options());
  RuleReader reader(tokenizer_, half_reader);
  EvalCallbacks callbacks;
  callbacks.should_stop = [&] { return reader.questions() == 5; };
  const GridResult part = run_needle(reader, tokenizer_, task, options, callbacks);
  EXPECT_TRUE(part.run.interrupted);
  EXPECT_EQ(part.total, 5);
  EXPECT_FALSE(std::filesystem::exists(directory.file("eval/needle/metrics.json")));
  const GridResult whole = run_needle(reader, tokenizer_, task, options);
  EXPECT_EQ(reader.questions(), 12);
  EXPECT_EQ(whole.total, 12);
  const Json written = parse_json(read_text_file(directory.file("eval/needle/metrics.json")), "metrics.json");
  EXPECT_EQ(written.at("hits"), whole.hits);
  const Json config = parse_json(read_text_file(directory.file("eval/needle/config.json")), "config.json");
  EXPECT_EQ(config.at("notes").at("haystack"), golden("haystack"));
  EXPECT_EQ(config.at("wording").at("answer"), "blue teapot");
}

TEST_F(NeedleTest, AnAnswerWithoutItsOutputIsNamed) {
  const TemporaryDirectory directory;
  EvalRunOptions options;
  options.directory = directory.path();
  const GridTask task = make_needle_task(tokenizer_, chat_, needle_options());
  RuleReader reader(tokenizer_, half_reader);
  run_needle(reader, tokenizer_, task, options);
  const std::string hash = hash_of_ids(task.questions[0].prompt);
  test::write(directory.file("answers.jsonl"),
              fmt::format("{{\"id\": \"{}\", \"prompt_hash\": \"{}\"}}\n", task.questions[0].id, hash));
  const std::string message = input_error([&] { run_needle(reader, tokenizer_, task, options); });
  EXPECT_HAS(message, "answers.jsonl");
  EXPECT_HAS(message, "output");
}

TEST(Passkey, ScoresTheFirstNumber) {
  const Tokenizer tokenizer = test::small_tokenizer("qwen2");
  PasskeyOptions options;
  options.lengths = {300, 500};
  options.depths = {0, 50, 100};
  const GridTask task = make_passkey_task(tokenizer, ChatTemplate::by_name("chatml"), options);
  std::set<std::string> keys;
  for (const EvalQuestion& q : task.questions) keys.insert(q.about.at("target").get<std::string>());
  EXPECT_EQ(keys.size(), 6U);
  // Reads the key; at the deepest place says another number first.
  RuleReader reader(tokenizer, [](const std::string& prompt) {
    const size_t at = prompt.find("The code of the safe is ");
    EXPECT_NE(at, std::string::npos);
    const std::string key = prompt.substr(at + 24, 5);
    const bool deep = at > prompt.size() * 3 / 4;
    return deep ? "Not 1, but " + key : " It is " + key + ". 77";
  });
  const GridResult result = run_passkey(reader, tokenizer, task, {});
  EXPECT_EQ(result.hits, 6) << "the key is in every output";
  for (const auto& row : result.cells) {
    EXPECT_TRUE(row[0].exact && row[1].exact);
    EXPECT_EQ(row[0].score, 1.0);
    EXPECT_FALSE(row[2].exact);
    EXPECT_LT(row[2].score, 0.5);
  }
  EXPECT_NEAR(result.metrics.at("accuracy_mean").get<double>(), 4.0 / 6, 1e-12);
}

TEST(Passkey, SaysWhatIsWrong) {
  const Tokenizer tokenizer = test::small_tokenizer("qwen2");
  const ChatTemplate chat = ChatTemplate::by_name("chatml");
  const auto message = [&](const std::function<void(PasskeyOptions&)>& change) {
    PasskeyOptions options;
    options.lengths = {400};
    options.depths = {50};
    change(options);
    return input_error([&] { make_passkey_task(tokenizer, chat, options); });
  };
  EXPECT_HAS(message([](auto& o) { o.digits = 0; }), "--digits");
  EXPECT_HAS(message([](auto& o) { o.digits = 19; }), "--digits");
  EXPECT_HAS(message([](auto& o) { o.wording.information = "no hole"; }), "{key}");
  EXPECT_HAS(message([](auto& o) { o.wording.noise = "a b"; }), "noise is too short");
  EXPECT_HAS(message([](auto& o) { o.lengths = {30}; }), "too small");
}

TEST(ReferenceLayout, WritesThePublishedFiles) {
  const TemporaryDirectory directory;
  GridResult result;
  result.cells = {
      {{.length = 8000,
        .depth = 0,
        .prompt_tokens = 8010,
        .target = "\n\nT.\n\n",
        .output = " caf\xC3\xA9 \xF0\x9F\x98\x80",
        .score = 0.97},
       {.length = 8000, .depth = 11, .prompt_tokens = 8010, .target = "\n\nT.\n\n", .output = "T.", .exact = true, .score = 1.0}},
      std::vector<GridCell>(2)};  // not answered
  ReferenceLayout layout;
  layout.directory = directory.file("results/needle");
  layout.result_dir = reference_result_dir("/models/org/name/", "");
  EXPECT_EQ(layout.result_dir, "org/name");
  EXPECT_EQ(reference_result_dir("m", "a/b/c"), "b/c");
  EXPECT_EQ(reference_result_dir("m.gguf", ""), "m.gguf");
  EXPECT_EQ(reference_result_dir("../../m.gguf", ""), "m.gguf");
  layout.command = "tenfold eval needle \"x\"";
  layout.arguments = {{"seed", 42}, {"name", "\xC3\xA9"}, {"rope_theta", 2e8}};
  layout.unix_time = 1714060800;  // 2024-04-25 16:00 UTC
  write_reference_layout(layout, "needle", result);
  EXPECT_EQ(
      read_text_file(directory.file("results/needle/org/name/results.json")),
      R"({"8000": {"0": [{"target": "\n\nT.\n\n", "prediction": " caf\u00e9 \ud83d\ude00"}], "11": [{"target": "\n\nT.\n\n", "prediction": "T."}]}})");
  EXPECT_EQ(read_text_file(directory.file("results/needle/org/name/config.json")),
            R"({"seed": 42, "name": "\u00e9", "rope_theta": 200000000.0})");
  const std::string entry =
      "Time      : \"2024-04-26, 00:00:00\"\nCommand   : \"tenfold eval needle \\\"x\\\"\"\nArgs      : {\"seed\": 42, \"name\": "
      "\"\xC3\xA9\", "
      "\"rope_theta\": 200000000.0}\nMetrics   : {\"rouge\": {\"8000\": {\"0\": 0.97, \"11\": 1.0}}}\n\n";
  EXPECT_EQ(read_text_file(directory.file("results/needle/metrics.log")), entry);
  write_reference_layout(layout, "needle", result);
  EXPECT_EQ(read_text_file(directory.file("results/needle/metrics.log")), entry + entry);
}

TEST(ReferenceLayout, PasskeyKeepsTheDigits) {
  const TemporaryDirectory directory;
  GridResult result;
  result.cells = {{{.length = 512,
                    .depth = 50,
                    .prompt_tokens = 520,
                    .target = "12345",
                    .output = "It is 12345.",
                    .exact = true,
                    .score = 1.0}}};
  write_reference_layout({.directory = directory.path(), .result_dir = "m", .command = "c"}, "passkey", result);
  EXPECT_EQ(read_text_file(directory.file("m/results.json")),
            R"({"512": {"50": [{"target": "12345", "prediction": "12345", "output": "It is 12345."}]}})");
  EXPECT_HAS(read_text_file(directory.file("metrics.log")),
             R"(Metrics   : {"accuracy": {"512": {"50": 1.0}}, "fuzz": {"512": {"50": 1.0}}})");
}

}  // namespace
}  // namespace tenfold
