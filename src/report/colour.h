#pragma once

#include <string>

namespace tenfold {

struct Colour {
  double red = 0;  ///< 0 to 1
  double green = 0;
  double blue = 0;
};

/// The published heat map's colours: linear between #F0496E (0), #EBB839 (0.5) and #0CD79F (1), in 256 steps. Clamped; NaN gives
/// grey.
Colour heat_colour(double share);
/// "#rrggbb".
std::string hex(const Colour& colour);
/// Whether black or white text reads better on it (WCAG relative luminance).
bool wants_dark_text(const Colour& colour);

}  // namespace tenfold
