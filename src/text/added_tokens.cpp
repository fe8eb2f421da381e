#include "text/added_tokens.h"

namespace tenfold {

AddedTokenMatcher::AddedTokenMatcher() : nodes_(1) {}

int32_t AddedTokenMatcher::child(int32_t node, uint8_t byte) const {
  for (const auto& [label, to] : nodes_[static_cast<size_t>(node)].next)
    if (label == byte) return to;
  return -1;
}

void AddedTokenMatcher::add(std::string_view content, int32_t id) {
  if (content.empty()) return;
  int32_t node = 0;
  for (const char c : content) {
    const auto byte = static_cast<uint8_t>(c);
    int32_t to = child(node, byte);
    if (to < 0) {
      to = static_cast<int32_t>(nodes_.size());
      nodes_[static_cast<size_t>(node)].next.emplace_back(byte, to);
      nodes_.emplace_back();
    }
    node = to;
  }
  nodes_[static_cast<size_t>(node)].id = id;
  const auto first = static_cast<uint8_t>(content[0]);
  if (!begins_[first]) ++distinct_first_;
  begins_[first] = true;
  only_first_ = content[0];
}

size_t AddedTokenMatcher::find_first_byte(std::string_view input, size_t from) const {
  if (distinct_first_ == 1) return input.find(only_first_, from);  // memchr: nearly always '<'
  for (size_t i = from; i < input.size(); ++i)
    if (begins_[static_cast<uint8_t>(input[i])]) return i;
  return std::string_view::npos;
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::next(std::string_view input, size_t from) const {
  if (empty()) return std::nullopt;
  for (size_t at = find_first_byte(input, from); at != std::string_view::npos; at = find_first_byte(input, at + 1)) {
    int32_t node = 0;
    std::optional<Match> longest;
    for (size_t i = at; i < input.size(); ++i) {
      node = child(node, static_cast<uint8_t>(input[i]));
      if (node < 0) break;
      if (nodes_[static_cast<size_t>(node)].id >= 0) longest = Match{at, i + 1, nodes_[static_cast<size_t>(node)].id};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

}  // namespace tenfold
