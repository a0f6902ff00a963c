// One member of a sotto cluster, running: the protocol core with sockets, frames, statements and
// TLS. The public library.
//
//   sotto::NodeOptions options = sotto::NodeOptions::Lan();  // or Local(), Wan()
//   auto node = sotto::Node::Start(std::move(options));      // StatusOr: it says what to do
//   auto watch = (*node)->Watch([](const sotto::WatchItem& item) { … });
//   const auto view = (*node)->View();  // held: a range's temporaries end before its loop
//   for (const auto& member : view->members) …
//   (*node)->Leave(std::chrono::seconds(5));  // tell the others; the destructor does not
//
// Threads: every method may be called from any thread, also from a callback, and before an
// embedder's io_context runs. The node has two threads of its own, one for the protocol and one for
// callbacks, or runs on the io_contexts that the options name. Callbacks run one at a time, no lock
// held, off the protocol's strand. Methods with a timeout block the calling thread, unless it is
// one that runs the embedder's io_context of this node, perhaps the only one: then they are begun,
// and return what their comment says.
// Ownership: the destructor stops at once and closes the sockets; it never tells the others. It
// waits for a callback or a `persist_boot` that runs, unless it is called from that callback. With
// an io_context of the embedder's, destroy the node before the io_context.
// Errors: statuses with codes; nothing throws. What a callback throws is caught and counted. No
// globals, no signal handlers, no output of its own.
#ifndef SOTTO_GOSSIP_NODE_H_
#define SOTTO_GOSSIP_NODE_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/frame_codec.h"
#include "crypto/keyring.h"
#include "gossip/endpoint_text.h"
#include "gossip/event.h"
#include "gossip/key_courier.h"
#include "gossip/log.h"
#include "gossip/options.h"
#include "gossip/protocol.h"

namespace boost::asio {
class io_context;
}

namespace sotto {

// Certificates and verified statements, held once for several nodes of one process.
class SharedCache;
std::shared_ptr<SharedCache> MakeSharedCache();

// Certificates as PEM texts, so that the caller decides where they lie and checks their files.
struct TlsMaterial {
  std::string ca_pem;
  std::string cert_pem;
  std::string key_pem;
  std::string crl_pem;  // empty: no revocation list
};

// What a member said to this node alone.
struct ReceivedMessage {
  std::string from;  // its name, as its certificate has it
  std::string payload;
};

struct NodeOptions {
  // `protocol` for one site, one machine, or sites apart.
  static NodeOptions Lan();
  static NodeOptions Local();
  static NodeOptions Wan();
  // What can be told without touching the system; Start() asks it too. INVALID_ARGUMENT
  // OPTIONS_INVALID, CLUSTER_NAME_INVALID, MEMBER_NAME_INVALID, ADDRESS_INVALID, TAGS_INVALID,
  // KEY_MISSING; the message begins with the field: "protocol.gossip_fanout: must be from 1 to 64".
  absl::Status Validate() const;

  std::string cluster;
  std::string name;
  std::vector<std::string> bind;       // "10.0.3.11:7950", "[::1]:0"; UDP and TCP; at least one
  std::vector<std::string> advertise;  // empty: what is bound
  std::vector<std::string> join;       // contacts, "host:port"
  // Addresses where a member may be, as for Knock; each is dialled once, before this member says
  // its first word. At most kHintsMax.
  std::vector<std::string> hints;
  std::vector<Tag> tags;
  ProtocolOptions protocol = ProtocolOptions::Lan();
  TlsMaterial tls;
  std::vector<ClusterKeyRef> keys;  // the first one seals; at least one
  // Keeps the keys while they change; `keys` are then those of its Keys(). Null: SetKeys alone
  // changes them, and no key passes between members.
  std::shared_ptr<KeyCourier> courier;

  uint32_t boot_number = 1;  // persisted before Start
  // Writes a higher boot number durably; called off the strand. Null: kept in memory only.
  std::function<absl::Status(uint32_t)> persist_boot;

  LogSink log;  // null: silent
  // Where the protocol runs; null: on a thread of its own.
  boost::asio::io_context* io = nullptr;
  // Where callbacks run. Null: on a second thread, so that a slow callback never delays the
  // protocol; with an `io` of the embedder's, there.
  boost::asio::io_context* callbacks_io = nullptr;
  // The same for several nodes of one process: they verify and keep each certificate and statement
  // once between them, as long as they trust the same CA bundle and revocation list. Each believes
  // what the others have verified. Null: a cache of its own.
  std::shared_ptr<SharedCache> shared_cache;
  // Takes messages of Send(), one at a time; the receipt goes out when it has returned. Return
  // within 15 s. Null: messages are refused.
  std::function<void(const ReceivedMessage&)> on_message;
  uint64_t seed = 0;  // 0: from the system's generator
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
  uint64_t messages_delivered = 0;  // to others, receipt included
  uint64_t messages_received = 0, messages_refused = 0;
  uint64_t coordinates_rejected = 0;  // of others, and round trips that cannot be
  uint64_t callback_exceptions = 0;   // thrown by the application's callbacks
  ProtocolCounters protocol;
};

// An immutable picture of the cluster as this node sees it; shared, no lock needed.
struct NodeView {
  uint64_t sequence = 0;            // rises with every change
  uint64_t epoch = 0;               // of this start of the node: whose numbers `last_item` has
  uint64_t last_item = 0;           // of subscriptions; this picture includes it
  std::vector<MemberInfo> members;  // sorted by name; this node included
  std::string leader;               // LeaderOf(members): a hint
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

// First of all, and after a slow consumer lost `missed` items: everything as it is.
struct WatchSnapshot {
  std::shared_ptr<const NodeView> view;
  uint64_t missed = 0;
};
using WatchBody = std::variant<WatchSnapshot, Event, UserEvent, ReceivedQuery>;

// What a subscription hears, in order. Each item's sequence is one more than that of the item
// before; a snapshot's is that of the last item it includes (so its own is the previous one's plus
// `missed`). All subscriptions of a node share the numbers.
struct WatchItem {
  uint64_t epoch = 0;
  uint64_t sequence = 0;
  WatchBody body;
  std::shared_ptr<const NodeView> view;  // as of this item, or newer
};
using WatchCallback = std::function<void(const WatchItem&)>;

struct WatchOptions {
  // Items that may wait for the callback; one more, and they all go, for a snapshot.
  size_t queue_max = 1'024;
  // This subscription answers queries with Node::Answer. As long as none does, the node says to
  // each at once that there is nothing to say, so that who asks need not wait.
  bool answers_queries = false;
};

// How long a member took to answer; nothing where it has not in time.
struct PingResult {
  std::optional<Duration> udp;
  std::optional<Duration> tcp;  // over an open stream, after TLS
};
// A query, by the hash of its statement: from Node::Query, and in ReceivedQuery::id.
using QueryId = Hash256;

struct QueryParams {
  std::string name;
  std::string payload;
  QueryFilter filter;
  std::chrono::milliseconds timeout{0};  // 0: gossip interval * 16 * digits(members)
  bool acks = true;
  int relays = 0;  // answers come also through so many others; at most 5
};
using QueryReplyCallback = std::function<void(const QueryReply&)>;
using QueryEndCallback = std::function<void(const QuerySummary&)>;

// What became of a hint.
enum class KnockAnswer : uint8_t {
  kBegun,    // it is being dialled
  kLater,    // it rests after a failure, or enough others are being dialled
  kInvalid,  // no "host:port"
  kSilent,   // this node has left or is leaving, or another runs under its name
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

  // Calls `callback` with a snapshot, then with every change, until the handle is destroyed. The
  // handle may be destroyed anywhere, also in the callback; elsewhere that waits for a call under
  // way, and none follows. It may outlive the node.
  class Subscription;
  std::unique_ptr<Subscription> Watch(WatchCallback callback, WatchOptions options = {});

  // Adds contacts and waits until each has answered or failed once, or `timeout` has passed; gives
  // how many answered. UNAVAILABLE JOIN_FAILED: none did, with the reason of each; they are tried
  // on for ever all the same. Begun only: 0.
  absl::StatusOr<int> Join(const std::vector<std::string>& contacts,
                           std::chrono::milliseconds timeout);
  // Dials an address once, on the word of somebody who need not be believed, such as a row of a
  // database. A member of this cluster that answers there is joined as through a contact; anybody
  // else is forgotten, and dialled again only after a pause that grows. Never waits.
  KnockAnswer Knock(std::string_view address);
  // Says goodbye and waits until it was heard, or `timeout` passed (DEADLINE_EXCEEDED: it was still
  // sent). The node stays up, silent. Begun only: OK.
  absl::Status Leave(std::chrono::milliseconds timeout);
  // Says something to every member, this one included; each subscription hears it once. Names: 1 to
  // 64 bytes of [A-Za-z0-9._:/-], a letter or a digit first. INVALID_ARGUMENT EVENT_INVALID,
  // SAID_NAME_RESERVED, EVENT_TOO_LARGE (the message says how long the payload may be);
  // RESOURCE_EXHAUSTED EVENT_RATE_LIMITED (… and how long to wait); FAILED_PRECONDITION
  // NODE_NOT_READY.
  absl::Status SendEvent(std::string_view name, std::string_view payload, bool coalesce = true);
  // Asks every member that the filter matches. `on_reply` is called for each ack and answer,
  // `on_end` once, when all have answered or the time is over; either may be null. Beside names of
  // the application's, `_sotto/ping` (an empty answer) and `_sotto/reach` (reach.h) are answered by
  // every node. As SendEvent, and QUERY_INVALID, RESOURCE_EXHAUSTED QUERY_LIMIT.
  absl::StatusOr<QueryId> Query(QueryParams params, QueryReplyCallback on_reply,
                                QueryEndCallback on_end);
  // Answers a ReceivedQuery, once. NOT_FOUND QUERY_UNKNOWN: answered already, over, or never heard;
  // INVALID_ARGUMENT ANSWER_TOO_LARGE: more than 1024 bytes, or than one datagram holds.
  absl::Status Answer(const QueryId& query, std::string_view payload);
  // NOT_FOUND MEMBER_UNKNOWN. FAILED_PRECONDITION: it is this node.
  absl::Status Forget(std::string_view name);
  // Why this member, or this node itself, was suspected: its last 8 cases, the newest last. Empty
  // for who never was. Instants are of the monotonic clock, as those of events.
  std::vector<SuspicionCase> CasesOf(std::string_view member) const;
  // INVALID_ARGUMENT TAGS_INVALID: keys twice, not of the alphabet, or more than kTagsBytesMax.
  absl::Status SetTags(std::vector<Tag> tags);
  // New certificates, CA bundle or CRL. Checked whole before anything changes; verdicts on
  // everybody's statements are redone, members whose certificate is refused now no longer count as
  // alive, and their streams are cut.
  absl::Status ReloadTls(const TlsMaterial& tls);
  // Keys of the ring: installs what is new, seals with `sealing`, removes what is not listed.
  absl::Status SetKeys(std::vector<ClusterKeyRef> keys, KeyId sealing);
  // The same with what the courier's Keys() says in this moment.
  absl::Status RefreshKeys();
  // Opens a stream to some member soon, so that a wrapped key that we lack may come over it.
  void SeekKeys();
  // Says something to one member, over TLS, and waits until its application has taken it. Payload
  // up to 1 MiB; those to one member arrive in order. At most once: nothing is sent again by
  // itself. Begun only: OK, and nothing is learned of the outcome. Takes 30 s at most, whatever
  // `timeout`.
  //   surely not delivered: MEMBER_UNKNOWN, MEMBER_IS_SELF, MESSAGE_TOO_LARGE, MEMBER_UNREACHABLE,
  //     MEMBER_BUSY, MESSAGE_REFUSED (it has no on_message), MESSAGES_EXHAUSTED (too many wait
  //     here)
  //   perhaps: MESSAGE_TIMEOUT, MESSAGE_UNCONFIRMED (the connection broke), MESSAGE_FAILED (its
  //     callback threw)
  absl::Status Send(std::string_view member, std::string_view payload,
                    std::chrono::milliseconds timeout);
  // Asks a member by datagram and over a stream, whatever is concluded of it; returns when both
  // have been answered or `timeout` has passed. Begun only: FAILED_PRECONDITION MUST_NOT_BLOCK.
  // NOT_FOUND MEMBER_UNKNOWN; FAILED_PRECONDITION MEMBER_IS_SELF; RESOURCE_EXHAUSTED
  // PINGS_EXHAUSTED.
  absl::StatusOr<PingResult> Ping(std::string_view member, std::chrono::milliseconds timeout);
  // The round trip between two members, estimated from network coordinates; between this node and
  // one whose coordinate is not known yet, the last that was measured. NOT_FOUND MEMBER_UNKNOWN;
  // UNAVAILABLE RTT_UNKNOWN.
  absl::StatusOr<Duration> Rtt(std::string_view a, std::string_view b) const;
  // Waits until the strand has run everything posted before; false after `timeout`. A watchdog's
  // and a test's question: is the loop alive?
  bool IsResponsive(std::chrono::milliseconds timeout);

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
