#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace tenfold {

/// Owns a POSIX file descriptor; closes it without looking at the result (writers check `close` themselves).
class FileHandle {
 public:
  explicit FileHandle(int fd) : fd_(fd) {}
  FileHandle(FileHandle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileHandle& operator=(FileHandle&&) = delete;
  ~FileHandle();

  int fd() const { return fd_; }
  /// Gives up the descriptor without closing it.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// Opens an existing file or pipe; a directory is refused. Throws IoError with the path and the reason.
FileHandle open_for_reading(const std::string& path);

/// Reads up to `n` bytes and returns how many (0 at the end), trying again after a signal. Throws IoError.
int64_t read_some(const FileHandle& file, const std::string& path, char* to, int64_t n);

/// Writes all `n` bytes, trying again after signals and short writes. Returns 0, or errno, with `written` telling how far it
/// came.
int write_all(int fd, const char* from, int64_t n, int64_t& written);

/// fsync that tries again after a signal. Returns 0 or errno.
int sync_fd(int fd);

/// Makes a rename or a creation inside `directory` durable. Throws IoError; file systems that cannot sync directories are
/// accepted.
void sync_directory(const std::string& directory);

/// The directory that holds `path` ("." for a bare name).
std::string directory_of(const std::string& path);

}  // namespace tenfold
