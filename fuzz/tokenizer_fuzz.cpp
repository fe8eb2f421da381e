#include "core/error.h"
#include "format/gguf.h"
#include "format/json.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using tenfold::Json;
using tenfold::Tokenizer;

/// All bytes, a few merges, two added tokens and one of the pre-tokenizers.
Tokenizer make_tokenizer(const char* pre) {
  Json vocab = Json::object();
  int64_t id = 0;
  for (uint32_t c = 0x21; c < 0x144; ++c) {
    if ((c > 0x7E && c < 0xA1) || c == 0xAD) continue;
    std::string text;
    tenfold::append_utf8(text, c);
    vocab[text] = id++;
  }
  Json merges = Json::array();
  for (const auto& [a, b] : {std::pair("a", "a"), {"aa", "aa"}, {"\xC4\xA0", "a"}, {"\xC3\xA4", "\xC2\xB8"}, {"1", "2"}}) {
    merges.push_back(Json::array({a, b}));
    vocab[std::string(a) + b] = id++;
  }
  Json json;
  json["added_tokens"] = {{{"id", id}, {"content", "<|x|>"}, {"special", true}},
                          {{"id", id + 1}, {"content", "<|x|>y"}, {"special", false}}};
  json["pre_tokenizer"] = Json::parse(pre);
  json["decoder"] = {{"type", "ByteLevel"}};
  json["model"] = {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}};
  return Tokenizer::from_json_text(json.dump(), "fuzz");
}

std::vector<Tokenizer> make_tokenizers() {
  constexpr std::string_view kSplit =
      R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":PATTERN},"behavior":"Isolated"},)"
      R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})";
  std::vector<Tokenizer> out;
  out.push_back(make_tokenizer(R"({"type":"ByteLevel","add_prefix_space":false})"));
  out.push_back(make_tokenizer(R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)"
                               R"({"type":"ByteLevel","add_prefix_space":false}]})"));
  for (const char* pattern :
       {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        R"(\w+|\s)"}) {
    std::string text(kSplit);
    text.replace(text.find("PATTERN"), 7, Json(pattern).dump());
    out.push_back(make_tokenizer(text.c_str()));
  }
  return out;
}

// Decoding gives the text back (its ill-formed parts replaced), streaming gives the same, and so does plain text.
void round_trip(const Tokenizer& tokenizer, std::string_view text) {
  const std::string expected = tenfold::utf8_lossy(text);
  const auto ids = tokenizer.encode(text);
  TENFOLD_CHECK(tokenizer.decode(ids) == expected, "{} ids", ids.size());
  TENFOLD_CHECK(tokenizer.encode(text) == ids, "the second time differs");
  const auto plain = tokenizer.encode(text, {.parse_special = false});
  TENFOLD_CHECK(tokenizer.decode(plain, {.skip_special = true}) == expected, "{} ids", plain.size());
  tenfold::TokenStream stream(tokenizer);
  std::string streamed;
  for (const int32_t id : ids) streamed += stream.push(id);
  streamed += stream.finish();
  TENFOLD_CHECK(streamed == tokenizer.decode(ids, {.skip_special = true}), "{} bytes", streamed.size());
  (void)tokenizer.decode(ids, {.clean_up = true});
}

}  // namespace

// The first byte picks: text through a fixed tokenizer, a hostile tokenizer.json, a hostile GGUF, or a hostile chat template.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<Tokenizer> tokenizers = make_tokenizers();
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t mode = data[0] % (tokenizers.size() + 3);
  if (mode < tokenizers.size()) {
    round_trip(tokenizers[mode], text);
    return 0;
  }
  try {
    if (mode == tokenizers.size() + 2) {
      const auto chat = tenfold::ChatTemplate::detect(text);
      const std::vector<tenfold::ChatMessage> messages = {{"user", text}};
      TENFOLD_CHECK(!chat.render_text(messages, true).empty(), "nothing rendered");
      return 0;
    }
    const bool json = mode == tokenizers.size();
    const auto bytes = std::as_bytes(std::span(text));
    const Tokenizer tokenizer =
        json ? Tokenizer::from_json_text(text, "fuzz") : Tokenizer::from_gguf(tenfold::GgufFile(bytes, "fuzz"));
    const auto ids = tokenizer.encode("It's 123 tests,\n\n  a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80 <|x|>");
    (void)tokenizer.decode(ids);
  } catch (const tenfold::InputError&) {
  }
  return 0;
}
