// Needle and pass key: hits by length, heat maps side by side, every answer.
#include "report/colour.h"
#include "report/sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace tenfold {
namespace {

constexpr std::string_view kYes = "\xE2\x9C\x93";   // check mark
constexpr std::string_view kNo = "\xE2\x9C\x97";    // ballot x
constexpr std::string_view kDash = "\xE2\x80\x93";  // en dash
constexpr std::string_view kDots = "\xE2\x80\xA6";  // ellipsis
constexpr size_t kManyColumns = 10;

/// Lengths or depths of all the runs, sorted.
std::vector<int64_t> merged(const std::vector<ComparedEval>& compared, std::vector<int64_t> EvalData::*values) {
  std::vector<int64_t> all;
  for (const ComparedEval& c : compared) all.insert(all.end(), (c.eval->*values).begin(), (c.eval->*values).end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

/// The beginning of a text, cut between characters.
std::string shortened(const std::string& text, size_t most) {
  if (text.size() <= most) return text;
  size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) --end;
  return text.substr(0, end) + std::string(kDots);
}

void share_cell(Html& html, const std::string& style, int64_t hits, int64_t cells) {
  html.open("td", {{"class", "num"}});
  if (cells == 0) {
    html.text(kDash).close();
    return;
  }
  html.text(fmt::format("{} of {}", hits, cells));
  html.open("span", {{"class", "bar " + style}, {"aria-hidden", "true"}});
  html.element("span", "",
               {{"style", fmt::format("width:{:.0f}%", 100.0 * static_cast<double>(hits) / static_cast<double>(cells))}});
  html.close().close();
}

void by_length_table(Html& html, const Runs& runs, const std::vector<ComparedEval>& compared) {
  html.open("div", {{"class", "scroll"}}).open("table").open("thead").open("tr");
  html.element("th", "Prompt tokens", {{"class", "num"}});
  for (const ComparedEval& c : compared) html.element("th", c.run->label, {{"class", "num"}});
  html.close().close().open("tbody");
  for (const int64_t length : merged(compared, &EvalData::lengths)) {
    html.open("tr").element("th", length_text(length), {{"class", "num"}, {"scope", "row"}});
    for (const ComparedEval& c : compared) share_cell(html, run_class(runs, *c.run), c.eval->hits(length), c.eval->cells(length));
    html.close();
  }
  html.close().open("tfoot").open("tr").element("th", "All", {{"class", "num"}, {"scope", "row"}});
  for (const ComparedEval& c : compared) {
    share_cell(html, run_class(runs, *c.run), c.eval->hits(), static_cast<int64_t>(c.eval->answers.size()));
  }
  html.close().close().close().close();
}

void heat_cell(Html& html, const GridAnswer* answer, int64_t length, int64_t depth) {
  if (answer == nullptr) {
    html.element("td", kDash, {{"class", "open"}, {"title", "not asked yet"}});
    return;
  }
  const Colour colour = heat_colour(answer->score);
  const std::string spoken = fmt::format("{} tokens, depth {} %: {}, {:.2f}. Answer: {}", length_text(length), depth,
                                         answer->hit ? "found" : "not found", answer->score, shortened(answer->output, 300));
  html.open("td", {{"style", fmt::format("background:{};color:{}", hex(colour), wants_dark_text(colour) ? "#16140f" : "#fff")},
                   {"title", spoken}});
  html.text(fmt::format("{:.2f}", answer->score));
  html.element("span", answer->hit ? kYes : kNo, {{"class", "mark"}});
  html.close();
}

/// Wilson's interval as the evaluation wrote it: ", 43 to 82 %".
std::string interval_text(const EvalData& eval) {
  const auto found = eval.metrics.find("hit_rate_interval");
  if (found == eval.metrics.end() || !found->is_array() || found->size() != 2) return "";
  if (!(*found)[0].is_number() || !(*found)[1].is_number()) return "";
  return fmt::format(" ({:.0f}\xE2\x80\x93{:.0f} %)", 100 * (*found)[0].get<double>(), 100 * (*found)[1].get<double>());
}

/// What a judge made of the answers: ", graded 7.4 of 10 over 20 answers"; nothing where none was asked.
std::string judge_text(const EvalData& eval) {
  const auto mean = eval.metrics.find("gpt_mean");
  const auto judge = eval.metrics.find("judge");
  if (mean == eval.metrics.end() || !mean->is_number() || judge == eval.metrics.end() || !judge->is_object()) return "";
  const auto graded = judge->find("graded");
  if (graded == judge->end() || !graded->is_number_integer()) return "";
  return fmt::format(", graded {:.1f} of 10 over {} answers", mean->get<double>(), graded->get<int64_t>());
}

void heat_map(Html& html, const ComparedEval& c, const std::vector<int64_t>& lengths, const std::vector<int64_t>& depths,
              const std::string& style) {
  html.open("figure").open("figcaption");
  html.element("strong", c.run->label, {{"class", style}});
  html.element(
      "span",
      fmt::format("{} of {} found{}{}", c.eval->hits(), c.eval->answers.size(), interval_text(*c.eval), judge_text(*c.eval)),
      {{"class", "score"}});
  html.close();
  html.open("table", {{"class", lengths.size() > kManyColumns ? "heat many" : "heat"}});
  html.element("caption", "prompt tokens \xC3\x97 depth");
  html.open("colgroup").empty("col", {{"class", "depth"}}).empty("col", {{"span", std::to_string(lengths.size())}}).close();
  html.open("thead").open("tr").element("th", "");
  for (const int64_t length : lengths) html.element("th", length_text(length), {{"scope", "col"}});
  html.close().close().open("tbody");
  for (const int64_t depth : depths) {
    html.open("tr").element("th", fmt::format("{} %", depth), {{"scope", "row"}});
    for (const int64_t length : lengths) heat_cell(html, c.eval->find(length, depth), length, depth);
    html.close();
  }
  html.close().close().close();
}

std::string question_text(const EvalData& eval, const char* key) {
  const auto wording = eval.config.find("wording");
  if (wording == eval.config.end() || !wording->is_object()) return "";
  const auto found = wording->find(key);
  if (found == wording->end() || !found->is_string()) return "";
  std::string text = found->get<std::string>();
  const auto is_space = [](char ch) { return ch == ' ' || ch == '\n' || ch == '\t' || ch == '\r'; };
  while (!text.empty() && is_space(text.front())) text.erase(0, 1);
  while (!text.empty() && is_space(text.back())) text.pop_back();
  return text;
}

/// Whether the needle stands between line breaks, which the published metric takes for a word.
bool has_line_breaks(const EvalData& eval) {
  const auto wording = eval.config.find("wording");
  if (wording == eval.config.end() || !wording->is_object()) return false;
  const auto needle = wording->find("needle");
  return needle != wording->end() && needle->is_string() && needle->get_ref<const std::string&>().ends_with(".\n\n");
}

/// What was hidden and asked, in the words that were used.
void explain(Html& html, const EvalData& eval) {
  const bool needle = eval.kind == "needle";
  const std::string hidden = question_text(eval, needle ? "needle" : "information");
  const std::string asked = question_text(eval, "question");
  html.open("p", {{"class", "note"}});
  if (!hidden.empty()) {
    html.text(needle ? "One sentence is hidden in the text: \xE2\x80\x9C" : "One number is hidden in the lines: \xE2\x80\x9C");
    html.element("em", hidden).text("\xE2\x80\x9D ");
  }
  if (!asked.empty()) html.text("Then: \xE2\x80\x9C").element("em", asked).text("\xE2\x80\x9D ");
  const std::string answer = question_text(eval, "answer");
  if (needle) {
    html.text(fmt::format(
        "{} marks answers that hold \xE2\x80\x9C{}\xE2\x80\x9D; the number is rouge-l against the whole sentence", kYes, answer));
    if (has_line_breaks(eval)) html.text(", where 0.97 is a perfect answer");
    html.text(".");
  } else {
    html.text(
        fmt::format("{} marks answers that hold the number; the value compares the first number of the answer with it.", kYes));
  }
  html.close();
}

void cost_line(Html& html, const std::vector<ComparedEval>& compared) {
  for (const ComparedEval& c : compared) {
    const auto timing = c.eval->metrics.find("timing");
    const auto tokens = c.eval->metrics.find("prompt_tokens");
    if (timing == c.eval->metrics.end() || !timing->is_object() || tokens == c.eval->metrics.end() || !tokens->is_object())
      continue;
    const auto number = [](const Json& object, const char* key) {
      const auto found = object.find(key);
      return found != object.end() && found->is_number() ? found->get<double>() : std::nan("");
    };
    const double seconds = number(*timing, "prefill_seconds") + number(*timing, "decode_seconds");
    html.element(
        "p",
        fmt::format(
            "{}: {} prompt tokens in {} ({} of them reused from the prompt before); prefill {} tokens/s, answers {} tokens/s.",
            c.run->label, count_text(number(*tokens, "sum")), seconds_text(seconds), count_text(number(*timing, "reused_tokens")),
            count_text(number(*timing, "prefill_tokens_per_second")), count_text(number(*timing, "decode_tokens_per_second"))),
        {{"class", "note"}});
  }
}

}  // namespace

void write_grid_section(Html& html, const Runs& runs, const std::string& name) {
  const auto compared = compare(runs, name);
  if (compared.empty()) return;
  html.open("section");
  html.element("h2", eval_title(*compared.front().eval));
  explain(html, *compared.front().eval);
  const auto lengths = merged(compared, &EvalData::lengths);
  const auto depths = merged(compared, &EvalData::depths);
  html.open("div", {{"class", "maps"}});
  for (const ComparedEval& c : compared) heat_map(html, c, lengths, depths, run_class(runs, *c.run));
  html.close();
  html.open("div", {{"class", "legend"}});
  html.element("span", "0").element("span", "", {{"class", "ramp"}, {"aria-hidden", "true"}}).element("span", "1");
  html.element("span", fmt::format("{} found", kYes)).element("span", fmt::format("{} not found", kNo));
  html.element("span", "in brackets: Wilson\xE2\x80\x99s interval at 95 %");
  html.close();
  html.element("h3", "Found, by length");
  by_length_table(html, runs, compared);
  cost_line(html, compared);
  html.close();
}

void write_more_grids_section(Html& html, const Runs& runs, const std::vector<std::string>& names) {
  if (names.empty()) return;
  struct Sum {
    int64_t hits = 0;
    int64_t cells = 0;
  };
  std::map<int64_t, std::vector<Sum>> by_length;
  std::vector<Sum> all(runs.size());
  html.open("section").element("h2", "Other needles");
  html.element("p", "The same test in other words, so that nobody can have learnt the answer by heart.", {{"class", "note"}});
  html.open("div", {{"class", "scroll"}}).open("table").open("thead").open("tr").element("th", "Hidden, and asked");
  for (const RunData& run : runs) html.element("th", run.label, {{"class", "num"}});
  html.close().close().open("tbody");
  for (const std::string& name : names) {
    const auto compared = compare(runs, name);
    const EvalData& first = *compared.front().eval;
    html.open("tr").open("th", {{"scope", "row"}, {"class", "asked"}});
    html.text(question_text(first, first.kind == "needle" ? "needle" : "information")).empty("br");
    html.element("em", question_text(first, "question")).close();
    for (size_t i = 0; i < runs.size(); ++i) {
      const auto found = std::find_if(compared.begin(), compared.end(), [&](const ComparedEval& c) { return c.run == &runs[i]; });
      if (found == compared.end()) {
        share_cell(html, "", 0, 0);
        continue;
      }
      const EvalData& eval = *found->eval;
      share_cell(html, run_class(runs, runs[i]), eval.hits(), std::ssize(eval.answers));
      all[i].hits += eval.hits(), all[i].cells += std::ssize(eval.answers);
      for (const int64_t length : eval.lengths) {
        auto& row = by_length.try_emplace(length, runs.size()).first->second;
        row[i].hits += eval.hits(length), row[i].cells += eval.cells(length);
      }
    }
    html.close();
  }
  html.close().open("tfoot");
  const auto sums = [&](const std::string& title, const std::vector<Sum>& row) {
    html.open("tr").element("th", title, {{"scope", "row"}});
    for (size_t i = 0; i < runs.size(); ++i) share_cell(html, run_class(runs, runs[i]), row[i].hits, row[i].cells);
    html.close();
  };
  for (const auto& [length, row] : by_length) sums("at " + length_text(length) + " tokens", row);
  sums("All", all);
  html.close().close().close().close();
}

void write_answers_section(Html& html, const Runs& runs, const std::string& name) {
  const auto compared = compare(runs, name);
  if (compared.empty()) return;
  size_t answers = 0;
  for (const ComparedEval& c : compared) answers += c.eval->answers.size();
  html.open("details", {{"class", "answers"}});
  html.element("summary", fmt::format("{}: {} answers", eval_title(*compared.front().eval), answers));
  html.open("div", {{"class", "scroll"}}).open("table").open("thead").open("tr");
  html.element("th", "Tokens", {{"class", "num"}}).element("th", "Depth", {{"class", "num"}});
  if (compared.front().eval->kind == "passkey") html.element("th", "Key", {{"class", "num"}});
  for (const ComparedEval& c : compared) html.element("th", "").element("th", c.run->label);
  html.close().close().open("tbody");
  for (const int64_t length : merged(compared, &EvalData::lengths)) {
    for (const int64_t depth : merged(compared, &EvalData::depths)) {
      html.open("tr")
          .element("td", length_text(length), {{"class", "num"}})
          .element("td", fmt::format("{} %", depth), {{"class", "num"}});
      if (compared.front().eval->kind == "passkey") {
        const GridAnswer* const first = compared.front().eval->find(length, depth);
        html.element("td", first == nullptr ? kDash : std::string_view(first->target), {{"class", "num"}});
      }
      for (const ComparedEval& c : compared) {
        const GridAnswer* const a = c.eval->find(length, depth);
        html.element("td", a == nullptr ? kDash : a->hit ? kYes : kNo, {{"class", a != nullptr && a->hit ? "yes" : "no"}});
        html.element("td", a == nullptr ? "not asked yet" : shortened(a->output, 4000), {{"class", "said"}});
      }
      html.close();
    }
  }
  html.close().close().close().close();
}

}  // namespace tenfold
