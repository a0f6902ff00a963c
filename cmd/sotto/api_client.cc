#include "cmd/sotto/api_client.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/json/parse.hpp>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <optional>
#include <utility>

#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/text.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto::cli {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace json = boost::json;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;

Clock::time_point After(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(std::min(seconds, 1e9)));
}

absl::Status Unreachable(const std::string& path, int error) {
  struct stat info {};
  const bool exists = lstat(path.c_str(), &info) == 0;
  if (error == EACCES || error == EPERM) {
    return WithLine(WithLine(CodedError(absl::StatusCode::kPermissionDenied, "DAEMON_FORBIDDEN",
                                        "this user may not open " + path),
                             "why",
                             "the socket belongs to the daemon's user, and to admin.group "
                             "where one is set"),
                    "do", "sudo sotto …, or join the group that admin.group names");
  }
  const std::string state = !exists                  ? "no"
                            : S_ISSOCK(info.st_mode) ? "yes"
                                                     : "no, something else has that name";
  absl::Status status = CodedError(absl::StatusCode::kUnavailable, "DAEMON_UNREACHABLE",
                                   "no sottod answers on " + path);
  status = WithLine(status, "tried", "socket exists: " + state);
  if (exists && S_ISSOCK(info.st_mode)) {
    status = WithLine(status, "why",
                      std::string("nobody listens on it (") + std::strerror(error) +
                          "): its sottod has ended without cleaning up");
  } else {
    status = WithLine(status, "why", "sottod is not running here, or has another admin.socket");
  }
  return WithLine(status, "do",
                  "systemctl status sottod, or `sotto config check`; for another socket add "
                  "`--target unix:/path`");
}

// One connection, with the deadline of each step.
class Connection {
 public:
  explicit Connection(std::string path) : path_(std::move(path)), socket_(io_) {}

  absl::Status Open(Clock::time_point deadline) {
    sockaddr_un address{};
    if (path_.size() >= sizeof address.sun_path) {
      return CodedError(absl::StatusCode::kInvalidArgument, "SOCKET_PATH_TOO_LONG",
                        path_ + " is longer than the 107 bytes of a socket's path");
    }
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return absl::InternalError(std::strerror(errno));
    // A blocking connect with a time limit: one that must not block fails at once when the queue of
    // a frozen daemon is full.
    const double left =
        std::max(std::chrono::duration<double>(deadline - Clock::now()).count(), 0.01);
    timeval limit{};
    limit.tv_sec = static_cast<time_t>(left);
    limit.tv_usec = static_cast<suseconds_t>((left - std::floor(left)) * 1e6);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int result;
    do {
      result = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    } while (result != 0 && errno == EINTR && Clock::now() < deadline);
    if (result != 0) {
      const int error = errno;
      ::close(fd);
      if (error == EAGAIN || error == EINTR) return Timeout("its queue of connections is full", 0);
      return Unreachable(path_, error);
    }
    ucred peer{};
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0) pid_ = peer.pid;
    error_code error;
    socket_.assign(asio::local::stream_protocol(), fd, error);
    if (error) {
      ::close(fd);
      return absl::InternalError(error.message());
    }
    return absl::OkStatus();
  }

  // Runs one asynchronous step; timed_out if the deadline passes first.
  template <typename Start>
  error_code Await(Clock::time_point deadline, Start start) {
    return AwaitTicking(deadline, 0, nullptr, std::move(start));
  }

  // As Await, calling `tick` every `tick_s` meanwhile; operation_aborted once it returns false.
  template <typename Start>
  error_code AwaitTicking(Clock::time_point deadline, double tick_s,
                          const std::function<bool()>& tick, Start start) {
    std::optional<error_code> result;
    start([&result](error_code error, size_t) { result = error; });
    io_.restart();
    bool go_on = true;
    while (!result.has_value() && go_on && Clock::now() < deadline) {
      const auto next = tick ? std::min(After(tick_s), deadline) : deadline;
      while (!result.has_value() && io_.run_one_until(next) > 0) {
      }
      if (!result.has_value() && tick) go_on = tick();
    }
    if (result.has_value()) return *result;
    error_code ignored;
    socket_.close(ignored);
    io_.restart();
    io_.run();
    return go_on ? error_code(asio::error::timed_out) : error_code(asio::error::operation_aborted);
  }

  // `seconds`: how long it was silent.
  absl::Status Timeout(const std::string& tried, double seconds) const {
    std::string who = "sottod";
    if (pid_ > 0) who += " (pid " + std::to_string(pid_) + ")";
    absl::Status status =
        CodedError(absl::StatusCode::kDeadlineExceeded, "DAEMON_TIMEOUT",
                   who + " on " + path_ + " did not answer" +
                       (seconds > 0 ? " within " + HumanDuration(seconds) : " in time"));
    status = WithLine(status, "tried", tried);
    if (IsStopped()) {
      const std::string pid = std::to_string(pid_);
      status =
          WithLine(status, "why", "the process is stopped (state T in /proc/" + pid + "/stat)");
      return WithLine(status, "do", "kill -CONT " + pid);
    }
    status = WithLine(status, "why", "it is starved or hangs; or the deadline is too short");
    return WithLine(status, "do", "sotto --timeout 30s status, then journalctl -u sottod -n 20");
  }

  absl::Status Failed(error_code error, const std::string& tried, double seconds) const {
    if (error == asio::error::timed_out) return Timeout(tried, seconds);
    if (error.category() == http::make_error_code(http::error::bad_method).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message) {
      return NotTheApi(error.message());
    }
    return WithLine(WithLine(CodedError(absl::StatusCode::kUnavailable, "DAEMON_GONE",
                                        "sottod on " + path_ + " closed the connection"),
                             "tried", tried),
                    "why", "it ended or was restarted meanwhile (" + error.message() + ")");
  }

  absl::Status NotTheApi(const std::string& reason) const {
    return WithLine(CodedError(absl::StatusCode::kInternal, "API_BAD_ANSWER",
                               "what answers on " + path_ + " does not speak sottod's API"),
                    "why", reason);
  }

  asio::local::stream_protocol::socket& socket() { return socket_; }

 private:
  bool IsStopped() const {
    if (pid_ <= 0) return false;
    std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
    std::string text;
    std::getline(file, text);
    // "4711 (sottod) T …": the name may hold spaces and brackets itself.
    const size_t end = text.rfind(')');
    return end != std::string::npos && end + 2 < text.size() &&
           (text[end + 2] == 'T' || text[end + 2] == 't');
  }

  std::string path_;
  asio::io_context io_;
  asio::local::stream_protocol::socket socket_;
  pid_t pid_ = 0;
};

absl::StatusCode KindOf(unsigned http_status) {
  switch (http_status) {
    case 400:
    case 405:
    case 413:
    case 422:
      return absl::StatusCode::kInvalidArgument;
    case 401:
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 408:
    case 504:
      return absl::StatusCode::kDeadlineExceeded;
    case 409:
    case 412:
      return absl::StatusCode::kFailedPrecondition;
    case 429:
    case 503:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status ProblemOf(unsigned http_status, const std::string& body) {
  error_code error;
  const json::value problem = json::parse(body, error);
  const std::string code = error ? "" : TextOf(Member(problem, "code"));
  if (code.empty()) {
    return CodedError(KindOf(http_status), "API_BAD_ANSWER",
                      "the daemon answered " + std::to_string(http_status) + " without saying why");
  }
  std::string text = TextOf(Member(problem, "detail"));
  if (text.empty()) text = TextOf(Member(problem, "title"));
  absl::Status status = CodedError(KindOf(http_status), code, text);
  const std::string fix = TextOf(Member(problem, "fix"));
  return fix.empty() ? status : WithLine(status, "do", fix);
}

http::request<http::string_body> RequestOf(const char* method, const std::string& path,
                                           const std::string& body) {
  http::request<http::string_body> request;
  request.method_string(method);
  request.target(path);
  request.version(11);
  request.set(http::field::host, "sotto");
  request.set(http::field::accept, "application/json, text/event-stream");
  request.keep_alive(false);
  if (!body.empty()) {
    request.set(http::field::content_type, "application/json");
    request.body() = body;
  }
  request.prepare_payload();
  return request;
}

}  // namespace

absl::StatusOr<json::value> ApiClient::Get(const std::string& path) const {
  return Ask("GET", path, "");
}

absl::StatusOr<json::value> ApiClient::Post(const std::string& path,
                                            const json::value& body) const {
  return Ask("POST", path, JsonLine(body));
}

absl::StatusOr<json::value> ApiClient::Ask(const char* method, const std::string& path,
                                           const std::string& body) const {
  const auto deadline = After(timeout_s_);
  const std::string tried = std::string("connected, sent ") + method + " " + path;
  Connection connection(socket_path_);
  SOTTO_RETURN_IF_ERROR(connection.Open(deadline));
  auto request = RequestOf(method, path, body);
  error_code error = connection.Await(deadline, [&](auto done) {
    http::async_write(connection.socket(), request, std::move(done));
  });
  if (error) return connection.Failed(error, tried, timeout_s_);
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kAnswerBytesMax);
  error = connection.Await(deadline, [&](auto done) {
    http::async_read(connection.socket(), buffer, parser, std::move(done));
  });
  if (error) {
    const absl::Status failed = connection.Failed(error, tried, timeout_s_);
    if (error != asio::error::timed_out || std::string_view(method) != "POST") return failed;
    return WithLine(failed, "state", "unknown: the daemon has the request, and may still do it");
  }
  const auto& answer = parser.get();
  if (answer.result_int() / 100 != 2) return ProblemOf(answer.result_int(), answer.body());
  json::value envelope = json::parse(answer.body(), error);
  if (error) return connection.NotTheApi("its answer to " + path + " is not JSON");
  if (Member(envelope, "schema").is_null()) {
    return connection.NotTheApi("its answer to " + path + " has no schema");
  }
  return envelope;
}

absl::Status ApiClient::Stream(const std::string& path, const StreamHandler& handler) const {
  return ReadStream("GET", path, "", handler);
}

absl::Status ApiClient::PostStream(const std::string& path, const json::value& body,
                                   const StreamHandler& handler) const {
  return ReadStream("POST", path, JsonLine(body), handler);
}

absl::Status ApiClient::ReadStream(const char* method, const std::string& path,
                                   const std::string& body, const StreamHandler& handler) const {
  const std::string tried = "connected, reading " + path;
  Connection connection(socket_path_);
  SOTTO_RETURN_IF_ERROR(connection.Open(After(timeout_s_)));
  auto request = RequestOf(method, path, body);
  error_code error = connection.Await(After(timeout_s_), [&](auto done) {
    http::async_write(connection.socket(), request, std::move(done));
  });
  if (error) return connection.Failed(error, tried, timeout_s_);
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(boost::none);
  error = connection.Await(After(timeout_s_), [&](auto done) {
    http::async_read_header(connection.socket(), buffer, parser, std::move(done));
  });
  if (error) return connection.Failed(error, tried, timeout_s_);
  const unsigned status = parser.get().result_int();
  if (status / 100 != 2) {
    parser.body_limit(uint64_t{1} << 20);
    error = connection.Await(After(timeout_s_), [&](auto done) {
      http::async_read(connection.socket(), buffer, parser, std::move(done));
    });
    return error ? connection.Failed(error, tried, timeout_s_)
                 : ProblemOf(status, parser.get().body());
  }
  EventStreamParser events;
  while (true) {
    std::string bytes;
    bytes.swap(parser.get().body());
    if (!events.Feed(bytes, handler.on_event)) {
      return events.too_long() ? connection.NotTheApi("an event is too long") : absl::OkStatus();
    }
    if (parser.is_done()) {
      return connection.Failed(http::error::end_of_stream, tried, handler.quiet_s);
    }
    error = connection.AwaitTicking(
        After(handler.quiet_s), handler.tick_s, handler.on_tick, [&](auto done) {
          http::async_read_some(connection.socket(), buffer, parser, std::move(done));
        });
    if (error == asio::error::operation_aborted) return absl::OkStatus();
    if (error) return connection.Failed(error, tried, handler.quiet_s);
  }
}

bool EventStreamParser::Feed(std::string_view bytes,
                             const std::function<bool(const StreamEvent&)>& on_event) {
  for (const char c : bytes) {
    if (c == '\n' && after_return_) {  // CR LF is one line end
      after_return_ = false;
      continue;
    }
    after_return_ = c == '\r';
    if (c == '\n' || c == '\r') {
      if (!EndLine(on_event)) return false;
    } else {
      line_ += c;
      if (line_.size() + event_.data.size() > kEventBytesMax) {
        too_long_ = true;
        return false;
      }
    }
  }
  return true;
}

bool EventStreamParser::EndLine(const std::function<bool(const StreamEvent&)>& on_event) {
  const std::string line = std::exchange(line_, {});
  if (line.empty()) {
    StreamEvent event = std::exchange(event_, {});
    if (!std::exchange(has_data_, false)) return true;
    event.id = last_id_;
    if (event.event.empty()) event.event = "message";
    return on_event(event);
  }
  const size_t colon = line.find(':');
  if (colon == 0) return true;  // a comment, which only shows that the daemon lives
  const std::string field = line.substr(0, colon);
  std::string value = colon == std::string::npos ? "" : line.substr(colon + 1);
  if (!value.empty() && value[0] == ' ') value.erase(0, 1);
  if (field == "event") event_.event = value;
  if (field == "id") last_id_ = value;
  if (field == "data") {
    if (has_data_) event_.data += '\n';
    event_.data += value;
    has_data_ = true;
  }
  return true;
}

std::string PathSegment(std::string_view name) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace sotto::cli
