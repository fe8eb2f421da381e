// Loss by position, before and after.
#include "report/chart.h"
#include "report/sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace tenfold {
namespace {

/// Every bucket that a run has, by its first position.
std::map<int64_t, std::string> all_buckets(const std::vector<ComparedEval>& compared) {
  std::map<int64_t, std::string> buckets;
  for (const ComparedEval& c : compared) {
    for (const BucketLoss& b : c.eval->by_position) buckets.emplace(b.begin, b.positions);
  }
  return buckets;
}

const BucketLoss* bucket_at(const EvalData& eval, int64_t begin) {
  for (const BucketLoss& b : eval.by_position) {
    if (b.begin == begin) return &b;
  }
  return nullptr;
}

/// "+0.030" or, with a true minus sign, "\u22120.030".
std::string signed_text(double value) { return fmt::format("{}{:.3f}", value < 0 ? "\xE2\x88\x92" : "+", std::fabs(value)); }

void loss_table(Html& html, const std::vector<ComparedEval>& compared, const std::map<int64_t, std::string>& buckets) {
  const bool pair = compared.size() >= 2;
  html.open("div", {{"class", "scroll"}}).open("table").open("thead").open("tr").element("th", "Positions");
  html.element("th", "Tokens", {{"class", "num"}});
  for (const ComparedEval& c : compared) html.element("th", c.run->label, {{"class", "num"}});
  if (pair) html.element("th", "Change", {{"class", "num"}});
  html.close().close().open("tbody");
  for (const auto& [begin, name] : buckets) {
    const BucketLoss* const first = bucket_at(*compared.front().eval, begin);
    const BucketLoss* const last = bucket_at(*compared.back().eval, begin);
    html.open("tr").element("th", range_text(name), {{"scope", "row"}});
    const BucketLoss* const any = first != nullptr ? first : last;
    html.element("td", count_text(any == nullptr ? std::nan("") : static_cast<double>(any->tokens)), {{"class", "num"}});
    for (const ComparedEval& c : compared) {
      const BucketLoss* const b = bucket_at(*c.eval, begin);
      html.element("td", b == nullptr ? "\xE2\x80\x93" : fmt::format("{:.3f}", b->nll), {{"class", "num"}});
    }
    if (pair)
      html.element("td", first == nullptr || last == nullptr ? "\xE2\x80\x93" : signed_text(last->nll - first->nll),
                   {{"class", "num"}});
    html.close();
  }
  html.close().close().close();
}

/// Losses on the same target tokens with much and with little before them, where the evaluation has such pairs.
void paired_table(Html& html, const std::vector<ComparedEval>& compared) {
  const auto has = [](const ComparedEval& c) { return c.eval->paired.has_value(); };
  const auto any = std::find_if(compared.begin(), compared.end(), has);
  if (any == compared.end()) return;
  html.element(
      "p",
      fmt::format(
          "The same target tokens at positions {}: with much before them, and with little. Below zero, the model gains by "
          "what lies further back.",
          any->eval->paired->positions),
      {{"class", "note"}});
  html.open("div", {{"class", "scroll"}}).open("table").open("thead").open("tr").element("th", "Run");
  for (const char* column : {"Windows", "Much before", "Little before", "Difference", "95 % interval"})
    html.element("th", column, {{"class", "num"}});
  html.close().close().open("tbody");
  for (const ComparedEval& c : compared) {
    if (!has(c)) continue;
    const PairedLosses& p = *c.eval->paired;
    html.open("tr").element("th", c.run->label, {{"scope", "row"}});
    html.element("td", count_text(static_cast<double>(p.windows)), {{"class", "num"}});
    html.element("td", fmt::format("{:.3f}", p.far_nll), {{"class", "num"}});
    html.element("td", fmt::format("{:.3f}", p.near_nll), {{"class", "num"}});
    html.element("td", signed_text(p.difference), {{"class", "num"}});
    html.element("td",
                 p.low > p.high ? std::string("\xE2\x80\x93") : fmt::format("{} to {}", signed_text(p.low), signed_text(p.high)),
                 {{"class", "num"}});
    html.close();
  }
  html.close().close().close();
}

}  // namespace

void write_loss_section(Html& html, const Runs& runs, const std::string& name) {
  std::vector<ComparedEval> compared;
  for (const ComparedEval& c : compare(runs, name)) {
    if (!c.eval->by_position.empty()) compared.push_back(c);
  }
  if (compared.empty()) return;
  const auto buckets = all_buckets(compared);
  LineChart chart;
  chart.title = "Mean loss by position in the window";
  chart.y_name = "mean negative log-likelihood (nats per token)";
  chart.x_name = "position in the window";
  chart.height = 280;
  for (const auto& [begin, positions] : buckets) chart.categories.push_back(range_text(positions));
  for (const ComparedEval& c : compared) {
    ChartSeries series;
    series.name = c.run->label;
    series.style = "line-" + run_class(runs, *c.run).substr(4);
    double x = 0;
    for (const auto& [begin, positions] : buckets) {
      const BucketLoss* const b = bucket_at(*c.eval, begin);
      if (b != nullptr)
        series.points.push_back(
            {x, b->nll, fmt::format("{}, positions {}: {:.4f}", c.run->label, range_text(positions), b->nll)});
      x += 1;
    }
    chart.series.push_back(std::move(series));
  }
  html.open("section").element("h2", "Loss by position");
  html.element("p",
               "The same windows of text for every run. A model that reads its context keeps its loss level, or falling, as "
               "positions grow; "
               "beyond what it was made for, the loss climbs.",
               {{"class", "note"}});
  html.open("div", {{"class", "keys"}});
  for (const ComparedEval& c : compared) html.element("span", c.run->label, {{"class", run_class(runs, *c.run)}});
  html.close();
  draw_chart(html, chart);
  loss_table(html, compared, buckets);
  paired_table(html, compared);
  html.close();
}

}  // namespace tenfold
