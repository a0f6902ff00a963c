// The row of the Systems table that holds the cluster's key, and the key it stands for.
//
// `ClusterEncryptionKey:<cluster>` wins over `ClusterEncryptionKey`, so that several clusters can
// share one database. The value is strict base64 of 16, 24 or 32 bytes, or that key wrapped under a
// key-encryption key (crypto/envelope.h); nothing else is ever tried, cut to length or hashed into
// shape. A node that has a KEK takes no plain value unless it is told to, since whoever can write
// the database must not choose the key (design K6); what it writes is wrapped. Threads: no state;
// all calls block on the database.
#ifndef SOTTO_STORE_CLUSTER_KEY_H_
#define SOTTO_STORE_CLUSTER_KEY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/kek.h"
#include "crypto/keyring.h"
#include "store/systems_table.h"

namespace sotto {

inline constexpr std::string_view kClusterKeyRow = "ClusterEncryptionKey";

// "ClusterEncryptionKey:edge-prod".
std::string ClusterKeyRowOf(std::string_view cluster);

struct KeyPolicy {
  bool may_create = false;         // mint a key where no row is (design K4; the caller decides)
  bool allow_weak = false;         // encryption.allow_weak_key
  bool allow_hex_looking = false;  // encryption.allow_hex_looking_key
  KekRingRef keks;                 // null: no KEK is configured
  bool accept_plain = false;       // encryption.accept_plain_update; means nothing without a KEK
  // The highest generation that this node has used (NodeState): a wrapped key below it is refused.
  uint64_t generation_seen = 0;
};

struct StoredKey {
  ClusterKeyRef key;
  std::string row;           // the name of the row it came from
  bool created = false;      // by this call
  std::optional<KekId> kek;  // of the KEK that wraps the row; nothing: the row is plain
};

// A row's value to a key. A plain one is of generation 1.
//   KEY_EMPTY, KEY_TOO_LONG, KEY_BAD_BASE64, KEY_LOOKS_HEX, KEY_BAD_LENGTH, KEY_WEAK
//   KEY_PLAIN_REFUSED FAILED_PRECONDITION: a plain key, and this node has a KEK
//   KEK_MISSING, KEK_MISMATCH, KEY_CORRUPT, KEY_UNSUPPORTED_VERSION: as UnwrapKey
//   KEY_ROLLBACK FAILED_PRECONDITION: wrapped, and of a generation below `generation_seen`
absl::StatusOr<ClusterKeyRef> ParseClusterKey(std::string_view value, std::string_view cluster,
                                              const KeyPolicy& policy);

// A file's or standard input's text: as above, but one line end after the value is allowed, and so
// is a plain key: the operator brings it by hand.
absl::StatusOr<ClusterKeyRef> ParseClusterKeyText(std::string_view text, std::string_view cluster,
                                                  const KeyPolicy& policy);

// The key in the table. NOT_FOUND KEY_MISSING, the codes above, or those of SystemsTable.
absl::StatusOr<StoredKey> LoadClusterKey(SystemsTable& table, std::string_view cluster,
                                         const KeyPolicy& policy);

// The key in the table; where there is none and the policy allows it, 32 fresh random bytes that
// are written first, wrapped where there is a KEK. Processes that do this at the same instant end
// with one key.
absl::StatusOr<StoredKey> LoadOrCreateClusterKey(SystemsTable& table, std::string_view cluster,
                                                 const KeyPolicy& policy);

// Writes `key` into the row that is in use, or into `ClusterEncryptionKey` where there is none;
// wrapped under the active KEK where there is one. The same key again is OK, and is rewritten only
// where the row holds it plain, or under another KEK; its generation stays, and another key is the
// next one. ALREADY_EXISTS KEY_EXISTS: another key is there and `replace` is false. ABORTED
// ROW_CHANGED: somebody wrote at the same moment.
absl::StatusOr<StoredKey> ImportClusterKey(SystemsTable& table, const ClusterKeyRef& key,
                                           const KeyPolicy& policy, bool replace);

// 32 fresh random bytes as a key of that generation.
absl::StatusOr<ClusterKeyRef> DrawClusterKey(std::string_view cluster, uint64_t generation);

// The key as it is to stand in a row: wrapped under the active KEK where there is one. The caller
// wipes it.
absl::StatusOr<std::string> KeyRowText(const ClusterKey& key, const KeyPolicy& policy);

// The KEK that wraps a row's value, by what it says of itself; nothing: it is plain, or no value.
std::optional<KekId> WrappingKekOf(std::string_view value);

// 32 random bytes as base64, for `sotto keys generate`. The caller wipes it.
absl::StatusOr<std::string> GenerateKeyText(size_t key_bytes = 32);

// Whether reaching `contact` ("host:port") may leave this machine: it is neither loopback, nor the
// host of one of `bind`, nor an address of a local interface. Names other than localhost are not
// resolved and count as outside.
bool IsOutsideThisMachine(std::string_view contact, std::span<const std::string> bind);

}  // namespace sotto

#endif  // SOTTO_STORE_CLUSTER_KEY_H_
