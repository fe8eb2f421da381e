#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenfold {

/// The character vectors of an R package's lazy-load data base: `base`.rdx (compressed serialised index) and `base`.rdb (chunks),
/// as R's makeLazyLoad.R and serialize.c write them (XDR, versions 2 and 3). `base` may carry either extension. Variables of
/// other types are left out. Latin-1 strings become UTF-8, NA becomes "". InputError for files that are no such data base, are
/// truncated or lie about sizes, or are compressed with anything but zlib/gzip (R's default); IoError when they cannot be read.
std::map<std::string, std::vector<std::string>> read_r_character_vectors(const std::string& base);

/// A part of R's XDR serialisation: what the two readers above need of it. `kind` tells which members are filled.
struct RValue {
  enum class Kind : uint8_t { kOther, kNull, kStrings, kIntegers, kList, kSymbol, kPairs };
  Kind kind = Kind::kOther;
  std::vector<std::string> strings;  ///< kStrings; kSymbol: its name
  std::vector<int32_t> integers;     ///< kIntegers (logicals too)
  std::vector<RValue> items;         ///< kList, kPairs
  std::vector<std::string> names;    ///< of kList (its names attribute) and kPairs (the tags); empty if none
};

/// Reads one serialised value ("X\n", version 2 or 3). InputError naming `source` when malformed; nothing when the value is of a
/// sort that is not needed here (closures, environments ...).
std::optional<RValue> parse_r_serialized(std::span<const std::byte> bytes, std::string_view source);

}  // namespace tenfold
