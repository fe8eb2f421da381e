#pragma once

#include "text/chat_template.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tenfold {

/// A user turn as the published evaluation asks it: put into the template and encoded, with BOS where the tokenizer adds one. The
/// template `no` is decode(encode(text)) without special tokens (evaluations.md 1.4).
std::vector<int32_t> chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, std::string text, bool clean_up);

/// The same for a turn of tokens, decoded first (evaluations.md 1.5). The length drifts by a few tokens at splices.
std::vector<int32_t> chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, std::span<const int32_t> message,
                                 bool clean_up);

}  // namespace tenfold
