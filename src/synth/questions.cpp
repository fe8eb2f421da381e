#include "synth/questions.h"

#include "synth/grammar.h"
#include "synth/wording.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace tenfold {
namespace {

using sv = std::string_view;
using Words = std::vector<sv>;

template <size_t N>
std::string phrase(Rng& rng, const std::array<sv, N>& shapes, sv quoted) {
  return replaced(rng.pick(shapes), "{x}", quoted);
}

/// Words [from, to) with one space between them.
std::string join(const Words& words, size_t from, size_t to) {
  std::string out;
  for (size_t i = from; i < to; ++i) {
    if (i > from) out += ' ';
    out += words[i];
  }
  return out;
}

bool contains(sv text, sv part) { return text.find(part) != sv::npos; }

/// The sentence's rarest words of at least `least` letters, rarest first; its first word is none, for its capital says nothing.
Words rare_words(sv sentence, size_t least, const SynthCorpus& corpus) {
  Words words;
  for (const sv word : letter_words(sentence)) {
    if (word.size() < least || word.data() == sentence.data()) continue;
    if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
  }
  std::stable_sort(words.begin(), words.end(), [&](sv a, sv b) { return corpus.count_of(a) < corpus.count_of(b); });
  return words;
}

/// The sentence itself, sometimes with a few words before it.
std::string as_answer(Rng& rng, sv sentence) {
  static constexpr auto kLeads =
      std::to_array<sv>({"The sentence is: {x}", "The text says: {x}", "It reads: {x}", "\"{x}\"", "Here it is: {x}"});
  if (rng.uniform() < 0.85) return std::string(sentence);
  return phrase(rng, kLeads, sentence);
}

using Result = std::optional<QuestionAnswer>;

Result begins(sv sentence, sv context, Rng& rng) {
  static constexpr auto kAsk =
      std::to_array<sv>({"One sentence in the text begins with \"{x}\". Write the whole sentence.",
                         "Find the sentence that starts \"{x}\" and write it out.", "Which sentence begins \"{x}\"?",
                         "The text has a sentence with the opening words \"{x}\". What is the full sentence?",
                         "\"{x}\": give me the complete sentence that opens with these words.",
                         "How does the sentence read that begins with the words \"{x}\"?"});
  const Words words = spaced_words(sentence);
  for (auto n = static_cast<size_t>(rng.between(3, 6)); n + 3 < words.size(); ++n) {
    const std::string key = join(words, 0, n);
    if (!contains(context, key)) return QuestionAnswer{phrase(rng, kAsk, key), as_answer(rng, sentence)};
  }
  return std::nullopt;
}

Result ends(sv sentence, sv context, Rng& rng) {
  static constexpr auto kAsk = std::to_array<sv>(
      {"One sentence in the text ends with \"{x}\" Write the whole sentence.", "Which sentence closes with the words \"{x}\"",
       "Give the sentence whose last words are \"{x}\"", "Find the sentence ending in \"{x}\" and copy it."});
  const Words words = spaced_words(sentence);
  for (auto n = static_cast<size_t>(rng.between(3, 6)); n + 3 < words.size(); ++n) {
    const std::string key = join(words, words.size() - n, words.size());
    if (!contains(context, key)) return QuestionAnswer{phrase(rng, kAsk, key), as_answer(rng, sentence)};
  }
  return std::nullopt;
}

Result goes_on(sv sentence, sv context, Rng& rng) {
  static constexpr auto kAsk = std::to_array<sv>(
      {"Complete the sentence from the text: \"{x}\"", "How does this sentence from the text go on? \"{x} ...\"",
       "Finish what the text says: {x}", "Continue as in the text: {x}",
       "The text says \"{x}\". What comes next in that sentence?", "Give the rest of the sentence \"{x} ...\""});
  const Words words = spaced_words(sentence);
  const size_t half = words.size() / 2 + rng.below(3) - 1;
  const std::string key = join(words, 0, half);
  if (contains(context, key)) return std::nullopt;
  return QuestionAnswer{phrase(rng, kAsk, key), join(words, half, words.size())};
}

Result about(sv sentence, sv context, const SynthCorpus& corpus, Rng& rng) {
  static constexpr auto kAsk = std::to_array<sv>(
      {"What does the text say about {x}?", "What is said about {x}?", "What do you read in the text about {x}?",
       "Tell me what the text has on {x}.", "What does the text mention in connection with {x}?",
       "Which statement does the text make about {x}?", "What did you learn about {x}?"});
  Words words = rare_words(sentence, 4, corpus);
  if (words.size() < 2 || contains(context, words[0])) return std::nullopt;
  words.resize(2);
  if (words[0].data() > words[1].data()) std::swap(words[0], words[1]);
  return QuestionAnswer{phrase(rng, kAsk, std::string(words[0]) + " and " + std::string(words[1])), as_answer(rng, sentence)};
}

Result mentions(sv sentence, sv context, const SynthCorpus& corpus, Rng& rng) {
  static constexpr auto kAsk =
      std::to_array<sv>({"Which sentence mentions {x}?", "Quote the sentence that has the words {x}.",
                         "Find the sentence with {x} in it.", "There is a sentence with {x}. What does it say?",
                         "Where do {x} come up together? Quote the sentence.", "Key words: {x}. Give the sentence."});
  Words words = rare_words(sentence, 4, corpus);
  if (words.size() < 3 || contains(context, words[0])) return std::nullopt;
  words.resize(3);
  rng.shuffle(words);
  const bool quotes = rng.below(2) == 0;
  std::string list;
  for (size_t i = 0; i < 3; ++i) {
    if (i > 0) list += i == 2 ? " and " : ", ";
    list += quotes ? fmt::format("\"{}\"", words[i]) : std::string(words[i]);
  }
  return QuestionAnswer{phrase(rng, kAsk, list), as_answer(rng, sentence)};
}

/// The sentence with the words at these places taken out.
std::string with_gaps(sv sentence, const Words& gaps) {
  std::string out;
  size_t at = 0;
  for (const sv gap : gaps) {
    const auto begin = static_cast<size_t>(gap.data() - sentence.data());
    out += sentence.substr(at, begin - at);
    out += "____";
    at = begin + gap.size();
  }
  out += sentence.substr(at);
  return out;
}

bool by_place(sv a, sv b) { return a.data() < b.data(); }

Result gap(sv sentence, const SynthCorpus& corpus, Rng& rng) {
  static constexpr auto kAsk =
      std::to_array<sv>({"Fill in the missing word from the text: \"{x}\"", "Which word is missing here? \"{x}\"",
                         "A word of the text was taken out: {x} Which one?", "What belongs into the gap? {x}"});
  const Words words = rare_words(sentence, 5, corpus);
  if (words.empty()) return std::nullopt;
  const sv word = words[rng.below(std::min<size_t>(words.size(), 2))];
  return QuestionAnswer{phrase(rng, kAsk, with_gaps(sentence, {word})), std::string(word)};
}

Result two_gaps(sv sentence, const SynthCorpus& corpus, Rng& rng) {
  static constexpr auto kAsk =
      std::to_array<sv>({"Write this sentence as it stands in the text: \"{x}\"", "Restore the sentence from the text: {x}",
                         "Some words are missing. Give the full sentence: \"{x}\""});
  Words words = rare_words(sentence, 5, corpus);
  if (words.size() < 3) return std::nullopt;
  words.resize(rng.below(2) == 0 ? 2 : 3);
  std::sort(words.begin(), words.end(), by_place);
  return QuestionAnswer{phrase(rng, kAsk, with_gaps(sentence, words)), std::string(sentence)};
}

Result repeat(sv sentence, sv context, Rng& rng) {
  static constexpr auto kAsk = std::to_array<sv>(
      {"Repeat word for word the sentence that contains \"{x}\".", "Copy the sentence with the words \"{x}\" from the text.",
       "In which sentence do the words \"{x}\" stand?", "The words \"{x}\" occur once. Quote their sentence.",
       "\"{x}\": from which sentence is this?"});
  const Words words = spaced_words(sentence);
  const auto n = static_cast<size_t>(rng.between(3, 5));
  const auto from = static_cast<size_t>(rng.between(1, static_cast<int64_t>(words.size() - n) - 1));
  const std::string key = join(words, from, from + n);
  if (contains(context, key)) return std::nullopt;
  return QuestionAnswer{phrase(rng, kAsk, key), as_answer(rng, sentence)};
}

constexpr double kShortAnswers = 0.1;

/// A question by grammar, answered by the sentence, or now and then by the constituent alone.
Result by_grammar(Result pair, sv sentence, Rng& rng) {
  if (!pair || pair->question.size() > 220) return std::nullopt;
  if (rng.uniform() >= kShortAnswers && quotes_well(pair->question, sentence)) {
    pair->answer = as_answer(rng, sentence);
  } else if (rng.below(2) == 0) {
    pair->answer += '.';
  }
  return pair;
}

Result speech(sv sentence, sv context, const SynthCorpus& corpus, Rng& rng) {
  const sv name = sentence.substr(sentence.find_last_of("\"\x9D") + 1);
  Words words;
  for (const sv word : rare_words(sentence, 4, corpus)) {
    if (!contains(name, word)) words.push_back(word);
  }
  if (words.size() < 2 || contains(context, words[0])) return std::nullopt;
  if (words[0].data() > words[1].data()) std::swap(words[0], words[1]);
  return by_grammar(ask_for_speech(sentence, words[0], words[1], rng), sentence, rng);
}

Result choice(sv sentence, sv context, const SynthCorpus& corpus, Rng& rng) {
  static constexpr auto kAsk = std::to_array<sv>({"Which of these sentences is in the text?{x}",
                                                  "Only one of these sentences stands in the text. Which?{x}",
                                                  "Say which of these you have read in the text:{x}"});
  std::vector<sv> options = {sentence};
  for (int tries = 0; tries < 30 && options.size() < 3; ++tries) {
    const sv other = corpus.text_of(rng.pick(corpus.sentences()));
    if (!contains(context, other) && std::find(options.begin(), options.end(), other) == options.end()) options.push_back(other);
  }
  if (options.size() < 3) return std::nullopt;
  rng.shuffle(options);
  const bool dashes = rng.below(2) == 0;
  std::string list;
  for (size_t i = 0; i < options.size(); ++i) {
    list += dashes ? "\n- " : std::string("\n") + static_cast<char>('1' + i) + ". ";
    list += options[i];
  }
  return QuestionAnswer{phrase(rng, kAsk, list), std::string(sentence)};
}

Result next_words(sv sentence, sv context, Rng& rng) {
  static constexpr auto kAsk =
      std::to_array<sv>({"Which words follow \"{x}\" in the text?", "What are the next words after \"{x}\"?",
                         "After \"{x}\", how does the text continue?"});
  const Words words = spaced_words(sentence);
  const auto n = static_cast<size_t>(rng.between(4, 6));
  const auto after = static_cast<size_t>(rng.between(4, 8));
  if (words.size() < n + after) return std::nullopt;
  const size_t from = rng.below(words.size() - n - after + 1);
  const std::string key = join(words, from, from + n);
  if (contains(context, key)) return std::nullopt;
  return QuestionAnswer{phrase(rng, kAsk, key), join(words, from + n, from + n + after)};
}

// --- passages of the text itself ---

bool is_break(char c) { return c == ' ' || c == '\n'; }

/// The stretch around `at` that lies within one line and crosses no cut.
std::pair<size_t, size_t> clear_stretch(sv text, size_t at, const std::vector<size_t>& cuts) {
  size_t begin = text.rfind('\n', at);
  begin = begin == sv::npos ? 0 : begin + 1;
  size_t end = std::min(text.find('\n', at), text.size());
  for (const size_t cut : cuts) {
    if (cut <= at) {
      begin = std::max(begin, cut);
    } else {
      end = std::min(end, cut);
    }
  }
  return {begin, std::max(begin, end)};
}

bool occurs_once(sv text, sv part) {
  const size_t first = text.find(part);
  return first != sv::npos && text.find(part, first + 1) == sv::npos;
}

constexpr auto kAskComplete =
    std::to_array<sv>({"Complete this passage from the text: \"{x}\"", "How does the text go on after \"{x}\"?",
                       "Continue the passage: {x}", "Write what follows in the text: \"{x} ...\"",
                       "This is from the text: \"{x}\". What comes directly after it?", "Go on as the text does: {x}"});
constexpr auto kAskBefore =
    std::to_array<sv>({"Which words come directly before \"{x}\" in the text?", "What stands in the text just before \"{x}\"?"});

std::optional<PassageQuestion> passage_at(sv text, size_t at, const std::vector<size_t>& cuts, Rng& rng) {
  const auto [begin, end] = clear_stretch(text, at, cuts);
  // From the next word's beginning on; now and then from a sentence's.
  size_t from = begin;
  if (at > begin) {
    from = std::min(text.find(' ', at), end);
    if (rng.below(3) == 0) {
      const size_t stop = sentence_end(text.substr(0, end), at);
      if (stop != sv::npos) from = stop;
    }
    while (from < end && is_break(text[from])) ++from;
  }
  const sv stretch = text.substr(from, end - from);
  const Words words = spaced_words(stretch);
  const auto quoted = static_cast<size_t>(rng.between(8, 13));
  const auto wanted = static_cast<size_t>(rng.between(10, 20));
  if (words.size() < quoted + wanted + 1) return std::nullopt;  // one more: the last word may be cut off by the text's end
  const auto slice = [&](size_t a, size_t b) {
    const auto first = static_cast<size_t>(words[a].data() - stretch.data());
    return stretch.substr(first, static_cast<size_t>(words[b - 1].data() - stretch.data()) + words[b - 1].size() - first);
  };
  const bool before = rng.uniform() < 0.15;
  const sv key = before ? slice(wanted, wanted + quoted) : slice(0, quoted);
  const sv answer = before ? slice(0, wanted) : slice(quoted, quoted + wanted);
  if (key.find('"') != sv::npos || !occurs_once(text, key)) return std::nullopt;
  const auto last = static_cast<size_t>(std::max(key.data() + key.size(), answer.data() + answer.size()) - text.data());
  QuestionAnswer pair{before ? phrase(rng, kAskBefore, key) : phrase(rng, kAskComplete, key), std::string(answer)};
  return PassageQuestion{std::move(pair), last};
}

}  // namespace

std::optional<QuestionAnswer> ask_about_sentence(SentenceQuestion kind, std::string_view sentence, std::string_view context,
                                                 const SynthCorpus& corpus, Rng& rng) {
  switch (kind) {
    case SentenceQuestion::kBegins: return begins(sentence, context, rng);
    case SentenceQuestion::kEnds: return ends(sentence, context, rng);
    case SentenceQuestion::kGoesOn: return goes_on(sentence, context, rng);
    case SentenceQuestion::kAbout: return about(sentence, context, corpus, rng);
    case SentenceQuestion::kMentions: return mentions(sentence, context, corpus, rng);
    case SentenceQuestion::kGap: return gap(sentence, corpus, rng);
    case SentenceQuestion::kTwoGaps: return two_gaps(sentence, corpus, rng);
    case SentenceQuestion::kRepeat: return repeat(sentence, context, rng);
    case SentenceQuestion::kSubject: return by_grammar(ask_for_subject(sentence, rng), sentence, rng);
    case SentenceQuestion::kObject: return by_grammar(ask_for_object(sentence, rng), sentence, rng);
    case SentenceQuestion::kCircumstance: return by_grammar(ask_for_circumstance(sentence, rng), sentence, rng);
    case SentenceQuestion::kMainClause: return by_grammar(ask_for_main_clause(sentence, rng), sentence, rng);
    case SentenceQuestion::kSpeech: return speech(sentence, context, corpus, rng);
    case SentenceQuestion::kChoice: return choice(sentence, context, corpus, rng);
    case SentenceQuestion::kNextWords: return next_words(sentence, context, rng);
  }
  return std::nullopt;
}

std::optional<PassageQuestion> ask_about_passage(std::string_view text, double depth, const std::vector<size_t>& cuts, Rng& rng) {
  if (text.empty()) return std::nullopt;
  for (int tries = 0; tries < 24; ++tries) {
    // Each further try looks somewhat farther away.
    const double spread = 0.01 * tries;
    const double where = std::clamp(depth + (rng.uniform() * 2 - 1) * spread, 0.0, 1.0);
    const auto at = static_cast<size_t>(where * static_cast<double>(text.size() - 1));
    if (auto found = passage_at(text, at, cuts, rng)) return found;
  }
  return std::nullopt;
}

}  // namespace tenfold
