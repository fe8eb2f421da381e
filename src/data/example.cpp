#include "data/example.h"

#include "core/error.h"

#include <algorithm>
#include <utility>

namespace tenfold {
namespace {

void append(Example& example, const std::vector<int32_t>& ids, TokenKind kind) {
  example.ids.insert(example.ids.end(), ids.begin(), ids.end());
  example.kinds.insert(example.kinds.end(), ids.size(), kind);
}

int64_t count_answers(const Example& example) {
  return std::count(example.kinds.begin(), example.kinds.end(), TokenKind::kAnswer);
}

bool carries_loss(const Example& example, bool is_text) { return is_text ? example.ids.size() > 1 : count_answers(example) > 0; }

void keep(Example&& example, std::vector<Example>& to, EncodeReport& report) {
  const auto length = static_cast<int64_t>(example.ids.size());
  ++report.kept;
  report.tokens += length;
  report.longest = std::max(report.longest, length);
  report.answer_tokens += count_answers(example);
  to.push_back(std::move(example));
}

void keep_pieces(const Example& example, bool is_text, int64_t max_length, std::vector<Example>& to, EncodeReport& report) {
  const auto length = static_cast<int64_t>(example.ids.size());
  const int64_t kept_before = report.kept;
  ++report.split;
  for (int64_t begin = 0; begin < length; begin += max_length) {
    const int64_t end = std::min(begin + max_length, length);
    Example piece{{example.ids.begin() + begin, example.ids.begin() + end},
                  {example.kinds.begin() + begin, example.kinds.begin() + end},
                  example.record};
    piece.kinds[0] = TokenKind::kNone;
    if (carries_loss(piece, is_text)) {
      keep(std::move(piece), to, report);
    } else {
      ++report.dropped_pieces;
    }
  }
  if (report.kept == kept_before) ++report.dropped;
}

}  // namespace

Example encode_record(const Record& record, const Tokenizer& tokenizer, const ChatTemplate& chat, bool add_generation_prompt) {
  Example example;
  if (tokenizer.adds_bos() && tokenizer.bos_id() >= 0) append(example, {tokenizer.bos_id()}, TokenKind::kNone);
  if (record.messages.empty()) {
    append(example, tokenizer.encode(record.text), TokenKind::kDocument);
  } else {
    std::vector<ChatSpan> spans;
    try {
      spans = chat.render(record.messages, add_generation_prompt && record.messages.back().role != "assistant");
    } catch (const InputError& fault) {
      throw_input("{}: {}", where(record), fault.what());
    }
    for (const ChatSpan& span : spans)
      append(example, tokenizer.encode(span.text), span.is_answer ? TokenKind::kAnswer : TokenKind::kDocument);
  }
  if (!example.kinds.empty()) example.kinds[0] = TokenKind::kNone;
  return example;
}

TooLong too_long_by_name(std::string_view name) {
  if (name == "error") return TooLong::kError;
  if (name == "drop") return TooLong::kDrop;
  if (name == "split") return TooLong::kSplit;
  throw_input("'{}' is no way to treat records that are too long; there are: error, drop, split", name);
}

std::vector<Example> encode_records(std::span<const Record> records, const Tokenizer& tokenizer, const ChatTemplate& chat,
                                    int64_t max_length, TooLong policy, EncodeReport& report) {
  if (max_length < 2) throw_input("--max-length {}: a record needs at least 2 tokens", max_length);
  report = {};
  std::vector<Example> examples;
  for (size_t i = 0; i < records.size(); ++i) {
    const Record& record = records[i];
    Example example = encode_record(record, tokenizer, chat);
    example.record = static_cast<int64_t>(i);
    ++report.records;
    const bool is_text = record.messages.empty();
    const auto length = static_cast<int64_t>(example.ids.size());
    if (!carries_loss(example, is_text)) {
      throw_input("{}: the record has {} tokens and none to learn from{}", where(record), length,
                  is_text ? " (a text needs at least 2)" : " (no answer)");
    }
    if (length <= max_length) {
      keep(std::move(example), examples, report);
    } else if (policy == TooLong::kError) {
      throw_input(
          "{}: the record has {} tokens, --max-length is {}; raise it, or choose with --too-long: error (this), drop "
          "(leave such records out) or split (cut them into pieces)",
          where(record), length, max_length);
    } else if (policy == TooLong::kDrop) {
      ++report.dropped;
    } else {
      keep_pieces(example, is_text, max_length, examples, report);
    }
  }
  return examples;
}

}  // namespace tenfold
