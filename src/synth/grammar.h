#pragma once

#include "core/rng.h"
#include "synth/facts.h"

#include <optional>
#include <string_view>

namespace tenfold {

// Questions about an English sentence by its grammar, found without a parser: an auxiliary verb behind a short subject shows
// where a question has to be turned, a preposition or a conjunction what can be asked for. Sentences that do not fit give
// nothing. The answer is the constituent that was taken out; who quotes the sentence instead takes the question alone.

/// What follows a preposition: "The carriage was stopped by a boy." -> "By what was the carriage stopped?", "A boy".
std::optional<QuestionAnswer> ask_for_object(std::string_view sentence, Rng& rng);

/// An adverbial clause: "She had waited until the bell rang." -> "Until when had she waited?", "Until the bell rang".
std::optional<QuestionAnswer> ask_for_circumstance(std::string_view sentence, Rng& rng);

/// What holds under a clause that the sentence begins with: "When she came, nobody spoke." -> "What happened when she came?",
/// "Nobody spoke".
std::optional<QuestionAnswer> ask_for_main_clause(std::string_view sentence, Rng& rng);

/// The subject: "The carriage was stopped by a boy." -> "What was stopped by a boy?", "The carriage".
std::optional<QuestionAnswer> ask_for_subject(std::string_view sentence, Rng& rng);

/// Somebody's words: '"I never saw it," said Emma.' -> 'Who said "I never saw"?', "Emma"; "What did Emma say about ...?".
/// `words`: two rare words of what is said.
std::optional<QuestionAnswer> ask_for_speech(std::string_view sentence, std::string_view first, std::string_view second,
                                             Rng& rng);

/// The part of `text` that begins at its first character and is somebody's words with who said them, `"...," said Emma.`; empty
/// where there is none. Both straight and curly quotation marks.
std::string_view speech_at(std::string_view text);

}  // namespace tenfold
