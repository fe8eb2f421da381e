#pragma once

// A folder with a tiny model and records, for tests of the built program.

#include "cli/process.h"
#include "cli/tiny_model.h"

#include <set>

namespace tenfold::test {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

inline Words operator+(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// The --json line, which is the last of stdout.
inline Json summary_of(const Ended& ended) {
  EXPECT_EQ(ended.code, 0) << ended.err;
  return parse_json(last_line(ended.out), "the last line of stdout");
}

class ProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    write_tiny_model(model_);
    folder_.write("data.jsonl", tiny_records(12));
  }
  /// Every path below the test's folder.
  std::set<std::string> files() const {
    std::set<std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) all.insert(entry.path().string());
    return all;
  }
  Words train(const std::string& out) const {
    return tiny_training(model_, folder_ / "data.jsonl", folder_ / out, 4,
                         {"--lora-r", "4", "--lm-loss-weight", "0.3", "--lm-loss-tokens", "8"});
  }
  /// Runs it, expects the exit code and the parts in stderr, and that nothing was written.
  void expect_refused(const Words& arguments, int code, const Words& parts) const {
    const auto before = files();
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, code) << ended.err;
    expect_contains(ended.err, parts);
    EXPECT_EQ(files(), before);
    EXPECT_EQ(ended.err.find("bug"), std::string::npos) << ended.err;
  }

  const TemporaryFolder folder_;
  const std::string model_ = folder_ / "tiny.gguf";
};

}  // namespace tenfold::test
