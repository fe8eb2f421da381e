// Nothing is lost: training that is killed, stopped or out of disk goes on, and its losses are those of an undisturbed run bit
// for bit.
#include "cli/process.h"
#include "cli/tiny_model.h"

namespace tenfold::test {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

constexpr int kKills = 50;

class ResumeTest : public testing::Test {
 protected:
  void SetUp() override {
    write_tiny_model(model_);
    folder_.write("data.jsonl", tiny_records(12));
  }
  Words train(const std::string& out, int64_t steps = 12) const {
    return {"train",
            "--model",
            model_,
            "--data",
            folder_ / "data.jsonl",
            "--out",
            folder_ / out,
            "--steps",
            std::to_string(steps),
            "--max-length",
            "512",
            "--learning-rate",
            "1e-2",
            "--lora-r",
            "8",
            "--lora-dropout",
            "0.1",
            "--threads",
            "1",
            "--lm-loss-weight",
            "0.3",
            "--lm-loss-tokens",
            "8",
            "--checkpoint-every",
            "2",
            "--seed",
            "3",
            "--resume"};
  }
  /// What a step computed, without what depends on the clock.
  std::vector<std::string> losses(const std::string& out) const {
    std::vector<std::string> lines;
    for_each_json_line(folder_ / out + "/metrics.jsonl", [&](Json& line, int64_t) {
      const Json kept = {
          {"step", line["step"]}, {"loss", line["loss"]}, {"grad_norm", line["grad_norm"]}, {"total", line["total_tokens"]}};
      lines.push_back(kept.dump());
    });
    return lines;
  }
  std::string adapter(const std::string& out) const { return contents_of(folder_ / out + "/adapter/adapter_model.safetensors"); }
  std::string newest_checkpoint(const std::string& out) const {
    std::string newest;
    const fs::path checkpoints = folder_ / out + "/checkpoint";
    if (!fs::exists(checkpoints)) return newest;
    for (const auto& entry : fs::directory_iterator(checkpoints)) {
      if (entry.path().extension() == ".safetensors") newest = std::max(newest, entry.path().string());
    }
    return newest;
  }

  const TemporaryFolder folder_;
  const std::string model_ = folder_ / "tiny.gguf";
};

TEST_F(ResumeTest, KilledAtRandomMomentsTheLossesAreTheSame) {
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(run(train("whole")).code, 0);
  const double whole_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const std::vector<std::string> expected = losses("whole");
  ASSERT_EQ(expected.size(), 12U);
  const std::string expected_adapter = adapter("whole");
  ASSERT_FALSE(expected_adapter.empty());

  Rng rng(static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()), 0);
  int kills = 0;
  int finished = 0;
  while (kills < kKills) {
    Program program(train("killed"));
    // Each start costs a part of the whole; up to 1.3 of it, so that some runs are killed while the last adapter is written.
    std::this_thread::sleep_for(std::chrono::duration<double>(rng.uniform() * 1.3 * whole_seconds));
    program.signal(SIGKILL);
    const Ended ended = program.wait();
    if (ended.code == 128 + SIGKILL) {
      ++kills;
      continue;
    }
    ASSERT_EQ(ended.code, 0) << ended.err;
    ASSERT_EQ(losses("killed"), expected);
    ASSERT_EQ(adapter("killed"), expected_adapter);
    ++finished;
    fs::remove_all(folder_ / "killed");
  }
  const Ended last = run(train("killed"));
  ASSERT_EQ(last.code, 0) << last.err;
  EXPECT_EQ(losses("killed"), expected);
  EXPECT_EQ(adapter("killed"), expected_adapter);
  RecordProperty("finished", finished);
}

TEST_F(ResumeTest, StoppedBySignalItSavesAndSaysHowToGoOn) {
  ASSERT_EQ(run(train("whole", 400)).code, 0);
  for (const int number : {SIGTERM, SIGINT}) {
    const size_t before = contents_of(folder_ / "stopped/metrics.jsonl").size();
    Program program(train("stopped", 400));
    ASSERT_TRUE(program.wait_until([&] { return contents_of(folder_ / "stopped/metrics.jsonl").size() > before; }));
    program.signal(number);
    const Ended ended = program.wait();
    EXPECT_EQ(ended.code, 128 + number) << ended.err;
    expect_contains(ended.err, {"stopped after step", "--resume"});
    EXPECT_FALSE(newest_checkpoint("stopped").empty());
    EXPECT_FALSE(fs::exists(folder_ / "stopped/adapter"));
  }
  const Ended ended = run(train("stopped", 400));
  ASSERT_EQ(ended.code, 0) << ended.err;
  expect_contains(ended.err, {"resuming after step"});
  EXPECT_EQ(losses("stopped"), losses("whole"));
  EXPECT_EQ(adapter("stopped"), adapter("whole"));
}

TEST_F(ResumeTest, AFullDiskLeavesTheLastCheckpointWhole) {
  ASSERT_EQ(run(train("whole")).code, 0);
  // A directory as a run of six steps leaves it: metrics of six steps and the checkpoint of step six.
  Program program(train("full"));
  program.wait_until([&] { return !newest_checkpoint("full").empty(); });
  program.signal(SIGKILL);
  program.wait();
  const std::string checkpoint = newest_checkpoint("full");
  ASSERT_FALSE(checkpoint.empty());
  if (fs::exists(folder_ / "full/adapter")) GTEST_SKIP() << "the run ended before it could be killed";
  const std::string before = contents_of(checkpoint);
  Program::Limits limits;
  limits.file_bytes = static_cast<int64_t>(before.size()) / 2;
  const Ended full = Program(train("full"), limits).wait();
  EXPECT_EQ(full.code, 4) << full.err;
  expect_contains(full.err, {"checkpoint"});
  EXPECT_EQ(newest_checkpoint("full"), checkpoint);
  EXPECT_EQ(contents_of(checkpoint), before);
  for (const auto& entry : fs::directory_iterator(fs::path(checkpoint).parent_path())) {
    EXPECT_EQ(entry.path().extension(), ".safetensors") << entry.path() << " was left behind";
  }
  ASSERT_EQ(run(train("full")).code, 0);
  EXPECT_EQ(losses("full"), losses("whole"));
  EXPECT_EQ(adapter("full"), adapter("whole"));
}

TEST_F(ResumeTest, ADamagedCheckpointIsNotTrusted) {
  ASSERT_EQ(run(train("whole")).code, 0);
  fs::copy(folder_ / "whole", folder_ / "damaged", fs::copy_options::recursive);
  const std::string checkpoint = newest_checkpoint("damaged");
  std::string bytes = contents_of(checkpoint);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  std::ofstream(checkpoint, std::ios::binary) << bytes;
  const Ended ended = run(train("damaged"));
  ASSERT_EQ(ended.code, 0) << ended.err;
  expect_contains(ended.err, {"starting at step 0"});
  EXPECT_EQ(losses("damaged"), losses("whole"));
}

TEST_F(ResumeTest, OtherOptionsThanTheCheckpointsAreRefused) {
  ASSERT_EQ(run(train("run")).code, 0);
  Words other = train("run");
  other.insert(other.end(), {"--learning-rate", "1e-3"});
  const Ended ended = run(other);
  EXPECT_EQ(ended.code, 2);
  expect_contains(ended.err, {"learning-rate", "--out"});
}

}  // namespace
}  // namespace tenfold::test
