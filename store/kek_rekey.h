// Changing the key-encryption key (KEK) of what a store holds: which KEK each key of a cluster is
// wrapped under, wrapping all of them under the active one, and putting a backup back (design K6).
//
// Rekey and rollback are one transaction each, under the lock of the Systems row in use: killed at
// any moment, the store holds the old values or the new ones. Rows that are done are left as they
// are, so each can be run again. A key stays the same key: state, generation, id and secret are
// compared before its value is replaced. The Systems row stays the mirror of the ACTIVE key.
// Threads: as Database. Blocking on database and disk. Errors: those of sql.h and systems_rows.h,
//   KEK_NONE             FAILED_PRECONDITION  no key-encryption key is given
//   KEK_MISSING, KEK_MISMATCH, KEY_CORRUPT    a value does not open; the message names the row
//   KEY_PLAIN_REFUSED    FAILED_PRECONDITION  a plain value, and the policy accepts none
//   KEK_BACKUP_PLAIN     FAILED_PRECONDITION  a plain value would go into the backup
//   KEK_BACKUP_INVALID   DATA_LOSS            no backup, a damaged one, or another cluster's
//   STORE_MOVED, KEY_MISSING, KEY_TABLE_MALFORMED
//   codes of AtomicCreate and ReadSecretFile  for the backup
// and nothing has changed in the store.
#ifndef SOTTO_STORE_KEK_REKEY_H_
#define SOTTO_STORE_KEK_REKEY_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/kek.h"
#include "crypto/keyring.h"
#include "store/cluster_key.h"
#include "store/database.h"
#include "store/key_rows.h"
#include "store/sql.h"

namespace sotto {

enum class KekState : uint8_t {
  kActive,        // wraps
  kRekeyPending,  // retired, and values are wrapped under it
  kSafeToRemove,  // retired, and no value of this cluster is
  kLegacy,        // no KEK: plain values
  kMissing,       // values are wrapped under it, and it is not here
};
// "active", "retired, rekey pending", "retired, SAFE TO REMOVE", "legacy", "MISSING KEY".
std::string_view ToString(KekState state);

struct KekUsage {
  std::optional<KekId> id;  // nothing: plain values
  KekState state = KekState::kActive;
  std::vector<uint64_t> generations;  // of ClusterKeys, oldest first
  bool systems = false;               // the Systems row in use too
};

// A value that does not open, although its KEK is here; or that is no key in any form.
struct KekTrouble {
  std::string where;  // "generation 12", "the row ClusterEncryptionKey"
  absl::Status status;
};

struct KekSurvey {
  std::vector<KekUsage> keks;  // the active one, the retired ones, plain values, missing ones
  std::vector<KekTrouble> troubles;
};

// `rows` as they were read; REMOVED keys have no value and do not count. `policy.keks` may be null.
KekSurvey SurveyKeks(const KeyRows& rows, std::string_view cluster, const KeyPolicy& policy);

// Reads and surveys. KEY_MISSING, KEY_TABLE_MALFORMED.
absl::StatusOr<KekSurvey> SurveyStore(Database& database, std::string_view cluster,
                                      const KeyPolicy& policy, SqlTime deadline);

struct RekeyParams {
  std::string cluster;
  KeyPolicy policy;
  std::string actor;
  int64_t now_ms = 0;
  SqlTime deadline;
  bool dry_run = false;  // looks and opens, writes nothing
  // Where the values go before anything changes: a new file of mode 0600. Empty: nowhere. The file
  // of a call that was killed is accepted if it holds just these values.
  std::string backup;
  std::optional<uid_t> also_owner;  // of the backup, as in FileRules
  // Asked before the store is touched, with the KEKs that values will be wrapped under; what it
  // returns ends the call. May be null.
  std::function<absl::Status(const std::vector<KekId>&)> allow;
  // Told before each step: "lock", "open", "backup", "generation 12", "systems", "commit".
  std::function<void(std::string_view step)> progress;
};

struct RekeyReport {
  size_t changed = 0;  // values, the Systems row included
  size_t as_they_were = 0;
  bool backed_up = false;
  struct Skipped {
    std::string where;  // as in KekTrouble
    std::string why;
  };
  std::vector<Skipped> skipped;  // by RollBackStore
};

// Wraps every value under the active KEK.
absl::StatusOr<RekeyReport> RekeyStore(Database& database, const RekeyParams& params);

// Puts the values of `params.backup` back where row, generation and key are still the same. A
// removed key never returns; what was skipped is told.
absl::StatusOr<RekeyReport> RollBackStore(Database& database, const RekeyParams& params);

}  // namespace sotto

#endif  // SOTTO_STORE_KEK_REKEY_H_
