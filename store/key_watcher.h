// Looks at the cluster's key row every few seconds, on a thread of its own (design K7).
//
// Whatever the row turns into, the last good key stays in use: a row that is gone or wrong, or a
// database that does not answer, changes health and nothing else. Another valid key is reported as
// KEY_CHANGED and not taken.
// Threads: Latest and PollNow from any thread. The callback runs on the watcher's thread, no lock
// held. Ownership: the destructor stops the thread and waits for it, at most for one database
// deadline.
#ifndef SOTTO_STORE_KEY_WATCHER_H_
#define SOTTO_STORE_KEY_WATCHER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/kek.h"
#include "crypto/keyring.h"
#include "store/cluster_key.h"
#include "store/systems_table.h"

namespace sotto {

// What the last look at the row gave.
struct KeyReport {
  ClusterKeyRef key;         // in use: the last good one
  absl::Status status;       // OK: the row holds that key; else what is wrong, with its code
  bool changed = false;      // `status` is of another code than in the report before
  std::optional<KekId> kek;  // that wraps the row, at the last good look; nothing: it is plain
  bool from_cache = false;   // the key came from the key cache, and the row was not read since
  uint64_t polls = 0;
  uint64_t errors = 0;                              // polls that did not end OK
  std::chrono::system_clock::time_point last_read;  // the last time that the row was read and right
  std::chrono::microseconds read_time{0};           // of the last look
};

class KeyWatcher {
 public:
  struct Options {
    std::chrono::milliseconds interval = std::chrono::seconds(10);
    KeyPolicy policy;          // may_create is ignored: nothing is ever made at run time
    std::optional<KekId> kek;  // as StoredKey says of `current`
    // Not OK: `current` comes from the key cache, because the table gave this.
    absl::Status table_status;
    // Where no table could be opened yet: called at every look until it gives one.
    std::function<absl::StatusOr<std::shared_ptr<SystemsTable>>()> open;
  };
  using Callback = std::function<void(const KeyReport&)>;

  // `current` is the key that the caller has loaded just now from `table`, which may be null only
  // with `options.open`. `callback` gets every report, the first one after one interval; it may be
  // null.
  KeyWatcher(std::shared_ptr<SystemsTable> table, ClusterKeyRef current, Options options,
             Callback callback);
  ~KeyWatcher();
  KeyWatcher(const KeyWatcher&) = delete;
  KeyWatcher& operator=(const KeyWatcher&) = delete;

  KeyReport Latest() const;
  // Asks for a look now; does not wait for it.
  void PollNow();
  // For the looks from now on: other KEKs, a generation that is in use by now.
  void SetPolicy(const KeyPolicy& policy);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto

#endif  // SOTTO_STORE_KEY_WATCHER_H_
