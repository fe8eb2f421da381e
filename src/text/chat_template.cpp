#include "text/chat_template.h"

#include "core/error.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>

namespace tenfold {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"chatml", "llama-3", "llama-2", "mistral", "no"};

// What Llama 3.1's template puts before every system turn; 3.2's asks for today's date and falls back to this one, which keeps
// runs reproducible.
constexpr std::string_view kLlama31Preamble = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// The characters of a Jinja string literal from `at` to `stop`, or nothing if the literal ends before.
std::optional<std::string> literal_until(std::string_view text, size_t at, std::string_view stop) {
  std::string out;
  while (at < text.size() && text.substr(at, stop.size()) != stop) {
    char c = text[at++];
    if (c == '\'' || c == '"') return std::nullopt;
    if (c == '\\' && at < text.size()) {
      const char escaped = text[at++];
      c = escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped;
    }
    out += c;
  }
  return at < text.size() ? std::optional(out) : std::nullopt;
}

// A system turn that a ChatML template spells out whole: the one it inserts when the conversation has none.
std::string chatml_default_system(std::string_view text) {
  for (const std::string_view opening : {"<|im_start|>system\n", "<|im_start|>system\\n"}) {
    for (size_t at = text.find(opening); at != std::string_view::npos; at = text.find(opening, at + 1)) {
      const auto turn = literal_until(text, at + opening.size(), "<|im_end|>");
      if (turn && !turn->empty()) return *turn;
    }
  }
  return {};
}

/// Collects spans, joining neighbours of one kind.
class Spans {
 public:
  void add(std::string_view text, bool is_answer = false) {
    if (text.empty()) return;
    if (spans_.empty() || spans_.back().is_answer != is_answer) spans_.push_back({{}, is_answer});
    spans_.back().text += text;
  }
  std::vector<ChatSpan> take() { return std::move(spans_); }

 private:
  std::vector<ChatSpan> spans_;
};

enum class Role { kSystem, kUser, kAssistant };

Role role_of(const ChatMessage& message) {
  if (message.role == "system") return Role::kSystem;
  if (message.role == "user") return Role::kUser;
  if (message.role == "assistant") return Role::kAssistant;
  throw_input("unknown role '{}' in a conversation; expected system, user or assistant", message.role);
}

std::vector<ChatSpan> render_chatml(std::span<const ChatMessage> messages, std::string_view default_system, bool generation) {
  Spans out;
  if (!messages.empty() && role_of(messages[0]) != Role::kSystem && !default_system.empty()) {
    out.add(fmt::format("<|im_start|>system\n{}<|im_end|>\n", default_system));
  }
  for (const ChatMessage& m : messages) {
    const bool answer = role_of(m) == Role::kAssistant;
    out.add(fmt::format("<|im_start|>{}\n", m.role));
    out.add(m.content + "<|im_end|>", answer);
    out.add("\n");
  }
  if (generation) out.add("<|im_start|>assistant\n");
  return out.take();
}

std::vector<ChatSpan> render_llama3(std::span<const ChatMessage> messages, std::string_view default_system,
                                    std::string_view preamble, bool generation) {
  Spans out;
  const auto header = [](std::string_view role) { return fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n", role); };
  if (!messages.empty() && role_of(messages[0]) != Role::kSystem && !default_system.empty()) {
    out.add(header("system") + std::string(default_system) + "<|eot_id|>");
  }
  for (const ChatMessage& m : messages) {
    const Role role = role_of(m);
    out.add(header(m.role));
    if (role == Role::kSystem) out.add(preamble);
    // An empty message is a header alone: the reference tests the message for truth.
    if (!m.content.empty() || (role == Role::kSystem && !preamble.empty()))
      out.add(m.content + "<|eot_id|>", role == Role::kAssistant);
  }
  if (generation) out.add(header("assistant"));
  return out.take();
}

/// How the two [INST] families differ.
struct InstStyle {
  std::string_view system_begin;
  std::string_view system_end;
  std::string_view answer_end;  ///< belongs to the answer
  std::string_view next_begin;  ///< what follows it
};

std::vector<ChatSpan> render_inst(std::span<const ChatMessage> messages, std::string_view default_system, const InstStyle& style,
                                  std::string_view name, bool generation) {
  Spans out;
  std::string system(default_system);
  size_t first = 0;
  if (!messages.empty() && role_of(messages[0]) == Role::kSystem) system = messages[first++].content;
  for (size_t i = first; i < messages.size(); ++i) {
    const Role role = role_of(messages[i]);
    const bool user_turn = (i - first) % 2 == 0;
    if (role != (user_turn ? Role::kUser : Role::kAssistant)) {
      throw_input("the '{}' template needs user and assistant in turn after at most one system message; message {} is from '{}'",
                  name, i + 1, messages[i].role);
    }
    if (!user_turn) {
      out.add(fmt::format(" {}{}", messages[i].content, style.answer_end), true);
      out.add(style.next_begin);
      continue;
    }
    out.add("[INST] ");
    if (i == first && !system.empty()) out.add(fmt::format("{}{}{}", style.system_begin, system, style.system_end));
    out.add(messages[i].content + " [/INST]");
  }
  if (generation && !messages.empty() && role_of(messages.back()) != Role::kUser) {
    throw_input("the '{}' template answers a user's message, but the last one is from '{}'", name, messages.back().role);
  }
  return out.take();
}

std::vector<ChatSpan> render_plain(std::span<const ChatMessage> messages) {
  Spans out;
  for (const ChatMessage& m : messages) {
    const Role role = role_of(m);
    if (role == Role::kSystem) throw_input("the 'no' template has no system message; choose another with --chat-template");
    if (role == Role::kAssistant) {
      out.add(" " + m.content, true);
    } else {
      out.add(m.content);
    }
  }
  return out.take();
}

constexpr InstStyle kLlama2 = {"<<SYS>>\n", "\n<</SYS>>\n\n", " </s>", "<s>"};
constexpr InstStyle kMistral = {"", "\n", "</s>", ""};

}  // namespace

std::vector<std::string> ChatTemplate::names() { return {kNames.begin(), kNames.end()}; }

ChatTemplate ChatTemplate::by_name(std::string_view name) {
  if (std::find(kNames.begin(), kNames.end(), name) == kNames.end()) {
    throw_input("unknown chat template '{}'; there are: {} (and auto, which takes the model's own)", name,
                fmt::join(kNames, ", "));
  }
  ChatTemplate chat;
  chat.name_ = name;
  return chat;
}

ChatTemplate ChatTemplate::detect(std::string_view template_text) {
  const std::string_view t = template_text;
  // Phi's <|im_sep|> and a template without "[INST] " (Mistral's later, tighter spacing) look alike but are not ours.
  if (contains(t, "<|im_start|>") && contains(t, "<|im_end|>") && !contains(t, "<|im_sep|>")) {
    ChatTemplate chat = by_name("chatml");
    chat.default_system_ = chatml_default_system(t);
    return chat;
  }
  if (contains(t, "<|start_header_id|>") && contains(t, "<|eot_id|>")) {
    ChatTemplate chat = by_name("llama-3");
    if (contains(t, "Cutting Knowledge Date: December 2023")) {
      chat.system_preamble_ = kLlama31Preamble;
      chat.default_system_ = kLlama31Preamble;
    }
    return chat;
  }
  if (contains(t, "[INST] ") && contains(t, " [/INST]")) return by_name(contains(t, "<<SYS>>") ? "llama-2" : "mistral");
  throw_input("the model's own chat template {}; choose one with --chat-template: {}",
              t.empty() ? "is missing" : "is none of those known", fmt::join(kNames, ", "));
}

std::vector<ChatSpan> ChatTemplate::render(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
  if (name_ == "chatml") return render_chatml(messages, default_system_, add_generation_prompt);
  if (name_ == "llama-3") return render_llama3(messages, default_system_, system_preamble_, add_generation_prompt);
  if (name_ == "no") return render_plain(messages);
  return render_inst(messages, default_system_, name_ == "llama-2" ? kLlama2 : kMistral, name_, add_generation_prompt);
}

std::string ChatTemplate::render_text(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
  std::string text;
  for (const ChatSpan& span : render(messages, add_generation_prompt)) text += span.text;
  return text;
}

std::string ChatTemplate::end_of_turn() const {
  if (name_ == "chatml") return "<|im_end|>";
  if (name_ == "llama-3") return "<|eot_id|>";
  if (name_ == "no") return {};
  return "</s>";
}

}  // namespace tenfold
