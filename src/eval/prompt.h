#pragma once

#include "text/chat_template.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenfold {

/// A user turn as the published evaluation asks it: put into the template and encoded, with BOS where the tokenizer adds one. The
/// template `no` is decode(encode(text)) without special tokens (evaluations.md 1.4). `answer` is how the answer begins.
std::vector<int32_t> chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, std::string text, bool clean_up,
                                 std::string_view answer = {});

/// The same for a turn of tokens, decoded first (evaluations.md 1.5). The length drifts by a few tokens at splices.
std::vector<int32_t> chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, std::span<const int32_t> message,
                                 bool clean_up);

/// A template with its places filled, each once, so that braces inside a value stay as they are. `{{` and `}}` are braces.
/// InputError naming `where` and listing the places on one that is not known or a lone brace.
std::string fill_template(std::string_view text, std::span<const std::pair<std::string_view, std::string_view>> values,
                          std::string_view where);

/// How the published benchmarks cut a prompt (evaluations.md 9, 10).
struct Truncation {
  int64_t max_length = 0;   ///< tokens, at least 2
  bool from_middle = true;  ///< else the last max_length tokens, a decode and encode of every prompt, short ones too
  bool with_bos = true;     ///< a BOS, where the tokenizer adds one, counts and takes a place in the first half
  bool clean_up = false;    ///< of the decode
};

struct CutText {
  std::string text;
  int64_t tokens = 0;  ///< before
  bool truncated = false;
};

/// A prompt of at most max_length tokens: where it has more, the first and the last max_length / 2 (rounded down), each decoded
/// without special tokens.
CutText truncate(const Tokenizer& tokenizer, std::string text, const Truncation& truncation);

}  // namespace tenfold
