#include "eval/metrics/answers.h"

#include "eval/metrics/text.h"
#include "text/case.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <unordered_map>

namespace tenfold {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};
// The set that LongBench's normalize_zh_answer deletes.
constexpr Range kChinesePunctuation[] = {{0x2013, 0x2014}, {0x2018, 0x2019}, {0x201B, 0x201F}, {0x2026, 0x2027},
                                         {0x3001, 0x3003}, {0x300B, 0x3011}, {0x3014, 0x301F}, {0x3030, 0x3030},
                                         {0x303E, 0x303F}, {0xFE4F, 0xFE4F}, {0xFF01, 0xFF0D}, {0xFF0F, 0xFF0F},
                                         {0xFF1A, 0xFF20}, {0xFF3B, 0xFF40}, {0xFF5B, 0xFF64}};

bool is_chinese_punctuation(char32_t c) {
  return std::any_of(std::begin(kChinesePunctuation), std::end(kChinesePunctuation),
                     [c](const Range& range) { return c >= range.first && c <= range.last; });
}

std::string without_articles(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    Character c = character_at(text, at);
    if (!is_word_character(c.value)) {
      out += text.substr(at, c.size);
      at += c.size;
      continue;
    }
    while (at < text.size() && is_word_character((c = character_at(text, at)).value)) at += c.size;
    const std::string_view word = text.substr(begin, at - begin);
    out += word == "a" || word == "an" || word == "the" ? " " : word;
  }
  return out;
}

}  // namespace

std::string normalize_answer(std::string_view text) {
  return collapse_spaces(without_articles(without_ascii_punctuation(lower_case(text))));
}

std::string normalize_zh_answer(std::string_view text) {
  const std::string lower = without_ascii_punctuation(lower_case(text));
  std::string out;
  for (size_t at = 0; at < lower.size();) {
    const Character c = character_at(lower, at);
    if (!is_python_space(c.value) && !is_chinese_punctuation(c.value)) out.append(lower, at, c.size);
    at += c.size;
  }
  return out;
}

double token_f1(const std::vector<std::string_view>& prediction, const std::vector<std::string_view>& reference) {
  std::unordered_map<std::string_view, int64_t> left;
  for (const std::string_view token : reference) ++left[token];
  int64_t same = 0;
  for (const std::string_view token : prediction) {
    const auto found = left.find(token);
    if (found == left.end() || found->second == 0) continue;
    --found->second;
    ++same;
  }
  if (same == 0) return 0;
  const double precision = static_cast<double>(same) / static_cast<double>(prediction.size());
  const double recall = static_cast<double>(same) / static_cast<double>(reference.size());
  return 2 * precision * recall / (precision + recall);
}

double qa_f1(std::string_view prediction, std::string_view reference) {
  const std::string a = normalize_answer(prediction);
  const std::string b = normalize_answer(reference);
  return token_f1(split_words(a), split_words(b));
}

double qa_f1_characters(std::string_view prediction, std::string_view reference) {
  const auto characters = [](std::string_view text) {
    std::vector<std::string_view> out;
    for (size_t at = 0; at < text.size();) {
      out.push_back(first_characters(text.substr(at), 1));
      at += out.back().size();
    }
    return out;
  };
  const std::string a = normalize_zh_answer(prediction);
  const std::string b = normalize_zh_answer(reference);
  return token_f1(characters(a), characters(b));
}

}  // namespace tenfold
