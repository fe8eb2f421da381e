#include "format/mapped_file.h"

#include "core/error.h"
#include "format/file_handle.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tenfold {

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const FileHandle file = open_for_reading(path);
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0) throw_io("cannot read {}: {}", path, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) throw_io("cannot map {}: it is not a regular file", path);
  if (info.st_size == 0) return;  // mmap refuses an empty range; an empty span says the same
  void* const mapped = ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (mapped == MAP_FAILED) throw_io("cannot map {} ({} bytes): {}", path, info.st_size, std::strerror(errno));
  data_ = static_cast<const std::byte*>(mapped);
  size_ = info.st_size;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), static_cast<size_t>(size_));
}

std::string read_text_file(const std::string& path, int64_t limit) {
  const FileHandle file = open_for_reading(path);
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0) throw_io("cannot read {}: {}", path, std::strerror(errno));
  // The size is a hint only: a pipe has none, and a file may grow while it is read.
  constexpr int64_t kChunk = 1 << 16;
  const int64_t expected = S_ISREG(info.st_mode) ? info.st_size : 0;
  if (expected > limit) throw_input("{}: {} bytes, but at most {} are read", path, expected, limit);
  std::string text;
  int64_t used = 0;
  for (;;) {
    if (static_cast<int64_t>(text.size()) == used) text.resize(static_cast<size_t>(std::max(expected + 1, 2 * used + kChunk)));
    const int64_t n = read_some(file, path, text.data() + used, static_cast<int64_t>(text.size()) - used);
    if (n == 0) break;
    used += n;
    if (used > limit) throw_input("{}: more than the {} bytes that are read at most", path, limit);
  }
  text.resize(static_cast<size_t>(used));
  return text;
}

}  // namespace tenfold
