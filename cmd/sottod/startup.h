// From a checked configuration to the parts that run: state, store, key, certificates, node.
#ifndef SOTTO_CMD_SOTTOD_STARTUP_H_
#define SOTTO_CMD_SOTTOD_STARTUP_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/config/check_config.h"
#include "cmd/config/config.h"
#include "cmd/sottod/admin_backend.h"
#include "cmd/sottod/key_cache_keeper.h"
#include "cmd/sottod/key_keeper.h"
#include "gossip/log.h"
#include "gossip/node.h"
#include "store/cluster_key.h"
#include "store/database.h"
#include "store/kek_source.h"
#include "store/key_agent.h"
#include "store/key_cache.h"
#include "store/node_state.h"
#include "store/peer_book.h"

namespace sotto {

// Exit codes of the daemon: part of its interface.
enum DaemonExit : int {
  kExitOk = 0,          // told to end, and said goodbye
  kExitFailed = 1,      // a fault in the program, or ended before the goodbye was said
  kExitUsage = 2,       // the command line
  kExitTryAgain = 75,   // something is busy or away: a database, a port, a folder's lock
  kExitBadConfig = 78,  // a start with the same settings would fail again
};

// The exit code of a start that failed with `status`.
DaemonExit ExitCodeOf(const absl::Status& status);

// The parts, in the order in which they are made; the last one goes first.
struct RunningParts {
  TlsFiles tls_files;  // what the node started with; taken over by the reloader
  std::shared_ptr<NodeState> state;
  std::unique_ptr<PeerBook> peers;     // taken over by the keeper
  std::shared_ptr<Database> database;  // may be away
  KekLoader kek_loader;                // taken over by the backend, for reloads
  KeyPolicy policy;
  std::shared_ptr<KeyAgent> agent;
  // Not OK: what is wrong with database, table or row, although there is a ring to start with.
  absl::Status table_status;
  bool from_cache = false;  // the ring is the cache's
  std::unique_ptr<KeyCacheKeeper> key_cache;
  std::shared_ptr<KeyKeeper> keeper;  // begun by the daemon
  uint32_t boot_number = 0;
  std::unique_ptr<Node> node;
};

// Takes the state folder, reads the keys, raises the boot number durably, starts the node. Where
// the database is away, the keys come from the key cache, unless store.when_down says no. Blocks on
// disk and database. The error's code says what to mend.
// `accept_rollback`: a database that is older than this node is believed, once.
absl::StatusOr<RunningParts> StartParts(const Config& config, bool accept_rollback,
                                        const LogSink& log);

KeyCachePlace KeyCachePlaceOf(const Config& config);
// Whether a start may use the cache, so that it is worth keeping.
bool UsesKeyCache(const Config& config);

// Certificates as the API shows them: the node's own, then the authorities.
absl::StatusOr<std::vector<CertificateSummary>> SummarizeCertificates(const TlsFiles& files,
                                                                      const std::string& cluster);

// The addresses that others are told, as configured: "host:port".
const std::vector<std::string>& AdvertisedAddresses(const Config& config);

// What is odd about the addresses that others will be told; nothing when all is well.
std::vector<HealthNote> CheckAdvertised(const Config& config, const NodeView& view);

TlsMaterial ToMaterial(const TlsFiles& files);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_STARTUP_H_
