// Short conversations distilled beside text: made by data synth --chat, read by train --distill-data.
#include "cli/process.h"
#include "cli/tiny_model.h"

#include <set>

namespace tenfold::test {
namespace {

using Words = std::vector<std::string>;

class DistillProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    write_tiny_model(model_);
    folder_.write("data.jsonl", tiny_records(6));
    std::string text;
    for (int i = 0; i < 200; ++i)
      text += "The clerk of number " + std::to_string(i) + " walked slowly to the river, and Mr. Bell looked at the water. ";
    folder_.write("book.txt", text);
  }
  /// Three steps, with more options.
  Words train(const std::string& out, const Words& more) const {
    Words words = {"--lora-r", "4", "--seed", "3", "--distill-lengths", "64,640"};
    words.insert(words.end(), more.begin(), more.end());
    return tiny_training(model_, folder_ / "data.jsonl", folder_ / out, 3, words);
  }
  std::vector<Json> metrics(const std::string& out) const {
    std::vector<Json> lines;
    for_each_json_line(folder_ / out + "/metrics.jsonl", [&](Json& line, int64_t) { lines.push_back(line); });
    return lines;
  }
  void expect_refused(const Words& arguments, const Words& parts) const {
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 2) << ended.err;
    expect_contains(ended.err, parts);
  }

  const TemporaryFolder folder_;
  const std::string model_ = folder_ / "tiny.gguf";
  const std::string chats_ = folder_ / "chat.jsonl";
};

TEST_F(DistillProgramTest, TrainsOnWhatSynthMakes) {
  const Ended made = run({"data", "synth", "--chat", "--model", model_, "--text", folder_ / "book.txt", "--records", "20",
                          "--seed", "5", "--output", chats_, "--json"});
  ASSERT_EQ(made.code, 0) << made.err;
  const Json summary = parse_json(last_line(made.out), "summary");
  EXPECT_EQ(summary["records"].get<int64_t>(), 20);
  EXPECT_LE(summary["longest"].get<int64_t>(), 600);
  EXPECT_EQ(run({"data", "show", "--model", model_, "--data", chats_}).code, 0);

  const Ended trained = run(train("chats", {"--distill-data", chats_}));
  ASSERT_EQ(trained.code, 0) << trained.err;
  expect_contains(trained.err, {"20 conversations", "100 % of the steps"});
  ASSERT_EQ(metrics("chats").size(), 3U);
  for (const Json& line : metrics("chats")) {
    EXPECT_TRUE(line["distill_record"].get<int64_t>() >= 0 && line["distill_record"].get<int64_t>() < 20);
    EXPECT_GE(line["distill_loss"].get<double>(), -1e-6);
  }
  // After the first update the tuned model differs from the base.
  EXPECT_GT(metrics("chats")[2]["distill_loss"].get<double>(), 1e-6);
  expect_contains(contents_of(folder_ / "chats/config.toml"), {"# input: " + chats_, "distill-data-share"});
  // With text: in the share asked for, here none.
  ASSERT_EQ(
      run(train("text", {"--distill-data", chats_, "--distill-text", folder_ / "book.txt", "--distill-data-share", "0"})).code,
      0);
  for (const Json& line : metrics("text")) EXPECT_FALSE(line.contains("distill_record"));
}

TEST_F(DistillProgramTest, TakesTurnsWithoutAnswers) {
  folder_.write("chat.jsonl", R"({"conversations": [{"role": "user", "content": "Which?\nA. one\nB. two\nAnswer:"}]})"
                              "\n");
  EXPECT_EQ(run(train("open", {"--distill-data", chats_})).code, 0);
  EXPECT_EQ(metrics("open").size(), 3U);
  // Where there is a loss on answers, one is needed.
  expect_refused({"train", "--model", model_, "--data", chats_, "--out", folder_ / "none"},
                 {"chat.jsonl:1", "no assistant turn"});
}

TEST_F(DistillProgramTest, SaysWhatIsWrong) {
  const std::string text(700, 'x');
  folder_.write("chat.jsonl", Json{{"conversations", Json::array({{{"role", "user"}, {"content", text}}})}}.dump() + "\n");
  expect_refused(train("long", {"--distill-data", chats_}), {"chat.jsonl:1: the record has", "--distill-lengths is 640"});
  folder_.write("chat.jsonl", "{\"text\": \"once\"}\n");
  expect_refused(train("text", {"--distill-data", chats_}), {"chat.jsonl:1", "--distill-text"});
  expect_refused(train("share", {"--distill-data", chats_, "--distill-data-share", "1.5"}), {"--distill-data-share", "1.5"});
  expect_refused(
      {"data", "synth", "--chat", "--model", model_, "--text", folder_ / "book.txt", "--output", chats_, "--max-length", "2K"},
      {"--max-length", "--chat"});
}

}  // namespace
}  // namespace tenfold::test
