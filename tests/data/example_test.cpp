#include "data/example.h"

#include "core/error.h"
#include "data/inspect.h"
#include "data/tiny_tokenizer.h"

#include <numeric>

namespace tenfold {
namespace {

using test::expect_contains;
using test::input_error;
using test::TemporaryFolder;

Record conversation(const std::vector<ChatMessage>& messages) { return {messages, {}, "file.jsonl", 5}; }

std::string text_where(const Example& example, const Tokenizer& tokenizer, TokenKind kind) {
  std::string out;
  for (size_t t = 0; t < example.ids.size(); ++t) {
    if (example.kinds[t] == kind) out += tokenizer.token_bytes(example.ids[t]);
  }
  return out;
}

TEST(ExampleTest, AnswersCarryTheirEndOfTurn) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = test::tiny_tokenizer(folder);
  const ChatTemplate chat = ChatTemplate::by_name("chatml");
  const Example example = encode_record(
      conversation({{"user", "the one"}, {"assistant", "two in"}, {"user", "three"}, {"assistant", "four"}}), tokenizer, chat);
  ASSERT_EQ(example.ids.size(), example.kinds.size());
  EXPECT_EQ(example.kinds[0], TokenKind::kNone);
  EXPECT_EQ(std::count(example.kinds.begin(), example.kinds.end(), TokenKind::kNone), 1);
  EXPECT_EQ(text_where(example, tokenizer, TokenKind::kAnswer), "two in<|im_end|>four<|im_end|>");
  EXPECT_EQ(tokenizer.decode(example.ids),
            "<|im_start|>user\nthe one<|im_end|>\n<|im_start|>assistant\ntwo in<|im_end|>\n"
            "<|im_start|>user\nthree<|im_end|>\n<|im_start|>assistant\nfour<|im_end|>\n");
}

TEST(ExampleTest, IdsAreTheSpansOneByOne) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = test::tiny_tokenizer(folder);
  const ChatTemplate chat = ChatTemplate::by_name("llama-3");
  const std::vector<ChatMessage> messages = {{"user", "where is the <|eot_id|> inn?"}, {"assistant", "there"}};
  std::vector<int32_t> expected;
  for (const ChatSpan& span : chat.render(messages, false)) {
    for (const int32_t id : tokenizer.encode(span.text)) expected.push_back(id);
  }
  const Example example = encode_record(conversation(messages), tokenizer, chat);
  EXPECT_EQ(example.ids, expected);
  // Special-token text inside content is parsed, as Hugging Face does.
  EXPECT_EQ(std::count(example.ids.begin(), example.ids.end(), tokenizer.id_of("<|eot_id|>")), 3);
}

TEST(ExampleTest, BosComesFirstAndIsNoTarget) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = test::tiny_tokenizer(folder, /*bos=*/true);
  const ChatTemplate chat = ChatTemplate::by_name("llama-3");
  for (const Record& record : {conversation({{"user", "q"}, {"assistant", "a"}}), Record{{}, "some text", "t", 1}}) {
    const Example example = encode_record(record, tokenizer, chat);
    EXPECT_EQ(example.ids[0], tokenizer.bos_id());
    EXPECT_EQ(std::count(example.ids.begin(), example.ids.end(), tokenizer.bos_id()), 1);
    EXPECT_EQ(example.kinds[0], TokenKind::kNone);
    EXPECT_NE(example.kinds[1], TokenKind::kNone);
  }
}

TEST(ExampleTest, TextIsDocument) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = test::tiny_tokenizer(folder);
  const Example example = encode_record({{}, "the text", "t", 1}, tokenizer, ChatTemplate::by_name("chatml"));
  EXPECT_EQ(tokenizer.decode(example.ids), "the text");
  EXPECT_EQ(example.kinds[0], TokenKind::kNone);
  EXPECT_EQ(static_cast<size_t>(std::count(example.kinds.begin(), example.kinds.end(), TokenKind::kDocument)),
            example.ids.size() - 1);
}

class EncodeRecordsTest : public ::testing::Test {
 protected:
  std::vector<Example> encode(const std::vector<Record>& records, int64_t max_length, TooLong policy) {
    return encode_records(records, tokenizer_, chat_, max_length, policy, report_);
  }
  TemporaryFolder folder_;
  Tokenizer tokenizer_ = test::tiny_tokenizer(folder_);
  ChatTemplate chat_ = ChatTemplate::by_name("chatml");
  EncodeReport report_;
  Record short_ = conversation({{"user", "q"}, {"assistant", "a"}});
  Record long_ = conversation({{"user", std::string(100, 'x')}, {"assistant", std::string(30, 'y')}});
};

TEST_F(EncodeRecordsTest, CountsWhatItKeeps) {
  const auto examples = encode({short_, long_}, 1000, TooLong::kError);
  ASSERT_EQ(examples.size(), 2U);
  EXPECT_EQ(examples[1].record, 1);
  EXPECT_EQ(report_.records, 2);
  EXPECT_EQ(report_.kept, 2);
  EXPECT_EQ(report_.longest, static_cast<int64_t>(examples[1].ids.size()));
  EXPECT_EQ(report_.tokens, static_cast<int64_t>(examples[0].ids.size() + examples[1].ids.size()));
  EXPECT_EQ(report_.answer_tokens, 2 + 31);
  EXPECT_EQ(report_.dropped + report_.split + report_.dropped_pieces, 0);
}

TEST_F(EncodeRecordsTest, ErrorNamesEverything) {
  const auto length = static_cast<int64_t>(encode_record(long_, tokenizer_, chat_).ids.size());
  const std::string message = input_error([&] { encode({short_, long_}, 60, TooLong::kError); });
  expect_contains(message, {"file.jsonl:5", std::to_string(length), "60", "error", "drop", "split"});
  EXPECT_EQ(encode({long_}, length, TooLong::kError).size(), 1U);  // exactly as long is not too long
}

TEST_F(EncodeRecordsTest, Drop) {
  const auto examples = encode({long_, short_}, 60, TooLong::kDrop);
  ASSERT_EQ(examples.size(), 1U);
  EXPECT_EQ(examples[0].record, 1);
  EXPECT_EQ(report_.dropped, 1);
  EXPECT_EQ(report_.kept, 1);
}

TEST_F(EncodeRecordsTest, SplitKeepsPiecesWithAnswers) {
  const Example whole = encode_record(long_, tokenizer_, chat_);
  const auto examples = encode({long_}, 50, TooLong::kSplit);
  EXPECT_EQ(report_.split, 1);
  EXPECT_EQ(report_.dropped, 0);
  EXPECT_EQ(report_.kept + report_.dropped_pieces, (static_cast<int64_t>(whole.ids.size()) + 49) / 50);
  EXPECT_GT(report_.dropped_pieces, 0);  // the first piece is all document
  int64_t answers = 0;
  for (const Example& piece : examples) {
    EXPECT_LE(piece.ids.size(), 50U);
    EXPECT_EQ(piece.kinds[0], TokenKind::kNone);
    EXPECT_EQ(piece.record, 0);
    const auto here = std::count(piece.kinds.begin(), piece.kinds.end(), TokenKind::kAnswer);
    EXPECT_GT(here, 0);
    answers += here;
  }
  EXPECT_EQ(answers, report_.answer_tokens);
  // Only a first token of a piece may have been lost as a target.
  EXPECT_GE(answers, 31 - static_cast<int64_t>(examples.size()));
}

TEST_F(EncodeRecordsTest, SplitOfTextKeepsAllOfIt) {
  const Record text{{}, std::string(95, 'z'), "t.jsonl", 1};
  const auto examples = encode({text}, 30, TooLong::kSplit);
  ASSERT_EQ(examples.size(), 4U);
  EXPECT_EQ(report_.tokens, 95);
  // A last piece of one token has nothing to predict.
  encode({{{}, std::string(91, 'z'), "t.jsonl", 1}}, 30, TooLong::kSplit);
  EXPECT_EQ(report_.dropped_pieces, 1);
}

TEST_F(EncodeRecordsTest, NothingToLearnIsAnError) {
  Record empty = conversation({{"user", "q"}, {"system", "x"}});
  empty.messages.pop_back();
  expect_contains(input_error([&] { encode({empty}, 100, TooLong::kDrop); }), {"file.jsonl:5", "none to learn from"});
  expect_contains(input_error([&] {
                    encode({{{}, "z", "t.jsonl", 2}}, 100, TooLong::kDrop);
                  }),
                  {"t.jsonl:2", "none to learn from"});
  expect_contains(input_error([&] { encode({short_}, 1, TooLong::kDrop); }), {"--max-length 1"});
}

TEST_F(EncodeRecordsTest, TemplateFaultsNameTheRecord) {
  const Record bad = conversation({{"narrator", "q"}, {"assistant", "a"}});
  expect_contains(input_error([&] { encode({bad}, 100, TooLong::kError); }), {"file.jsonl:5"});
}

TEST(TooLongTest, Names) {
  EXPECT_EQ(too_long_by_name("error"), TooLong::kError);
  EXPECT_EQ(too_long_by_name("drop"), TooLong::kDrop);
  EXPECT_EQ(too_long_by_name("split"), TooLong::kSplit);
  expect_contains(input_error([] { too_long_by_name("cut"); }), {"cut", "error, drop, split"});
}

TEST_F(EncodeRecordsTest, Stats) {
  std::vector<Record> records;
  for (int i = 0; i < 10; ++i)
    records.push_back(conversation({{"user", std::string(static_cast<size_t>(10 * i), 'x')}, {"assistant", "yy"}}));
  const auto examples = encode(records, 1000, TooLong::kError);
  const DataStats stats = data_stats(records, examples);
  EXPECT_EQ(stats.records, 10);
  EXPECT_EQ(stats.turns, 20);
  EXPECT_EQ(stats.answers, 10);
  EXPECT_EQ(stats.answer_tokens, 30);
  EXPECT_EQ(stats.tokens, report_.tokens);
  const auto length = [&](size_t i) { return static_cast<int64_t>(examples[i].ids.size()); };
  const std::array<int64_t, 7> expected = {length(0), length(0), length(2), length(4), length(7), length(8), length(9)};
  EXPECT_EQ(stats.percentiles, expected);
  EXPECT_EQ(std::accumulate(stats.histogram.begin(), stats.histogram.end(), int64_t{0}), 10);
  // Pieces of one record count its turns once.
  const std::vector<Example> pieces = {examples[0], examples[0]};
  EXPECT_EQ(data_stats(records, pieces).turns, 2);
  EXPECT_EQ(data_stats({}, {}).tokens, 0);
}

TEST(ShowTest, MarksAnswers) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = test::tiny_tokenizer(folder);
  const Example example = encode_record(conversation({{"user", "q\x1b[31m"}, {"assistant", "caf\xC3\xA9"}}), tokenizer,
                                        ChatTemplate::by_name("chatml"));
  const std::string plain = show_example(example, tokenizer, false);
  EXPECT_EQ(plain,
            "<|im_start|>user\nq\xE2\x90\x9B[31m<|im_end|>\n<|im_start|>assistant\n\xE2\x9F\xA6"
            "caf\xC3\xA9<|im_end|>\xE2\x9F\xA7\n");
  const std::string color = show_example(example, tokenizer, true);
  expect_contains(color, {"\x1b[32mcaf\xC3\xA9<|im_end|>\x1b[0m", "\x1b[2m"});
  EXPECT_EQ(color.find("q\x1b[31m"), std::string::npos);  // the text cannot steer the terminal
  EXPECT_TRUE(color.ends_with("\x1b[0m"));
  EXPECT_NE(show_example(example, tokenizer, false, true).find("u|s|er|\n|q"), std::string::npos);
}

}  // namespace
}  // namespace tenfold
