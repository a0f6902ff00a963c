// The daemon's log: records in, lines out, to standard error or a file (design S7).
//
// Forms: text (`2026-11-21T14:02:11.120Z warn frame_rejected peer=… reason=…`), journal (the same
// without the time, after the priority `<4>`), JSON lines. `auto` takes the journal's form under
// systemd, text on a terminal, JSON elsewhere.
// Repeats: of warnings and errors that carry a reason or a code, one a minute passes for each event
// and reason; the next one, or Tick() after the minute, tells the `count` of those held back.
// Hints: a warning or error whose reason or code has a page gets that page's fix.
// Threads: safe. A line is written whole.
#ifndef SOTTO_CMD_SOTTOD_LOG_H_
#define SOTTO_CMD_SOTTOD_LOG_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/config/config.h"
#include "gossip/log.h"

namespace spdlog {
class logger;
}

namespace sotto {

enum class LogShape : uint8_t { kText, kJournal, kJson };

// What `format` means for standard error of this process (or for a file).
LogShape ChooseShape(LogFormat format, bool to_file);

// One line without its end. `count` above 0 stands for that many records.
std::string FormatLine(const LogRecord& record, LogShape shape, int64_t unix_ms);

class DaemonLog {
 public:
  static constexpr int64_t kRepeatMs = 60'000;
  // Distinct (event, reason) pairs remembered; more than the code has, unless somebody makes them
  // up.
  static constexpr size_t kRepeatsMax = 256;

  struct Options {
    LogLevel level = LogLevel::kInfo;
    LogShape shape = LogShape::kText;
    std::string file;                  // empty: standard error
    std::function<int64_t()> unix_ms;  // null: the system's clock
  };

  // PERMISSION_DENIED LOG_UNWRITABLE: the file cannot be opened.
  static absl::StatusOr<std::unique_ptr<DaemonLog>> Open(Options options);
  ~DaemonLog();
  DaemonLog(const DaemonLog&) = delete;
  DaemonLog& operator=(const DaemonLog&) = delete;

  void Write(const LogRecord& record);
  // Tells the counts whose minute is over; call every few seconds.
  void Tick();
  // Tells all counts, and flushes.
  void Finish();
  // Opens the file anew, after it was moved aside. An error leaves the old one in use.
  absl::Status Reopen();

  void set_level(LogLevel level) { level_.store(level, std::memory_order_relaxed); }
  LogLevel level() const { return level_.load(std::memory_order_relaxed); }

 private:
  struct Repeat {
    int64_t since_ms = 0;
    uint64_t held_back = 0;
    LogRecord last;
  };

  explicit DaemonLog(Options options);
  void WriteLine(LogRecord record, uint64_t count);  // with mutex_ held
  void TellRepeats(int64_t now_ms, bool all);        // with mutex_ held
  int64_t NowMs() const;

  const Options options_;
  std::atomic<LogLevel> level_;
  std::mutex mutex_;  // guards what follows
  std::shared_ptr<spdlog::logger> logger_;
  std::map<std::string, Repeat> repeats_;
};

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_LOG_H_
