// Tokenizers from GGUF metadata, written in memory.
#include "core/error.h"
#include "format/gguf.h"
#include "format/gguf_writer.h"
#include "format/json.h"
#include "format/mapped_file.h"
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace tenfold {
namespace {

using Ids = std::vector<int32_t>;
using Value = std::variant<bool, uint32_t, std::string, std::vector<std::string>, std::vector<int32_t>>;
using Metadata = std::map<std::string, Value>;

const std::string kGolden = std::string(TENFOLD_SOURCE_DIR) + "/tests/golden/tokenizer_";

Tokenizer load(const Metadata& metadata) {
  GgufWriter writer;
  for (const auto& [key, value] : metadata) std::visit([&](const auto& v) { writer.set(key, v); }, value);
  const std::vector<std::byte> bytes = writer.bytes();
  return Tokenizer::from_gguf(GgufFile(bytes, "test.gguf"));
}

/// The metadata that llama.cpp's converter writes for a tokenizer.json.
Metadata converted(const Json& json, const std::string& pre) {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  const auto put = [&](const std::string& text, int64_t id, int32_t type) {
    const auto i = static_cast<size_t>(id);
    if (tokens.size() <= i) {
      tokens.resize(i + 1);
      types.resize(i + 1, 1);
    }
    tokens[i] = text;
    types[i] = type;
  };
  for (const auto& [text, id] : json["model"]["vocab"].items()) put(text, id.get<int64_t>(), 1);
  for (const auto& token : json["added_tokens"])
    put(token["content"].get<std::string>(), token["id"].get<int64_t>(), token["special"].get<bool>() ? 3 : 4);
  std::vector<std::string> merges;
  for (const auto& m : json["model"]["merges"])
    merges.push_back(m.is_string() ? m.get<std::string>() : m[0].get<std::string>() + " " + m[1].get<std::string>());
  return {{"tokenizer.ggml.model", "gpt2"},
          {"tokenizer.ggml.pre", pre},
          {"tokenizer.ggml.tokens", tokens},
          {"tokenizer.ggml.token_type", types},
          {"tokenizer.ggml.merges", merges}};
}

Json read(const std::string& path) { return parse_json(read_text_file(path), path); }

struct Source {
  const char* name;
  const char* pre;
};
class GgufEqualsJson : public testing::TestWithParam<Source> {};

// The same tokenizer out of a GGUF gives the ids that HF gives for the tokenizer.json. The gpt2 one is left out: its added tokens
// that are not normalized lose that mark in a GGUF.
TEST_P(GgufEqualsJson, OnTheTortureList) {
  const std::string name = GetParam().name;
  const Tokenizer tokenizer = load(converted(read(kGolden + name + ".tokenizer.json"), GetParam().pre));
  const Json golden = read(kGolden + name + ".json");
  for (const Json& c : golden["cases"])
    ASSERT_EQ(tokenizer.encode(c["text"].get<std::string>()), c["ids"].get<Ids>()) << c["text"].dump(-1, ' ', true);
}

INSTANTIATE_TEST_SUITE_P(Pres, GgufEqualsJson, testing::Values(Source{"llama3", "llama-bpe"}, Source{"qwen2", "qwen2"}),
                         [](const auto& p) { return std::string(p.param.name); });

Metadata small() {
  return {{"tokenizer.ggml.model", std::string("gpt2")},
          {"tokenizer.ggml.pre", std::string("smollm")},
          {"tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "ab", "\xC4\xA0", "<s>", "<e>", "user", "1"}},
          {"tokenizer.ggml.token_type", std::vector<int32_t>{1, 1, 1, 1, 3, 3, 4, 1}},
          {"tokenizer.ggml.merges", std::vector<std::string>{"a b"}}};
}

TEST(TokenizerGguf, Small) {
  Metadata m = small();
  m["tokenizer.ggml.bos_token_id"] = uint32_t{4};
  m["tokenizer.ggml.eos_token_id"] = uint32_t{5};
  m["tokenizer.ggml.eot_token_id"] = uint32_t{2};
  m["tokenizer.ggml.eom_token_id"] = uint32_t{5};
  m["tokenizer.chat_template"] = std::string("the template");
  const Tokenizer t = load(m);
  EXPECT_EQ(t.encode("ab a1<e>user"), (Ids{2, 3, 0, 7, 5, 6}));
  EXPECT_EQ(t.bos_id(), 4);
  EXPECT_FALSE(t.adds_bos());
  EXPECT_EQ(t.eos_ids(), (Ids{5, 2}));
  EXPECT_TRUE(t.is_special(4));
  EXPECT_FALSE(t.is_special(6));
  EXPECT_EQ(t.chat_template_text(), "the template");
  EXPECT_EQ(t.encode("", {.add_bos = true}), Ids{});
  m["tokenizer.ggml.add_bos_token"] = true;
  EXPECT_EQ(load(m).encode("a", {.add_bos = true}), (Ids{4, 0}));
  // llama-bpe prepends where the file does not say.
  m.erase("tokenizer.ggml.add_bos_token");
  m["tokenizer.ggml.pre"] = std::string("llama-bpe");
  EXPECT_TRUE(load(m).adds_bos());
  m["tokenizer.ggml.add_bos_token"] = false;
  EXPECT_FALSE(load(m).adds_bos());
}

struct Malformed {
  const char* name;
  std::function<void(Metadata&)> spoil;
  const char* message;
};
void PrintTo(const Malformed& m, std::ostream* out) { *out << m.name; }

class MalformedTokenizerGguf : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedTokenizerGguf, IsAnInputErrorThatNamesTheField) {
  Metadata m = small();
  GetParam().spoil(m);
  try {
    load(m);
    FAIL() << "accepted";
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("test.gguf"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find(GetParam().message), std::string::npos) << e.what();
  }
}

using Strings = std::vector<std::string>;
using Ints = std::vector<int32_t>;
INSTANTIATE_TEST_SUITE_P(
    Table, MalformedTokenizerGguf,
    testing::Values(
        Malformed{"NoModel", [](Metadata& m) { m.erase("tokenizer.ggml.model"); }, "tokenizer.ggml.model"},
        Malformed{"SentencePiece", [](Metadata& m) { m["tokenizer.ggml.model"] = std::string("llama"); }, "'llama'"},
        Malformed{"UnknownPre", [](Metadata& m) { m["tokenizer.ggml.pre"] = std::string("viking"); }, "smollm, "},
        Malformed{"NoPre", [](Metadata& m) { m.erase("tokenizer.ggml.pre"); }, "missing"},
        Malformed{"NoTokens", [](Metadata& m) { m.erase("tokenizer.ggml.tokens"); }, "tokenizer.ggml.tokens"},
        Malformed{"TokensAreNumbers",
                  [](Metadata& m) {
                    m["tokenizer.ggml.tokens"] = Ints{1, 2};
                  },
                  "tokenizer.ggml.tokens"},
        Malformed{"FewTypes", [](Metadata& m) { m["tokenizer.ggml.token_type"] = Ints{1}; }, "token_type has 1"},
        Malformed{"NoTypes", [](Metadata& m) { m.erase("tokenizer.ggml.token_type"); }, "token_type"},
        Malformed{"NoMerges", [](Metadata& m) { m.erase("tokenizer.ggml.merges"); }, "merges"},
        Malformed{"MergeOfOne", [](Metadata& m) { m["tokenizer.ggml.merges"] = Strings{"ab"}; }, "merges[0]"},
        Malformed{"MergeOfThree",
                  [](Metadata& m) {
                    m["tokenizer.ggml.merges"] = Strings{"a b", "a b c"};
                  },
                  "merges[1]"},
        Malformed{"MergeOfNothing", [](Metadata& m) { m["tokenizer.ggml.merges"] = Strings{" a"}; }, "merges[0]"},
        Malformed{"MergeOfUnknown", [](Metadata& m) { m["tokenizer.ggml.merges"] = Strings{"a zz"}; }, "'zz'"},
        Malformed{"MergeMakesUnknown", [](Metadata& m) { m["tokenizer.ggml.merges"] = Strings{"b a"}; }, "'ba'"},
        Malformed{"MergeNotUtf8", [](Metadata& m) { m["tokenizer.ggml.merges"] = Strings{"a \xC4"}; }, "merge 0"},
        Malformed{"DuplicateToken", [](Metadata& m) { std::get<Strings>(m["tokenizer.ggml.tokens"])[1] = "a"; },
                  "'a' is there twice"},
        Malformed{"DuplicateSpecial", [](Metadata& m) { std::get<Strings>(m["tokenizer.ggml.tokens"])[5] = "<s>"; }, "'<s>'"},
        Malformed{"TokenNotUtf8", [](Metadata& m) { std::get<Strings>(m["tokenizer.ggml.tokens"])[1] = "\xC4"; }, "token 1"},
        Malformed{"BosOutside", [](Metadata& m) { m["tokenizer.ggml.bos_token_id"] = uint32_t{8}; }, "bos_token_id is 8"},
        Malformed{"EosOutside", [](Metadata& m) { m["tokenizer.ggml.eos_token_id"] = uint32_t{4000000000}; }, "eos_token_id"},
        Malformed{"BosIsText", [](Metadata& m) { m["tokenizer.ggml.bos_token_id"] = std::string("1"); }, "bos_token_id"},
        Malformed{"AddBosIsANumber", [](Metadata& m) { m["tokenizer.ggml.add_bos_token"] = uint32_t{1}; }, "add_bos_token"},
        Malformed{"SpacePrefix", [](Metadata& m) { m["tokenizer.ggml.add_space_prefix"] = true; }, "add_space_prefix"}),
    [](const auto& p) { return std::string(p.param.name); });

}  // namespace
}  // namespace tenfold
