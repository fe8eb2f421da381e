#pragma once

#include "text/scanners.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// A Split regex that is none of those we know, run by PCRE2 (JIT). Immutable; `cut` may be called from several threads.
class SplitRegex {
 public:
  /// InputError naming `source` when the pattern does not compile. `literal`: the pattern is plain text.
  SplitRegex(std::string_view pattern, bool literal, std::string_view source);
  SplitRegex(SplitRegex&&) noexcept;
  SplitRegex& operator=(SplitRegex&&) noexcept;
  ~SplitRegex();
  /// Ends of the matches and of the gaps between them, in order (HF's behaviour "Isolated"). `piece` is valid UTF-8.
  std::vector<size_t> cut(std::string_view piece) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// How text between added tokens is cut into words before BPE.
class PreTokenizer {
 public:
  enum class Step { kGpt2, kGpt2SplitDigits, kLlama3, kQwen2, kDigitsAlone, kDigitsRuns, kRegex };

  void add(Step step);
  /// A Split step; the regexes that have a scanner get it.
  void add_split(std::string_view pattern, std::string_view source);
  void add_literal_split(std::string_view text, std::string_view source);
  const std::vector<Step>& steps() const { return steps_; }

  /// Calls word(p, q) for each word of `piece`, in order.
  template <typename Word>
  void for_each_word(std::string_view piece, Word&& word) const {
    const auto* p = reinterpret_cast<const uint8_t*>(piece.data());
    cut(0, 0, p, p + piece.size(), word);
  }

 private:
  template <typename Scanner, typename Word>
  void scan(size_t step, size_t regex, const uint8_t* p, const uint8_t* end, Word& word) const {
    const Scanner scanner(unicode_classes());
    const bool last = step + 1 == steps_.size();
    while (p < end) {
      const uint8_t* q = scanner.next(p, end);
      if (last) {
        word(p, q);
      } else {
        cut(step + 1, regex, p, q, word);
      }
      p = q;
    }
  }
  template <typename Word>
  void cut(size_t step, size_t regex, const uint8_t* p, const uint8_t* end, Word& word) const {
    if (p == end) return;
    if (step == steps_.size()) return word(p, end);
    switch (steps_[step]) {
      case Step::kGpt2: return scan<Gpt2Scanner<false>>(step, regex, p, end, word);
      case Step::kGpt2SplitDigits: return scan<Gpt2Scanner<true>>(step, regex, p, end, word);
      case Step::kLlama3: return scan<Llama3Scanner<3>>(step, regex, p, end, word);
      case Step::kQwen2: return scan<Llama3Scanner<1>>(step, regex, p, end, word);
      case Step::kDigitsAlone: return scan<DigitsScanner<true>>(step, regex, p, end, word);
      case Step::kDigitsRuns: return scan<DigitsScanner<false>>(step, regex, p, end, word);
      case Step::kRegex: break;
    }
    const std::string_view piece(reinterpret_cast<const char*>(p), static_cast<size_t>(end - p));
    const uint8_t* begin = p;
    for (const size_t stop : regexes_[regex].cut(piece)) {
      cut(step + 1, regex + 1, begin, p + stop, word);
      begin = p + stop;
    }
  }

  std::vector<Step> steps_;
  std::vector<SplitRegex> regexes_;  ///< of the kRegex steps, in order
};

/// The split regexes with a scanner, spelled as tokenizer.json files spell them.
extern const std::string_view kGpt2Pattern;
extern const std::string_view kLlama3Pattern;
extern const std::string_view kQwen2Pattern;

}  // namespace tenfold
