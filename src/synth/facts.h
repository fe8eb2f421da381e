#pragma once

#include "core/rng.h"

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

struct QuestionAnswer {
  std::string question;
  std::string answer;
};

constexpr double kQuotedAnswers = 0.25;

/// Whether a sentence of the text may answer the question as it stands. One that begins as the question does teaches to echo it,
/// and one that begins with who did not do it, to say "Not": where one answer in twenty did, a model began 7 of 29 misses with
/// that word.
bool quotes_well(std::string_view question, std::string_view sentence);

/// Something invented to be written into a text and asked about.
struct Fact {
  std::vector<std::string> parts;    ///< sentences; each gets its own place in the text, in this order
  std::vector<QuestionAnswer> asks;  ///< at least one; each is answered by the parts alone
};

/// Invents the facts of one record. People, things, cities, clubs, keys and numbers are used once a record, so that no two facts
/// contradict each other and every question has one answer.
class FactMaker {
 public:
  /// `quoted`: the share of answers that are the sentence as the text has it, where one sentence holds the whole answer.
  explicit FactMaker(Rng& rng, double quoted = kQuotedAnswers) : rng_(rng), quoted_(quoted) {}

  /// One sentence (or two that say the same) with questions; `number`: a number or a code to look up.
  Fact fact(bool number);
  /// A sentence put together anew (synth/clauses.h) with a question about one of its constituents.
  Fact clause();
  /// Two to four sentences that belong together: several values of one key, two facts on one person, a link over two sentences.
  Fact multi();

  /// Forgets which words the slots stand for, so that the next shape gets others.
  void begin() { slots_.clear(); }
  /// Replaces {slot}, {a:slot} (with article), {A:slot}, {C:slot} (capitalised); equal slots get equal words until begin().
  std::string fill(std::string_view shape);

  /// How many shapes there are of each sort.
  static int64_t shape_count(bool number);
  static int64_t multi_shape_count();

 private:
  const std::string& slot(const std::string& key);
  std::string make_slot(std::string_view base);
  std::string fresh_value(std::string_view base);
  /// `sentence`: the text's, where that one alone holds the whole answer.
  std::string answer_of(std::string_view full, std::string_view value, const std::string& question, const std::string& sentence,
                        bool number);

  Rng& rng_;
  double quoted_;
  std::map<std::string, std::string> slots_;  ///< of the fact in the making
  std::set<std::string> used_;                ///< words and values of this record that may not come again
};

}  // namespace tenfold
