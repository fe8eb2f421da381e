#include "text/tokenizer.h"

#include "core/error.h"
#include "format/gguf.h"
#include "format/mapped_file.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <mutex>
#include <unordered_map>

namespace tenfold {
namespace {

// Ids a scratch may keep room for between calls (64 MiB).
constexpr int64_t kKeptIds = int64_t{1} << 24;

/// Scratch objects that no call is using. A call takes one and gives it back, so that word caches stay warm without being shared.
class ScratchPool {
 public:
  std::unique_ptr<BpeScratch> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return nullptr;
    auto scratch = std::move(idle_.back());
    idle_.pop_back();
    return scratch;
  }
  void give_back(std::unique_ptr<BpeScratch> scratch) {
    scratch->ids.shrink(kKeptIds);
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(scratch));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<BpeScratch>> idle_;
};

// Whole-string replacements, in this order (transformers, PreTrainedTokenizerBase.clean_up_tokenization).
void clean_up_spaces(std::string& text) {
  constexpr std::array<std::array<std::string_view, 2>, 10> kReplacements = {{{" .", "."},
                                                                              {" ?", "?"},
                                                                              {" !", "!"},
                                                                              {" ,", ","},
                                                                              {" ' ", "'"},
                                                                              {" n't", "n't"},
                                                                              {" 'm", "'m"},
                                                                              {" 's", "'s"},
                                                                              {" 've", "'ve"},
                                                                              {" 're", "'re"}}};
  std::string out;
  for (const auto& [from, to] : kReplacements) {
    out.clear();
    size_t at = 0;
    for (size_t hit = text.find(from); hit != std::string::npos; hit = text.find(from, at)) {
      out.append(text, at, hit - at).append(to);
      at = hit + from.size();
    }
    out.append(text, at);
    text.swap(out);
  }
}

/// Vocabulary while it is put together.
struct Vocabulary {
  TokenTable table;
  std::vector<bool> present;                          ///< by id
  std::unordered_map<std::string, int32_t> unmapped;  ///< tokens whose text is not in GPT-2's byte spelling
};

// Texts by id; InputError on duplicate ids, a token with two ids, and holes that would cost more memory than the tokens.
std::vector<const std::string*> texts_by_id(const TokenizerParts& parts, std::vector<bool>& is_base) {
  int64_t size = 0;
  for (const auto& [text, id] : parts.vocabulary) size = std::max(size, id + 1);
  for (const auto& token : parts.added) size = std::max<int64_t>(size, int64_t{token.id} + 1);
  const auto count = static_cast<int64_t>(parts.vocabulary.size() + parts.added.size());
  if (size > 2 * count + 1024) {
    throw_input("{}: the largest token id is {} but there are only {} tokens; the ids are wrong", parts.source, size - 1, count);
  }
  std::vector<const std::string*> texts(static_cast<size_t>(size), nullptr);
  is_base.assign(texts.size(), false);
  for (const auto& [text, id] : parts.vocabulary) {
    auto& slot = texts[static_cast<size_t>(id)];
    if (slot) throw_input("{}: tokens '{}' and '{}' both have id {}", parts.source, *slot, text, id);
    slot = &text;
    is_base[static_cast<size_t>(id)] = true;
  }
  for (const AddedToken& token : parts.added) {
    auto& slot = texts[static_cast<size_t>(token.id)];
    if (slot && *slot != token.content) {
      throw_input("{}: added token '{}' has id {}, which is token '{}'", parts.source, token.content, token.id, *slot);
    }
    slot = &token.content;
  }
  return texts;
}

Vocabulary build_vocabulary(const TokenizerParts& parts, const ByteMap& bytes) {
  std::vector<bool> is_base;
  const auto texts = texts_by_id(parts, is_base);
  Vocabulary v{TokenTable(static_cast<int64_t>(texts.size())), std::vector<bool>(texts.size()), {}};
  std::string raw;
  for (size_t id = 0; id < texts.size(); ++id) {
    if (!texts[id]) {
      v.table.add("", false);
      continue;
    }
    const std::string& text = *texts[id];
    if (valid_utf8_prefix(text) != text.size()) throw_input("{}: the text of token {} is not UTF-8", parts.source, id);
    v.present[id] = true;
    raw.clear();
    const bool mapped = bytes.to_bytes(text, raw);
    bool added = v.table.add(mapped ? raw : text, mapped && is_base[id]);
    if (added && (!mapped || !is_base[id])) added = v.unmapped.emplace(text, static_cast<int32_t>(id)).second;
    if (!added) throw_input("{}: token '{}' is there twice, with id {} as well", parts.source, text, id);
  }
  for (const AddedToken& token : parts.added) {
    raw.clear();
    const int32_t base = bytes.to_bytes(token.content, raw) ? v.table.find(raw) : token.id;
    if (base >= 0 && base != token.id) {
      throw_input("{}: added token '{}' has id {}, but the vocabulary has it as {}", parts.source, token.content, token.id, base);
    }
  }
  return v;
}

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(TokenizerParts parts);

  int32_t find(std::string_view token) const;
  /// Encodes text between added tokens of the first kind.
  void encode_stretch(std::string_view text, const AddedTokenMatcher& normalized, BpeScratch& scratch) const;
  void encode_words(std::string_view text, BpeScratch& scratch) const;
  size_t checked_id(int32_t id) const {
    if (id < 0 || static_cast<size_t>(id) >= present.size() || !present[static_cast<size_t>(id)]) {
      throw_input("{}: token id {} is outside the vocabulary of {} tokens", source, id, present.size());
    }
    return static_cast<size_t>(id);
  }

  std::string source;
  ByteMap byte_map;
  std::vector<bool> present;
  std::vector<bool> special;
  std::unordered_map<std::string, int32_t> unmapped;
  std::optional<Bpe> bpe;
  PreTokenizer pre;
  bool nfc;
  /// [parse_special][normalized]
  std::array<std::array<AddedTokenMatcher, 2>, 2> matchers;
  int32_t bos_id;
  bool adds_bos;
  bool clean_up;
  std::vector<int32_t> eos_ids;
  std::string chat_template;
  mutable ScratchPool scratches;
};

Tokenizer::Impl::Impl(TokenizerParts parts)
    : source(parts.source),
      pre(std::move(parts.pre)),
      nfc(parts.nfc),
      bos_id(parts.bos_id),
      adds_bos(parts.adds_bos),
      clean_up(parts.clean_up),
      eos_ids(std::move(parts.eos_ids)),
      chat_template(std::move(parts.chat_template)) {
  Vocabulary vocabulary = build_vocabulary(parts, byte_map);
  present = std::move(vocabulary.present);
  unmapped = std::move(vocabulary.unmapped);
  special.resize(present.size());
  if (adds_bos) checked_id(bos_id);
  for (const AddedToken& token : parts.added) {
    if (token.special) special[static_cast<size_t>(token.id)] = true;
    matchers[1][token.normalized].add(token.content, token.id);
    if (!token.special) matchers[0][token.normalized].add(token.content, token.id);
  }

  const auto lookup = [&](std::string_view text, size_t merge) {
    std::string raw;
    const bool valid = valid_utf8_prefix(text) == text.size();
    int32_t id = valid && byte_map.to_bytes(text, raw) ? vocabulary.table.find(raw) : -1;
    if (id < 0) {
      const auto it = unmapped.find(std::string(text));
      if (it == unmapped.end()) throw_input("{}: merge {} names '{}', which is not a token", source, merge, text);
      id = it->second;
    }
    return id;
  };
  if (parts.merges.size() >= MergeTable::kNoRank) throw_input("{}: {} merges are too many", source, parts.merges.size());
  MergeTable merges(static_cast<int64_t>(parts.merges.size()));
  for (size_t i = 0; i < parts.merges.size(); ++i) {
    const auto& [left, right] = parts.merges[i];
    const int32_t left_id = lookup(left, i);
    const int32_t right_id = lookup(right, i);
    merges.set(left_id, right_id, {static_cast<uint32_t>(i), lookup(left + right, i)});
  }
  Bpe::Options options{parts.ignore_merges, -1, parts.fuse_unknown};
  bpe.emplace(std::move(vocabulary.table), std::move(merges), options);
  if (!parts.unknown_token.empty()) {
    options.unknown_id = find(parts.unknown_token);
    if (options.unknown_id < 0) throw_input("{}: model.unk_token '{}' is not in the vocabulary", source, parts.unknown_token);
    bpe->set_options(options);
  }
}

int32_t Tokenizer::Impl::find(std::string_view token) const {
  if (const auto it = unmapped.find(std::string(token)); it != unmapped.end()) return it->second;
  std::string raw;
  if (valid_utf8_prefix(token) != token.size() || !byte_map.to_bytes(token, raw)) return -1;
  return bpe->tokens().find(raw);
}

void Tokenizer::Impl::encode_words(std::string_view text, BpeScratch& scratch) const {
  const auto* end = reinterpret_cast<const uint8_t*>(text.data()) + text.size();
  pre.for_each_word(text, [&](const uint8_t* p, const uint8_t* q) { bpe->encode_word(p, q, end, scratch); });
}

void Tokenizer::Impl::encode_stretch(std::string_view text, const AddedTokenMatcher& normalized, BpeScratch& scratch) const {
  std::string composed;
  if (nfc && may_need_nfc(text)) {
    composed = normalize_nfc(text);
    text = composed;
  }
  normalized.split(
      text, [&](size_t from, size_t to) { encode_words(text.substr(from, to - from), scratch); },
      [&](int32_t id) { scratch.ids.push(id); });
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::from_gguf(const GgufFile& file) { return Tokenizer(std::make_unique<Impl>(parts_from_gguf(file))); }

Tokenizer Tokenizer::from_json(const std::string& path) {
  TokenizerParts parts = parts_from_json(read_text_file(path), path);
  add_tokenizer_config(parts, std::filesystem::path(path).parent_path().string());
  return Tokenizer(std::make_unique<Impl>(std::move(parts)));
}

Tokenizer Tokenizer::from_json_text(std::string_view text, const std::string& source) {
  return Tokenizer(std::make_unique<Impl>(parts_from_json(text, source)));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::string repaired;
  if (valid_utf8_prefix(text) != text.size()) {
    repaired = utf8_lossy(text);
    text = repaired;
  }
  auto scratch = impl_->scratches.take();
  if (!scratch) scratch = std::make_unique<BpeScratch>();
  scratch->ids.clear();
  if (options.add_bos && impl_->adds_bos) scratch->ids.push(impl_->bos_id);
  const auto& [plain, normalized] = impl_->matchers[options.parse_special];
  plain.split(
      text,
      [&, &after = normalized](size_t from, size_t to) { impl_->encode_stretch(text.substr(from, to - from), after, *scratch); },
      [&](int32_t id) { scratch->ids.push(id); });
  std::vector<int32_t> ids(scratch->ids.data(), scratch->ids.data() + scratch->ids.size());
  impl_->scratches.give_back(std::move(scratch));
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  std::string bytes;
  for (const int32_t id : ids) {
    const size_t i = impl_->checked_id(id);
    if (options.skip_special && impl_->special[i]) continue;
    bytes += impl_->bpe->tokens().bytes(id);
  }
  std::string text = valid_utf8_prefix(bytes) == bytes.size() ? std::move(bytes) : utf8_lossy(bytes);
  if (options.clean_up) clean_up_spaces(text);
  return text;
}

std::string Tokenizer::token_bytes(int32_t id) const {
  impl_->checked_id(id);
  return std::string(impl_->bpe->tokens().bytes(id));
}

int64_t Tokenizer::vocab_size() const { return static_cast<int64_t>(impl_->present.size()); }
bool Tokenizer::is_special(int32_t id) const { return impl_->special[impl_->checked_id(id)]; }
int32_t Tokenizer::id_of(std::string_view token) const { return impl_->find(token); }
int32_t Tokenizer::bos_id() const { return impl_->bos_id; }
bool Tokenizer::adds_bos() const { return impl_->adds_bos; }
const std::vector<int32_t>& Tokenizer::eos_ids() const { return impl_->eos_ids; }
const std::string& Tokenizer::chat_template_text() const { return impl_->chat_template; }
bool Tokenizer::clean_up_default() const { return impl_->clean_up; }

std::string TokenStream::push(int32_t id) {
  if (tokenizer_.is_special(id)) return {};
  pending_ += tokenizer_.token_bytes(id);
  return take_complete_utf8(pending_);
}

std::string TokenStream::finish() {
  std::string text = utf8_lossy(pending_);
  pending_.clear();
  return text;
}

}  // namespace tenfold
