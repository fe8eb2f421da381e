#pragma once

#include "core/rng.h"
#include "synth/corpus.h"
#include "synth/facts.h"

#include <optional>
#include <string>
#include <vector>

namespace tenfold {

/// A question with options, not yet laid out.
struct Choice {
  std::string passage;  ///< that the question is about; may be empty
  std::string question;
  std::vector<std::string> options;  ///< two to five, no two alike
  size_t right = 0;
};

/// Options about invented facts, sorts of things, sums, meanings, and sentences of the texts. Nothing where the draw does not
/// work out.
std::optional<Choice> draw_choice(const SynthCorpus& corpus, FactMaker& facts, Rng& rng);

/// How options are written, in one of several ways; questions of one conversation share it.
struct ChoiceLayout {
  std::string intro;   ///< before the question; before the passage where it is a paragraph of its own
  std::string label;   ///< such as "{l}. " with {l} for the letter or number
  std::string first;   ///< the first label: "A", "a" or "1"
  std::string joint;   ///< between options
  std::string ending;  ///< after the last option
  std::string answer;  ///< with {l} and {o}
};
ChoiceLayout draw_layout(Rng& rng);

/// "passage, question, options, ending" and its answer.
QuestionAnswer turn_of(const Choice& choice, const ChoiceLayout& layout);

/// A question to be answered with yes or no.
std::optional<QuestionAnswer> draw_yes_no(const SynthCorpus& corpus, FactMaker& facts, Rng& rng);

}  // namespace tenfold
