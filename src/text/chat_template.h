#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

struct ChatMessage {
  std::string role;  ///< system, user or assistant
  std::string content;
};

/// A stretch of rendered text; `is_answer` marks what an assistant says, its end-of-turn token included: there the loss is.
struct ChatSpan {
  std::string text;
  bool is_answer = false;
};

/// How a conversation becomes text (evaluations.md 1.4): chatml, llama-3, llama-2, mistral, no.
class ChatTemplate {
 public:
  /// By name. InputError that lists the names there are.
  static ChatTemplate by_name(std::string_view name);
  /// The template that a model's own (Jinja) template text matches, with its default system turn. InputError, with the list and
  /// the option to name one, when none matches or the text is empty.
  static ChatTemplate detect(std::string_view template_text);
  static std::vector<std::string> names();

  const std::string& name() const { return name_; }
  const std::string& default_system() const { return default_system_; }
  void set_default_system(std::string text) { default_system_ = std::move(text); }

  /// Text of the conversation in spans; with `add_generation_prompt` it ends where the assistant's answer begins.
  /// BOS is not in the text: the tokenizer adds it. InputError on an unknown role or an order the template cannot express.
  std::vector<ChatSpan> render(std::span<const ChatMessage> messages, bool add_generation_prompt) const;
  std::string render_text(std::span<const ChatMessage> messages, bool add_generation_prompt) const;
  /// The token that ends an assistant's turn, such as <|im_end|>; empty for `no` (eos).
  std::string end_of_turn() const;

 private:
  std::string name_;
  std::string default_system_;
  std::string system_preamble_;  ///< what the model's template puts before every system turn (Llama 3.1)
};

}  // namespace tenfold
