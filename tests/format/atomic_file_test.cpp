#include "format/atomic_file.h"

#include "core/error.h"
#include "format/file_handle.h"
#include "format/mapped_file.h"
#include "format/scratch.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

namespace tenfold {
namespace {

/// Runs `act` in a child process and returns its exit status; a child that a signal ends gives -signal.
int in_child(const std::function<int()>& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      ::_exit(act());
    } catch (...) {
      ::_exit(99);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// A stand-in for a full disk that needs no root: the process may write files of `bytes` at most (EFBIG beyond).
void limit_file_size(rlim_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{bytes, bytes};
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

TEST(AtomicFile, AppearsWithItsBytes) {
  const Scratch dir;
  const std::string path = dir / "out.bin";
  AtomicFile file(path);
  file.write("one ");
  file.write(std::as_bytes(std::span("two", 3)));
  EXPECT_FALSE(std::filesystem::exists(path));
  file.commit();
  EXPECT_EQ(slurp(path), "one two");
  EXPECT_EQ(dir.entries(), 1);
}

TEST(AtomicFile, ReplacesTheOldFileOnlyOnCommit) {
  const Scratch dir;
  const std::string path = dir / "out.txt";
  spill(path, "old");
  {
    AtomicFile file(path);
    file.write("new and unfinished");
    EXPECT_EQ(slurp(path), "old");
  }
  EXPECT_EQ(slurp(path), "old");
  EXPECT_EQ(dir.entries(), 1) << "the temporary file is left";
  write_file_atomically(path, "new");
  EXPECT_EQ(slurp(path), "new");
  EXPECT_EQ(dir.entries(), 1);
}

TEST(AtomicFile, AKillInTheMiddleLeavesTheOldFileWhole) {
  const Scratch dir;
  const std::string path = dir / "out.txt";
  spill(path, "old");
  EXPECT_EQ(in_child([&] {
              AtomicFile file(path);
              file.write(std::string(100000, 'x'));
              ::kill(::getpid(), SIGKILL);
              return 0;
            }),
            -SIGKILL);
  EXPECT_EQ(slurp(path), "old");
  // What the dead process left under another name does not stop the next one.
  EXPECT_EQ(in_child([&] {
              AtomicFile first(path);
              AtomicFile second(path);  // two at once do not share a temporary
              first.write("first");
              second.write("second");
              first.commit();
              second.commit();
              return 0;
            }),
            0);
  EXPECT_EQ(slurp(path), "second");
}

TEST(AtomicFile, AFullDiskIsAnIoErrorAndKeepsTheOldFile) {
  const Scratch dir;
  const std::string path = dir / "out.txt";
  spill(path, "old");
  EXPECT_EQ(in_child([&] {
              limit_file_size(5000);
              try {
                AtomicFile file(path);
                file.write(std::string(3000, 'x'));
                file.write(std::string(3000, 'y'));
              } catch (const IoError& error) {
                const std::string message = error.what();
                if (message.find(path) == std::string::npos) return 2;
                if (message.find("2000 of 3000") == std::string::npos) return 3;
                if (message.find("free space") == std::string::npos) return 4;
                return 0;
              }
              return 1;
            }),
            0);
  EXPECT_EQ(slurp(path), "old");
  EXPECT_EQ(dir.entries(), 1);
}

TEST(AtomicFile, ADeviceThatIsFullSaysSo) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "there is no /dev/full";
  const FileHandle full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  int64_t written = -1;
  EXPECT_EQ(write_all(full.fd(), "text", 4, written), ENOSPC);
  EXPECT_EQ(written, 0);
}

TEST(AtomicFile, BadTargetsAreIoErrorsWithThePath) {
  const Scratch dir;
  const std::string missing = dir / "no/such/place/file";
  EXPECT_HAS(message_of<IoError>([&] { AtomicFile file(missing); }), missing);
  EXPECT_HAS(message_of<IoError>([&] { AtomicFile file(dir.path()); }), dir.path());
  EXPECT_HAS(message_of<IoError>([&] { AtomicFile file(dir.path() + "/"); }), dir.path());
  EXPECT_HAS(message_of<IoError>([&] { AtomicFile file(""); }), "cannot write");
  EXPECT_EQ(dir.entries(), 0);
}

TEST(AtomicFile, TakesTheLongestFileNames) {
  const Scratch dir;
  const std::string path = dir / std::string(255, 'n');
  write_file_atomically(path, "x");
  EXPECT_EQ(slurp(path), "x");
}

TEST(AtomicFile, ABareNameIsInTheWorkingDirectory) {
  const Scratch dir;
  EXPECT_EQ(in_child([&] {
              if (::chdir(dir.path().c_str()) != 0) return 1;
              write_file_atomically("bare", "x");
              return 0;
            }),
            0);
  EXPECT_EQ(slurp(dir / "bare"), "x");
}

void on_alarm(int) {}

TEST(WriteAll, FinishesAfterShortWritesAndSignals) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = on_alarm;  // without SA_RESTART: write returns early or with EINTR
  ::sigaction(SIGALRM, &action, &before);
  const itimerval often{{0, 500}, {0, 500}};
  const itimerval never{};
  const std::string sent(3 << 20, 'q');
  std::string got;
  std::thread reader([&] {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, nullptr);  // the signals are the writer's
    char chunk[8192];
    for (ssize_t n = 0; (n = ::read(ends[0], chunk, sizeof chunk)) > 0;) {
      got.append(chunk, static_cast<size_t>(n));
      if (got.size() % (1 << 19) < sizeof chunk) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  ::setitimer(ITIMER_REAL, &often, nullptr);
  int64_t written = 0;
  const int error = write_all(ends[1], sent.data(), static_cast<int64_t>(sent.size()), written);
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  ::close(ends[1]);
  reader.join();
  ::close(ends[0]);
  EXPECT_EQ(error, 0);
  EXPECT_EQ(written, static_cast<int64_t>(sent.size()));
  EXPECT_TRUE(got == sent);
}

TEST(DirectoryLock, IsHeldByOneRunUntilItEnds) {
  const Scratch dir;
  const std::string path = dir / "run";
  make_directories(path);
  {
    const DirectoryLock first(path);
    EXPECT_THROW(DirectoryLock{path}, IoError);
  }
  EXPECT_EQ(in_child([&] {
              const DirectoryLock killed(path);
              ::kill(::getpid(), SIGKILL);
              return 0;
            }),
            -SIGKILL);
  EXPECT_NO_THROW(DirectoryLock{path});
}

TEST(LineAppender, HasAFileForItself) {
  const Scratch dir;
  const std::string path = dir / "lines.jsonl";
  {
    LineAppender first(path);
    first.append("one");
    try {
      LineAppender second(path);
      FAIL() << "two writers";
    } catch (const IoError& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("another process"), std::string::npos) << error.what();
    }
    first.append("two");
  }
  EXPECT_EQ(in_child([&] {
              LineAppender killed(path);
              killed.append("three");
              ::kill(::getpid(), SIGKILL);
              return 0;
            }),
            -SIGKILL);
  LineAppender(path).append("four");
  EXPECT_EQ(slurp(path), "one\ntwo\nthree\nfour\n");
}

TEST(LineAppender, AppendsWholeLines) {
  const Scratch dir;
  const std::string path = dir / "log.jsonl";
  {
    LineAppender log(path);
    log.append("one");
    log.append("");
  }
  {
    LineAppender log(path, true);
    log.append("two");
  }
  EXPECT_EQ(slurp(path), "one\n\ntwo\n");
}

TEST(LineAppender, CutsATornLastLine) {
  const Scratch dir;
  const std::string path = dir / "log.jsonl";
  // Torn lines shorter than, as long as and longer than the 4096 bytes that are read at a time.
  for (const size_t torn : {1, 4095, 4096, 4097, 20000}) {
    spill(path, "whole\n" + std::string(torn, 't'));
    LineAppender log(path);
    log.append("next");
    EXPECT_EQ(slurp(path), "whole\nnext\n") << torn;
  }
  spill(path, std::string(5000, 't'));  // nothing but a torn line
  LineAppender log(path);
  EXPECT_EQ(slurp(path), "");
}

TEST(LineAppender, AFullDiskLeavesWholeLines) {
  const Scratch dir;
  const std::string path = dir / "log.jsonl";
  EXPECT_EQ(in_child([&] {
              limit_file_size(1000);
              LineAppender log(path);
              log.append(std::string(600, 'a'));
              try {
                log.append(std::string(600, 'b'));
              } catch (const IoError& error) {
                return std::string(error.what()).find(path) == std::string::npos ? 2 : 0;
              }
              return 1;
            }),
            0);
  EXPECT_EQ(slurp(path), std::string(600, 'a') + "\n");
}

TEST(LineAppender, CannotOpenIsAnIoError) {
  const Scratch dir;
  const std::string path = dir / "missing/log";
  EXPECT_HAS(message_of<IoError>([&] { LineAppender log(path); }), path);
}

TEST(Directories, AreMadeWithTheirParents) {
  const Scratch dir;
  make_directories(dir / "a/b/c");
  make_directories(dir / "a/b/c");
  EXPECT_TRUE(std::filesystem::is_directory(dir / "a/b/c"));
  spill(dir / "file", "x");
  EXPECT_HAS(message_of<IoError>([&] { make_directories(dir / "file"); }), dir / "file");
  EXPECT_HAS(message_of<IoError>([&] { make_directories(dir / "file/below"); }), dir / "file/below");
}

TEST(MappedFile, MapsTheBytes) {
  const Scratch dir;
  const std::string path = dir / "data";
  spill(path, std::string("ab\0cd", 5));
  MappedFile file(path);
  EXPECT_EQ(file.size(), 5);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file.bytes().data()), 5), std::string("ab\0cd", 5));
  const std::byte* const at = file.bytes().data();
  MappedFile moved(std::move(file));
  EXPECT_EQ(moved.bytes().data(), at);
  MappedFile assigned;
  assigned = std::move(moved);
  EXPECT_EQ(assigned.bytes().data(), at);
  EXPECT_EQ(assigned.path(), path);
}

TEST(MappedFile, AnEmptyFileHasNoBytes) {
  const Scratch dir;
  spill(dir / "empty", "");
  EXPECT_EQ(MappedFile(dir / "empty").size(), 0);
  EXPECT_TRUE(MappedFile(dir / "empty").bytes().empty());
}

TEST(MappedFile, WhatCannotBeMappedIsAnIoError) {
  const Scratch dir;
  EXPECT_HAS(message_of<IoError>([&] { MappedFile file(dir / "missing"); }), "No such file");
  EXPECT_HAS(message_of<IoError>([&] { MappedFile file(dir.path()); }), "directory");
  EXPECT_HAS(message_of<IoError>([&] { MappedFile file("/dev/null"); }), "not a regular file");
}

TEST(ReadTextFile, ReadsAllOfIt) {
  const Scratch dir;
  const std::string big(300001, 'x');
  spill(dir / "big", big);
  EXPECT_TRUE(read_text_file(dir / "big") == big);
  spill(dir / "empty", "");
  EXPECT_EQ(read_text_file(dir / "empty"), "");
  EXPECT_HAS(message_of<IoError>([&] { read_text_file(dir / "missing"); }), dir / "missing");
  EXPECT_HAS(message_of<IoError>([&] { read_text_file(dir.path()); }), "directory");
}

TEST(ReadTextFile, KeepsItsLimit) {
  const Scratch dir;
  spill(dir / "ten", "0123456789");
  EXPECT_EQ(read_text_file(dir / "ten", 10), "0123456789");
  EXPECT_HAS(message_of<InputError>([&] { read_text_file(dir / "ten", 9); }), "at most 9");
  // A device without a size and without an end.
  EXPECT_HAS(message_of<InputError>([&] { read_text_file("/dev/zero", 100000); }), "100000");
}

}  // namespace
}  // namespace tenfold
