#pragma once

#include <string>
#include <vector>

namespace tenfold {

/// A grid of scores to draw: columns are lengths, rows depths.
struct HeatMap {
  std::string title;
  std::string metric;  ///< what the colour bar is called
  std::string x_label = "Token Limit";
  std::string y_label = "Depth Percent";
  std::vector<std::string> columns;
  std::vector<std::string> rows;
  std::vector<std::vector<double>> values;  ///< [row][column]; NaN: not answered
  double low = 0;
  double high = 1;
  bool write_values = false;  ///< each value in its cell; the published figure has none
};

/// Draws the map on 17.5 x 8 inches, once for each of PATH.pdf, PATH.svg and PATH.png (100 dots per inch), each written
/// atomically. Returns the three paths. IoError when one cannot be written.
std::vector<std::string> write_heat_map(const std::string& path_without_extension, const HeatMap& map);

/// The heat maps of an evaluation's directory (config.json, answers.jsonl): rouge and found for a needle, accuracy and fuzz for a
/// pass key, as rouge.{pdf,svg,png} ... beside them. Returns the paths written. InputError when the files are not what an
/// evaluation writes.
std::vector<std::string> write_grid_figures(const std::string& directory);

}  // namespace tenfold
