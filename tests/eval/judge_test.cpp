// Grades of a judge: over a real HTTP server in another process, from a file, and when the judge fails or answers nonsense.
#include "eval/judge.h"

#include "eval/judge_endpoint.h"
#include "eval/needle.h"
#include "eval/reference_layout.h"
#include "eval_fixture.h"
#include "support/local_server.h"

#include <filesystem>
#include <sstream>

namespace tenfold {
namespace {

using test::golden;
using test::http_reply;
using test::HttpRequest;
using test::input_error;
using test::LocalServer;
using test::RuleReader;
using test::TemporaryDirectory;

std::string completion(const std::string& text) {
  return http_reply("200 OK", dump_json({{"choices", {{{"message", {{"role", "assistant"}, {"content", text}}}}}}}));
}

/// A grid of four cells, answered.
class JudgeTest : public ::testing::Test {
 protected:
  JudgeTest() {
    NeedleOptions options;
    options.haystack = golden("haystack");
    options.lengths = {300, 500};
    options.depths = {0, 100};
    task_ = make_needle_task(tokenizer_, ChatTemplate::by_name("llama-3"), options);
    run_options_.directory = folder_.file("needle");
    RuleReader reader(tokenizer_, [](const std::string&) { return "In a {blue} teapot"; });
    result_ = run_needle(reader, tokenizer_, task_, run_options_);
  }
  std::vector<JudgePrompt> prompts(std::string_view judge = "j") { return judge_prompts(task_, result_, JudgeWording(), judge); }
  Judgement ask(const std::string& url, std::string key = "", std::function<bool()> stop = {}) {
    JudgeEndpoint judge({.url = url,
                         .model = "grader",
                         .key = std::move(key),
                         .timeout_seconds = 5,
                         .attempts = 2,
                         .pause_seconds = 0.01,
                         .should_stop = stop});
    EvalCallbacks callbacks;
    callbacks.should_stop = stop;
    return ask_judge(judge, prompts(judge.name()), run_options_.directory, callbacks);
  }
  Json metrics() const { return parse_json(read_text_file(folder_.file("needle/metrics.json")), "metrics.json"); }

  TemporaryDirectory folder_;
  Tokenizer tokenizer_ = test::small_tokenizer("llama3");
  GridTask task_;
  GridResult result_;
  EvalRunOptions run_options_;
};

TEST(Grade, OfAReply) {
  for (const auto& [reply, grade] : std::vector<std::pair<std::string, double>>{
           {"It agrees. [[7]]", 7}, {"[[1]] no, rather [[ 10 ]].", 10}, {" 5\n", 5}, {"3.5", 3.5}, {"[[10]]\nThanks", 10}}) {
    ASSERT_TRUE(grade_of(reply).has_value()) << reply;
    EXPECT_EQ(*grade_of(reply), grade) << reply;
  }
  for (const char* reply : {"", "seven", "[[0]]", "[[11]]", "[[nan]]", "[[inf]]", "[[]]", "[[7", "7 of 10", "[[5]] then [[x]]",
                            "[[-5]]", "[[5 or 6]]", "]]5[["}) {
    EXPECT_FALSE(grade_of(reply).has_value()) << reply;
  }
}

TEST_F(JudgeTest, AsksAnEndpointAndKeepsItsGrades) {
  const std::string log = folder_.file("requests");
  LocalServer server([&](const HttpRequest& request) {
    std::ofstream(log, std::ios::app | std::ios::binary)
        << request.head.substr(0, request.head.find("\r\n")) << "|" << (request.head.find("Bearer k-1") != std::string::npos)
        << "|" << request.body << "\n";
    return completion(fmt::format("Agreed. [[{}]]", request.number + 5));
  });
  const Judgement judgement = ask(server.url("/v1"), "k-1");
  EXPECT_EQ(judgement.asked, 4);
  EXPECT_EQ(judgement.failed + judgement.nonsense + judgement.missing, 0);
  EXPECT_TRUE(judgement.faults.empty());
  const std::map<std::string, double> expected = {{"300-0", 6}, {"300-100", 7}, {"500-0", 8}, {"500-100", 9}};
  EXPECT_EQ(judgement.grades, expected);
  // One request an answer, as the protocol has it.
  std::istringstream requests(read_text_file(log));
  std::string line;
  int seen = 0;
  for (; std::getline(requests, line); ++seen) {
    EXPECT_TRUE(line.starts_with("POST /v1/chat/completions HTTP/1.1|1|")) << line;
    const Json body = parse_json(line.substr(line.find("|1|") + 3), "request");
    EXPECT_EQ(body["model"], "grader");
    EXPECT_EQ(body["temperature"], 0);
    ASSERT_EQ(body["messages"].size(), 1U);
    EXPECT_EQ(body["messages"][0]["role"], "user");
    const std::string prompt = body["messages"][0]["content"].get<std::string>();
    EXPECT_HAS(prompt, "[Question]\nWhere does the lighthouse keeper");
    EXPECT_HAS(prompt, "[Reference]\nThe lighthouse keeper of Port Merrin hides");
    EXPECT_HAS(prompt, "[Answer]\nIn a {blue} teapot\n");  // a brace of an answer is no place
  }
  EXPECT_EQ(seen, 4);
  // What is graded is not asked again.
  server.stop();
  EXPECT_EQ(ask(server.url("/v1")).grades, expected);

  add_judgement(result_, judgement, "grader", run_options_);
  EXPECT_EQ(metrics()["gpt"], parse_json(R"({"300": {"0": 6.0, "100": 7.0}, "500": {"0": 8.0, "100": 9.0}})", "gpt"));
  EXPECT_EQ(metrics()["gpt_mean"], 7.5);
  EXPECT_EQ(metrics()["judge"]["graded"], 4);
  EXPECT_EQ(metrics()["hits"], result_.hits);
  write_reference_layout({.directory = folder_.file("layout"), .result_dir = "m", .command = "c"}, "needle", result_);
  EXPECT_HAS(read_text_file(folder_.file("layout/metrics.log")), R"("gpt": {"300": {"0": 6.0, "100": 7.0})");
}

TEST_F(JudgeTest, FailuresAndNonsenseAreCountedAndAskedAgain) {
  const LocalServer moody([](const HttpRequest& request) -> std::string {
    switch (request.number) {
      case 1: return http_reply("429 Too Many Requests", R"({"error": {"message": "slow down"}})");  // then asked once more
      case 2: return completion("[[10]]");
      case 3: return completion("I would rather not say.");
      case 4: return http_reply("400 Bad Request", R"({"error": {"message": "no such model"}})");  // not asked once more
      default: return http_reply("500 Internal Server Error", "oops");
    }
  });
  const Judgement judgement = ask(moody.url());
  EXPECT_EQ(judgement.grades, (std::map<std::string, double>{{"300-0", 10}}));
  EXPECT_EQ(judgement.nonsense, 1);
  EXPECT_EQ(judgement.failed, 2);
  EXPECT_EQ(judgement.missing, 0);
  ASSERT_EQ(judgement.faults.size(), 3U);
  EXPECT_HAS(judgement.faults[0], "300-100: the reply has no grade from 1 to 10: \"I would rather not say.\"");
  EXPECT_HAS(judgement.faults[1], "500-0: HTTP 400: \"no such model\"");
  EXPECT_HAS(judgement.faults[2], "500-100: HTTP 500: \"oops\"");
  add_judgement(result_, judgement, "grader", run_options_);
  EXPECT_EQ(metrics()["gpt_mean"], 10.0) << "what was not graded is no zero";
  EXPECT_EQ(metrics()["gpt"].size(), 1U);
  EXPECT_FALSE(result_.cells[1][1].grade.has_value());
}

TEST_F(JudgeTest, BrokenRepliesAreNamed) {
  const auto fault = [&](const std::string& reply) {
    const LocalServer server([&](const HttpRequest&) { return reply; });
    const Judgement judgement = ask(server.url("/v1/chat/completions/"));
    EXPECT_EQ(judgement.failed, 4 - judgement.missing);
    EXPECT_TRUE(judgement.grades.empty());
    return judgement.faults.at(0);
  };
  EXPECT_HAS(fault(http_reply("200 OK", "<html>")), "expected {choices: [{message: {content}}]}, got \"<html>\"");
  EXPECT_HAS(fault(http_reply("200 OK", R"({"choices": []})")), "got \"{\\\"choices\\\": []}\"");
  EXPECT_HAS(fault(http_reply("200 OK", R"({"choices": [{"message": {"content": null}}]})")), "expected {choices");
  EXPECT_HAS(fault(http_reply("200 OK", std::string(2 << 20, 'x'))), "longer than 1048576 bytes");
  EXPECT_HAS(fault("302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), "HTTP 302: an empty reply");
  EXPECT_HAS(fault(""), "300-0: ");
}

TEST_F(JudgeTest, NobodyThereIsGivenUp) {
  std::string url;
  {
    const LocalServer gone([](const HttpRequest&) { return completion("[[1]]"); });
    url = gone.url();
  }
  const Judgement judgement = ask(url);
  EXPECT_EQ(judgement.failed, kJudgePatience);
  EXPECT_EQ(judgement.missing, 4 - kJudgePatience);
  EXPECT_HAS(judgement.faults.back(), "the other 1 were not asked");
  add_judgement(result_, judgement, "grader", run_options_);
  EXPECT_TRUE(metrics()["gpt_mean"].is_null());
}

TEST_F(JudgeTest, StopsWhenTold) {
  const LocalServer server([](const HttpRequest&) { return completion("[[4]]"); });
  int left = 0;
  const Judgement stopped = ask(server.url(), "", [&] { return ++left > 0; });
  EXPECT_TRUE(stopped.interrupted);
  EXPECT_EQ(stopped.missing, 4);
  EXPECT_FALSE(ask(server.url()).interrupted);
}

TEST_F(JudgeTest, AnotherJudgesGradesDoNotCount) {
  const LocalServer first([](const HttpRequest&) { return completion("[[4]]"); });
  const LocalServer second([](const HttpRequest&) { return completion("[[9]]"); });
  EXPECT_EQ(ask(first.url()).grades["300-0"], 4);
  EXPECT_EQ(ask(second.url()).grades["300-0"], 9);
  test::write(folder_.file("needle/judge.jsonl"), "{\"id\": 5}\n");
  EXPECT_HAS(input_error([&] { ask(first.url()); }), "judge.jsonl:1: id: expected a string");
}

TEST_F(JudgeTest, PromptsToAFileAndScoresBack) {
  const std::string out = folder_.file("prompts.jsonl");
  write_judge_prompts(out, prompts());
  std::vector<Json> lines;
  for_each_json_line(out, [&](Json& line, int64_t) { lines.push_back(line); });
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[1]["id"], "300-100");
  EXPECT_HAS(lines[1]["prompt"].get<std::string>(), "In a {blue} teapot");
  const std::string in = folder_.file("scores.jsonl");
  const auto read = [&](const std::string& text) {
    test::write(in, text);
    return read_judge_scores(in, prompts());
  };
  const Judgement judgement = read(dump_json({{"id", "300-0"}, {"hash", lines[0]["hash"]}, {"score", 10}}) +
                                   "\n{\"id\": \"300-100\", \"reply\": \"So: [[2]]\"}\n{\"id\": \"500-0\", \"score\": null}\n");
  EXPECT_EQ(judgement.grades, (std::map<std::string, double>{{"300-0", 10}, {"300-100", 2}}));
  EXPECT_EQ(judgement.nonsense, 1);
  EXPECT_EQ(judgement.missing, 1);
  EXPECT_EQ(judgement.failed, 0);
  EXPECT_EQ(read("{\"id\": \"500-0\", \"score\": 0}\n").nonsense, 1);
  EXPECT_HAS(input_error([&] { read("{\"id\": \"9-9\", \"score\": 1}\n"); }), "scores.jsonl:1: id: no answer of this run");
  EXPECT_HAS(input_error([&] { read("{\"id\": \"500-0\", \"score\": 1}\n{\"id\": \"500-0\", \"score\": 1}\n"); }),
             "scores.jsonl:2: id: \"500-0\" is there twice, first on line 1");
  EXPECT_HAS(input_error([&] { read("{\"id\": \"500-0\", \"hash\": \"00\", \"score\": 1}\n"); }), "another answer was judged");
  EXPECT_HAS(input_error([&] { read("{\"id\": \"500-0\"}\n"); }), "reply: missing");
}

TEST_F(JudgeTest, SaysWhatIsWrongBefore) {
  EXPECT_HAS(input_error([&] { JudgeEndpoint({.url = "ftp://x", .model = "m"}); }), "expected http://HOST");
  EXPECT_HAS(input_error([&] { JudgeEndpoint({.url = "http://x"}); }), "--judge-model NAME is missing");
  EXPECT_HAS(input_error([&] { JudgeEndpoint({.url = "http://x", .model = "m", .key = "a\r\nHost: y"}); }), "--judge-key-file");
  const std::string wording = folder_.file("w.json");
  test::write(wording, R"({"prompt": "{answer} as {reference}? {{}}"})");
  EXPECT_EQ(judge_prompts(task_, result_, JudgeWording::from_json(wording), "")[0].text,
            "In a {blue} teapot as The lighthouse keeper of Port Merrin hides the spare key inside a blue teapot on the third "
            "shelf.? {}");
  test::write(wording, R"({"prompt": "{answer} {what}"})");
  EXPECT_HAS(input_error([&] { JudgeWording::from_json(wording); }), "unknown place {\"what\"}");
  test::write(wording, R"({"prompt": "{answer}"})");
  EXPECT_HAS(input_error([&] { JudgeWording::from_json(wording); }), "expected {reference} in it");
}

}  // namespace
}  // namespace tenfold
