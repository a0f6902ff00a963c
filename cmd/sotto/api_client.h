// Asks a running sottod over its admin API (docs/api.md): HTTP on a Unix socket, one request a
// connection, each with a deadline.
//
// Threads: none; calls block.
// Errors, each with its own code:
//   DAEMON_UNREACHABLE  UNAVAILABLE        no socket, or nobody listens on it
//   DAEMON_FORBIDDEN    PERMISSION_DENIED  this user may not open the socket
//   DAEMON_TIMEOUT      DEADLINE_EXCEEDED  it took the connection and did not answer in time
//   DAEMON_GONE         UNAVAILABLE        it closed the connection in the middle
//   API_BAD_ANSWER      INTERNAL           what answered does not speak this API
//   SOCKET_PATH_TOO_LONG
// and the codes of the API's own problems, their `fix` kept as the complaint's `do`.
#ifndef SOTTO_CMD_SOTTO_API_CLIENT_H_
#define SOTTO_CMD_SOTTO_API_CLIENT_H_

#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sotto::cli {

// One event of a text/event-stream.
struct StreamEvent {
  std::string id;
  std::string event;  // "message" if the stream does not say
  std::string data;
};

// Takes a stream apart, however it is cut. Lines longer than kLineBytesMax end it.
class EventStreamParser {
 public:
  static constexpr size_t kEventBytesMax = size_t{256} << 20;

  // Calls `on_event` for each event that `bytes` completes, as long as it returns true. False if it
  // did not, or an event is too long.
  bool Feed(std::string_view bytes, const std::function<bool(const StreamEvent&)>& on_event);
  bool too_long() const { return too_long_; }

 private:
  bool EndLine(const std::function<bool(const StreamEvent&)>& on_event);

  std::string line_;
  StreamEvent event_;
  std::string last_id_;
  bool has_data_ = false;
  bool after_return_ = false;
  bool too_long_ = false;
};

class ApiClient {
 public:
  static constexpr size_t kAnswerBytesMax = size_t{256} << 20;

  ApiClient(std::string socket_path, double timeout_s)
      : socket_path_(std::move(socket_path)), timeout_s_(timeout_s) {}

  const std::string& socket_path() const { return socket_path_; }
  double timeout_s() const { return timeout_s_; }
  void set_timeout_s(double seconds) { timeout_s_ = seconds; }

  // The whole envelope.
  absl::StatusOr<boost::json::value> Get(const std::string& path) const;
  absl::StatusOr<boost::json::value> Post(const std::string& path,
                                          const boost::json::value& body) const;

  struct StreamHandler {
    std::function<bool(const StreamEvent&)> on_event;
    // Called about every `tick_s` while nothing comes; null: never.
    std::function<bool()> on_tick;
    double tick_s = 0.25;
    // The longest silence; the daemon sends a comment every 15 s.
    double quiet_s = 35;
  };
  // Reads a stream until a handler returns false (OK), the daemon ends it (DAEMON_GONE), or
  // nothing, not even a comment, has come for `quiet_s` (DAEMON_TIMEOUT).
  absl::Status Stream(const std::string& path, const StreamHandler& handler) const;
  // The same for a call with a body whose answer comes in pieces.
  absl::Status PostStream(const std::string& path, const boost::json::value& body,
                          const StreamHandler& handler) const;

 private:
  absl::Status ReadStream(const char* method, const std::string& path, const std::string& body,
                          const StreamHandler& handler) const;
  absl::StatusOr<boost::json::value> Ask(const char* method, const std::string& path,
                                         const std::string& body) const;

  std::string socket_path_;
  double timeout_s_;
};

// A member's name as one segment of a path.
std::string PathSegment(std::string_view name);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_API_CLIENT_H_
