#include "synth/chats.h"

#include "core/error.h"
#include "data/example.h"
#include "synth/chat_choices.h"
#include "synth/chat_tasks.h"
#include "synth/chat_words.h"
#include "synth/wording.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace tenfold {
namespace {

constexpr uint64_t kChatStream = 0x43484154;  // "CHAT"

/// In hundredths; choices most, as there a small shift of the letters changes the answer.
constexpr int kShares[kChatKinds] = {45, 12, 22, 7, 7, 7};

ChatKind draw_kind(Rng& rng) {
  auto at = static_cast<int>(rng.below(100));
  int kind = 0;
  while (at >= kShares[kind]) at -= kShares[kind++];
  return static_cast<ChatKind>(kind);
}

class ChatMaker {
 public:
  ChatMaker(const SynthCorpus& corpus, Rng& rng) : corpus_(corpus), rng_(rng), facts_(rng), layout_(draw_layout(rng)) {}

  /// A conversation whose first question is of `kind`; nothing where a draw does not work out.
  std::optional<ChatRecord> draw(ChatKind kind) {
    ChatRecord record;
    if (rng_.below(4) == 0) {
      facts_.begin();
      record.messages.push_back({"system", facts_.fill(rng_.pick(system_turns()))});
    }
    const uint64_t u = rng_.below(100);
    const size_t turns = u < 65 ? 1 : (u < 88 ? 2 : 3);
    while (record.kinds.size() < turns) {
      if (!record.kinds.empty() && rng_.below(5) < 2) kind = draw_kind(rng_);
      auto pair = question(kind);
      if (!pair) return std::nullopt;
      record.kinds.push_back(kind);
      record.messages.push_back({"user", std::move(pair->question)});
      record.messages.push_back({"assistant", std::move(pair->answer)});
    }
    return record;
  }

 private:
  std::optional<QuestionAnswer> question(ChatKind kind) {
    switch (kind) {
      case ChatKind::kChoice: return choice();
      case ChatKind::kYesNo: return draw_yes_no(corpus_, facts_, rng_);
      case ChatKind::kParagraph: return draw_paragraph_task(corpus_, rng_);
      case ChatKind::kSum: return draw_sum(facts_, rng_);
      case ChatKind::kMeaning: return draw_meaning(rng_);
      case ChatKind::kTalk: return draw_talk(facts_, rng_);
    }
    return std::nullopt;
  }

  /// Now and then with examples before it, in the same layout.
  std::optional<QuestionAnswer> choice() {
    std::string shots;
    for (uint64_t n = rng_.below(10) == 0 ? 1 + rng_.below(3) : 0; n > 0; --n) {
      const auto shown = draw_choice(corpus_, facts_, rng_);
      if (!shown) return std::nullopt;
      const QuestionAnswer pair = turn_of(*shown, layout_);
      shots += pair.question + (layout_.ending.empty() ? "\n" : " ") + pair.answer + "\n\n";
    }
    const auto asked = draw_choice(corpus_, facts_, rng_);
    if (!asked) return std::nullopt;
    QuestionAnswer pair = turn_of(*asked, layout_);
    pair.question = shots + pair.question;
    return pair;
  }

  const SynthCorpus& corpus_;
  Rng& rng_;
  FactMaker facts_;
  ChoiceLayout layout_;
};

bool is_clean(const ChatRecord& record) {
  return std::none_of(record.messages.begin(), record.messages.end(),
                      [](const ChatMessage& message) { return has_forbidden_phrase(message.content); });
}

}  // namespace

std::string_view name_of(ChatKind kind) {
  switch (kind) {
    case ChatKind::kChoice: return "choices";
    case ChatKind::kYesNo: return "yes-no";
    case ChatKind::kParagraph: return "paragraphs";
    case ChatKind::kSum: return "sums";
    case ChatKind::kMeaning: return "meanings";
    case ChatKind::kTalk: return "talk";
  }
  return "";
}

ChatRecord make_chat(const SynthCorpus& corpus, const Tokenizer& tokenizer, const ChatTemplate& chat, uint64_t seed,
                     int64_t index) {
  if (corpus.sentences().empty())
    throw_input("--text: the texts have no plain sentence of 8 to 32 words to make conversations from; give other texts");
  Rng rng(seed, mix64(kChatStream, static_cast<uint64_t>(index)));
  // The kind is drawn once in a while only, or what is often too long would come too seldom.
  constexpr int kDraws = 64;
  constexpr int kKindDraws = 64;
  for (int k = 0; k < kKindDraws; ++k) {
    const ChatKind kind = draw_kind(rng);
    for (int i = 0; i < kDraws; ++i) {
      auto record = ChatMaker(corpus, rng).draw(kind);
      if (!record || !is_clean(*record)) continue;
      record->tokens = static_cast<int64_t>(encode_record({record->messages, {}, {}, 0}, tokenizer, chat).ids.size());
      if (record->tokens >= kLeastChat && record->tokens <= kMostChat) return std::move(*record);
    }
  }
  throw_input("record {}: none of {} conversations had {} to {} tokens with the template {}", index, kDraws * kKindDraws,
              kLeastChat, kMostChat, chat.name());
}

SynthReport synthesize_chats(const ChatOptions& options, const Tokenizer& tokenizer, const ChatTemplate& chat,
                             const std::function<void(const Json& record)>& sink) {
  if (options.records < 1) throw_input("--records {}: expected at least 1", options.records);
  const SynthCorpus corpus(load_synth_texts(options.texts, options.unwrap));
  std::array<std::string_view, kChatKinds> kinds;
  for (int kind = 0; kind < kChatKinds; ++kind) kinds[static_cast<size_t>(kind)] = name_of(static_cast<ChatKind>(kind));
  SynthReport report(corpus, kinds);
  for (int64_t i = 0; i < options.records; ++i) {
    const ChatRecord record = make_chat(corpus, tokenizer, chat, options.seed, i);
    report.add(record.tokens);
    for (const ChatKind kind : record.kinds) ++report.questions[static_cast<size_t>(kind)].second;
    sink(json_of(record.messages));
  }
  return report;
}

}  // namespace tenfold
