#include "text/tokenizer.h"

#include "core/error.h"
#include "format/json.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace tenfold {
namespace {

using Ids = std::vector<int32_t>;

/// A tokenizer.json of all 256 bytes (ids in GPT-2's order of code points), the given merges, and added tokens from id 300.
Json small_json(const std::vector<std::pair<std::string, std::string>>& merges) {
  Json vocab = Json::object();
  int64_t id = 0;
  for (uint32_t c = 0x21; c < 0x144; ++c) {
    if ((c > 0x7E && c < 0xA1) || c == 0xAD) continue;
    std::string text;
    if (c < 0x80) {
      text += static_cast<char>(c);
    } else {
      text += static_cast<char>(0xC0 | (c >> 6));
      text += static_cast<char>(0x80 | (c & 0x3F));
    }
    vocab[text] = id++;
  }
  Json list = Json::array();
  for (const auto& [left, right] : merges) {
    vocab[left + right] = id++;
    list.push_back(Json::array({left, right}));
  }
  Json json;
  json["added_tokens"] = Json::parse(R"([
    {"id": 300, "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
    {"id": 301, "content": "<|end|>!", "special": true, "normalized": false},
    {"id": 302, "content": "keep", "special": false}])");
  json["pre_tokenizer"] = Json::parse(R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true})");
  json["decoder"] = Json::parse(R"({"type": "ByteLevel"})");
  json["model"] = {{"type", "BPE"}, {"vocab", vocab}, {"merges", list}};
  return json;
}

Tokenizer small(const std::vector<std::pair<std::string, std::string>>& merges = {}) {
  return Tokenizer::from_json_text(small_json(merges).dump(), "small.json");
}

TEST(Tokenizer, EncodesAndDecodes) {
  const Tokenizer t = small({{"h", "e"}, {"he", "y"}});
  const Ids ids = t.encode("hey he");
  EXPECT_EQ(ids, (Ids{t.id_of("hey"), t.id_of("\xC4\xA0"), t.id_of("he")}));
  EXPECT_EQ(t.decode(ids), "hey he");
  EXPECT_EQ(t.token_bytes(t.id_of("\xC4\xA0")), " ");
  EXPECT_EQ(t.encode(""), Ids{});
  EXPECT_EQ(t.decode({}), "");
  EXPECT_EQ(t.id_of("hex"), -1);
  EXPECT_EQ(t.id_of("\xFF"), -1);
  EXPECT_EQ(t.bos_id(), -1);
  EXPECT_FALSE(t.adds_bos());
  EXPECT_TRUE(t.eos_ids().empty());
  EXPECT_TRUE(t.chat_template_text().empty());
}

TEST(Tokenizer, AddedTokensLongestFirstAndSwitchedOff) {
  const Tokenizer t = small();
  EXPECT_EQ(t.encode("<|end|>!<|end|>"), (Ids{301, 300}));
  EXPECT_EQ(t.encode("keep<|end|>"), (Ids{302, 300}));
  // Special text as plain text; an added token that is not special still matches.
  const Ids plain = t.encode("<|end|>keep", {.parse_special = false});
  EXPECT_EQ(plain.size(), 8u);
  EXPECT_EQ(plain.back(), 302);
  EXPECT_EQ(t.decode(plain), "<|end|>keep");
  EXPECT_TRUE(t.is_special(300));
  EXPECT_FALSE(t.is_special(302));
  EXPECT_EQ(t.id_of("<|end|>"), 300);
  EXPECT_EQ(t.decode(t.encode("a<|end|>b"), {.skip_special = true}), "ab");
  EXPECT_EQ(t.decode(t.encode("a<|end|>b")), "a<|end|>b");
}

TEST(Tokenizer, IdsOutsideTheVocabularyAreRefused) {
  const Tokenizer t = small();
  for (const int32_t id : {-1, 299, 303, INT32_MAX, INT32_MIN}) {  // 299 is a hole
    EXPECT_THROW(t.decode(Ids{id}), InputError) << id;
    EXPECT_THROW(t.token_bytes(id), InputError) << id;
    EXPECT_THROW(t.is_special(id), InputError) << id;
  }
  EXPECT_EQ(t.vocab_size(), 303);
}

TEST(Tokenizer, InvalidUtf8BecomesReplacementCharacters) {
  const Tokenizer t = small();
  EXPECT_EQ(t.encode("a\xFFz"), t.encode("a\xEF\xBF\xBDz"));
  EXPECT_EQ(t.encode("\xE2\x82"), t.encode("\xEF\xBF\xBD"));
  const Ids half = {t.encode("\xC3\xA9")[0]};
  EXPECT_EQ(t.decode(half), "\xEF\xBF\xBD");
}

TEST(Tokenizer, CleanUpReplacesInOrder) {
  const Tokenizer t = small();
  const auto clean = [&](const std::string& text) { return t.decode(t.encode(text), {.clean_up = true}); };
  EXPECT_EQ(clean("a . b ? c ! d , e"), "a. b? c! d, e");
  EXPECT_EQ(clean("I 'm he 's they 've you 're do n't"), "I'm he's they've you're don't");
  EXPECT_EQ(clean("x ' y"), "x'y");
  EXPECT_EQ(clean("a  ."), "a .");  // one pass each: what a replacement makes is not looked at again
  EXPECT_EQ(clean(" ' s"), "'s");
  EXPECT_EQ(clean("x ' 's"), "x''s");  // " ' " goes before " 's" is looked for
  EXPECT_EQ(clean("a  ' b"), "a 'b");
  EXPECT_EQ(clean("a .. b"), "a.. b");
  EXPECT_EQ(t.decode(t.encode("a . b")), "a . b");
}

TEST(Tokenizer, StreamHoldsBackIncompleteCharacters) {
  const Tokenizer t = small();
  TokenStream stream(t);
  std::string out;
  std::vector<std::string> parts;
  for (const int32_t id : t.encode("a\xF0\x9F\x98\x80<|end|>z")) parts.push_back(stream.push(id));
  EXPECT_EQ(parts, (std::vector<std::string>{"a", "", "", "", "\xF0\x9F\x98\x80", "", "z"}));
  EXPECT_EQ(stream.finish(), "");
  // A special token inside a character gives nothing and does not break it; an unfinished one is replaced at the end.
  const Ids emoji = t.encode("\xF0\x9F\x98\x80");
  EXPECT_EQ(stream.push(emoji[0]), "");
  EXPECT_EQ(stream.push(300), "");
  EXPECT_EQ(stream.push(emoji[1]), "");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.finish(), "");
  // A byte that cannot continue shows at once.
  EXPECT_EQ(stream.push(emoji[0]), "");
  EXPECT_EQ(stream.push(t.id_of("a")),
            "\xEF\xBF\xBD"
            "a");
}

TEST(Tokenizer, StreamEqualsDecode) {
  const Tokenizer t = small({{"h", "e"}});
  const Ids ids = t.encode("he \xE4\xB8\xAD\xE6\x96\x87 \xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x9A\x80<|end|> caf\xC3\xA9");
  TokenStream stream(t);
  std::string out;
  for (const int32_t id : ids) out += stream.push(id);
  out += stream.finish();
  EXPECT_EQ(out, t.decode(ids, {.skip_special = true}));
}

TEST(Tokenizer, SeveralThreadsGiveTheSameIds) {
  const Tokenizer t = small({{"h", "e"}, {"he", "r"}, {"\xC4\xA0", "a"}});
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "he a her" + std::to_string(i * 7919 % 977) + " caf\xC3\xA9";
  const Ids expected = t.encode(text);
  std::vector<Ids> results(6);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) result = t.encode(text);
    });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST(Tokenizer, UnknownTokenForMissingBytes) {
  Json json = small_json({});
  json["model"]["vocab"].erase("z");
  const Tokenizer drops = Tokenizer::from_json_text(json.dump(), "t");
  EXPECT_EQ(drops.encode("azzb"), (Ids{drops.id_of("a"), drops.id_of("b")}));
  json["model"]["unk_token"] = "?";
  const Tokenizer unknown = Tokenizer::from_json_text(json.dump(), "t");
  EXPECT_EQ(unknown.encode("azzb"), unknown.encode("a??b"));
  json["model"]["fuse_unk"] = true;
  const Tokenizer fused = Tokenizer::from_json_text(json.dump(), "t");
  EXPECT_EQ(fused.encode("azzb"), fused.encode("a?b"));
}

TEST(Tokenizer, ReadsTheFilesBesideTokenizerJson) {
  const auto folder = std::filesystem::path(testing::TempDir()) / ("tokenizer_beside_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* name, const std::string& text) { std::ofstream(folder / name, std::ios::binary) << text; };
  write("tokenizer.json", small_json({}).dump());
  write("tokenizer_config.json",
        R"({"chat_template": "from config", "eos_token": {"content": "<|end|>"}, "clean_up_tokenization_spaces": true})");
  const std::string path = (folder / "tokenizer.json").string();
  const Tokenizer t = Tokenizer::from_json(path);
  EXPECT_EQ(t.chat_template_text(), "from config");
  EXPECT_EQ(t.eos_ids(), Ids{300});
  EXPECT_TRUE(t.clean_up_default());
  write("chat_template.jinja", "from jinja");
  EXPECT_EQ(Tokenizer::from_json(path).chat_template_text(), "from jinja");
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "rag", "template": "x"}, {"name": "default", "template": "y"}]})");
  std::filesystem::remove(folder / "chat_template.jinja");
  EXPECT_EQ(Tokenizer::from_json(path).chat_template_text(), "y");
  write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_THROW(Tokenizer::from_json(path), InputError);
  std::filesystem::remove_all(folder);
  EXPECT_THROW(Tokenizer::from_json(path), IoError);
}

/// A tokenizer.json made wrong in one place, and what the message must name.
struct Malformed {
  const char* name;
  const char* pointer;  ///< what is replaced; removed if `value` is empty
  const char* value;
  const char* message;
};

void PrintTo(const Malformed& m, std::ostream* out) { *out << m.name; }

class MalformedTokenizerJson : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedTokenizerJson, IsAnInputErrorThatNamesTheField) {
  const Malformed& m = GetParam();
  Json json = small_json({{"h", "e"}});
  const Json::json_pointer pointer(m.pointer);
  if (std::string_view(m.value).empty()) {
    json[pointer.parent_pointer()].erase(pointer.back());
  } else {
    json[pointer] = Json::parse(m.value);
  }
  try {
    Tokenizer::from_json_text(json.dump(), "bad.json");
    FAIL() << "accepted";
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("bad.json"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find(m.message), std::string::npos) << e.what();
  }
}

constexpr Malformed kMalformed[] = {
    {"NoModel", "/model", "", "'model' is missing"},
    {"ModelIsAList", "/model", "[]", "model: expected an object"},
    {"Unigram", "/model/type", "\"Unigram\"", "type 'Unigram'"},
    {"NoVocab", "/model/vocab", "", "'vocab' is missing"},
    {"VocabIsAList", "/model/vocab", "[1]", "model.vocab"},
    {"IdIsText", "/model/vocab/a", "\"5\"", "token 'a'"},
    {"IdIsNegative", "/model/vocab/a", "-5", "negative"},
    {"IdIsAFraction", "/model/vocab/a", "1.5", "token 'a'"},
    {"IdIsHuge", "/model/vocab/a", "18446744073709551615", "31 bits"},
    {"IdLeavesAHole", "/model/vocab/a", "2000000000", "ids are wrong"},
    {"DuplicateIds", "/model/vocab/a", "7", "both have id 7"},
    {"NoMerges", "/model/merges", "", "'merges' is missing"},
    {"MergesIsText", "/model/merges", "\"a b\"", "model.merges: expected an array"},
    {"MergeOfUnknown", "/model/merges/0", "[\"h\", \"ZZ\"]", "'ZZ'"},
    {"MergeMakesUnknown", "/model/merges/0", "[\"h\", \"h\"]", "'hh'"},
    {"MergeOfThree", "/model/merges/0", "[\"h\", \"e\", \"y\"]", "model.merges[0]"},
    {"MergeOfOne", "/model/merges/0", "\"h\"", "model.merges[0]"},
    {"MergeWithTwoSpaces", "/model/merges/0", "\"h  e\"", "model.merges[0]"},
    {"MergeIsANumber", "/model/merges/0", "3", "model.merges[0]"},
    {"ByteFallback", "/model/byte_fallback", "true", "byte_fallback"},
    {"Dropout", "/model/dropout", "0.1", "dropout"},
    {"Prefix", "/model/continuing_subword_prefix", "\"##\"", "continuing_subword_prefix"},
    {"Suffix", "/model/end_of_word_suffix", "\"</w>\"", "end_of_word_suffix"},
    {"UnknownToken", "/model/unk_token", "\"<unk>\"", "unk_token"},
    {"IgnoreMergesIsANumber", "/model/ignore_merges", "1", "model.ignore_merges"},
    {"AddedIsAnObject", "/added_tokens", "{}", "added_tokens: expected an array"},
    {"AddedWithoutId", "/added_tokens/0/id", "", "added_tokens[0]: 'id'"},
    {"AddedIdIsText", "/added_tokens/0/id", "\"x\"", "added_tokens[0].id"},
    {"AddedIdIsTaken", "/added_tokens/0/id", "5", "has id 5"},
    {"AddedTwice", "/added_tokens/1/content", "\"<|end|>\"", "'<|end|>'"},
    {"AddedIsInVocabulary", "/added_tokens/0/content", "\"he\"", "'he'"},
    {"AddedContentIsNull", "/added_tokens/0/content", "null", "added_tokens[0].content"},
    {"LeftStrip", "/added_tokens/0/lstrip", "true", "lstrip"},
    {"RightStrip", "/added_tokens/0/rstrip", "true", "rstrip"},
    {"SingleWord", "/added_tokens/0/single_word", "true", "single_word"},
    {"NoPreTokenizer", "/pre_tokenizer", "", "pre_tokenizer"},
    {"OtherPreTokenizer", "/pre_tokenizer/type", "\"Metaspace\"", "'Metaspace'"},
    {"PrefixSpace", "/pre_tokenizer/add_prefix_space", "true", "add_prefix_space"},
    {"NoByteLevel", "/pre_tokenizer", R"({"type": "Digits"})", "ByteLevel"},
    {"StepAfterByteLevel", "/pre_tokenizer",
     R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": false}, {"type": "Digits"}]})",
     "pretokenizers[1]"},
    {"SplitBehaviour", "/pre_tokenizer",
     R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Removed", "invert": false})", "'Removed'"},
    {"SplitPattern", "/pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "a("}, "behavior": "Isolated"})",
     "does not compile"},
    {"SplitWithoutPattern", "/pre_tokenizer", R"({"type": "Split", "pattern": {}, "behavior": "Isolated"})", "pattern"},
    {"Normalizer", "/normalizer", R"({"type": "Lowercase"})", "normalizer: type 'Lowercase'"},
    {"NormalizerSequence", "/normalizer", R"({"type": "Sequence", "normalizers": [{"type": "NFKC"}]})", "normalizers[0]"},
    {"NoDecoder", "/decoder", "", "'decoder' is missing"},
    {"OtherDecoder", "/decoder/type", "\"WordPiece\"", "'WordPiece'"},
    {"PostProcessor", "/post_processor", R"({"type": "BertProcessing"})", "'BertProcessing'"},
    {"TemplateWithEos", "/post_processor",
     R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "<|end|>"}}], "special_tokens": {}})",
     "single[1]"},
    {"TemplateWithoutText", "/post_processor", R"({"type": "TemplateProcessing", "single": [], "special_tokens": {}})", "single"},
    {"TemplateUnknownToken", "/post_processor",
     R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}], "special_tokens": {}})",
     "'x' is missing"},
    {"TemplateIdOutside", "/post_processor",
     R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}],
         "special_tokens": {"x": {"id": "x", "ids": [9999], "tokens": ["x"]}}})",
     "9999"},
};

INSTANTIATE_TEST_SUITE_P(Table, MalformedTokenizerJson, testing::ValuesIn(kMalformed),
                         [](const auto& p) { return std::string(p.param.name); });

TEST(TokenizerJson, UnchangedIsAccepted) {
  EXPECT_EQ(Tokenizer::from_json_text(small_json({{"h", "e"}}).dump(), "good.json").vocab_size(), 303);
  EXPECT_THROW(Tokenizer::from_json_text("{", "bad.json"), InputError);
  EXPECT_THROW(Tokenizer::from_json_text("", "bad.json"), InputError);
  EXPECT_THROW(Tokenizer::from_json_text("[]", "bad.json"), InputError);
}

}  // namespace
}  // namespace tenfold
