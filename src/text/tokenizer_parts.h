#pragma once

#include "format/gguf.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/pretokenizer.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenfold {

/// What a tokenizer is made of, as its file says it; nothing is cross-checked yet but the types.
struct TokenizerParts {
  std::string source;  ///< file, for messages
  /// Vocabulary in GPT-2's byte-to-unicode spelling, with ids; any order.
  std::vector<std::pair<std::string, int64_t>> vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;  ///< by rank
  std::vector<AddedToken> added;
  PreTokenizer pre;
  bool nfc = false;
  bool ignore_merges = false;
  bool fuse_unknown = false;
  std::string unknown_token;
  int32_t bos_id = -1;
  bool adds_bos = false;
  bool clean_up = false;
  std::vector<int32_t> eos_ids;
  std::string chat_template;
};

/// From the text of a tokenizer.json; InputError names the field of anything malformed or not implemented.
TokenizerParts parts_from_json(std::string_view text, const std::string& source);
/// What tokenizer_config.json (and chat_template.jinja) beside a tokenizer.json add: chat template, bos and eos, clean-up.
/// Missing files add nothing.
void add_tokenizer_config(TokenizerParts& parts, const std::string& directory);
TokenizerParts parts_from_gguf(const GgufFile& file);

/// "a b" as (a, b); false if it is not two parts.
bool split_merge(std::string_view line, std::pair<std::string, std::string>& merge);

}  // namespace tenfold
