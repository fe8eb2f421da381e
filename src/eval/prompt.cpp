#include "eval/prompt.h"

#include <utility>

namespace tenfold {

std::vector<int32_t> chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, std::string text, bool clean_up) {
  if (chat.name() == "no") text = tokenizer.decode(tokenizer.encode(text), {.skip_special = true, .clean_up = clean_up});
  const std::vector<ChatMessage> turns = {{"user", std::move(text)}};
  const std::string prompt = chat.render_text(turns, /*add_generation_prompt=*/true);
  return tokenizer.encode(prompt, {.add_bos = tokenizer.adds_bos(), .parse_special = true});
}

std::vector<int32_t> chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, std::span<const int32_t> message,
                                 bool clean_up) {
  return chat_prompt(tokenizer, chat, tokenizer.decode(message, {.skip_special = false, .clean_up = clean_up}), clean_up);
}

}  // namespace tenfold
