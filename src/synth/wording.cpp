#include "synth/wording.h"

#include "core/error.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace tenfold {
namespace {

using sv = std::string_view;

constexpr auto kHeadings = std::to_array<sv>(
    {"Read the following text carefully. Afterwards I will ask you about details in it.",
     "Below is a long text. Some facts have been added to it; find them and keep them in mind.",
     "Here is a long document. Questions follow at the end.",
     "There is a piece of information hidden inside the text below. Find it and remember it, because I will ask you about it.",
     "Please read this excerpt and then answer the question at its end.",
     "The text below holds some details that you will be asked about.",
     "I am going to give you a long passage. Somewhere in it is what I need to know.",
     "Study the passage. You will be quizzed on particular details afterwards.",
     "You are given a long context. Answer the question from the context only.",
     "Text for a reading test. Pay attention to small facts that do not belong to the story.",
     "What follows is part of a book into which a few other sentences have slipped. Memorize whatever looks out of place.",
     "Look for the relevant sentence in this document and answer from it.",
     "Long document ahead. Remember the facts, the numbers and the names in it.",
     "Something important is written somewhere in the following pages. Keep it in memory; a question about it comes last.",
     "Use the text to answer. Do not use anything that you know from elsewhere.",
     "Take the time to read everything. A short question comes after the text.",
     "Context:",
     "Document:",
     "Read this:",
     "Excerpt from a book, followed by a question."});
constexpr auto kHeadingQuestions =
    std::to_array<sv>({"Answer this question from the text below: {q}", "While you read, look for the answer to this: {q}",
                       "I would like to know the following. {q} The answer is somewhere in this text.",
                       "Question: {q}\nThe text comes now.", "Find the answer in the document. {q}"});
constexpr auto kOpens = std::to_array<sv>({"\n", "\n\n", "\n\n", "\n\n", "\n---\n", "\n\n***\n\n", "\n\"\"\"\n", "\n\nText:\n"});
constexpr auto kAsks = std::to_array<sv>({"\n\n", "\n\n", "\n\n", "\n\n", "\n\n", "\n\nQuestion: ", "\n\n---\n\n", "\n\n***\n\n",
                                          "\n\nNow the question. ", "\n\nThat was the text. ", "\n\nQ: ", "\n"});
constexpr auto kAskPrefixes =
    std::to_array<sv>({"According to the text, {q}", "From the text above: {q}", "Tell me, {q}", "Look it up in the text: {q}",
                       "As the document states, {q}", "Based on what you have read, {q}"});
constexpr auto kAnswerCues = std::to_array<sv>({"\nAnswer:", "\nAnswer:", "\nAnswer:", "\nA:", "\n\nAnswer:", "\nYour answer:"});
constexpr auto kRemembers =
    std::to_array<sv>({"Remember it.", "Keep it in mind.", "Do not forget it.", "Make a note of that.", "This matters.",
                       "Please remember this.", "Somebody will ask about it.", "Write it down."});

constexpr auto kForbidden =
    std::to_array<sv>({"best thing to do in", "dolores park", "pass key", "passkey", "pass-key", "hamburg",
                       "important infomation", "infomation", "i will quiz you about the important information",
                       "the grass is green. the sky is blue", "here we go. there and back again"});

bool is_vowel(char c) { return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u'; }

}  // namespace

std::span<const std::string_view> phrases_of(Phrase phrase) {
  switch (phrase) {
    case Phrase::kHeading: return kHeadings;
    case Phrase::kHeadingQuestion: return kHeadingQuestions;
    case Phrase::kOpen: return kOpens;
    case Phrase::kAsk: return kAsks;
    case Phrase::kAskPrefix: return kAskPrefixes;
    case Phrase::kAnswerCue: return kAnswerCues;
    case Phrase::kRemember: return kRemembers;
  }
  TENFOLD_CHECK(false, "phrase {}", static_cast<int>(phrase));
  return {};
}

std::span<const std::string_view> forbidden_phrases() { return kForbidden; }

bool has_forbidden_phrase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::any_of(kForbidden.begin(), kForbidden.end(), [&](sv phrase) { return lower.find(phrase) != std::string::npos; });
}

std::vector<std::string_view> alternatives(std::string_view shapes) {
  std::vector<std::string_view> out;
  while (true) {
    const size_t bar = shapes.find('|');
    out.push_back(shapes.substr(0, bar));
    if (bar == sv::npos) return out;
    shapes.remove_prefix(bar + 1);
  }
}

std::string_view pick_alternative(Rng& rng, std::string_view shapes) { return rng.pick(alternatives(shapes)); }

std::string with_article(std::string_view word) {
  const bool vowel = !word.empty() && is_vowel(static_cast<char>(std::tolower(static_cast<unsigned char>(word[0]))));
  return std::string(vowel ? "an " : "a ") + std::string(word);
}

std::string capitalized(std::string_view text) {
  std::string out(text);
  if (!out.empty()) out[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(out[0])));
  return out;
}

std::string uncapitalized(std::string_view text) {
  std::string out(text);
  if (!out.empty()) out[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(out[0])));
  return out;
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  while (true) {
    const size_t at = text.find(from);
    out += text.substr(0, at);
    if (at == sv::npos) return out;
    out += to;
    text.remove_prefix(at + from.size());
  }
}

}  // namespace tenfold
