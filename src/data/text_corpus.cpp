#include "data/text_corpus.h"

#include "core/error.h"
#include "data/files.h"
#include "format/mapped_file.h"

#include <cctype>
#include <utility>

namespace tenfold {
namespace {

constexpr size_t kWrapWidth = 80;  // a hard-wrapped line is at most this long

std::string_view trimmed(std::string_view line) {
  while (!line.empty() && (line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
  return line;
}

/// Lines without their ends; \r\n, \n and \r all end one.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\n' && text[i] != '\r') continue;
    lines.push_back(trimmed(text.substr(begin, i - begin)));
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') ++i;
    begin = i + 1;
  }
  if (begin < text.size()) lines.push_back(trimmed(text.substr(begin)));
  return lines;
}

/// `# Title: Emma`, `## Author: ...`: a heading whose first word ends in a colon.
bool is_front_heading(std::string_view line) {
  size_t i = 0;
  while (i < line.size() && line[i] == '#') ++i;
  if (i == 0 || i == line.size() || line[i] != ' ') return false;
  const size_t word = ++i;
  while (i < line.size() && std::isalpha(static_cast<unsigned char>(line[i])) != 0) ++i;
  return i > word && i < line.size() && line[i] == ':';
}

bool is_rule(std::string_view line) { return line.size() >= 3 && line.find_first_not_of('-') == std::string_view::npos; }

/// Index of the first line after the front matter: only skipped if a front heading opens the text.
size_t skip_front(const std::vector<std::string_view>& lines) {
  size_t i = 0;
  bool seen = false;
  while (i < lines.size() && (lines[i].empty() || is_front_heading(lines[i]) || (seen && is_rule(lines[i])))) {
    seen = seen || is_front_heading(lines[i]);
    ++i;
  }
  return seen ? i : 0;
}

bool looks_wrapped(std::span<const std::string_view> lines) {
  size_t filled = 0;
  size_t followed = 0;
  size_t wide = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    ++filled;
    if (i + 1 < lines.size() && !lines[i + 1].empty()) ++followed;
    if (lines[i].size() > kWrapWidth) ++wide;
  }
  return filled > 0 && followed * 2 > filled && wide * 20 < filled;
}

/// Appends a line with its leading spaces dropped and runs of spaces made one.
void append_words(std::string& out, std::string_view line) {
  bool space = true;
  for (const char c : line) {
    const bool is_space = c == ' ' || c == '\t';
    if (is_space && space) continue;
    out += is_space ? ' ' : c;
    space = is_space;
  }
}

std::string join_lines(std::span<const std::string_view> lines, bool unwrap) {
  std::string out;
  for (const std::string_view line : lines) {
    if (line.empty()) {
      if (!out.empty() && !out.ends_with("\n\n")) out += out.ends_with('\n') ? "\n" : "\n\n";
    } else if (unwrap) {
      // A dash at the end of a wrapped line belongs to the next word.
      if (!out.empty() && !out.ends_with('\n') && !out.ends_with("--")) out += ' ';
      append_words(out, line);
    } else {
      out += line;
      out += '\n';
    }
  }
  while (out.ends_with('\n')) out.pop_back();
  return out;
}

}  // namespace

int64_t first_invalid_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    size_t extra = 0;
    uint32_t code = 0;
    if (lead < 0x80) {
      ++i;
      continue;
    }
    if ((lead & 0xE0U) == 0xC0) {
      extra = 1;
      code = lead & 0x1FU;
    } else if ((lead & 0xF0U) == 0xE0) {
      extra = 2;
      code = lead & 0x0FU;
    } else if ((lead & 0xF8U) == 0xF0) {
      extra = 3;
      code = lead & 0x07U;
    } else {
      return static_cast<int64_t>(i);
    }
    if (extra >= text.size() - i) return static_cast<int64_t>(i);
    for (size_t k = 1; k <= extra; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0U) != 0x80) return static_cast<int64_t>(i);
      code = (code << 6) | (next & 0x3FU);
    }
    constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[extra] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return static_cast<int64_t>(i);
    i += extra + 1;
  }
  return -1;
}

TextDocument clean_text(std::string name, std::string_view raw, Unwrap unwrap) {
  const int64_t bad = first_invalid_utf8(raw);
  if (bad >= 0) {
    throw_input("{}: byte {} (0x{:02x}) is not valid UTF-8; convert the file to UTF-8 first", name, bad,
                static_cast<unsigned char>(raw[static_cast<size_t>(bad)]));
  }
  if (raw.starts_with("\xEF\xBB\xBF")) raw.remove_prefix(3);
  const std::vector<std::string_view> lines = lines_of(raw);
  const auto body = std::span(lines).subspan(skip_front(lines));
  const bool join = unwrap == Unwrap::kAlways || (unwrap == Unwrap::kAuto && looks_wrapped(body));
  return {std::move(name), join_lines(body, join)};
}

std::vector<TextDocument> load_text(std::span<const std::string> paths, Unwrap unwrap) {
  if (paths.empty()) throw_input("no text: give --text with at least one file or folder");
  std::vector<TextDocument> documents;
  for (const std::string& path : paths) {
    for (const std::string& file : files_at(path, "text", {".txt", ".md"})) {
      documents.push_back(clean_text(file, read_text_file(file), unwrap));
      if (documents.back().text.empty()) throw_input("{}: the file holds no text", file);
    }
  }
  return documents;
}

}  // namespace tenfold
