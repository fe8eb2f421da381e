#include "eval/prompt.h"

#include "core/error.h"
#include "format/names.h"

#include <algorithm>
#include <utility>

namespace tenfold {

std::vector<int32_t> chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, std::string text, bool clean_up,
                                 std::string_view answer) {
  if (chat.name() == "no") text = tokenizer.decode(tokenizer.encode(text), {.skip_special = true, .clean_up = clean_up});
  const std::vector<ChatMessage> turns = {{"user", std::move(text)}};
  const std::string prompt = chat.render_text(turns, /*add_generation_prompt=*/true).append(answer);
  return tokenizer.encode(prompt, {.add_bos = tokenizer.adds_bos(), .parse_special = true});
}

std::vector<int32_t> chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, std::span<const int32_t> message,
                                 bool clean_up) {
  return chat_prompt(tokenizer, chat, tokenizer.decode(message, {.skip_special = false, .clean_up = clean_up}), clean_up);
}

std::string fill_template(std::string_view text, std::span<const std::pair<std::string_view, std::string_view>> values,
                          std::string_view where) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c != '{' && c != '}') {
      out += c;
      ++at;
      continue;
    }
    if (at + 1 < text.size() && text[at + 1] == c) {
      out += c;
      at += 2;
      continue;
    }
    const size_t end = c == '{' ? text.find('}', at) : std::string_view::npos;
    if (end == std::string_view::npos) throw_input("{}: a lone {} at byte {}; write it twice to mean itself", where, c, at);
    const std::string_view name = text.substr(at + 1, end - at - 1);
    const auto found = std::find_if(values.begin(), values.end(), [&](const auto& value) { return value.first == name; });
    if (found == values.end()) {
      std::string known;
      for (const auto& value : values) known += fmt::format("{}{{{}}}", known.empty() ? "" : ", ", value.first);
      throw_input("{}: unknown place {{{}}}; known: {}", where, shown(name), known);
    }
    out += found->second;
    at = end + 1;
  }
  return out;
}

CutText truncate(const Tokenizer& tokenizer, std::string text, const Truncation& truncation) {
  const std::vector<int32_t> ids =
      tokenizer.encode(text, {.add_bos = truncation.with_bos && tokenizer.adds_bos(), .parse_special = true});
  CutText cut{std::move(text), std::ssize(ids), std::ssize(ids) > truncation.max_length};
  const DecodeOptions decode = {.skip_special = true, .clean_up = truncation.clean_up};
  const std::span<const int32_t> all(ids);
  if (!truncation.from_middle) {
    cut.text = tokenizer.decode(all.last(static_cast<size_t>(std::min(cut.tokens, truncation.max_length))), decode);
  } else if (cut.truncated) {
    const auto half = static_cast<size_t>(truncation.max_length / 2);
    cut.text = tokenizer.decode(all.first(half), decode) + tokenizer.decode(all.last(half), decode);
  }
  return cut;
}

}  // namespace tenfold
