// The rows of a cluster's keys in a transaction: ClusterKeys, ClusterMembers, ClusterKeyHistory,
// and the Systems row in use. What may be done with them is key_table.h's business.
//
// Rows that are not as we write them are never followed: an unreadable one is left out and
// reported. Threads: as the transaction. Errors: as sql.h and systems_rows.h.
#ifndef SOTTO_STORE_KEY_ROWS_H_
#define SOTTO_STORE_KEY_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/keyring.h"
#include "store/cluster_key.h"
#include "store/database.h"

namespace sotto {

enum class KeyState : uint8_t { kPrepared, kActive, kRetired, kRemoved };
// "PREPARED", as it stands in the table.
std::string_view ToString(KeyState state);
std::optional<KeyState> ParseKeyState(std::string_view text);

// One row of ClusterKeys.
struct KeyRow {
  uint64_t generation = 0;
  KeyId id;
  KeyState state = KeyState::kPrepared;
  std::string value;  // as in Systems: base64, or wrapped; empty once REMOVED
  int64_t created_ms = 0, activated_ms = 0, retire_at_ms = 0;
  std::string actor;       // who made it
  bool automatic = false;  // activated by the leader as soon as all living members hold it
};

// One row of ClusterMembers: what a member last said of itself.
struct KeyMember {
  std::string name;
  std::optional<uint64_t> held;     // the newest generation that it can open
  std::optional<uint64_t> sealing;  // the generation that it seals with
  std::string trouble;              // the code that keeps it from a newer key; or empty
  int64_t last_seen_ms = 0;
};

// All of one moment. Its values are overwritten when it goes.
struct KeyRows {
  std::string row;                 // the name of the Systems row in use
  std::string value;               // what it holds; empty where `row_status` is not OK
  absl::Status row_status;         // KEY_MISSING, KEY_ROW_TYPE, …
  std::vector<KeyRow> keys;        // oldest first
  std::vector<KeyMember> members;  // by name
  std::string moved_to;            // the store that took over; empty: none
  std::string malformed;           // a row of ours that is unreadable, and left out; or empty

  KeyRows() = default;
  ~KeyRows();
  KeyRows(KeyRows&&) = default;
  KeyRows& operator=(KeyRows&& other) noexcept;
  KeyRows(const KeyRows&) = delete;
  KeyRows& operator=(const KeyRows&) = delete;

  const KeyRow* active() const;
  // The newest PREPARED one that is newer than the ACTIVE one; null if none.
  const KeyRow* next() const;
  const KeyRow* Find(uint64_t generation) const;
  const KeyRow* Find(KeyId id) const;      // removed ones too
  const KeyRow* FindLive(KeyId id) const;  // not REMOVED
  const KeyMember* FindMember(std::string_view name) const;
  uint64_t newest() const;  // the highest generation, removed ones too; 0: none
};

// Who does not seal with a key newer than `generation`, as far as its record says; by name.
std::vector<std::string> NeededBy(const KeyRows& rows, uint64_t generation);

// STORE_MOVED: the keys are changed in another store by now.
absl::Status CheckNotMoved(const KeyRows& rows);
// KEY_TABLE_MALFORMED.
absl::Status CheckWellFormed(const KeyRows& rows);

// KEY_RING_FULL: Keyring::kKeysMax keys are not REMOVED; the message says who is in the way.
absl::Status CheckRoom(const KeyRows& rows);

// Whether the table was set back: its ACTIVE key is older than `generation_seen`, and that one is
// not PREPARED either (a member may seal a moment before the table says so).
bool IsBehind(const KeyRows& rows, uint64_t generation_seen);
absl::Status Rollback(const KeyRows& rows, uint64_t generation_seen);

struct KeyEvent {
  int64_t at_ms = 0;
  std::string actor, action, detail;
  uint64_t generation = 0;
  KeyId id;
};

// The channel of NOTIFY (PostgreSQL) on which changes are told; its payload is the cluster's name.
inline constexpr std::string_view kKeysChannel = "sotto_keys";

// All rows of the cluster, locked or not. Without `tables`, for a store that no node has used yet:
// what Systems holds.
absl::StatusOr<KeyRows> ReadKeyRows(SqlTransaction& transaction, std::string_view cluster,
                                    bool lock, bool tables = true);
// Tells those who listen once the transaction is committed. Nothing on databases without NOTIFY.
absl::Status NotifyKeys(SqlTransaction& transaction, std::string_view cluster);
absl::Status InsertKeyRow(SqlTransaction& transaction, std::string_view cluster, const KeyRow& row);
absl::Status WriteKeyMember(SqlTransaction& transaction, std::string_view cluster,
                            const KeyMember& member);
absl::Status InsertKeyEvent(SqlTransaction& transaction, std::string_view cluster,
                            const KeyEvent& event);
absl::StatusOr<std::vector<KeyEvent>> ReadKeyEvents(SqlTransaction& transaction,
                                                    std::string_view cluster, size_t limit);
absl::Status SetKeyValue(SqlTransaction& transaction, std::string_view cluster, uint64_t generation,
                         std::string_view value);

// The key of a row, checked against the row's own words: generation and id.
//   the codes of ParseClusterKey but KEY_ROLLBACK, and KEY_CORRUPT where row and value disagree. A
//   plain value is KEY_PLAIN_REFUSED here as in Systems: who can write the database must not choose
//   the key through another table (design K6).
absl::StatusOr<ClusterKeyRef> KeyOfRow(const KeyRow& row, std::string_view cluster,
                                       const KeyPolicy& policy);

// What the Systems row holds, beside what the table says.
struct SystemsKey {
  ClusterKeyRef key;              // new to the table; null where it is known
  const KeyRow* known = nullptr;  // the ACTIVE or a PREPARED one
};
// `rows.row_status` is OK. The codes of ParseClusterKey but KEY_ROLLBACK; KEY_RETURNS: a retired or
// removed key; KEY_ID_COLLISION: another key with the id of a known one.
absl::StatusOr<SystemsKey> KeyInSystems(const KeyRows& rows, std::string_view cluster,
                                        const KeyPolicy& policy);

}  // namespace sotto

#endif  // SOTTO_STORE_KEY_ROWS_H_
