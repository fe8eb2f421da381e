#pragma once

#include "core/rng.h"
#include "data/text_corpus.h"
#include "synth/wording.h"

#include <array>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold::test {

/// Paragraphs of made-up sentences, about `bytes` bytes: enough like a book for everything that synthesis looks at.
inline TextDocument sample_document(uint64_t seed, size_t bytes) {
  static constexpr std::array<std::string_view, 10> kWho = {
      "The old captain", "Mr. Harding",      "A stranger in grey",  "The widow from the mill",
      "His cousin",      "The whole parish", "Nobody but the cook", "Their youngest daughter",
      "The carriage",    "That letter"};
  static constexpr std::array<std::string_view, 10> kDid = {
      "was waiting by the gate",    "had forgotten the umbrella",   "would not speak of money", "came back from the harbour",
      "was found behind the hedge", "had never seen so much snow",  "could hear the bells",     "walked twice around the pond",
      "was sold for a shilling",    "looked at the closed shutters"};
  static constexpr std::array<std::string_view, 10> kThen = {
      "before anybody asked for it", "because the road was flooded", "while the tea grew cold", "as if nothing had happened",
      "though it was past midnight", "until the lamp went out",      "and everybody laughed",   "which surprised the vicar",
      "and that was the end of it",  "so that the dog began to bark"};
  static constexpr std::array<std::string_view, 12> kSyllables = {"bel", "for", "an",   "tis", "mo", "rue",
                                                                  "gle", "den", "wick", "ham", "lo", "pra"};
  Rng rng(seed, 77);
  std::string text;
  while (text.size() < bytes) {
    const auto sentences = rng.between(2, 6);
    for (int64_t i = 0; i < sentences; ++i) {
      if (i > 0) text += ' ';
      if (rng.below(4) == 0) {
        text += "\"Not at all,\" she said. ";
      }
      const bool opening = rng.below(4) == 0;
      std::string who(rng.pick(kWho));
      if (opening) {
        text += "When the ";
        text += rng.pick(kSyllables);
        text += rng.pick(kSyllables);
        text += " was late, ";
        if (who != "Mr. Harding") who[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(who[0])));
      }
      text += who;
      text += ' ';
      text += rng.pick(kDid);
      // A name of its own makes sentences differ and gives them a rare word or two.
      text += " near ";
      for (const int64_t end = rng.between(1, 2); const int64_t word : {0, 1}) {
        if (word >= end) continue;
        text += static_cast<char>('A' + rng.below(26));
        for (int k = 0; k < 3; ++k) text += rng.pick(kSyllables);
        if (word + 1 < end) text += " and ";
      }
      text += rng.below(2) == 0 ? ", " : " ";
      text += rng.pick(kThen);
      text += '.';
    }
    text += "\n\n";
  }
  return {"sample" + std::to_string(seed), text};
}

inline std::vector<TextDocument> sample_documents(int count, size_t bytes) {
  std::vector<TextDocument> documents;
  for (int i = 0; i < count; ++i) documents.push_back(sample_document(static_cast<uint64_t>(i), bytes));
  return documents;
}

/// Whether an answer is the sentence, contains it, or is a part of it, but for a capital at its beginning and a full stop at its
/// end.
inline bool rests_on(std::string answer, const std::string& sentence) {
  if (answer.find(sentence) != std::string::npos || sentence.find(answer) != std::string::npos) return true;
  if (answer.ends_with('.')) answer.pop_back();
  return sentence.find(answer) != std::string::npos || sentence.find(uncapitalized(answer)) != std::string::npos;
}

}  // namespace tenfold::test
