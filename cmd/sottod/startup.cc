#include "cmd/sottod/startup.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cmd/sottod/peer_keeper.h"
#include "crypto/certificate.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/endpoint_text.h"
#include "store/file_rules.h"
#include "store/open_store.h"

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
           "this node was taken out by `sotto leave`; contacts come from gossip.join or "
           "`sotto join` alone"}}});
  }
  return contacts;
}

int64_t UnixSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// The keys of the cache, the active one first.
absl::StatusOr<std::vector<ClusterKeyRef>> ReadCache(const Config& config, const KekRing& keks,
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
  std::vector<ClusterKeyRef> keys = {cache.active()};
  for (const CachedKey& cached : cache.keys) {
    if (cached.state != CachedState::kActive) keys.push_back(cached.key);
  }
  return keys;
}

// The node's keys where the table gave `table_status`; that status again where the cache does not
// serve, or the trouble is of a kind that a person has to mend.
absl::StatusOr<std::vector<ClusterKeyRef>> KeysWithoutTable(const Config& config,
                                                            const absl::Status& table_status,
                                                            const LogSink& log,
                                                            RunningParts* parts) {
  const bool is_away = ExitCodeOf(table_status) == kExitTryAgain;
  if (!is_away || !UsesKeyCache(config) || parts->policy.keks == nullptr) return table_status;
  absl::StatusOr<std::vector<ClusterKeyRef>> keys =
      ReadCache(config, *parts->policy.keks, parts->policy.generation_seen);
  if (!keys.ok()) {
    log({LogLevel::kWarn,
         "key_cache_unusable",
         {{"code", ErrorCode(keys.status())}, {"message", std::string(keys.status().message())}}});
    return table_status;
  }
  parts->table_status = table_status;
  parts->key = StoredKey{keys->front(), "", false, parts->policy.keks->active()->id()};
  log({LogLevel::kWarn,
       "started_from_key_cache",
       {{"code", ErrorCode(table_status)},
        {"message", std::string(table_status.message())},
        {"key", ToString(keys->front()->id())}}});
  return keys;
}

absl::StatusOr<StoredKey> KeyOfTable(const Config& config, RunningParts* parts) {
  SOTTO_ASSIGN_OR_RETURN(std::unique_ptr<SystemsTable> store,
                         OpenSystemsTable(config.store.url, StoreOptionsOf(config)));
  parts->store = std::move(store);
  return LoadOrCreateClusterKey(*parts->store, config.node.cluster, parts->policy);
}

// Fills in store, policy and key; the keys for the node, the sealing one first.
absl::StatusOr<std::vector<ClusterKeyRef>> OpenKeys(const Config& config, const LogSink& log,
                                                    RunningParts* parts) {
  SOTTO_ASSIGN_OR_RETURN(KekRingRef keks, parts->kek_loader.Load(KekSettingsOf(config)));
  parts->policy = KeyPolicyOf(config, std::move(keks));
  parts->policy.generation_seen = parts->state->key_generation();
  // On a server the other machines find the same key, whoever made it. Who has used a wrapped key
  // and finds none has lost it: a fresh one would be a second cluster.
  const bool is_first =
      IsServerStore(config) || (MayMintKey(config) && !KnowsOtherMachines(config, *parts->peers));
  parts->policy.may_create = parts->policy.generation_seen == 0 && is_first;
  absl::StatusOr<StoredKey> key = KeyOfTable(config, parts);
  if (!key.ok()) return KeysWithoutTable(config, key.status(), log, parts);
  parts->key = *std::move(key);
  if (parts->key.created) {
    log({LogLevel::kInfo,
         "key_created",
         {{"key", ToString(parts->key.key->id())},
          {"row", parts->key.row},
          {"store", parts->store->DisplayUrl()}}});
  }
  return std::vector<ClusterKeyRef>{parts->key.key};
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

absl::StatusOr<std::shared_ptr<SystemsTable>> ReopenStore(const Config& config) {
  StoreOptions options = StoreOptionsOf(config);
  options.create = false;
  SOTTO_ASSIGN_OR_RETURN(std::unique_ptr<SystemsTable> store,
                         OpenSystemsTable(config.store.url, options));
  return std::shared_ptr<SystemsTable>(std::move(store));
}

KeyCachePlace KeyCachePlaceOf(const Config& config) {
  return {config.node.state_dir, config.node.cluster, config.node.name};
}

bool UsesKeyCache(const Config& config) { return config.store.when_down == "cached"; }

TlsMaterial ToMaterial(const TlsFiles& files) {
  return {files.ca_pem, files.cert_pem, files.key_pem, files.crl_pem};
}

absl::StatusOr<RunningParts> StartParts(const Config& config, const LogSink& log) {
  RunningParts parts;
  SOTTO_ASSIGN_OR_RETURN(parts.tls_files, ReadTlsFiles(config));
  SOTTO_ASSIGN_OR_RETURN(parts.state, OpenState(config, log));
  parts.peers = OpenPeers(config, log);

  SOTTO_ASSIGN_OR_RETURN(const std::vector<ClusterKeyRef> keys, OpenKeys(config, log, &parts));
  if (parts.key.kek.has_value()) {
    const uint64_t generation = parts.key.key->generation();
    SOTTO_RETURN_IF_ERROR(parts.state->RaiseKeyGenerationTo(generation));
    parts.policy.generation_seen = parts.state->key_generation();
  }
  // Durable before anything is said under it (M2).
  SOTTO_ASSIGN_OR_RETURN(parts.boot_number, parts.state->Bump());

  NodeOptions options;
  options.cluster = config.node.cluster;
  options.name = config.node.name;
  options.bind = config.gossip.bind;
  options.advertise = config.gossip.advertise;
  options.join = ContactsOf(config, *parts.peers, parts.boot_number, log);
  options.tags = config.node.tags;
  options.protocol = config.gossip.protocol;
  options.tls = ToMaterial(parts.tls_files);
  options.keys = keys;
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
