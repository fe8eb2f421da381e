#include "synth/questions.h"

#include "core/error.h"
#include "data/tiny_tokenizer.h"
#include "synth/sample_text.h"
#include "synth/wording.h"

#include <set>

namespace tenfold {
namespace {

SynthCorpus corpus_of(const std::string& text) { return SynthCorpus(std::vector<TextDocument>{{"a", text}}); }

TEST(CorpusTest, SentenceEnds) {
  const auto first = [](std::string_view text) { return std::string(text.substr(0, sentence_end(text, 0))); };
  EXPECT_EQ(first("It rained. Then not."), "It rained.");
  EXPECT_EQ(first("Mr. Harding met Mrs. Proudie. So."), "Mr. Harding met Mrs. Proudie.");
  EXPECT_EQ(first("J. S. Bach came. So."), "J. S. Bach came.");
  EXPECT_EQ(first("\"Go!\" he cried. So."), "\"Go!\" he cried.");
  EXPECT_EQ(first("\"Go!\" She went."), "\"Go!\"");
  EXPECT_EQ(first("At 3.14 it rang. So."), "At 3.14 it rang.");
  EXPECT_EQ(sentence_end("no end here", 0), std::string_view::npos);
  EXPECT_EQ(sentence_end("", 0), std::string_view::npos);
}

TEST(CorpusTest, TakesOutForbiddenParagraphs) {
  const SynthCorpus corpus = corpus_of("A first paragraph.\n\nHe came from Hamburg one day.\n\nA last one.");
  EXPECT_EQ(corpus.documents()[0].text, "A first paragraph.\n\nA last one.");
  EXPECT_EQ(corpus.dropped_paragraphs(), 1);
  EXPECT_THROW(corpus_of("only the pass key"), InputError);
  EXPECT_THROW(SynthCorpus(std::vector<TextDocument>{}), InputError);
}

TEST(CorpusTest, SentencesStandOnTheirOwn) {
  const SynthCorpus corpus(test::sample_documents(2, 20000));
  EXPECT_GT(corpus.sentences().size(), 100U);
  for (const SentenceRef& ref : corpus.sentences()) {
    const auto text = corpus.text_of(ref);
    EXPECT_EQ(text.find_first_of("\"\n"), std::string_view::npos) << text;
    EXPECT_EQ(text.back(), '.') << text;
    EXPECT_GE(spaced_words(text).size(), 8U);
    EXPECT_LE(spaced_words(text).size(), 32U);
  }
  EXPECT_GT(corpus.count_of("CAPTAIN"), 10);
  EXPECT_EQ(corpus.count_of("zebra"), 0);
}

constexpr std::string_view kSpeech = "\"The zebra has eaten every peppermint in the glasshouse again,\" said Mrs. Quickly.";

TEST(QuestionsTest, EveryWayToAskAboutASentence) {
  const SynthCorpus corpus(test::sample_documents(2, 30000));
  const std::string context = corpus.documents()[0].text.substr(0, 10000);
  std::array<int, kSentenceQuestions> made{};
  std::set<std::string> shapes;
  for (uint64_t i = 0; i < 3000; ++i) {
    Rng rng(5, i);
    const auto kind = static_cast<SentenceQuestion>(i % kSentenceQuestions);
    const std::string_view sentence =
        kind == SentenceQuestion::kSpeech ? std::string_view(kSpeech) : corpus.text_of(rng.pick(corpus.sentences()));
    if (context.find(sentence) != std::string::npos) continue;
    const auto pair = ask_about_sentence(kind, sentence, context, corpus, rng);
    if (!pair) continue;
    ++made[i % kSentenceQuestions];
    EXPECT_TRUE(test::rests_on(pair->answer, std::string(sentence))) << pair->answer << " <- " << sentence;
    EXPECT_EQ(pair->question.find("{x}"), std::string::npos);
    shapes.insert(pair->question.substr(0, 14));
    const bool gap = kind == SentenceQuestion::kGap || kind == SentenceQuestion::kTwoGaps;
    EXPECT_EQ(pair->question.find("____") != std::string::npos, gap) << pair->question;
  }
  for (int kind = 0; kind < kSentenceQuestions; ++kind) EXPECT_GT(made[static_cast<size_t>(kind)], 5) << kind;
  EXPECT_GT(shapes.size(), 30U);
}

TEST(QuestionsTest, KeysThatTheContextHoldsAreNotUsed) {
  const std::string sentence = "The old captain was waiting by the gate near a quiet house.";
  const SynthCorpus corpus = corpus_of(sentence + " " + sentence);
  // The context begins and ends sentences just as this one does, and holds each of its words.
  const std::string context =
      "The old captain was waiting by the gate near a quiet horse. He was waiting by the gate near a quiet house.";
  for (uint64_t i = 0; i < 200; ++i) {
    Rng rng(6, i);
    const auto begins = ask_about_sentence(SentenceQuestion::kBegins, sentence, context, corpus, rng);
    EXPECT_FALSE(begins) << begins->question;
    EXPECT_FALSE(ask_about_sentence(SentenceQuestion::kEnds, sentence, context, corpus, rng));
    EXPECT_FALSE(ask_about_sentence(SentenceQuestion::kAbout, sentence, context, corpus, rng));
    EXPECT_FALSE(ask_about_sentence(SentenceQuestion::kGoesOn, sentence, context, corpus, rng));
  }
}

TEST(QuestionsTest, PassagesAreOfTheText) {
  const std::string text = test::sample_document(9, 20000).text;
  int made = 0;
  for (uint64_t i = 0; i < 300; ++i) {
    Rng rng(7, i);
    const double depth = static_cast<double>(i) / 299.0;
    std::vector<size_t> cuts;
    for (int k = 0; k < 5; ++k) cuts.push_back(rng.below(text.size()));
    std::sort(cuts.begin(), cuts.end());
    const auto found = ask_about_passage(text, depth, cuts, rng);
    if (!found) continue;
    const QuestionAnswer* pair = &found->pair;
    EXPECT_LE(found->end, text.size());
    ++made;
    const size_t at = text.find(pair->answer);
    ASSERT_NE(at, std::string::npos) << pair->answer;
    EXPECT_EQ(pair->answer.find('\n'), std::string::npos);
    // Some place of the answer crosses no cut (short answers may come twice).
    bool clear = false;
    for (size_t from = at; from != std::string::npos && !clear; from = text.find(pair->answer, from + 1)) {
      clear = std::none_of(cuts.begin(), cuts.end(), [&](size_t cut) { return cut > from && cut < from + pair->answer.size(); });
    }
    EXPECT_TRUE(clear) << pair->answer;
  }
  EXPECT_GT(made, 250);
  Rng rng(8, 0);
  EXPECT_FALSE(ask_about_passage("", 0.5, {}, rng));
  EXPECT_FALSE(ask_about_passage("too short to be asked about", 0.5, {}, rng));
}

}  // namespace
}  // namespace tenfold
