#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tenfold {

/// A word and what it means, as the end of "X is ..." or "X means ...".
struct Term {
  std::string_view word;
  std::string_view meaning;
};
/// Nouns of school and trade.
std::span<const Term> glossary();
/// Everyday words and others that mean nearly the same.
std::span<const Term> synonyms();

/// Something said and an answer to it; both may hold the slots that fill_words fills.
struct Talk {
  std::string_view said;
  std::string_view answer;
};
std::span<const Talk> small_talk();

/// System turns.
std::span<const std::string_view> system_turns();

}  // namespace tenfold
