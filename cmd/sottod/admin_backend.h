// What the admin server asks of the daemon: pictures of its state, and commands.
//
// The seam between HTTP and the running node: the daemon implements it over Node; tests use a
// double. Threads: every method may be called from several threads at once. Look() and Tags() never
// block; Snapshot() may wait for the node, a second or two; the commands up to their timeout.
#ifndef SOTTO_CMD_SOTTOD_ADMIN_BACKEND_H_
#define SOTTO_CMD_SOTTOD_ADMIN_BACKEND_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/sottod/cluster_talk.h"
#include "cmd/sottod/handler_runner.h"
#include "cmd/sottod/key_admin.h"
#include "crypto/keyring.h"
#include "gossip/node.h"
#include "gossip/statement.h"
#include "gossip/time.h"

namespace sotto {

struct CertificateSummary {
  std::string use;  // "node", "ca"
  std::string subject;
  std::string issuer;
  std::string serial;
  std::string key;
  int64_t not_before_unix_s = 0;
  int64_t not_after_unix_s = 0;
  Hash256 sha256;
};

// The Systems table as it was found at the last read.
struct StoreSummary {
  std::string url;  // without a password
  bool ok = true;
  std::string code;  // empty while ok
  std::string message;
  std::optional<double> last_read_s_ago;
  std::optional<double> read_ms;
};

struct KeySummary {
  KeyId id;
  AeadAlgorithm algorithm = AeadAlgorithm::kAes256Gcm;
  uint64_t generation = 0;
  std::string kek;  // the id of the KEK that wraps it in the store; empty: it lies there plain
};

enum class NoteLevel : uint8_t { kNote, kYellow, kRed };

// One finding about this node's health.
struct HealthNote {
  std::string code;
  NoteLevel level = NoteLevel::kNote;
  std::string text;
};

// All that the API shows of one moment.
struct DaemonSnapshot {
  std::string cluster;
  std::string node;
  std::string version;
  int pid = 0;
  double up_s = 0;
  int64_t unix_ms = 0;
  Instant now;  // on the clock of the view's instants
  std::shared_ptr<const NodeView> view;
  NodeStats stats;
  std::vector<Refusal> refusals;
  StoreSummary store;
  std::vector<KeySummary> keys;  // in the order of installation
  std::vector<CertificateSummary> certificates;
  std::vector<HandlerStats> handlers;     // in the order of the configuration
  std::vector<HealthNote> lasting_notes;  // found at start
  std::optional<double> key_trouble_s_ago;
  // How long the gone are shown.
  Duration show_dead = Duration::Hours(72);
  Duration show_left = Duration::Hours(24);
};

// Answer of a reload, by configuration key.
struct ReloadSummary {
  std::vector<std::string> applied;
  std::vector<std::string> unchanged;
  std::vector<std::string> needs_restart;
};

class AdminBackend {
 public:
  virtual ~AdminBackend() = default;

  // All but what has to be asked of the node's strand: counters, refusals.
  virtual DaemonSnapshot Look() const = 0;
  virtual DaemonSnapshot Snapshot() const = 0;
  virtual std::vector<Tag> Tags() const = 0;

  // How many contacts answered; UNAVAILABLE JOIN_FAILED.
  virtual absl::StatusOr<int> Join(const std::vector<std::string>& contacts,
                                   std::chrono::milliseconds timeout) = 0;
  // True if the goodbye was heard. The daemon ends once the answer is out.
  virtual absl::StatusOr<bool> Leave(std::chrono::milliseconds timeout) = 0;
  virtual absl::Status Forget(std::string_view name) = 0;
  // The tags as they now are; keys of `unset` go first.
  virtual absl::StatusOr<std::vector<Tag>> ChangeTags(const std::vector<Tag>& set,
                                                      const std::vector<std::string>& unset) = 0;
  virtual absl::StatusOr<ReloadSummary> Reload() = 0;

  // Says something to every member. The codes of Node::SendEvent.
  virtual absl::Status SendEvent(const EventOrder& order) = 0;
  // Begins to ask. The callbacks come on any thread; on_end once and last, unless the daemon ends
  // first. The codes of Node::Query.
  using OnReply = std::function<void(const QueryReplyItem&)>;
  using OnQueryEnd = std::function<void(const QueryOutcome&)>;
  virtual absl::Status Query(const QueryOrder& order, OnReply on_reply, OnQueryEnd on_end) = 0;
  // MEMBER_UNKNOWN, MEMBER_IS_SELF.
  virtual absl::StatusOr<PingOutcome> Ping(std::string_view member,
                                           std::chrono::milliseconds timeout) = 0;
  // MEMBER_UNKNOWN, RTT_UNKNOWN.
  virtual absl::StatusOr<Duration> Rtt(std::string_view a, std::string_view b) = 0;
  virtual absl::StatusOr<ReachReport> Reach(std::chrono::milliseconds timeout) = 0;
  // Oldest first; empty for a member that nobody has suspected, or that is not known.
  virtual std::vector<CaseSummary> Cases(std::string_view member) = 0;
  virtual KeyAdmin& keys() = 0;
  // A command that came in over the socket and how it ended, for the log.
  virtual void Audit(std::string_view call, int64_t uid, int64_t pid,
                     const absl::Status& outcome) = 0;
};

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_ADMIN_BACKEND_H_
