#include "synth/chats.h"

#include "core/error.h"
#include "data/example.h"
#include "data/record.h"
#include "data/tiny_tokenizer.h"
#include "synth/chat_choices.h"
#include "synth/sample_text.h"
#include "synth/wording.h"

#include <array>
#include <cmath>
#include <set>

namespace tenfold {
namespace {

using test::expect_contains;
using test::input_error;
using test::TemporaryFolder;

class ChatsTest : public ::testing::Test {
 protected:
  ChatRecord make(int64_t index, uint64_t seed = 42) { return make_chat(corpus_, tokenizer_, chat_, seed, index); }

  TemporaryFolder folder_;
  Tokenizer tokenizer_ = test::tiny_tokenizer(folder_);
  ChatTemplate chat_ = ChatTemplate::by_name("chatml");
  SynthCorpus corpus_{test::sample_documents(3, 60000)};
};

uint64_t fnv(const std::string& text) {
  uint64_t h = 0xCBF29CE484222325U;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return h;
}

std::string text_of(const ChatRecord& record) {
  std::string text;
  for (const ChatMessage& message : record.messages) text += message.role + ": " + message.content + "\n";
  return text;
}

TEST_F(ChatsTest, GoldenRecords) {
  // A change of this number changes every set that users made with a seed: it needs a line in the release notes.
  std::string all;
  for (int64_t i = 0; i < 20; ++i) all += text_of(make(i));
  EXPECT_EQ(fnv(all), 9142797671450958408U) << all.substr(0, 800);
}

TEST_F(ChatsTest, AreAFunctionOfSeedAndIndex) {
  for (const int64_t i : {9, 0, 1}) EXPECT_EQ(text_of(make(i)), text_of(make(i)));
  EXPECT_NE(text_of(make(0)), text_of(make(1)));
  EXPECT_NE(text_of(make(0)), text_of(make(0, 43)));
}

TEST_F(ChatsTest, SixHundredRecords) {
  std::array<int64_t, kChatKinds> kinds{};
  std::array<int64_t, 4> turns{};
  std::set<std::string> questions;
  std::array<int64_t, 4> letters{};
  int64_t asked = 0;
  int64_t cued = 0;
  int64_t plain = 0;
  int64_t systems = 0;
  for (int64_t i = 0; i < 600; ++i) {
    const ChatRecord record = make(i);
    EXPECT_GE(record.tokens, kLeastChat);
    EXPECT_LE(record.tokens, kMostChat);
    EXPECT_EQ(record.tokens, static_cast<int64_t>(encode_record({record.messages, {}, {}, 0}, tokenizer_, chat_).ids.size()));
    const bool system = record.messages[0].role == "system";
    systems += system ? 1 : 0;
    ASSERT_EQ(record.messages.size(), 2 * record.kinds.size() + (system ? 1 : 0));
    ++kinds[static_cast<size_t>(record.kinds[0])];
    ++turns.at(record.kinds.size());
    for (const ChatMessage& message : record.messages) {
      EXPECT_FALSE(message.content.empty()) << text_of(record);
      EXPECT_FALSE(has_forbidden_phrase(message.content));
      EXPECT_EQ(message.content.find_first_of("{}"), std::string::npos) << message.content;
    }
    for (size_t k = 0; k < record.kinds.size(); ++k) {
      const std::string& question = record.messages[2 * k + (system ? 1 : 0)].content;
      const std::string& answer = record.messages[2 * k + (system ? 2 : 1)].content;
      questions.insert(question);
      ++asked;
      if (record.kinds[k] != ChatKind::kChoice) continue;
      cued += question.ends_with("\nAnswer:") ? 1 : 0;
      plain += question.ends_with("\nAnswer:") && question.find("\nA. ") != std::string::npos ? 1 : 0;
      if (answer.size() == 1 && answer[0] >= 'A' && answer[0] <= 'D' && question.find("\nD") != std::string::npos)
        ++letters[static_cast<size_t>(answer[0] - 'A')];
    }
  }
  // Long paragraphs fall out: the tiny tokenizer makes nearly a token of each byte, but every kind comes.
  for (const int64_t count : kinds) EXPECT_GT(count, 20);
  EXPECT_GT(kinds[0], 200);
  EXPECT_EQ(turns[0], 0);
  for (const size_t n : {1U, 2U, 3U}) EXPECT_GT(turns[n], 10) << n;
  EXPECT_GT(systems, 60);
  EXPECT_LT(systems, 240);
  EXPECT_GT(static_cast<double>(questions.size()), 0.8 * static_cast<double>(asked));
  EXPECT_GT(cued, 100);
  EXPECT_GT(plain, 60);
  EXPECT_LT(plain, asked / 2);
  // The right letter is any of four: within five standard deviations.
  const double n = static_cast<double>(letters[0] + letters[1] + letters[2] + letters[3]);
  ASSERT_GT(n, 80);
  for (const int64_t count : letters) EXPECT_NEAR(static_cast<double>(count), n / 4, 5 * std::sqrt(n * 3 / 16));
}

TEST_F(ChatsTest, ChoicesHaveDistinctOptionsAndTheirAnswer) {
  Rng rng(1, 2);
  int64_t drawn = 0;
  int64_t passages = 0;
  for (int i = 0; i < 400; ++i) {
    FactMaker facts(rng);
    const auto choice = draw_choice(corpus_, facts, rng);
    if (!choice) continue;
    ++drawn;
    passages += choice->passage.empty() ? 0 : 1;
    ASSERT_LT(choice->right, choice->options.size());
    EXPECT_GE(choice->options.size(), 2U);
    EXPECT_LE(choice->options.size(), 5U);
    EXPECT_EQ(std::set(choice->options.begin(), choice->options.end()).size(), choice->options.size());
    const QuestionAnswer pair = turn_of(*choice, draw_layout(rng));
    for (const std::string& option : choice->options) EXPECT_NE(pair.question.find(option), std::string::npos) << pair.question;
  }
  EXPECT_GT(drawn, 360);
  EXPECT_GT(passages, 60);
}

TEST_F(ChatsTest, LayoutsPutLettersAndAnswers) {
  const Choice choice{"It rained.", "What fell?", {"snow", "rain", "hail"}, 1};
  const QuestionAnswer plain = turn_of(choice, {"", "{l}. ", "A", "\n", "\nAnswer:", "{l}"});
  EXPECT_EQ(plain.question, "It rained.\n\nWhat fell?\nA. snow\nB. rain\nC. hail\nAnswer:");
  EXPECT_EQ(plain.answer, "B");
  const QuestionAnswer other = turn_of(choice, {"Q: ", "({l}) ", "1", "; ", "", "It is {l}: {o}"});
  EXPECT_EQ(other.question, "It rained.\n\nQ: What fell?\n(1) snow; (2) rain; (3) hail");
  EXPECT_EQ(other.answer, "It is 2: rain");
}

TEST_F(ChatsTest, WritesThePublishedSchema) {
  ChatOptions options;
  options.records = 12;
  options.texts = {folder_.write("book.txt", test::sample_document(1, 60000).text)};
  std::string lines;
  const SynthReport report =
      synthesize_chats(options, tokenizer_, chat_, [&](const Json& record) { lines += record.dump() + "\n"; });
  EXPECT_EQ(report.records, 12);
  const auto records = load_records(std::vector<std::string>{folder_.write("chat.jsonl", lines)}, "", 0);
  ASSERT_EQ(records.size(), 12U);
  EncodeReport encoded;
  (void)encode_records(records, tokenizer_, chat_, kMostChat, TooLong::kError, encoded);
  EXPECT_EQ(encoded.tokens, report.tokens);
  EXPECT_EQ(encoded.longest, report.longest);
  int64_t questions = 0;
  for (const auto& record : records)
    questions += std::count_if(record.messages.begin(), record.messages.end(), [](const auto& m) { return m.role == "user"; });
  EXPECT_EQ(report.all_questions(), questions);
}

TEST_F(ChatsTest, Faults) {
  ChatOptions none;
  expect_contains(input_error([&] { synthesize_chats(none, tokenizer_, chat_, [](const Json&) {}); }), {"--text"});
  none.records = 0;
  expect_contains(input_error([&] { synthesize_chats(none, tokenizer_, chat_, [](const Json&) {}); }), {"--records 0"});
  const SynthCorpus headings(std::vector<TextDocument>{{"headings", "ONE\n\nTWO"}});
  expect_contains(input_error([&] { make_chat(headings, tokenizer_, chat_, 0, 0); }), {"--text", "sentence"});
}

}  // namespace
}  // namespace tenfold
