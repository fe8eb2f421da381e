#pragma once

#include "format/file_handle.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tenfold {

/// A file that appears whole or not at all: bytes go to a temporary name beside the target, `commit` fsyncs, renames over the
/// target and fsyncs the directory. Destroyed uncommitted, it removes the temporary. Throws IoError (disk full included) with the
/// path.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  int fd_ = -1;
  bool committed_ = false;
};

/// Writes a whole file through AtomicFile.
void write_file_atomically(const std::string& path, std::string_view contents);

/// Appends lines to a file durably: each `append` is one write and, if `sync`, an fdatasync. On opening, a torn last line
/// (no newline, left by a kill) is cut off. A file has one appender at a time, in whatever process: a second one waits a second,
/// then throws IoError, as every failure does.
class LineAppender {
 public:
  explicit LineAppender(const std::string& path, bool sync = false);
  LineAppender(const LineAppender&) = delete;
  LineAppender& operator=(const LineAppender&) = delete;
  ~LineAppender();

  /// Appends `line` and a newline; `line` must not contain one.
  void append(std::string_view line);

 private:
  std::string path_;
  int fd_ = -1;
  bool sync_ = false;
};

/// Holds a directory for one run: a second one, in whatever process, waits a second, then throws IoError.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::string& path);

 private:
  FileHandle fd_;
};

/// Creates a directory and its parents; IoError when it cannot.
void make_directories(const std::string& path);

}  // namespace tenfold
