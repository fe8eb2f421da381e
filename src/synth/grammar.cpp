#include "synth/grammar.h"

#include "synth/corpus.h"
#include "synth/wording.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <vector>

namespace tenfold {
namespace {

using sv = std::string_view;
using Words = std::vector<sv>;

constexpr auto kAuxiliaries = std::to_array<sv>({"was", "were", "is", "are", "had", "has", "have", "could", "would", "should",
                                                 "might", "must", "can", "will", "shall", "may"});
constexpr auto kTitles =
    std::to_array<sv>({"Mr.", "Mrs.", "Miss", "Lady", "Sir", "Captain", "Colonel", "Dr.", "Lord", "Aunt", "Uncle"});
constexpr auto kPronouns = std::to_array<sv>({"He", "She", "They"});
constexpr auto kDeterminers = std::to_array<sv>(
    {"The", "A",    "An",   "This", "These", "Those", "His",     "Her",    "Their",     "Its",     "Every",      "Each",
     "No",  "Some", "Many", "Few",  "Both",  "All",   "Several", "Nobody", "Everybody", "Nothing", "Everything", "Another"});
constexpr auto kPrepositions =
    std::to_array<sv>({"by",      "with",  "from",    "into",    "under",  "behind", "beneath", "through", "upon",
                       "against", "among", "between", "towards", "beyond", "near",   "without", "to",      "for",
                       "in",      "on",    "at",      "over",    "about",  "before", "after"});

/// A conjunction of an adverbial clause and the words that ask for it.
struct Conjunction {
  sv word, asks;
};
constexpr auto kConjunctions = std::to_array<Conjunction>({
    {"because", "Why"},
    {"lest", "Why"},
    {"when", "When"},
    {"whenever", "When"},
    {"while", "When"},
    {"till", "Until when"},
    {"until", "Until when"},
    {"if", "In which case"},
    {"unless", "In which case"},
    {"though", "In spite of what"},
    {"wherever", "Where"},
});
/// Conjunctions that a sentence may begin with.
constexpr auto kOpenings = std::to_array<sv>({"If", "When", "Whenever", "While", "Before", "After", "Until", "Unless", "Though",
                                              "Although", "Because", "Since", "Wherever", "Once"});

template <size_t N>
bool among(const std::array<sv, N>& list, sv word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

bool capital(sv word) { return !word.empty() && word[0] >= 'A' && word[0] <= 'Z'; }
bool is_break(sv word) { return word.find_first_of(",;:-.!?") != sv::npos && !among(kTitles, word); }

std::string join(const Words& words, size_t from, size_t to) {
  std::string out;
  for (size_t i = from; i < to; ++i) {
    if (i > from) out += ' ';
    out += words[i];
  }
  while (!out.empty() && std::ispunct(static_cast<unsigned char>(out.back())) != 0) out.pop_back();
  return out;
}

/// Subject (a pronoun, one name without a title, or a noun with its article), auxiliary verb and the rest; `stop`: words of the
/// main clause, up to the first that ends with a stop or comma.
struct Parsed {
  Words words;
  size_t verb = 0;
  size_t stop = 0;

  std::string subject() const {
    const std::string text = join(words, 0, verb);
    return among(kPronouns, words[0]) || among(kDeterminers, words[0]) ? uncapitalized(text) : text;
  }
  bool person() const { return among(kPronouns, words[0]) || (verb == 1 && !among(kDeterminers, words[0])); }
  sv auxiliary() const { return words[verb]; }
};

std::optional<Parsed> parse(sv sentence) {
  // A first word that names nobody: "There was", "It is".
  constexpr auto kNone =
      std::to_array<sv>({"There", "It",  "That",  "What", "But",   "And", "Yet",   "So",    "Then", "Here", "Now",
                         "I",     "We",  "You",   "Who",  "Why",   "How", "Where", "When",  "If",   "As",   "Or",
                         "Nor",   "For", "Never", "Such", "Which", "Not", "Thus",  "Still", "Only"});
  Parsed parsed{spaced_words(sentence), 0, 0};
  const Words& words = parsed.words;
  if (words.empty() || among(kNone, words[0])) return std::nullopt;
  const bool known = among(kPronouns, words[0]) || among(kDeterminers, words[0]);
  for (size_t i = 1; i <= 6 && i + 3 < words.size(); ++i) {
    if (among(kAuxiliaries, words[i])) {
      parsed.verb = i;
      break;
    }
    // A subject of a name alone has one word; a relative clause has its own verb.
    if (!known || is_break(words[i]) || words[i] == "who" || words[i] == "which" || words[i] == "that") return std::nullopt;
  }
  if (parsed.verb == 0 || is_break(words[0]) || among(kTitles, words[0])) return std::nullopt;
  parsed.stop = parsed.verb + 1;
  while (parsed.stop < words.size() && !is_break(words[parsed.stop])) ++parsed.stop;
  if (parsed.stop < words.size()) ++parsed.stop;
  if (words[parsed.verb + 1] == "not" || parsed.stop < parsed.verb + 3) return std::nullopt;
  return parsed;
}

bool begins_noun(sv word) { return capital(word) || among(kDeterminers, capitalized(word)) || word == "my" || word == "our"; }

}  // namespace

std::optional<QuestionAnswer> ask_for_object(std::string_view sentence, Rng& rng) {
  // With one of these the preposition may belong to another verb than the auxiliary's.
  constexpr auto kLinks =
      std::to_array<sv>({"and", "or", "but", "who", "whom", "whose", "which", "that", "than", "as", "if", "when", "what", "how"});
  const auto parsed = parse(sentence);
  if (!parsed) return std::nullopt;
  const Words& words = parsed->words;
  for (size_t i = parsed->verb + 1; i < parsed->stop; ++i) {
    if (among(kLinks, words[i])) return std::nullopt;
  }
  for (size_t i = parsed->stop - 1; i > parsed->verb + 1; --i) {
    if (!among(kPrepositions, words[i])) continue;
    if (i + 1 >= parsed->stop || parsed->stop - i > 7 || !begins_noun(words[i + 1]) || words[i + 1] == "I") return std::nullopt;
    const sv what = among(kTitles, words[i + 1]) ? "whom" : "what";
    const std::string clause = fmt::format("{} {} {}", parsed->auxiliary(), parsed->subject(), join(words, parsed->verb + 1, i));
    std::string value = capitalized(join(words, i + 1, parsed->stop));
    switch (rng.below(4)) {
      case 0: return QuestionAnswer{fmt::format("{} {} {}?", capitalized(what), clause, words[i]), std::move(value)};
      case 1:
        return QuestionAnswer{fmt::format("{} {} was it that {} {} {}?", capitalized(words[i]), what, parsed->subject(),
                                          parsed->auxiliary(), join(words, parsed->verb + 1, i)),
                              std::move(value)};
      default: return QuestionAnswer{fmt::format("{} {} {}?", capitalized(words[i]), what, clause), std::move(value)};
    }
  }
  return std::nullopt;
}

std::optional<QuestionAnswer> ask_for_circumstance(std::string_view sentence, Rng& rng) {
  const auto parsed = parse(sentence);
  if (!parsed) return std::nullopt;
  const Words& words = parsed->words;
  for (size_t i = parsed->verb + 3; i + 3 < words.size() && i <= parsed->stop; ++i) {
    for (const Conjunction& conjunction : kConjunctions) {
      if (words[i] != conjunction.word) continue;
      const std::string main = join(words, parsed->verb + 1, i);
      const std::string clause = join(words, i, words.size());
      if (main.find_first_of(",;:") != std::string::npos || clause.find_first_of(";:") != std::string::npos) return std::nullopt;
      std::string question =
          rng.below(4) == 0
              ? fmt::format("{} was it that {} {} {}?", conjunction.asks, parsed->subject(), parsed->auxiliary(), main)
              : fmt::format("{} {} {} {}?", conjunction.asks, parsed->auxiliary(), parsed->subject(), main);
      return QuestionAnswer{std::move(question), capitalized(clause)};
    }
  }
  return std::nullopt;
}

std::optional<QuestionAnswer> ask_for_main_clause(std::string_view sentence, Rng& rng) {
  static constexpr auto kAsks = std::to_array<sv>({"What happened {x}?", "What does the text say that happens {x}?",
                                                   "What is it that follows {x}?", "How is it {x}?", "What holds {x}?"});
  const Words words = spaced_words(sentence);
  if (words.size() < 8 || !among(kOpenings, words[0])) return std::nullopt;
  const size_t comma = sentence.find(',');
  if (comma == sv::npos || comma < 16 || comma + 12 > sentence.size()) return std::nullopt;
  std::string rest(sentence.substr(comma + 2));
  while (std::ispunct(static_cast<unsigned char>(rest.back())) != 0) rest.pop_back();
  const std::string clause = uncapitalized(sentence.substr(0, comma));
  return QuestionAnswer{replaced(rng.pick(kAsks), "{x}", clause), capitalized(rest)};
}

std::optional<QuestionAnswer> ask_for_subject(std::string_view sentence, Rng& rng) {
  const auto parsed = parse(sentence);
  if (!parsed || parsed->stop < parsed->verb + 5) return std::nullopt;
  const sv who = parsed->person() ? (rng.below(3) > 0 ? "Who" : "Who or what") : (rng.below(3) > 0 ? "What" : "Who or what");
  return QuestionAnswer{fmt::format("{} {}?", who, join(parsed->words, parsed->verb, parsed->stop)),
                        join(parsed->words, 0, parsed->verb)};
}

namespace {

constexpr auto kSaid = std::to_array<sv>({"said", "cried", "replied", "answered", "exclaimed", "observed", "returned",
                                          "whispered", "asked", "remarked", "continued", "added", "repeated", "murmured"});
constexpr sv kOpen = "\xE2\x80\x9C", kClose = "\xE2\x80\x9D";

/// Where the opening and the closing mark end and begin, by their sort.
struct Quoted {
  size_t begin = 0, end = 0, after = 0;
};
std::optional<Quoted> quoted_at(sv text) {
  const bool curly = text.starts_with(kOpen);
  if (!curly && !text.starts_with('"')) return std::nullopt;
  const size_t begin = curly ? kOpen.size() : 1;
  const size_t end = text.find(curly ? kClose : sv("\""), begin);
  if (end == sv::npos) return std::nullopt;
  return Quoted{begin, end, end + (curly ? kClose.size() : 1)};
}

}  // namespace

std::string_view speech_at(std::string_view text) {
  const auto quoted = quoted_at(text.substr(0, 400));
  if (!quoted) return {};
  const sv said = text.substr(quoted->begin, quoted->end - quoted->begin);
  const size_t count = spaced_words(said).size();
  if (count < 7 || count > 28 || said.find_first_of("\n_*[]()\"") != sv::npos || said.find(kOpen) != sv::npos) return {};
  if (said.back() != ',' && said.back() != '!' && said.back() != '?') return {};
  // Behind it, "said Mrs. Elton." and no more.
  const size_t stop = sentence_end(text, quoted->after);
  if (stop == sv::npos || stop > quoted->after + 40 || text[stop - 1] != '.') return {};
  const Words tail = spaced_words(text.substr(quoted->after, stop - quoted->after));
  if (tail.size() < 2 || tail.size() > 4 || !among(kSaid, tail[0])) return {};
  for (size_t i = 1; i < tail.size(); ++i) {
    if (!capital(tail[i]) || tail[i] == "I.") return {};
  }
  return text.substr(0, stop);
}

std::optional<QuestionAnswer> ask_for_speech(std::string_view sentence, std::string_view first, std::string_view second,
                                             Rng& rng) {
  const auto quoted = quoted_at(sentence);
  if (!quoted) return std::nullopt;
  const Words words = spaced_words(sentence.substr(quoted->begin, quoted->end - quoted->begin));
  const Words tail = spaced_words(sentence.substr(quoted->after));
  if (words.size() < 7 || tail.size() < 2) return std::nullopt;
  const std::string name = join(tail, 1, tail.size());
  const std::string said = join(words, 0, words.size());
  const std::string opening = join(words, 0, static_cast<size_t>(rng.between(3, 5)));
  switch (rng.below(6)) {
    case 0: return QuestionAnswer{fmt::format("Who said \"{}\"?", opening), name};
    case 1: return QuestionAnswer{fmt::format("What did {} say about {} and {}?", name, first, second), said};
    case 2:
      return QuestionAnswer{fmt::format("According to {}, what is there to be said about {} and {}?", name, first, second), said};
    case 3: return QuestionAnswer{fmt::format("What were the words of {} on {} and {}?", name, first, second), said};
    case 4: return QuestionAnswer{fmt::format("Who spoke of {} and {}?", first, second), name};
    default: return QuestionAnswer{fmt::format("How did {} go on after \"{}\"?", name, opening), said};
  }
}

}  // namespace tenfold
