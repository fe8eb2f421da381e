// Ids equal to Hugging Face tokenizers' on a torture list and on whole books (tests/golden/tokenizer_*.json, made by
// dev/make_tokenizer_goldens.py).
#include "format/gguf.h"
#include "format/json.h"
#include "format/mapped_file.h"
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

namespace tenfold {
namespace {

const std::string kRoot = TENFOLD_SOURCE_DIR;
const std::string kModel = kRoot + "/demo/SmolLM2-135M-Instruct.Q4_1.gguf";
const std::string kBooks = kRoot + "/../shared/data/books";

std::string golden_path(const std::string& name) { return kRoot + "/tests/golden/tokenizer_" + name; }

Json golden(const std::string& name) {
  const std::string path = golden_path(name + ".json");
  return parse_json(read_text_file(path), path);
}

std::string fnv(const std::vector<int32_t>& ids) {
  uint64_t h = 0xCBF29CE484222325ULL;
  for (const int32_t id : ids) h = (h ^ static_cast<uint32_t>(id)) * 0x100000001B3ULL;
  return fmt::format("{:016x}", h);
}

void expect_torture(const Tokenizer& tokenizer, const Json& golden) {
  const Json& cases = golden["cases"];
  ASSERT_GE(cases.size(), 200u);
  for (const Json& c : cases) {
    const auto text = c["text"].get<std::string>();
    const auto expected = c["ids"].get<std::vector<int32_t>>();
    const auto ids = tokenizer.encode(text);
    ASSERT_EQ(ids, expected) << "text: " << c["text"].dump(-1, ' ', true);
    const auto decoded = c.contains("decoded") ? c["decoded"].get<std::string>() : text;
    EXPECT_EQ(tokenizer.decode(ids), decoded);
    // Again from the word cache.
    EXPECT_EQ(tokenizer.encode(text), expected);
  }
}

void expect_books(const Tokenizer& tokenizer, const Json& golden) {
  if (!std::filesystem::is_directory(kBooks)) {
    std::cout << "no books at " << kBooks << ": their ids are not compared\n";
    return;
  }
  ASSERT_GE(golden["books"].size(), 1u);
  for (const auto& [name, book] : golden["books"].items()) {
    const std::string text = read_text_file(kBooks + "/" + name);
    const auto ids = tokenizer.encode(text);
    EXPECT_EQ(static_cast<int64_t>(ids.size()), book["tokens"].get<int64_t>()) << name;
    EXPECT_EQ(fnv(ids), book["fnv1a"].get<std::string>()) << name;
    EXPECT_EQ(tokenizer.decode(ids), text) << name;
  }
}

TEST(TokenizerGolden, SmolLm2FromGguf) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << "no model at " << kModel;
  const Tokenizer tokenizer = Tokenizer::from_gguf(GgufFile(kModel));
  const Json expected = golden("smollm2");
  expect_torture(tokenizer, expected);
  expect_books(tokenizer, expected);
  EXPECT_EQ(tokenizer.vocab_size(), 49152);
  EXPECT_FALSE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_ids(), std::vector<int32_t>{2});
  EXPECT_EQ(tokenizer.id_of("<|im_end|>"), 2);
  EXPECT_TRUE(tokenizer.is_special(16));
  EXPECT_FALSE(tokenizer.is_special(17));
  EXPECT_NE(tokenizer.chat_template_text().find("<|im_start|>"), std::string::npos);
  // It names a BOS but does not prepend it.
  EXPECT_EQ(tokenizer.encode("Hello, we can use", {.add_bos = true}), (std::vector<int32_t>{19556, 28, 392, 416, 722}));
}

class TokenizerJsonGolden : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerJsonGolden, SameIds) {
  const std::string name = GetParam();
  const Tokenizer tokenizer = Tokenizer::from_json(golden_path(name + ".tokenizer.json"));
  const Json expected = golden(name);
  expect_torture(tokenizer, expected);
  if (expected.contains("books")) expect_books(tokenizer, expected);
  EXPECT_EQ(tokenizer.encode("Hi there", {.add_bos = true}), expected["with_bos"].get<std::vector<int32_t>>());
}

INSTANTIATE_TEST_SUITE_P(Splits, TokenizerJsonGolden, testing::Values("llama3", "gpt2", "qwen2", "gpt4"),
                         [](const auto& p) { return std::string(p.param); });

TEST(TokenizerGolden, Llama3PrependsBos) {
  const Tokenizer tokenizer = Tokenizer::from_json(golden_path("llama3.tokenizer.json"));
  EXPECT_TRUE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.bos_id(), tokenizer.id_of("<|begin_of_text|>"));
  EXPECT_EQ(tokenizer.encode("", {.add_bos = true}), std::vector<int32_t>{tokenizer.bos_id()});
  EXPECT_TRUE(tokenizer.encode("").empty());
}

}  // namespace
}  // namespace tenfold
