#include "report/heat_map.h"

#include "core/error.h"
#include "format/atomic_file.h"
#include "report/colour.h"
#include "report/run_data.h"

#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <cairo.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <numbers>
#include <string_view>
#include <utility>

namespace tenfold {
namespace {

constexpr double kInch = 72;  // points
constexpr double kWidth = 17.5 * kInch;
constexpr double kHeight = 8 * kInch;
constexpr double kPixelsPerInch = 100;

/// A machine that never draws (a GPU node with a bundle) may have no fonts: there Cairo's own strokes, instead of fontconfig's
/// complaint.
const char* font_family() {
  std::error_code error;
  const bool has_fonts = std::getenv("FONTCONFIG_FILE") != nullptr || std::getenv("FONTCONFIG_PATH") != nullptr ||
                         std::filesystem::exists("/etc/fonts/fonts.conf", error);
  return has_fonts ? "DejaVu Sans" : "@cairo:";
}

using SurfacePtr = std::unique_ptr<cairo_surface_t, decltype(&cairo_surface_destroy)>;
using ContextPtr = std::unique_ptr<cairo_t, decltype(&cairo_destroy)>;

struct Box {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;
};

cairo_status_t append_bytes(void* closure, const unsigned char* data, unsigned int length) {
  static_cast<std::string*>(closure)->append(reinterpret_cast<const char*>(data), length);
  return CAIRO_STATUS_SUCCESS;
}

void set_colour(cairo_t* cr, const Colour& c) { cairo_set_source_rgb(cr, c.red, c.green, c.blue); }

/// Text around (x, y): `align` 0 begins there, 0.5 is centred, 1 ends there; vertically centred; `angle` in degrees,
/// anticlockwise.
void draw_text(cairo_t* cr, const std::string& text, double x, double y, double size, double align, double angle = 0) {
  cairo_save(cr);
  cairo_set_font_size(cr, size);
  cairo_text_extents_t extents{};
  cairo_text_extents(cr, text.c_str(), &extents);
  cairo_font_extents_t font{};
  cairo_font_extents(cr, &font);
  cairo_translate(cr, x, y);
  cairo_rotate(cr, -angle * std::numbers::pi / 180);
  cairo_move_to(cr, -align * extents.x_advance, (font.ascent - font.descent) / 2);
  cairo_show_text(cr, text.c_str());
  cairo_restore(cr);
}

class Drawing {
 public:
  Drawing(cairo_t* cr, const HeatMap& map) : cr_(cr), map_(map) {}

  void draw() {
    cairo_set_source_rgb(cr_, 1, 1, 1);
    cairo_paint(cr_);
    cairo_select_font_face(cr_, font_family(), CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cells();
    labels();
    colour_bar();
  }

 private:
  double share(double value) const { return (value - map_.low) / (map_.high - map_.low); }

  void cells() {
    const double w = plot_.width / static_cast<double>(map_.columns.size());
    const double h = plot_.height / static_cast<double>(map_.rows.size());
    for (size_t r = 0; r < map_.rows.size(); ++r) {
      for (size_t c = 0; c < map_.columns.size(); ++c) {
        const double value = map_.values[r][c];
        const Colour colour = heat_colour(share(value));
        const double x = plot_.x + static_cast<double>(c) * w;
        const double y = plot_.y + static_cast<double>(r) * h;
        set_colour(cr_, colour);
        cairo_rectangle(cr_, x, y, w, h);
        cairo_fill(cr_);
        cairo_set_source_rgb(cr_, 1, 1, 1);
        cairo_set_line_width(cr_, 0.6);
        cairo_rectangle(cr_, x, y, w, h);
        cairo_stroke(cr_);
        if (!map_.write_values) continue;
        const double ink = wants_dark_text(colour) ? 0.1 : 1.0;
        cairo_set_source_rgb(cr_, ink, ink, ink);
        draw_text(cr_, std::isnan(value) ? "-" : fmt::format("{:.2f}", value), x + w / 2, y + h / 2, std::min(15.0, w / 4), 0.5);
      }
    }
  }

  void labels() {
    cairo_set_source_rgb(cr_, 0.13, 0.13, 0.13);
    draw_text(cr_, map_.title, plot_.x + plot_.width / 2, plot_.y - 24, 19, 0.5);
    const double w = plot_.width / static_cast<double>(map_.columns.size());
    const double h = plot_.height / static_cast<double>(map_.rows.size());
    for (size_t c = 0; c < map_.columns.size(); ++c) {
      const double x = plot_.x + (static_cast<double>(c) + 0.5) * w;
      tick(x, plot_.y + plot_.height, 0, 4);
      draw_text(cr_, map_.columns[c], x + 4, plot_.y + plot_.height + 12, 12.5, 1, 45);
    }
    for (size_t r = 0; r < map_.rows.size(); ++r) {
      const double y = plot_.y + (static_cast<double>(r) + 0.5) * h;
      tick(plot_.x, y, -4, 0);
      draw_text(cr_, map_.rows[r], plot_.x - 9, y, 12.5, 1);
    }
    draw_text(cr_, map_.x_label, plot_.x + plot_.width / 2, kHeight - 22, 15, 0.5);
    draw_text(cr_, map_.y_label, 24, plot_.y + plot_.height / 2, 15, 0.5, 90);
  }

  void tick(double x, double y, double dx, double dy) {
    cairo_set_line_width(cr_, 0.8);
    cairo_move_to(cr_, x, y);
    cairo_rel_line_to(cr_, dx, dy);
    cairo_stroke(cr_);
  }

  void colour_bar() {
    constexpr int kSteps = 256;
    for (int i = 0; i < kSteps; ++i) {
      set_colour(cr_, heat_colour((i + 0.5) / kSteps));
      // A little overlap hides the seams that anti-aliasing leaves.
      const double top = bar_.y + bar_.height * (kSteps - 1 - i) / kSteps;
      cairo_rectangle(cr_, bar_.x, top, bar_.width, bar_.height / kSteps + (i > 0 ? 0.5 : 0.0));
      cairo_fill(cr_);
    }
    cairo_set_source_rgb(cr_, 0.13, 0.13, 0.13);
    for (int i = 0; i <= 5; ++i) {
      const double y = bar_.y + bar_.height * (1 - i / 5.0);
      tick(bar_.x + bar_.width, y, 4, 0);
      draw_text(cr_, fmt::format("{:g}", map_.low + (map_.high - map_.low) * i / 5), bar_.x + bar_.width + 9, y, 12.5, 0);
    }
    draw_text(cr_, map_.metric, kWidth - 22, bar_.y + bar_.height / 2, 15, 0.5, 90);
  }

  cairo_t* cr_;
  const HeatMap& map_;
  Box plot_ = {96, 64, kWidth - 96 - 150, kHeight - 64 - 100};
  Box bar_ = {kWidth - 118, 64, 22, kHeight - 64 - 100};
};

/// Draws into bytes of one format; PNG scales points to pixels.
std::string render(const HeatMap& map, std::string_view format) {
  std::string bytes;
  const bool png = format == "png";
  const double scale = png ? kPixelsPerInch / kInch : 1;
  cairo_surface_t* made = nullptr;
  if (png) {
    made = cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(std::lround(kWidth * scale)),
                                      static_cast<int>(std::lround(kHeight * scale)));
  } else if (format == "pdf") {
    made = cairo_pdf_surface_create_for_stream(append_bytes, &bytes, kWidth, kHeight);
  } else {
    made = cairo_svg_surface_create_for_stream(append_bytes, &bytes, kWidth, kHeight);
  }
  const SurfacePtr surface(made, cairo_surface_destroy);
  // A fixed date keeps the bytes of a figure a function of its data.
  if (format == "pdf") cairo_pdf_surface_set_metadata(surface.get(), CAIRO_PDF_METADATA_CREATE_DATE, "2024-01-01T00:00:00Z");
  {
    const ContextPtr cr(cairo_create(surface.get()), cairo_destroy);
    cairo_scale(cr.get(), scale, scale);
    Drawing(cr.get(), map).draw();
    cairo_show_page(cr.get());
    const cairo_status_t status = cairo_status(cr.get());
    if (status != CAIRO_STATUS_SUCCESS) throw_io("cannot draw {} as {}: {}", map.title, format, cairo_status_to_string(status));
  }
  if (png) cairo_surface_write_to_png_stream(surface.get(), append_bytes, &bytes);
  cairo_surface_finish(surface.get());
  const cairo_status_t status = cairo_surface_status(surface.get());
  if (status != CAIRO_STATUS_SUCCESS) throw_io("cannot draw {} as {}: {}", map.title, format, cairo_status_to_string(status));
  return bytes;
}

}  // namespace

std::vector<std::string> write_heat_map(const std::string& path_without_extension, const HeatMap& map) {
  TENFOLD_CHECK(!map.columns.empty() && !map.rows.empty() && map.high > map.low, "{}: an empty heat map", map.title);
  TENFOLD_CHECK(map.values.size() == map.rows.size(), "{}: {} rows of values", map.title, map.values.size());
  for (const auto& row : map.values)
    TENFOLD_CHECK(row.size() == map.columns.size(), "{}: {} columns of values", map.title, row.size());
  std::vector<std::string> paths;
  for (const char* format : {"pdf", "png", "svg"}) {
    paths.push_back(path_without_extension + "." + format);
    write_file_atomically(paths.back(), render(map, format));
  }
  return paths;
}

std::vector<std::string> write_grid_figures(const std::string& directory) {
  const EvalData eval = read_eval(directory);
  if (!eval.is_grid()) throw_input("{}: task \"{}\" has no grid to draw", directory, eval.kind);
  const bool needle = eval.kind == "needle";
  const auto draw = [&](const std::string& metric, auto&& value) {
    HeatMap map;
    map.title = needle ? "Needle In A HayStack" : "Passkey Retrieval";
    map.metric = metric;
    for (const int64_t length : eval.lengths) map.columns.push_back(std::to_string(length));
    for (const int64_t depth : eval.depths) {
      map.rows.push_back(std::to_string(depth));
      auto& row = map.values.emplace_back();
      for (const int64_t length : eval.lengths) {
        const GridAnswer* const cell = eval.find(length, depth);
        row.push_back(cell == nullptr ? std::nan("") : value(*cell));
      }
    }
    return write_heat_map((std::filesystem::path(directory) / metric).string(), map);
  };
  auto paths = draw(needle ? "rouge" : "fuzz", [](const GridAnswer& a) { return a.score; });
  // A needle told in other words than the text's is found, though its rouge is low.
  auto more = draw(needle ? "found" : "accuracy", [&](const GridAnswer& a) { return (needle ? a.hit : a.exact) ? 1.0 : 0.0; });
  for (std::string& path : more) paths.push_back(std::move(path));
  return paths;
}

}  // namespace tenfold
