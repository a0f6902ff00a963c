// The row of the Systems table that holds the cluster's key, and the key it stands for.
//
// `ClusterEncryptionKey:<cluster>` wins over `ClusterEncryptionKey`, so that several clusters can
// share one database. The value is strict base64 of 16, 24 or 32 bytes; nothing else is ever tried,
// cut to length or hashed into shape. Threads: no state; all calls block on the database.
#ifndef SOTTO_STORE_CLUSTER_KEY_H_
#define SOTTO_STORE_CLUSTER_KEY_H_

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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
};

struct StoredKey {
  ClusterKeyRef key;
  std::string row;       // the name of the row it came from
  bool created = false;  // by this call
};

// A row's value to a key.
//   KEY_EMPTY, KEY_TOO_LONG, KEY_BAD_BASE64, KEY_LOOKS_HEX, KEY_BAD_LENGTH, KEY_WEAK
//   KEK_MISSING (a wrapped key, and this version holds no key-encryption key)
//   KEY_UNSUPPORTED_VERSION (wrapped in a form that this version does not know)
absl::StatusOr<ClusterKeyRef> ParseClusterKey(std::string_view value, std::string_view cluster,
                                              const KeyPolicy& policy);

// A file's or standard input's text: as above, but one line end after the value is allowed.
absl::StatusOr<ClusterKeyRef> ParseClusterKeyText(std::string_view text, std::string_view cluster,
                                                  const KeyPolicy& policy);

// The key in the table. NOT_FOUND KEY_MISSING, the codes above, or those of SystemsTable.
absl::StatusOr<StoredKey> LoadClusterKey(SystemsTable& table, std::string_view cluster,
                                         const KeyPolicy& policy);

// The key in the table; where there is none and the policy allows it, 32 fresh random bytes that
// are written first. Processes that do this at the same instant end with one key.
absl::StatusOr<StoredKey> LoadOrCreateClusterKey(SystemsTable& table, std::string_view cluster,
                                                 const KeyPolicy& policy);

// Writes `key` into the row that is in use, or into `ClusterEncryptionKey` where there is none.
// The same key again is OK. ALREADY_EXISTS KEY_EXISTS: another key is there and `replace` is false.
// ABORTED ROW_CHANGED: somebody wrote at the same moment.
absl::StatusOr<StoredKey> ImportClusterKey(SystemsTable& table, const ClusterKeyRef& key,
                                           const KeyPolicy& policy, bool replace);

// 32 random bytes as base64, for `sotto keys generate`. The caller wipes it.
absl::StatusOr<std::string> GenerateKeyText(size_t key_bytes = 32);

// Whether reaching `contact` ("host:port") may leave this machine: it is neither loopback, nor the
// host of one of `bind`, nor an address of a local interface. Names other than localhost are not
// resolved and count as outside.
bool IsOutsideThisMachine(std::string_view contact, std::span<const std::string> bind);

}  // namespace sotto

#endif  // SOTTO_STORE_CLUSTER_KEY_H_
