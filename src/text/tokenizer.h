#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

class GgufFile;

struct EncodeOptions {
  bool add_bos = false;       ///< prepend BOS where the tokenizer's post-processor would
  bool parse_special = true;  ///< text of added special tokens in the input becomes that token (Hugging Face's default)
};

struct DecodeOptions {
  bool skip_special = false;
  bool clean_up = false;  ///< transformers' clean_up_tokenization_spaces
};

/// Byte-level BPE (GPT-2, SmolLM2, Llama-3, Qwen families), ids equal to HF tokenizers'. Immutable after loading; encode and
/// decode may be called from several threads.
class Tokenizer {
 public:
  /// From a GGUF's tokenizer.ggml.* metadata. InputError on an unknown tokenizer.ggml.model or .pre, naming those there are.
  static Tokenizer from_gguf(const GgufFile& file);
  /// From a Hugging Face tokenizer.json. InputError names file and field for anything it does not implement.
  /// tokenizer_config.json and chat_template.jinja beside it, where there are such, add chat template, end token and clean-up.
  static Tokenizer from_json(const std::string& path);
  /// The same from text in memory, without the files beside it; `source` is for messages.
  static Tokenizer from_json_text(std::string_view text, const std::string& source);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Token ids of UTF-8 text; invalid UTF-8 is encoded byte by byte as U+FFFD replaced text, as Rust's lossy conversion does.
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;
  /// UTF-8 text of ids; incomplete sequences become U+FFFD. InputError on an id outside the vocabulary.
  std::string decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;
  /// Bytes of one token, not necessarily whole UTF-8 (for streaming output).
  std::string token_bytes(int32_t id) const;

  int64_t vocab_size() const;
  bool is_special(int32_t id) const;
  /// Id of an exact token text such as "<|im_end|>", or -1.
  int32_t id_of(std::string_view token) const;
  int32_t bos_id() const;  ///< -1 if there is none
  /// Whether encoding whole prompts prepends BOS by default (Llama-3: yes, SmolLM2: no).
  bool adds_bos() const;
  /// End tokens that the tokenizer itself names (GGUF eos/eot ids); may be empty for tokenizer.json.
  const std::vector<int32_t>& eos_ids() const;
  /// The chat template text that the source carries (GGUF tokenizer.chat_template, tokenizer_config.json), else empty.
  const std::string& chat_template_text() const;
  /// clean_up_tokenization_spaces of tokenizer_config.json; false where it is not said.
  bool clean_up_default() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Streams the text of tokens as they come, holding back bytes until they are whole UTF-8.
class TokenStream {
 public:
  explicit TokenStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  /// Text that became complete with this token; special tokens give nothing.
  std::string push(int32_t id);
  /// What is left, with U+FFFD for incomplete sequences.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;
};

}  // namespace tenfold
