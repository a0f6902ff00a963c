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
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "gossip/conversation.h"
#include "gossip/protocol.h"
#include "gossip/stream_admission.h"

namespace sotto {

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
// Dials and pings; how long the ack took, once the stream stood.
struct StreamPingResult {
  std::optional<Duration> rtt;  // nothing: no answer
  bool unsent = false;          // this machine did not even let the connection out
};
boost::asio::awaitable<StreamPingResult> RunStreamPing(std::shared_ptr<SyncHost> host,
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
