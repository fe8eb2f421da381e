#pragma once

#include "core/rng.h"

#include <string>

namespace tenfold {

/// A sentence put together from constituents and a question about one of them. Words are still slots, as in FactShape; equal
/// slots mean equal words in all four.
struct Clause {
  std::string sentence;  ///< such as "In {month}, {name} the {trade} sold {a:thing} {place} because {reason}."
  std::string question;  ///< such as "Where did {name} the {trade} sell {a:thing}?"
  std::string restated;  ///< the answer as a sentence of its own
  std::string value;     ///< the constituent asked for
};

/// Draws who did (had done, must do ...) what, or what one should do, with one to three of where, when, how, why and for whom, in
/// one of several orders and voices. Unlike the
/// fact shapes, which fix a sentence and vary its words, this varies the sentence, so that a question is not known by its shape.
Clause draw_clause(Rng& rng);

}  // namespace tenfold
