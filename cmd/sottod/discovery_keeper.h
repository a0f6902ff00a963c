// Lets nodes that share a database find each other (store/discovery.h), on a thread of its own:
// keeps this node's row fresh, and knocks where others' rows lead.
//
// A node that is alone, isolated or in the minority looks every few seconds and knocks at a few
// addresses; any other looks as often as it refreshes its row, and knocks at one: two halves that
// never met find each other so, and a table full of junk costs a failed dial now and then. Where a
// living member is at home nobody knocks.
// Threads: Report from any; Stop by the owner. Ownership: the node is borrowed until Stop.
#ifndef SOTTO_CMD_SOTTOD_DISCOVERY_KEEPER_H_
#define SOTTO_CMD_SOTTOD_DISCOVERY_KEEPER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gossip/log.h"
#include "gossip/member.h"
#include "gossip/node.h"
#include "store/database.h"
#include "store/discovery.h"

namespace sotto {

class DiscoveryKeeper {
 public:
  struct Options {
    std::string cluster, node;
    std::chrono::milliseconds interval{60'000};
    LogSink log;
  };

  DiscoveryKeeper(Options options, std::shared_ptr<Database> database, Node* node);
  // Leaves the row where it is: it grows stale.
  ~DiscoveryKeeper();
  DiscoveryKeeper(const DiscoveryKeeper&) = delete;
  DiscoveryKeeper& operator=(const DiscoveryKeeper&) = delete;

  // What keeps this node from being found, or from finding others; OK: nothing.
  absl::Status Report() const;
  // Ends the thread; with `remove`, this node's row goes. Blocks for some seconds at most.
  void Stop(bool remove);

 private:
  using Clock = std::chrono::steady_clock;

  void Run();
  // How long the thread may sleep now.
  std::chrono::milliseconds Turn();
  void Write(const NodeView& view);
  void Look(const NodeView& view, int knocks);
  // Runs `work`, once more where the table was missing and could be made.
  absl::Status WithTable(const std::function<absl::Status()>& work);
  void Note(std::string_view doing, const absl::Status& status, absl::Status* held);

  const Options options_;
  const std::shared_ptr<Database> database_;
  DiscoveryTable table_;
  Node* const node_;

  mutable std::mutex mutex_;  // guards the next four
  std::condition_variable changed_;
  bool stop_ = false;
  absl::Status write_status_, read_status_;

  // By the thread alone.
  std::mt19937_64 random_;
  bool written_ = false;
  Clock::time_point write_at_, look_at_, clean_at_, looked_at_;
  std::chrono::milliseconds pause_;  // between looks while it is urgent
  std::thread thread_;
};

// Where the rows lead, less the addresses of `own` and `known`, and less those of this machine
// alone, unless `own` is at home there; in chance order.
std::vector<std::string> KnockCandidates(const std::vector<DiscoveryRow>& rows,
                                         const std::vector<Endpoint>& own,
                                         const std::vector<Endpoint>& known,
                                         std::mt19937_64& random);

// For a node that is about to start: up to kHintsMax addresses where others are, and where its own
// row says that a process of its name was, unless that is at `own`. Empty where the table cannot be
// read.
std::vector<std::string> FirstHints(const std::shared_ptr<Database>& database,
                                    const std::string& cluster, const std::string& node,
                                    const std::vector<std::string>& own);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_DISCOVERY_KEEPER_H_
