#pragma once

#include "core/rng.h"
#include "synth/corpus.h"
#include "synth/facts.h"

#include <optional>

namespace tenfold {

/// A short instruction about a paragraph of the texts: go on with it, sum it up, rewrite it, list its names, count, ask about a
/// sentence. The answer is made of the paragraph's own words. Nothing where the paragraph drawn does not fit.
std::optional<QuestionAnswer> draw_paragraph_task(const SynthCorpus& corpus, Rng& rng);

/// Small sums, bare or told.
QuestionAnswer draw_sum(FactMaker& facts, Rng& rng);

/// What a word means.
QuestionAnswer draw_meaning(Rng& rng);

/// Greetings, small talk and small wishes.
QuestionAnswer draw_talk(FactMaker& facts, Rng& rng);

}  // namespace tenfold
