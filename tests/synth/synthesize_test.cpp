#include "synth/synthesize.h"

#include "core/error.h"
#include "data/example.h"
#include "data/tiny_tokenizer.h"
#include "synth/assemble.h"
#include "synth/sample_text.h"
#include "synth/wording.h"

#include <cmath>
#include <numeric>
#include <set>

namespace tenfold {
namespace {

using test::expect_contains;
using test::input_error;
using test::TemporaryFolder;

class SynthesizeTest : public ::testing::Test {
 protected:
  static SynthOptions options() {
    SynthOptions options;
    options.min_length = 1500;
    options.max_length = 12000;  // the tiny tokenizer makes nearly a token of each byte
    options.seed = 42;
    return options;
  }
  Synthesizer make(const SynthOptions& options) {
    return {options, SynthCorpus(test::sample_documents(3, 60000)), tokenizer_, chat_};
  }

  TemporaryFolder folder_;
  Tokenizer tokenizer_ = test::tiny_tokenizer(folder_);
  ChatTemplate chat_ = ChatTemplate::by_name("chatml");
};

uint64_t fnv(const std::string& text) {
  uint64_t h = 0xCBF29CE484222325U;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return h;
}

TEST_F(SynthesizeTest, GoldenRecord) {
  // A change of this number changes every training set that users made with a seed: it needs a line in the release notes.
  const std::string text = json_of(make(options()).make(3)).dump();
  EXPECT_EQ(fnv(text), 2122941912702633395U) << text.substr(0, 600);
}

TEST_F(SynthesizeTest, RecordsDoNotDependOnHowManyAreMade) {
  SynthOptions few = options();
  few.records = 2;
  SynthOptions many = options();
  many.records = 1000;
  const Synthesizer a = make(few);
  const Synthesizer b = make(many);
  for (const int64_t i : {5, 0, 1}) EXPECT_EQ(json_of(a.make(i)).dump(), json_of(b.make(i)).dump());
  EXPECT_NE(json_of(a.make(0)).dump(), json_of(a.make(1)).dump());
  SynthOptions other = options();
  other.seed = 43;
  EXPECT_NE(json_of(make(other).make(0)).dump(), json_of(a.make(0)).dump());
}

std::set<std::string> numbers_of(const std::string& text) {
  std::set<std::string> out;
  std::string run;
  for (const char c : text + " ") {
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      run += c;
    } else if (!run.empty()) {
      out.insert(std::exchange(run, ""));
    }
  }
  return out;
}

TEST_F(SynthesizeTest, FiveHundredRecords) {
  SynthOptions o = options();
  o.shares.clauses = 0.2;
  const Synthesizer synthesizer = make(o);
  std::array<int64_t, kAskKinds> kinds{};
  std::set<std::string> questions;
  std::set<std::string> headings;
  int64_t asked = 0;
  int64_t cues = 0;
  std::array<int, 4> quarters{};
  for (int64_t i = 0; i < 500; ++i) {
    const SynthRecord record = synthesizer.make(i);
    ASSERT_EQ(record.messages.size(), 2 * record.asks.size());
    ASSERT_FALSE(record.asks.empty());
    EXPECT_LE(record.asks.size(), static_cast<size_t>(o.max_questions));
    // Lengths.
    EXPECT_EQ(record.target, synthesizer.target_length(i));
    EXPECT_LE(record.tokens, record.target);
    EXPECT_GE(record.tokens, record.target - 32);
    EXPECT_GE(record.tokens, o.min_length);
    EXPECT_LE(record.tokens, o.max_length);
    const Example example = encode_record({record.messages, {}, {}, 0}, tokenizer_, chat_);
    EXPECT_EQ(static_cast<int64_t>(example.ids.size()), record.tokens);
    // Wording.
    for (const ChatMessage& message : record.messages) {
      EXPECT_FALSE(has_forbidden_phrase(message.content));
      EXPECT_EQ(message.content.find("{q}"), std::string::npos);
      EXPECT_EQ(message.content.find("{x}"), std::string::npos);
    }
    // Answers rest on the text.
    const std::string& text = record.messages[0].content;
    std::set<std::string> here;
    for (size_t k = 0; k < record.asks.size(); ++k) {
      const SynthAsk& ask = record.asks[k];
      ++kinds[static_cast<size_t>(ask.kind)];
      ++asked;
      EXPECT_TRUE(here.insert(ask.question).second) << ask.question;
      questions.insert(ask.question);
      EXPECT_EQ(record.messages[2 * k + 1].content, ask.answer);
      const std::string& shown = record.messages[2 * k].content;
      EXPECT_NE(shown.find(ask.question.substr(1)), std::string::npos) << shown;
      cues += shown.ends_with(":") ? 1 : 0;
      ASSERT_EQ(ask.parts.size(), ask.kind == AskKind::kPassage ? 0 : ask.depths.size());
      std::string parts;
      for (size_t p = 0; p < ask.parts.size(); ++p) {
        EXPECT_NE(text.find(ask.parts[p]), std::string::npos) << ask.parts[p];
        parts += ask.parts[p] + "\n";
        const double at = static_cast<double>(text.find(ask.parts[p])) / static_cast<double>(text.size());
        ++quarters[static_cast<size_t>(std::min(at * 4, 3.0))];
      }
      if (ask.kind == AskKind::kPassage) {
        EXPECT_NE(text.find(ask.answer), std::string::npos) << ask.answer;
      } else if (ask.kind == AskKind::kSentence) {
        EXPECT_TRUE(test::rests_on(ask.answer, ask.parts[0])) << ask.answer << " <- " << ask.parts[0];
        // Once in the text; a question with choices may list it once more before and after it.
        size_t times = 0;
        for (size_t at = text.find(ask.parts[0]); at != std::string::npos; at = text.find(ask.parts[0], at + 1)) ++times;
        EXPECT_TRUE(times == 1 || (times <= 3 && ask.question.find(ask.parts[0]) != std::string::npos)) << times;
      } else {
        const auto known = numbers_of(parts);
        for (const auto& number : numbers_of(ask.answer)) EXPECT_TRUE(known.contains(number)) << ask.answer;
      }
    }
    headings.insert(text.substr(0, 12));
  }
  // Shares, to within five standard deviations of a binomial draw plus what short records and passages without a place shift.
  const AskShares s = o.shares;
  const std::array<double, kAskKinds> shares = {s.facts, s.clauses, s.numbers, s.multi, s.sentences, s.passages};
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (size_t k = 0; k < shares.size(); ++k) {
    const double share = static_cast<double>(kinds[k]) / static_cast<double>(asked);
    EXPECT_NEAR(share, shares[k] / sum, 0.05) << k;
  }
  EXPECT_GT(static_cast<double>(questions.size()), 0.95 * static_cast<double>(asked));
  EXPECT_GT(headings.size(), 30U);
  EXPECT_GT(cues, asked / 5);
  // Depths are even: each quarter of the text gets about a quarter.
  const int total = quarters[0] + quarters[1] + quarters[2] + quarters[3];
  for (const int count : quarters) EXPECT_NEAR(static_cast<double>(count) / total, 0.25, 0.06);
}

TEST_F(SynthesizeTest, LengthDistributions) {
  SynthOptions o = options();
  const auto quantile = [&](const std::string& lengths, double q) {
    o.lengths = lengths;
    const Synthesizer synthesizer = make(o);
    std::vector<double> all;
    for (int64_t i = 0; i < 2000; ++i) all.push_back(static_cast<double>(synthesizer.target_length(i)));
    std::sort(all.begin(), all.end());
    return all[static_cast<size_t>(q * 1999)];
  };
  // An even sequence misses a quantile by at most a few of 2,000 steps.
  EXPECT_NEAR(quantile("log-uniform", 0.5), std::sqrt(1532.0 * 12000.0), 60);
  EXPECT_NEAR(quantile("uniform", 0.5), (1532.0 + 12000.0) / 2, 60);
  EXPECT_GE(quantile("log-uniform", 0.0), 1500);
  EXPECT_LE(quantile("uniform", 1.0), 12000);
  o.lengths = "2000,4000,3000";
  const Synthesizer fixed = make(o);
  EXPECT_EQ(fixed.target_length(0), 2000);
  EXPECT_EQ(fixed.target_length(4), 4000);
  const SynthRecord record = fixed.make(2);
  EXPECT_LE(record.tokens, 3000);
  EXPECT_GE(record.tokens, 2968);
}

TEST_F(SynthesizeTest, FewRecordsCoverAllLengths) {
  const Synthesizer synthesizer = make(options());
  // Of 16 records, each quarter of the (logarithmic) range gets 3 to 5.
  std::array<int, 4> bins{};
  for (int64_t i = 0; i < 16; ++i) {
    const double u = std::log(static_cast<double>(synthesizer.target_length(i)) / 1532.0) / std::log(12000.0 / 1532.0);
    ++bins[static_cast<size_t>(std::clamp(u * 4, 0.0, 3.0))];
  }
  for (const int count : bins) EXPECT_TRUE(count >= 3 && count <= 5) << count;
}

TEST_F(SynthesizeTest, SharesAreObeyed) {
  for (int kind = 0; kind < kAskKinds; ++kind) {
    SynthOptions o = options();
    const auto only = [kind](int k) { return k == kind ? 1.0 : 0.0; };
    o.shares = {only(0), only(1), only(2), only(3), only(4), only(5)};
    const Synthesizer synthesizer = make(o);
    for (int64_t i = 0; i < 20; ++i) {
      for (const SynthAsk& ask : synthesizer.make(i).asks) EXPECT_EQ(static_cast<int>(ask.kind), kind);
    }
  }
}

TEST_F(SynthesizeTest, JoinsDocumentsThatAreTooShort) {
  SynthOptions o = options();
  const Synthesizer synthesizer(o, SynthCorpus(test::sample_documents(12, 3000)), tokenizer_, chat_);
  for (int64_t i = 0; i < 10; ++i) {
    const SynthRecord record = synthesizer.make(i);
    EXPECT_GE(record.tokens, record.target - 32) << i;
  }
}

TEST_F(SynthesizeTest, WritesThePublishedSchema) {
  SynthOptions o = options();
  o.records = 6;
  const auto text = folder_.write("book.txt", test::sample_document(1, 60000).text);
  folder_.write("more/b.md", test::sample_document(2, 60000).text);
  o.texts = {text, folder_ / "more"};
  std::string lines;
  const SynthReport report = synthesize(o, tokenizer_, chat_, [&](const Json& record) { lines += record.dump() + "\n"; });
  EXPECT_EQ(report.records, 6);
  EXPECT_EQ(report.documents, 2);
  const auto records = load_records(std::vector<std::string>{folder_.write("out.jsonl", lines)}, "", 0);
  ASSERT_EQ(records.size(), 6U);
  EncodeReport encoded;
  const auto examples = encode_records(records, tokenizer_, chat_, o.max_length, TooLong::kError, encoded);
  EXPECT_EQ(encoded.tokens, report.tokens);
  EXPECT_EQ(encoded.longest, report.longest);
  int64_t questions = 0;
  for (const auto& record : records) questions += static_cast<int64_t>(record.messages.size()) / 2;
  EXPECT_EQ(questions, report.all_questions());
}

TEST_F(SynthesizeTest, BosCounts) {
  const Tokenizer bos = test::tiny_tokenizer(folder_, true);
  const ChatTemplate chat = ChatTemplate::by_name("llama-3");
  const Synthesizer synthesizer(options(), SynthCorpus(test::sample_documents(2, 60000)), bos, chat);
  const SynthRecord record = synthesizer.make(0);
  EXPECT_EQ(record.tokens, static_cast<int64_t>(encode_record({record.messages, {}, {}, 0}, bos, chat).ids.size()));
  EXPECT_LE(record.tokens, record.target);
}

TEST_F(SynthesizeTest, OptionFaults) {
  const auto fault = [&](const std::function<void(SynthOptions&)>& change) {
    SynthOptions o = options();
    change(o);
    return input_error([&] { make(o); });
  };
  expect_contains(fault([](auto& o) { o.records = 0; }), {"--records 0"});
  expect_contains(fault([](auto& o) { o.min_length = 20000; }), {"--min-length 20000", "--max-length 12000"});
  expect_contains(fault([](auto& o) { o.min_length = 5; }), {"--min-length 5"});
  expect_contains(fault([](auto& o) { o.lengths = "gaussian"; }), {"gaussian", "log-uniform"});
  expect_contains(fault([](auto& o) { o.lengths = "2000,"; }), {"2000,"});
  expect_contains(fault([](auto& o) { o.lengths = "2000,99999"; }), {"99999"});
  expect_contains(fault([](auto& o) { o.max_questions = 257; }), {"256"});
  expect_contains(fault([](auto& o) { o.min_questions = 9; }), {"9 to 8"});
  expect_contains(fault([](auto& o) { o.shares.facts = -1; }), {"-1"});
  expect_contains(fault([](auto& o) { o.shares.facts = std::nan(""); }), {"nan"});
  expect_contains(fault([](auto& o) { o.shares = {0, 0, 0, 0, 0, 0}; }), {"all shares"});
  expect_contains(fault([](auto& o) { o.quoted = 1.5; }), {"--share-quoted 1.5"});
  expect_contains(fault([](auto& o) { o.max_length = 10000000; }), {"too few", "--max-length"});
  SynthOptions none = options();
  expect_contains(input_error([&] { synthesize(none, tokenizer_, chat_, [](const Json&) {}); }), {"--text"});
}

TEST(AssembleTest, InsertsAtTheEndsAndBetween) {
  const std::string text = "One two three. Four five six.\n\nSeven eight nine. Ten eleven.";
  const auto insert_many = [&](const std::vector<Insertion>& insertions) {
    return insert_all(text, insertions, places_of(text, insertions));
  };
  const auto insert = [&](double depth, Placement placement) { return insert_many({{"NEW.", depth, placement}}); };
  EXPECT_EQ(insert(0.0, Placement::kParagraphAnywhere), "NEW.\n\n" + text);
  EXPECT_EQ(insert(0.0, Placement::kInline), "NEW. " + text);
  EXPECT_EQ(insert(1.0, Placement::kParagraphAnywhere), text + "\n\nNEW.");
  EXPECT_EQ(insert(0.45, Placement::kParagraphBreak), "One two three. Four five six.\n\nNEW.\n\nSeven eight nine. Ten eleven.");
  EXPECT_EQ(insert(0.22, Placement::kInline), "One two three. NEW. Four five six.\n\nSeven eight nine. Ten eleven.");
  EXPECT_EQ(insert(0.12, Placement::kParagraphAnywhere),
            "One two\n\nNEW.\n\nthree. Four five six.\n\nSeven eight nine. Ten eleven.");
  EXPECT_EQ(insert(0.12, Placement::kInlineAnywhere), "One two NEW. three. Four five six.\n\nSeven eight nine. Ten eleven.");
  EXPECT_EQ(places_of(text, {{"A", 0.12, Placement::kInlineAnywhere}, {"B", 1.0, Placement::kInline}}),
            (std::vector<size_t>{7, Layout::kEnd}));
  // Two at one place come in the order in which they were drawn.
  EXPECT_EQ(insert_many({{"B.", 0.45, Placement::kParagraphBreak}, {"A.", 0.44, Placement::kParagraphBreak}}),
            "One two three. Four five six.\n\nB.\n\nA.\n\nSeven eight nine. Ten eleven.");
  EXPECT_EQ(insert_many({}), text);
  EXPECT_EQ(insert_all("", {{"X.", 0.5, Placement::kInline}}, {0}), "X.");
}

TEST(AssembleTest, CutsBetweenWords) {
  EXPECT_EQ(cut_text("one two three", 9), "one two");
  EXPECT_EQ(cut_text("one two three", 7), "one two");
  EXPECT_EQ(cut_text("one two three", 99), "one two three");
  EXPECT_EQ(cut_text("one two three", 2), "");
  EXPECT_EQ(cut_text("one two three", -5), "");
}

}  // namespace
}  // namespace tenfold
