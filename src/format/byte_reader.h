#pragma once

#include "core/error.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace tenfold {

/// Reads little-endian values from hostile bytes: every length is compared with what remains before it is used.
/// Errors are InputError naming the source, the byte position, what was wanted and what was left.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string_view source) : bytes_(bytes), source_(source) {}

  int64_t position() const { return position_; }
  int64_t remaining() const { return static_cast<int64_t>(bytes_.size()) - position_; }

  template <typename T>
  requires std::is_trivially_copyable_v<T> T read(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }
  std::span<const std::byte> take(int64_t n, std::string_view what) {
    if (n < 0 || n > remaining()) {
      throw_input("{}: {} at byte {} needs {} bytes but {} remain; the file is truncated or corrupt", source_, what, position_, n,
                  remaining());
    }
    const auto out = bytes_.subspan(static_cast<size_t>(position_), static_cast<size_t>(n));
    position_ += n;
    return out;
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view source_;
  int64_t position_ = 0;
};

}  // namespace tenfold
