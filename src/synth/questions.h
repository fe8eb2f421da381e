#pragma once

#include "core/rng.h"
#include "synth/corpus.h"
#include "synth/facts.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tenfold {

/// The ways to ask about a sentence that was written into a text it does not come from.
enum class SentenceQuestion : uint8_t {
  kBegins,        ///< it begins with ...: write it
  kEnds,          ///< it ends with ...: write it
  kGoesOn,        ///< its first half: how does it go on
  kAbout,         ///< what does the text say about two rare words
  kMentions,      ///< which sentence mentions these words
  kGap,           ///< fill in a word
  kTwoGaps,       ///< write the sentence with its gaps filled
  kRepeat,        ///< repeat word for word the one with ...
  kSubject,       ///< who or what ...: its subject taken out (this and the next three by synth/grammar.h)
  kObject,        ///< by what, from whom ...: what follows a preposition
  kCircumstance,  ///< when, why, in which case ...: an adverbial clause
  kMainClause,    ///< what happens when ...: the clause after it
  kSpeech,        ///< what did she say about ..., who said ...: of a sentence of SynthCorpus::speeches() alone
  kChoice,        ///< which of three sentences is in the text
  kNextWords,     ///< which words follow ...
};
constexpr int kSentenceQuestions = 15;

/// A question about `sentence`, which will stand once in `context` (the text without it). Words and beginnings that also occur in
/// the context are not used as keys. Nothing when this way of asking does not fit the sentence.
std::optional<QuestionAnswer> ask_about_sentence(SentenceQuestion kind, std::string_view sentence, std::string_view context,
                                                 const SynthCorpus& corpus, Rng& rng);

/// A question about a passage, which ends before the byte `end` of the text.
struct PassageQuestion {
  QuestionAnswer pair;
  size_t end = 0;
};

/// A question about a passage of `text` itself near the fraction `depth` in [0, 1]: complete it, what follows, what stands
/// before. The passage crosses none of `cuts` (byte offsets into text where something is written in) and its quoted words occur
/// once in `text`. Nothing when there is no such passage nearby.
std::optional<PassageQuestion> ask_about_passage(std::string_view text, double depth, const std::vector<size_t>& cuts, Rng& rng);

}  // namespace tenfold
