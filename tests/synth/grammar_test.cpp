#include "synth/grammar.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tenfold {
namespace {

/// Every question that forty draws give, with its answer.
template <typename Ask>
std::set<std::string> all(const Ask& ask) {
  std::set<std::string> out;
  for (uint64_t i = 0; i < 40; ++i) {
    Rng rng(3, i);
    if (const auto pair = ask(rng)) out.insert(pair->question + " " + pair->answer);
  }
  return out;
}

std::set<std::string> objects(std::string_view sentence) {
  return all([&](Rng& rng) { return ask_for_object(sentence, rng); });
}
std::set<std::string> circumstances(std::string_view sentence) {
  return all([&](Rng& rng) { return ask_for_circumstance(sentence, rng); });
}
std::set<std::string> main_clauses(std::string_view sentence) {
  return all([&](Rng& rng) { return ask_for_main_clause(sentence, rng); });
}
std::set<std::string> subjects(std::string_view sentence) {
  return all([&](Rng& rng) { return ask_for_subject(sentence, rng); });
}
using Set = std::set<std::string>;

TEST(GrammarTest, ObjectsOfPrepositions) {
  EXPECT_EQ(objects("The carriage was stopped by a boy."),
            (Set{"By what was the carriage stopped? A boy", "By what was it that the carriage was stopped? A boy",
                 "What was the carriage stopped by? A boy"}));
  EXPECT_EQ(objects("She had been taken to Mrs. Elton, and stayed."),
            (Set{"To whom had she been taken? Mrs. Elton", "To whom was it that she had been taken? Mrs. Elton",
                 "Whom had she been taken to? Mrs. Elton"}));
  // Another verb's preposition, no noun behind it, no auxiliary, a subject that names nobody, a negation.
  EXPECT_TRUE(objects("He was the man who lived by the sea.").empty());
  EXPECT_TRUE(objects("He was going to stay there for long.").empty());
  EXPECT_TRUE(objects("The carriage stopped near the old church.").empty());
  EXPECT_TRUE(objects("There was a carriage near the old church.").empty());
  EXPECT_TRUE(objects("He had not come to the old church.").empty());
  EXPECT_TRUE(objects("").empty());
  EXPECT_TRUE(objects("Emma.").empty());
}

TEST(GrammarTest, Circumstances) {
  EXPECT_EQ(circumstances("She had waited in vain until the bell rang."),
            (Set{"Until when had she waited in vain? Until the bell rang",
                 "Until when was it that she had waited in vain? Until the bell rang"}));
  EXPECT_EQ(circumstances("Emma could see nothing because the lamp was out."),
            (Set{"Why could Emma see nothing? Because the lamp was out",
                 "Why was it that Emma could see nothing? Because the lamp was out"}));
  EXPECT_TRUE(circumstances("She waited until the bell rang at last.").empty());
}

TEST(GrammarTest, MainClauses) {
  const Set found = main_clauses("When the long winter came, nobody in the house spoke.");
  EXPECT_GE(found.size(), 4U);
  EXPECT_TRUE(found.contains("What happened when the long winter came? Nobody in the house spoke"));
  EXPECT_TRUE(main_clauses("When the long winter came nobody in the house spoke.").empty());
  EXPECT_TRUE(main_clauses("In the long winter, nobody in the whole house spoke.").empty());
}

TEST(GrammarTest, Subjects) {
  EXPECT_EQ(subjects("The carriage was stopped near the gate by a boy."),
            (Set{"What was stopped near the gate by a boy? The carriage",
                 "Who or what was stopped near the gate by a boy? The carriage"}));
  EXPECT_EQ(
      subjects("Emma had never been so well pleased with it."),
      (Set{"Who had never been so well pleased with it? Emma", "Who or what had never been so well pleased with it? Emma"}));
  EXPECT_TRUE(subjects("Mr. Weston had never been so well pleased with it.").empty());
}

TEST(GrammarTest, Speech) {
  const std::string sentence = "\"I never saw such a quantity of peacocks before,\" said Mrs. Elton.";
  EXPECT_EQ(speech_at(sentence + " She sat down."), sentence);
  const std::string curly = "\xE2\x80\x9CI never saw such a quantity of peacocks before!\xE2\x80\x9D cried Emma.";
  EXPECT_EQ(speech_at(curly + "\n\nShe sat down."), curly);
  for (const char* other : {"I never saw such a quantity of peacocks,\" said Emma.", "\"Never,\" said Emma.",
                            "\"I never saw such a quantity of peacocks before,\" said she.",
                            "\"I never saw such a quantity of peacocks before.\" Emma sat down.",
                            "\"I never saw such a quantity of peacocks before,\" said Emma, and sat down.", "\"", ""})
    EXPECT_EQ(speech_at(other), "") << other;
  const Set found = all([&](Rng& rng) { return ask_for_speech(sentence, "quantity", "peacocks", rng); });
  EXPECT_GE(found.size(), 5U);
  EXPECT_TRUE(found.contains("Who spoke of quantity and peacocks? Mrs. Elton"));
  EXPECT_TRUE(
      found.contains("What did Mrs. Elton say about quantity and peacocks? I never saw such a quantity of peacocks before"));
  Rng rng(1, 1);
  EXPECT_FALSE(ask_for_speech("No marks at all in here, said Emma.", "marks", "here", rng));
}

}  // namespace
}  // namespace tenfold
