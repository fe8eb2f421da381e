#include "text/chat_template.h"

#include "core/error.h"
#include "format/json.h"
#include "format/mapped_file.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tenfold {
namespace {

using Messages = std::vector<ChatMessage>;

std::string text_of(const ChatTemplate& chat, const Messages& messages, bool generation = true) {
  return chat.render_text(messages, generation);
}

std::string answers_of(const ChatTemplate& chat, const Messages& messages) {
  std::string out;
  for (const ChatSpan& span : chat.render(messages, false))
    if (span.is_answer) out += "[" + span.text + "]";
  return out;
}

const Messages kTalk = {{"user", "a"}, {"assistant", "b"}, {"user", "c"}, {"assistant", "d"}};

TEST(ChatTemplate, UnknownNameListsThoseThereAre) {
  try {
    ChatTemplate::by_name("vicuna");
    FAIL() << "accepted";
  } catch (const InputError& e) {
    for (const auto& name : ChatTemplate::names()) EXPECT_NE(std::string(e.what()).find(name), std::string::npos) << name;
  }
  EXPECT_EQ(ChatTemplate::names(), (std::vector<std::string>{"chatml", "llama-3", "llama-2", "mistral", "no"}));
  for (const auto& name : ChatTemplate::names()) EXPECT_EQ(ChatTemplate::by_name(name).name(), name);
}

TEST(ChatTemplate, ChatMl) {
  ChatTemplate chat = ChatTemplate::by_name("chatml");
  EXPECT_EQ(text_of(chat, {{"user", "Hi"}}), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  chat.set_default_system("S");
  EXPECT_EQ(text_of(chat, {{"user", ""}}),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(text_of(chat, {{"system", "T"}, {"user", "x"}}, false),
            "<|im_start|>system\nT<|im_end|>\n<|im_start|>user\nx<|im_end|>\n");
  EXPECT_EQ(answers_of(chat, kTalk), "[b<|im_end|>][d<|im_end|>]");
  EXPECT_EQ(chat.end_of_turn(), "<|im_end|>");
}

// What transformers renders from the template text in SmolLM2's own GGUF.
TEST(ChatTemplate, SmolLm2EqualsTransformers) {
  const std::string path = std::string(TENFOLD_SOURCE_DIR) + "/tests/golden/tokenizer_chat_smollm2.json";
  const Json golden = parse_json(read_text_file(path), path);
  const ChatTemplate chat = ChatTemplate::detect(golden["template"].get<std::string>());
  EXPECT_EQ(chat.name(), "chatml");
  EXPECT_EQ(chat.default_system(), "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
  ASSERT_GE(golden["cases"].size(), 20u);
  for (const Json& c : golden["cases"]) {
    Messages messages;
    for (const Json& m : c["messages"]) messages.push_back({m["role"].get<std::string>(), m["content"].get<std::string>()});
    EXPECT_EQ(text_of(chat, messages, c["generation"].get<bool>()), c["text"].get<std::string>()) << c.dump();
  }
}

TEST(ChatTemplate, Llama3) {
  const ChatTemplate chat = ChatTemplate::by_name("llama-3");
  EXPECT_EQ(text_of(chat, {{"user", " Hi \n"}}),  // not stripped
            "<|start_header_id|>user<|end_header_id|>\n\n Hi \n<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
  // The reference tests the message for truth: an empty one has no end.
  EXPECT_EQ(text_of(chat, {{"user", ""}}),
            "<|start_header_id|>user<|end_header_id|>\n\n<|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_EQ(text_of(chat, {{"system", "S"}, {"user", "x"}}, false),
            "<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nx<|eot_id|>");
  EXPECT_EQ(answers_of(chat, kTalk), "[b<|eot_id|>][d<|eot_id|>]");
  EXPECT_EQ(chat.end_of_turn(), "<|eot_id|>");
}

TEST(ChatTemplate, Llama2AndMistral) {
  const ChatTemplate llama = ChatTemplate::by_name("llama-2");
  const ChatTemplate mistral = ChatTemplate::by_name("mistral");
  EXPECT_EQ(text_of(llama, {{"user", "a"}}), "[INST] a [/INST]");
  EXPECT_EQ(text_of(mistral, {{"user", "a"}}), "[INST] a [/INST]");
  EXPECT_EQ(text_of(llama, kTalk, false), "[INST] a [/INST] b </s><s>[INST] c [/INST] d </s><s>");
  EXPECT_EQ(text_of(mistral, kTalk, false), "[INST] a [/INST] b</s>[INST] c [/INST] d</s>");
  EXPECT_EQ(answers_of(llama, kTalk), "[ b </s>][ d </s>]");
  EXPECT_EQ(answers_of(mistral, kTalk), "[ b</s>][ d</s>]");
  EXPECT_EQ(text_of(llama, {{"system", "S"}, {"user", "a"}}), "[INST] <<SYS>>\nS\n<</SYS>>\n\na [/INST]");
  EXPECT_EQ(llama.end_of_turn(), "</s>");
  EXPECT_EQ(mistral.end_of_turn(), "</s>");
}

TEST(ChatTemplate, No) {
  const ChatTemplate chat = ChatTemplate::by_name("no");
  EXPECT_EQ(text_of(chat, {{"user", " plain \n"}}), " plain \n");
  EXPECT_EQ(text_of(chat, {{"user", "a"}, {"assistant", "b"}}, false), "a b");
  EXPECT_EQ(answers_of(chat, {{"user", "a"}, {"assistant", "b"}}), "[ b]");
  EXPECT_EQ(chat.end_of_turn(), "");
}

TEST(ChatTemplate, RefusesRolesAndOrders) {
  for (const auto& name : ChatTemplate::names()) {
    EXPECT_THROW(text_of(ChatTemplate::by_name(name), {{"tool", "x"}}), InputError) << name;
    EXPECT_THROW(text_of(ChatTemplate::by_name(name), {{"user", "x"}, {"User", "y"}}), InputError) << name;
    EXPECT_EQ(ChatTemplate::by_name(name).render({}, false).size(), 0u) << name;
  }
  for (const char* name : {"llama-2", "mistral"}) {
    const ChatTemplate chat = ChatTemplate::by_name(name);
    EXPECT_THROW(text_of(chat, {{"assistant", "x"}}, false), InputError);
    EXPECT_THROW(text_of(chat, {{"user", "x"}, {"user", "y"}}, false), InputError);
    EXPECT_THROW(text_of(chat, {{"user", "x"}, {"system", "y"}}, false), InputError);
    EXPECT_THROW(text_of(chat, {{"user", "x"}, {"assistant", "y"}}, true), InputError);
  }
  EXPECT_THROW(text_of(ChatTemplate::by_name("no"), {{"system", "x"}}), InputError);
}

TEST(ChatTemplate, SpansJoinToTheText) {
  for (const auto& name : ChatTemplate::names()) {
    const ChatTemplate chat = ChatTemplate::by_name(name);
    const auto spans = chat.render(kTalk, false);
    ASSERT_GE(spans.size(), 4u) << name;
    for (size_t i = 0; i < spans.size(); ++i) {
      EXPECT_FALSE(spans[i].text.empty());
      EXPECT_EQ(spans[i].is_answer, i % 2 == 1) << name;
    }
  }
}

struct Detected {
  const char* text;
  const char* name;
  const char* system;
};

TEST(ChatTemplate, DetectsFamiliesAndTheirDefaultSystem) {
  const Detected kCases[] = {
      {"{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
       "message['role'] + "
       "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{{ content }}{% endfor %}",
       "llama-3", ""},
      {"{%- if not date_string is defined %}{%- set date_string = \"26 Jul 2024\" %}{%- endif %}"
       "{{- \"<|start_header_id|>system<|end_header_id|>\\n\\n\" }}{{- \"Cutting Knowledge Date: December 2023\\n\" }}"
       "{{- \"Today Date: \" + date_string + \"\\n\\n\" }}{{- system_message }}{{- \"<|eot_id|>\" }}",
       "llama-3", "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"},
      {"{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a "
       "helpful "
       "assistant.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
       "'\\n'}}",
       "chatml", "You are a helpful assistant."},
      // The turn that is put together from the conversation comes first here, as in Qwen 2.5; the whole one is the default.
      {"{%- if tools %}{{- '<|im_start|>system\\n' }}{{- messages[0].content + '<|im_end|>' }}{%- else %}"
       "{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}"
       "{{- '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}{%- endif %}",
       "chatml", "You are Qwen."},
      {"{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}", "chatml", ""},
      {"{{ bos_token }}{{ '[INST] ' + message['content'] + ' [/INST]' }}{{ message['content'] + eos_token}}", "mistral", ""},
      {"{% set content = '<<SYS>>\\n' + system_message %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}", "llama-2",
       ""},
  };
  for (const Detected& c : kCases) {
    const ChatTemplate chat = ChatTemplate::detect(c.text);
    EXPECT_EQ(chat.name(), c.name) << c.text;
    EXPECT_EQ(chat.default_system(), c.system) << c.text;
  }
  const ChatTemplate llama31 = ChatTemplate::detect(kCases[1].text);
  const std::string preamble = kCases[1].system;
  EXPECT_EQ(text_of(llama31, {{"user", "x"}}, false), "<|start_header_id|>system<|end_header_id|>\n\n" + preamble +
                                                          "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nx<|eot_id|>");
  EXPECT_EQ(text_of(llama31, {{"system", "S"}}, false),
            "<|start_header_id|>system<|end_header_id|>\n\n" + preamble + "S<|eot_id|>");
}

TEST(ChatTemplate, UnknownTemplateTextIsAnErrorThatLists) {
  for (const char* text :
       {"", "{{ messages }}", "'<|im_start|>user<|im_sep|>' '<|im_end|>'", "[INST]x[/INST]", "<start_of_turn>"}) {
    try {
      ChatTemplate::detect(text);
      FAIL() << text;
    } catch (const InputError& e) {
      EXPECT_NE(std::string(e.what()).find("--chat-template"), std::string::npos);
      EXPECT_NE(std::string(e.what()).find("llama-3"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace tenfold
