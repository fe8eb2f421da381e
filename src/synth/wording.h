#pragma once

#include "core/rng.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// What a record says around the text and the questions.
enum class Phrase : uint8_t {
  kHeading,          ///< before the text, own line(s)
  kHeadingQuestion,  ///< before the text, with {q} for the first question
  kOpen,             ///< put before the text after the heading
  kAsk,              ///< between the text and the first question
  kAskPrefix,        ///< before a question that begins with a question word; {q} is it with a small letter
  kAnswerCue,        ///< after a question
  kRemember,         ///< a sentence after an inserted fact
};

std::span<const std::string_view> phrases_of(Phrase phrase);

/// Texts that belong to the evaluations alone (needle and pass key wording): nothing made here may contain one, in any case.
std::span<const std::string_view> forbidden_phrases();
/// Whether `text` holds a forbidden phrase; ASCII case does not count.
bool has_forbidden_phrase(std::string_view text);

/// Alternatives of a shape are written "one|two|three".
std::vector<std::string_view> alternatives(std::string_view shapes);
std::string_view pick_alternative(Rng& rng, std::string_view shapes);

/// "a" or "an" by the first letter.
std::string with_article(std::string_view word);
std::string capitalized(std::string_view text);
std::string uncapitalized(std::string_view text);
/// Replaces every `from`.
std::string replaced(std::string_view text, std::string_view from, std::string_view to);

}  // namespace tenfold
