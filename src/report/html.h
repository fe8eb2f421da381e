#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenfold {

/// Text for HTML, in elements and in quoted attributes: markup escaped, control characters and invalid UTF-8 as U+FFFD.
std::string escape_html(std::string_view text);

/// Writes HTML or SVG whose tags balance: every text goes through escape_html, every element is closed by whoever opened it.
class Html {
 public:
  using Attributes = std::initializer_list<std::pair<std::string_view, std::string>>;

  Html& open(std::string_view tag, Attributes attributes = {});
  Html& close();
  Html& text(std::string_view text);
  /// open, text, close.
  Html& element(std::string_view tag, std::string_view text, Attributes attributes = {});
  /// An element without content or end tag (meta, br), or closed in itself (SVG shapes).
  Html& empty(std::string_view tag, Attributes attributes = {});
  /// Markup of our own.
  Html& raw(std::string_view markup);

  /// The document; every element must be closed.
  std::string take();

 private:
  void start_tag(std::string_view tag, Attributes attributes, std::string_view end);

  std::string out_;
  std::vector<std::string> open_;
};

/// "1,234,567".
std::string count_text(double value);
/// "1.21 GiB".
std::string size_text(double bytes);
/// "7 min 12 s".
std::string seconds_text(double seconds);
/// "8K" for 8192, "8,000" for 8000.
std::string length_text(int64_t tokens);

}  // namespace tenfold
