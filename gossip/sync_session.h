// What two nodes say over a stream: state sync, direct probes, certificates (design K1, W10).
//
//   client                                   server
//     SyncRequest (hash of the table)  -->
//                                      <--   SyncEqual, and all is said; or SyncRows (the alive and
//                                            suspect, names called dead)
//     SyncRows, SyncTombstones         -->
//                                      <--   SyncTombstones
//     SyncDone                         -->
// Either side may ask for certificates in between (WantCertificates, CertificateBundle). Tombstones
// pass only about names that the other calls alive, or dead where ours is Left (M5). Reconciliation
// by difference has its place between SyncRequest and SyncRows.
//
// Threads: all on the host's strand. Included by the node's shell only.
#ifndef SOTTO_GOSSIP_SYNC_SESSION_H_
#define SOTTO_GOSSIP_SYNC_SESSION_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
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

namespace sotto {

// What a session needs of its node.
class SyncHost {
 public:
  virtual ~SyncHost() = default;
  virtual Instant Now() const = 0;
  virtual int64_t UnixSeconds() const = 0;
  virtual Protocol& protocol() = 0;
  virtual StatementCache& cache() = 0;
  virtual const Keyring& keyring() const = 0;
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
  // Counts and remembers a refusal under its code.
  virtual void Refuse(const absl::Status& status, std::string peer) = 0;
};

// Caps on what others open towards us: by address while nobody has shown a certificate, by name
// afterwards.
class StreamAdmission {
 public:
  static constexpr size_t kUnknownMax = 256;
  static constexpr size_t kUnknownPerAddressMax = 128;
  static constexpr size_t kKnownMax = 128;
  static constexpr size_t kKnownPerNameMax = 4;
  static constexpr size_t kSyncsMax = 32;

  // Counts one place for as long as it lives.
  class Place {
   public:
    Place() = default;
    Place(size_t* total, std::map<std::string, size_t>* by_key, std::string key);
    ~Place();
    Place(Place&& other) noexcept;
    Place& operator=(Place&& other) noexcept;
    explicit operator bool() const { return total_ != nullptr; }

   private:
    size_t* total_ = nullptr;
    std::map<std::string, size_t>* by_key_ = nullptr;
    std::string key_;
  };

  // Empty places when a cap is reached.
  Place AdmitAddress(const std::string& address);
  Place AdmitName(const std::string& name);
  Place AdmitSync();

 private:
  size_t unknown_ = 0, known_ = 0, syncs_ = 0;
  std::map<std::string, size_t> by_address_, by_name_;
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

struct SyncResult {
  SyncOutcome outcome = SyncOutcome::kUnreachable;
  absl::Status status;    // why, where it is not kEqual or kMerged
  bool answered = false;  // `peer` was authenticated
  Source peer;
  uint32_t retry_after_ms = 0;  // with kBusy
};

// Dials and syncs. Never throws.
boost::asio::awaitable<SyncResult> RunSync(std::shared_ptr<SyncHost> host,
                                           boost::asio::any_io_executor executor,
                                           StreamTarget target, SyncReason reason);
// Dials and pings; true if the ack came.
boost::asio::awaitable<bool> RunStreamPing(std::shared_ptr<SyncHost> host,
                                           boost::asio::any_io_executor executor,
                                           StreamTarget target, uint64_t nonce);
// Dials and fetches certificates, into the host's cache.
boost::asio::awaitable<void> RunCertificateFetch(std::shared_ptr<SyncHost> host,
                                                 boost::asio::any_io_executor executor,
                                                 StreamTarget target, std::vector<Hash256> hashes);
// Serves one accepted connection to its end.
boost::asio::awaitable<void> ServeStream(std::shared_ptr<SyncHost> host,
                                         boost::asio::ip::tcp::socket socket,
                                         std::shared_ptr<StreamAdmission> admission,
                                         std::shared_ptr<StreamAdmission::Place> place);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_SYNC_SESSION_H_
