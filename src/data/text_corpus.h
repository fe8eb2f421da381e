#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

struct TextDocument {
  std::string name;
  std::string text;
};

/// Joining the lines of hard-wrapped paragraphs. kAuto: where the text looks wrapped (most lines followed by another, few longer
/// than 80 characters).
enum class Unwrap : uint8_t { kNever, kAuto, kAlways };

/// Plain text made clean: BOM removed, \r\n and \r become \n, Markdown front lines (`# Title: ...`, a rule) skipped, spaces at
/// the ends of lines removed, three or more newlines become two; paragraphs unwrapped if asked, with runs of spaces made one.
/// InputError with `name` and the byte offset on invalid UTF-8.
TextDocument clean_text(std::string name, std::string_view raw, Unwrap unwrap);

/// Documents of plain text: each path is a file, or a folder whose *.txt and *.md files are read in the order of their names.
/// InputError for a missing path, a folder without text, an empty file or invalid UTF-8 (file and byte offset).
std::vector<TextDocument> load_text(std::span<const std::string> paths, Unwrap unwrap = Unwrap::kAuto);

/// Offset of the first byte that is not valid UTF-8 (overlong forms and surrogates included), or -1.
int64_t first_invalid_utf8(std::string_view text);

}  // namespace tenfold
