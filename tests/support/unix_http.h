// A bare HTTP client for Unix sockets: sends exactly the bytes it is given, and reads with a
// deadline.
#ifndef SOTTO_TESTS_SUPPORT_UNIX_HTTP_H_
#define SOTTO_TESTS_SUPPORT_UNIX_HTTP_H_

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

namespace sotto {

struct HttpReply {
  int status = 0;
  std::string head;
  std::string body;
};

class UnixHttp {
 public:
  explicit UnixHttp(const std::string& path) {
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      close(fd_);
      fd_ = -1;
    }
  }
  ~UnixHttp() {
    if (fd_ >= 0) close(fd_);
  }
  UnixHttp(const UnixHttp&) = delete;
  UnixHttp& operator=(const UnixHttp&) = delete;

  bool connected() const { return fd_ >= 0; }

  // False once the other end has closed.
  bool Send(const std::string& bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t n = send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return false;
      sent += static_cast<size_t>(n);
    }
    return true;
  }

  // Reads until `text` has come; false at the deadline or the end.
  bool WaitFor(const std::string& text,
               std::chrono::milliseconds patience = std::chrono::seconds(20)) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (input_.find(text) == std::string::npos) {
      if (!ReadMore(deadline)) return false;
    }
    return true;
  }

  // Reads to the end; true if it came before the deadline.
  bool WaitForEnd(std::chrono::milliseconds patience = std::chrono::seconds(20)) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (ReadMore(deadline)) {
    }
    return ended_;
  }

  // One answer with a Content-Length. Status 0 if none came.
  HttpReply ReadReply(std::chrono::milliseconds patience = std::chrono::seconds(20)) {
    HttpReply reply;
    const auto deadline = std::chrono::steady_clock::now() + patience;
    if (!WaitFor("\r\n\r\n", patience)) return reply;
    const size_t head_end = input_.find("\r\n\r\n") + 4;
    reply.head = input_.substr(0, head_end);
    const size_t at = reply.head.find("Content-Length: ");
    const size_t length =
        at == std::string::npos ? 0 : std::strtoul(reply.head.c_str() + at + 16, nullptr, 10);
    while (input_.size() < head_end + length) {
      if (!ReadMore(deadline)) return {};
    }
    reply.body = input_.substr(head_end, length);
    input_.erase(0, head_end + length);
    reply.status = std::atoi(reply.head.c_str() + std::strlen("HTTP/1.1 "));
    return reply;
  }

  HttpReply Get(const std::string& target, const std::string& headers = "") {
    Send("GET " + target + " HTTP/1.1\r\nHost: sotto\r\n" + headers + "\r\n");
    return ReadReply();
  }

  HttpReply Post(const std::string& target, const std::string& body) {
    Send("POST " + target + " HTTP/1.1\r\nHost: sotto\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body);
    return ReadReply();
  }

  // What has been read and not taken.
  const std::string& input() const { return input_; }
  std::string TakeInput() { return std::exchange(input_, {}); }

 private:
  bool ReadMore(std::chrono::steady_clock::time_point deadline) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0 || ended_) return false;
    pollfd poller{fd_, POLLIN, 0};
    if (poll(&poller, 1, static_cast<int>(left.count())) <= 0) return false;
    char buffer[4096];
    const ssize_t n = read(fd_, buffer, sizeof buffer);
    if (n <= 0) {
      ended_ = true;
      return false;
    }
    input_.append(buffer, static_cast<size_t>(n));
    return true;
  }

  int fd_ = -1;
  bool ended_ = false;
  std::string input_;
};

}  // namespace sotto

#endif  // SOTTO_TESTS_SUPPORT_UNIX_HTTP_H_
