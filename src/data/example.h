#pragma once

#include "data/record.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace tenfold {

/// What a token is as a target of the loss. kNone: nothing predicts it (the first token, BOS).
enum class TokenKind : uint8_t { kNone, kAnswer, kDocument };

/// A record as tokens. kinds[t] says what ids[t] is as a target; both have the same size.
struct Example {
  std::vector<int32_t> ids;
  std::vector<TokenKind> kinds;
  int64_t record = 0;  ///< index of the record that it was made from
};

/// Tokens of one record. Each span of the rendered conversation is encoded on its own, so that a token is either all answer or
/// all document; an answer's end-of-turn token belongs to it. BOS comes first where the tokenizer adds it. Text of special tokens
/// is parsed as Hugging Face does, in content too. With `add_generation_prompt`, a conversation that ends with the user's turn
/// goes on to where the answer begins. InputError (file and line) when the template cannot express the turns.
Example encode_record(const Record& record, const Tokenizer& tokenizer, const ChatTemplate& chat,
                      bool add_generation_prompt = false);

/// What to do with a record of more than max_length tokens.
enum class TooLong : uint8_t { kError, kDrop, kSplit };

/// "error", "drop" or "split"; InputError with the three names otherwise.
TooLong too_long_by_name(std::string_view name);

struct EncodeReport {
  int64_t records = 0;         ///< read
  int64_t kept = 0;            ///< examples that came out
  int64_t dropped = 0;         ///< records left out as too long, or (split) because no piece of them carries loss
  int64_t split = 0;           ///< records cut into pieces
  int64_t dropped_pieces = 0;  ///< pieces of split records left out because they carry no loss
  int64_t tokens = 0;          ///< of the kept examples
  int64_t longest = 0;         ///< kept example
  int64_t answer_tokens = 0;   ///< of the kept examples
};

/// Encodes all records. kSplit cuts a record into pieces of at most max_length tokens, whose first token is never a target;
/// a piece of a conversation is kept only if it has an answer token. InputError: a record that is too long under kError (file,
/// line, its token count and the choices), a record without any answer token and without text, max_length < 2.
std::vector<Example> encode_records(std::span<const Record> records, const Tokenizer& tokenizer, const ChatTemplate& chat,
                                    int64_t max_length, TooLong policy, EncodeReport& report);

}  // namespace tenfold
