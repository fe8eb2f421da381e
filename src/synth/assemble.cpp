#include "synth/assemble.h"

#include "core/rng.h"
#include "synth/questions.h"
#include "synth/wording.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace tenfold {
namespace {

using sv = std::string_view;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t'; }

/// The place nearest to `at` for which `fits` holds, at most `reach` away, or npos. 0 and the end always fit.
template <typename Fits>
size_t nearest(sv text, size_t at, size_t reach, const Fits& fits) {
  for (size_t away = 0; away <= reach; ++away) {
    if (at >= away && (at == away || fits(at - away))) return at - away;
    if (at + away >= text.size() || fits(at + away)) return std::min(at + away, text.size());
  }
  return sv::npos;
}

bool ends_sentence(sv text, size_t at) {
  if (!is_space(text[at])) return false;
  size_t last = at;
  while (last > 0 && (text[last - 1] == '"' || text[last - 1] == '\'')) --last;
  return last > 0 && sentence_end(text.substr(0, at + 4), last - 1) == at;
}

size_t place_of(sv text, const Insertion& insertion) {
  const auto at = static_cast<size_t>(insertion.depth * static_cast<double>(text.size()));
  if (insertion.depth <= 0.0) return 0;
  if (insertion.depth >= 1.0) return Layout::kEnd;
  // A paragraph's or sentence's end that is far away would bend the depths; then any word will do.
  const size_t reach = std::min<size_t>(2000, text.size() / 8);
  size_t place = sv::npos;
  if (insertion.placement == Placement::kParagraphBreak)
    place = nearest(text, at, reach, [&](size_t i) { return text.substr(i, 2) == "\n\n" && text[i - 1] != '\n'; });
  if (insertion.placement == Placement::kInline)
    place = nearest(text, at, reach, [&](size_t i) { return ends_sentence(text, i); });
  if (place != sv::npos) return place;
  return nearest(text, at, text.size(), [&](size_t i) { return is_space(text[i]) && !is_space(text[i - 1]); });
}

void write(std::string& out, const Insertion& insertion, sv text, size_t place) {
  // At the cut end of the text the sentence before is not over: there only a paragraph reads well.
  const bool at_end = place == text.size();
  const bool own =
      insertion.placement == Placement::kParagraphAnywhere || insertion.placement == Placement::kParagraphBreak || at_end;
  if (own && !out.empty()) {
    while (out.ends_with(' ')) out.pop_back();
    while (!out.ends_with("\n\n")) out += '\n';
  } else if (!out.empty() && !is_space(out.back())) {
    out += ' ';
  }
  out += insertion.text;
  if (own && !at_end) out += "\n\n";
}

/// Goes on with the text behind an insertion: exactly one kind of white space stands between them.
void resume(std::string& out, sv rest) {
  const bool paragraph = rest.starts_with("\n\n");
  size_t skip = 0;
  while (skip < rest.size() && is_space(rest[skip])) ++skip;
  if (paragraph) {
    while (!out.ends_with("\n\n")) out += '\n';
  } else if (skip < rest.size() && !is_space(out.back())) {
    out += ' ';
  }
  out += rest.substr(skip);
}

sv text_of(const RecordPlan& plan) { return plan.joined.empty() ? plan.text : sv(plan.joined); }

std::string with_prefix(const PlannedAsk& planned, const std::string& question) {
  static constexpr auto kOpeners =
      std::to_array<sv>({"What ", "Where ", "Who ", "Whom ", "When ", "Which ", "How ", "Why ", "In which "});
  const bool fits = std::any_of(kOpeners.begin(), kOpeners.end(), [&](sv opener) { return question.starts_with(opener); });
  if (planned.prefix.empty() || !fits) return question;
  return replaced(planned.prefix, "{q}", uncapitalized(question));
}

}  // namespace

std::vector<size_t> places_of(std::string_view text, const std::vector<Insertion>& insertions) {
  std::vector<size_t> places;
  places.reserve(insertions.size());
  for (const Insertion& insertion : insertions) places.push_back(place_of(text, insertion));
  return places;
}

std::string insert_all(std::string_view text, const std::vector<Insertion>& insertions, const std::vector<size_t>& places) {
  std::vector<std::pair<size_t, size_t>> order;  // place, index: equal places keep the insertions' order
  for (size_t i = 0; i < insertions.size(); ++i) order.emplace_back(std::min(places[i], text.size()), i);
  std::sort(order.begin(), order.end());
  if (order.empty()) return std::string(text);
  std::string out(text.substr(0, order[0].first));
  size_t at = order[0].first;
  for (const auto& [place, i] : order) {
    if (place > at) resume(out, text.substr(at, place - at));
    write(out, insertions[i], text, place);
    at = place;
  }
  if (at < text.size()) resume(out, text.substr(at));
  return out;
}

std::string_view cut_text(std::string_view text, int64_t bytes) {
  if (bytes >= static_cast<int64_t>(text.size())) return text;
  auto end = static_cast<size_t>(std::max<int64_t>(bytes, 0));
  while (end > 0 && !is_space(text[end])) --end;
  while (end > 0 && is_space(text[end - 1])) --end;
  return text.substr(0, end);
}

Layout lay_out(const RecordPlan& plan, int64_t bytes) {
  const sv text = cut_text(text_of(plan), bytes);
  Layout layout;
  layout.places = places_of(text, plan.insertions);
  std::vector<size_t> cuts;
  for (const size_t place : layout.places) cuts.push_back(std::min(place, text.size()));
  for (const size_t cut : cuts) layout.least = std::max(layout.least, cut == text.size() ? 0 : cut + 1);
  for (const PlannedAsk& planned : plan.asks) {
    SynthAsk ask = planned.ask;
    if (ask.kind == AskKind::kPassage) {
      Rng rng(planned.passage_seed, 0);
      auto found = ask_about_passage(text, ask.depths[0], cuts, rng);
      if (!found) continue;
      ask.question = std::move(found->pair.question);
      ask.answer = std::move(found->pair.answer);
      layout.least = std::max(layout.least, found->end + 1);
    }
    layout.shown.push_back(with_prefix(planned, ask.question) + planned.cue);
    layout.asks.push_back(std::move(ask));
  }
  return layout;
}

SynthRecord assemble(const RecordPlan& plan, const Layout& layout, int64_t bytes) {
  const sv text = cut_text(text_of(plan), std::max(bytes, static_cast<int64_t>(layout.least)));
  SynthRecord record;
  record.target = plan.target;
  record.asks = layout.asks;
  std::string first = replaced(plan.heading, "{q}", layout.asks.empty() ? sv() : sv(layout.asks[0].question));
  if (!first.empty()) first += plan.open;
  first += insert_all(text, plan.insertions, layout.places);
  if (plan.open.ends_with("\"\"\"\n") && !plan.heading.empty()) first += "\n\"\"\"";
  for (size_t i = 0; i < record.asks.size(); ++i) {
    record.messages.push_back({"user", i == 0 ? first + plan.ask + layout.shown[0] : layout.shown[i]});
    record.messages.push_back({"assistant", record.asks[i].answer});
  }
  return record;
}

}  // namespace tenfold
