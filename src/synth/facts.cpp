#include "synth/facts.h"

#include "core/error.h"
#include "synth/clauses.h"
#include "synth/fact_shapes.h"
#include "synth/word_lists.h"
#include "synth/wording.h"
#include "text/case.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

namespace tenfold {
namespace {

struct SlotWords {
  std::string_view base;
  WordList list;
  bool once;  ///< a word comes once a record: facts are told apart by it
};

constexpr auto kSlotWords = std::to_array<SlotWords>({
    {"name", WordList::kName, true},
    {"thing", WordList::kThing, true},
    {"city", WordList::kCity, true},
    {"club", WordList::kClub, true},
    {"key", WordList::kKeyNoun, true},
    {"saying", WordList::kSaying, true},
    {"place", WordList::kPlace, true},
    {"activity", WordList::kActivity, true},
    {"food", WordList::kFood, true},
    {"when", WordList::kWhen, false},
    {"color", WordList::kColor, false},
    {"material", WordList::kMaterial, false},
    {"animal", WordList::kAnimal, true},
    {"trade", WordList::kTrade, true},
    {"month", WordList::kMonth, false},
    {"adjective", WordList::kAdjective, false},
    {"reason", WordList::kReason, true},
    {"street", WordList::kStreet, true},
});

std::string digits(Rng& rng, int64_t count) {
  std::string out;
  for (int64_t i = 0; i < count; ++i) out += static_cast<char>('0' + rng.between(i == 0 ? 1 : 0, 9));
  return out;
}

std::string letters(Rng& rng, int64_t count) {
  constexpr std::string_view kLetters = "ABCDEFGHJKLMNPQRSTUVWXYZ";  // no I and O, which read like digits
  std::string out;
  for (int64_t i = 0; i < count; ++i) out += rng.pick(kLetters);
  return out;
}

/// Four to seven digits, five and six most often.
std::string number(Rng& rng) {
  constexpr auto kCounts = std::to_array<int64_t>({4, 5, 5, 5, 6, 6, 7});
  return digits(rng, rng.pick(kCounts));
}

std::string code(Rng& rng) {
  switch (rng.below(5)) {
    case 0: return letters(rng, 2) + "-" + digits(rng, 4);
    case 1: return letters(rng, 1) + digits(rng, 3) + letters(rng, 1) + digits(rng, 2);
    case 2: return digits(rng, 3) + "-" + letters(rng, 3);
    case 3: return letters(rng, 3) + digits(rng, 3);
    default: return digits(rng, 2) + letters(rng, 2) + digits(rng, 2);
  }
}

std::string time_of_day(Rng& rng) {
  const int64_t hour = rng.between(1, 12);
  const int64_t minute = rng.between(0, 59);
  return fmt::format("{}:{:02} {}", hour, minute, rng.below(2) == 0 ? "am" : "pm");
}

std::string price(Rng& rng) {
  switch (rng.below(3)) {
    case 0: return fmt::format("${}.{:02}", rng.between(1, 99), rng.between(0, 99));
    case 1: return fmt::format("{} crowns", rng.between(13, 989));
    default: return fmt::format("{} pounds", rng.between(13, 989));
  }
}

/// "question;question#answer#value" taken apart.
struct Ask {
  std::string_view questions, answer, value;
};

Ask parse_ask(std::string_view text) {
  const size_t first = text.find('#');
  const size_t second = text.find('#', first + 1);
  TENFOLD_CHECK(first != std::string_view::npos && second != std::string_view::npos, "ask '{}'", text);
  return {text.substr(0, first), text.substr(first + 1, second - first - 1), text.substr(second + 1)};
}

std::string_view pick_question(Rng& rng, std::string_view questions) {
  std::vector<std::string_view> all;
  while (true) {
    const size_t end = questions.find(';');
    all.push_back(questions.substr(0, end));
    if (end == std::string_view::npos) break;
    questions.remove_prefix(end + 1);
  }
  return rng.pick(all);
}

template <typename Shape>
const Shape& pick_shape(Rng& rng, std::span<const Shape> shapes) {
  int64_t total = 0;
  for (const Shape& shape : shapes) total += shape.weight;
  int64_t at = rng.between(0, total - 1);
  for (const Shape& shape : shapes) {
    if (at < shape.weight) return shape;
    at -= shape.weight;
  }
  return shapes.back();
}

std::string first_word(std::string_view text) { return lower_case(text.substr(0, std::min(text.find(' '), text.size()))); }

}  // namespace

bool quotes_well(std::string_view question, std::string_view sentence) {
  const std::string word = first_word(sentence);
  // "Tell me, for whom ..." asks as "For whom ..." does.
  return word != "not" && word != first_word(question) && question.find(fmt::format(" {} wh", word)) == std::string_view::npos;
}

int64_t FactMaker::shape_count(bool number) {
  return static_cast<int64_t>(number ? number_shapes().size() : word_shapes().size());
}
int64_t FactMaker::multi_shape_count() { return static_cast<int64_t>(multi_shapes().size()); }

std::string FactMaker::fresh_value(std::string_view base) {
  if (base == "number") return number(rng_);
  if (base == "code") return code(rng_);
  if (base == "time") return time_of_day(rng_);
  if (base == "price") return price(rng_);
  if (base == "year") return fmt::format("{}", rng_.between(1605, 1994));
  if (base == "small") return fmt::format("{}", rng_.between(11, 989));
  if (base == "phone") return fmt::format("{} {} {}", digits(rng_, 3), digits(rng_, 3), digits(rng_, 4));
  if (base == "dial") return fmt::format("{:02}-{:02}-{:02}", rng_.between(1, 99), rng_.between(1, 99), rng_.between(1, 99));
  TENFOLD_CHECK(false, "slot '{}'", base);
  return {};
}

std::string FactMaker::make_slot(std::string_view base) {
  for (const SlotWords& entry : kSlotWords) {
    if (entry.base != base) continue;
    const auto words = words_of(entry.list);
    const auto taken = [&](std::string_view word) {
      if (entry.once && used_.contains(std::string(word))) return true;
      for (const auto& [key, value] : slots_) {
        if (value == word) return true;
      }
      return false;
    };
    for (int tries = 0; tries < 400; ++tries) {
      const std::string_view word = rng_.pick(words);
      if (taken(word)) continue;
      if (entry.once) used_.emplace(word);
      return std::string(word);
    }
    // A record with very many facts has used the list up: two words together are new again.
    return std::string(rng_.pick(words)) + " " + std::string(rng_.pick(words));
  }
  while (true) {
    std::string value = fresh_value(base);
    if (used_.insert(value).second) return value;
  }
}

const std::string& FactMaker::slot(const std::string& key) {
  const auto found = slots_.find(key);
  if (found != slots_.end()) return found->second;
  std::string_view base = key;
  if (std::isdigit(static_cast<unsigned char>(base.back())) != 0) base.remove_suffix(1);
  return slots_.emplace(key, make_slot(base)).first->second;
}

std::string FactMaker::fill(std::string_view shape) {
  std::string out;
  while (true) {
    const size_t open = shape.find('{');
    out += shape.substr(0, open);
    if (open == std::string_view::npos) return out;
    const size_t close = shape.find('}', open);
    TENFOLD_CHECK(close != std::string_view::npos, "shape '{}'", shape);
    std::string key(shape.substr(open + 1, close - open - 1));
    char form = ' ';
    if (key.size() > 2 && key[1] == ':') {
      form = key[0];
      key.erase(0, 2);
    }
    const std::string& word = slot(key);
    out += form == 'a'   ? with_article(word)
           : form == 'A' ? capitalized(with_article(word))
           : form == 'C' ? capitalized(word)
                         : word;
    shape.remove_prefix(close + 1);
  }
}

std::string FactMaker::answer_of(std::string_view full, std::string_view value, const std::string& question,
                                 const std::string& sentence, bool number) {
  const double u = rng_.uniform();
  const double short_share = std::min(number ? 0.25 : 0.15, 1.0 - quoted_);
  if (!value.empty() && u < short_share) {
    std::string out = fill(value);
    if (!number && rng_.below(2) == 0 && !out.ends_with('"')) out += '.';
    return out;
  }
  if (!sentence.empty() && u > 1.0 - quoted_ && quotes_well(question, sentence)) return sentence;
  return fill(full);
}

Fact FactMaker::fact(bool number) {
  slots_.clear();
  const FactShape& shape = pick_shape(rng_, number ? number_shapes() : word_shapes());
  Fact fact;
  const std::string sentence = fill(pick_alternative(rng_, shape.sentences));
  const Ask ask = parse_ask(pick_alternative(rng_, shape.asks));
  QuestionAnswer pair;
  pair.question = fill(pick_question(rng_, ask.questions));
  const bool restates = sentence.find(". ") != std::string::npos || sentence.find("? ") != std::string::npos;
  pair.answer = answer_of(ask.answer, ask.value, pair.question, restates ? std::string() : sentence, number);
  fact.parts.push_back(sentence);
  if (rng_.uniform() < 0.2) fact.parts[0].append(" ").append(rng_.pick(phrases_of(Phrase::kRemember)));
  fact.asks.push_back(std::move(pair));
  return fact;
}

Fact FactMaker::clause() {
  slots_.clear();
  const Clause clause = draw_clause(rng_);
  Fact fact;
  const std::string sentence = fill(clause.sentence);
  std::string question = fill(clause.question);
  std::string answer = answer_of(clause.restated, clause.value, question, sentence, false);
  fact.asks.push_back({std::move(question), std::move(answer)});
  fact.parts.push_back(sentence);
  return fact;
}

Fact FactMaker::multi() {
  slots_.clear();
  const MultiShape& shape = pick_shape(rng_, multi_shapes());
  Fact fact;
  for (const std::string_view part : shape.parts) fact.parts.push_back(fill(pick_alternative(rng_, part)));
  std::vector<std::string_view> asks = alternatives(shape.asks);
  rng_.shuffle(asks);
  if (asks.size() > 1) asks.resize(1 + rng_.below(2));
  for (const std::string_view text : asks) {
    const Ask ask = parse_ask(text);
    std::string question = fill(pick_question(rng_, ask.questions));
    std::string answer = answer_of(ask.answer, ask.value, question, "", false);
    fact.asks.push_back({std::move(question), std::move(answer)});
  }
  return fact;
}

}  // namespace tenfold
