// The training curve, speed and memory of one run.
#include "report/chart.h"
#include "report/sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace tenfold {
namespace {

using Field = double TrainPoint::*;

double last_finite(const std::vector<TrainPoint>& points, Field field) {
  for (auto it = points.rbegin(); it != points.rend(); ++it) {
    if (std::isfinite((*it).*field)) return (*it).*field;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

double sum(const std::vector<TrainPoint>& points, Field field) {
  double total = 0;
  for (const TrainPoint& p : points) {
    if (std::isfinite(p.*field)) total += p.*field;
  }
  return total;
}

double highest(const std::vector<TrainPoint>& points, Field field) {
  double most = std::numeric_limits<double>::quiet_NaN();
  for (const TrainPoint& p : points) {
    if (std::isfinite(p.*field) && !(p.*field <= most)) most = p.*field;
  }
  return most;
}

/// A mean over neighbouring steps, the nearer the heavier; centred, so that it does not lag.
std::vector<ChartPoint> smoothed(const std::vector<TrainPoint>& points, Field field) {
  const auto n = std::ssize(points);
  const ptrdiff_t reach = std::max<ptrdiff_t>(2, n / 12);
  std::vector<ChartPoint> out;
  for (ptrdiff_t i = 0; i < n; ++i) {
    double sum = 0;
    double weights = 0;
    for (ptrdiff_t j = std::max<ptrdiff_t>(0, i - reach); j <= std::min(n - 1, i + reach); ++j) {
      const double value = points[static_cast<size_t>(j)].*field;
      const double weight = 1 - std::fabs(static_cast<double>(i - j)) / static_cast<double>(reach + 1);
      if (!std::isfinite(value)) continue;
      sum += weight * value;
      weights += weight;
    }
    if (weights > 0) out.push_back({points[static_cast<size_t>(i)].step, sum / weights, ""});
  }
  return out;
}

/// At most kMostPoints, each the mean of a run of steps: more would only make the page heavy.
std::vector<TrainPoint> thinned(const std::vector<TrainPoint>& points) {
  constexpr size_t kMostPoints = 800;
  if (points.size() <= kMostPoints) return points;
  static constexpr Field kFields[] = {&TrainPoint::loss,          &TrainPoint::answer_loss, &TrainPoint::lm_loss,
                                      &TrainPoint::learning_rate, &TrainPoint::grad_norm,   &TrainPoint::tokens,
                                      &TrainPoint::seconds,       &TrainPoint::distill_loss};
  std::vector<TrainPoint> out;
  for (size_t i = 0; i < kMostPoints; ++i) {
    const size_t begin = i * points.size() / kMostPoints;
    const size_t end = (i + 1) * points.size() / kMostPoints;
    TrainPoint mean = points[end - 1];
    for (const Field field : kFields) {
      double total = 0;
      double count = 0;
      for (size_t j = begin; j < end; ++j) {
        if (std::isfinite(points[j].*field)) total += points[j].*field, count += 1;
      }
      mean.*field = count > 0 ? total / count : std::numeric_limits<double>::quiet_NaN();
    }
    out.push_back(mean);
  }
  return out;
}

std::vector<ChartPoint> raw(const std::vector<TrainPoint>& points, Field field) {
  std::vector<ChartPoint> out;
  for (const TrainPoint& p : points) out.push_back({p.step, p.*field, ""});
  return out;
}

void loss_chart(Html& html, const std::vector<TrainPoint>& points) {
  LineChart chart;
  chart.title = "Training loss by step";
  chart.y_name = "loss";
  chart.x_name = "step";
  chart.series.push_back({"each step", "line-faint", raw(points, &TrainPoint::loss)});
  chart.series.push_back({"smoothed", "line-b", smoothed(points, &TrainPoint::loss)});
  html.open("div", {{"class", "keys"}});
  html.element("span", "smoothed", {{"class", "run-b"}}).element("span", "each step", {{"class", "faint"}});
  const double lm = highest(points, &TrainPoint::lm_loss);
  const bool parts = std::isfinite(lm) && lm > 0;
  if (parts) {
    chart.series.push_back({"answers", "line-c", smoothed(points, &TrainPoint::answer_loss)});
    chart.series.push_back({"text", "line-d", smoothed(points, &TrainPoint::lm_loss)});
    html.element("span", "of answers", {{"class", "run-c"}}).element("span", "of text", {{"class", "run-d"}});
  }
  html.close();
  draw_chart(html, chart);
}

/// Held needles found at each check, in all and at the longest and shortest length.
void held_chart(Html& html, const std::vector<HeldPoint>& held) {
  if (held.empty()) return;
  LineChart chart;
  chart.title = "Held needles found by step";
  chart.y_name = "share found";
  chart.x_name = "step";
  chart.height = 200;
  chart.from_zero = true;
  ChartSeries all{"all", "line-b", {}};
  ChartSeries shortest{"shortest", "line-c", {}};
  ChartSeries longest{"longest", "line-d", {}};
  for (const HeldPoint& p : held) {
    const auto step = static_cast<double>(p.step);
    all.points.push_back({step, static_cast<double>(p.hits) / static_cast<double>(p.total),
                          fmt::format("step {}: {} of {}", p.step, p.hits, p.total)});
    if (p.by_length.size() < 2) continue;
    for (auto [series, row] : {std::pair(&shortest, p.by_length.front()), std::pair(&longest, p.by_length.back())})
      series->points.push_back(
          {step, row.second, fmt::format("step {}, {}: {:.0f} %", p.step, length_text(row.first), 100 * row.second)});
  }
  const auto best = std::find_if(held.rbegin(), held.rend(), [](const HeldPoint& p) { return p.best; });
  html.element("h3", "Held needles");
  html.element("p",
               fmt::format("Needles that are neither trained on nor evaluated elsewhere, looked for on the way. {}",
                           best == held.rend() ? std::string()
                                               : fmt::format("The adapter kept is that of step {}: {} of {}.", best->step,
                                                             best->hits, best->total)),
               {{"class", "note"}});
  html.open("div", {{"class", "keys"}}).element("span", "all", {{"class", "run-b"}});
  chart.series.push_back(std::move(all));
  if (!shortest.points.empty()) {
    html.element("span", length_text(held.front().by_length.front().first), {{"class", "run-c"}});
    html.element("span", length_text(held.front().by_length.back().first), {{"class", "run-d"}});
    chart.series.push_back(std::move(shortest));
    chart.series.push_back(std::move(longest));
  }
  html.close();
  draw_chart(html, chart);
}

/// The loss on held text at each check, at the first positions, the last, and all.
void held_loss_chart(Html& html, const std::vector<HeldLoss>& held) {
  if (held.empty()) return;
  LineChart chart;
  chart.title = "Held text: loss by step";
  chart.y_name = "nats per token";
  chart.x_name = "step";
  chart.height = 200;
  ChartSeries all{"all", "line-b", {}};
  ChartSeries first{"first", "line-c", {}};
  ChartSeries last{"last", "line-d", {}};
  for (const HeldLoss& p : held) {
    const auto step = static_cast<double>(p.step);
    all.points.push_back({step, p.nll, fmt::format("step {}: {:.4f}", p.step, p.nll)});
    if (p.by_position.size() < 2) continue;
    for (auto [series, row] : {std::pair(&first, p.by_position.front()), std::pair(&last, p.by_position.back())})
      series->points.push_back(
          {step, row.second, fmt::format("step {}, positions {}: {:.4f}", p.step, range_text(row.first), row.second)});
  }
  html.element("h3", "Held text");
  html.element("p", "The loss on text that is not trained on, by position, measured on the way.", {{"class", "note"}});
  html.open("div", {{"class", "keys"}}).element("span", "all positions", {{"class", "run-b"}});
  chart.series.push_back(std::move(all));
  if (!first.points.empty()) {
    html.element("span", range_text(held.front().by_position.front().first), {{"class", "run-c"}});
    html.element("span", range_text(held.front().by_position.back().first), {{"class", "run-d"}});
    chart.series.push_back(std::move(first));
    chart.series.push_back(std::move(last));
  }
  html.close();
  draw_chart(html, chart);
}

void small_charts(Html& html, const std::vector<TrainPoint>& points) {
  html.open("div", {{"class", "charts"}});
  const auto draw = [&](const std::string& name, std::vector<ChartPoint> values, bool from_zero) {
    LineChart chart;
    chart.title = name + " by step";
    chart.y_name = name;
    chart.width = 440;
    chart.height = 180;
    chart.from_zero = from_zero;
    chart.series.push_back({name, "line-b", std::move(values)});
    draw_chart(html, chart);
  };
  draw("learning rate", raw(points, &TrainPoint::learning_rate), true);
  std::vector<ChartPoint> speed;
  for (const TrainPoint& p : points) speed.push_back({p.step, p.seconds > 0 ? p.tokens / p.seconds : std::nan(""), ""});
  draw("tokens per second", std::move(speed), true);
  if (const double most = highest(points, &TrainPoint::distill_loss); std::isfinite(most) && most > 0)
    draw("KL to the base", smoothed(points, &TrainPoint::distill_loss), true);
  draw("gradient norm", raw(points, &TrainPoint::grad_norm), true);
  draw("tokens in the step", raw(points, &TrainPoint::tokens), true);
  html.close();
}

}  // namespace

void write_training_section(Html& html, const RunData& run) {
  if (run.train.empty()) return;
  const auto points = thinned(run.train);
  const double tokens = sum(run.train, &TrainPoint::tokens);
  const double seconds = sum(run.train, &TrainPoint::seconds);
  html.open("section").element("h2", "Training");
  html.open("p", {{"class", "note"}}).text("Run ").element("strong", run.label).text(".").close();
  html.open("div", {{"class", "tiles"}});
  write_tile(html, "Steps", count_text(static_cast<double>(run.train.size())));
  write_tile(html, "Tokens", count_text(tokens));
  write_tile(html, "Time", seconds_text(seconds), "in steps, without loading");
  write_tile(html, "Speed", count_text(seconds > 0 ? tokens / seconds : std::nan("")), "tokens per second");
  const auto means = smoothed(points, &TrainPoint::loss);
  if (!means.empty())
    write_tile(html, "Loss", fmt::format("{:.3f}", means.back().y),
               fmt::format("mean of the last steps; the last {:.3f}", last_finite(run.train, &TrainPoint::loss)));
  html.close();
  loss_chart(html, points);
  held_chart(html, run.held);
  held_loss_chart(html, run.held_loss);
  small_charts(html, points);
  html.close();
}

void write_memory_section(Html& html, const RunData& run) {
  const double peak = highest(run.train, &TrainPoint::peak_bytes);
  double planned = 0;
  double largest = 0;
  for (const PlannedBytes& row : run.planned) planned += row.bytes, largest = std::max(largest, row.bytes);
  if (run.planned.empty()) {
    const std::string fact = run.fact("planned bytes ");
    planned = fact.empty() ? std::nan("") : std::strtod(fact.c_str(), nullptr);
  }
  if (!std::isfinite(peak) && !std::isfinite(planned)) return;
  html.open("section").element("h2", "Memory: the plan and the truth");
  html.open("div", {{"class", "tiles"}});
  write_tile(html, "Planned before the run", size_text(planned));
  write_tile(html, "Peak of the process", size_text(peak), "program, libraries and mapped weights included");
  if (planned > 0 && std::isfinite(peak)) write_tile(html, "Peak / plan", fmt::format("{:.2f}", peak / planned));
  html.close();
  if (!run.planned.empty()) {
    html.element("h3", "Buffers");
    html.open("div", {{"class", "scroll"}}).open("table").open("thead").open("tr");
    html.element("th", "Buffer").element("th", "For").element("th", "Bytes", {{"class", "num"}}).close().close().open("tbody");
    for (const PlannedBytes& row : run.planned) {
      html.open("tr").element("th", row.name, {{"scope", "row"}}).element("td", row.use).open("td", {{"class", "num"}});
      html.text(size_text(row.bytes)).open("span", {{"class", "bar run-b"}, {"aria-hidden", "true"}});
      html.element(
          "span", "",
          {{"style", fmt::format("width:{:.0f}%", largest > 0 ? std::clamp(100 * row.bytes / largest, 0.0, 100.0) : 0.0)}});
      html.close().close().close();
    }
    html.close().close().close();
  }
  html.close();
}

}  // namespace tenfold
