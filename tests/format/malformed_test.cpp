#include "core/error.h"
#include "format/gguf.h"
#include "format/safetensors.h"
#include "malformed/gguf_table.h"
#include "malformed/safetensors_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <set>

namespace {
std::atomic<int64_t> allocated_bytes{0};
}

// Counting allocators: what a hostile file makes a reader ask for is part of the contract.
[[gnu::noinline]] void* operator new(size_t n) {
  allocated_bytes += static_cast<int64_t>(n);
  if (void* const p = std::malloc(n > 0 ? n : 1)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace tenfold {
namespace {

using malformed::as_bytes;
using malformed::Case;

template <typename File>
void expect_refused(const Case& c) {
  // The files are far below a megabyte; a reader that believes their lengths asks for gigabytes.
  constexpr int64_t kAllowed = int64_t{4} << 20;
  const int64_t before = allocated_bytes;
  try {
    const File file(as_bytes(c.bytes), "hostile");
    ADD_FAILURE() << c.name << ": accepted";
  } catch (const InputError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(c.expected), std::string::npos) << c.name << ": " << message;
    EXPECT_EQ(message.find("hostile"), 0U) << c.name << ": the message does not begin with the source: " << message;
    EXPECT_LT(message.size(), 700U) << c.name;
  } catch (const std::exception& error) {
    ADD_FAILURE() << c.name << ": another exception: " << error.what();
  }
  EXPECT_LT(allocated_bytes - before, kAllowed) << c.name;
}

/// Reads every byte a parsed file hands out, so that a sanitizer sees a span outside of it.
int64_t touch(const GgufFile& file) {
  int64_t sum = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    for (const std::byte b : tensor.data) sum += static_cast<int64_t>(b);
  }
  for (const auto& [key, value] : file.metadata()) {
    if (const auto* const text = std::get_if<std::string_view>(&value.value))
      sum += static_cast<int64_t>(std::string(*text).size());
    if (const auto* const list = std::get_if<std::vector<std::string_view>>(&value.value)) {
      for (const auto text : *list) sum += static_cast<int64_t>(std::string(text).size());
    }
  }
  return sum;
}
int64_t touch(const SafetensorsFile& file) {
  int64_t sum = 0;
  for (const auto& [name, entry] : file.tensors()) {
    for (const std::byte b : entry.data) sum += static_cast<int64_t>(b);
  }
  return sum;
}

/// Every prefix shorter than `needed` is refused, every longer one is read. A copy of just that size lets ASan see past the end.
template <typename File>
void sweep_prefixes(const std::string& valid, size_t needed) {
  for (size_t n = 0; n <= valid.size(); ++n) {
    const std::vector<std::byte> prefix(as_bytes(valid).begin(), as_bytes(valid).begin() + static_cast<std::ptrdiff_t>(n));
    bool refused = false;
    try {
      touch(File(prefix, "prefix"));
    } catch (const InputError&) {
      refused = true;
    }
    EXPECT_EQ(refused, n < needed) << n << " of " << valid.size() << " bytes";
  }
}

/// Any single bit flipped: read or refused, never anything else.
template <typename File>
void sweep_bits(const std::string& valid) {
  int64_t refused = 0;
  int64_t read = 0;
  for (size_t i = 0; i < valid.size() * 8; ++i) {
    std::vector<std::byte> bytes(as_bytes(valid).begin(), as_bytes(valid).end());
    bytes[i / 8] ^= std::byte{1} << (i % 8);
    try {
      touch(File(bytes, "flipped"));
      ++read;
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(read, 0);
}

void expect_distinct(const std::vector<Case>& cases, size_t at_least) {
  std::set<std::string> names;
  std::set<std::string> contents;
  for (const Case& c : cases) {
    EXPECT_TRUE(names.insert(c.name).second) << c.name << " is named twice";
    EXPECT_TRUE(contents.insert(c.bytes).second) << c.name << " repeats another case";
  }
  EXPECT_GE(names.size(), at_least);
}

TEST(MalformedGguf, EveryNamedFileIsRefusedWithItsReason) {
  const auto cases = malformed::gguf_cases();
  expect_distinct(cases, 80);
  for (const Case& c : cases) expect_refused<GgufFile>(c);
}

TEST(MalformedGguf, TheFileTheyAreMadeFromIsValid) {
  const std::string valid = malformed::valid_gguf().encode();
  const GgufFile file(as_bytes(valid), "valid");
  EXPECT_EQ(file.tensors().size(), 2U);
  EXPECT_EQ(file.metadata().size(), 6U);
}

TEST(MalformedGguf, EveryPrefixIsRefusedUntilNothingIsLost) {
  const std::string valid = malformed::valid_gguf().encode();
  sweep_prefixes<GgufFile>(valid, valid.size() - 28);  // the padding behind the last tensor carries nothing
}

TEST(MalformedGguf, EveryFlippedBitIsReadOrRefused) { sweep_bits<GgufFile>(malformed::valid_gguf().encode()); }

TEST(MalformedSafetensors, EveryNamedFileIsRefusedWithItsReason) {
  const auto cases = malformed::safetensors_cases();
  expect_distinct(cases, 65);
  for (const Case& c : cases) expect_refused<SafetensorsFile>(c);
}

TEST(MalformedSafetensors, TheFileTheyAreMadeFromIsValid) {
  const std::string valid = malformed::valid_safetensors();
  const SafetensorsFile file(as_bytes(valid), "valid");
  EXPECT_EQ(file.tensors().size(), 4U);
}

TEST(MalformedSafetensors, EveryPrefixIsRefused) {
  const std::string valid = malformed::valid_safetensors();
  sweep_prefixes<SafetensorsFile>(valid, valid.size());
}

TEST(MalformedSafetensors, EveryFlippedBitIsReadOrRefused) { sweep_bits<SafetensorsFile>(malformed::valid_safetensors()); }

TEST(Malformed, MessagesDoNotCarryControlCharacters) {
  const std::string evil = "\x1b[2J\n\x7f\xff";
  const std::string bytes = malformed::detail::with_info(malformed::gguf_info(evil, {4}, 999, 0));
  try {
    const GgufFile file(as_bytes(bytes), "evil");
    ADD_FAILURE() << "accepted";
  } catch (const InputError& error) {
    for (const char c : std::string(error.what())) EXPECT_TRUE(c >= 0x20 && c <= 0x7e) << error.what();
    EXPECT_NE(std::string(error.what()).find("\\x1b[2J\\x0a\\x7f\\xff"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace tenfold
