// One authenticated, sealed conversation of two nodes over a stream, either side of it: handshake,
// preambles, messages, certificates on the way. What is said in it is sync_session.h's business.
//
// Threads: all on the host's strand. Included by the node's shell only.
#ifndef SOTTO_GOSSIP_CONVERSATION_H_
#define SOTTO_GOSSIP_CONVERSATION_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/keyring.h"
#include "crypto/tls_context.h"
#include "gossip/log.h"
#include "gossip/node.h"
#include "gossip/protocol.h"
#include "gossip/statement_cache.h"
#include "gossip/stream_channel.h"
#include "gossip/wire.h"

namespace sotto {

class MessageInbox;

// What a session needs of its node.
class SyncHost {
 public:
  virtual ~SyncHost() = default;
  virtual Instant Now() const = 0;
  virtual int64_t UnixSeconds() const = 0;
  virtual Protocol& protocol() = 0;
  virtual StatementCache& cache() = 0;
  virtual const Keyring& keyring() const = 0;
  // What KeyCourier says of these; nothing passes where there is none.
  virtual std::string OfferKey(KeyId id) = 0;
  virtual void TakeKey(const std::string& from, const std::string& wrapped) = 0;
  virtual void NoteUnknownKey(KeyId id) = 0;
  // A member seals with this key: so do we, if it is newer than ours.
  virtual void ConsiderSealing(KeyId id) = 0;
  virtual const ProcessIdentityRef& identity() const = 0;
  virtual TlsContextRef tls() const = 0;
  virtual uint32_t NextStreamSequence() = 0;
  virtual NodeStats& stats() = 0;
  // Every stream, so that it can be cut when the node stops or its other end loses its trust.
  virtual void Track(std::weak_ptr<StreamChannel> channel) = 0;
  // Carries out what the protocol wants done; after every input to it.
  virtual void Pump() = 0;
  // Feeds statements that a certificate has released.
  virtual void Release(const std::vector<StatementRef>& statements) = 0;
  virtual void Log(LogLevel level, std::string event,
                   std::vector<std::pair<std::string, std::string>> fields) = 0;
  // Where messages of applications wait for the one of this node.
  virtual MessageInbox& inbox() = 0;
  // Counts and remembers a refusal under its code.
  virtual void Refuse(const absl::Status& status, std::string peer) = 0;
};

// Where to dial, and whom to expect there.
struct StreamTarget {
  struct Route {
    boost::asio::ip::tcp::endpoint to;
    boost::asio::ip::tcp::endpoint from;  // bound before the dial
  };
  std::vector<Route> routes;  // tried in order
  std::string expected_name;  // empty: any node but ourselves
  std::string text;           // for the log: "gw-2", or a contact as it is written
};

// One authenticated conversation, either side.
class Conversation {
 public:
  // So many are read from the other end, far more than a sync needs; then the stream ends. Who has
  // more to say opens another one in time.
  static constexpr int kMessagesMax = 1'024;

  Conversation(std::shared_ptr<SyncHost> host, std::shared_ptr<StreamChannel> channel,
               bool is_server)
      : host_(std::move(host)),
        identity_(host_->identity()),
        channel_(std::move(channel)),
        is_server_(is_server) {}

  // Handshake, preambles, keys. Afterwards peer() is who the certificate says it is.
  boost::asio::awaitable<absl::Status> Open();

  boost::asio::awaitable<absl::Status> Send(StreamMessage message);
  // The next message; requests for certificates are answered on the way.
  boost::asio::awaitable<absl::StatusOr<StreamMessage>> Next();
  // The answer to a request for certificates. What comes before it was sent before the other end
  // had read the request: it is kept, in order, for Next().
  boost::asio::awaitable<absl::StatusOr<CertificateBundle>> NextBundle();

  boost::asio::awaitable<absl::Status> SendTable(std::vector<StatementRef> statements,
                                                 std::vector<std::string> dead_names);
  // A table, and what its last part says of the other end's user events.
  struct Table {
    SyncTable rows;
    SyncEqual events;
  };
  // The rest of a table whose first part is `first`, verified.
  boost::asio::awaitable<absl::StatusOr<Table>> ReceiveTable(SyncRows first);
  // Verifies raw statements, fetching certificates from the other end as needed.
  boost::asio::awaitable<absl::StatusOr<std::vector<StatementRef>>> Resolve(
      std::vector<std::string> raw);
  boost::asio::awaitable<absl::Status> FetchCertificates(std::vector<Hash256> hashes);

  const Source& peer() const { return peer_; }
  // Messages written to the other end so far.
  int sent() const { return sent_; }
  bool is_self() const { return peer_.boot_id == identity_->boot_id(); }
  SyncHost& host() { return *host_; }
  StreamChannel& channel() { return *channel_; }

 private:
  boost::asio::awaitable<absl::StatusOr<StreamMessage>> ReadMessage();
  Preamble MakePreamble() const;
  absl::Status AcceptPreamble(const Preamble& preamble);
  boost::asio::awaitable<absl::StatusOr<Preamble>> ReadPreamble();
  boost::asio::awaitable<absl::Status> OpenAsServer(Preamble* theirs);
  boost::asio::awaitable<absl::Status> OpenAsClient(Preamble* theirs);
  // Whether `theirs` can offer a key that we lack.
  bool LacksKeyOf(const Preamble& theirs) const;
  std::vector<std::string> OffersTo(const Preamble& theirs) const;
  void TakeOffers(const Preamble& theirs);
  absl::Status BeginSealed(const Preamble& preamble);
  CertificateBundle Bundle(const WantCertificates& want);

  std::shared_ptr<SyncHost> host_;
  const ProcessIdentityRef identity_;  // one life from end to end, should the node take a new one
  std::shared_ptr<StreamChannel> channel_;
  const bool is_server_;
  Source peer_;
  int messages_ = 0;
  int sent_ = 0;
  std::deque<StreamMessage> aside_;
};

// Connects, and opens a conversation; null with `*status` set if that failed.
boost::asio::awaitable<std::shared_ptr<Conversation>> Dial(std::shared_ptr<SyncHost> host,
                                                           boost::asio::any_io_executor executor,
                                                           StreamTarget target,
                                                           absl::Status* status);
// Counts what passed, and says goodbye.
boost::asio::awaitable<void> Finish(std::shared_ptr<Conversation> talk);

// Whether a failed conversation was a "no" that this node should be told of, and not just a bad
// line.
bool IsRefusal(const absl::Status& status);
// Their bytes, as they were signed.
std::vector<std::string> RawOf(const std::vector<StatementRef>& statements);
std::string AddressText(const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_CONVERSATION_H_
