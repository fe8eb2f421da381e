#include "synth/chat_choices.h"

#include "synth/chat_words.h"
#include "synth/word_lists.h"
#include "synth/wording.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace tenfold {
namespace {

using sv = std::string_view;

/// A statement about one thing that could be otherwise; {v} is it.
struct ValueShape {
  WordList list;
  bool article;  ///< the word gets one
  sv statement;
  sv question;
};

constexpr auto kValueShapes = std::to_array<ValueShape>({
    {WordList::kPlace, false, "{name} left the {thing} {v}.", "Where did {name} leave the {thing}?"},
    {WordList::kPlace, false, "The {thing} of the {club} is kept {v}.", "Where is the {thing} of the {club} kept?"},
    {WordList::kMonth, false, "The {club} of {city} holds its yearly feast in {v}.",
     "In which month does the {club} of {city} hold its yearly feast?"},
    {WordList::kTrade, true, "{name} earns a living in {city} as {v}.", "How does {name} earn a living in {city}?"},
    {WordList::kColor, false, "The shutters of {name}'s house in {city} are {v}.",
     "What colour are the shutters of {name}'s house in {city}?"},
    {WordList::kMaterial, false, "The handle of {name}'s {thing} is made of {v}.",
     "What is the handle of {name}'s {thing} made of?"},
    {WordList::kAnimal, true, "{name} keeps {v} in the yard of the {club}.", "What does {name} keep in the yard of the {club}?"},
    {WordList::kFood, false, "The soup of the {club} is finished with {v}.", "With what is the soup of the {club} finished?"},
    {WordList::kCity, false, "Last year {name} moved from {city} to {v}.", "To which city did {name} move from {city}?"},
    {WordList::kStreet, false, "The parcel for {name} was delivered to {v}.", "Where was the parcel for {name} delivered?"},
    {WordList::kReason, false, "{name} missed the boat because {v}.", "Why did {name} miss the boat?"},
    {WordList::kActivity, false, "{name} spends every holiday {v}.", "How does {name} spend every holiday?"},
    {WordList::kWhen, false, "The {thing} of {city} is shown {v}.", "When is the {thing} of {city} shown?"},
    {WordList::kSaying, false, "Over the gate of the {club} is written: {v}.", "What is written over the gate of the {club}?"},
    {WordList::kName, false, "The chair of the {club} in {city} is {v}.", "Who is the chair of the {club} in {city}?"},
});

struct Sort {
  WordList list;
  sv one;  ///< "an animal"
};
constexpr auto kSorts = std::to_array<Sort>({{WordList::kAnimal, "an animal"},
                                             {WordList::kCity, "a city"},
                                             {WordList::kMaterial, "a material"},
                                             {WordList::kTrade, "an occupation"},
                                             {WordList::kMonth, "a month"},
                                             {WordList::kColor, "a colour"},
                                             {WordList::kName, "a first name"},
                                             {WordList::kStreet, "a street name"},
                                             {WordList::kClub, "an association"}});

bool has(const std::vector<std::string>& all, sv one) { return std::find(all.begin(), all.end(), one) != all.end(); }
bool is_of(WordList list, sv word) {
  const auto words = words_of(list);
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// Mostly four, as examinations have it.
size_t draw_count(Rng& rng) {
  constexpr auto kCounts = std::to_array<size_t>({4, 4, 4, 4, 4, 4, 4, 4, 3, 3, 2, 5});
  return rng.pick(kCounts);
}

/// The first option is the right one; they are put in any order.
Choice shuffled(Choice choice, Rng& rng) {
  const std::string right = choice.options[0];
  rng.shuffle(choice.options);
  choice.right = static_cast<size_t>(std::find(choice.options.begin(), choice.options.end(), right) - choice.options.begin());
  return choice;
}

/// `draw` fills up to `count` options that differ; false where it does not find so many.
template <typename Draw>
bool add_options(std::vector<std::string>& options, size_t count, const Draw& draw) {
  for (int tries = 0; options.size() < count; ++tries) {
    if (tries > 100) return false;
    std::string option = draw();
    if (!option.empty() && !has(options, option)) options.push_back(std::move(option));
  }
  return true;
}

std::string value_of(const ValueShape& shape, sv word) { return shape.article ? with_article(word) : std::string(word); }

/// A sentence of its own that has nothing to do with the question.
std::string aside(FactMaker& facts, Rng& rng) {
  facts.begin();
  if (rng.below(2) == 0) return facts.clause().parts[0];
  const ValueShape& shape = rng.pick(kValueShapes);
  return facts.fill(replaced(shape.statement, "{v}", value_of(shape, rng.pick(words_of(shape.list)))));
}

std::string among_asides(std::string sentence, int64_t count, FactMaker& facts, Rng& rng) {
  std::vector<std::string> all = {std::move(sentence)};
  for (int64_t i = 0; i < count; ++i) all.push_back(aside(facts, rng));
  rng.shuffle(all);
  std::string out;
  for (const std::string& one : all) out += (out.empty() ? "" : " ") + one;
  return out;
}

std::optional<Choice> about_value(FactMaker& facts, Rng& rng) {
  const ValueShape& shape = rng.pick(kValueShapes);
  facts.begin();
  Choice choice;
  choice.question = facts.fill(shape.question);
  const auto draw = [&] {
    const sv word = rng.pick(words_of(shape.list));
    return choice.question.find(word) == std::string::npos ? value_of(shape, word) : std::string();
  };
  if (!add_options(choice.options, draw_count(rng), draw)) return std::nullopt;
  // Before asides take the slots.
  std::string statement = facts.fill(replaced(shape.statement, "{v}", choice.options[0]));
  if (rng.below(2) == 0) choice.passage = among_asides(std::move(statement), rng.between(0, 3), facts, rng);
  return choice;
}

std::optional<Choice> about_sorts(Rng& rng) {
  const Sort& sort = rng.pick(kSorts);
  const bool odd_one = rng.below(3) == 0;
  const auto of_sort = [&] { return std::string(rng.pick(words_of(sort.list))); };
  const auto of_others = [&] {
    const Sort& other = rng.pick(kSorts);
    const sv word = rng.pick(words_of(other.list));
    return is_of(sort.list, word) ? std::string() : std::string(word);
  };
  Choice choice;
  const size_t count = std::max<size_t>(draw_count(rng), 3);
  const bool filled = odd_one ? add_options(choice.options, 1, of_others) && add_options(choice.options, count, of_sort)
                              : add_options(choice.options, 1, of_sort) && add_options(choice.options, count, of_others);
  if (!filled) return std::nullopt;
  constexpr auto kAsks = std::to_array<sv>({"Which of the following is{not} {s}?", "Which of these is{not} {s}?",
                                            "One of these is{not} {s}. Which one?", "Only one of the following is{not} {s}:"});
  choice.question = replaced(replaced(rng.pick(kAsks), "{not}", odd_one ? " not" : ""), "{s}", sort.one);
  if (odd_one && choice.question.starts_with("Only"))
    choice.question = fmt::format("All but one are {}. Which is not?", sort.one);
  return choice;
}

std::optional<Choice> about_statement(FactMaker& facts, Rng& rng) {
  const auto statement = [&] { return facts.clause().parts[0]; };
  Choice choice;
  if (!add_options(choice.options, draw_count(rng), statement)) return std::nullopt;
  if (rng.below(3) > 0) {
    choice.passage = among_asides(choice.options[0], rng.between(1, 4), facts, rng);
    choice.question = rng.below(2) == 0 ? "Which statement is supported by the passage?" : "What does the text say?";
  } else {
    choice.question = rng.below(2) == 0 ? "Which of these statements is most likely true?" : "Which of the following happened?";
  }
  return choice;
}

std::optional<Choice> about_clause(FactMaker& facts, Rng& rng) {
  const Fact fact = facts.clause();
  Choice choice;
  choice.question = fact.asks[0].question;
  choice.options.push_back(fact.asks[0].answer);
  if (!add_options(choice.options, draw_count(rng), [&] { return facts.clause().asks[0].answer; })) return std::nullopt;
  if (rng.below(2) == 0) choice.passage = among_asides(fact.parts[0], rng.between(0, 2), facts, rng);
  return choice;
}

std::optional<Choice> about_number(Rng& rng) {
  const int64_t a = rng.between(2, 99);
  const int64_t b = rng.between(2, 60);
  const uint64_t op = rng.below(4);
  const int64_t result = op == 0 ? a + b : op == 1 ? a * b : op == 2 ? std::max(a, b) - std::min(a, b) : a;
  Choice choice;
  if (op < 3) {
    constexpr auto kSigns = std::to_array<sv>({"+", "*", "-"});
    choice.question = fmt::format("What is {} {} {}?", op == 2 ? std::max(a, b) : a, kSigns[op], op == 2 ? std::min(a, b) : b);
    choice.options.push_back(fmt::format("{}", result));
    const auto near = [&] { return fmt::format("{}", std::max<int64_t>(0, result + rng.between(-12, 12))); };
    if (!add_options(choice.options, draw_count(rng), near)) return std::nullopt;
    return choice;
  }
  std::vector<int64_t> numbers;
  const size_t count = draw_count(rng);
  while (numbers.size() < count) {
    const int64_t n = rng.between(3, 9999);
    if (std::find(numbers.begin(), numbers.end(), n) == numbers.end()) numbers.push_back(n);
  }
  const bool largest = rng.below(2) == 0;
  std::sort(numbers.begin(), numbers.end());
  if (largest) std::reverse(numbers.begin(), numbers.end());
  for (const int64_t n : numbers) choice.options.push_back(fmt::format("{}", n));
  choice.question = largest ? "Which of these numbers is the largest?" : "Which of these numbers is the smallest?";
  return choice;
}

std::optional<Choice> about_meaning(Rng& rng) {
  const bool nouns = rng.below(3) > 0;
  const auto terms = nouns ? glossary() : synonyms();
  const Term& term = rng.pick(terms);
  const bool to_word = rng.below(2) == 0;
  Choice choice;
  choice.options.emplace_back(to_word ? term.word : term.meaning);
  const auto other = [&] { return std::string(to_word ? rng.pick(terms).word : rng.pick(terms).meaning); };
  if (!add_options(choice.options, draw_count(rng), other)) return std::nullopt;
  if (!nouns) {
    choice.question = fmt::format("Which word or phrase means nearly the same as \"{}\"?", to_word ? term.meaning : term.word);
    return choice;
  }
  const auto asks =
      to_word
          ? std::to_array<sv>({"What do we call {t}?", "Which term stands for {t}?", "The name for {t} is", "{T} is known as"})
          : std::to_array<sv>(
                {"What is {t}?", "Which of the following describes {t} best?", "{T} is", "How would you define {t}?"});
  const sv shown = to_word ? term.meaning : term.word;
  choice.question = replaced(replaced(rng.pick(asks), "{t}", shown), "{T}", capitalized(shown));
  return choice;
}

std::optional<Choice> about_month(Rng& rng) {
  const auto months = words_of(WordList::kMonth);
  const size_t at = rng.below(months.size());
  const bool after = rng.below(2) == 0;
  Choice choice;
  choice.options.emplace_back(months[(at + (after ? 1 : months.size() - 1)) % months.size()]);
  const auto other = [&] {
    const sv month = rng.pick(months);
    return month == months[at] ? std::string() : std::string(month);
  };
  if (!add_options(choice.options, draw_count(rng), other)) return std::nullopt;
  choice.question = fmt::format("Which month comes just {} {}?", after ? "after" : "before", months[at]);
  return choice;
}

/// What of a corpus comes next, or the word that is missing.
std::optional<Choice> about_sentence(const SynthCorpus& corpus, Rng& rng) {
  const size_t at = rng.below(corpus.sentences().size());
  const SentenceRef& ref = corpus.sentences()[at];
  const sv sentence = corpus.text_of(ref);
  const auto other = [&] { return std::string(corpus.text_of(rng.pick(corpus.sentences()))); };
  Choice choice;
  if (rng.below(2) == 0) {
    if (at + 1 == corpus.sentences().size()) return std::nullopt;
    const SentenceRef& next = corpus.sentences()[at + 1];
    if (next.document != ref.document || next.begin > ref.begin + ref.length + 2) return std::nullopt;
    choice.passage = sentence;
    choice.options.emplace_back(corpus.text_of(next));
    choice.question = rng.below(2) == 0 ? "Which sentence comes next?" : "How does the text most likely go on?";
    if (!add_options(choice.options, draw_count(rng), other)) return std::nullopt;
    return choice;
  }
  const auto plain = [](sv word) {
    return word.size() >= 4 && std::all_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  };
  std::vector<sv> words = letter_words(sentence);
  std::erase_if(words, [&](sv word) { return !plain(word); });
  if (words.empty()) return std::nullopt;
  const sv word = rng.pick(words);
  const auto begin = static_cast<size_t>(word.data() - sentence.data());
  choice.question = fmt::format("{} word is missing here?\n{}____{}", rng.below(2) == 0 ? "Which" : "What",
                                sentence.substr(0, begin), sentence.substr(begin + word.size()));
  choice.options.emplace_back(word);
  const auto other_word = [&] {
    const sv found = rng.pick(letter_words(corpus.text_of(rng.pick(corpus.sentences()))));
    return plain(found) ? std::string(found) : std::string();
  };
  if (!add_options(choice.options, draw_count(rng), other_word)) return std::nullopt;
  return choice;
}

std::optional<QuestionAnswer> yes_no_statement(FactMaker& facts, Rng& rng, bool& yes) {
  const ValueShape& shape = rng.pick(kValueShapes);
  facts.begin();
  const sv told = rng.pick(words_of(shape.list));
  const sv asked = yes ? told : rng.pick(words_of(shape.list));
  const std::string statement = facts.fill(replaced(shape.statement, "{v}", value_of(shape, told)));
  std::string claim = facts.fill(replaced(shape.statement, "{v}", value_of(shape, asked)));
  yes = told == asked;
  claim.pop_back();
  if (claim.starts_with("The ") || claim.starts_with("Last ") || claim.starts_with("Over ")) claim = uncapitalized(claim);
  constexpr auto kAsks = std::to_array<sv>({"Is it true that {c}?", "Does the text say that {c}?", "Is this right: {c}?"});
  const std::string question = replaced(rng.pick(kAsks), "{c}", claim);
  return QuestionAnswer{among_asides(statement, rng.between(0, 2), facts, rng) + "\n\n" + question, {}};
}

QuestionAnswer yes_no_known(Rng& rng, bool& yes) {
  switch (rng.below(3)) {
    case 0: {
      const Sort& sort = rng.pick(kSorts);
      const Sort& other = yes ? sort : rng.pick(kSorts);
      const sv word = rng.pick(words_of(other.list));
      yes = is_of(sort.list, word);
      return {fmt::format("Is \"{}\" {}?", word, sort.one), {}};
    }
    case 1: {
      const int64_t a = rng.between(2, 80);
      const int64_t b = rng.between(2, 80);
      return {fmt::format("Is {} + {} equal to {}?", a, b, yes ? a + b : a + b + rng.between(1, 9)), {}};
    }
    default: {
      const Term& term = rng.pick(glossary());
      const Term& other = yes ? term : rng.pick(glossary());
      yes = term.word == other.word;
      return {fmt::format("Is {} {}?", term.word, other.meaning), {}};
    }
  }
}

}  // namespace

std::optional<Choice> draw_choice(const SynthCorpus& corpus, FactMaker& facts, Rng& rng) {
  std::optional<Choice> choice;
  switch (rng.below(12)) {
    case 0:
    case 1:
    case 2: choice = about_value(facts, rng); break;
    case 3: choice = about_sorts(rng); break;
    case 4: choice = about_statement(facts, rng); break;
    case 5: choice = about_clause(facts, rng); break;
    case 6: choice = about_number(rng); break;
    case 7:
    case 8:
    case 9: choice = about_meaning(rng); break;
    case 10: choice = about_month(rng); break;
    default: choice = about_sentence(corpus, rng);
  }
  if (!choice) return std::nullopt;
  return shuffled(std::move(*choice), rng);
}

ChoiceLayout draw_layout(Rng& rng) {
  // The plain lettered one is what examinations use most.
  if (rng.below(5) < 2) return {"", "{l}. ", "A", "\n", "\nAnswer:", "{l}"};
  constexpr auto kIntros = std::to_array<sv>({"", "", "", "Question: ", "Q: ", "Choose the right answer.\n\n",
                                              "Multiple choice; pick one.\n\n", "Here is a question with several options.\n\n",
                                              "Answer the question by choosing one of the options.\n\n", "Quiz time! "});
  constexpr auto kLabels = std::to_array<sv>({"{l}. ", "{l}. ", "{l}) ", "{l}) ", "({l}) ", "{l}: ", "[{l}] ", "- {l}. "});
  constexpr auto kFirsts = std::to_array<sv>({"A", "A", "A", "A", "a", "1"});
  constexpr auto kJoints = std::to_array<sv>({"\n", "\n", "\n", "\n", "\n\n", "  ", "; "});
  ChoiceLayout layout;
  layout.intro = rng.pick(kIntros);
  layout.label = rng.pick(kLabels);
  layout.first = rng.pick(kFirsts);
  layout.joint = rng.pick(kJoints);
  struct Ending {
    sv text;
    sv answers;  ///< alternatives
  };
  constexpr auto kEndings = std::to_array<Ending>({{"", "{l}|{l}. {o}|{o}|The answer is {l}."},
                                                   {"\nAnswer:", "{l}|{l}|{l}. {o}"},
                                                   {"\n\nAnswer:", "{l}"},
                                                   {"\nThe answer is", "{l}|{l}.|{l}. {o}"},
                                                   {"\nYour choice:", "{l}|{l}|{o}"},
                                                   {"\n\nGive only the letter.", "{l}"},
                                                   {"\nWhich one is right?", "{l}|{l}. {o}|It is {l}: {o}"},
                                                   {"\n\nRespond with the right option.", "{l}. {o}|{l}|{o}"}});
  const Ending& ending = rng.pick(kEndings);
  layout.ending = ending.text;
  if (layout.first == "1") layout.ending = replaced(layout.ending, "letter", "number");
  layout.answer = pick_alternative(rng, ending.answers);
  return layout;
}

QuestionAnswer turn_of(const Choice& choice, const ChoiceLayout& layout) {
  const std::string passage = choice.passage.empty() ? "" : choice.passage + "\n\n";
  // A sentence of instruction stands before the passage, "Question: " before the question.
  const bool instructs = layout.intro.ends_with("\n\n");
  std::string text = instructs ? layout.intro + passage : passage + layout.intro;
  text += choice.question;
  const auto label = [&](size_t i) { return std::string(1, static_cast<char>(layout.first[0] + static_cast<char>(i))); };
  for (size_t i = 0; i < choice.options.size(); ++i) {
    text += i == 0 ? "\n" : layout.joint;
    text += replaced(layout.label, "{l}", label(i)) + choice.options[i];
  }
  text += layout.ending;
  return {std::move(text), replaced(replaced(layout.answer, "{l}", label(choice.right)), "{o}", choice.options[choice.right])};
}

std::optional<QuestionAnswer> draw_yes_no(const SynthCorpus& corpus, FactMaker& facts, Rng& rng) {
  bool yes = rng.below(2) == 0;
  std::optional<QuestionAnswer> pair;
  if (rng.below(4) == 0) {
    const sv sentence = corpus.text_of(rng.pick(corpus.sentences()));
    const sv source = yes ? sentence : corpus.text_of(rng.pick(corpus.sentences()));
    const sv word = rng.pick(letter_words(source));
    yes = sentence.find(word) != sv::npos;
    pair = QuestionAnswer{fmt::format("\"{}\"\n\nDoes the word \"{}\" occur in this sentence?", sentence, word), {}};
  } else if (rng.below(2) == 0) {
    pair = yes_no_statement(facts, rng, yes);
  } else {
    pair = yes_no_known(rng, yes);
  }
  constexpr auto kEndings = std::to_array<sv>({"", "", "", "\nAnswer yes or no.", "\nAnswer:", "\nYes or no?"});
  pair->question += rng.pick(kEndings);
  pair->answer = yes ? "Yes" : "No";
  if (rng.below(2) == 0) pair->answer += '.';
  return pair;
}

}  // namespace tenfold
