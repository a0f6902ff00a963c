// The admin API's backend over the running node: pictures, commands, and what a reload changes.
//
// Threads: every method from any thread; reloads and changes of tags run one at a time.
// Ownership: all parts are borrowed and outlive the backend; nothing is called after the server
// that uses it has stopped.
#ifndef SOTTO_CMD_SOTTOD_NODE_BACKEND_H_
#define SOTTO_CMD_SOTTOD_NODE_BACKEND_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cmd/sottod/admin_backend.h"
#include "cmd/sottod/discovery_keeper.h"
#include "cmd/sottod/handler_runner.h"
#include "cmd/sottod/key_cache_keeper.h"
#include "cmd/sottod/key_desk.h"
#include "cmd/sottod/key_keeper.h"
#include "cmd/sottod/log.h"
#include "cmd/sottod/node_talk.h"
#include "cmd/sottod/peer_keeper.h"
#include "cmd/sottod/reload.h"
#include "cmd/sottod/startup.h"
#include "store/kek_source.h"

namespace sotto {

class NodeBackend final : public AdminBackend, private ReloadTarget {
 public:
  struct Parts {
    Node* node = nullptr;
    KeyKeeper* keeper = nullptr;
    KeyDesk* key_desk = nullptr;
    KeyCacheKeeper* key_cache = nullptr;
    KekLoader kek_loader;
    DiscoveryKeeper* discovery = nullptr;  // null: it is not enabled
    PeerKeeper* peers = nullptr;
    HandlerRunner* handlers = nullptr;
    DaemonLog* log = nullptr;
    std::string store_url;  // without a password
    std::vector<HealthNote> lasting_notes;
    std::vector<CertificateSummary> certificates;
    // Steady nanoseconds at which frames of known members last did not open; 0: never.
    const std::atomic<int64_t>* key_trouble_ns = nullptr;
    // Called once the node has left at somebody's request; must not block.
    std::function<void()> on_left;
  };

  // `files` are those that the node runs with.
  NodeBackend(Parts parts, ConfigSources sources, ConfigResult started, TlsFiles files);
  ~NodeBackend() override;

  // AdminBackend
  DaemonSnapshot Look() const override;
  DaemonSnapshot Snapshot() const override;
  std::vector<Tag> Tags() const override;
  absl::StatusOr<int> Join(const std::vector<std::string>& contacts,
                           std::chrono::milliseconds timeout) override;
  absl::StatusOr<bool> Leave(std::chrono::milliseconds timeout) override;
  absl::Status Forget(std::string_view name) override;
  absl::StatusOr<std::vector<Tag>> ChangeTags(const std::vector<Tag>& set,
                                              const std::vector<std::string>& unset) override;
  absl::StatusOr<ReloadSummary> Reload() override;
  absl::Status SendEvent(const EventOrder& order) override;
  absl::Status Query(const QueryOrder& order, OnReply on_reply, OnQueryEnd on_end) override;
  absl::StatusOr<PingOutcome> Ping(std::string_view member,
                                   std::chrono::milliseconds timeout) override;
  absl::StatusOr<Duration> Rtt(std::string_view a, std::string_view b) override;
  absl::StatusOr<ReachReport> Reach(std::chrono::milliseconds timeout) override;
  std::vector<CaseSummary> Cases(std::string_view member) override;
  KeyAdmin& keys() override { return *parts_.key_desk; }
  void Audit(std::string_view call, int64_t uid, int64_t pid, const absl::Status& outcome) override;

 private:
  absl::Status ApplyTls(const TlsFiles& files) override;
  absl::Status ApplyTags(const std::vector<Tag>& tags) override;
  void ApplyLogLevel(LogLevel level) override;
  void ApplyHandlers(const std::vector<HandlerConfig>& handlers) override;
  absl::StatusOr<KekRingRef> ReadKeks(const Config& config) override;
  void ApplyKeks(const Config& config, const KekRingRef& keks) override;
  void AddDiscoveryNote(DaemonSnapshot* out) const;
  void AddKeyNotes(const KeyReport& report, DaemonSnapshot* out) const;
  void LogReload(const absl::StatusOr<ReloadSummary>& result);

  const Parts parts_;
  NodeTalk talk_;
  const Config config_;  // as started
  const int64_t started_ns_;

  std::mutex change_mutex_;  // one change at a time; guards the reloader and the loader
  KekLoader kek_loader_;
  Reloader reloader_;

  mutable std::mutex mutex_;  // guards what follows, never held while something blocks
  std::vector<Tag> tags_;
  std::vector<CertificateSummary> certificates_;
  bool has_kek_ = false;
  std::string reload_refusal_;    // of the last reload; empty if it went well
  mutable NodeStats last_stats_;  // for the time when the node does not answer
  mutable std::vector<Refusal> last_refusals_;
};

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_NODE_BACKEND_H_
