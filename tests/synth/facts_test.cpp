#include "synth/facts.h"

#include "format/json.h"
#include "format/mapped_file.h"
#include "synth/clauses.h"
#include "synth/corpus.h"
#include "synth/fact_shapes.h"
#include "synth/word_lists.h"
#include "synth/wording.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

namespace tenfold {
namespace {

TEST(FactsTest, EnoughShapesAllComplete) {
  EXPECT_GE(FactMaker::shape_count(false) + FactMaker::shape_count(true), 50);
  EXPECT_GE(FactMaker::multi_shape_count(), 8);
  std::set<std::string_view> firsts;
  for (const bool number : {false, true}) {
    for (const FactShape& shape : number ? number_shapes() : word_shapes()) {
      EXPECT_TRUE(firsts.insert(shape.sentences).second) << shape.sentences;
      for (const auto ask : alternatives(shape.asks)) EXPECT_EQ(std::count(ask.begin(), ask.end(), '#'), 2) << ask;
    }
  }
}

/// Every run of digits, and every code in capitals with digits, of a text.
std::set<std::string> values_of(const std::string& text) {
  std::set<std::string> out;
  std::string run;
  for (const char c : text + " ") {
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      run += c;
    } else if (!run.empty()) {
      out.insert(run);
      run.clear();
    }
  }
  return out;
}

TEST(FactsTest, SentencesAreFilledAndAnswersRestOnThem) {
  for (uint64_t record = 0; record < 600; ++record) {
    Rng rng(1, record);
    FactMaker maker(rng);
    std::set<std::string> questions;
    for (int i = 0; i < 10; ++i) {
      const Fact fact = i % 4 == 3 ? maker.clause() : i % 4 == 2 ? maker.multi() : maker.fact(i % 4 == 1);
      ASSERT_FALSE(fact.asks.empty());
      std::string all;
      for (const auto& part : fact.parts) all += part + "\n";
      for (const auto& [question, answer] : fact.asks) {
        ASSERT_FALSE(answer.empty());
        EXPECT_TRUE(questions.insert(question).second) << "asked twice in a record: " << question;
        for (const std::string& text : {all, question, answer}) {
          EXPECT_EQ(text.find_first_of("{}|#;"), text.find(";") == std::string::npos ? std::string::npos : text.find(";"))
              << text;
          EXPECT_EQ(text.find("  "), std::string::npos) << text;
          EXPECT_FALSE(has_forbidden_phrase(text)) << text;
        }
        const auto known = values_of(all);
        for (const auto& value : values_of(answer)) EXPECT_TRUE(known.contains(value)) << answer << " <- " << all;
      }
    }
  }
}

TEST(FactsTest, NoWordTellsTwoFactsOfARecord) {
  // Names and numbers are what questions tell facts apart by: no two facts of one record may share one.
  for (uint64_t record = 0; record < 300; ++record) {
    Rng rng(2, record);
    FactMaker maker(rng);
    std::set<std::string> seen;
    for (int i = 0; i < 12; ++i) {
      const Fact fact = i % 2 == 0 ? maker.fact(true) : maker.multi();
      std::string all;
      for (const auto& part : fact.parts) all += part + " ";
      std::set<std::string> here;
      for (const auto list : {WordList::kName, WordList::kCity, WordList::kKeyNoun}) {
        for (const auto word : words_of(list)) {
          const size_t at = all.find(word);
          if (at == std::string::npos || std::isalpha(static_cast<unsigned char>(all[at + word.size()])) != 0) continue;
          if (at > 0 && std::isalpha(static_cast<unsigned char>(all[at - 1])) != 0) continue;
          here.emplace(word);
        }
      }
      for (const auto& word : here) EXPECT_TRUE(seen.insert(word).second) << word << " again in: " << all;
    }
  }
}

TEST(FactsTest, EveryShapeIsReached) {
  Rng rng(3, 0);
  std::set<std::string> openings;
  for (int i = 0; i < 4000; ++i) {
    FactMaker maker(rng);
    std::string text = maker.fact(i % 2 == 0).parts[0];
    openings.insert(text.substr(text.size() - std::min<size_t>(text.size(), 12)));
  }
  EXPECT_GT(openings.size(), 500U);
  std::set<size_t> multi_sizes;
  for (int i = 0; i < 300; ++i) {
    FactMaker maker(rng);
    multi_sizes.insert(maker.multi().parts.size());
  }
  EXPECT_EQ(multi_sizes, (std::set<size_t>{2, 3, 4}));
}

/// Every run of `count` words of a text, in small letters.
std::vector<std::string> runs_of(std::string_view text, size_t count) {
  const auto words = letter_words(text);
  std::vector<std::string> out;
  for (size_t i = 0; i + count <= words.size(); ++i) {
    std::string run = " ";
    for (size_t k = 0; k < count; ++k) run.append(uncapitalized(words[i + k])).append(" ");
    out.push_back(std::move(run));
  }
  return out;
}

TEST(FactsTest, NoFactHoldsWordsOfTheHeldOutNeedles) {
  // Needles that no template resembles are worth nothing once a template holds their words: not their answers, and no four words
  // in a row.
  std::vector<std::string> kept;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(TENFOLD_SOURCE_DIR) + "/recipes/needles")) {
    const std::string path = entry.path().string();
    const Json needle = parse_json(read_text_file(path), path);
    for (const char* key : {"needle", "question"}) {
      for (auto& run : runs_of(needle.at(key).get<std::string>(), 4)) kept.push_back(std::move(run));
    }
    const std::string answer = needle.at("answer").get<std::string>();
    for (auto& run : runs_of(answer, letter_words(answer).size())) kept.push_back(std::move(run));
  }
  ASSERT_GT(kept.size(), 50U);
  for (uint64_t record = 0; record < 800; ++record) {
    Rng rng(6, record);
    FactMaker maker(rng);
    for (int i = 0; i < 12; ++i) {
      const Fact fact = i % 4 == 3 ? maker.clause() : i % 4 == 2 ? maker.multi() : maker.fact(i % 4 == 1);
      std::string all;
      for (const auto& part : fact.parts) all += part + " ";
      for (const auto& [question, answer] : fact.asks) all.append(question).append(" ").append(answer).append(" ");
      std::string words = " ";
      for (const auto word : letter_words(all)) words.append(uncapitalized(word)).append(" ");
      for (const auto& run : kept) EXPECT_EQ(words.find(run), std::string::npos) << run << "in: " << all;
    }
  }
}

TEST(FactsTest, ClausesSeldomRepeatTheirFormAndQuoteAsAsked) {
  std::set<std::string> sentences, forms;
  int quoted = 0;
  for (uint64_t record = 0; record < 1000; ++record) {
    Rng rng(7, record);
    forms.insert(draw_clause(rng).sentence);
    FactMaker maker(rng, 0.6);
    const Fact fact = maker.clause();
    sentences.insert(fact.parts[0]);
    quoted += fact.asks[0].answer == fact.parts[0] ? 1 : 0;
  }
  EXPECT_GT(forms.size(), 990U);
  EXPECT_EQ(sentences.size(), 1000U);
  // 600 plus the restated ones that say nothing else; five standard deviations below.
  EXPECT_GT(quoted, 600 - 5 * 16);
}

TEST(FactsTest, VeryManyFactsStillWork) {
  Rng rng(4, 0);
  FactMaker maker(rng);
  std::set<std::string> questions;
  for (int i = 0; i < 200; ++i) questions.insert(maker.fact(i % 2 == 0).asks[0].question);
  EXPECT_GT(questions.size(), 195U);
}

TEST(WordingTest, Helpers) {
  EXPECT_EQ(with_article("anvil"), "an anvil");
  EXPECT_EQ(with_article("lantern"), "a lantern");
  EXPECT_EQ(replaced("a {x} b {x}", "{x}", "y{x}"), "a y{x} b y{x}");
  EXPECT_EQ(capitalized("two"), "Two");
  EXPECT_EQ(uncapitalized("What"), "what");
  EXPECT_EQ(alternatives("a|b||c").size(), 4U);
}

TEST(WordingTest, ForbiddenPhrases) {
  EXPECT_TRUE(has_forbidden_phrase("The best thing to do in San Francisco is sitting"));
  EXPECT_TRUE(has_forbidden_phrase("The PASS KEY is"));
  EXPECT_TRUE(has_forbidden_phrase("a Hamburger"));
  EXPECT_FALSE(has_forbidden_phrase("The gate code is 12345."));
  for (const Phrase p : {Phrase::kHeading, Phrase::kHeadingQuestion, Phrase::kOpen, Phrase::kAsk, Phrase::kAskPrefix,
                         Phrase::kAnswerCue, Phrase::kRemember}) {
    EXPECT_FALSE(phrases_of(p).empty());
    for (const auto text : phrases_of(p)) EXPECT_FALSE(has_forbidden_phrase(text)) << text;
  }
}

}  // namespace
}  // namespace tenfold
