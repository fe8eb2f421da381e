#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace tenfold::malformed {

/// The little-endian bytes of a value.
template <typename T>
requires std::is_trivially_copyable_v<T> std::string raw(T value) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &value, sizeof(T));
  return out;
}

/// A string with its u64 length before it.
inline std::string counted(std::string_view text) { return raw(static_cast<uint64_t>(text.size())) + std::string(text); }

inline std::span<const std::byte> as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

/// A file that a reader must refuse: its name, its bytes, and words that the message must have.
struct Case {
  std::string name;
  std::string bytes;
  std::string expected;
};

}  // namespace tenfold::malformed
