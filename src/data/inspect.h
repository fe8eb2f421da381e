#pragma once

#include "data/example.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace tenfold {

/// What a set of encoded records holds.
struct DataStats {
  /// The percentiles that `percentiles` lists.
  static constexpr std::array<int, 7> kPercents = {0, 10, 25, 50, 75, 90, 100};

  int64_t records = 0;
  int64_t tokens = 0;
  int64_t answer_tokens = 0;
  int64_t turns = 0;                     ///< messages of all roles
  int64_t answers = 0;                   ///< assistant messages
  std::array<int64_t, 7> percentiles{};  ///< tokens a record, nearest rank
  std::vector<int64_t> histogram;        ///< records by length: bin b counts lengths in [2^b, 2^(b+1))
};

/// `records` and `examples` as encode_records took and gave them; turns are counted of the records that an example came from.
DataStats data_stats(std::span<const Record> records, std::span<const Example> examples);

/// The text of an example with the loss mask to be seen: answers green, document dim, what is no target plain, a bar between the
/// tokens if `bars`. Without `color`, answers stand between ⟦ and ⟧. Bytes of a token that are not whole UTF-8 are held back
/// until they are. Control characters of the text that could steer a terminal become visible pictures; newlines and tabs stay.
std::string show_example(const Example& example, const Tokenizer& tokenizer, bool color, bool bars = false);

}  // namespace tenfold
