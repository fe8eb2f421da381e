// LongBench on small made-up files, and on the samples where they are.
#include "eval/longbench.h"
#include "eval/prompt.h"
#include "eval_fixture.h"

namespace tenfold {
namespace {

using test::input_error;
using test::RuleReader;
using test::small_tokenizer;
using test::TemporaryDirectory;

constexpr const char* kPrompts =
    R"({"qasper": "Read {context}. Asked: {input}?", "trec": "{context}\n{input}", "lcc": "Go on:\n{context}",
"gov_report": "Sum up: {context}", "multifieldqa_zh": "{context} {input}", "passage_retrieval_en": "{context} {input}"})";
constexpr const char* kBudgets =
    R"({"qasper": 8, "trec": 9, "lcc": 20, "gov_report": 11, "multifieldqa_zh": 12, "passage_retrieval_en": 13})";

std::string row(const std::string& input, const std::string& context, const Json& answers, int64_t length = 10,
                const Json& classes = nullptr) {
  return dump_json({{"input", input},
                    {"context", context},
                    {"answers", answers},
                    {"length", length},
                    {"dataset", "qasper"},
                    {"language", "en"},
                    {"all_classes", classes},
                    {"_id", "x"}}) +
         "\n";
}

class LongBench : public testing::Test {
 protected:
  LongBench() {
    test::write(folder_.file("dataset2prompt.json"), kPrompts);
    test::write(folder_.file("dataset2maxlen.json"), kBudgets);
    options_.data = {folder_.path()};
    options_.stop_ids = {0};
  }
  LongBenchTask make() { return make_longbench_task(tokenizer_, ChatTemplate::by_name("chatml"), options_); }
  LongBenchResult run(const LongBenchTask& task, RuleReader::Rule rule, const std::string& name = "") {
    RuleReader model(tokenizer_, std::move(rule));
    EvalRunOptions options;
    if (!name.empty()) options.directory = folder_.file(name);
    return run_longbench(model, tokenizer_, task, options);
  }

  TemporaryDirectory folder_;
  Tokenizer tokenizer_ = small_tokenizer("qwen2");
  LongBenchOptions options_;
};

TEST_F(LongBench, AsksEveryTaskInItsOwnWay) {
  test::write(folder_.file("qasper.jsonl"), row("who {context}", "a {input} b", {"Ann", "Bob Ann"}));
  test::write(folder_.file("trec.jsonl"), row("Type:", "Examples", {"Food"}, 10, {"Food", "Animal"}));
  test::write(folder_.file("lcc.jsonl"), row("", "int a;", {"int b = 2;"}));
  const LongBenchTask task = make();
  ASSERT_EQ(task.asked.questions.size(), 3U);
  EXPECT_EQ(task.missing.size(), 11U);
  // Braces in the data stay; few-shot and code go without the template; only the question's answer ends at a newline.
  EXPECT_EQ(tokenizer_.decode(task.asked.questions[0].prompt),
            "<|im_start|>user\nRead a {input} b. Asked: who {context}?<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(tokenizer_.decode(task.asked.questions[1].prompt), "Examples\nType:");
  EXPECT_EQ(task.asked.decoding(0).max_new_tokens, 8);
  EXPECT_EQ(task.asked.decoding(0).stop_ids, (std::vector<int32_t>{0, tokenizer_.encode("\n").back()}));
  EXPECT_EQ(task.asked.decoding(1).stop_ids, std::vector<int32_t>{0});
  EXPECT_EQ(task.asked.decoding(2).max_new_tokens, 20);

  const auto rule = [](const std::string& prompt) -> std::string {
    if (prompt.find("Asked") != std::string::npos) return " Ann.";
    return prompt.find("Type") != std::string::npos ? "\nFood\nAnimal" : "# a\nint b = 3;";
  };
  const LongBenchResult result = run(task, rule, "run");
  EXPECT_EQ(result.scores.tasks.at("qasper"), 100.0);
  EXPECT_EQ(result.scores.tasks.at("trec"), 100.0);  // of the first line alone
  EXPECT_EQ(result.scores.tasks.at("lcc"), 90.0);
  EXPECT_EQ(result.scores.average, 96.67);
  EXPECT_EQ(result.scores.categories["Code Completion"], 90.0);
  EXPECT_TRUE(result.metrics["mean_of_14"].is_null());
  ASSERT_EQ(result.published_files.size(), 3U);
  EXPECT_EQ(result.published_files[0].first, "qasper.json");
  EXPECT_EQ(result.published_files[0].second,
            "100.0\n{\"input\": \"who {context}\", \"answers\": [\"Ann\", \"Bob Ann\"], \"length\": 10, \"dataset\": \"qasper\", "
            "\"pred\": \" Ann.\"}\n");
  // What is written scores the same when it is read back.
  for (const auto& [name, text] : result.published_files) test::write(folder_.file(name), text);
  const LongBenchResult again = rescore_longbench({folder_.path()}, options_);
  EXPECT_EQ(again.scores.tasks, result.scores.tasks);
  EXPECT_EQ(again.published_files, result.published_files);
}

TEST_F(LongBench, WritesTogetherWhatIsDecodedAlike) {
  test::write(folder_.file("qasper.jsonl"), row("one", "a", {"x"}) + row("two", "b", {"x"}) + row("three", "c", {"x"}));
  test::write(folder_.file("lcc.jsonl"), row("", "int a;", {"y"}) + row("", "int b;", {"y"}));
  const LongBenchTask task = make();
  const auto rule = [](const std::string& prompt) { return prompt.substr(prompt.size() / 2); };
  RuleReader alone(tokenizer_, rule), together(tokenizer_, rule);
  together.set_at_once(4);
  EvalRunOptions first, second;
  first.directory = folder_.file("alone");
  second.directory = folder_.file("together");
  run_longbench(alone, tokenizer_, task, first);
  run_longbench(together, tokenizer_, task, second);
  EXPECT_EQ(alone.together(), (std::vector<int64_t>{1, 1, 1, 1, 1}));
  EXPECT_EQ(together.together(), (std::vector<int64_t>{3, 1, 1}));
  EXPECT_EQ(read_text_file(folder_.file("together/answers.jsonl")), read_text_file(folder_.file("alone/answers.jsonl")));
}

TEST_F(LongBench, StopsBetweenQuestionsThatAreWrittenTogether) {
  std::string rows;
  for (const char* name : {"one", "two", "three", "four", "five", "six"}) rows += row(name, "a", {"x"});
  test::write(folder_.file("qasper.jsonl"), rows);
  const LongBenchTask task = make();
  RuleReader model(tokenizer_, [](const std::string& prompt) { return prompt.substr(prompt.size() / 2); });
  model.set_at_once(4);
  EvalRunOptions options;
  options.directory = folder_.file("run");
  EvalCallbacks callbacks;
  callbacks.should_stop = [&] { return model.questions() == 2; };
  const LongBenchResult stopped = run_longbench(model, tokenizer_, task, options, callbacks);
  EXPECT_TRUE(stopped.run.interrupted);
  EXPECT_EQ(stopped.run.asked, 2);
  const LongBenchResult rest = run_longbench(model, tokenizer_, task, options);
  EXPECT_FALSE(rest.run.interrupted);
  EXPECT_EQ(rest.run.asked, 4);
  EXPECT_EQ(model.questions(), 6);
}

TEST_F(LongBench, CutsTheMiddleAndSaysSo) {
  std::string words;
  for (int i = 0; i < 60; ++i) words += " w" + std::to_string(i);
  test::write(folder_.file("lcc.jsonl"), row("", words, {"x"}) + row("", "short", {"y"}));
  options_.max_length = 21;
  const LongBenchTask task = make();
  const std::vector<int32_t> whole = tokenizer_.encode("Go on:\n" + words);
  const std::span<const int32_t> all(whole);
  EXPECT_EQ(tokenizer_.decode(task.asked.questions[0].prompt),
            tokenizer_.decode(all.first(10)) + tokenizer_.decode(all.last(10)));
  EXPECT_EQ(task.asked.questions[0].about["whole_prompt_tokens"], whole.size());
  EXPECT_FALSE(task.asked.questions[1].about.contains("truncated"));
  const LongBenchResult result = run(task, [](const std::string&) { return ""; });
  EXPECT_EQ(result.metrics["truncated"], 1);
  EXPECT_EQ(result.metrics["empty_answers"], 2);
  EXPECT_EQ(result.metrics["tasks"]["lcc"]["truncated"], 1);
  EXPECT_EQ(result.scores.tasks.at("lcc"), 0.0);
  options_.truncate_from_middle = false;
  EXPECT_EQ(tokenizer_.decode(make().asked.questions[0].prompt), tokenizer_.decode(all.last(21)));
}

TEST_F(LongBench, StopsAtNewlinesAsAsked) {
  test::write(folder_.file("qasper.jsonl"), row("q", "c", {"a"}));
  test::write(folder_.file("gov_report.jsonl"), row("", "c", {"a"}));
  const auto stops = [&](NewlineEos which) {
    options_.newline_eos = which;
    const LongBenchTask task = make();
    return std::pair(task.asked.decoding(0).stop_ids.size(), task.asked.decoding(1).stop_ids.size());
  };
  EXPECT_EQ(stops(NewlineEos::kQa), std::pair(size_t{2}, size_t{1}));
  EXPECT_EQ(stops(NewlineEos::kAll), std::pair(size_t{2}, size_t{2}));
  EXPECT_EQ(stops(NewlineEos::kOff), std::pair(size_t{1}, size_t{1}));
}

TEST_F(LongBench, PutsTheExtendedTasksInBucketsByLength) {
  test::write(folder_.file("qasper_e.jsonl"),
              row("q1", "c", {"sea"}, 3999) + row("q2", "c", {"hill"}, 4000) + row("q3", "c", {"sea"}, 4001));
  options_.tasks = {"e"};
  const LongBenchTask task = make();
  EXPECT_EQ(task.missing.size(), 12U);
  const LongBenchResult result = run(task, [](const std::string&) { return "sea"; });
  ASSERT_EQ(result.buckets.size(), 3U);
  EXPECT_EQ(result.buckets[0].second.tasks.at("qasper_e"), 100.0);
  EXPECT_EQ(result.buckets[1].second.average, 50.0);
  EXPECT_TRUE(result.buckets[2].second.average.is_null());
  EXPECT_TRUE(result.scores.average.is_null());
  EXPECT_TRUE(result.published_files[0].second.starts_with("{\"0-4k\": 100.0, \"4-8k\": 50.0, \"8k+\": null}\n"));
}

TEST_F(LongBench, SaysWhatIsWrongWithTheData) {
  const auto refusal = [&] { return input_error([&] { make(); }); };
  EXPECT_HAS(refusal(), "no file of the tasks asked for; expected TASK.jsonl");
  options_.tasks = {"qaspar"};
  EXPECT_HAS(refusal(), "got \"qaspar\"; near names: \"qasper\"");
  options_.tasks = {"qasper"};
  EXPECT_HAS(refusal(), "--tasks qasper: no qasper.jsonl");
  options_.tasks.clear();
  const auto with = [&](const std::string& text) {
    test::write(folder_.file("qasper.jsonl"), text);
    return refusal();
  };
  EXPECT_HAS(with("{}\n"), "qasper.jsonl:1: input: missing");
  EXPECT_HAS(with(R"({"input": "a", "context": 3, "answers": ["a"], "length": 1})"),
             "qasper.jsonl:1: context: expected a string");
  EXPECT_HAS(with(row("a", "b", Json::array())), "qasper.jsonl:1: answers: expected at least one");
  EXPECT_HAS(with(row("a", "b", "c")), "answers: expected a list of strings");
  EXPECT_HAS(with(""), "got none");
  std::filesystem::remove(folder_.file("qasper.jsonl"));
  test::write(folder_.file("trec.jsonl"), row("a", "b", {"c"}));
  EXPECT_HAS(refusal(), "trec.jsonl:1: all_classes: missing");
  std::filesystem::remove(folder_.file("trec.jsonl"));
  test::write(folder_.file("hotpotqa.jsonl"), row("a", "b", {"c"}));
  EXPECT_HAS(refusal(), "dataset2prompt.json: hotpotqa: missing");
  std::filesystem::remove(folder_.file("dataset2prompt.json"));
  EXPECT_HAS(refusal(), "name their folder with --prompts");
  options_.data = {folder_.file("hotpotqa.jsonl"), folder_.file("hotpotqa.jsonl")};
  EXPECT_HAS(refusal(), "hotpotqa is in");
  // A Chinese task is never scored with other words than jieba's.
  test::write(folder_.file("multifieldqa_zh.jsonl"), row("a", "b", {"c"}));
  options_.data = {folder_.file("multifieldqa_zh.jsonl")};
  options_.jieba_directory = folder_.path();
  EXPECT_HAS(refusal(), "multifieldqa_zh cannot be scored");
  // Beside others that nobody named it is left out, and that is said.
  test::write(folder_.file("dataset2prompt.json"), kPrompts);
  test::write(folder_.file("lcc.jsonl"), row("", "b", {"c"}));
  options_.data.push_back(folder_.file("lcc.jsonl"));
  const LongBenchTask rest = make();
  EXPECT_EQ(rest.refused, std::vector<std::string>{"multifieldqa_zh"});
  EXPECT_EQ(rest.asked.questions.size(), 1U);
  EXPECT_EQ(run(rest, [](const std::string&) { return "c"; }).metrics["tasks_refused"].size(), 1U);
  options_.tasks = {"lcc,multifieldqa_zh"};
  EXPECT_HAS(refusal(), "multifieldqa_zh cannot be scored");
  options_.tasks.clear();
  RuleReader small(tokenizer_, [](const std::string&) { return "x"; });
  small.set_capacity(4);
  test::write(folder_.file("dataset2prompt.json"), kPrompts);
  test::write(folder_.file("qasper.jsonl"), row("a", "b", {"c"}));
  options_.data = {folder_.file("qasper.jsonl")};
  const LongBenchTask task = make();
  EXPECT_HAS(input_error([&] { run_longbench(small, tokenizer_, task, {}); }), "the session was made for 4");
}

TEST(FillTemplate, FillsEachPlaceOnce) {
  const std::vector<std::pair<std::string_view, std::string_view>> values = {{"a", "{b}"}, {"b", "2"}};
  EXPECT_EQ(fill_template("{a}{b}{{a}}{a}", values, "t"), "{b}2{a}{b}");
  EXPECT_HAS(input_error([&] { fill_template("{c}", values, "file: task"); }),
             "file: task: unknown place {\"c\"}; known: {a}, {b}");
  EXPECT_HAS(input_error([&] { fill_template("x}", values, "t"); }), "a lone } at byte 1");
  EXPECT_HAS(input_error([&] { fill_template("x{a", values, "t"); }), "a lone { at byte 1");
}

TEST_F(LongBench, ReadsTheSamples) {
  const std::string samples = test::shared_data("longbench");
  if (samples.empty()) GTEST_SKIP() << test::kNoSharedData;
  options_.data = {samples + "/multi_news.first20.jsonl"};
  options_.max_length = 1000;
  LongBenchTask task = make();
  ASSERT_EQ(task.asked.questions.size(), 20U);
  EXPECT_EQ(task.asked.decoding(0).max_new_tokens, 512);
  const LongBenchResult news = run(task, [](const std::string&) { return "The police said no."; });
  EXPECT_GT(news.scores.tasks.at("multi_news"), 0.0);
  EXPECT_LT(news.scores.tasks.at("multi_news"), 10.0);
  EXPECT_EQ(news.metrics["truncated"], 20);
}

TEST_F(LongBench, ReadsTheChineseSamples) {
  const std::string samples = test::shared_data("longbench");
  if (samples.empty()) GTEST_SKIP() << test::kNoSharedData;
  if (test::jieba_directory().empty()) GTEST_SKIP() << test::kNoJieba;
  options_.jieba_directory = test::jieba_directory();
  options_.data = {samples + "/multifieldqa_zh.first10.jsonl"};
  const LongBenchTask task = make();
  ASSERT_EQ(task.asked.questions.size(), 10U);
  const std::string answer = task.rows[0]["answers"][0].get<std::string>();
  EXPECT_GT(run(task, [&](const std::string&) { return answer; }).scores.tasks.at("multifieldqa_zh"), 9.9);
}

}  // namespace
}  // namespace tenfold
