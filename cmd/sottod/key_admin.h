// What the admin API asks of the cluster's keys: the table's rows, who holds and seals with what,
// and the steps of a rotation. One step a call: whoever drives a rotation can end at any moment,
// and whoever comes next reads from Look() where it stands.
//
// Threads: every call from any thread; blocking on the database, and some on answers of members.
// Invariant: nothing in here is a secret; keys go by generation and id.
#ifndef SOTTO_CMD_SOTTOD_KEY_ADMIN_H_
#define SOTTO_CMD_SOTTOD_KEY_ADMIN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/keyring.h"
#include "gossip/member.h"

namespace sotto {

// One row of ClusterKeys. Times are milliseconds since 1970; 0: not yet.
struct KeyRowView {
  uint64_t generation = 0;
  KeyId id;
  std::string state;                       // "prepared", "active", "retired", "removed"
  std::optional<AeadAlgorithm> algorithm;  // nothing where this node does not hold it
  std::string kek;  // the id of the KEK that wraps it in the table; empty: it lies there plain
  bool held_here = false;  // this node can open frames with it
  bool seals_here = false;
  std::optional<uint64_t> frames_sealed;  // by this node, under the key that it seals with
  int64_t created_ms = 0, activated_ms = 0, retire_at_ms = 0;
  std::string actor;       // "uid 0", "schedule", "external", …
  bool automatic = false;  // the leader activates it once all living members hold it
};

// One known member: of the table, of gossip, or both.
struct KeyHolderView {
  std::string name;
  std::optional<MemberState> state;  // nothing: gossip does not know it
  std::optional<uint64_t> held;  // the newest generation that it can open; nothing: none on record
  std::optional<uint64_t> sealing;
  std::string trouble;                // the code that keeps it from taking a newer key; or empty
  std::optional<double> seen_s_ago;   // since its record was written, or it answered
  bool in_store = false;              // it has a row in this store
  bool answered = false;              // the record is what it has just said, not the row
  std::optional<uint64_t> key_drops;  // frames it has dropped for a key reason since its start
  std::vector<std::string> keks;      // ids of the KEKs that it has loaded; if it answered
};

struct KeyOverview {
  std::string cluster;
  std::string store_url;               // without a password
  absl::Status store;                  // of the last look at it
  std::vector<KeyRowView> keys;        // newest first; removed ones only where they were asked for
  std::vector<KeyHolderView> members;  // by name
  std::string leader;                  // who keeps the schedule; may be empty
  int64_t next_rotation_ms = 0;        // 0: none is scheduled
  int64_t retire_after_s = 0;          // the setting: how long an old key stays readable
  absl::Status blocked;  // why the leader does not go on by itself: KEY_RING_FULL, …
};

struct PrepareOrder {
  std::string actor;
};
struct PrepareOutcome {
  uint64_t generation = 0;
  KeyId id;
  uint64_t active_generation = 0;
  KeyId active_id;
  std::string kek;       // that wraps it; or empty
  bool resumed = false;  // it was prepared before
};

struct ActivateOrder {
  uint64_t generation = 0;
  std::vector<std::string> skip;          // living members that need not hold it
  std::optional<int64_t> retire_after_s;  // of the old key; nothing: the setting
  std::string actor;
};
struct RemoveOrder {
  uint64_t generation = 0;
  std::vector<std::string> lock_out;  // members that may lose it
  std::string actor;
};

struct KeyHistoryRow {
  int64_t at_ms = 0;
  std::string actor, action, detail;
  uint64_t generation = 0;
  KeyId id;
};

// One check of `sotto keys verify`.
struct KeyCheck {
  std::string name;     // "row and table agree"
  absl::Status status;  // OK, or what is wrong
  bool repaired = false;
};

class KeyAdmin {
 public:
  virtual ~KeyAdmin() = default;

  // With `ask`, living members whose record is not fresh are asked first (at most 2 s); `removed`:
  // rows of removed keys, too. Without the database: what this node holds, and `store` says why.
  virtual absl::StatusOr<KeyOverview> Keys(bool ask, bool removed) = 0;
  // A new key in the table, or the one that waits there already. STORE_NOT_SHARED, KEY_RING_FULL,
  // KEY_ROLLBACK, STORE_MOVED, SCHEMA_NOT_ALLOWED, DB_*.
  virtual absl::StatusOr<PrepareOutcome> PrepareKey(const PrepareOrder& order) = 0;
  // Also of a key that is active already: OK. KEY_UNKNOWN, KEY_NOT_SPREAD (which living members
  // lack it), KEY_STATE (it is retired or removed), STORE_NOT_SHARED, DB_*.
  virtual absl::Status ActivateKey(const ActivateOrder& order) = 0;
  // Also of a key that is removed already: OK. KEY_UNKNOWN, KEY_IN_USE (it is active),
  // KEY_STILL_NEEDED (by whom), DB_*.
  virtual absl::Status RemoveKey(const RemoveOrder& order) = 0;
  // Newest first.
  virtual absl::StatusOr<std::vector<KeyHistoryRow>> KeyHistory(uint64_t limit) = 0;
  // Compares table, row and what this node holds. With `repair`, a table that was set back to an
  // old backup gets back what this node holds.
  virtual absl::StatusOr<std::vector<KeyCheck>> VerifyKeys(bool repair,
                                                           const std::string& actor) = 0;
};

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_KEY_ADMIN_H_
