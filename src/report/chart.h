#pragma once

#include "report/html.h"

#include <string>
#include <vector>

namespace tenfold {

struct ChartPoint {
  double x = 0;
  double y = 0;       ///< NaN breaks the line
  std::string title;  ///< shown when the pointer rests on it; empty: no mark is drawn
};

/// One line; `style` is a class of the page's style sheet (line-a, line-b, line-faint ...).
struct ChartSeries {
  std::string name;
  std::string style;
  std::vector<ChartPoint> points;
};

struct LineChart {
  std::string title;  ///< for those who do not see it
  std::string y_name;
  std::string x_name;
  std::vector<ChartSeries> series;
  std::vector<std::string> categories;  ///< names of x = 0, 1, 2 ...; empty: a number axis
  double height = 260;
  double width = 912;  ///< units are pixels where the page is at its widest
  bool from_zero = false;
  int decimals = -1;  ///< of y labels; -1: from the step
};

/// Writes the chart as inline SVG (nothing when no series has a finite point).
void draw_chart(Html& html, const LineChart& chart);

/// Round values that cover [low, high] in about `count` steps.
std::vector<double> nice_ticks(double low, double high, int count);

}  // namespace tenfold
