// Wakes the key keeper: a member's hint, a frame under an unknown key, an operator's order, or the
// database's own notification (PostgreSQL).
//
// Each reason has its pace, so that neither junk key ids nor a chatty member make every node of a
// cluster hammer the database. Threads: Ring from any thread; the rest by the keeper alone.
#ifndef SOTTO_CMD_SOTTOD_KEY_BELL_H_
#define SOTTO_CMD_SOTTOD_KEY_BELL_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "store/database.h"

namespace sotto {

// How soon after the last look at the table the next one may come.
enum class KeyWake : int64_t {
  kNow = 0,            // ms; somebody waits
  kNotified = 200,     // the database says that something changed
  kHint = 1'000,       // a member says so
  kUnknownKey = 5'000  // anybody may have made the frame
};

class KeyBell {
 public:
  using Clock = std::chrono::steady_clock;

  KeyBell();
  ~KeyBell();
  KeyBell(const KeyBell&) = delete;
  KeyBell& operator=(const KeyBell&) = delete;

  void Ring(KeyWake wake);
  // For good: Wait returns at once from now on.
  void Stop();
  bool stopped() const { return stopped_; }

  // Returns when the next look is due: `interval` after `last`, or sooner where somebody rang.
  // With `database`, notifications of kKeysChannel for `cluster` ring as well, over a connection
  // of its own that is made anew when it is lost; null, or another database than PostgreSQL:
  // without.
  void Wait(Clock::time_point last, std::chrono::milliseconds interval, Database* database,
            const std::string& cluster);

 private:
  Clock::time_point Due(Clock::time_point last, std::chrono::milliseconds interval) const;
  void Sleep(Clock::time_point until, Database* database, const std::string& cluster);
  void Listen(Database* database);
  void Drain();

  const int fd_;                      // an eventfd
  std::atomic<int64_t> wish_ms_{-1};  // the most urgent KeyWake since the last Wait; -1: none
  std::atomic<bool> stopped_{false};
  std::unique_ptr<SqlConnection> listener_;
  Clock::time_point listen_after_;  // not again before
};

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_KEY_BELL_H_
