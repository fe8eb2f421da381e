#include "synth/chat_tasks.h"

#include "synth/chat_words.h"
#include "synth/questions.h"
#include "synth/wording.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenfold {
namespace {

using sv = std::string_view;

constexpr size_t kLongestParagraph = 1100;  ///< bytes; about 250 tokens
constexpr size_t kLongestGoingOn = 400;

bool is_space(char c) { return c == ' ' || c == '\n'; }

/// Whole sentences from the beginning of `text`, which is one paragraph, of at most `most` bytes.
std::vector<sv> sentences_of(sv text, size_t most) {
  std::vector<sv> sentences;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = sentence_end(text, begin);
    if (end == sv::npos || end > most) break;
    sentences.push_back(text.substr(begin, end - begin));
    begin = end;
    while (begin < text.size() && is_space(text[begin])) ++begin;
  }
  return sentences;
}

/// A paragraph from one of its sentences on, and what follows it there.
struct Excerpt {
  std::vector<sv> sentences;
  sv text;
  sv rest;
};

Excerpt draw_excerpt(const SynthCorpus& corpus, Rng& rng) {
  const SentenceRef& ref = rng.pick(corpus.sentences());
  sv text = corpus.documents()[static_cast<size_t>(ref.document)].text;
  text.remove_prefix(static_cast<size_t>(ref.begin));
  text = text.substr(0, text.find("\n\n"));
  Excerpt excerpt;
  excerpt.sentences = sentences_of(text, static_cast<size_t>(rng.between(120, static_cast<int64_t>(kLongestParagraph))));
  if (excerpt.sentences.empty()) return excerpt;
  const sv last = excerpt.sentences.back();
  const auto end = static_cast<size_t>(last.data() + last.size() - text.data());
  excerpt.text = text.substr(0, end);
  excerpt.rest = text.substr(std::min(text.find_first_not_of(" \n", end), text.size()));
  return excerpt;
}

/// Capitalised words that begin no sentence, each once.
std::vector<sv> names_in(sv text) {
  std::vector<sv> names;
  for (const sv word : letter_words(text)) {
    const auto at = static_cast<size_t>(word.data() - text.data());
    if (word.size() < 3 || word[0] < 'A' || word[0] > 'Z' || at < 2 || text[at - 1] != ' ') continue;
    const char before = text[at - 2];
    const bool inside = std::isalpha(static_cast<unsigned char>(before)) != 0 || before == ',';
    if (inside && std::find(names.begin(), names.end(), word) == names.end()) names.push_back(word);
  }
  return names;
}

std::string joined(const std::vector<sv>& parts, sv before, sv between) {
  std::string out;
  for (const sv part : parts) out.append(out.empty() ? sv() : between).append(before).append(part);
  return out;
}

std::string upper(sv text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return out;
}

struct Instruction {
  sv wishes;  ///< alternatives
  std::string answer;
};

/// What to do with an excerpt, and the answer; an empty one where it does not fit.
Instruction draw_instruction(const Excerpt& excerpt, Rng& rng) {
  const std::vector<sv>& sentences = excerpt.sentences;
  switch (rng.below(8)) {
    case 0:
    case 1:
      return {"Continue the text.|Go on with this story.|Write what comes next.|Continue in the same style.",
              joined(sentences_of(excerpt.rest, kLongestGoingOn), "", " ")};
    case 2:
      return {"Summarise this in one sentence.|What is this about? One sentence is enough.|Sum up the passage briefly.",
              sentences.size() > 1 ? std::string(sentences[0]) : std::string()};
    case 3:
      return {"Write this as a list, one point a sentence.|Turn the text into bullet points.|Rewrite the passage as a list.",
              joined(sentences, "- ", "\n")};
    case 4: {
      const std::vector<sv> names = names_in(excerpt.text);
      return {"List the names in this text.|Which names occur in the passage?|Who or what is named here? Give a list.",
              names.empty() ? "There are no names in the text." : joined(names, "- ", "\n")};
    }
    case 5: return {"How many sentences does this text have?|Count the sentences.", fmt::format("{}", sentences.size())};
    case 6:
      return {"Rewrite the first sentence in capital letters.|Repeat the first sentence, all in capitals.", upper(sentences[0])};
    default:
      return {"Copy the last sentence of the text.|What is the last sentence?|Repeat the last sentence word for word.",
              std::string(sentences.back())};
  }
}

/// A question about one sentence of the excerpt, which stands in the rest of it.
std::optional<QuestionAnswer> ask_about(const Excerpt& excerpt, const SynthCorpus& corpus, Rng& rng) {
  using enum SentenceQuestion;
  constexpr auto kKinds = std::to_array<SentenceQuestion>({kAbout, kMentions, kSubject, kGoesOn, kNextWords});
  const sv sentence = rng.pick(excerpt.sentences);
  const auto at = static_cast<size_t>(sentence.data() - excerpt.text.data());
  std::string context(excerpt.text.substr(0, at));
  context += excerpt.text.substr(at + sentence.size());
  return ask_about_sentence(rng.pick(kKinds), sentence, context, corpus, rng);
}

}  // namespace

std::optional<QuestionAnswer> draw_paragraph_task(const SynthCorpus& corpus, Rng& rng) {
  const Excerpt excerpt = draw_excerpt(corpus, rng);
  if (excerpt.sentences.empty()) return std::nullopt;
  std::string wish;
  std::string answer;
  if (rng.below(4) == 0) {
    auto pair = ask_about(excerpt, corpus, rng);
    if (!pair) return std::nullopt;
    wish = std::move(pair->question);
    answer = std::move(pair->answer);
  } else {
    Instruction instruction = draw_instruction(excerpt, rng);
    wish = pick_alternative(rng, instruction.wishes);
    answer = std::move(instruction.answer);
  }
  if (answer.empty()) return std::nullopt;
  constexpr auto kLayouts = std::to_array<sv>({"{w}\n\n{t}", "{t}\n\n{w}", "{w}\n\n\"{t}\"", "Text:\n{t}\n\n{w}",
                                               "{w}\nText: {t}", "Read this.\n\n{t}\n\n{w}", "\"\"\"\n{t}\n\"\"\"\n{w}"});
  // The wish first: the text may hold braces.
  const sv layout = rng.pick(kLayouts);
  return QuestionAnswer{replaced(replaced(layout, "{w}", wish), "{t}", excerpt.text), std::move(answer)};
}

QuestionAnswer draw_sum(FactMaker& facts, Rng& rng) {
  const int64_t a = rng.between(2, 99);
  const int64_t b = rng.between(2, 30);
  std::string question;
  std::string sum;
  int64_t result = 0;
  facts.begin();
  switch (rng.below(6)) {
    case 0: sum = fmt::format("{} + {}", a, b), result = a + b; break;
    case 1: sum = fmt::format("{} - {}", a + b, b), result = a; break;
    case 2: sum = fmt::format("{} * {}", a, b), result = a * b; break;
    case 3: sum = fmt::format("{} / {}", a * b, b), result = a; break;
    case 4:
      result = a + b;
      question = facts.fill(fmt::format("{{name}} has {} {{animal}}s and buys {} more. How many are there now?", a, b));
      break;
    default:
      result = a * b;
      question = facts.fill(fmt::format("One {{thing}} costs {} coins. How many coins do {} of them cost?", a, b));
  }
  if (!sum.empty()) {
    constexpr auto kAsks = std::to_array<sv>(
        {"What is {s}?", "Work out {s}.", "{s} =", "Calculate {s} and give only the result.", "How much is {s}?"});
    question = replaced(rng.pick(kAsks), "{s}", sum);
  }
  switch (rng.below(3)) {
    case 0: return {std::move(question), fmt::format("{}", result)};
    case 1: return {std::move(question), fmt::format("The answer is {}.", result)};
    default: return {std::move(question), sum.empty() ? fmt::format("{}.", result) : fmt::format("{} = {}", sum, result)};
  }
}

QuestionAnswer draw_meaning(Rng& rng) {
  if (rng.below(3) == 0) {
    const Term& term = rng.pick(synonyms());
    constexpr auto kAsks = std::to_array<sv>({"Give me another word for \"{t}\".", "What is a synonym of \"{t}\"?",
                                              "What does the word \"{t}\" mean?", "Which word could replace \"{t}\"?"});
    return {replaced(rng.pick(kAsks), "{t}", term.word),
            rng.below(2) == 0 ? capitalized(term.meaning) + "." : std::string(term.meaning)};
  }
  const Term& term = rng.pick(glossary());
  constexpr auto kAsks = std::to_array<sv>({"What is {t}?", "Explain in one sentence what {t} is.", "Define {t}.",
                                            "I do not know what {t} is. Can you explain it?", "{T}: what does that mean?"});
  const std::string question = replaced(replaced(rng.pick(kAsks), "{t}", term.word), "{T}", capitalized(term.word));
  return {question, fmt::format("{} is {}.", capitalized(term.word), term.meaning)};
}

QuestionAnswer draw_talk(FactMaker& facts, Rng& rng) {
  const Talk& talk = rng.pick(small_talk());
  facts.begin();
  std::string said = facts.fill(talk.said);
  return {std::move(said), facts.fill(talk.answer)};
}

}  // namespace tenfold
