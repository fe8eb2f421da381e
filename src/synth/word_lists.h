#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tenfold {

/// Words of one sort, to fill the slots of sentence shapes.
enum class WordList : uint8_t {
  kName,
  kThing,
  kCity,
  kPlace,
  kActivity,
  kWhen,
  kColor,
  kMaterial,
  kAnimal,
  kFood,
  kTrade,
  kClub,
  kMonth,
  kAdjective,
  kKeyNoun,
  kReason,
  kSaying,
  kStreet
};

std::span<const std::string_view> words_of(WordList list);

}  // namespace tenfold
