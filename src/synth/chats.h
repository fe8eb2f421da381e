#pragma once

#include "core/rng.h"
#include "format/json.h"
#include "synth/corpus.h"
#include "synth/synthesize.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// What a turn of a short conversation is.
enum class ChatKind : uint8_t {
  kChoice,     ///< lettered options
  kYesNo,      ///< yes or no
  kParagraph,  ///< an instruction on a paragraph of the texts
  kSum,        ///< arithmetic
  kMeaning,    ///< what a word means
  kTalk,       ///< greetings, small wishes
};
constexpr int kChatKinds = 6;
std::string_view name_of(ChatKind kind);

/// Tokens of a short conversation, template included.
constexpr int64_t kLeastChat = 30;
constexpr int64_t kMostChat = 600;

struct ChatOptions {
  std::vector<std::string> texts;  ///< as SynthOptions::texts
  Unwrap unwrap = Unwrap::kAuto;
  int64_t records = 2000;
  uint64_t seed = 0;
};

struct ChatRecord {
  std::vector<ChatMessage> messages;  ///< one to three questions with their answers, a system turn before some
  std::vector<ChatKind> kinds;        ///< of the questions
  int64_t tokens = 0;                 ///< rendered, with BOS where there is one
};

/// Record `index`, a short conversation of kLeastChat to kMostChat tokens for self-distillation (train --distill-data): what an
/// instruct model is asked all day, so that what it does with its template is held where long records do not reach. Answers are
/// plausible; choices about invented facts without a passage have no right one. A function of (corpus, seed, index), tokenizer
/// and template. InputError when the corpus has no sentence to take.
ChatRecord make_chat(const SynthCorpus& corpus, const Tokenizer& tokenizer, const ChatTemplate& chat, uint64_t seed,
                     int64_t index);

/// Loads the texts, makes all records in order and hands each, in the published schema, to `sink`.
SynthReport synthesize_chats(const ChatOptions& options, const Tokenizer& tokenizer, const ChatTemplate& chat,
                             const std::function<void(const Json& record)>& sink);

}  // namespace tenfold
