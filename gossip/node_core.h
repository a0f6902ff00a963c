// The shell of one node: everything that lives on its strand. The public face is node.h.
//
//   datagram -> FrameCodec::Open -> wire -> StatementCache -> Protocol -> actions
//   actions  -> wire -> FrameCodec::Seal -> datagram, or a stream of sync_session.h, or an event
//
// Threads: created anywhere; every method runs on the strand or with turn() held, which is the
// same; View() excepted.
#ifndef SOTTO_GOSSIP_NODE_CORE_H_
#define SOTTO_GOSSIP_NODE_CORE_H_

#include <array>
#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/certificate.h"
#include "crypto/frame_codec.h"
#include "crypto/tls_context.h"
#include "gossip/coordinate.h"
#include "gossip/knock_list.h"
#include "gossip/message_inbox.h"
#include "gossip/node.h"
#include "gossip/node_callbacks.h"
#include "gossip/node_turn.h"
#include "gossip/node_watch.h"
#include "gossip/protocol.h"
#include "gossip/statement_cache.h"
#include "gossip/statement_codec.h"
#include "gossip/sync_session.h"
#include "gossip/udp_transport.h"
#include "gossip/wire.h"

namespace sotto {

class NodeCore : public SyncHost, public std::enable_shared_from_this<NodeCore> {
 public:
  // Checks everything and binds; nothing is sent before Begin().
  static absl::StatusOr<std::shared_ptr<NodeCore>> Create(NodeOptions options,
                                                          boost::asio::io_context& io,
                                                          std::shared_ptr<CallbackRunner> runner);
  ~NodeCore() override;

  void Begin();
  void Stop();
  bool stopped() const { return stopped_; }
  const Turn& turn() const { return turn_; }
  const boost::asio::any_io_executor& executor() const { return executor_; }

  // From any thread.
  std::shared_ptr<const NodeView> View();

  // On the strand.
  const NodeStats& CurrentStats();
  std::vector<Refusal> Refusals() const { return {refusals_.begin(), refusals_.end()}; }
  std::shared_ptr<WatchQueue> Watch(WatchCallback callback, WatchOptions options);
  // `done` is called once, on the strand.
  void Join(const std::vector<std::string>& contacts, std::chrono::milliseconds timeout,
            std::function<void(absl::StatusOr<int>)> done);
  KnockAnswer Knock(std::string_view address);
  void Leave(std::chrono::milliseconds timeout, std::function<void(absl::Status)> done);
  absl::Status SendEvent(std::string_view name, std::string_view payload, bool coalesce);
  absl::StatusOr<QueryId> Query(QueryParams params, QueryReplyCallback on_reply,
                                QueryEndCallback on_end);
  absl::Status Answer(const QueryId& query, std::string_view payload);
  absl::Status Forget(std::string_view name);
  absl::Status SetTags(std::vector<Tag> tags);
  absl::Status ReloadTls(const TlsMaterial& tls);
  absl::Status SetKeys(std::vector<ClusterKeyRef> keys, KeyId sealing);
  absl::Status RefreshKeys();
  void SeekKeys();
  void Send(std::string_view member, std::string payload, std::chrono::milliseconds timeout,
            std::function<void(absl::Status)> done);
  void Ping(std::string_view member, std::chrono::milliseconds timeout,
            std::function<void(absl::StatusOr<PingResult>)> done);
  absl::StatusOr<Duration> Rtt(std::string_view a, std::string_view b) const;

  // ---- SyncHost ---------------------------------------------------------------------------------
  Instant Now() const override;
  int64_t UnixSeconds() const override;
  Protocol& protocol() override { return *protocol_; }
  StatementCache& cache() override { return *cache_; }
  const Keyring& keyring() const override { return keyring_; }
  std::string OfferKey(KeyId id) override;
  void TakeKey(const std::string& from, const std::string& wrapped) override;
  void NoteUnknownKey(KeyId id) override;
  void ConsiderSealing(KeyId id) override;
  const ProcessIdentityRef& identity() const override { return identity_; }
  TlsContextRef tls() const override { return tls_; }
  uint32_t NextStreamSequence() override { return stream_sequences_.Next(); }
  NodeStats& stats() override { return stats_; }
  MessageInbox& inbox() override { return inbox_; }
  void Track(std::weak_ptr<StreamChannel> channel) override;
  void Pump() override;
  void Release(const std::vector<StatementRef>& statements) override;
  void Log(LogLevel level, std::string event,
           std::vector<std::pair<std::string, std::string>> fields) override;
  void Refuse(const absl::Status& status, std::string peer) override;

 private:
  // What this node has heard of one boot id lately, for the verdict on our own keys (M7).
  struct Heard {
    Instant valid;
    Instant key_drop;
    bool any_key_drop = false;
  };
  // A certificate that a statement named and we lack.
  struct Wanted {
    std::string from;  // the member that named it
    Instant first;
    Instant last;
    int tries = 0;
  };
  struct DropLog {
    Instant last;
    bool any = false;
    uint64_t since = 0;  // drops not yet logged
  };
  struct JoinWait {
    std::vector<uint32_t> pending;  // contacts that have not answered yet
    std::string failures;
    int answered = 0;
    std::function<void(absl::StatusOr<int>)> done;
    std::shared_ptr<boost::asio::steady_timer> timer;
  };

  // A message on its way out. `done` is taken when it is over.
  struct Outgoing {
    std::string payload;
    std::chrono::steady_clock::time_point deadline;
    boost::asio::steady_timer timer;
    std::function<void(absl::Status)> done;
  };
  // What waits for one member; one coroutine at a time empties it.
  struct Outbox {
    std::deque<std::shared_ptr<Outgoing>> waiting;
    std::shared_ptr<Outgoing> sending;
    std::weak_ptr<StreamChannel> channel;  // of the one that is being sent
    bool running = false;
  };
  // Contacts are counted from 0, hints from here.
  static constexpr uint32_t kFirstKnock = uint32_t{1} << 31;

  // A Ping() that waits for two answers.
  struct PingWait {
    PingResult result;
    bool tcp_over = false;
    uint64_t nonce = 0;
    boost::asio::steady_timer timer;
    std::function<void(absl::StatusOr<PingResult>)> done;
  };

  NodeCore(NodeOptions options, boost::asio::io_context& io,
           std::shared_ptr<CallbackRunner> runner);
  absl::Status Prepare();
  absl::Status PrepareAddresses();
  absl::Status PrepareTls();

  void HandleDatagram(const Endpoint& from, std::span<const uint8_t> datagram);
  void HandleHelloFrame(const Endpoint& from, const BootId& boot_id,
                        std::span<const uint8_t> plaintext);
  void HandlePacketFrame(const Endpoint& from, const StatementRef& sender,
                         std::span<const uint8_t> plaintext);
  void AnswerWants(const StatementRef& sender, const std::vector<Hash256>& wants);
  void AskForCertificates(const StatementRef& sender, const std::vector<Hash256>& hashes);
  void FetchCertificates(const StatementRef& sender, std::vector<Hash256> hashes);
  void CountDrop(DropReason reason, const Endpoint& from, KeyId key_id);

  void Perform(const SendPacket& action);
  void Perform(const SignStatement& action);
  void Perform(const PersistBoot& action);
  void Perform(const StartSync& action);
  void Perform(const SendStreamPing& action);
  void Perform(const EmitEvent& action);
  void Perform(const MeasuredRtt& action);
  void Perform(const PingAnswered& action);
  void Perform(const DeliverUserEvent& action);
  void Perform(const DeliverQuery& action);
  void Perform(const QueryReplied& action);
  void Perform(const QueryEnded& action);
  void Perform(const LeaveFinished& action);

  // False if it could not be sealed or the kernel refused it.
  bool SendPlain(const StatementRef& to, std::string_view plaintext, bool hello);
  const Endpoint* Reachable(const Statement& alive) const;
  StreamTarget TargetOf(const Statement& alive) const;
  void AddRoute(const Endpoint& to, StreamTarget* target) const;
  boost::asio::awaitable<absl::StatusOr<StreamTarget>> ResolveContact(std::string contact);
  boost::asio::awaitable<void> DriveSync(StartSync action);
  KnockAnswer TryKnock(std::string_view address);
  void FinishContact(uint32_t index, SyncResult result);
  boost::asio::awaitable<void> Accept(size_t acceptor);

  // The Alive to reach a member by; null if it has said none.
  StatementRef AliveOf(const MemberInfo& member) const;
  void StartOutboxes();
  boost::asio::awaitable<void> DriveOutbox(std::string member);
  boost::asio::awaitable<absl::Status> SendNext(std::string member, Outbox* box,
                                                std::shared_ptr<Conversation>* talk);
  void FailOutbox(Outbox* box, const absl::Status& status);
  void FinishSend(const std::shared_ptr<Outgoing>& message, absl::Status status);
  void OnSendTimeout(const std::string& member, const std::shared_ptr<Outgoing>& message);
  void FinishPing(const std::shared_ptr<PingWait>& wait, bool late);
  // Our own coordinate for this packet, if its turn has come and it fits; or empty.
  std::string TakeCoordinate(const Packet& packet, size_t bytes);

  void ArmTimer();
  void Housekeep();
  void CheckClocks();
  void CheckKeys();
  void AnswerKeysQuery(const ReceivedQuery& query);
  void JudgeKeys(Instant now);
  void Reboot(std::string_view why);
  void PublishView();
  std::shared_ptr<const NodeView> HeldView() const;
  // Numbers what subscriptions are to hear; at the end of this Pump(), or soon after it where that
  // was done only just now.
  void Tell(WatchBody body);
  void ConsiderItems();
  void FlushItems();
  void FinishJoins(uint32_t contact, const absl::Status& status);
  StatementContext SigningContext() const;
  // Signs what the core has prepared; the core has not heard of it yet.
  absl::StatusOr<StatementRef> SignSaid(const StatementDraft& draft);

  NodeOptions options_;
  const Turn turn_ = std::make_shared<std::recursive_mutex>();
  const boost::asio::any_io_executor executor_;  // the strand, each handler of which holds the turn
  const std::shared_ptr<CallbackRunner> runner_;

  Keyring keyring_;
  ProcessIdentityRef identity_;
  TrustStoreRef trust_;
  CredentialsRef credentials_;
  TlsContextRef tls_;
  std::unique_ptr<UdpTransport> transport_;
  std::unique_ptr<StatementCache> cache_;
  std::unique_ptr<Protocol> protocol_;
  std::unique_ptr<FrameCodec> codec_;
  StreamSequences stream_sequences_;
  uint64_t stream_lives_ = 0;  // how often kPerLife of them have been spent
  std::shared_ptr<StreamAdmission> admission_ = std::make_shared<StreamAdmission>();
  FramePeer lookup_result_;
  std::vector<Endpoint> advertised_;
  std::vector<std::string> contacts_;
  std::map<uint32_t, std::string> contact_members_;  // who answered there last
  // Hints being dialled, by the index that the core knows them under.
  std::map<uint32_t, std::string> knocks_;
  uint32_t next_knock_ = kFirstKnock;
  KnockList knock_list_;

  boost::asio::steady_timer timer_;
  boost::asio::steady_timer housekeeping_;
  std::unique_ptr<boost::asio::thread_pool> disk_;  // persist_boot runs here
  bool begun_ = false;
  bool stopped_ = false;
  bool pumping_ = false;
  bool pump_again_ = false;
  // Read by View() without the turn: at worst it hands out a picture that is being replaced.
  std::atomic<bool> view_dirty_{true};
  Instant armed_for_ = Instant::Never();  // what timer_ waits for
  Instant housekept_;
  Instant last_key_drop_;
  Instant unknown_key_after_;  // the courier is told of no further one before
  int64_t clock_gap_ns_ = 0;   // realtime less monotonic, at the last look
  int64_t pid_ = 0;
  int housekeeping_turns_ = 0;
  uint64_t trust_generation_ = 1;

  NodeStats stats_;
  std::map<std::string, uint64_t> refusal_counts_;
  std::deque<Refusal> refusals_;
  std::map<BootId, Heard> heard_;
  std::map<Hash256, Wanted> wanted_;
  std::set<std::string> fetching_;             // members that certificates are being fetched from
  std::map<std::string, Instant> distrusted_;  // sent a forged statement; until when
  std::array<DropLog, kDropReasons> drop_logs_;
  std::list<std::weak_ptr<StreamChannel>> streams_;
  std::list<std::shared_ptr<JoinWait>> joins_;
  std::vector<std::function<void(absl::Status)>> leaves_;
  struct OpenQuery {
    std::shared_ptr<const QueryReplyCallback> on_reply;
    QueryEndCallback on_end;
  };
  std::map<QueryId, OpenQuery> queries_;
  WatchHub watchers_;
  MessageInbox inbox_;
  std::map<std::string, Outbox, std::less<>> outboxes_;
  size_t outboxes_running_ = 0;
  size_t outgoing_ = 0, outgoing_bytes_ = 0;
  std::map<uint64_t, std::shared_ptr<PingWait>> pings_;  // by a number of our own
  uint64_t next_ping_ = 1;
  std::unique_ptr<CoordinateTable> coordinates_;
  Instant coordinate_told_;
  bool coordinate_ever_told_ = false;
  std::vector<WatchItem> items_;  // not yet published
  boost::asio::steady_timer publish_timer_;
  bool publish_armed_ = false;
  Instant publish_after_;  // a picture of many members is not made with every datagram
  uint64_t epoch_ = 0;
  uint64_t last_item_ = 0;
  uint64_t view_sequence_ = 0;
  uint64_t sink_exceptions_ = 0;

  std::array<uint8_t, kDatagramBytesMax + 1> plain_buffer_;
  std::array<uint8_t, kDatagramBytesMax> seal_buffer_;

  // View() is called from any thread and waits for nobody's turn. See docs/decisions.
  mutable std::mutex view_mutex_;
  std::shared_ptr<const NodeView> view_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_NODE_CORE_H_
