#include "eval/run.h"

#include "eval_fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <random>
#include <thread>

namespace tenfold {
namespace {

using test::input_error;
using test::TemporaryDirectory;

Json config(int64_t window = 8) { return {{"task", "demo"}, {"window", window}, {"wording", {{"needle", "N"}}}}; }

std::vector<EvalQuestion> questions(int n) {
  std::vector<EvalQuestion> all;
  for (int i = 0; i < n; ++i) all.push_back({fmt::format("q{}", i), {i, 2 * i, 7}, {{"length", i}}});
  return all;
}

/// The answer is a function of the question; newlines, quotes and non-ASCII text go through the file.
Json answer_to(const EvalQuestion& question, EvalTiming& timing) {
  timing.prefill_seconds = 0.25;
  return {{"output", fmt::format("a\n\"{}\" \xC3\xA9 {}", question.id, question.prompt[1])}, {"score", question.prompt[0] / 7.0}};
}

std::string text_of(const std::string& path) { return read_text_file(path); }

EvalRunOptions in(const TemporaryDirectory& directory) {
  EvalRunOptions options;
  options.directory = directory.file("eval/demo");
  options.model = {{"path", "m.gguf"}};
  options.notes = {{"command", "tenfold eval"}};
  return options;
}

TEST(Run, KeepsEveryAnswerAndAsksOnce) {
  const TemporaryDirectory directory;
  const auto all = questions(5);
  int asked = 0;
  const AskFunction ask = [&](const EvalQuestion& q, EvalTiming& t) { return ++asked, answer_to(q, t); };
  const EvalRun first = run_questions(config(), all, ask, in(directory), {});
  EXPECT_EQ(first.asked, 5);
  EXPECT_EQ(first.resumed, 0);
  ASSERT_EQ(first.answers.size(), 5U);
  EXPECT_EQ(first.answers[3].at("output"), "a\n\"q3\" \xC3\xA9 6");
  EXPECT_EQ(first.answers[3].at("length"), 3);
  EXPECT_EQ(first.answers[3].at("prompt_tokens"), 3);
  EXPECT_DOUBLE_EQ(first.timing.prefill_seconds, 1.25);

  const EvalRun second = run_questions(config(), all, ask, in(directory), {});
  EXPECT_EQ(asked, 5);
  EXPECT_EQ(second.resumed, 5);
  EXPECT_EQ(second.answers, first.answers);
  EXPECT_DOUBLE_EQ(second.timing.prefill_seconds, 1.25);
}

TEST(Run, WritesNothingWithoutADirectory) {
  const auto run = run_questions(config(), questions(2), answer_to, {}, {});
  EXPECT_EQ(run.answers.size(), 2U);
}

TEST(Run, StopsBetweenQuestionsAndGoesOn) {
  const TemporaryDirectory directory;
  const auto all = questions(6);
  EvalCallbacks callbacks;
  int64_t done = 0;
  callbacks.on_progress = [&](const EvalProgress& p) { done = p.done; };
  callbacks.should_stop = [&] { return done == 2; };
  const EvalRun stopped = run_questions(config(), all, answer_to, in(directory), callbacks);
  EXPECT_TRUE(stopped.interrupted);
  EXPECT_EQ(stopped.answers.size(), 2U);
  const EvalRun rest = run_questions(config(), all, answer_to, in(directory), {});
  EXPECT_FALSE(rest.interrupted);
  EXPECT_EQ(rest.asked, 4);
  EXPECT_EQ(rest.resumed, 2);
}

TEST(Run, NamesTheFieldThatDiffers) {
  const TemporaryDirectory directory;
  run_questions(config(8), questions(1), answer_to, in(directory), {});
  const auto again = [&](const Json& c, EvalRunOptions o) {
    return input_error([&] { run_questions(c, questions(1), answer_to, o, {}); });
  };
  std::string message = again(config(9), in(directory));
  EXPECT_HAS(message, "window is 8 there, now 9");
  EXPECT_HAS(message, "--out");
  EXPECT_HAS(message, "config.json");
  Json other = config();
  other["wording"]["needle"] = "M";
  EXPECT_HAS(again(other, in(directory)), "wording.needle is \"N\" there, now \"M\"");
  EvalRunOptions model = in(directory);
  model.model["adapter"] = "x";
  EXPECT_HAS(again(config(), model), "model.adapter is not set there");
  model.model = Json::object();
  EXPECT_HAS(again(config(), model), "model.path is \"m.gguf\" there, now not set");
  EvalRunOptions notes = in(directory);
  notes.notes["command"] = "another";  // may differ
  EXPECT_EQ(run_questions(config(), questions(1), answer_to, notes, {}).resumed, 1);
}

TEST(Run, RefusesAnswersOfOtherQuestions) {
  const TemporaryDirectory directory;
  run_questions(config(), questions(2), answer_to, in(directory), {});
  const std::string path = directory.file("eval/demo/answers.jsonl");
  const std::string good = text_of(path);
  const auto message_with = [&](const std::string& text) {
    test::write(path, text);
    return input_error([&] { run_questions(config(), questions(2), answer_to, in(directory), {}); });
  };
  EXPECT_HAS(message_with(good + "{\"id\": \"q0\", \"prompt_hash\": \"" + hash_of_ids(questions(1)[0].prompt) + "\"}\n"),
             "answers.jsonl:3: id: \"q0\" is answered twice");
  EXPECT_HAS(message_with("{\"id\": \"zz\", \"prompt_hash\": \"0\"}\n"),
             "answers.jsonl:1: id: no question of this run is called \"zz\"");
  EXPECT_HAS(message_with("{\"id\": \"q0\", \"prompt_hash\": \"0\"}\n"), "answers.jsonl:1: prompt_hash");
  EXPECT_HAS(message_with("\n{\"id\": 3}\n"), "answers.jsonl:2: id: expected a string");
  EXPECT_HAS(message_with(good + "{oops\n"), "answers.jsonl:3");
  EXPECT_HAS(message_with("[1]\n"), "answers.jsonl:1");
  std::filesystem::remove(directory.file("eval/demo/config.json"));
  EXPECT_HAS(message_with(good), "without its config.json");
}

TEST(Run, ATornLastLineIsAskedAgain) {
  const TemporaryDirectory directory;
  const auto all = questions(3);
  run_questions(config(), all, answer_to, in(directory), {});
  const std::string path = directory.file("eval/demo/answers.jsonl");
  const std::string good = text_of(path);
  for (size_t cut = 0; cut < good.size(); cut += 7) {
    test::write(path, good.substr(0, cut));
    run_questions(config(), all, answer_to, in(directory), {});
    ASSERT_EQ(text_of(path), good) << "cut at byte " << cut;
  }
}

/// Runs the task in a child, which is killed after `microseconds` unless it ends before. Whether it ended by itself.
bool run_in_child(const EvalRunOptions& options, int n, int microseconds) {
  const pid_t child = fork();
  if (child == 0) {
    const AskFunction slow = [](const EvalQuestion& q, EvalTiming& t) {
      std::this_thread::sleep_for(std::chrono::microseconds(150));
      return answer_to(q, t);
    };
    int code = 1;
    try {
      run_questions(config(), questions(n), slow, options, {});
      code = 0;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
    }
    _exit(code);
  }
  std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "a resumed run failed";
  return WIFEXITED(status);
}

TEST(Run, KilledAtAnyMomentGivesTheSameBytes) {
  constexpr int kQuestions = 12;
  const TemporaryDirectory straight;
  run_questions(config(), questions(kQuestions), answer_to, in(straight), {});
  const std::string want = text_of(straight.file("eval/demo/answers.jsonl"));
  std::mt19937 random(11);  // moments differ with the machine's load anyway
  int kills = 0;
  for (int round = 0; round < 10; ++round) {
    const TemporaryDirectory directory;
    // Each attempt may live a little longer, so that a slow disk gets there, too.
    for (unsigned limit = 1500; !run_in_child(in(directory), kQuestions, static_cast<int>(random() % limit));
         limit += limit / 4) {
      ++kills;
      ASSERT_LT(limit, 60000000U);
    }
    ASSERT_EQ(text_of(directory.file("eval/demo/answers.jsonl")), want);
  }
  EXPECT_GE(kills, 10);
}

TEST(Run, AskedTogetherTheAnswersAreTheSameBytes) {
  const TemporaryDirectory alone, together;
  const auto all = questions(9);
  run_questions(config(), all, answer_to, in(alone), {});
  std::vector<size_t> sizes;
  const AskTogether ask{4, [&](std::span<const EvalQuestion* const> group, std::span<EvalTiming> timings) {
                          sizes.push_back(group.size());
                          std::vector<Json> answers;
                          for (size_t i = 0; i < group.size(); ++i) answers.push_back(answer_to(*group[i], timings[i]));
                          return answers;
                        }};
  // Stopped after the first group, with one question of the next answered in the meantime.
  EvalCallbacks callbacks;
  int64_t done = 0;
  callbacks.on_progress = [&](const EvalProgress& p) { done = p.done; };
  callbacks.should_stop = [&] { return done == 4; };
  EXPECT_EQ(run_questions(config(), all, ask, in(together), callbacks).asked, 4);
  callbacks.should_stop = [&] { return done == 5; };
  EXPECT_EQ(run_questions(config(), all, answer_to, in(together), callbacks).asked, 1);
  const EvalRun rest = run_questions(config(), all, ask, in(together), {});
  EXPECT_EQ(rest.asked, 4);
  EXPECT_EQ(sizes, (std::vector<size_t>{4, 4}));
  EXPECT_EQ(text_of(together.file("eval/demo/answers.jsonl")), text_of(alone.file("eval/demo/answers.jsonl")));
  EXPECT_DOUBLE_EQ(rest.timing.prefill_seconds, 9 * 0.25);
  const auto more = questions(11);
  EXPECT_EQ(run_questions(config(), more, ask, in(together), {}).asked, 2);
  EXPECT_EQ(sizes.back(), 2U);
}

TEST(Run, ReportsSpeedAndWhatIsLeft) {
  EvalCallbacks callbacks;
  std::vector<int64_t> done;
  callbacks.on_progress = [&](const EvalProgress& p) {
    done.push_back(p.done);
    EXPECT_EQ(p.total, 3);
    EXPECT_EQ(p.answer != nullptr, p.done > 0);
    EXPECT_EQ(p.tokens_per_second > 0, p.done > 0);
    EXPECT_EQ(p.seconds_left > 0, p.done == 1 || p.done == 2);
  };
  const AskFunction ask = [](const EvalQuestion& q, EvalTiming& t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return answer_to(q, t);
  };
  run_questions(config(), questions(3), ask, {}, callbacks);
  EXPECT_EQ(done, (std::vector<int64_t>{0, 1, 2, 3}));
}

TEST(Run, HashesAreFnv1a) {
  EXPECT_EQ(hash_of_text(""), "cbf29ce484222325");
  EXPECT_EQ(hash_of_text("a"), "af63dc4c8601ec8c");
  const std::vector<int32_t> ids = {0x00000061};
  EXPECT_NE(hash_of_ids(ids), hash_of_text("a"));
  EXPECT_EQ(hash_of_ids(ids), hash_of_text(std::string_view("a\0\0\0", 4)));
}

}  // namespace
}  // namespace tenfold
