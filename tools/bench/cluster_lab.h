// N full nodes of one cluster in this process, on loopback, through the public library alone:
// frames, statements, sockets, TLS. What the cluster bench measures with.
//
// Each thread runs one io_context with its part of the nodes. These share, unless told otherwise,
// one cache of certificates and verified statements. Nothing runs before Go(). Threads: one caller;
// callbacks of the nodes come on these threads and only touch their own Observer, under its lock.
#ifndef SOTTO_TOOLS_BENCH_CLUSTER_LAB_H_
#define SOTTO_TOOLS_BENCH_CLUSTER_LAB_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gossip/node.h"
#include "tools/bench/measure.h"

namespace sotto::bench {

inline constexpr char kLabCluster[] = "bench";

struct ClusterOptions {
  size_t nodes = 100;
  size_t threads = 1;  // more share a join of hundreds, and wake each other at rest
  bool shared_cache = true;
  size_t key_bytes = 32;
  LogSink log;  // of all nodes; null: silent
  // Changes a node's options before it starts; null: they stay.
  std::function<absl::Status(size_t, NodeOptions&)> adjust;
  // The last node runs on a thread of its own, which calls this first; null: as the others.
  std::function<void()> last_alone;
};

// What one node has been told.
class Observer {
 public:
  explicit Observer(size_t nodes) : living_(nodes) {}
  void Hear(const WatchItem& item);
  // Members it counts as alive or suspect, itself included once it has announced itself.
  size_t Living() const;
  // When it concluded that `name` is dead, if it has.
  std::optional<Clock::time_point> DeadSince(const std::string& name) const;
  // When it first heard the user event of this name, if it has.
  std::optional<Clock::time_point> HeardAt(const std::string& event) const;
  // Deaths it has concluded of members whose name is not in `killed`.
  size_t FalseDeaths(const std::vector<std::string>& killed) const;

 private:
  void Count(const std::string& name, bool living);

  mutable std::mutex mutex_;
  std::vector<bool> living_;  // by the member's number; small, since it counts as the nodes' memory
  size_t living_count_ = 0;
  std::multimap<std::string, Clock::time_point> deaths_;
  std::map<std::string, Clock::time_point> events_;
};

class ClusterLab {
 public:
  explicit ClusterLab(const ClusterOptions& options);
  ~ClusterLab();
  ClusterLab(const ClusterLab&) = delete;
  ClusterLab& operator=(const ClusterLab&) = delete;

  // Certificates for all; the nodes' own memory begins after this. `progress` hears how many.
  absl::Status Prepare(const std::function<void(size_t)>& progress);
  // Binds every node; none runs yet. All but the first will join the first.
  absl::Status Create();
  // Sets them off, all at the same instant.
  void Go();
  // Stops one for good, without a word to the others.
  void Kill(size_t index);

  size_t size() const { return nodes_.size(); }
  static std::string NameOf(size_t index);
  static size_t IndexOf(const std::string& name);  // SIZE_MAX: not one of ours
  Node& node(size_t index) { return *nodes_[index]; }
  const Observer& observer(size_t index) const { return *observers_[index]; }

 private:
  class Loop;
  NodeOptions OptionsOf(size_t index) const;

  const ClusterOptions options_;
  std::unique_ptr<Loop> loop_;
  const std::shared_ptr<SharedCache> shared_cache_;
  std::vector<TlsMaterial> certificates_;
  ClusterKeyRef key_;
  std::vector<std::unique_ptr<Observer>> observers_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<Node::Subscription>> subscriptions_;
  std::string contact_;
};

}  // namespace sotto::bench

#endif  // SOTTO_TOOLS_BENCH_CLUSTER_LAB_H_
