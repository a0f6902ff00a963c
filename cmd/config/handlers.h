// [[handler]]: programs that the daemon runs on events, and when.
//
//   [[handler]]
//   on      = ["member_died", "user_event:deploy-*", "query:load"]
//   run     = ["/usr/local/lib/failover", "--now"]   # no shell
//   timeout = "10s"
//
// A trigger is the word of an event as the log has it ("member_died", "node_isolated"),
// "member_*", "node_*", "user_event:GLOB", "query:GLOB", or "*": all but queries, which only a
// handler that was written for them can answer.
#ifndef SOTTO_CMD_CONFIG_HANDLERS_H_
#define SOTTO_CMD_CONFIG_HANDLERS_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gossip/time.h"

namespace sotto {

inline constexpr size_t kHandlersMax = 64;

struct HandlerConfig {
  std::vector<std::string> on;
  std::vector<std::string> run;  // the program's path, then its arguments
  Duration timeout = Duration::Seconds(10);
  int64_t queue = 256;  // events that wait for it at most
  bool batch = false;   // member events that wait together are handed over together
  std::string origin;   // as ConfigFinding::where; not part of the comparison
  friend bool operator==(const HandlerConfig& a, const HandlerConfig& b) {
    return a.on == b.on && a.run == b.run && a.timeout == b.timeout && a.queue == b.queue &&
           a.batch == b.batch;
  }
};

// INVALID_ARGUMENT CONFIG_OUT_OF_RANGE: no such trigger; the nearest one is named.
absl::Status CheckTrigger(std::string_view trigger);

// Whether a handler on `trigger` is meant by `what`: "member_died", "node_isolated",
// "user_event:NAME", "query:NAME".
bool TriggerMatches(std::string_view trigger, std::string_view what);

// Whether the daemon may run the program at `path` (absolute): a regular file that this user may
// execute, owned by root or this user (or `also_owner`), writable by nobody else, in a folder
// of which the same is true. Links are followed, and the folder of a link is judged as well.
//   FILE_MISSING, FILE_UNREADABLE, FILE_NOT_REGULAR, FILE_WRONG_OWNER, FILE_WRITABLE,
//   FOLDER_WRITABLE, HANDLER_NOT_EXECUTABLE
absl::Status CheckProgram(const std::string& path, std::optional<uid_t> also_owner = std::nullopt);
// The same; gives the path without links of what was judged. That one is to be run: a link may lead
// elsewhere a moment later.
absl::StatusOr<std::string> ResolveProgram(const std::string& path,
                                           std::optional<uid_t> also_owner = std::nullopt);

// All of them as one TOML value, for `config show` and for comparing.
std::string ToToml(const std::vector<HandlerConfig>& handlers);

}  // namespace sotto

#endif  // SOTTO_CMD_CONFIG_HANDLERS_H_
