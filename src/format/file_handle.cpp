#include "format/file_handle.h"

#include "core/error.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace tenfold {

FileHandle::~FileHandle() {
  if (fd_ >= 0) ::close(fd_);
}

FileHandle open_for_reading(const std::string& path) {
  int fd = -1;
  do fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) throw_io("cannot open {}: {}", path, std::strerror(errno));
  FileHandle file(fd);
  struct stat info {};
  if (::fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) throw_io("cannot read {}: it is a directory; a file is expected", path);
  return file;
}

int64_t read_some(const FileHandle& file, const std::string& path, char* to, int64_t n) {
  for (;;) {
    const ssize_t got = ::read(file.fd(), to, static_cast<size_t>(n));
    if (got >= 0) return got;
    if (errno != EINTR) throw_io("cannot read {}: {}", path, std::strerror(errno));
  }
}

int write_all(int fd, const char* from, int64_t n, int64_t& written) {
  written = 0;
  while (written < n) {
    const ssize_t put = ::write(fd, from + written, static_cast<size_t>(n - written));
    if (put < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    written += put;
  }
  return 0;
}

int sync_fd(int fd) {
  while (::fsync(fd) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

void sync_directory(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw_io("cannot open the directory {}: {}", directory, std::strerror(errno));
  const FileHandle handle(fd);
  const int error = sync_fd(fd);
  if (error != 0 && error != EINVAL && error != ENOTSUP)
    throw_io("cannot sync the directory {}: {}", directory, std::strerror(error));
}

std::string directory_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace tenfold
