#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tenfold {

/// Where Debian's python3-jieba has its tables.
inline constexpr std::string_view kJiebaDirectory = "/usr/lib/python3/dist-packages/jieba";

/// Chinese words as jieba 0.42.1 cuts them in its accurate mode: the most probable way through the dictionary's words, and a
/// hidden Markov model over characters for what the dictionary does not hold (Viterbi 1967; states begin, middle, end, single).
class Segmenter {
 public:
  /// Reads dict.txt and finalseg/prob_{start,trans,emit}.py of a jieba package (its directory). InputError says what is missing
  /// or malformed, with file and line, and how to get it.
  explicit Segmenter(const std::string& directory);
  Segmenter(const Segmenter&) = delete;
  Segmenter& operator=(const Segmenter&) = delete;

  /// list(jieba.cut(text)), as views into valid UTF-8; together they are the text.
  std::vector<std::string_view> cut(std::string_view text) const;

 private:
  static constexpr size_t kStates = 4;
  struct Characters;

  void read_dictionary(const std::string& path);
  void read_model(const std::string& directory);
  /// Occurrences of a word; 0 for a mere beginning of words; -1 where it is not even that.
  int64_t frequency(std::string_view word) const;
  void cut_run(std::string_view run, std::vector<std::string_view>& out) const;
  void cut_unknown(std::string_view text, std::vector<std::string_view>& out) const;
  void cut_by_model(std::string_view text, std::vector<std::string_view>& out) const;

  std::string dictionary_;  ///< the file; the words below are views into it
  std::unordered_map<std::string_view, int64_t> words_;
  double log_total_ = 0;
  std::array<double, kStates> start_{};
  std::array<std::array<double, kStates>, kStates> step_{};            ///< [from][to]
  std::unordered_map<char32_t, std::array<double, kStates>> emitted_;  ///< by state
};

}  // namespace tenfold
