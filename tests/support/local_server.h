#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

namespace tenfold::test {

/// What a request brought.
struct HttpRequest {
  std::string head;  ///< request line and headers as they came
  std::string body;
  int number = 0;  ///< from 1, of this server
};
/// What goes back: the bytes after "HTTP/1.1 ", or "" to hang up without a word.
using HttpHandler = std::function<std::string(const HttpRequest&)>;

inline std::string http_reply(const std::string& status, const std::string& body) {
  return status + "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// An HTTP server in a process of its own on 127.0.0.1, one connection at a time, one request a connection. What its handler
/// changes stays in that process.
class LocalServer {
 public:
  explicit LocalServer(const HttpHandler& handler) {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    if (listener < 0 || ::bind(listener, plain, size) != 0 || ::listen(listener, 16) != 0 ||
        ::getsockname(listener, plain, &size) != 0) {
      throw std::runtime_error("no local socket");
    }
    port_ = ntohs(address.sin_port);
    ::setenv("no_proxy", "127.0.0.1", 1);  // a proxy of the machine cannot reach it
    pid_ = ::fork();
    if (pid_ == 0) serve(listener, handler);
    ::close(listener);
  }
  LocalServer(const LocalServer&) = delete;
  LocalServer& operator=(const LocalServer&) = delete;
  ~LocalServer() { stop(); }

  std::string url(const std::string& path = "") const { return "http://127.0.0.1:" + std::to_string(port_) + path; }
  void stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }

 private:
  [[noreturn]] static void serve(int listener, const HttpHandler& handler) {
    for (int number = 1;; ++number) {
      const int peer = ::accept(listener, nullptr, nullptr);
      if (peer < 0) ::_exit(1);
      HttpRequest request = read_request(peer);
      request.number = number;
      if (const std::string reply = handler(request); !reply.empty()) {
        const std::string bytes = "HTTP/1.1 " + with_close(reply);
        for (size_t at = 0; at < bytes.size();) {
          const ssize_t n = ::send(peer, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
          if (n <= 0) break;
          at += static_cast<size_t>(n);
        }
      }
      ::close(peer);
    }
  }
  static std::string with_close(std::string reply) {
    const size_t line = reply.find("\r\n");
    return line == std::string::npos ? reply : reply.insert(line, "\r\nConnection: close");
  }
  static HttpRequest read_request(int peer) {
    std::string bytes;
    size_t wanted = std::string::npos;
    size_t head = std::string::npos;
    char buffer[4096];
    while (head == std::string::npos || bytes.size() < wanted) {
      const ssize_t n = ::recv(peer, buffer, sizeof(buffer), 0);
      if (n <= 0) break;
      bytes.append(buffer, static_cast<size_t>(n));
      if (head != std::string::npos || (head = bytes.find("\r\n\r\n")) == std::string::npos) continue;
      std::string lower = bytes.substr(0, head);
      for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      const size_t length = lower.find("content-length:");
      wanted = head + 4 + (length == std::string::npos ? 0 : std::stoul(lower.substr(length + 15)));
    }
    if (head == std::string::npos) return {bytes, "", 0};
    return {bytes.substr(0, head), bytes.substr(head + 4), 0};
  }

  int port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace tenfold::test
