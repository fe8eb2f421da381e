#include "report/html.h"

#include "core/error.h"

#include <array>
#include <cmath>
#include <cstdint>

namespace tenfold {
namespace {

/// Bytes of the well-formed UTF-8 sequence at the front of `text`, or 0.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t size = lead >= 0xF5 || lead < 0xC2 ? 0 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (size == 0 || text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return 0;
  }
  // Overlong forms, surrogates and what lies beyond U+10FFFF.
  if ((lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) >= 0xA0) || (lead == 0xF0 && byte(1) < 0x90) ||
      (lead == 0xF4 && byte(1) >= 0x90)) {
    return 0;
  }
  return size;
}

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t size = sequence_length(text);
    const char c = text.front();
    if (size == 0) {
      out += kReplacement;
    } else if (size > 1) {
      out += text.substr(0, size);
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (c == '\'') {
      out += "&#39;";
    } else if ((c >= 0 && c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) {
      out += kReplacement;
    } else {
      out += c;
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return out;
}

void Html::start_tag(std::string_view tag, Attributes attributes, std::string_view end) {
  out_ += '<';
  out_ += tag;
  for (const auto& [key, value] : attributes) {
    out_ += ' ';
    out_ += key;
    out_ += "=\"";
    out_ += escape_html(value);
    out_ += '"';
  }
  out_ += end;
}

Html& Html::open(std::string_view tag, Attributes attributes) {
  start_tag(tag, attributes, ">");
  open_.emplace_back(tag);
  return *this;
}

Html& Html::close() {
  TENFOLD_CHECK(!open_.empty(), "close without open");
  out_ += "</" + open_.back() + ">";
  // A line break after blocks keeps the page's source readable.
  const std::string& tag = open_.back();
  if (tag == "p" || tag == "tr" || tag == "table" || tag == "section" || tag == "div" || tag == "svg" || tag == "details" ||
      tag == "h1" || tag == "h2" || tag == "h3" || tag == "figure") {
    out_ += '\n';
  }
  open_.pop_back();
  return *this;
}

Html& Html::text(std::string_view text) {
  out_ += escape_html(text);
  return *this;
}

Html& Html::element(std::string_view tag, std::string_view content, Attributes attributes) {
  return open(tag, attributes).text(content).close();
}

Html& Html::empty(std::string_view tag, Attributes attributes) {
  start_tag(tag, attributes, "/>");
  return *this;
}

Html& Html::raw(std::string_view markup) {
  out_ += markup;
  return *this;
}

std::string Html::take() {
  TENFOLD_CHECK(open_.empty(), "<{}> is still open", open_.back());
  return std::move(out_);
}

std::string count_text(double value) {
  if (!std::isfinite(value)) return "\xE2\x80\x93";
  const std::string digits = fmt::format("{:.0f}", std::fabs(value));
  std::string out;
  if (value <= -0.5) out += '-';
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string size_text(double bytes) {
  if (!std::isfinite(bytes)) return "\xE2\x80\x93";
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (std::fabs(bytes) >= 1024 && unit + 1 < kUnits.size()) bytes /= 1024, ++unit;
  return fmt::format("{:.{}f} {}", bytes, unit == 0 || bytes >= 100 ? 0 : bytes >= 10 ? 1 : 2, kUnits[unit]);
}

std::string seconds_text(double seconds) {
  if (!std::isfinite(seconds)) return "\xE2\x80\x93";
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::lround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string length_text(int64_t tokens) {
  if (tokens >= 1024 && tokens % 1024 == 0) return count_text(static_cast<double>(tokens / 1024)) + "K";
  return count_text(static_cast<double>(tokens));
}

}  // namespace tenfold
