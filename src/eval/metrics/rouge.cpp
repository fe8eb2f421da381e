#include "eval/metrics/rouge.h"

#include "core/error.h"
#include "eval/metrics/text.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace tenfold {
namespace {

constexpr int64_t kRecursionSteps = 985;

using Words = std::vector<int32_t>;

/// Numbers words, so that comparing them is comparing integers.
class Lexicon {
 public:
  int32_t id_of(std::string_view word) {
    return ids_.try_emplace(std::string(word), static_cast<int32_t>(ids_.size())).first->second;
  }

 private:
  std::unordered_map<std::string, int32_t> ids_;
};

/// The pieces between full stops that are not empty, white space collapsed; one that is white space alone stays, as a sentence
/// of the one word "".
std::vector<Words> sentences_of(std::string_view text, Lexicon& lexicon) {
  std::vector<Words> sentences;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    const std::string_view piece = text.substr(begin, end - begin);
    begin = end + 1;
    if (piece.empty()) continue;
    Words words;
    for (const std::string_view word : split_words(piece)) words.push_back(lexicon.id_of(word));
    if (words.empty()) words.push_back(lexicon.id_of(""));
    sentences.push_back(std::move(words));
  }
  return sentences;
}

/// The table of common subsequences of x and y, of which only the directions are wanted, row by row from the last: is the cell
/// above larger than the one to the left? One bit a cell, and of no more rows at once than kMostBits allow; what came before a
/// block of rows is kept as the row that precedes it.
class Directions {
 public:
  Directions(const Words& x, const Words& y) : x_(x), y_(y), words_((y.size() + 63) / 64) {
    height_ = std::clamp<size_t>(kMostBits / std::max<size_t>(64 * words_, 1), 1, x.size());
    std::vector<int32_t> row(y.size(), 0);
    for (size_t i = 0; i < x.size(); ++i) {
      if (i % height_ == 0) starts_.push_back(row);
      if (i / height_ == (x.size() - 1) / height_) break;  // the last block is computed when it is asked for
      next_row(i, row, nullptr);
    }
    bits_.resize(height_ * words_);
    compute_block(starts_.size() - 1);
  }

  /// i may not rise from call to call.
  bool up(size_t i, size_t j) {
    if (i < first_) compute_block(i / height_);
    return (bits_[(i - first_) * words_ + j / 64] >> (j % 64)) & 1;
  }

 private:
  static constexpr size_t kMostBits = size_t{1} << 28;  // 32 MiB

  void compute_block(size_t block) {
    first_ = block * height_;
    std::fill(bits_.begin(), bits_.end(), 0);
    std::vector<int32_t> row = starts_[block];
    for (size_t i = first_; i < std::min(first_ + height_, x_.size()); ++i) next_row(i, row, &bits_[(i - first_) * words_]);
  }

  void next_row(size_t i, std::vector<int32_t>& row, uint64_t* bits) const {
    int32_t diagonal = 0;
    int32_t left = 0;
    for (size_t j = 0; j < y_.size(); ++j) {
      const int32_t above = row[j];
      if (x_[i] == y_[j]) {
        left = diagonal + 1;
      } else {
        if (bits != nullptr) bits[j / 64] |= static_cast<uint64_t>(above > left) << (j % 64);
        left = std::max(above, left);
      }
      row[j] = left;
      diagonal = above;
    }
  }

  const Words& x_;
  const Words& y_;
  size_t words_;
  size_t height_ = 1;  ///< rows of a block
  size_t first_ = 0;   ///< of the block in bits_
  std::vector<std::vector<int32_t>> starts_;
  std::vector<uint64_t> bits_;
};

/// Adds the words of one longest common subsequence of x and y, chosen as the package chooses it. Returns the steps of the
/// traceback.
int64_t add_common_words(const Words& x, const Words& y, std::unordered_set<int32_t>& found) {
  Directions directions(x, y);
  int64_t steps = 0;
  for (size_t i = x.size(), j = y.size(); i > 0 && j > 0; ++steps) {
    if (x[i - 1] == y[j - 1]) {
      found.insert(x[i - 1]);
      --i, --j;
    } else if (directions.up(i - 1, j - 1)) {
      --i;
    } else {
      --j;
    }
  }
  return steps;
}

RougeScore score_of(size_t common, size_t reference, size_t prediction) {
  RougeScore score;
  if (reference > 0) score.recall = static_cast<double>(common) / static_cast<double>(reference);
  if (prediction > 0) score.precision = static_cast<double>(common) / static_cast<double>(prediction);
  score.f = 2.0 * ((score.precision * score.recall) / (score.precision + score.recall + 1e-8));
  return score;
}

Words joined(const std::vector<Words>& sentences) {
  Words words;
  for (const Words& sentence : sentences) words.insert(words.end(), sentence.begin(), sentence.end());
  return words;
}

std::set<Words> ngrams_of(const Words& words, int n) {
  std::set<Words> grams;
  const auto size = static_cast<size_t>(n);
  for (size_t i = 0; i + size <= words.size(); ++i) {
    grams.emplace(words.begin() + static_cast<ptrdiff_t>(i), words.begin() + static_cast<ptrdiff_t>(i + size));
  }
  return grams;
}

}  // namespace

RougeScore rouge_l(std::string_view prediction, std::string_view reference, RougeRecursion recursion) {
  Lexicon lexicon;
  const auto references = sentences_of(reference, lexicon);
  const auto predictions = sentences_of(prediction, lexicon);
  if (references.empty() || predictions.empty()) return {};
  std::unordered_set<int32_t> found;
  for (const Words& x : references) {
    for (const Words& y : predictions) {
      const int64_t steps = add_common_words(x, y, found);
      if (recursion == RougeRecursion::kReference && steps > kRecursionSteps) return {};
    }
  }
  const auto distinct = [](const std::vector<Words>& sentences) {
    const Words words = joined(sentences);
    return std::unordered_set<int32_t>(words.begin(), words.end()).size();
  };
  return score_of(found.size(), distinct(references), distinct(predictions));
}

RougeScore rouge_n(std::string_view prediction, std::string_view reference, int n) {
  TENFOLD_CHECK(n >= 1, "n is {}", n);
  Lexicon lexicon;
  const auto references = sentences_of(reference, lexicon);
  const auto predictions = sentences_of(prediction, lexicon);
  if (references.empty() || predictions.empty()) return {};
  const auto of_reference = ngrams_of(joined(references), n);
  const auto of_prediction = ngrams_of(joined(predictions), n);
  const auto common =
      std::count_if(of_prediction.begin(), of_prediction.end(), [&](const Words& gram) { return of_reference.contains(gram); });
  return score_of(static_cast<size_t>(common), of_reference.size(), of_prediction.size());
}

}  // namespace tenfold
