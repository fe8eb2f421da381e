#include "synth/corpus.h"

#include "core/error.h"
#include "synth/grammar.h"
#include "synth/r_lazyload.h"
#include "synth/wording.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace tenfold {
namespace {

using sv = std::string_view;

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t'; }

constexpr auto kAbbreviations = std::to_array<sv>(
    {"Mr",  "Mrs", "Ms",  "Dr",   "St", "Messrs", "Rev", "Hon", "Capt", "Col", "Gen", "Lieut", "Sir", "No",  "Esq", "viz", "vs",
     "etc", "Vol", "Mem", "Prof", "Jr", "Sr",     "Mme", "Co",  "i.e",  "e.g", "P",   "A",     "cf",  "Fig", "ch",  "pp"});

/// Whether the full stop at `stop` belongs to an abbreviation or an initial.
bool is_abbreviation(sv text, size_t stop) {
  size_t begin = stop;
  while (begin > 0 && (is_letter(text[begin - 1]) || text[begin - 1] == '.')) --begin;
  const sv word = text.substr(begin, stop - begin);
  if (word.size() == 1 && is_upper(word[0]) && word != "I") return true;
  return std::find(kAbbreviations.begin(), kAbbreviations.end(), word) != kAbbreviations.end();
}

/// Length of a closing quote or bracket at `at`, 0 if there is none.
size_t closing_length(sv text, size_t at) {
  if (at >= text.size()) return 0;
  if (text[at] == '"' || text[at] == '\'' || text[at] == ')' || text[at] == ']') return 1;
  const sv three = text.substr(at, 3);
  return three == "\xE2\x80\x9D" || three == "\xE2\x80\x99" ? 3 : 0;
}

/// A sentence that stands on its own in any text.
bool is_portable(sv sentence) {
  if (sentence.empty() || !is_upper(sentence[0])) return false;
  if (sentence.back() != '.' && sentence.back() != '!' && sentence.back() != '?') return false;
  constexpr sv kBad = "\"_*#[]{}<>|\n\t()/\\=~^`";
  if (sentence.find_first_of(kBad) != sv::npos) return false;
  if (sentence.find("\xE2\x80\x9C") != sv::npos || sentence.find("\xE2\x80\x9D") != sv::npos) return false;
  if (sentence.find("\xE2\x80\x98") != sv::npos || sentence.find(" '") != sv::npos || sentence.find("' ") != sv::npos)
    return false;
  const size_t words = spaced_words(sentence).size();
  // Half a sentence before a rejected mark may read like one; capitals throughout are a heading.
  const auto capitals = static_cast<size_t>(std::count_if(sentence.begin(), sentence.end(), is_upper));
  return words >= 8 && words <= 32 && sentence.find("  ") == sv::npos && capitals * 3 < sentence.size();
}

std::string without_forbidden(const std::string& text, int64_t& dropped) {
  std::string out;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find("\n\n", begin), text.size());
    const sv paragraph = sv(text).substr(begin, end - begin);
    if (has_forbidden_phrase(paragraph)) {
      ++dropped;
    } else {
      if (!out.empty()) out += "\n\n";
      out += paragraph;
    }
    begin = end + 2;
  }
  return out;
}

}  // namespace

size_t sentence_end(std::string_view text, size_t from) {
  for (size_t i = from; i < text.size(); ++i) {
    if (text[i] != '.' && text[i] != '!' && text[i] != '?') continue;
    size_t end = i + 1;
    while (const size_t closing = closing_length(text, end)) end += closing;
    if (end < text.size() && !is_space(text[end])) continue;
    if (text[i] == '.' && is_abbreviation(text, i)) continue;
    // "he cried." may go on in small letters after an exclamation.
    size_t next = end;
    while (next < text.size() && is_space(text[next])) ++next;
    if (next < text.size() && text[next] >= 'a' && text[next] <= 'z') continue;
    return end;
  }
  return sv::npos;
}

std::vector<std::string_view> letter_words(std::string_view text) {
  std::vector<sv> words;
  size_t i = 0;
  while (i < text.size()) {
    if (!is_letter(text[i])) {
      ++i;
      continue;
    }
    const size_t begin = i;
    while (i < text.size() && (is_letter(text[i]) || (text[i] == '\'' && i + 1 < text.size() && is_letter(text[i + 1])))) ++i;
    words.push_back(text.substr(begin, i - begin));
  }
  return words;
}

std::vector<std::string_view> spaced_words(std::string_view text) {
  std::vector<sv> words;
  size_t i = 0;
  while (i < text.size()) {
    while (i < text.size() && is_space(text[i])) ++i;
    const size_t begin = i;
    while (i < text.size() && !is_space(text[i])) ++i;
    if (i > begin) words.push_back(text.substr(begin, i - begin));
  }
  return words;
}

SynthCorpus::SynthCorpus(std::vector<TextDocument> documents) : documents_(std::move(documents)) {
  for (TextDocument& document : documents_) document.text = without_forbidden(document.text, dropped_paragraphs_);
  std::erase_if(documents_, [](const TextDocument& document) { return document.text.empty(); });
  if (documents_.empty()) throw_input("--text: no text is left to make records from");
  for (size_t i = 0; i < documents_.size(); ++i) index(static_cast<int64_t>(i));
}

void SynthCorpus::index(int64_t document) {
  const sv text = documents_[static_cast<size_t>(document)].text;
  bytes_ += static_cast<int64_t>(text.size());
  std::string lower;
  for (const sv word : letter_words(text)) {
    lower.assign(word);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    ++counts_[lower];
  }
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t paragraph = std::min(text.find("\n\n", begin), text.size());
    const sv part = text.substr(0, paragraph);
    if (const sv speech = speech_at(part.substr(begin)); !speech.empty())
      speeches_.push_back({document, static_cast<int64_t>(begin), static_cast<int64_t>(speech.size())});
    while (begin < paragraph) {
      const size_t end = std::min(sentence_end(part, begin), paragraph);
      const sv sentence = text.substr(begin, end - begin);
      if (is_portable(sentence))
        sentences_.push_back({document, static_cast<int64_t>(begin), static_cast<int64_t>(sentence.size())});
      begin = end;
      while (begin < paragraph && is_space(text[begin])) ++begin;
    }
    begin = paragraph + 2;
  }
}

std::string_view SynthCorpus::text_of(const SentenceRef& sentence) const {
  return sv(documents_[static_cast<size_t>(sentence.document)].text)
      .substr(static_cast<size_t>(sentence.begin), static_cast<size_t>(sentence.length));
}

int64_t SynthCorpus::count_of(std::string_view word) const {
  std::string lower(word);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto found = counts_.find(lower);
  return found == counts_.end() ? 0 : found->second;
}

std::vector<TextDocument> load_synth_texts(const std::vector<std::string>& paths, Unwrap unwrap) {
  if (paths.empty()) return load_text(paths, unwrap);  // which says what is missing
  std::vector<TextDocument> documents;
  for (const std::string& path : paths) {
    if (!path.ends_with(".rdx") && !path.ends_with(".rdb")) {
      for (TextDocument& document : load_text(std::vector<std::string>{path}, unwrap)) documents.push_back(std::move(document));
      continue;
    }
    for (const auto& [name, lines] : read_r_character_vectors(path)) {
      std::string text;
      for (const std::string& line : lines) text += line + "\n";
      documents.push_back(clean_text(path + ":" + name, text, unwrap));
    }
  }
  return documents;
}

}  // namespace tenfold
