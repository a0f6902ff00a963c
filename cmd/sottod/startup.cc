#include "cmd/sottod/startup.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cmd/sottod/discovery_keeper.h"
#include "cmd/sottod/peer_keeper.h"
#include "crypto/certificate.h"
#include "crypto/envelope.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/endpoint_text.h"
#include "store/file_rules.h"
#include "store/key_table.h"
#include "store/open_store.h"
#include "store/schema.h"
#include "store/systems_rows.h"
#include "store/unix_time.h"

namespace sotto {
namespace {

absl::StatusOr<std::shared_ptr<NodeState>> OpenState(const Config& config, const LogSink& log) {
  SOTTO_ASSIGN_OR_RETURN(
      std::unique_ptr<NodeState> state,
      NodeState::Open(config.node.state_dir, config.node.cluster, config.node.name));
  if (!state->recovered().ok()) {
    log({LogLevel::kWarn,
         "state_recovered",
         {{"code", ErrorCode(state->recovered())},
          {"message", std::string(state->recovered().message())}}});
  }
  return std::shared_ptr<NodeState>(std::move(state));
}

std::unique_ptr<PeerBook> OpenPeers(const Config& config, const LogSink& log) {
  auto peers =
      std::make_unique<PeerBook>(config.node.state_dir, config.node.cluster, config.node.name);
  if (!peers->recovered().ok()) {
    log({LogLevel::kWarn,
         "peers_recovered",
         {{"code", ErrorCode(peers->recovered())},
          {"message", std::string(peers->recovered().message())}}});
  }
  return peers;
}

// A node that knew members on other machines founds no second cluster with a key of its own (K4).
bool KnowsOtherMachines(const Config& config, const PeerBook& peers) {
  for (const KnownPeer& peer : peers.Peers()) {
    for (const Endpoint& address : peer.addresses) {
      if (IsOutsideThisMachine(ToString(address), config.gossip.bind)) return true;
    }
  }
  return false;
}

// The configured contacts, then peers known before.
std::vector<std::string> ContactsOf(const Config& config, const PeerBook& peers, uint32_t boot,
                                    const LogSink& log) {
  const std::vector<std::string> contacts =
      AddKnownContacts(config.gossip.join, peers, config.gossip.rejoin_after_leave,
                       std::hash<std::string>()(config.node.name) + boot);
  const std::vector<std::string> known(
      contacts.begin() + static_cast<std::ptrdiff_t>(config.gossip.join.size()), contacts.end());
  if (!known.empty()) {
    log({LogLevel::kInfo, "rejoining", {{"known_peers", absl::StrJoin(known, ",")}}});
  } else if (peers.left() && !config.gossip.rejoin_after_leave) {
    log({LogLevel::kInfo,
         "not_rejoining",
         {{"why",
           "this node was taken out by `sotto leave`; contacts come from gossip.join, "
           "`sotto join` and the store's ClusterDiscovery alone"}}});
  }
  return contacts;
}

// The ring of the cache.
absl::StatusOr<KeyRing> ReadCache(const Config& config, const KekRing& keks,
                                  uint64_t generation_seen) {
  SOTTO_ASSIGN_OR_RETURN(const KeyCache cache,
                         ReadKeyCache(KeyCachePlaceOf(config), keks, UnixSeconds()));
  if (cache.active()->generation() < generation_seen) {
    return CodedError(
        absl::StatusCode::kFailedPrecondition, "KEY_ROLLBACK",
        absl::StrCat(KeyCachePlaceOf(config).path(), ": its active key is of generation ",
                     cache.active()->generation(), ", and this node has used generation ",
                     generation_seen));
  }
  KeyRing ring;
  ring.sealing = cache.active()->id();
  for (const CachedKey& cached : cache.keys) {
    SOTTO_ASSIGN_OR_RETURN(std::string wrapped, WrapKey(*cached.key, *keks.active()));
    ring.keys.push_back({cached.key, cached.state, std::move(wrapped)});
  }
  std::sort(ring.keys.begin(), ring.keys.end(), [](const RingKey& one, const RingKey& other) {
    return one.key->generation() > other.key->generation();
  });
  return ring;
}

std::shared_ptr<KeyAgent> MakeAgent(const Config& config, const RunningParts& parts, KeyRing ring) {
  return std::make_shared<KeyAgent>(KeyAgent::Options{config.node.cluster, config.node.name,
                                                      parts.policy, parts.state->removed_keys()},
                                    std::move(ring));
}

// The agent of a node whose database gave `table_status`; that status again where the cache does
// not serve, or the trouble is of a kind that a person has to mend.
absl::Status StartWithoutTable(const Config& config, const absl::Status& table_status,
                               const LogSink& log, RunningParts* parts) {
  const bool is_away = ExitCodeOf(table_status) == kExitTryAgain;
  if (!is_away || !UsesKeyCache(config) || parts->policy.keks == nullptr) return table_status;
  absl::StatusOr<KeyRing> ring =
      ReadCache(config, *parts->policy.keks, parts->policy.generation_seen);
  if (!ring.ok()) {
    log({LogLevel::kWarn,
         "key_cache_unusable",
         {{"code", ErrorCode(ring.status())}, {"message", std::string(ring.status().message())}}});
    return table_status;
  }
  parts->table_status = table_status;
  parts->from_cache = true;
  log({LogLevel::kWarn,
       "started_from_key_cache",
       {{"code", ErrorCode(table_status)},
        {"message", std::string(table_status.message())},
        {"key", ToString(ring->sealing)}}});
  parts->agent = MakeAgent(config, *parts, *std::move(ring));
  return absl::OkStatus();
}

// The key of the Systems row, which is made where there is none and this node may.
absl::StatusOr<StoredKey> KeyOfSystems(const Config& config, const RunningParts& parts,
                                       const LogSink& log) {
  const std::unique_ptr<SystemsTable> systems = MakeSystemsTable(parts.database);
  SOTTO_ASSIGN_OR_RETURN(StoredKey key,
                         LoadOrCreateClusterKey(*systems, config.node.cluster, parts.policy));
  if (key.created) {
    log({LogLevel::kInfo,
         "key_created",
         {{"key", ToString(key.key->id())}, {"row", key.row}, {"store", systems->DisplayUrl()}}});
  }
  return key;
}

absl::Status StartWithRowAlone(const Config& config, const absl::Status& why, const LogSink& log,
                               RunningParts* parts) {
  SOTTO_ASSIGN_OR_RETURN(StoredKey key, KeyOfSystems(config, *parts, log));
  KeyRing ring;
  ring.sealing = key.key->id();
  ring.keys.push_back({std::move(key.key), KeyState::kActive, ""});
  parts->agent = MakeAgent(config, *parts, std::move(ring));
  log({LogLevel::kWarn,
       "no_key_table",
       {{"code", ErrorCode(why)}, {"message", std::string(why.message())}}});
  return absl::OkStatus();
}

// Looks at the table for the first time; a table without a row of this cluster takes over the key
// of Systems.
absl::Status FirstLook(const Config& config, bool accept_rollback, const LogSink& log,
                       RunningParts* parts) {
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<KeyTable> table,
                         OpenKeyTable(parts->database, config.node.cluster));
  parts->agent = MakeAgent(config, *parts, KeyRing());
  KeyLook look = parts->agent->Look(*table);
  if (ErrorCode(look.status) == "KEY_TABLE_EMPTY") {
    SOTTO_RETURN_IF_ERROR(KeyOfSystems(config, *parts, log).status());
    SOTTO_RETURN_IF_ERROR(table->Adopt(parts->policy, config.node.name));
    look = parts->agent->Look(*table);
  }
  const std::string code = ErrorCode(look.status);
  if ((code == "KEY_ROLLBACK" || code == "KEY_RETURNS") && accept_rollback) {
    parts->agent->AcceptRollback();
    look = parts->agent->Look(*table);
    // Nothing is forgotten for a table that cannot be used.
    if (parts->agent->ring().keys.empty()) return look.status;
    SOTTO_RETURN_IF_ERROR(
        parts->state->AcceptRollbackTo(parts->agent->ring().sealing_generation()));
    log({LogLevel::kWarn,
         "rollback_accepted",
         {{"generation", absl::StrCat(parts->agent->ring().sealing_generation())}}});
  }
  // A row that is wrong does not keep a node from the keys of the table.
  if (parts->agent->ring().keys.empty()) return look.status;
  parts->table_status = look.status;
  // Before others can see this node alive, so that it is known to share this store.
  const absl::Status acknowledged = table->Acknowledge(parts->agent->Ack(table->Now()));
  if (!acknowledged.ok()) {
    log({LogLevel::kWarn,
         "key_not_acknowledged",
         {{"code", ErrorCode(acknowledged)}, {"message", std::string(acknowledged.message())}}});
  }
  return absl::OkStatus();
}

// Fills in database, policy and agent.
absl::Status OpenKeys(const Config& config, bool accept_rollback, const LogSink& log,
                      RunningParts* parts) {
  SOTTO_ASSIGN_OR_RETURN(KekRingRef keks, parts->kek_loader.Load(KekSettingsOf(config)));
  parts->policy = KeyPolicyOf(config, std::move(keks));
  parts->policy.generation_seen = parts->state->key_generation();
  // On a server the other machines find the same key, whoever made it. Who has used a key and finds
  // none has lost it: a fresh one would be a second cluster.
  const bool is_first =
      IsServerStore(config) || (MayMintKey(config) && !KnowsOtherMachines(config, *parts->peers));
  parts->policy.may_create = parts->policy.generation_seen == 0 && is_first;
  const StoreOptions options = StoreOptionsOf(config);
  SOTTO_ASSIGN_OR_RETURN(parts->database, OpenDatabase(config.store.url, options));
  absl::Status status = CheckStore(*parts->database, options.create);
  if (status.ok()) status = FirstLook(config, accept_rollback, log, parts);
  if (status.ok()) return status;
  if (IsNotAllowed(status)) return StartWithRowAlone(config, status, log, parts);
  return StartWithoutTable(config, status, log, parts);
}

// The keeper, which begins to work once there is a node.
void MakeKeeper(const Config& config, const LogSink& log, RunningParts* parts) {
  parts->key_cache = std::make_unique<KeyCacheKeeper>(KeyCachePlaceOf(config), log);
  if (UsesKeyCache(config)) parts->key_cache->SetKeks(parts->policy.keks);
  if (!parts->from_cache) parts->key_cache->Note(parts->agent->ring());
  KeyKeeper::Options options;
  options.cluster = config.node.cluster;
  options.node = config.node.name;
  options.poll = std::chrono::milliseconds(config.store.poll.millis());
  options.rotation.interval_ms = config.rotation.interval.millis();
  options.rotation.retire_after_ms = config.rotation.retire_after.millis();
  options.frames_max = static_cast<uint64_t>(config.rotation.frames_max);
  options.table_status = parts->table_status;
  options.from_cache = parts->from_cache;
  options.log = log;
  options.state = parts->state;
  options.cache = parts->key_cache.get();
  parts->keeper = std::make_shared<KeyKeeper>(std::move(options), parts->database, parts->agent);
}

CertificateSummary Summarize(std::string_view use, const Certificate& certificate) {
  CertificateSummary out;
  out.use = std::string(use);
  const auto identity = certificate.Identity();
  // The name that counts is the one in the URI; an authority has none.
  out.subject = identity.ok() ? ToUri(*identity) : certificate.SubjectText();
  out.issuer = certificate.IssuerText();
  out.serial = certificate.SerialHex();
  out.key = certificate.KeyText();
  out.not_before_unix_s = certificate.not_before_unix_s();
  out.not_after_unix_s = certificate.not_after_unix_s();
  out.sha256 = certificate.sha256();
  return out;
}

}  // namespace

DaemonExit ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  if (ErrorCode(status).ends_with("_IN_USE")) return kExitTryAgain;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
      return kExitTryAgain;
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
      return kExitFailed;
    default:
      return kExitBadConfig;
  }
}

KeyCachePlace KeyCachePlaceOf(const Config& config) {
  return {config.node.state_dir, config.node.cluster, config.node.name};
}

const std::vector<std::string>& AdvertisedAddresses(const Config& config) {
  return config.gossip.advertise.empty() ? config.gossip.bind : config.gossip.advertise;
}

bool UsesKeyCache(const Config& config) { return config.store.when_down == "cached"; }

TlsMaterial ToMaterial(const TlsFiles& files) {
  return {files.ca_pem, files.cert_pem, files.key_pem, files.crl_pem};
}

absl::StatusOr<RunningParts> StartParts(const Config& config, bool accept_rollback,
                                        const LogSink& log) {
  RunningParts parts;
  SOTTO_ASSIGN_OR_RETURN(parts.tls_files, ReadTlsFiles(config));
  SOTTO_ASSIGN_OR_RETURN(parts.state, OpenState(config, log));
  parts.peers = OpenPeers(config, log);

  SOTTO_RETURN_IF_ERROR(OpenKeys(config, accept_rollback, log, &parts));
  SOTTO_RETURN_IF_ERROR(parts.state->RaiseKeyGenerationTo(parts.agent->generation_seen()));
  SOTTO_RETURN_IF_ERROR(parts.state->AddRemovedKeys(parts.agent->removed()));
  MakeKeeper(config, log, &parts);
  // Durable before anything is said under it (M2).
  SOTTO_ASSIGN_OR_RETURN(parts.boot_number, parts.state->Bump());

  NodeOptions options;
  options.cluster = config.node.cluster;
  options.name = config.node.name;
  options.bind = config.gossip.bind;
  options.advertise = config.gossip.advertise;
  options.join = ContactsOf(config, *parts.peers, parts.boot_number, log);
  if (config.discovery.enabled && !parts.from_cache) {
    options.hints = FirstHints(parts.database, config.node.cluster, config.node.name,
                               AdvertisedAddresses(config));
    if (!options.hints.empty()) {
      log({LogLevel::kInfo, "hints", {{"addresses", absl::StrJoin(options.hints, ",")}}});
    }
  }
  options.tags = config.node.tags;
  options.protocol = config.gossip.protocol;
  options.tls = ToMaterial(parts.tls_files);
  options.keys = parts.agent->ring().Keys();
  options.courier = parts.keeper;
  options.boot_number = parts.boot_number;
  options.persist_boot = [state = parts.state](uint32_t boot) { return state->RaiseTo(boot); };
  options.log = log;
  SOTTO_ASSIGN_OR_RETURN(parts.node, Node::Start(std::move(options)));
  return parts;
}

absl::StatusOr<std::vector<CertificateSummary>> SummarizeCertificates(const TlsFiles& files,
                                                                      const std::string& cluster) {
  std::vector<CertificateSummary> out;
  SOTTO_ASSIGN_OR_RETURN(const CertificateRef own, Certificate::FromPem(files.cert_pem));
  out.push_back(Summarize("node", *own));
  SOTTO_ASSIGN_OR_RETURN(const TrustStoreRef trust,
                         TrustStore::Create(files.ca_pem, files.crl_pem, cluster, 0));
  for (const CertificateRef& authority : trust->authorities()) {
    out.push_back(Summarize("ca", *authority));
  }
  return out;
}

std::vector<HealthNote> CheckAdvertised(const Config& config, const NodeView& view) {
  std::vector<HealthNote> notes;
  const bool has_outside_contact = std::any_of(
      config.gossip.join.begin(), config.gossip.join.end(),
      [&](const auto& contact) { return IsOutsideThisMachine(contact, config.gossip.bind); });
  const bool has_outside_listener =
      std::any_of(view.bound.begin(), view.bound.end(),
                  [](const Endpoint& endpoint) { return !IsLoopback(endpoint); });
  for (const Endpoint& endpoint : view.advertised) {
    if (IsWildcard(endpoint) || IsUnroutable(endpoint)) {
      notes.push_back({"BAD_ADVERTISE", NoteLevel::kRed,
                       absl::StrCat("the advertised address ", ToString(endpoint),
                                    " leads to no single machine; set gossip.advertise")});
    } else if (IsLoopback(endpoint) && (has_outside_contact || has_outside_listener)) {
      notes.push_back({"BAD_ADVERTISE", NoteLevel::kYellow,
                       absl::StrCat("the advertised address ", ToString(endpoint),
                                    " leads every other machine to itself; set gossip.advertise")});
    }
  }
  return notes;
}

}  // namespace sotto
