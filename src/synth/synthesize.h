#pragma once

#include "data/record.h"
#include "format/json.h"
#include "synth/corpus.h"
#include "synth/facts.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenfold {

/// What a question is about.
enum class AskKind : uint8_t {
  kFact,      ///< an invented fact
  kClause,    ///< who did what, in a sentence of no fixed shape
  kNumber,    ///< an invented number or code
  kMulti,     ///< several invented sentences that belong together
  kSentence,  ///< a sentence of another text
  kPassage,   ///< a passage of the text itself
};
constexpr int kAskKinds = 6;
std::string_view name_of(AskKind kind);

/// Shares of the questions; they need not add up to 1.
struct AskShares {
  double facts = 0.30;
  double clauses = 0.0;
  double numbers = 0.30;
  double multi = 0.10;
  double sentences = 0.25;
  double passages = 0.05;
};

struct SynthOptions {
  std::vector<std::string> texts;  ///< files and folders of text, or an R data base (.rdx)
  Unwrap unwrap = Unwrap::kAuto;
  int64_t records = 60;
  int64_t min_length = 1024;  ///< tokens of a record with its template
  int64_t max_length = 8192;
  /// "log-uniform", "uniform", or a list such as "1024,2048,4096" that the records go through in turn.
  std::string lengths = "log-uniform";
  uint64_t seed = 0;
  int64_t min_questions = 4;
  int64_t max_questions = 8;  ///< at most 256; short records get fewer, one for about 700 bytes
  AskShares shares;
  double quoted = kQuotedAnswers;  ///< share of the answers about invented facts that quote the text
};

/// One question of a record and what it rests on.
struct SynthAsk {
  AskKind kind = AskKind::kFact;
  std::vector<std::string> parts;  ///< sentences written into the text; empty for kPassage
  std::vector<double> depths;      ///< where, as fractions of the text
  std::string question;            ///< without cue and prefix
  std::string answer;
};

struct SynthRecord {
  std::vector<ChatMessage> messages;
  std::vector<SynthAsk> asks;  ///< in the order in which they are asked
  int64_t target = 0;          ///< tokens that were drawn for it
  int64_t tokens = 0;          ///< tokens that it has, rendered, with BOS where there is one
};

/// What was made, long records or short conversations.
struct SynthReport {
  int64_t records = 0;
  int64_t tokens = 0;
  int64_t shortest = 0;
  int64_t longest = 0;
  std::vector<std::pair<std::string_view, int64_t>> questions;  ///< by kind: its name, and how many
  int64_t documents = 0;
  int64_t dropped_paragraphs = 0;  ///< of the texts, for holding wording of the evaluations

  /// Of texts read, before anything is made; `kinds`: the names in their order.
  SynthReport(const SynthCorpus& corpus, std::span<const std::string_view> kinds);
  /// One more record of so many tokens.
  void add(int64_t record_tokens);
  int64_t all_questions() const;
};

struct RecordPlan;

/// Makes training records from a corpus: a long stretch of text with sentences written into it at random depths, and questions
/// about them in several turns. Record i is a function of (corpus, options, i) alone, however many are made.
class Synthesizer {
 public:
  /// InputError on options out of range, or texts too small for a record of the greatest length.
  Synthesizer(SynthOptions options, SynthCorpus corpus, const Tokenizer& tokenizer, const ChatTemplate& chat);

  /// The record's tokens are at most its target, and no more than 32 fewer where the text allows it (cuts fall between words).
  /// The target lies in [min_length, max_length], by `lengths`.
  SynthRecord make(int64_t index) const;
  int64_t target_length(int64_t index) const;
  const SynthCorpus& corpus() const { return corpus_; }

 private:
  std::optional<SynthRecord> fit(const RecordPlan& plan) const;
  void check_options() const;
  void measure();

  SynthOptions options_;
  SynthCorpus corpus_;
  const Tokenizer& tokenizer_;
  const ChatTemplate& chat_;
  std::vector<int64_t> fixed_lengths_;
  double bytes_per_token_ = 4.0;
};

/// A record in the published schema: {"conversations": [{"role", "content"}]}.
Json json_of(std::span<const ChatMessage> messages);
Json json_of(const SynthRecord& record);

/// Loads the texts, makes all records in order and hands each to `sink`.
SynthReport synthesize(const SynthOptions& options, const Tokenizer& tokenizer, const ChatTemplate& chat,
                       const std::function<void(const Json& record)>& sink);

}  // namespace tenfold
