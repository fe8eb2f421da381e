#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// A token that is matched as text before BPE, such as <|im_end|>.
struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool special = false;
  bool normalized = false;  ///< matched in the normalised text, after the others
};

/// Finds added tokens in text: the leftmost, and of those that begin there the longest (HF's AddedVocabulary).
class AddedTokenMatcher {
 public:
  struct Match {
    size_t begin;
    size_t end;
    int32_t id;
  };

  AddedTokenMatcher();
  void add(std::string_view content, int32_t id);
  bool empty() const { return nodes_.size() == 1; }

  /// Calls text(from, to) and token(id) for the stretches and tokens of `input`, in order; empty stretches are left out.
  template <typename Text, typename Token>
  void split(std::string_view input, Text&& text, Token&& token) const {
    size_t at = 0;
    while (const auto match = next(input, at)) {
      if (match->begin > at) text(at, match->begin);
      token(match->id);
      at = match->end;
    }
    if (at < input.size()) text(at, input.size());
  }

 private:
  struct Node {
    int32_t id = -1;
    std::vector<std::pair<uint8_t, int32_t>> next;
  };
  std::optional<Match> next(std::string_view input, size_t from) const;
  size_t find_first_byte(std::string_view input, size_t from) const;
  int32_t child(int32_t node, uint8_t byte) const;

  std::vector<Node> nodes_;
  std::array<bool, 256> begins_{};
  int distinct_first_ = 0;
  char only_first_ = 0;
};

}  // namespace tenfold
