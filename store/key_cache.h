// The cluster's keys as a node last had them, sealed in its state folder: a start needs no database
// (`store.when_down = "cached"`).
//
// One small text file, key.cache, replaced whole: a head in clear (cluster, node, KEK id), the
// sealed part, a checksum. The sealed part is a box of crypto/kek_box.h under the active KEK, bound
// to cluster, node and KEK id; it holds when it was written, and each key with its generation and
// state, wrapped once more as it would stand in a row. Written only where a KEK is configured: with
// plain keys, a copy beside the database would be the key itself, in one more file that nobody
// thinks of, and would save a start only where the database lies on another machine.
// Threads: no state; calls block on the disk.  Errors: a file that is damaged, foreign or too old
// is told by its code and used for nothing; it is never a reason to end.
#ifndef SOTTO_STORE_KEY_CACHE_H_
#define SOTTO_STORE_KEY_CACHE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/kek.h"
#include "crypto/keyring.h"
#include "store/key_rows.h"

namespace sotto {

// After that long, a key may have been removed everywhere else.
inline constexpr int64_t kKeyCacheAgeMaxSeconds = 7 * 86'400;

struct CachedKey {
  ClusterKeyRef key;
  KeyState state = KeyState::kActive;  // not kRemoved
};

struct KeyCache {
  int64_t written_unix_s = 0;
  std::vector<CachedKey> keys;  // 1 to Keyring::kKeysMax, exactly one of them kActive
  const ClusterKeyRef& active() const;
};

// Whose cache it is, and where.
struct KeyCachePlace {
  std::string folder;  // the node's state folder
  std::string cluster;
  std::string node;
  std::string path() const;
};

// Replaces the file, mode 0600. KEY_CACHE_UNWRITABLE, or the disk's codes of AtomicWrite in its
// message; INVALID_ARGUMENT for keys that are no ring.
absl::Status WriteKeyCache(const KeyCachePlace& place, const KekRing& keks, const KeyCache& cache);

// The keys, or nothing of them.
//   KEY_CACHE_MISSING     NOT_FOUND            there is none
//   codes of ReadSecretFile                    its mode, owner, folder
//   KEY_CACHE_CORRUPT     DATA_LOSS            checksum, form or seal
//   KEY_CACHE_OTHER_NODE  FAILED_PRECONDITION  of another node or cluster
//   KEY_CACHE_TOO_OLD     FAILED_PRECONDITION  older than kKeyCacheAgeMaxSeconds, or written later
//                                              than an hour from now: the clock cannot tell its age
//   KEK_MISSING, KEK_MISMATCH                  sealed under a KEK that this node does not have
absl::StatusOr<KeyCache> ReadKeyCache(const KeyCachePlace& place, const KekRing& keks,
                                      int64_t now_unix_s);

}  // namespace sotto

#endif  // SOTTO_STORE_KEY_CACHE_H_
