#include "format/atomic_file.h"

#include "core/error.h"
#include "format/file_handle.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace tenfold {
namespace {

[[noreturn]] void throw_write_error(const std::string& path, int error, int64_t written, int64_t wanted) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  throw_io("cannot write {}: {} after {} of {} bytes{}", path, std::strerror(error), written, wanted,
           full ? "; free space or choose another place" : "");
}

/// Opens a new file beside `path` under a name nobody uses; the pid keeps two processes apart, O_EXCL proves it.
std::pair<int, std::string> open_temporary(const std::string& path) {
  constexpr size_t kKeptName = 200;  // of the 255 bytes that file systems allow
  const std::filesystem::path target(path);
  if (target.filename().empty()) throw_io("cannot write {}: it names a directory", path.empty() ? "a file without a name" : path);
  const std::string base = target.filename().string().substr(0, kKeptName);
  for (int i = 0;; ++i) {
    const auto name = target.parent_path() / fmt::format(".{}.tmp-{}-{}", base, ::getpid(), i);
    const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) return {fd, name.string()};
    if (errno != EEXIST && errno != EINTR)
      throw_io("cannot create {} (to become {}): {}", name.string(), path, std::strerror(errno));
  }
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  std::error_code ignored;  // opening says what else is wrong
  if (std::filesystem::is_directory(path, ignored)) throw_io("cannot write {}: it is a directory", path);
  std::tie(fd_, temporary_) = open_temporary(path);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!committed_) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  TENFOLD_CHECK(fd_ >= 0, "{}: write after commit", path_);
  int64_t written = 0;
  const auto wanted = static_cast<int64_t>(bytes.size());
  const int error = write_all(fd_, reinterpret_cast<const char*>(bytes.data()), wanted, written);
  if (error != 0) throw_write_error(path_, error, written, wanted);
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::commit() {
  TENFOLD_CHECK(fd_ >= 0, "{}: committed twice", path_);
  if (const int error = sync_fd(fd_); error != 0) throw_io("cannot sync {}: {}", path_, std::strerror(error));
  // close can report a late write error (network file systems); after EINTR on Linux the descriptor is closed all the same.
  if (::close(std::exchange(fd_, -1)) != 0 && errno != EINTR) throw_io("cannot close {}: {}", path_, std::strerror(errno));
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    throw_io("cannot rename {} to {}: {}", temporary_, path_, std::strerror(errno));
  committed_ = true;
  sync_directory(directory_of(path_));
}

void write_file_atomically(const std::string& path, std::string_view contents) {
  AtomicFile file(path);
  file.write(contents);
  file.commit();
}

namespace {

/// The size a file of lines has without a torn last line, found by reading backwards for the last newline.
int64_t whole_lines(int fd, const std::string& path, int64_t size) {
  std::array<char, 4096> chunk{};
  for (int64_t end = size; end > 0;) {
    const int64_t begin = std::max<int64_t>(0, end - static_cast<int64_t>(chunk.size()));
    const ssize_t n = ::pread(fd, chunk.data(), static_cast<size_t>(end - begin), begin);
    if (n < 0 && errno == EINTR) continue;
    if (n != end - begin) throw_io("cannot read {}: {}", path, n < 0 ? std::strerror(errno) : "it shrank while it was read");
    for (ssize_t i = n; i-- > 0;) {
      if (chunk[static_cast<size_t>(i)] == '\n') return begin + i + 1;
    }
    end = begin;
  }
  return 0;
}

/// One writer at a time. The lock goes with the process, however it ends; a file system without locks goes without.
void lock_for_writing(int fd, const std::string& path) {
  constexpr int kTries = 20;  // a second in all: who writes a line and closes is waited for
  for (int i = 0; ::flock(fd, LOCK_EX | LOCK_NB) != 0;) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return;
    if (++i == kTries) {
      throw_io("{}: another process writes there (the same run, perhaps stopping); wait for it, or choose another directory",
               path);
    }
    ::usleep(50'000);
  }
}

}  // namespace

LineAppender::LineAppender(const std::string& path, bool sync) : path_(path), sync_(sync) {
  do fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  while (fd_ < 0 && errno == EINTR);
  if (fd_ < 0) throw_io("cannot open {} for appending: {}", path, std::strerror(errno));
  FileHandle guard(fd_);  // a constructor that throws runs no destructor
  struct stat info {};
  if (::fstat(fd_, &info) != 0) throw_io("cannot read {}: {}", path, std::strerror(errno));
  if (S_ISREG(info.st_mode)) {
    lock_for_writing(fd_, path);
    if (::fstat(fd_, &info) != 0) throw_io("cannot read {}: {}", path, std::strerror(errno));
    const int64_t whole = whole_lines(fd_, path, info.st_size);
    if (whole != info.st_size && ::ftruncate(fd_, whole) != 0)
      throw_io("cannot cut the torn line of {}: {}", path, std::strerror(errno));
    if (sync_) sync_directory(directory_of(path));
  }
  guard.release();
}

LineAppender::~LineAppender() {
  if (fd_ >= 0) ::close(fd_);
}

void LineAppender::append(std::string_view line) {
  TENFOLD_CHECK(line.find('\n') == std::string_view::npos, "{}: a line with a newline in it", path_);
  std::string text(line);
  text += '\n';
  int64_t written = 0;
  const auto wanted = static_cast<int64_t>(text.size());
  int error = write_all(fd_, text.data(), wanted, written);
  if (error != 0) {
    // Take the torn part back, so that a reader of the file meets whole lines only.
    struct stat info {};
    if (written > 0 && ::fstat(fd_, &info) == 0 && ::ftruncate(fd_, info.st_size - written) != 0) error = errno;
    throw_write_error(path_, error, written, wanted);
  }
  if (!sync_) return;
  while (::fdatasync(fd_) != 0) {
    if (errno == EINVAL) return;  // a pipe or terminal
    if (errno != EINTR) throw_io("cannot sync {}: {}", path_, std::strerror(errno));
  }
}

DirectoryLock::DirectoryLock(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (fd_.fd() < 0) throw_io("cannot open {}: {}", path, std::strerror(errno));
  lock_for_writing(fd_.fd(), path);
}

void make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw_io("cannot create the directory {}: {}", path, error.message());
  if (!std::filesystem::is_directory(path, error)) throw_io("cannot create the directory {}: a file of that name exists", path);
}

}  // namespace tenfold
