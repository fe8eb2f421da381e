#pragma once

#include "data/text_corpus.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tenfold {

/// A sentence that can be taken out of its text and put into another: 8 to 32 words, no quotation marks, no markup.
struct SentenceRef {
  int64_t document = 0;
  int64_t begin = 0;  ///< byte offset
  int64_t length = 0;
};

/// Documents with what synthesis needs to know of them: sentences, words and where paragraphs begin.
class SynthCorpus {
 public:
  /// Paragraphs that hold a forbidden phrase are taken out first. InputError when nothing is left.
  explicit SynthCorpus(std::vector<TextDocument> documents);

  const std::vector<TextDocument>& documents() const { return documents_; }
  const std::vector<SentenceRef>& sentences() const { return sentences_; }
  /// Somebody's words with who said them, as speech_at of synth/grammar.h finds them where a paragraph begins.
  const std::vector<SentenceRef>& speeches() const { return speeches_; }
  std::string_view text_of(const SentenceRef& sentence) const;
  int64_t bytes() const { return bytes_; }
  int64_t dropped_paragraphs() const { return dropped_paragraphs_; }
  /// How often a word comes in all documents; ASCII case does not count.
  int64_t count_of(std::string_view word) const;

 private:
  void index(int64_t document);

  std::vector<TextDocument> documents_;
  std::vector<SentenceRef> sentences_;
  std::vector<SentenceRef> speeches_;
  std::unordered_map<std::string, int64_t> counts_;
  int64_t bytes_ = 0;
  int64_t dropped_paragraphs_ = 0;
};

/// Offset just after the end of the sentence that ends first at or after `from` (its closing quotes included), such that white
/// space or the text's end follows; npos if there is none. Abbreviations (Mr., St.) and initials end no sentence.
size_t sentence_end(std::string_view text, size_t from);

/// Words of ASCII letters and inner apostrophes, in order.
std::vector<std::string_view> letter_words(std::string_view text);
/// Split at white space.
std::vector<std::string_view> spaced_words(std::string_view text);

/// A data base of R (path ends in .rdx or .rdb) as documents, one a variable; anything else as load_text reads it.
std::vector<TextDocument> load_synth_texts(const std::vector<std::string>& paths, Unwrap unwrap);

}  // namespace tenfold
