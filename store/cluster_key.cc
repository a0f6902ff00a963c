#include "store/cluster_key.h"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "crypto/base64.h"
#include "crypto/envelope.h"
#include "crypto/secret_bytes.h"
#include "crypto/secure_random.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/endpoint_text.h"
#include "store/file_rules.h"

namespace sotto {
namespace {

constexpr size_t kMintedKeyBytes = 32;
constexpr uint64_t kFirstGeneration = 1;

bool IsMissingRow(const absl::Status& status) { return ErrorCode(status) == "ROW_MISSING"; }

struct RowValue {
  std::string row;
  std::string value;
};

// The row that counts for this cluster.
absl::StatusOr<RowValue> ReadRow(SystemsTable& table, std::string_view cluster) {
  const std::string own_row = ClusterKeyRowOf(cluster);
  for (const std::string& row : {own_row, std::string(kClusterKeyRow)}) {
    absl::StatusOr<std::string> value = table.Get(row);
    if (value.ok()) return RowValue{row, *std::move(value)};
    if (!IsMissingRow(value.status())) return value.status();
  }
  return CodedError(absl::StatusCode::kNotFound, "KEY_MISSING",
                    absl::StrCat(table.DisplayUrl(), ": Systems has neither a row ", own_row,
                                 " nor ", std::string(kClusterKeyRow),
                                 "; copy the cluster's key: sotto keys import --from FILE"));
}

absl::StatusOr<StoredKey> KeyOfRow(SystemsTable& table, RowValue row, std::string_view cluster,
                                   const KeyPolicy& policy) {
  absl::StatusOr<ClusterKeyRef> key = ParseClusterKey(row.value, cluster, policy);
  const std::optional<KekId> kek = WrappingKekOf(row.value);
  WipeText(&row.value);
  if (!key.ok()) {
    return WithContext(key.status(), absl::StrCat(table.DisplayUrl(), ", row ", row.row));
  }
  return StoredKey{*std::move(key), std::move(row.row), false, kek};
}

std::optional<KekId> WrappingKek(const KeyPolicy& policy) {
  return policy.keks == nullptr ? std::nullopt : std::optional(policy.keks->active()->id());
}

absl::StatusOr<ClusterKeyRef> ParsePlain(std::string_view value, std::string_view cluster,
                                         const KeyPolicy& policy) {
  SOTTO_ASSIGN_OR_RETURN(SecretBytes bytes,
                         DecodeKeyBase64(value, {.allow_hex_looking = policy.allow_hex_looking}));
  return ClusterKey::Create(std::move(bytes), cluster, kFirstGeneration, policy.allow_weak);
}

absl::StatusOr<ClusterKeyRef> ParseWrapped(std::string_view value, std::string_view cluster,
                                           const KeyPolicy& policy) {
  SOTTO_ASSIGN_OR_RETURN(ClusterKeyRef key, UnwrapKey(value, cluster, policy.keks.get(),
                                                      {.allow_weak = policy.allow_weak}));
  if (key->generation() >= policy.generation_seen) return key;
  return CodedError(
      absl::StatusCode::kFailedPrecondition, "KEY_ROLLBACK",
      absl::StrCat("the key ", ToString(key->id()), " is of generation ", key->generation(),
                   ", and this node has used generation ", policy.generation_seen,
                   ": an old backup was restored, or an old value was put back"));
}

// The key of a row whatever the policy says of it; null if it does not open.
ClusterKeyRef HeldKey(std::string_view value, std::string_view cluster, const KeyPolicy& policy) {
  const KeyPolicy any{
      .allow_weak = true, .allow_hex_looking = true, .keks = policy.keks, .accept_plain = true};
  const absl::StatusOr<ClusterKeyRef> held = ParseClusterKey(value, cluster, any);
  return held.ok() ? *held : nullptr;
}

// `key` with the generation that it has to have beside what the row held: its own where it is the
// same key, the next one where it replaces another. A lower one would be a rollback to the nodes.
absl::StatusOr<ClusterKeyRef> WithGeneration(const ClusterKeyRef& key, const ClusterKeyRef& held) {
  if (held == nullptr) return key;
  const bool same = held->secret() == key->secret();
  const uint64_t generation =
      std::max(key->generation(), held->generation() + (same ? uint64_t{0} : uint64_t{1}));
  return ClusterKey::Create(key->secret().Clone(), key->cluster(), generation, /*allow_weak=*/true);
}

// "10.0.0.1" of "10.0.0.1:7950", "::1" of "[::1]:7950".
std::string HostOf(std::string_view address) {
  std::string_view host = address;
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') - 1);
  } else if (std::count(host.begin(), host.end(), ':') == 1) {
    host = host.substr(0, host.find(':'));
  }
  return absl::AsciiStrToLower(absl::string_view(host.data(), host.size()));
}

bool IsLocalInterface(const Endpoint& ip) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return false;
  const auto cleanup = absl::MakeCleanup([list] { freeifaddrs(list); });
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    if (entry->ifa_addr->sa_family == AF_INET) {
      sockaddr_in v4{};
      std::memcpy(&v4, entry->ifa_addr, sizeof v4);
      if (IsV4(ip) && std::memcmp(&v4.sin_addr, ip.ip.data() + 12, 4) == 0) return true;
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      sockaddr_in6 v6{};
      std::memcpy(&v6, entry->ifa_addr, sizeof v6);
      if (std::memcmp(&v6.sin6_addr, ip.ip.data(), ip.ip.size()) == 0) return true;
    }
  }
  return false;
}

}  // namespace

std::optional<KekId> WrappingKekOf(std::string_view value) {
  if (!IsWrappedKey(value)) return std::nullopt;
  const absl::StatusOr<WrappedKey> wrapped = ParseWrappedKey(value);
  return wrapped.ok() ? std::optional(wrapped->kek) : std::nullopt;
}

absl::StatusOr<std::string> KeyRowText(const ClusterKey& key, const KeyPolicy& policy) {
  if (policy.keks != nullptr) return WrapKey(key, *policy.keks->active());
  return EncodeBase64(key.secret().view());
}

absl::StatusOr<ClusterKeyRef> DrawClusterKey(std::string_view cluster, uint64_t generation) {
  SecretBytes bytes(kMintedKeyBytes);
  SOTTO_RETURN_IF_ERROR(FillRandom(bytes.mutable_view()));
  return ClusterKey::Create(std::move(bytes), cluster, generation);
}

std::string ClusterKeyRowOf(std::string_view cluster) {
  return absl::StrCat(std::string(kClusterKeyRow), ":", std::string(cluster));
}

absl::StatusOr<ClusterKeyRef> ParseClusterKey(std::string_view value, std::string_view cluster,
                                              const KeyPolicy& policy) {
  if (IsWrappedKey(value)) return ParseWrapped(value, cluster, policy);
  SOTTO_ASSIGN_OR_RETURN(ClusterKeyRef key, ParsePlain(value, cluster, policy));
  if (policy.keks == nullptr || policy.accept_plain) return key;
  return CodedError(absl::StatusCode::kFailedPrecondition, "KEY_PLAIN_REFUSED",
                    absl::StrCat("the key ", ToString(key->id()),
                                 " stands there unwrapped, and this node has a key-encryption key: "
                                 "whoever can write the database must not choose the key"));
}

absl::StatusOr<ClusterKeyRef> ParseClusterKeyText(std::string_view text, std::string_view cluster,
                                                  const KeyPolicy& policy) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  KeyPolicy by_hand = policy;
  by_hand.accept_plain = true;
  return ParseClusterKey(text, cluster, by_hand);
}

absl::StatusOr<StoredKey> LoadClusterKey(SystemsTable& table, std::string_view cluster,
                                         const KeyPolicy& policy) {
  SOTTO_ASSIGN_OR_RETURN(RowValue row, ReadRow(table, cluster));
  return KeyOfRow(table, std::move(row), cluster, policy);
}

absl::StatusOr<StoredKey> LoadOrCreateClusterKey(SystemsTable& table, std::string_view cluster,
                                                 const KeyPolicy& policy) {
  absl::StatusOr<StoredKey> found = LoadClusterKey(table, cluster, policy);
  if (!policy.may_create || ErrorCode(found.status()) != "KEY_MISSING") return found;
  SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef drawn, DrawClusterKey(cluster, kFirstGeneration));
  SOTTO_ASSIGN_OR_RETURN(std::string minted, KeyRowText(*drawn, policy));
  absl::StatusOr<std::string> held = table.InsertIfAbsent(kClusterKeyRow, minted);
  const bool created = held.ok() && *held == minted;
  WipeText(&minted);
  if (!held.ok()) return held.status();
  // What the table holds counts, not what we drew: another process may have been first.
  SOTTO_ASSIGN_OR_RETURN(
      StoredKey stored,
      KeyOfRow(table, {std::string(kClusterKeyRow), *std::move(held)}, cluster, policy));
  stored.created = created;
  return stored;
}

absl::StatusOr<StoredKey> ImportClusterKey(SystemsTable& table, const ClusterKeyRef& key,
                                           const KeyPolicy& policy, bool replace) {
  const std::optional<KekId> kek = WrappingKek(policy);
  absl::StatusOr<RowValue> present = ReadRow(table, key->cluster());
  if (!present.ok() && ErrorCode(present.status()) != "KEY_MISSING") return present.status();
  const std::string row = present.ok() ? present->row : std::string(kClusterKeyRow);
  std::optional<std::string> before;
  ClusterKeyRef held;
  if (present.ok()) {
    before = std::move(present->value);
    held = HeldKey(*before, key->cluster(), policy);
  }
  const auto wipe_before = absl::MakeCleanup([&before] {
    if (before.has_value()) WipeText(&*before);
  });
  const bool same = held != nullptr && held->secret() == key->secret();
  if (same && WrappingKekOf(*before) == kek) return StoredKey{held, row, false, kek};
  if (before.has_value() && !same && !replace) {
    return CodedError(absl::StatusCode::kAlreadyExists, "KEY_EXISTS",
                      absl::StrCat(table.DisplayUrl(), ", row ", row, " holds ",
                                   held != nullptr ? absl::StrCat("the key ", ToString(held->id()))
                                                   : "something else",
                                   " already; the key to import is ", ToString(key->id())));
  }
  SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef written, WithGeneration(key, held));
  SOTTO_ASSIGN_OR_RETURN(std::string wanted, KeyRowText(*written, policy));
  const auto wipe_wanted = absl::MakeCleanup([&wanted] { WipeText(&wanted); });
  SOTTO_RETURN_IF_ERROR(table.Replace(row, before, wanted));
  return StoredKey{written, row, true, kek};
}

absl::StatusOr<std::string> GenerateKeyText(size_t key_bytes) {
  if (key_bytes != 16 && key_bytes != 24 && key_bytes != 32) {
    return CodedError(absl::StatusCode::kInvalidArgument, "KEY_BAD_LENGTH",
                      absl::StrCat("a key of ", key_bytes, " bytes, want 16, 24 or 32"));
  }
  SecretBytes bytes(key_bytes);
  SOTTO_RETURN_IF_ERROR(FillRandom(bytes.mutable_view()));
  return EncodeBase64(bytes.view());
}

bool IsOutsideThisMachine(std::string_view contact, std::span<const std::string> bind) {
  const std::string host = HostOf(contact);
  if (host == "localhost" || host.ends_with(".localhost")) return false;
  for (const std::string& own : bind) {
    if (HostOf(own) == host) return false;
  }
  const std::optional<Endpoint> ip = ParseIp(host);
  return !ip.has_value() || !(IsLoopback(*ip) || IsLocalInterface(*ip));
}

}  // namespace sotto
