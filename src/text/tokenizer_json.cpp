#include "core/error.h"
#include "format/json.h"
#include "format/mapped_file.h"
#include "text/tokenizer_parts.h"

#include <filesystem>
#include <limits>

namespace tenfold {
namespace {

constexpr uint64_t kMaxId = std::numeric_limits<int32_t>::max();

/// A place in a tokenizer.json, for messages: "tokenizer.json: pre_tokenizer.pretokenizers[1]".
struct Place {
  const Json& value;
  std::string path;

  [[noreturn]] void refuse(std::string_view why) const { throw_input("{}: {}", path, why); }
  Place at(const char* key) const {
    if (!value.is_object()) refuse(fmt::format("expected an object, got {}", value.type_name()));
    const auto it = value.find(key);
    if (it == value.end()) refuse(fmt::format("'{}' is missing", key));
    return {*it, path + "." + key};
  }
  bool has(const char* key) const { return value.is_object() && value.contains(key) && !value[key].is_null(); }
  Place operator[](size_t i) const { return {value[i], fmt::format("{}[{}]", path, i)}; }
  size_t array_size() const {
    if (!value.is_array()) refuse(fmt::format("expected an array, got {}", value.type_name()));
    return value.size();
  }
  const std::string& string() const {
    if (!value.is_string()) refuse(fmt::format("expected a string, got {}", value.type_name()));
    return value.get_ref<const std::string&>();
  }
  bool boolean() const {
    if (!value.is_boolean()) refuse(fmt::format("expected true or false, got {}", value.type_name()));
    return value.get<bool>();
  }
  bool boolean_or(const char* key, bool fallback) const { return has(key) ? at(key).boolean() : fallback; }
  int64_t id() const {
    if (!value.is_number_integer()) refuse(fmt::format("expected a token id, got {}", value.type_name()));
    if (!value.is_number_unsigned()) refuse(fmt::format("token id {} is negative", value.get<int64_t>()));
    if (value.get<uint64_t>() > kMaxId) refuse(fmt::format("token id {} does not fit 31 bits", value.get<uint64_t>()));
    return value.get<int64_t>();
  }
};

void read_split(const Place& step, PreTokenizer& pre) {
  const std::string& behavior = step.at("behavior").string();
  const bool invert = step.boolean_or("invert", false);
  const Place pattern = step.at("pattern");
  const bool literal = pattern.has("String");
  if (!literal && !pattern.has("Regex")) pattern.refuse("expected 'Regex' or 'String'");
  const std::string& text = pattern.at(literal ? "String" : "Regex").string();
  const bool known = !literal && (text == kGpt2Pattern || text == kLlama3Pattern || text == kQwen2Pattern);
  // "Removed" and inverted keeps the matches, which for the known patterns are all of the text.
  const bool keeps_all = (behavior == "Isolated" && !invert) || (known && behavior == "Removed" && invert);
  if (!keeps_all) {
    step.refuse(
        fmt::format("Split with behavior '{}' and invert {} is not implemented (only 'Isolated' and false)", behavior, invert));
  }
  literal ? pre.add_literal_split(text, pattern.path) : pre.add_split(text, pattern.path);
}

// Adds the steps; `byte_level` is set where bytes become tokens, which must be last.
void read_pre_tokenizer(const Place& step, PreTokenizer& pre, bool& byte_level) {
  if (byte_level) step.refuse("a step after ByteLevel is not implemented");
  const std::string& type = step.at("type").string();
  if (type == "Sequence") {
    const Place steps = step.at("pretokenizers");
    for (size_t i = 0; i < steps.array_size(); ++i) read_pre_tokenizer(steps[i], pre, byte_level);
  } else if (type == "ByteLevel") {
    if (step.boolean_or("add_prefix_space", true)) step.refuse("add_prefix_space true is not implemented");
    if (step.boolean_or("use_regex", true)) pre.add(PreTokenizer::Step::kGpt2);
    byte_level = true;
  } else if (type == "Digits") {
    pre.add(step.boolean_or("individual_digits", false) ? PreTokenizer::Step::kDigitsAlone : PreTokenizer::Step::kDigitsRuns);
  } else if (type == "Split") {
    read_split(step, pre);
  } else {
    step.refuse(fmt::format("type '{}' is not implemented; there are Sequence, ByteLevel, Digits and Split", type));
  }
}

void read_normalizer(const Place& step, TokenizerParts& parts) {
  const std::string& type = step.at("type").string();
  if (type == "NFC") {
    parts.nfc = true;
  } else if (type == "Sequence") {
    const Place steps = step.at("normalizers");
    for (size_t i = 0; i < steps.array_size(); ++i) read_normalizer(steps[i], parts);
  } else {
    step.refuse(fmt::format("type '{}' is not implemented; there are NFC and none", type));
  }
}

void read_template(const Place& step, TokenizerParts& parts) {
  const Place single = step.at("single");
  bool seen_sequence = false;
  for (size_t i = 0; i < single.array_size(); ++i) {
    const Place piece = single[i];
    if (piece.has("Sequence")) {
      if (seen_sequence) piece.refuse("the text appears twice");
      seen_sequence = true;
      continue;
    }
    const std::string& token = piece.at("SpecialToken").at("id").string();
    if (seen_sequence) piece.refuse(fmt::format("a token after the text ('{}') is not implemented", token));
    if (parts.adds_bos) piece.refuse("more than one token before the text is not implemented");
    const Place ids = step.at("special_tokens").at(token.c_str()).at("ids");
    if (ids.array_size() != 1) ids.refuse("expected one id");
    parts.bos_id = static_cast<int32_t>(ids[0].id());
    parts.adds_bos = true;
  }
  if (!seen_sequence) single.refuse("the text itself is missing");
}

void read_post_processor(const Place& step, TokenizerParts& parts) {
  const std::string& type = step.at("type").string();
  if (type == "Sequence") {
    const Place steps = step.at("processors");
    for (size_t i = 0; i < steps.array_size(); ++i) read_post_processor(steps[i], parts);
  } else if (type == "TemplateProcessing") {
    read_template(step, parts);
  } else if (type != "ByteLevel") {  // ByteLevel only trims offsets
    step.refuse(fmt::format("type '{}' is not implemented; there are Sequence, TemplateProcessing and ByteLevel", type));
  }
}

void read_decoder(const Place& step) {
  const std::string& type = step.at("type").string();
  if (type == "Sequence") {
    const Place steps = step.at("decoders");
    if (steps.array_size() != 1) steps.refuse("only a single ByteLevel decoder is implemented");
    return read_decoder(steps[0]);
  }
  if (type != "ByteLevel") step.refuse(fmt::format("type '{}' is not implemented; there is ByteLevel", type));
}

void read_merges(const Place& merges, TokenizerParts& parts) {
  const size_t n = merges.array_size();
  parts.merges.resize(n);
  for (size_t i = 0; i < n; ++i) {
    const Json& merge = merges.value[i];
    auto& out = parts.merges[i];
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      out = {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
    } else if (!merge.is_string() || !split_merge(merge.get_ref<const std::string&>(), out)) {
      merges[i].refuse("expected \"a b\" or [\"a\", \"b\"]");
    }
  }
}

void read_model(const Place& model, TokenizerParts& parts) {
  if (model.has("type") && model.at("type").string() != "BPE") {
    model.refuse(fmt::format("type '{}' is not implemented; only byte-level BPE is", model.at("type").string()));
  }
  const Place vocab = model.at("vocab");
  if (!vocab.value.is_object()) vocab.refuse(fmt::format("expected an object, got {}", vocab.value.type_name()));
  parts.vocabulary.reserve(vocab.value.size());
  for (const auto& [text, id] : vocab.value.items()) {
    // The path is only written out for a bad entry: there are 128,000.
    if (!id.is_number_unsigned() || id.get<uint64_t>() > kMaxId) Place{id, fmt::format("{}: token '{}'", vocab.path, text)}.id();
    parts.vocabulary.emplace_back(text, id.get<int64_t>());
  }
  read_merges(model.at("merges"), parts);
  parts.ignore_merges = model.boolean_or("ignore_merges", false);
  parts.fuse_unknown = model.boolean_or("fuse_unk", false);
  if (model.has("unk_token")) parts.unknown_token = model.at("unk_token").string();
  if (model.boolean_or("byte_fallback", false)) model.refuse("byte_fallback true is not implemented");
  for (const auto* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (model.has(key) && !model.at(key).string().empty()) model.at(key).refuse("is not implemented");
  }
  if (model.has("dropout") && !(model.at("dropout").value.is_number() && model.at("dropout").value.get<double>() == 0)) {
    model.at("dropout").refuse("BPE dropout is not implemented");
  }
}

void read_added_tokens(const Place& added, TokenizerParts& parts) {
  for (size_t i = 0; i < added.array_size(); ++i) {
    const Place token = added[i];
    for (const auto* key : {"single_word", "lstrip", "rstrip"}) {
      if (token.boolean_or(key, false)) token.at(key).refuse("true is not implemented");
    }
    const bool special = token.boolean_or("special", false);
    parts.added.push_back({token.at("content").string(), static_cast<int32_t>(token.at("id").id()), special,
                           token.boolean_or("normalized", !special)});
  }
}

std::string token_content(const Place& root, const char* key) {
  if (!root.has(key)) return {};
  const Place token = root.at(key);
  return token.value.is_object() ? token.at("content").string() : token.string();
}

int32_t id_by_content(const TokenizerParts& parts, const std::string& content) {
  if (content.empty()) return -1;
  for (const AddedToken& token : parts.added)
    if (token.content == content) return token.id;
  for (const auto& [text, id] : parts.vocabulary)
    if (text == content) return static_cast<int32_t>(id);
  return -1;
}

void read_chat_template(const Place& root, TokenizerParts& parts) {
  if (!root.has("chat_template")) return;
  const Place chat = root.at("chat_template");
  if (chat.value.is_string()) {
    parts.chat_template = chat.string();
    return;
  }
  for (size_t i = 0; i < chat.array_size(); ++i) {
    if (chat[i].at("name").string() == "default") parts.chat_template = chat[i].at("template").string();
  }
}

}  // namespace

bool split_merge(std::string_view line, std::pair<std::string, std::string>& merge) {
  const auto space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == line.size()) return false;
  if (line.find(' ', space + 1) != std::string_view::npos) return false;
  merge = {std::string(line.substr(0, space)), std::string(line.substr(space + 1))};
  return true;
}

TokenizerParts parts_from_json(std::string_view text, const std::string& source) {
  const Json json = parse_json(text, source);
  const Place root{json, source};
  TokenizerParts parts;
  parts.source = source;
  read_model(root.at("model"), parts);
  if (root.has("added_tokens")) read_added_tokens(root.at("added_tokens"), parts);
  if (root.has("normalizer")) read_normalizer(root.at("normalizer"), parts);
  if (!root.has("pre_tokenizer")) root.refuse("'pre_tokenizer' is missing: only byte-level BPE is implemented");
  bool byte_level = false;
  read_pre_tokenizer(root.at("pre_tokenizer"), parts.pre, byte_level);
  if (!byte_level) root.at("pre_tokenizer").refuse("there is no ByteLevel step: only byte-level BPE is implemented");
  if (!root.has("decoder")) root.refuse("'decoder' is missing: expected ByteLevel");
  read_decoder(root.at("decoder"));
  if (root.has("post_processor")) read_post_processor(root.at("post_processor"), parts);
  // "truncation" and "padding" are not read: transformers resets both before it encodes.
  return parts;
}

void add_tokenizer_config(TokenizerParts& parts, const std::string& directory) {
  namespace fs = std::filesystem;
  const auto beside = [&](const char* name) { return (fs::path(directory) / name).string(); };
  if (const std::string path = beside("tokenizer_config.json"); fs::is_regular_file(path)) {
    const Json json = parse_json(read_text_file(path), path);
    const Place root{json, path};
    if (!json.is_object()) root.refuse(fmt::format("expected an object, got {}", json.type_name()));
    read_chat_template(root, parts);
    parts.clean_up = root.boolean_or("clean_up_tokenization_spaces", false);
    if (const int32_t bos = id_by_content(parts, token_content(root, "bos_token")); bos >= 0 && parts.bos_id < 0)
      parts.bos_id = bos;
    if (const int32_t eos = id_by_content(parts, token_content(root, "eos_token")); eos >= 0) parts.eos_ids.push_back(eos);
  }
  if (const std::string path = beside("chat_template.jinja"); fs::is_regular_file(path))
    parts.chat_template = read_text_file(path);
}

}  // namespace tenfold
