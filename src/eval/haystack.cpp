#include "eval/haystack.h"

#include "core/checked.h"
#include "core/error.h"
#include "data/files.h"
#include "data/text_corpus.h"
#include "eval/metrics/numbers.h"
#include "eval/metrics/text.h"
#include "format/mapped_file.h"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace tenfold {
namespace {

std::string read_valid(const std::string& path) {
  std::string text = read_text_file(path);
  if (const int64_t at = first_invalid_utf8(text); at >= 0) {
    throw_input("{}: invalid UTF-8 at byte {}; a haystack is UTF-8 text (iconv -t utf-8 converts)", path, at);
  }
  return text;
}

}  // namespace

std::string load_haystack(const std::string& path, const Tokenizer& tokenizer, int64_t longest) {
  const std::vector<std::string> files = files_at(path, "haystack", {".txt", ".md"});
  if (!std::filesystem::is_directory(path)) return std::string(strip(read_valid(path)));
  std::string text;
  int64_t tokens = 0;
  for (const std::string& file : files) {
    const std::string part = read_valid(file);
    tokens += static_cast<int64_t>(tokenizer.encode(part).size());
    text += part;
    if (tokens > longest) break;
  }
  return text;
}

RepeatedText::RepeatedText(std::string text, const Tokenizer& tokenizer, std::string source)
    : text_(std::move(text)), tokenizer_(tokenizer), words_(static_cast<int64_t>(split_words(text_).size())) {
  if (words_ == 0) throw_input("{}: there are no words in it", source);
}

const std::vector<int32_t>& RepeatedText::tokens_for(int64_t length) {
  const int64_t repeats = length > words_ ? ceil_div(length, words_) : 1;
  const auto [entry, fresh] = by_repeats_.try_emplace(repeats);
  if (fresh) {
    std::string text;
    text.reserve(text_.size() * static_cast<size_t>(repeats));
    for (int64_t i = 0; i < repeats; ++i) text += text_;
    entry->second = tokenizer_.encode(text);
  }
  return entry->second;
}

int64_t PromptParts::context(std::string_view task) const {
  const int64_t fixed = description + needle + question;
  // The rule for the position needs one token more than the parts.
  if (length < fixed + 1) {
    throw_input("{}: a length of {} tokens is too small: description ({}), needle ({}) and question ({}) need at least {}", task,
                length, description, needle, question, fixed + 1);
  }
  return length - fixed;
}

int64_t PromptParts::position(int64_t depth) const {
  const auto span = static_cast<double>((length - question - needle - 1 - description) * depth);
  return description + python_round(span / 100.0);
}

HiddenNeedle hide_needle(const std::vector<int32_t>& description, const std::vector<int32_t>& needle,
                         const std::vector<int32_t>& question, const std::vector<int32_t>& context, int64_t length, int64_t depth,
                         bool strict_reference, std::string_view task) {
  const PromptParts parts = {length, std::ssize(description), std::ssize(needle), std::ssize(question)};
  const int64_t end = std::min(parts.context(task), std::ssize(context));
  HiddenNeedle hidden;
  hidden.before = std::min(parts.position(depth) - (strict_reference ? 0 : parts.description), end);
  const auto append = [&](const auto& from, int64_t first, int64_t last) {
    hidden.message.insert(hidden.message.end(), from.begin() + first, from.begin() + last);
  };
  append(description, 0, parts.description);
  append(context, 0, hidden.before);
  append(needle, 0, parts.needle);
  append(context, hidden.before, end);
  append(question, 0, parts.question);
  return hidden;
}

}  // namespace tenfold
