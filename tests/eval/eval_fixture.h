#pragma once

#include "core/error.h"
#include "eval/language_model.h"
#include "eval/metrics/segmenter.h"
#include "eval/run.h"
#include "format/json.h"
#include "format/mapped_file.h"
#include "text/tokenizer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenfold::test {

inline std::string golden(std::string_view name) {
  return std::string(TENFOLD_SOURCE_DIR) + "/tests/golden/" + std::string(name);
}

inline Tokenizer small_tokenizer(std::string_view name) {
  return Tokenizer::from_json(golden("tokenizer_" + std::string(name) + ".tokenizer.json"));
}

/// Where jieba's tables are: TENFOLD_JIEBA_DIR, or Debian's place; "" where they are not installed.
inline std::string jieba_directory() {
  const char* const named = std::getenv("TENFOLD_JIEBA_DIR");
  const std::string directory = named != nullptr ? named : std::string(kJiebaDirectory);
  return std::filesystem::exists(directory + "/dict.txt") ? directory : std::string();
}
inline constexpr const char* kNoJieba = "jieba's tables are not here: install python3-jieba or set TENFOLD_JIEBA_DIR";

/// A folder of the development data, which lies beside a checkout and is not shipped: TENFOLD_SHARED_DATA or ../shared/data; ""
/// where it is not there.
inline std::string shared_data(std::string_view folder) {
  const char* const named = std::getenv("TENFOLD_SHARED_DATA");
  for (const std::string& root : {std::string(named != nullptr ? named : ""), std::string(TENFOLD_SOURCE_DIR) + "/../shared/data",
                                  std::string(TENFOLD_SOURCE_DIR) + "/../../shared/data"}) {
    const std::string path = root + "/" + std::string(folder);
    if (!root.empty() && std::filesystem::is_directory(path)) return path;
  }
  return "";
}
inline constexpr const char* kNoSharedData = "the development data is not here: set TENFOLD_SHARED_DATA";

/// A fresh directory, removed with everything in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "tenfold-eval-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  std::string file(std::string_view name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

inline void write(const std::string& path, std::string_view text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
}

/// The message of the InputError that `act` throws; fails the test when it throws none.
template <typename Act>
std::string input_error(Act&& act) {
  try {
    act();
  } catch (const InputError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no InputError was thrown";
  return "";
}

#define EXPECT_HAS(text, part) EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

/// A double of the model: a rule reads the prompt's text and says the answer. It keeps the last prompt as a session's cache
/// would.
class RuleReader : public LanguageModel {
 public:
  using Rule = std::function<std::string(const std::string& prompt)>;
  RuleReader(const Tokenizer& tokenizer, Rule rule) : tokenizer_(tokenizer), rule_(std::move(rule)) {}

  int64_t capacity() const override { return capacity_; }
  void set_capacity(int64_t capacity) { capacity_ = capacity; }
  GenerateResult generate(std::span<const int32_t> prompt, int64_t max_new_tokens, std::span<const int32_t>,
                          const SamplingOptions& sampling) override {
    seeds_.push_back(sampling.seed);
    GenerateResult result;
    result.prompt_tokens = std::ssize(prompt);
    result.reused_tokens = read(prompt);
    result.ids = tokenizer_.encode(rule_(tokenizer_.decode(prompt)));
    result.stopped = std::ssize(result.ids) <= max_new_tokens;
    if (!result.stopped) result.ids.resize(static_cast<size_t>(max_new_tokens));
    return result;
  }
  int64_t at_once() const override { return at_once_; }
  void set_at_once(int64_t at_once) { at_once_ = at_once; }
  std::vector<GenerateResult> generate_together(std::span<const std::span<const int32_t>> prompts, int64_t max_new_tokens,
                                                std::span<const int32_t> stop_ids,
                                                const std::function<bool()>& should_stop) override {
    std::vector<GenerateResult> results;
    for (const auto& prompt : prompts) {
      if (!results.empty() && should_stop && should_stop()) break;
      results.push_back(generate(prompt, max_new_tokens, stop_ids, {}));
    }
    together_.push_back(std::ssize(prompts));
    return results;
  }
  /// How many prompts each call of generate_together had.
  const std::vector<int64_t>& together() const { return together_; }
  /// The rule's first token has a logit of 1, all others 0.
  NextLogits next_logits(std::span<const int32_t> prompt) override {
    NextLogits next;
    next.reused_tokens = read(prompt);
    next.logits.assign(static_cast<size_t>(tokenizer_.vocab_size()), 0.0F);
    const auto ids = tokenizer_.encode(rule_(tokenizer_.decode(prompt)));
    if (!ids.empty()) next.logits[static_cast<size_t>(ids[0])] = 1.0F;
    return next;
  }
  /// A loss that is a function of the position and the token.
  std::vector<float> score(std::span<const int32_t> ids) override {
    ++questions_;
    std::vector<float> nll(ids.size(), 0.0F);
    for (size_t t = 1; t < ids.size(); ++t) nll[t] = loss_of(static_cast<int64_t>(t), ids[t]);
    return nll;
  }
  static float loss_of(int64_t position, int32_t id) {
    return static_cast<float>(position % 97) / 64.0F + static_cast<float>(id % 31) / 32.0F;
  }
  int64_t questions() const { return questions_; }
  const std::vector<int64_t>& reused() const { return reused_; }
  const std::vector<uint64_t>& seeds() const { return seeds_; }

 private:
  /// Keeps the prompt; returns how much of it was there.
  int64_t read(std::span<const int32_t> prompt) {
    ++questions_;
    const auto [mine, theirs] = std::mismatch(cache_.begin(), cache_.end(), prompt.begin(), prompt.end());
    const int64_t reused = mine - cache_.begin();
    cache_.assign(prompt.begin(), prompt.end());
    reused_.push_back(reused);
    return reused;
  }

  const Tokenizer& tokenizer_;
  Rule rule_;
  std::vector<int32_t> cache_;
  std::vector<int64_t> reused_;
  std::vector<uint64_t> seeds_;  ///< of the answers asked for
  std::vector<int64_t> together_;
  int64_t at_once_ = 1;
  int64_t capacity_ = int64_t{1} << 20;
  int64_t questions_ = 0;
};

}  // namespace tenfold::test
