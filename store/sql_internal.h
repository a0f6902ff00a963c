// What the three drivers share.
#ifndef SOTTO_STORE_SQL_INTERNAL_H_
#define SOTTO_STORE_SQL_INTERNAL_H_

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "store/sql.h"

namespace sotto::internal {

// `where` is the database's URL or path.
inline absl::Status DbError(absl::StatusCode kind, std::string_view code, std::string_view where,
                            std::string_view message) {
  return CodedError(kind, code, absl::StrCat(std::string(where), ": ", std::string(message)));
}

inline absl::Status DbTimeout(std::string_view where, std::string_view doing) {
  return DbError(absl::StatusCode::kDeadlineExceeded, "DB_TIMEOUT", where,
                 absl::StrCat("no answer in time while ", std::string(doing)));
}

inline absl::Status DbLost(std::string_view where, std::string_view why) {
  return DbError(absl::StatusCode::kUnavailable, "DB_CONNECTION_LOST", where,
                 absl::StrCat("the connection is lost: ", std::string(why)));
}

// From now to `deadline`; never negative.
inline std::chrono::milliseconds LeftUntil(SqlTime deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return std::max(left, std::chrono::milliseconds(0));
}

// How long a server may wait for one lock: about half of what is left, so that its answer comes in
// time; then the caller tries again. 1 ms to 2 s.
inline std::chrono::milliseconds LockWait(SqlTime deadline) {
  return std::clamp(LeftUntil(deadline) / 2, std::chrono::milliseconds(1),
                    std::chrono::milliseconds(2000));
}

// The first line of a server's message, without blanks around it.
inline std::string FirstLine(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\n')) text.remove_prefix(1);
  text = text.substr(0, text.find('\n'));
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r')) text.remove_suffix(1);
  return std::string(text);
}

// Waits until `fd` is ready for any of `events` (POLLIN, POLLOUT), `wake_fd` (-1: none) can be
// read, or `deadline` is there. The events of `fd`; 0 otherwise.
int PollUntil(int fd, int events, int wake_fd, SqlTime deadline);

}  // namespace sotto::internal

#endif  // SOTTO_STORE_SQL_INTERNAL_H_
