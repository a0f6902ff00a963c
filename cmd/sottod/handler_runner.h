// Runs the programs of [[handler]] on events, user events and queries.
//
// Each handler has a worker of its own: one run at a time, in the order of the events. What waits
// is bounded; what does not fit is dropped and counted. docs/operations.md has what a program is
// given: its environment holds nothing of the daemon's own.
// Threads: every method from any thread; none blocks, but Replace and the destructor, which end
// what runs (SIGTERM, then SIGKILL). `answer` of a query is called on a worker's thread.
#ifndef SOTTO_CMD_SOTTOD_HANDLER_RUNNER_H_
#define SOTTO_CMD_SOTTOD_HANDLER_RUNNER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/config/handlers.h"
#include "gossip/event.h"
#include "gossip/log.h"
#include "gossip/statement.h"

namespace sotto {

struct HandlerIdentity {
  std::string cluster;
  std::string node;
  std::string admin_socket;  // for a `sotto` that the program calls
};

// How one handler does.
struct HandlerStats {
  std::vector<std::string> on;
  std::string program;
  uint64_t runs = 0;       // ended, well or not
  uint64_t failed = 0;     // of them, not with 0 in time
  uint64_t dropped = 0;    // events that found the queue full
  size_t waiting = 0;      // events in the queue
  std::string last_error;  // empty while the last run went well
};

// A user event or a query as a handler sees it.
struct HandlerMessage {
  std::string from;
  std::string name;
  std::string payload;
  uint64_t lamport = 0;
  bool replayed = false;
};

class HandlerRunner {
 public:
  using Clock = std::chrono::steady_clock;
  using Answer = std::function<void(std::string payload)>;

  HandlerRunner(std::vector<HandlerConfig> handlers, HandlerIdentity identity,
                std::vector<Tag> tags, LogSink log);
  ~HandlerRunner();
  HandlerRunner(const HandlerRunner&) = delete;
  HandlerRunner& operator=(const HandlerRunner&) = delete;

  // `what` is the event's word as the log has it, "member_died"; `member` is the row it is about,
  // null where there is none.
  void OnEvent(std::string_view what, const Event& event, const MemberInfo* member);
  void OnUserEvent(const HandlerMessage& message);
  // Every handler that fits runs; the first to end well answers. One that would begin after
  // `deadline` is not begun. False if none fits.
  bool OnQuery(const HandlerMessage& message, Clock::time_point deadline, Answer answer);

  // Handlers that stay as they are go on undisturbed.
  void Replace(std::vector<HandlerConfig> handlers);
  void SetTags(std::vector<Tag> tags);
  std::vector<HandlerStats> Stats() const;

 private:
  class Worker;
  struct Job;
  bool Offer(std::string_view what, const Job& job);
  std::vector<std::pair<std::string, std::string>> BaseEnvironment(std::string_view event) const;

  const HandlerIdentity identity_;
  const LogSink log_;
  mutable std::mutex mutex_;  // guards what follows
  std::vector<Tag> tags_;
  std::vector<std::shared_ptr<Worker>> workers_;
};

// One line of JSON about the member that an event is about, with its newline.
std::string MemberLine(std::string_view what, const Event& event, const MemberInfo* member);

// "SOTTO_TAG_ZONE" of "zone"; what no variable can hold becomes "_".
std::string TagVariable(std::string_view key);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_HANDLER_RUNNER_H_
