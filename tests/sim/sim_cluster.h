// A whole cluster in one unit test: no sockets, no threads, no waiting. For the tests of programs
// that embed sotto.
//
//   sotto::testing::SimCluster cluster(5, /*seed=*/7);
//   cluster.OnEvent(0, [&](const sotto::WatchItem& item) { my_failover.Handle(item); });
//   cluster.StartAll();
//   EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Agreed(); }, 30s)) << cluster.Report();
//   cluster.Partition({{0, 1}, {2, 3, 4}});
//   cluster.RunFor(60s);                       // of virtual time; some milliseconds of yours
//   EXPECT_FALSE(my_failover.is_primary()) << cluster.Report();
//
// Each node runs the protocol that sottod and sotto::Node run; clock, network, disk and signatures
// are simulated. Callbacks get what Node::Watch gives, so that the code under test is the same in
// both. Same seed, size and calls: the same run, on every machine; Report() names the seed.
// Units: virtual time, in any std::chrono unit. Threads: none; use one cluster from one thread.
// Errors: a node that does not exist, or one that is told twice, is a broken test and ends the
// process with a message. Names are "n0", "n1", …
#ifndef SOTTO_TESTS_SIM_SIM_CLUSTER_H_
#define SOTTO_TESTS_SIM_SIM_CLUSTER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gossip/node.h"

namespace sotto::testing {

struct SimOptions {
  uint32_t nodes = 5;
  uint64_t seed = 1;
  ProtocolOptions protocol = ProtocolOptions::Local();
};

class SimCluster {
 public:
  // `seed` decides every chance: delays, losses, whom each node asks first. The environment
  // variable SOTTO_SIM_SEED overrides it, to run a failure again without changing the test.
  explicit SimCluster(uint32_t nodes, uint64_t seed = 1);
  explicit SimCluster(const SimOptions& options);
  ~SimCluster();
  SimCluster(const SimCluster&) = delete;
  SimCluster& operator=(const SimCluster&) = delete;

  uint32_t size() const;
  uint64_t seed() const;
  const std::string& Name(uint32_t node) const;

  // ---- processes; a node does not run before it is started --------------------------------------
  // Its contacts are the first three nodes.
  void Start(uint32_t node);
  void StartAll();
  // As kill -9.
  void Crash(uint32_t node);
  // With its boot number kept on disk, as sottod does; a running process is killed first.
  void Restart(uint32_t node);
  // Says goodbye, and falls silent. Restart() brings it back.
  void Leave(uint32_t node);
  // As SIGSTOP and SIGCONT: the node neither hears nor speaks, and its callbacks wait.
  void Pause(uint32_t node);
  void Resume(uint32_t node);
  // A node that does not run ignores this.
  void SetTags(uint32_t node, std::vector<Tag> tags);
  // As Node::SendEvent; false if the node does not run, or may not say it now.
  bool SendEvent(uint32_t node, const std::string& name, const std::string& payload);
  bool running(uint32_t node) const;

  // ---- the network ------------------------------------------------------------------------------
  // Nothing passes between the groups. What was cut before passes again; a node in no group is cut
  // off from nobody.
  void Partition(const std::vector<std::vector<uint32_t>>& groups);
  // One direction: `to` no longer hears `from`. Streams, which need both ways, fail.
  void CutOneWay(uint32_t from, uint32_t to);
  // Everything passes again, in every direction.
  void Heal();
  // Of all datagrams from now on, 0 to 100.
  void SetLoss(int percent);

  // ---- time -------------------------------------------------------------------------------------
  std::chrono::nanoseconds Now() const;  // since the cluster was made
  void RunFor(std::chrono::nanoseconds span);
  // Runs until `done`, asked every 50 ms, holds; false if it does not within `limit`.
  bool RunUntil(const std::function<bool()>& done, std::chrono::nanoseconds limit);
  // Calls `action` when that time has come: a timer of the code under test.
  void After(std::chrono::nanoseconds delay, std::function<void()> action);

  // ---- what nodes see ---------------------------------------------------------------------------
  // What Node::View gives at this node; null while it does not run. Keys, certificates and bound
  // addresses are empty.
  std::shared_ptr<const NodeView> View(uint32_t node) const;
  // What `observer` thinks of a member; nothing if it does not run or never heard the name.
  std::optional<MemberState> StateAt(uint32_t observer, std::string_view member) const;
  // Some node runs, and every one that does sees exactly those as alive, and all tables are equal.
  bool Agreed() const;
  // What Node::Watch gives at this node: a snapshot at each start, under a new epoch, then every
  // event, also those of SendEvent; queries are not simulated. Called during Run…; any method but
  // Run… may be called from it. Several callbacks for one node hear in the order in which they were
  // added.
  void OnEvent(uint32_t node, WatchCallback callback);
  // Within this, a crash is known to every node that can still hear the others; and after Heal(),
  // all agree again.
  std::chrono::nanoseconds DetectionBound() const;
  std::chrono::nanoseconds HealBound() const;

  // ---- failures ---------------------------------------------------------------------------------
  // For the message of a failed expectation: how to run it again, what each node sees, and the last
  // things that happened.
  std::string Report() const;
  // sotto itself broke one of its promises: Report() begins with it, and time stands still.
  bool broken() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto::testing

#endif  // SOTTO_TESTS_SIM_SIM_CLUSTER_H_
