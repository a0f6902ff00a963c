// One member of a sotto cluster, running: the protocol core with sockets, frames, statements and
// TLS. The public library.
//
//   auto node = sotto::Node::Start(std::move(options));     // StatusOr; the status says what to do
//   auto watch = (*node)->Watch([](const sotto::Event& e) { … });
//   for (const auto& member : (*node)->View()->members) …
//   (*node)->Leave(std::chrono::seconds(5));                  // tell the others; the destructor
//   does not
//
// Threads: every method may be called from any thread, also from a callback. The node runs on its
// own thread, or on the io_context that the options name. Callbacks run there, one at a time, no
// lock held. Ownership: the destructor stops at once, closes its sockets and waits for its own
// thread; it never tells the others. With an io_context of the embedder's, destroy the node on it
// or after it stopped. No globals, no signal handlers, no output of its own.
#ifndef SOTTO_GOSSIP_NODE_H_
#define SOTTO_GOSSIP_NODE_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/frame_codec.h"
#include "crypto/keyring.h"
#include "gossip/endpoint_text.h"
#include "gossip/event.h"
#include "gossip/log.h"
#include "gossip/options.h"
#include "gossip/protocol.h"

namespace boost::asio {
class io_context;
}

namespace sotto {

// Certificates as PEM texts, so that the caller decides where they lie and checks their files.
struct TlsMaterial {
  std::string ca_pem;
  std::string cert_pem;
  std::string key_pem;
  std::string crl_pem;  // empty: no revocation list
};

struct NodeOptions {
  std::string cluster;
  std::string name;
  std::vector<std::string> bind;       // "10.0.3.11:7950", "[::1]:0"; UDP and TCP; at least one
  std::vector<std::string> advertise;  // empty: what is bound
  std::vector<std::string> join;       // contacts, "host:port"
  std::vector<Tag> tags;
  ProtocolOptions protocol = ProtocolOptions::Lan();
  TlsMaterial tls;
  std::vector<ClusterKeyRef> keys;  // the first one seals; at least one

  uint32_t boot_number = 1;  // persisted before Start
  // Writes a higher boot number durably; called off the strand. Null: kept in memory only.
  std::function<absl::Status(uint32_t)> persist_boot;

  LogSink log;                            // null: silent
  boost::asio::io_context* io = nullptr;  // null: a thread of its own
  uint64_t seed = 0;                      // 0: from the system's generator
};

// What the node has counted since it started.
struct NodeStats {
  std::array<uint64_t, kDropReasons> drops{};  // by DropReason
  uint64_t frames_sent = 0, frames_received = 0;
  uint64_t hellos_sent = 0, hellos_received = 0;
  uint64_t udp_bytes_sent = 0, udp_bytes_received = 0;
  uint64_t sync_bytes_sent = 0, sync_bytes_received = 0;
  uint64_t syncs_equal = 0, syncs_merged = 0, syncs_failed = 0, syncs_busy = 0;
  uint64_t tls_accepted = 0, tls_dialed = 0;
  std::vector<std::pair<std::string, uint64_t>> refusals;  // by code: CERT_UNTRUSTED, …; sorted
  uint64_t frames_sealed = 0;                              // under the present sealing key
  uint64_t send_errors = 0;
  uint64_t certificates_cached = 0, statements_cached = 0;
  ProtocolCounters protocol;
};

// An immutable picture of the cluster as this node sees it; shared, no lock needed.
struct NodeView {
  uint64_t sequence = 0;            // rises with every change
  std::vector<MemberInfo> members;  // sorted by name; this node included
  Standing standing;
  Incarnation incarnation;
  SetHash set_hash;
  BootId boot_id;
  std::vector<KeyId> keys;  // held, in order of installation
  KeyId sealing_key;
  AeadAlgorithm algorithm = AeadAlgorithm::kAes256Gcm;
  std::vector<Endpoint> bound;  // with the ports that were really taken
  std::vector<Endpoint> advertised;
  int64_t certificate_not_after_unix_s = 0;
  std::string certificate_subject;
  // `since`, `dies_at` of members are on this clock: std::chrono::steady_clock in nanoseconds.
  Instant now;
  // The greatest part of living members whose last ack had our set hash: "views agree: a of b".
  size_t views_agree = 0, views_known = 0;
};

// What TLS and frames have refused lately, for `status` and tests: newest last, bounded.
struct Refusal {
  int64_t unix_ms = 0;
  std::string code;
  std::string peer;  // address, or name where it is known
  std::string message;
};

class Node {
 public:
  // Binds, builds TLS, and begins. ADDRESS_IN_USE, ADDRESS_INVALID, ADDRESS_UNROUTABLE,
  // CLUSTER_NAME_INVALID, MEMBER_NAME_INVALID, the certificate's codes, CERT_WRONG_NAME (it names
  // another node), OPTIONS_INVALID.
  static absl::StatusOr<std::unique_ptr<Node>> Start(NodeOptions options);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  std::shared_ptr<const NodeView> View() const;
  NodeStats Stats() const;
  std::vector<Refusal> Refusals() const;

  // Calls `callback` for every event from now on, until the handle is destroyed.
  class Subscription;
  using EventCallback = std::function<void(const Event&, const std::shared_ptr<const NodeView>&)>;
  std::unique_ptr<Subscription> Watch(EventCallback callback);

  // Adds contacts and waits until one has answered. UNAVAILABLE JOIN_FAILED: none did in time, with
  // the reason of each; they are tried on for ever all the same.
  absl::StatusOr<int> Join(const std::vector<std::string>& contacts,
                           std::chrono::milliseconds timeout);
  // Says goodbye and waits until it was heard, or `timeout` passed (DEADLINE_EXCEEDED: it was still
  // sent). The node stays up, silent.
  absl::Status Leave(std::chrono::milliseconds timeout);
  // NOT_FOUND MEMBER_UNKNOWN. FAILED_PRECONDITION: it is this node.
  absl::Status Forget(std::string_view name);
  // INVALID_ARGUMENT TAGS_INVALID: keys twice, not of the alphabet, or more than kTagsBytesMax.
  absl::Status SetTags(std::vector<Tag> tags);
  // New certificates, CA bundle or CRL. Checked whole before anything changes; verdicts on
  // everybody's statements are redone, members whose certificate is refused now no longer count as
  // alive, and their streams are cut.
  absl::Status ReloadTls(const TlsMaterial& tls);
  // Keys of the ring: installs what is new, seals with `sealing`, removes what is not listed.
  absl::Status SetKeys(std::vector<ClusterKeyRef> keys, KeyId sealing);
  // Waits until the strand has run everything posted before; false after `timeout`. A watchdog's
  // and a test's question: is the loop alive?
  bool Ping(std::chrono::milliseconds timeout);

 private:
  Node();
  class Impl;
  std::shared_ptr<Impl> impl_;
};

class Node::Subscription {
 public:
  ~Subscription();
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

 private:
  friend class Node;
  Subscription();
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_NODE_H_
