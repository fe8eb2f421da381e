#pragma once

#include "text/chat_template.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tenfold {

/// One training record: a conversation, or plain text without a template (then `messages` is empty).
struct Record {
  std::vector<ChatMessage> messages;
  std::string text;
  std::string source;  ///< the file it came from
  int64_t line = 0;    ///< its line there (1-based); in a file that is one JSON array, its place in the array
};

/// "FILE:LINE", as every message about a record begins.
std::string where(const Record& record);

/// Conversations without an assistant turn: nothing to learn from, but something that can be read.
enum class Unanswered : uint8_t { kError, kAllow };

/// Records of JSON-lines files in the published schema (`{"conversations": [{"role", "content"}]}` or `{"text": ...}`; other keys
/// are ignored). A spec is a file, or a folder whose *.jsonl and *.json files are read in the order of their names; `long-llm:X`
/// means `data_root`/X; a suffix `[N]` takes N records of it at random (all, when there are no more than N) in file order, as a
/// function of `seed` and the spec's place. A file whose first byte is '[' is read as one JSON array of records.
/// InputError with file and line for malformed JSON, missing, empty or mistyped conversations, an unknown role, content that is
/// no string, a first turn that is neither user nor system, a system turn later on, or (kError) no assistant turn.
std::vector<Record> load_records(std::span<const std::string> specs, const std::string& data_root, uint64_t seed,
                                 Unanswered unanswered = Unanswered::kError);

}  // namespace tenfold
