#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace tenfold::test {

inline std::string contents_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// How a run of the program ended.
struct Ended {
  int code = -1;    ///< exit code, or 128 + the signal that killed it
  std::string out;  ///< stdout
  std::string err;  ///< stderr
};

/// The tenfold program as a child with its output in files. Killed on destruction if it still runs.
class Program {
 public:
  struct Limits {
    int64_t file_bytes = 0;  ///< RLIMIT_FSIZE; 0: none
    std::string out = {};    ///< where stdout goes; else a file of our own
    std::string in = "/dev/null";
  };
  explicit Program(const std::vector<std::string>& arguments) : Program(arguments, Limits()) {}
  Program(const std::vector<std::string>& arguments, const Limits& limits) {
    char pattern[] = "/tmp/tenfold-program-XXXXXX";
    folder_ = ::mkdtemp(pattern);
    const std::string out = limits.out.empty() ? folder_ + "/out" : limits.out;
    pid_ = ::fork();
    if (pid_ != 0) return;
    redirect(limits.in, O_RDONLY, STDIN_FILENO);
    redirect(out, O_WRONLY | O_CREAT, STDOUT_FILENO);
    redirect(folder_ + "/err", O_WRONLY | O_CREAT, STDERR_FILENO);
    if (limits.file_bytes > 0) {
      const rlimit limit{static_cast<rlim_t>(limits.file_bytes), static_cast<rlim_t>(limits.file_bytes)};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    std::vector<char*> argv = {const_cast<char*>(TENFOLD_BINARY)};
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    ::execv(TENFOLD_BINARY, argv.data());
    ::_exit(127);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  /// Nothing once the program was seen to have ended: kill(-1) would go to every process there is.
  void signal(int number) const {
    if (pid_ > 0) ::kill(pid_, number);
  }
  /// Waits until `ready` says so or the program ends; false in the latter case.
  bool wait_until(const std::function<bool()>& ready) {
    while (!ready()) {
      if (ended()) return ready();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  Ended wait() {
    while (!ended()) std::this_thread::sleep_for(std::chrono::microseconds(200));
    const int code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
    return {code, contents_of(folder_ + "/out"), contents_of(folder_ + "/err")};
  }

 private:
  static void redirect(const std::string& path, int flags, int to) {
    const int fd = ::open(path.c_str(), flags, 0644);
    if (fd < 0 || ::dup2(fd, to) < 0) ::_exit(126);
  }
  bool ended() {
    if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
    return pid_ < 0;
  }

  std::string folder_;
  pid_t pid_ = -1;
  int status_ = 0;
};

inline Ended run(const std::vector<std::string>& arguments) { return Program(arguments).wait(); }

/// The last line of a text.
inline std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of('\n');
  if (end == std::string::npos) return {};
  const size_t begin = text.rfind('\n', end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1, end - (begin == std::string::npos ? 0 : begin + 1) + 1);
}

}  // namespace tenfold::test
