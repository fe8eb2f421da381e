#include "synth/plan.h"

#include "core/error.h"
#include "core/rng.h"
#include "synth/facts.h"
#include "synth/questions.h"
#include "synth/wording.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <utility>

namespace tenfold {
namespace {

using sv = std::string_view;

constexpr uint64_t kRecordStream = 0x53594E5448;  // "SYNTH"
constexpr double kBytesPerQuestion = 700;  ///< what a question, its answer and its inserted sentence take, with some text around

bool is_space(char c) { return c == ' ' || c == '\n'; }

/// A place to begin: mostly a paragraph, now and then between any two words.
size_t beginning_near(Rng& rng, sv text, size_t at) {
  if (at == 0) return 0;
  const bool anywhere = rng.uniform() < 0.25;
  size_t begin = anywhere ? text.find(' ', at) : text.find("\n\n", at);
  if (begin == sv::npos) return at == 0 ? 0 : std::min(text.find_first_of(" \n", at), text.size());
  while (begin < text.size() && is_space(text[begin])) ++begin;
  return begin;
}

/// The text of a record: a stretch of one document of at least `bytes` bytes where one is long enough, else several joined.
struct Stretch {
  sv text;
  std::string joined;
  int64_t document = 0;
};

Stretch draw_stretch(Rng& rng, const SynthCorpus& corpus, int64_t bytes) {
  const auto& documents = corpus.documents();
  // Every place from which enough text follows is equally likely.
  std::vector<int64_t> room;
  int64_t total = 0;
  for (const TextDocument& document : documents) {
    room.push_back(std::max<int64_t>(static_cast<int64_t>(document.text.size()) - bytes, 0));
    total += room.back();
  }
  if (total > 0) {
    int64_t at = rng.between(0, total - 1);
    size_t d = 0;
    while (at >= room[d]) at -= room[d++];
    const sv text = documents[d].text;
    size_t begin = beginning_near(rng, text, static_cast<size_t>(at));
    // The next paragraph may lie too far on.
    if (static_cast<int64_t>(text.size() - begin) < bytes)
      begin = std::min(text.find_first_of(" \n", static_cast<size_t>(at)) + 1, text.size());
    return {text.substr(begin), {}, static_cast<int64_t>(d)};
  }
  std::vector<size_t> order(documents.size());
  std::iota(order.begin(), order.end(), size_t{0});
  rng.shuffle(order);
  Stretch stretch{{}, {}, static_cast<int64_t>(order[0])};
  for (const size_t d : order) {
    if (static_cast<int64_t>(stretch.joined.size()) >= bytes) break;
    if (!stretch.joined.empty()) stretch.joined += "\n\n";
    stretch.joined += documents[d].text;
  }
  return stretch;
}

/// Uniform, but for the ends, which are missed most: before all of the text, behind the instructions, twice as often as after it.
double draw_depth(Rng& rng) {
  const double u = rng.uniform();
  if (u < 0.1) return 0.0;
  if (u > 0.95) return 1.0;
  return rng.uniform();
}

Placement draw_placement(Rng& rng) {
  const double u = rng.uniform();
  if (u < 0.45) return Placement::kParagraphAnywhere;
  if (u < 0.65) return Placement::kParagraphBreak;
  if (u < 0.93) return Placement::kInline;
  return Placement::kInlineAnywhere;
}

class Planner {
 public:
  Planner(const SynthCorpus& corpus, const SynthOptions& options, int64_t target, double bytes_per_token, int64_t index)
      : corpus_(corpus),
        options_(options),
        bytes_per_token_(bytes_per_token),
        rng_(options.seed, mix64(kRecordStream, static_cast<uint64_t>(index))),
        facts_(rng_, options.quoted) {
    plan_.target = target;
    const auto bytes = static_cast<int64_t>(static_cast<double>(target) * bytes_per_token * 1.3) + 256;
    Stretch stretch = draw_stretch(rng_, corpus, std::min(bytes, corpus.bytes()));
    plan_.joined = std::move(stretch.joined);
    plan_.text = stretch.text;
    document_ = stretch.document;
    context_ = stretch.text.empty() ? sv(plan_.joined) : plan_.text;
    context_ = context_.substr(0, static_cast<size_t>(std::min<int64_t>(bytes, static_cast<int64_t>(context_.size()))));
  }

  RecordPlan plan() {
    const int64_t most =
        std::clamp(static_cast<int64_t>(static_cast<double>(plan_.target) * bytes_per_token_ / kBytesPerQuestion), int64_t{1},
                   options_.max_questions);
    const int64_t questions = rng_.between(std::min(options_.min_questions, most), most);
    int64_t failures = 0;
    while (static_cast<int64_t>(plan_.asks.size()) < questions) {
      if (add(draw_kind(plan_.asks.empty()))) continue;
      if (++failures > 200) break;
    }
    if (plan_.asks.empty()) throw_input("--text: the texts offer nothing to ask about with these shares of questions");
    if (static_cast<int64_t>(plan_.asks.size()) > questions) plan_.asks.resize(static_cast<size_t>(questions));
    // What nobody asks about: what stands out is not always what is wanted.
    if (plan_.target >= 1024) {
      for (int64_t n = rng_.between(0, 1 + questions / 2); n > 0; --n) add_distractor();
    }
    rng_.shuffle(plan_.asks);
    draw_frame();
    return std::move(plan_);
  }

 private:
  /// The first question must not be a passage: those may find no place in the text as it is cut in the end.
  AskKind draw_kind(bool first) {
    const AskShares& s = options_.shares;
    const std::array<double, kAskKinds> shares = {s.facts, s.clauses, s.numbers, s.multi, s.sentences, first ? 0.0 : s.passages};
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
    if (!(sum > 0.0)) return AskKind::kPassage;
    double at = rng_.uniform() * sum;
    for (int kind = 0; kind < kAskKinds; ++kind) {
      const double share = shares[static_cast<size_t>(kind)];
      if (at < share) return static_cast<AskKind>(kind);
      at -= share;
    }
    return AskKind::kFact;
  }

  bool add(AskKind kind) {
    switch (kind) {
      case AskKind::kFact:
      case AskKind::kNumber: return add_fact(kind, facts_.fact(kind == AskKind::kNumber));
      case AskKind::kClause: return add_fact(kind, facts_.clause());
      case AskKind::kMulti: return add_fact(kind, facts_.multi());
      case AskKind::kSentence: return add_sentence();
      case AskKind::kPassage: {
        PlannedAsk planned = frame({AskKind::kPassage, {}, {rng_.uniform()}, {}, {}});
        planned.passage_seed = rng_.next_u64();
        plan_.asks.push_back(std::move(planned));
        return true;
      }
    }
    return false;
  }

  bool add_fact(AskKind kind, Fact fact) {
    std::vector<double> depths;
    for (size_t i = 0; i < fact.parts.size(); ++i) depths.push_back(draw_depth(rng_));
    std::sort(depths.begin(), depths.end());
    insert(fact.parts, depths);
    for (QuestionAnswer& pair : fact.asks)
      plan_.asks.push_back(frame({kind, fact.parts, depths, std::move(pair.question), std::move(pair.answer)}));
    return true;
  }

  bool add_sentence() {
    using enum SentenceQuestion;
    // Questions whose answer begins like the question, or repeats most of it, are few: they teach to echo, not to look.
    static constexpr auto kByWords = std::to_array<SentenceQuestion>(
        {kBegins, kEnds, kGoesOn, kAbout, kAbout, kAbout, kMentions, kMentions, kGap, kRepeat, kChoice, kNextWords});
    static constexpr auto kByGrammar = std::to_array<SentenceQuestion>({kObject, kObject, kCircumstance, kMainClause, kSubject});
    // Half of them as people ask: by grammar, which fits one sentence in some ten, or about what somebody said.
    const double u = rng_.uniform();
    const bool speech = u < 0.12 && !corpus_.speeches().empty();
    const bool grammar = !speech && u < 0.55;
    SentenceQuestion kind = speech ? kSpeech : grammar ? rng_.pick(kByGrammar) : rng_.pick(kByWords);
    for (int tries = 0; tries < 60; ++tries) {
      const auto sentence = draw_sentence(speech ? corpus_.speeches() : corpus_.sentences());
      if (!sentence) return false;
      const auto pair = ask_about_sentence(kind, *sentence, context_, corpus_, rng_);
      if (!pair) {
        if (!speech && !grammar) kind = rng_.pick(kByWords);
        continue;
      }
      const std::vector<std::string> parts = {std::string(*sentence)};
      const std::vector<double> depths = {draw_depth(rng_)};
      insert(parts, depths);
      plan_.asks.push_back(frame({AskKind::kSentence, parts, depths, pair->question, pair->answer}));
      sentences_.push_back(*sentence);
      return true;
    }
    return false;
  }

  /// A sentence that the record's text does not hold; from another document where there is one.
  std::optional<sv> draw_sentence(const std::vector<SentenceRef>& sentences) {
    if (sentences.empty()) return std::nullopt;
    const bool others = plan_.joined.empty() && corpus_.documents().size() > 1;
    for (int tries = 0; tries < 60; ++tries) {
      const SentenceRef& ref = rng_.pick(sentences);
      if (others && ref.document == document_) continue;
      const sv sentence = corpus_.text_of(ref);
      if (context_.find(sentence) != sv::npos) continue;
      if (std::find(sentences_.begin(), sentences_.end(), sentence) != sentences_.end()) continue;
      return sentence;
    }
    return std::nullopt;
  }

  void insert(const std::vector<std::string>& parts, const std::vector<double>& depths) {
    for (size_t i = 0; i < parts.size(); ++i) plan_.insertions.push_back({parts[i], depths[i], draw_placement(rng_)});
  }

  void add_distractor() {
    std::vector<std::string> parts;
    switch (rng_.below(5)) {
      case 0: parts = facts_.fact(true).parts; break;
      case 1: parts = facts_.fact(false).parts; break;
      case 2: parts = facts_.clause().parts; break;
      default: {
        const bool speech = rng_.below(3) == 0 && !corpus_.speeches().empty();
        const auto sentence = draw_sentence(speech ? corpus_.speeches() : corpus_.sentences());
        if (!sentence) return;
        sentences_.push_back(*sentence);
        parts = {std::string(*sentence)};
      }
    }
    insert(parts, {draw_depth(rng_)});
  }

  PlannedAsk frame(SynthAsk ask) {
    PlannedAsk planned;
    planned.ask = std::move(ask);
    if (rng_.uniform() < 0.3) planned.cue = rng_.pick(phrases_of(Phrase::kAnswerCue));
    if (rng_.uniform() < 0.2) planned.prefix = rng_.pick(phrases_of(Phrase::kAskPrefix));
    return planned;
  }

  void draw_frame() {
    const double u = rng_.uniform();
    // A passage's question is not known yet, so it cannot stand before the text.
    const bool known = plan_.asks[0].ask.kind != AskKind::kPassage;
    if (u < 0.15 && known) {
      plan_.heading = rng_.pick(phrases_of(Phrase::kHeadingQuestion));
    } else if (u < 0.85) {
      plan_.heading = rng_.pick(phrases_of(Phrase::kHeading));
    }
    plan_.open = rng_.pick(phrases_of(Phrase::kOpen));
    plan_.ask = rng_.pick(phrases_of(Phrase::kAsk));
  }

  const SynthCorpus& corpus_;
  const SynthOptions& options_;
  double bytes_per_token_;
  Rng rng_;
  FactMaker facts_;
  RecordPlan plan_;
  sv context_;
  int64_t document_ = 0;
  std::vector<sv> sentences_;  ///< of other texts, already used
};

}  // namespace

RecordPlan plan_record(const SynthCorpus& corpus, const SynthOptions& options, int64_t target, double bytes_per_token,
                       int64_t index) {
  return Planner(corpus, options, target, bytes_per_token, index).plan();
}

}  // namespace tenfold
