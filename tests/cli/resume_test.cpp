// Nothing is lost: training that is killed, stopped or out of disk goes on, and its losses are those of an undisturbed run bit
// for bit.
#include "cli/process.h"
#include "cli/tiny_model.h"

#include <set>

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
    return resumable_training(model_, folder_ / "data.jsonl", folder_ / out, steps);
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

  static std::set<std::string> files_beside(const std::string& path) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(fs::path(path).parent_path())) names.insert(entry.path().filename().string());
    return names;
  }
  /// Kills a run as soon as it has a checkpoint and before it has ended; the longer it is meant to take, the surer. Returns its
  /// steps, 0 when even the longest ended first.
  int64_t killed_with_a_checkpoint(const std::string& out) const {
    for (int64_t steps = 24; steps <= 24 << 8; steps *= 2) {
      fs::remove_all(folder_ / out);
      Program program(train(out, steps));
      const bool alive = program.wait_until([&] { return !newest_checkpoint(out).empty(); });
      program.signal(SIGKILL);
      if (alive && program.wait().code == 128 + SIGKILL) return steps;
    }
    return 0;
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
  const int64_t steps = killed_with_a_checkpoint("full");
  ASSERT_GT(steps, 0) << "no run was long enough to be killed at work";
  ASSERT_EQ(run(train("whole", steps)).code, 0);
  const std::string checkpoint = newest_checkpoint("full");
  const std::string before = contents_of(checkpoint);
  const std::set<std::string> there = files_beside(checkpoint);  // SIGKILL may leave a half-written one
  // Every later checkpoint is as long as this one but for a few digits, so the next one must run into half of that. Nothing that
  // is written before does: the metrics until then are shorter.
  Program::Limits limits;
  limits.file_bytes = static_cast<int64_t>(before.size()) / 2;
  ASSERT_LT(static_cast<int64_t>(contents_of(folder_ / "full/metrics.jsonl").size()) + 2048, limits.file_bytes);
  const Ended full = Program(train("full", steps), limits).wait();
  EXPECT_EQ(full.code, 4) << full.err;
  expect_contains(full.err, {"checkpoint"});
  EXPECT_EQ(newest_checkpoint("full"), checkpoint);
  EXPECT_EQ(contents_of(checkpoint), before);
  EXPECT_EQ(files_beside(checkpoint), there) << "something was left behind";
  ASSERT_EQ(run(train("full", steps)).code, 0);
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
