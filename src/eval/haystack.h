#pragma once

#include "text/tokenizer.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// The text that a needle is hidden in: a file, stripped, or the *.txt and *.md files of a folder in the order of their names,
/// joined without a separator until they hold more than `longest` tokens (evaluations.md 3). InputError: nothing there, no words,
/// invalid UTF-8.
std::string load_haystack(const std::string& path, const Tokenizer& tokenizer, int64_t longest);

/// Tokens of a text repeated until it has more words than a length asks for. Encodes once for each number of repetitions.
class RepeatedText {
 public:
  /// InputError naming `source` when the text has no words.
  RepeatedText(std::string text, const Tokenizer& tokenizer, std::string source);
  /// Tokens of the text, repeated ceil(length / words) times where `length` is more than its words.
  const std::vector<int32_t>& tokens_for(int64_t length);

 private:
  std::string text_;
  const Tokenizer& tokenizer_;
  int64_t words_ = 0;
  std::map<int64_t, std::vector<int32_t>> by_repeats_;
};

/// Token counts of the fixed parts of a prompt of `length` tokens.
struct PromptParts {
  int64_t length = 0;
  int64_t description = 0;
  int64_t needle = 0;
  int64_t question = 0;

  /// Context tokens that fill the prompt. InputError naming `task` when the parts leave no room.
  int64_t context(std::string_view task) const;
  /// Tokens before the needle, the description among them: |desc| + round((L - |question| - |needle| - 1 - |desc|) * depth /
  /// 100).
  int64_t position(int64_t depth) const;
};

/// A prompt with a sentence hidden in it, before the chat template.
struct HiddenNeedle {
  std::vector<int32_t> message;
  int64_t before = 0;  ///< context tokens before the needle
};

/// Puts the needle into as much of `context` as a prompt of `length` tokens has room for, at `depth` per cent (evaluations.md 3).
/// `strict_reference`: the published evaluation counts the description but indexes the context, so that its needle sits that much
/// too deep. InputError naming `task` when the parts leave no room.
HiddenNeedle hide_needle(const std::vector<int32_t>& description, const std::vector<int32_t>& needle,
                         const std::vector<int32_t>& question, const std::vector<int32_t>& context, int64_t length, int64_t depth,
                         bool strict_reference, std::string_view task);

}  // namespace tenfold
