// Needles looked for and losses measured while training: what they decide, and that they disturb nothing.
#include "cli/held_checks.h"

#include "cli/process.h"
#include "cli/tiny_model.h"

#include <map>

namespace tenfold::test {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;
using cli::HeldHistory;

TEST(HeldHistory, StopsWhenAllIsGreenOrNothingGetsBetter) {
  HeldHistory green(2, 0);
  green.add(10, 9, 9);
  EXPECT_EQ(green.why_done(), "");
  green.add(20, 8, 9);
  green.add(30, 9, 9);
  EXPECT_EQ(green.why_done(), "") << "not in a row";
  green.add(40, 9, 9);
  EXPECT_EQ(green.why_done(), "every needle found in 2 checks in a row");
  EXPECT_EQ(green.best_step(), 40) << "of equals the latest";

  HeldHistory patient(0, 2);
  patient.add(1, 3, 9);
  patient.add(2, 5, 9);
  patient.add(3, 5, 9);
  EXPECT_EQ(patient.why_done(), "") << "one check without a gain";
  patient.add(4, 6, 9);
  EXPECT_EQ(patient.why_done(), "");
  patient.add(5, 2, 9);
  patient.add(6, 6, 9);
  EXPECT_EQ(patient.why_done(), "no more needles found in 2 checks in a row");
  EXPECT_EQ(patient.best_step(), 6);
  EXPECT_EQ(patient.best_hits(), 6);

  HeldHistory never(0, 0);
  for (int step = 1; step < 20; ++step) never.add(step, 9, 9);
  EXPECT_EQ(never.why_done(), "");
  never.forget_best();
  EXPECT_EQ(never.best_step(), 0);
  never.add(20, 0, 9);
  EXPECT_EQ(never.best_step(), 20) << "the lost best is not waited for";
}

class HeldChecksTest : public testing::Test {
 protected:
  void SetUp() override {
    write_tiny_model(model_);
    folder_.write("data.jsonl", tiny_records(12));
    std::string text;
    for (int i = 0; i < 60; ++i) text += "the water in the well ";
    folder_.write("haystack.txt", text);
    fs::create_directories(folder_ / "held");
    const auto wording = [&](const std::string& name, const std::string& needle) {
      const Json json = {{"description", "Find it.\n"}, {"needle", needle}, {"question", "\nWhat?"}, {"answer", "oil"}};
      folder_.write("held/" + name, json.dump());
    };
    wording("a.json", " It runs on oil. ");
    wording("b.json", " Oil is in it, not oil. ");
  }
  Words train(const std::string& out, const Words& more = {}) const {
    return resumable_training(model_, folder_ / "data.jsonl", folder_ / out, 12, more);
  }
  Words held(const Words& more = {}) const {
    Words words = {"--held-needles",        folder_ / "held",
                   "--held-haystack",       folder_ / "haystack.txt",
                   "--held-lengths",        "128,192",
                   "--held-depths",         "20,80",
                   "--held-every",          "3",
                   "--held-max-new-tokens", "8"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Words loss() const {
    return {"--held-text", folder_ / "haystack.txt", "--held-window", "96", "--held-windows", "2", "--held-every", "5"};
  }
  /// Lines of metrics.jsonl without what depends on the clock: steps, or checks.
  std::vector<std::string> lines(const std::string& out, bool checks) const {
    std::vector<std::string> kept;
    for_each_json_line(folder_ / out + "/metrics.jsonl", [&](Json& line, int64_t) {
      if ((line.contains("held") || line.contains("held_loss")) != checks) return;
      for (const char* check : {"held", "held_loss"}) {
        if (line.contains(check)) line[check].erase("seconds");
      }
      for (const char* field : {"seconds", "tokens_per_second", "peak_bytes"}) line.erase(field);
      kept.push_back(line.dump());
    });
    return kept;
  }
  std::string weights(const std::string& folder) const { return contents_of(folder_ / folder + "/adapter_model.safetensors"); }

  const TemporaryFolder folder_;
  const std::string model_ = folder_ / "tiny.gguf";
};

TEST_F(HeldChecksTest, TrainingIsTheSameBitForBit) {
  ASSERT_EQ(run(train("plain")).code, 0);
  const Ended ended = run(train("held", held({"--held-green", "0", "--json"})));
  ASSERT_EQ(ended.code, 0) << ended.err;
  expect_contains(ended.err, {"8 questions about held needles", "step 3: ", "step 12: ", "the adapter is that of step"});
  EXPECT_EQ(lines("held", false), lines("plain", false));
  EXPECT_EQ(weights("held/adapter-last"), weights("plain/adapter"));
  const std::vector<std::string> checks = lines("held", true);
  ASSERT_EQ(checks.size(), 4U);
  const Json last = parse_json(checks.back(), "check");
  EXPECT_EQ(last["step"], 12);
  EXPECT_EQ(last["held"]["total"], 8);
  EXPECT_EQ(last["held"]["cells"].size(), 8U);
  EXPECT_EQ(last["held"]["by_length"].size(), 2U);
  // It is the model as it is at that step that answers: eval needle with the final adapter says the same.
  ASSERT_EQ(run({"eval",
                 "needle",
                 "--model",
                 model_,
                 "--adapter",
                 folder_ / "held/adapter-last",
                 "--haystack",
                 folder_ / "haystack.txt",
                 "--wording",
                 folder_ / "held/a.json",
                 "--lengths",
                 "128,192",
                 "--depths",
                 "20,80",
                 "--max-new-tokens",
                 "8",
                 "--out",
                 folder_ / "held",
                 "--threads",
                 "1"})
                .code,
            0);
  std::map<std::string, std::string> said;
  for_each_json_line(folder_ / "held/eval/needle/answers.jsonl", [&](Json& line, int64_t) { said[line["id"]] = line["output"]; });
  int compared = 0;
  for (const Json& cell : last["held"]["cells"]) {
    if (cell["needle"] != "a") continue;
    EXPECT_EQ(cell["output"], said[fmt::format("{}-{}", cell["length"].get<int64_t>(), cell["depth"].get<int64_t>())]);
    ++compared;
  }
  EXPECT_EQ(compared, 4);
  // adapter/ is the best one, whole.
  EXPECT_EQ(weights("held/adapter"), weights("held/adapter-best"));
  EXPECT_FALSE(fs::exists(folder_ / "held/adapter.new"));
}

TEST_F(HeldChecksTest, MeasuresTheLossOnHeldTextByPosition) {
  ASSERT_EQ(run(train("plain")).code, 0);
  const Ended ended = run(train("text", loss()));
  ASSERT_EQ(ended.code, 0) << ended.err;
  expect_contains(ended.err, {"at each check: the loss on 2 windows of held text", "step 5: loss on held text", "(0-1K: "});
  EXPECT_EQ(lines("text", false), lines("plain", false));
  EXPECT_EQ(weights("text/adapter"), weights("plain/adapter"));
  EXPECT_FALSE(fs::exists(folder_ / "text/adapter-best")) << "a loss makes no adapter the best";
  const std::vector<std::string> checks = lines("text", true);
  ASSERT_EQ(checks.size(), 3U) << "steps 5, 10 and the last, 12";
  // It is the model as it is at that step: eval ppl with the final adapter says the same.
  ASSERT_EQ(run({"eval", "ppl", "--model", model_, "--adapter", folder_ / "text/adapter", "--text", folder_ / "haystack.txt",
                 "--window", "96", "--windows", "2", "--out", folder_ / "text", "--threads", "1"})
                .code,
            0);
  const Json last = parse_json(checks.back(), "check");
  const Json after = parse_json(contents_of(folder_ / "text/eval/ppl/metrics.json"), "metrics");
  EXPECT_EQ(last["step"], 12);
  EXPECT_EQ(last["held_loss"]["nll"], after["nll"]);
  EXPECT_EQ(last["held_loss"]["tokens"], after["tokens"]);
  EXPECT_EQ(last["held_loss"]["by_position"], after["by_position"]);

  const Ended other = run(train("text", {"--held-text", folder_ / "haystack.txt", "--held-window", "64"}));
  EXPECT_EQ(other.code, 2);
  expect_contains(other.err, {"the run's checks read other text", "--held-window"});
}

TEST_F(HeldChecksTest, GoesOnAfterBeingKilledAsIfNothingHadBeen) {
  const auto held = [&] { return this->held({"--held-text", folder_ / "haystack.txt", "--held-window", "96"}); };
  ASSERT_EQ(run(train("whole", held())).code, 0);
  for (const int number : {SIGKILL, SIGTERM}) {
    // Stopped soon after the first check, so that the history has to be read again.
    Program program(train("stopped", held()));
    ASSERT_TRUE(
        program.wait_until([&] { return contents_of(folder_ / "stopped/metrics.jsonl").find("\"held\"") != std::string::npos; }));
    program.signal(number);
    program.wait();
    const Ended ended = run(train("stopped", held()));
    ASSERT_EQ(ended.code, 0) << ended.err;
    EXPECT_EQ(lines("stopped", false), lines("whole", false));
    EXPECT_EQ(lines("stopped", true), lines("whole", true));
    EXPECT_EQ(weights("stopped/adapter"), weights("whole/adapter"));
    EXPECT_EQ(weights("stopped/adapter-last"), weights("whole/adapter-last"));
    fs::remove_all(folder_ / "stopped");
  }
}

TEST_F(HeldChecksTest, EndsEarlyAndStaysEnded) {
  folder_.write("held/a.json", Json({{"description", "Find it.\n"},
                                     {"needle", " It runs on oil. "},
                                     {"question", "\nWhat?"},
                                     {"answer", "never said at all"}})
                                   .dump());
  fs::remove(folder_ / "held/b.json");
  const Ended ended = run(train("early", held({"--held-patience", "2", "--json"})));
  ASSERT_EQ(ended.code, 0) << ended.err;
  expect_contains(ended.err, {"ended after step 9: no more needles found in 2 checks in a row"});
  EXPECT_EQ(lines("early", false).size(), 9U);
  EXPECT_TRUE(fs::exists(folder_ / "early/adapter/adapter_config.json"));
  EXPECT_EQ(weights("early/adapter"), weights("early/adapter-last")) << "of equals the latest";
  const std::string metrics = contents_of(folder_ / "early/metrics.jsonl");
  const Ended again = run(train("early", held({"--held-patience", "2"})));
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(contents_of(folder_ / "early/metrics.jsonl"), metrics) << "an ended run is not trained on";
  // Without patience the same run goes on to its end.
  ASSERT_EQ(run(train("early", held())).code, 0);
  EXPECT_EQ(lines("early", false).size(), 12U);

  const Ended other = run(train("early", held({"--held-depths", "50"})));
  EXPECT_EQ(other.code, 2);
  expect_contains(other.err, {"the run's checks asked other questions", "--held-depths"});
}

TEST_F(HeldChecksTest, SaysWhatIsWrong) {
  const auto message = [&](const Words& words) {
    const Ended ended = run(train("wrong", words));
    EXPECT_EQ(ended.code, 2) << ended.err;
    return ended.err;
  };
  expect_contains(message({"--held-needles", folder_ / "held"}), {"--held-haystack PATH is missing"});
  expect_contains(message({"--held-patience", "3"}), {"--held-patience: there is no --held-needles PATH for it"});
  expect_contains(message({"--held-every", "3"}), {"--held-every: there is no --held-needles or --held-text PATH for it"});
  expect_contains(message({"--held-window", "64"}), {"--held-window: there is no --held-text PATH for it"});
  expect_contains(message({"--held-text", folder_ / "haystack.txt", "--held-windows", "0"}),
                  {"--held-windows: expected 1 or more, got 0"});
  expect_contains(message({"--held-text", folder_ / "nowhere.txt"}), {"nowhere.txt"});
  expect_contains(message(held({"--held-every", "-1"})), {"--held-every: expected 0 or more, got -1"});
  expect_contains(message(held({"--held-depths", "101"})), {"--held-depths: expected 0 to 100, got 101"});
  expect_contains(message(held({"--held-lengths", "8"})), {"eval needle"});
  fs::create_directories(folder_ / "empty");
  expect_contains(message({"--held-needles", folder_ / "empty", "--held-haystack", folder_ / "haystack.txt"}),
                  {"--held-needles"});
}

}  // namespace
}  // namespace tenfold::test
