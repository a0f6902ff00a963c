// A cluster's keys in its database: every one of them and its state, who holds what, and the steps
// of a rotation (design K5, K6; docs/rotation.md).
//
//   PREPARED -> ACTIVE -> RETIRED -> REMOVED
//   opens       seals     opens      wiped, its id remembered
//
// Each step is one transaction that begins with the lock of the Systems row in use, so that two
// operators, two leaders and a raw UPDATE come one after the other. Invariant after each of them:
// exactly one key is ACTIVE, at most kKeysMax are not REMOVED, and the Systems row holds the ACTIVE
// key or, while somebody's raw UPDATE waits to be spread, that newer one. Every step can be run
// again; what is done already is OK. A removed key never returns.
// Units: times are milliseconds since 1970, 0 for "not yet". Threads: safe. Blocking on the
// database: never on a node's strand. Errors: those of sql.h and systems_rows.h, and
//   KEY_MISSING        NOT_FOUND            Systems has no row for this cluster
//   KEY_TABLE_EMPTY    NOT_FOUND            no row of this cluster yet: Adopt comes first
//   KEY_UNKNOWN        NOT_FOUND            no such generation
//   KEY_STATE          FAILED_PRECONDITION  its state does not allow the step
//   KEY_TABLE_MALFORMED  DATA_LOSS          a row that sotto has not written so
//   KEY_ROLLBACK       FAILED_PRECONDITION  the table is older than what this node has used
//   KEY_IN_USE         FAILED_PRECONDITION  the ACTIVE key, or one that members seal with already,
//                                           cannot be removed
//   KEY_NOT_SPREAD     FAILED_PRECONDITION  members that must hold it do not; it names them
//   KEY_STILL_NEEDED   FAILED_PRECONDITION  members seal with no newer key, as far as their records
//                                           say; it names them
//   KEY_RING_FULL      RESOURCE_EXHAUSTED   kKeysMax keys are not REMOVED
//   KEY_RETURNS        FAILED_PRECONDITION  a retired or removed key was written into the row
//   KEY_ID_COLLISION   ALREADY_EXISTS       another key of that id is there
//   STORE_MOVED        FAILED_PRECONDITION  the keys are changed in another store by now
//   ROW_CHANGED        ABORTED              the row holds a key that the table does not know yet
#ifndef SOTTO_STORE_KEY_TABLE_H_
#define SOTTO_STORE_KEY_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/keyring.h"
#include "store/cluster_key.h"
#include "store/database.h"
#include "store/key_rows.h"

namespace sotto {

class KeyTable {
 public:
  using Clock = std::function<int64_t()>;

  // `clock`: milliseconds since 1970; null: the system's.
  KeyTable(std::shared_ptr<Database> database, std::string cluster, Clock clock = nullptr);

  const std::string& cluster() const { return cluster_; }
  Database& database() { return *database_; }
  int64_t Now() const { return clock_(); }

  absl::StatusOr<KeyRows> Read();

  // Takes over what Systems holds as the first ACTIVE key, where the table has none.
  absl::Status Adopt(const KeyPolicy& policy, std::string_view actor);

  struct Prepared {
    uint64_t generation = 0;
    KeyId id;
    bool resumed = false;  // it was there before
  };
  struct PrepareParams {
    ClusterKeyRef key;  // null: 32 fresh random bytes
    bool automatic = false;
    std::string actor;
  };
  // Adds the next generation, or gives the one that is PREPARED already; a `key` of another id than
  // that one's is KEY_STATE.
  absl::StatusOr<Prepared> Prepare(const KeyPolicy& policy, const PrepareParams& params);

  struct ActivateParams {
    uint64_t generation = 0;
    std::vector<std::string> must_hold;  // members
    int64_t retire_after_ms = 0;         // of the key that was ACTIVE
    std::string actor;
    std::vector<std::string> without = {};  // living members that need not hold it: for the history
  };
  absl::Status Activate(const KeyPolicy& policy, const ActivateParams& params);

  struct RemoveParams {
    uint64_t generation = 0;
    std::vector<std::string> lock_out;  // members that do not count
    std::string actor;
  };
  // A PREPARED key is given up; a RETIRED one is wiped once nobody needs it.
  absl::Status Remove(const RemoveParams& params);

  // A raw UPDATE of the Systems row: whatever key it holds becomes PREPARED, and is activated by
  // itself; the ACTIVE one is OK. The codes of ParseClusterKey where it holds none; nothing has
  // changed then.
  absl::Status TakeExternal(const KeyPolicy& policy);

  // Writes the member's own row.
  absl::Status Acknowledge(const KeyMember& member);
  // The same by somebody else, who has a signed answer of it: never adds a row, since a member
  // without one does not share this store.
  absl::Status Record(std::span<const KeyMember> members);
  // It left or was forgotten: nobody waits for it any more. Whether it had a row.
  absl::StatusOr<bool> ForgetMember(std::string_view name);

  struct HeldKey {
    ClusterKeyRef key;
    KeyState state = KeyState::kActive;
  };
  // From what a node holds: for a table that was set back, what is missing of `held`, states
  // included; for a row whose value is no longer that key, its value; and for a Systems row that
  // is gone or no key, the ACTIVE one. A key that is REMOVED there stays so (KEY_RETURNS where the
  // node seals with it). `retire_after_ms`: of the RETIRED ones that are put in. KEY_STATE: nothing
  // is to be mended.
  absl::Status Restore(const KeyPolicy& policy, std::span<const HeldKey> held,
                       int64_t retire_after_ms, std::string_view actor);

  absl::StatusOr<std::vector<KeyEvent>> History(size_t limit);

 private:
  using Change = std::function<absl::Status(SqlTransaction&, KeyRows&)>;
  // Runs `change` under the row lock.
  absl::Status Locked(const Change& change);
  absl::Status MendValues(SqlTransaction& transaction, const std::vector<KeyRow*>& damaged,
                          std::span<const HeldKey> held, const KeyPolicy& policy,
                          std::string_view actor);
  absl::Status PutBack(SqlTransaction& transaction, KeyRows& rows, std::span<const HeldKey> held,
                       const KeyPolicy& policy, int64_t retire_after_ms, std::string_view actor);
  // Writes the history, and tells those who listen (PostgreSQL): after every change, and only then.
  absl::Status Note(SqlTransaction& transaction, std::string_view actor, std::string_view action,
                    const KeyRow& key, std::string_view detail);

  const std::shared_ptr<Database> database_;
  const std::string cluster_;
  const Clock clock_;
};

}  // namespace sotto

#endif  // SOTTO_STORE_KEY_TABLE_H_
