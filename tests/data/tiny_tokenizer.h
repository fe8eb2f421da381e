#pragma once

#include "format/atomic_file.h"
#include "format/json.h"
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <unistd.h>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace tenfold::test {

/// A folder of its own for one test, removed afterwards.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::temp_directory_path() /
            (std::string("tenfold-") + info->test_suite_name() + "-" + info->name() + "-" + std::to_string(getpid()));
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }
  /// Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& contents) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    write_file_atomically((path_ / name).string(), contents);
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

/// GPT-2's printable character for a byte, as UTF-8.
inline std::string byte_character(int byte) {
  const auto plain = [](int b) { return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF); };
  int code = byte;
  if (!plain(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += plain(b) ? 0 : 1;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
}

/// tokenizer.json text: a token a byte, a few merges, chatml's and llama-3's special tokens; with `bos`, <|begin_of_text|> is put
/// before every prompt.
inline std::string tiny_tokenizer_json(bool bos) {
  Json vocab = Json::object();
  for (int b = 0; b < 256; ++b) vocab[byte_character(b)] = b;
  Json merges = Json::array();
  const std::string space = byte_character(' ');
  const std::vector<std::pair<std::string, std::string>> pairs = {{"t", "h"},   {"th", "e"}, {space, "the"}, {"i", "n"},
                                                                  {space, "a"}, {"e", "r"},  {"o", "n"},     {space, "w"},
                                                                  {"r", "e"},   {space, "o"}};
  for (const auto& [a, b] : pairs) {
    vocab[a + b] = vocab.size();
    merges.push_back(Json::array({a, b}));
  }
  Json added = Json::array();
  for (const char* content :
       {"<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}) {
    added.push_back({{"id", vocab.size() + added.size()},
                     {"content", content},
                     {"special", true},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false}});
  }
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  Json json = {{"version", "1.0"},
               {"added_tokens", added},
               {"normalizer", nullptr},
               {"pre_tokenizer", byte_level},
               {"decoder", byte_level},
               {"post_processor", nullptr},
               {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
  if (bos) {
    const std::string name = "<|begin_of_text|>";
    json["post_processor"] = {
        {"type", "TemplateProcessing"},
        {"single",
         Json::array({{{"SpecialToken", {{"id", name}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}})},
        {"pair", Json::array()},
        {"special_tokens", {{name, {{"id", name}, {"ids", Json::array({added[2]["id"]})}, {"tokens", Json::array({name})}}}}}};
  }
  return json.dump();
}

inline Tokenizer tiny_tokenizer(const TemporaryFolder& folder, bool bos = false) {
  return Tokenizer::from_json(folder.write(bos ? "bos/tokenizer.json" : "plain/tokenizer.json", tiny_tokenizer_json(bos)));
}

/// The message of the InputError that `run` throws; a failure when it throws none.
template <typename Run>
std::string input_error(const Run& run) {
  try {
    run();
  } catch (const InputError& fault) {
    return fault.what();
  }
  ADD_FAILURE() << "no InputError";
  return {};
}

inline void expect_contains(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
}

}  // namespace tenfold::test
