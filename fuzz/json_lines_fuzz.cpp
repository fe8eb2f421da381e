#include "core/error.h"
#include "format/json.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace {

/// The input as a file in memory, under a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view text) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    TENFOLD_CHECK(fd_ >= 0 && ::write(fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "memfd");
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { ::close(fd_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

int64_t depth_of(const tenfold::Json& json) {
  int64_t deepest = 0;
  if (!json.is_structured()) return 0;
  for (const auto& item : json) deepest = std::max(deepest, depth_of(item));
  return deepest + 1;
}

}  // namespace

// JSON text is read or refused with InputError; what was read writes itself out to the same value, and a file of lines
// gives no more objects than it has lines.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tenfold;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const Json json = parse_json(text, "fuzz");
    TENFOLD_CHECK(depth_of(json) <= 64, "depth {}", depth_of(json));
    TENFOLD_CHECK(parse_json(json.dump(), "again") == json, "{}", json.dump());
  } catch (const InputError&) {
  }
  const MemoryFile file(text);
  int64_t visited = 0;
  int64_t last = 0;
  try {
    for_each_json_line(file.path(), [&](Json& json, int64_t number) {
      TENFOLD_CHECK(json.is_object() && number > last, "line {} after {}", number, last);
      last = number;
      ++visited;
      try {
        (void)json_int_or(json, "a", 1, "fuzz");
        (void)json_string_or(json, "b", "", "fuzz");
      } catch (const InputError&) {
      }
    });
  } catch (const InputError&) {
  }
  TENFOLD_CHECK(visited <= std::count(text.begin(), text.end(), '\n') + 1, "{} objects", visited);
  return 0;
}
