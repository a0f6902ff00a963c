// Full nodes with the daemon's own key keepers over one SQLite database, and an operator who
// rotates their key. What the rotation bench measures with.
//
// One node can be cut off: it runs on a thread of its own, so that its streams can be told from
// those of others. Nodes without the database have had it once, and then it was taken away.
// Threads: one caller. Each wait ends at its limit: DEADLINE_EXCEEDED says what was waited for.
#ifndef SOTTO_TOOLS_BENCH_ROTATION_LAB_H_
#define SOTTO_TOOLS_BENCH_ROTATION_LAB_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/sottod/key_keeper.h"
#include "gossip/node.h"
#include "store/cluster_key.h"
#include "tools/bench/cluster_lab.h"
#include "tools/bench/switched_sql.h"

namespace sotto::bench {

struct RotationOptions {
  ClusterOptions cluster;
  size_t without_database = 0;  // so many of the last nodes; the one that is cut off is not one
  bool cut = false;             // the last node can be cut off
  bool aes_mix = false;         // keys of 32, 16 and 24 bytes in turn; else 32
  double limit_s = 90;          // of each wait
  std::function<void(const std::string&)> progress;
};

class RotationLab {
 public:
  explicit RotationLab(RotationOptions options);
  ~RotationLab();
  RotationLab(const RotationLab&) = delete;
  RotationLab& operator=(const RotationLab&) = delete;

  // Every node up, living at every other, in the table; databases taken away where they are to be.
  absl::Status Start();
  // Prepare, all hold it, Activate, all seal with it, Remove the one before, all with a database
  // have let it go. Who is cut off does not count. Gives the seconds.
  absl::StatusOr<double> Rotate();
  // No datagram, stream or SQL of the last node passes. Then all others call it dead.
  absl::Status Cut();
  // Gives the seconds until all count it, and it seals with the ACTIVE key.
  absl::StatusOr<double> Heal();
  // Parts two halves, drawn from `seed`, for datagrams alone; not while a node is cut off.
  void PartHalves(uint64_t seed);
  void JoinHalves();

  NodeStats Totals();
  size_t FalseDeaths() const;

 private:
  absl::Status PrepareStore();
  absl::Status Adjust(size_t index, NodeOptions& options);
  absl::Status Await(const std::string& what, const std::function<bool()>& done) const;
  absl::StatusOr<ClusterKeyRef> DrawKey() const;
  bool Counts(size_t index) const { return !is_cut_ || index + 1 < n(); }
  bool HasDatabase(size_t index) const { return Counts(index) && !*away_[index]; }
  bool AllHold(KeyTable& table, uint64_t generation) const;
  bool NobodyNeeds(KeyTable& table, uint64_t generation) const;
  std::string OnRecord(KeyTable& table) const;
  bool AllSeal(KeyId id) const;
  bool AllLetGo(KeyId id) const;
  bool AllCount(size_t living) const;
  size_t n() const { return options_.cluster.nodes; }

  RotationOptions options_;
  std::string folder_, file_;
  KeyPolicy policy_;
  std::vector<SqlSwitch> away_;
  std::vector<std::shared_ptr<KeyKeeper>> keepers_;
  std::unique_ptr<ClusterLab> lab_;
  size_t rotations_ = 0;
  bool is_cut_ = false;
};

}  // namespace sotto::bench

#endif  // SOTTO_TOOLS_BENCH_ROTATION_LAB_H_
