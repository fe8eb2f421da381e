#include "report/chart.h"

#include "core/error.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tenfold {
namespace {

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void add(double v) {
    if (!std::isfinite(v)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  bool empty() const { return low > high; }
};

std::string number(double v) { return fmt::format("{:.1f}", v); }

std::string tick_text(double value, double step, int decimals) {
  if (std::fabs(value) >= 10000) return count_text(value);
  if (value != 0 && std::fabs(value) < 1e-3) return fmt::format("{:g}", value);
  if (decimals < 0) decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 6);
  return fmt::format("{:.{}f}", value, decimals);
}

class Plot {
 public:
  Plot(Html& html, const LineChart& chart) : html_(html), chart_(chart) {}

  void draw() {
    Range x;
    Range y;
    for (const ChartSeries& s : chart_.series) {
      for (const ChartPoint& p : s.points) {
        if (!std::isfinite(p.y)) continue;
        x.add(p.x);
        y.add(p.y);
      }
    }
    if (y.empty()) return;
    if (chart_.from_zero) y.add(0);
    y_ticks_ = nice_ticks(y.low, y.high, 4);
    y_ = {y_ticks_.front(), y_ticks_.back()};
    x_ = chart_.categories.empty() ? x : Range{-0.25, static_cast<double>(chart_.categories.size()) - 0.75};
    if (x_.high <= x_.low) x_ = {x_.low - 0.5, x_.low + 0.5};
    html_.open("svg", {{"viewBox", fmt::format("0 0 {:.0f} {:.0f}", chart_.width, chart_.height)},
                       {"class", "chart"},
                       {"role", "img"},
                       {"aria-label", chart_.title}});
    html_.element("title", chart_.title);
    axes();
    for (const ChartSeries& s : chart_.series) line(s);
    html_.close();
  }

 private:
  double px(double x) const { return left_ + (x - x_.low) / (x_.high - x_.low) * (chart_.width - left_ - right_); }
  double py(double y) const {
    return chart_.height - bottom_ - (y - y_.low) / (y_.high - y_.low) * (chart_.height - top_ - bottom_);
  }

  void label(std::string_view text, double x, double y, std::string_view style) {
    html_.element("text", text, {{"x", number(x)}, {"y", number(y)}, {"class", std::string(style)}});
  }

  void axes() {
    const double step = y_ticks_.size() > 1 ? y_ticks_[1] - y_ticks_[0] : 1;
    for (const double tick : y_ticks_) {
      html_.empty("line", {{"class", "grid"},
                           {"x1", number(left_)},
                           {"x2", number(chart_.width - right_)},
                           {"y1", number(py(tick))},
                           {"y2", number(py(tick))}});
      label(tick_text(tick, step, chart_.decimals), left_ - 8, py(tick) + 4, "tick end");
    }
    label(chart_.y_name, left_, top_ - 12, "name");
    if (chart_.categories.empty()) {
      const auto ticks = nice_ticks(x_.low, x_.high, 6);
      const double x_step = ticks.size() > 1 ? ticks[1] - ticks[0] : 1;
      for (const double tick : ticks) {
        if (tick >= x_.low - 1e-9 && tick <= x_.high + 1e-9)
          label(tick_text(tick, x_step, -1), px(tick), chart_.height - bottom_ + 18, "tick middle");
      }
    }
    for (size_t i = 0; i < chart_.categories.size(); ++i) {
      label(chart_.categories[i], px(static_cast<double>(i)), chart_.height - bottom_ + 18, "tick middle");
    }
    if (!chart_.x_name.empty()) label(chart_.x_name, chart_.width - right_, chart_.height - 4, "name end");
  }

  void line(const ChartSeries& series) {
    std::string path;
    bool pen_down = false;
    for (const ChartPoint& p : series.points) {
      if (!std::isfinite(p.y)) {
        pen_down = false;
        continue;
      }
      path += fmt::format("{}{:.1f} {:.1f}", pen_down ? 'L' : 'M', px(p.x), py(p.y));
      pen_down = true;
    }
    if (path.empty()) return;
    html_.empty("path", {{"class", series.style}, {"d", path}});
    for (const ChartPoint& p : series.points) {
      if (!std::isfinite(p.y) || p.title.empty()) continue;
      html_.open("circle", {{"class", series.style + " dot"}, {"cx", number(px(p.x))}, {"cy", number(py(p.y))}, {"r", "4.5"}});
      html_.element("title", p.title).close();
    }
  }

  Html& html_;
  const LineChart& chart_;
  Range x_;
  Range y_;
  std::vector<double> y_ticks_;
  double left_ = 58;
  double right_ = 12;
  double top_ = 30;
  double bottom_ = 40;
};

}  // namespace

void draw_chart(Html& html, const LineChart& chart) { Plot(html, chart).draw(); }

std::vector<double> nice_ticks(double low, double high, int count) {
  if (!(high > low)) high = low + std::max(std::fabs(low) * 0.1, 1e-12);
  const double raw = (high - low) / count;
  const double magnitude = std::pow(10.0, std::floor(std::log10(raw)));
  const double share = raw / magnitude;
  const double step = magnitude * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
  const auto first = std::floor(low / step + 1e-9);
  const auto last = std::ceil(high / step - 1e-9);
  std::vector<double> ticks;
  for (double i = first; i <= last + 0.5; ++i) ticks.push_back(i * step);
  return ticks;
}

}  // namespace tenfold
