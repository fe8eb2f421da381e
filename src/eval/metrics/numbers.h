#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace tenfold {

/// Python's round(x, digits): half to even on the exact value of the double, correctly rounded decimal. 0 <= digits <= 20.
double python_round(double x, int digits);
/// Python's round(x) to an integer, half to even. |x| < 2^62.
int64_t python_round(double x);
/// Python's repr of a float: the shortest text that reads back the same ("1.0", "0.97", "1e-05", "nan").
std::string python_repr(double x);

struct Interval {
  double low = 0;
  double high = 1;
};

/// Wilson's score interval at 95 % for `hits` of `total` (Wilson 1927); [0, 1] when total is 0.
Interval wilson_interval(int64_t hits, int64_t total);

/// The two-sided 95 % point of Student's t distribution with so many degrees of freedom (1 or more), to 1e-9.
double student_t_95(int64_t degrees);
struct MeanInterval {
  double mean = 0;
  std::optional<Interval> interval;  ///< at 95 %; a single value has none
};
/// Mean of values drawn independently, and Student's interval around it. TENFOLD_CHECK that there are any.
MeanInterval mean_interval(std::span<const double> values);

}  // namespace tenfold
