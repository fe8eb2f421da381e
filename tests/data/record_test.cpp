#include "data/record.h"

#include "core/error.h"
#include "data/tiny_tokenizer.h"

#include <set>

namespace tenfold {
namespace {

using test::expect_contains;
using test::input_error;
using test::TemporaryFolder;

std::string line_of(const std::string& user, const std::string& answer) {
  return R"({"conversations": [{"role": "user", "content": ")" + user + R"("}, {"role": "assistant", "content": ")" + answer +
         "\"}]}\n";
}

std::vector<Record> load(const std::vector<std::string>& specs, const std::string& root = "", uint64_t seed = 0) {
  return load_records(specs, root, seed);
}

TEST(RecordTest, ReadsConversationsAndText) {
  const TemporaryFolder folder;
  const auto path =
      folder.write("a.jsonl", line_of("hi", "ho") + "\n{\"text\": \"plain\", \"extra\": 1}\n" +
                                  R"({"conversations": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}, )"
                                  R"({"role": "assistant", "content": "a"}], "id": 7})");
  const auto records = load({path});
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].messages.size(), 2U);
  EXPECT_EQ(records[0].messages[1].role, "assistant");
  EXPECT_EQ(records[0].messages[1].content, "ho");
  EXPECT_EQ(records[1].text, "plain");
  EXPECT_TRUE(records[1].messages.empty());
  EXPECT_EQ(records[1].line, 3);
  EXPECT_EQ(records[2].messages[0].role, "system");
  EXPECT_EQ(where(records[2]), path + ":4");
}

TEST(RecordTest, ReadsOneArray) {
  const TemporaryFolder folder;
  const auto records = load({folder.write("a.json", " \n[{\"text\": \"x\"}, {\"text\": \"y\"}]")});
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[1].text, "y");
  EXPECT_EQ(records[1].line, 2);
}

TEST(RecordTest, FolderInOrderOfNamesAndOnlyData) {
  const TemporaryFolder folder;
  folder.write("d/b.jsonl", line_of("b", "b"));
  folder.write("d/a.json", line_of("a", "a"));
  folder.write("d/readme.txt", "not data");
  const auto records = load({folder / "d"});
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].messages[0].content, "a");
  EXPECT_EQ(records[1].messages[0].content, "b");
}

TEST(RecordTest, LongLlmPrefixTakesTheDataRoot) {
  const TemporaryFolder folder;
  folder.write("root/sub/x.json", line_of("q", "a"));
  EXPECT_EQ(load({"long-llm:sub/x.json"}, folder / "root").size(), 1U);
  EXPECT_EQ(load({"long-llm:sub/x.json[1]"}, folder / "root").size(), 1U);
  expect_contains(input_error([&] { load({"long-llm:sub/x.json"}); }), {"long-llm:sub/x.json", "--data-root"});
}

TEST(RecordTest, SuffixTakesSeededSample) {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 40; ++i) lines += line_of(std::to_string(i), "a");
  const auto path = folder.write("many.jsonl", lines);
  const auto numbers = [](const std::vector<Record>& records) {
    std::vector<int> out;
    for (const auto& record : records) out.push_back(std::stoi(record.messages[0].content));
    return out;
  };
  const auto first = numbers(load({path + "[7]"}, "", 3));
  EXPECT_EQ(first.size(), 7U);
  EXPECT_TRUE(std::is_sorted(first.begin(), first.end()));
  EXPECT_EQ(std::set<int>(first.begin(), first.end()).size(), 7U);
  EXPECT_EQ(numbers(load({path + "[7]"}, "", 3)), first);
  EXPECT_NE(numbers(load({path + "[7]"}, "", 4)), first);
  EXPECT_EQ(load({path + "[40]"}).size(), 40U);
  EXPECT_EQ(load({path + "[99]"}).size(), 40U);
  // The same file twice gives two different draws.
  const auto both = numbers(load({path + "[7]", path + "[7]"}, "", 3));
  EXPECT_NE(std::vector<int>(both.begin(), both.begin() + 7), std::vector<int>(both.begin() + 7, both.end()));
}

TEST(RecordTest, FileNamedWithBracketsIsAFile) {
  const TemporaryFolder folder;
  EXPECT_EQ(load({folder.write("a.jsonl[2]", line_of("q", "a"))}).size(), 1U);
}

TEST(RecordTest, EveryFaultNamesFileAndLine) {
  struct Case {
    std::string line, expected;
  };
  const std::string user = R"({"role": "user", "content": "q"})";
  const std::string answer = R"({"role": "assistant", "content": "a"})";
  const std::vector<Case> cases = {
      {"{\"text\": ", "invalid JSON"},
      {"[1, 2]", "object, got array"},
      {"{\"other\": 1}", "neither 'conversations' nor 'text'"},
      {"{\"text\": \"\"}", "'text' is empty"},
      {"{\"text\": 5}", "'text': expected a string, got number"},
      {R"({"text": "x", "conversations": []})", "one or the other"},
      {R"({"conversations": []})", "'conversations' is empty"},
      {R"({"conversations": {}})", "expected an array of turns, got object"},
      {R"({"conversations": [1]})", "turn 1: expected an object"},
      {R"({"conversations": [{"content": "x"}]})", "turn 1: 'role' is missing"},
      {R"({"conversations": [{"role": "user"}]})", "turn 1: 'content' is missing"},
      {R"({"conversations": [{"role": "user", "content": null}]})", "turn 1: 'content': expected a string, got null"},
      {R"({"conversations": [{"role": 1, "content": "x"}]})", "turn 1: 'role': expected a string, got number"},
      {R"({"conversations": [{"role": "human", "content": "x"}]})",
       "unknown role 'human'; the roles are system, user and assistant"},
      {R"({"conversations": [)" + answer + "," + user + "]}", "the first turn must be the user's"},
      {R"({"conversations": [)" + user + R"(, {"role": "system", "content": "s"},)" + answer + "]}",
       "turn 2: a system turn may only come first"},
      {R"({"conversations": [)" + user + "]}", "no assistant turn"},
  };
  const TemporaryFolder folder;
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto path = folder.write("case" + std::to_string(i) + ".jsonl", line_of("fine", "fine") + cases[i].line + "\n");
    const std::string message = input_error([&] { load({path}); });
    expect_contains(message, {path + ":2:", cases[i].expected});
  }
}

TEST(RecordTest, BadSpecs) {
  const TemporaryFolder folder;
  const auto path = folder.write("a.jsonl", line_of("q", "a"));
  expect_contains(input_error([&] { load({}); }), {"--data"});
  expect_contains(input_error([&] { load({folder / "none.jsonl"}); }), {"none.jsonl", "no such file"});
  for (const char* suffix : {"[0]", "[-3]", "[x]", "[]", "[99999999999999999999]"})
    expect_contains(input_error([&] { load({path + suffix}); }), {path + suffix, "positive whole number"});
  expect_contains(input_error([&] { load({"abc]"}); }), {"FILE[N]"});
  expect_contains(input_error([&] { load({"[3]"}); }), {"empty"});
  expect_contains(input_error([&] { load({folder.write("empty.jsonl", "\n \n")}); }), {"empty.jsonl", "no record"});
  std::filesystem::create_directory(folder / "hollow");
  expect_contains(input_error([&] { load({folder / "hollow"}); }), {"hollow", ".jsonl"});
}

}  // namespace
}  // namespace tenfold
