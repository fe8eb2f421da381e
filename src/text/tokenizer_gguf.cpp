#include "core/error.h"
#include "text/tokenizer_parts.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace tenfold {
namespace {

enum TokenType : int64_t { kControl = 3, kUserDefined = 4 };

using Step = PreTokenizer::Step;

// Names of llama.cpp's converter, with what the models' own tokenizer.json does.
struct Pre {
  std::string_view name;
  Step step;
  bool ignore_merges;
  bool nfc;
  bool adds_bos;  ///< where the file does not say
};
constexpr std::array<Pre, 11> kPres = {{{"gpt-2", Step::kGpt2, false, false, false},
                                        {"gpt2", Step::kGpt2, false, false, false},
                                        {"phi-2", Step::kGpt2, false, false, false},
                                        {"smollm", Step::kGpt2SplitDigits, false, false, false},
                                        {"starcoder", Step::kGpt2SplitDigits, false, false, false},
                                        {"refact", Step::kGpt2SplitDigits, false, false, false},
                                        {"llama-bpe", Step::kLlama3, true, false, true},
                                        {"llama3", Step::kLlama3, true, false, true},
                                        {"llama-v3", Step::kLlama3, true, false, true},
                                        {"qwen2", Step::kQwen2, false, true, false},
                                        {"deepseek-r1-qwen", Step::kQwen2, false, false, false}}};

const Pre& find_pre(const GgufFile& file) {
  const auto name = file.string_if("tokenizer.ggml.pre");
  std::vector<std::string_view> known;
  for (const Pre& pre : kPres) {
    if (name == pre.name) return pre;
    known.push_back(pre.name);
  }
  throw_input("{}: tokenizer.ggml.pre is {}; the pre-tokenizers there are: {}. Use the model's tokenizer.json instead",
              file.path(), name ? fmt::format("'{}'", *name) : "missing", fmt::join(known, ", "));
}

int32_t special_id(const GgufFile& file, std::string_view key, int64_t vocab) {
  const auto id = file.integer_if(key);
  if (!id) return -1;
  if (*id < 0 || *id >= vocab) throw_input("{}: {} is {} but the vocabulary has {} tokens", file.path(), key, *id, vocab);
  return static_cast<int32_t>(*id);
}

void read_vocabulary(const GgufFile& file, TokenizerParts& parts) {
  const auto& tokens = file.strings("tokenizer.ggml.tokens");
  const auto& types = file.integers("tokenizer.ggml.token_type");
  if (types.size() != tokens.size()) {
    throw_input("{}: tokenizer.ggml.token_type has {} entries but tokenizer.ggml.tokens has {}", file.path(), types.size(),
                tokens.size());
  }
  parts.vocabulary.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    parts.vocabulary.emplace_back(tokens[i], static_cast<int64_t>(i));
    if (types[i] != kControl && types[i] != kUserDefined) continue;
    // HF gives added tokens that are not special normalized = true by default: they are looked for after the special ones.
    parts.added.push_back({std::string(tokens[i]), static_cast<int32_t>(i), types[i] == kControl, types[i] == kUserDefined});
  }
  const auto& merges = file.strings("tokenizer.ggml.merges");
  parts.merges.resize(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    if (!split_merge(merges[i], parts.merges[i])) {
      throw_input("{}: tokenizer.ggml.merges[{}]: expected two tokens and a space, got '{}'", file.path(), i, merges[i]);
    }
  }
}

}  // namespace

TokenizerParts parts_from_gguf(const GgufFile& file) {
  const std::string_view model = file.string("tokenizer.ggml.model");
  if (model != "gpt2") {
    throw_input("{}: tokenizer.ggml.model is '{}'; only byte-level BPE ('gpt2') is implemented", file.path(), model);
  }
  const Pre& pre = find_pre(file);
  TokenizerParts parts;
  parts.source = file.path();
  parts.pre.add(pre.step);
  parts.ignore_merges = pre.ignore_merges;
  parts.nfc = pre.nfc;
  if (file.boolean_if("tokenizer.ggml.add_space_prefix").value_or(false)) {
    throw_input("{}: tokenizer.ggml.add_space_prefix is true, which is not implemented for byte-level BPE", file.path());
  }
  read_vocabulary(file, parts);
  const auto vocab = static_cast<int64_t>(parts.vocabulary.size());
  parts.bos_id = special_id(file, "tokenizer.ggml.bos_token_id", vocab);
  parts.adds_bos = file.boolean_if("tokenizer.ggml.add_bos_token").value_or(pre.adds_bos) && parts.bos_id >= 0;
  for (const auto* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    const int32_t id = special_id(file, key, vocab);
    if (id >= 0 && std::find(parts.eos_ids.begin(), parts.eos_ids.end(), id) == parts.eos_ids.end()) parts.eos_ids.push_back(id);
  }
  parts.chat_template = file.string_if("tokenizer.chat_template").value_or("");
  return parts;
}

}  // namespace tenfold
