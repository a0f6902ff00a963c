#include "store/key_table.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "crypto/envelope.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"
#include "store/systems_rows.h"
#include "store/unix_time.h"

namespace sotto {
namespace {

using absl::StatusCode;

// How long a frame may be under way.
constexpr int64_t kFlightMs = 2'000;
// Clocks of members may differ by this much.
constexpr int64_t kSkewMs = 60'000;

absl::Status Forbidden(std::string_view code, std::string message) {
  return CodedError(StatusCode::kFailedPrecondition, code, message);
}

std::string Name(const KeyRow& key) {
  return absl::StrCat("generation ", key.generation, " (", ToString(key.id), ")");
}

absl::Status CheckUsable(const KeyRows& rows) {
  SOTTO_RETURN_IF_ERROR(CheckNotMoved(rows));
  SOTTO_RETURN_IF_ERROR(CheckWellFormed(rows));
  if (!rows.row_status.ok()) return rows.row_status;
  if (rows.keys.empty()) {
    return CodedError(StatusCode::kNotFound, "KEY_TABLE_EMPTY",
                      "ClusterKeys has no row of this cluster yet");
  }
  if (rows.active() != nullptr) return absl::OkStatus();
  return Forbidden("KEY_STATE", "ClusterKeys has not exactly one ACTIVE key of this cluster");
}

absl::Status SetState(SqlTransaction& transaction, std::string_view cluster, KeyRow* key,
                      KeyState state) {
  key->state = state;
  if (state == KeyState::kRemoved) WipeText(&key->value);
  // The whole row again: one statement for every step.
  return InsertKeyRow(transaction, cluster, *key);
}

KeyRow* FindRow(KeyRows& rows, uint64_t generation) {
  for (KeyRow& key : rows.keys) {
    if (key.generation == generation) return &key;
  }
  return nullptr;
}

absl::Status UnknownKey(uint64_t generation) {
  return CodedError(StatusCode::kNotFound, "KEY_UNKNOWN",
                    absl::StrCat("ClusterKeys has no generation ", generation));
}

// A key beside all that the table knows.
absl::StatusOr<ClusterKeyRef> DrawBeside(const KeyRows& rows, std::string_view cluster) {
  while (true) {
    absl::StatusOr<ClusterKeyRef> key = DrawClusterKey(cluster, rows.newest() + 1);
    if (!key.ok() && ErrorCode(key.status()) != "KEY_WEAK") return key.status();
    // Chance, about never; drawing again costs nothing.
    if (key.ok() && rows.Find((*key)->id()) == nullptr) return key;
  }
}

// A member may seal with a PREPARED key already: without it, its frames are lost.
absl::Status CheckUnused(const KeyRows& rows, const KeyRow& key) {
  std::vector<std::string> users;
  for (const KeyMember& member : rows.members) {
    if (member.sealing == key.generation) users.push_back(member.name);
  }
  if (users.empty()) return absl::OkStatus();
  return Forbidden("KEY_IN_USE",
                   absl::StrCat(absl::StrJoin(users, ", "), users.size() == 1 ? " seals" : " seal",
                                " with ", Name(key), " already; activate it"));
}

absl::StatusOr<ClusterKeyRef> WithGeneration(const ClusterKeyRef& key, uint64_t generation) {
  if (key->generation() == generation) return key;
  return ClusterKey::Create(key->secret().Clone(), key->cluster(), generation, true);
}

absl::Status CheckBehind(const KeyRows& rows, const KeyPolicy& policy) {
  if (!IsBehind(rows, policy.generation_seen)) return absl::OkStatus();
  return Rollback(rows, policy.generation_seen);
}

}  // namespace

KeyTable::KeyTable(std::shared_ptr<Database> database, std::string cluster, Clock clock)
    : database_(std::move(database)),
      cluster_(std::move(cluster)),
      clock_(clock ? std::move(clock) : UnixMillis) {}

absl::StatusOr<KeyRows> KeyTable::Read() {
  KeyRows rows;
  const auto read = [&](SqlTransaction& transaction) -> absl::Status {
    SOTTO_ASSIGN_OR_RETURN(rows, ReadKeyRows(transaction, cluster_, /*lock=*/false));
    return absl::OkStatus();
  };
  SOTTO_RETURN_IF_ERROR(database_->Transact(SqlMode::kRead, read));
  return rows;
}

absl::Status KeyTable::Locked(const Change& change) {
  return database_->Transact(SqlMode::kLocked, [&](SqlTransaction& transaction) -> absl::Status {
    SOTTO_ASSIGN_OR_RETURN(KeyRows rows, ReadKeyRows(transaction, cluster_, /*lock=*/true));
    return change(transaction, rows);
  });
}

absl::Status KeyTable::Note(SqlTransaction& transaction, std::string_view actor,
                            std::string_view action, const KeyRow& key, std::string_view detail) {
  SOTTO_RETURN_IF_ERROR(InsertKeyEvent(transaction, cluster_,
                                       {Now(), std::string(actor), std::string(action),
                                        std::string(detail), key.generation, key.id}));
  return NotifyKeys(transaction, cluster_);
}

absl::Status KeyTable::Adopt(const KeyPolicy& policy, std::string_view actor) {
  return Locked([&](SqlTransaction& transaction, KeyRows& rows) -> absl::Status {
    if (!rows.keys.empty() || !rows.malformed.empty()) return absl::OkStatus();
    SOTTO_RETURN_IF_ERROR(rows.row_status);
    SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef key, ParseClusterKey(rows.value, cluster_, policy));
    KeyRow row;
    row.generation = std::max<uint64_t>(key->generation(), 1);
    row.id = key->id();
    row.state = KeyState::kActive;
    row.value = rows.value;
    row.created_ms = row.activated_ms = Now();
    row.actor = std::string(actor);
    SOTTO_RETURN_IF_ERROR(InsertKeyRow(transaction, cluster_, row));
    const absl::Status status = Note(transaction, actor, "adopt", row, "the key of " + rows.row);
    WipeText(&row.value);
    return status;
  });
}

absl::StatusOr<KeyTable::Prepared> KeyTable::Prepare(const KeyPolicy& policy,
                                                     const PrepareParams& params) {
  Prepared out;
  const auto add = [&](SqlTransaction& transaction, KeyRows& rows,
                       const ClusterKeyRef& drawn) -> absl::Status {
    SOTTO_RETURN_IF_ERROR(CheckRoom(rows));
    SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef key, WithGeneration(drawn, rows.newest() + 1));
    KeyRow row;
    row.generation = key->generation();
    row.id = key->id();
    row.created_ms = Now();
    row.actor = params.actor;
    row.automatic = params.automatic;
    SOTTO_ASSIGN_OR_RETURN(row.value, KeyRowText(*key, policy));
    const absl::Cleanup wipe = [&row] { WipeText(&row.value); };
    SOTTO_RETURN_IF_ERROR(InsertKeyRow(transaction, cluster_, row));
    out = {row.generation, row.id, false};
    return Note(transaction, params.actor, "prepare", row, params.automatic ? "automatic" : "");
  };
  const auto change = [&](SqlTransaction& transaction, KeyRows& rows) -> absl::Status {
    SOTTO_RETURN_IF_ERROR(CheckUsable(rows));
    SOTTO_RETURN_IF_ERROR(CheckBehind(rows, policy));
    SOTTO_ASSIGN_OR_RETURN(const SystemsKey found, KeyInSystems(rows, cluster_, policy));
    if (found.key != nullptr) {
      return CodedError(StatusCode::kAborted, "ROW_CHANGED",
                        absl::StrCat("the row ", rows.row, " holds the new key ",
                                     ToString(found.key->id()), ", which is taken first"));
    }
    const KeyRow* next = rows.next();
    if (params.key != nullptr) {
      const KeyRow* same = rows.Find(params.key->id());
      if (same != nullptr && same != next) {
        return Forbidden("KEY_STATE",
                         absl::StrCat(Name(*same), " is ", ToString(same->state).data(),
                                      " and cannot be prepared"));
      }
      if (next != nullptr && same == nullptr) {
        return Forbidden("KEY_STATE", absl::StrCat(Name(*next),
                                                   " is PREPARED already; activate "
                                                   "it, or remove it"));
      }
    }
    if (next != nullptr) {
      out = {next->generation, next->id, true};
      return absl::OkStatus();
    }
    if (params.key != nullptr) return add(transaction, rows, params.key);
    SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef drawn, DrawBeside(rows, cluster_));
    return add(transaction, rows, drawn);
  };
  SOTTO_RETURN_IF_ERROR(Locked(change));
  return out;
}

namespace {

absl::Status CheckSpread(const KeyRows& rows, const KeyTable::ActivateParams& params) {
  std::vector<std::string> lacking;
  for (const std::string& name : params.must_hold) {
    const KeyMember* member = rows.FindMember(name);
    if (member == nullptr || member->held.value_or(0) < params.generation) lacking.push_back(name);
  }
  if (lacking.empty()) return absl::OkStatus();
  std::sort(lacking.begin(), lacking.end());
  return Forbidden("KEY_NOT_SPREAD",
                   absl::StrCat("generation ", params.generation, " is not held by ",
                                absl::StrJoin(lacking, ", ")));
}

}  // namespace

absl::Status KeyTable::Activate(const KeyPolicy& policy, const ActivateParams& params) {
  return Locked([&](SqlTransaction& transaction, KeyRows& rows) -> absl::Status {
    SOTTO_RETURN_IF_ERROR(CheckUsable(rows));
    KeyRow* key = FindRow(rows, params.generation);
    if (key == nullptr) return UnknownKey(params.generation);
    if (key->state == KeyState::kActive) return absl::OkStatus();
    const uint64_t old_generation = rows.active()->generation;
    if (key->state != KeyState::kPrepared || key->generation < old_generation) {
      return Forbidden("KEY_STATE", absl::StrCat(Name(*key), " is ", ToString(key->state).data(),
                                                 key->state == KeyState::kPrepared
                                                     ? " and older than the ACTIVE one"
                                                     : "; only a PREPARED key can be activated"));
    }
    // Somebody's raw UPDATE is not overwritten unseen; what is no key is.
    const absl::StatusOr<SystemsKey> found = KeyInSystems(rows, cluster_, policy);
    if (found.ok() && found->key != nullptr) {
      return CodedError(StatusCode::kAborted, "ROW_CHANGED",
                        absl::StrCat("the row ", rows.row, " holds the new key ",
                                     ToString(found->key->id()), ", which is taken first"));
    }
    SOTTO_RETURN_IF_ERROR(CheckSpread(rows, params));
    const int64_t now = Now();
    for (KeyRow& other : rows.keys) {
      const bool overtaken =
          other.state == KeyState::kPrepared && other.generation < key->generation;
      if (other.state != KeyState::kActive && !overtaken) continue;
      // Frames that are under way under the old key arrive before it may go.
      other.retire_at_ms = now + (overtaken ? 0 : std::max(params.retire_after_ms, kFlightMs));
      SOTTO_RETURN_IF_ERROR(SetState(transaction, cluster_, &other, KeyState::kRetired));
    }
    key->activated_ms = now;
    SOTTO_RETURN_IF_ERROR(SetState(transaction, cluster_, key, KeyState::kActive));
    if (rows.value != key->value) {
      SOTTO_RETURN_IF_ERROR(SetSystemsRow(transaction, rows.row, key->value));
    }
    std::string detail = absl::StrCat("instead of generation ", old_generation);
    if (!params.without.empty()) {
      absl::StrAppend(&detail, "; without ", absl::StrJoin(params.without, ", "));
    }
    return Note(transaction, params.actor, "activate", *key, detail);
  });
}

absl::Status KeyTable::Remove(const RemoveParams& params) {
  return Locked([&](SqlTransaction& transaction, KeyRows& rows) -> absl::Status {
    SOTTO_RETURN_IF_ERROR(CheckUsable(rows));
    KeyRow* key = FindRow(rows, params.generation);
    if (key == nullptr) return UnknownKey(params.generation);
    if (key->state == KeyState::kRemoved) return absl::OkStatus();
    if (key->state == KeyState::kActive) {
      return Forbidden("KEY_IN_USE", absl::StrCat(Name(*key), " is ACTIVE; rotate first"));
    }
    std::vector<std::string> needed;
    if (key->state == KeyState::kRetired) needed = NeededBy(rows, key->generation);
    std::erase_if(needed, [&](const std::string& name) {
      return std::find(params.lock_out.begin(), params.lock_out.end(), name) !=
             params.lock_out.end();
    });
    if (!needed.empty()) {
      return Forbidden(
          "KEY_STILL_NEEDED",
          absl::StrCat(absl::StrJoin(needed, ", "), needed.size() == 1 ? " seals" : " seal",
                       " with nothing newer than generation ", key->generation, ", as far as ",
                       needed.size() == 1 ? "its record says" : "their records say"));
    }
    if (key->state == KeyState::kPrepared) SOTTO_RETURN_IF_ERROR(CheckUnused(rows, *key));
    // A raw UPDATE that is given up gives the row back.
    if (key->state == KeyState::kPrepared && rows.value == key->value) {
      SOTTO_RETURN_IF_ERROR(SetSystemsRow(transaction, rows.row, rows.active()->value));
    }
    const KeyState before = key->state;
    key->retire_at_ms = Now();
    SOTTO_RETURN_IF_ERROR(SetState(transaction, cluster_, key, KeyState::kRemoved));
    std::string detail = absl::StrCat("was ", ToString(before).data());
    if (!params.lock_out.empty()) {
      absl::StrAppend(&detail, "; locked out: ", absl::StrJoin(params.lock_out, ", "));
    }
    return Note(transaction, params.actor, "remove", *key, detail);
  });
}

absl::Status KeyTable::TakeExternal(const KeyPolicy& policy) {
  return Locked([&](SqlTransaction& transaction, KeyRows& rows) -> absl::Status {
    SOTTO_RETURN_IF_ERROR(CheckUsable(rows));
    SOTTO_RETURN_IF_ERROR(CheckBehind(rows, policy));
    SOTTO_ASSIGN_OR_RETURN(const SystemsKey found, KeyInSystems(rows, cluster_, policy));
    if (found.key == nullptr) {
      if (found.known->state == KeyState::kActive) return absl::OkStatus();
      KeyRow* known = FindRow(rows, found.known->generation);
      if (known->automatic) return absl::OkStatus();
      known->automatic = true;
      SOTTO_RETURN_IF_ERROR(SetState(transaction, cluster_, known, KeyState::kPrepared));
      return Note(transaction, "external", "prepare", *known, "written into the row " + rows.row);
    }
    SOTTO_RETURN_IF_ERROR(CheckRoom(rows));
    if (IsWrappedKey(rows.value) && found.key->generation() <= rows.newest()) {
      return Forbidden("KEY_ROLLBACK", absl::StrCat("the row ", rows.row, " holds the unknown key ",
                                                    ToString(found.key->id()), " as generation ",
                                                    found.key->generation(),
                                                    ", and ClusterKeys is at ", rows.newest()));
    }
    const uint64_t generation = std::max(found.key->generation(), rows.newest() + 1);
    SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef key, WithGeneration(found.key, generation));
    KeyRow row;
    row.generation = generation;
    row.id = key->id();
    row.created_ms = Now();
    row.actor = "external";
    row.automatic = true;
    SOTTO_ASSIGN_OR_RETURN(row.value, KeyRowText(*key, policy));
    const absl::Cleanup wipe = [&row] { WipeText(&row.value); };
    SOTTO_RETURN_IF_ERROR(InsertKeyRow(transaction, cluster_, row));
    return Note(transaction, "external", "prepare", row, "written into the row " + rows.row);
  });
}

absl::Status KeyTable::Acknowledge(const KeyMember& member) {
  return database_->Transact(SqlMode::kLocked, [&](SqlTransaction& transaction) {
    return WriteKeyMember(transaction, cluster_, member);
  });
}

absl::Status KeyTable::Record(std::span<const KeyMember> members) {
  return database_->Transact(SqlMode::kLocked, [&](SqlTransaction& transaction) -> absl::Status {
    for (const KeyMember& member : members) {
      const auto number = [](const std::optional<uint64_t>& value) {
        return value ? SqlParam(static_cast<int64_t>(*value)) : SqlParam();
      };
      // Never back: an answer may have been under way while the member wrote its own row. But
      // what is of the future was written by a wrong clock.
      SOTTO_RETURN_IF_ERROR(
          transaction
              .Run("UPDATE ClusterMembers SET GenerationHeld = ?, GenerationSealing = ?, "
                   "Trouble = ?, LastSeenAt = ? WHERE ClusterName = ? AND Name = ? AND "
                   "(LastSeenAt <= ? OR LastSeenAt > ?)",
                   {number(member.held), number(member.sealing), std::string_view(member.trouble),
                    member.last_seen_ms, std::string_view(cluster_), std::string_view(member.name),
                    member.last_seen_ms, member.last_seen_ms + kSkewMs})
              .status());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<bool> KeyTable::ForgetMember(std::string_view name) {
  bool had_row = false;
  const auto remove = [&](SqlTransaction& transaction) -> absl::Status {
    SOTTO_ASSIGN_OR_RETURN(
        const SqlResult result,
        transaction.Run("DELETE FROM ClusterMembers WHERE ClusterName = ? AND Name = ?",
                        {cluster_, name}));
    had_row = result.changed > 0;
    return absl::OkStatus();
  };
  SOTTO_RETURN_IF_ERROR(database_->Transact(SqlMode::kLocked, remove));
  return had_row;
}

namespace {

const KeyTable::HeldKey* FindHeld(std::span<const KeyTable::HeldKey> held, KeyId id) {
  for (const KeyTable::HeldKey& key : held) {
    if (key.key->id() == id) return &key;
  }
  return nullptr;
}

// Rows in use whose value is not the key that a node holds under this id.
std::vector<KeyRow*> DamagedRows(KeyRows& rows, std::span<const KeyTable::HeldKey> held,
                                 const KeyPolicy& policy) {
  std::vector<KeyRow*> damaged;
  for (KeyRow& row : rows.keys) {
    const KeyTable::HeldKey* key = FindHeld(held, row.id);
    if (row.state == KeyState::kRemoved || key == nullptr) continue;
    const auto opened = KeyOfRow(row, key->key->cluster(), policy);
    if (!opened.ok() || (*opened)->secret() != key->key->secret()) damaged.push_back(&row);
  }
  return damaged;
}

}  // namespace

// The rows of a table that is not behind get their values back.
absl::Status KeyTable::MendValues(SqlTransaction& transaction, const std::vector<KeyRow*>& damaged,
                                  std::span<const HeldKey> held, const KeyPolicy& policy,
                                  std::string_view actor) {
  for (KeyRow* row : damaged) {
    const ClusterKeyRef& key = FindHeld(held, row->id)->key;
    SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef numbered, WithGeneration(key, row->generation));
    WipeText(&row->value);
    SOTTO_ASSIGN_OR_RETURN(row->value, KeyRowText(*numbered, policy));
    SOTTO_RETURN_IF_ERROR(InsertKeyRow(transaction, cluster_, *row));
    SOTTO_RETURN_IF_ERROR(Note(transaction, actor, "restore", *row, "its value was no such key"));
  }
  return absl::OkStatus();
}

// A table that was set back: what it should not have goes, what it lacks comes.
absl::Status KeyTable::PutBack(SqlTransaction& transaction, KeyRows& rows,
                               std::span<const HeldKey> held, const KeyPolicy& policy,
                               int64_t retire_after_ms, std::string_view actor) {
  for (KeyRow& row : rows.keys) {
    if (row.state == KeyState::kRemoved) continue;
    const bool known = FindHeld(held, row.id) != nullptr;
    // Removed everywhere, and brought back by the backup.
    if (!known || row.state == KeyState::kActive) {
      SOTTO_RETURN_IF_ERROR(
          SetState(transaction, cluster_, &row, known ? KeyState::kRetired : KeyState::kRemoved));
    }
  }
  for (const HeldKey& key : held) {
    const KeyRow* there = rows.Find(key.key->id());
    if (there != nullptr && there->state == KeyState::kRemoved) continue;
    KeyRow row;
    row.generation = key.key->generation();
    row.id = key.key->id();
    row.state = key.state;
    row.created_ms = row.activated_ms = Now();
    if (key.state == KeyState::kRetired) row.retire_at_ms = Now() + retire_after_ms;
    row.actor = std::string(actor);
    SOTTO_ASSIGN_OR_RETURN(row.value, KeyRowText(*key.key, policy));
    const absl::Cleanup wipe = [&row] { WipeText(&row.value); };
    SOTTO_RETURN_IF_ERROR(InsertKeyRow(transaction, cluster_, row));
    if (key.state != KeyState::kActive) continue;
    SOTTO_RETURN_IF_ERROR(Note(transaction, actor, "restore", row, "the table was behind"));
  }
  return absl::OkStatus();
}

absl::Status KeyTable::Restore(const KeyPolicy& policy, std::span<const HeldKey> held,
                               int64_t retire_after_ms, std::string_view actor) {
  return Locked([&](SqlTransaction& transaction, KeyRows& rows) -> absl::Status {
    SOTTO_RETURN_IF_ERROR(CheckNotMoved(rows));
    const auto in_use = std::find_if(held.begin(), held.end(), [](const HeldKey& key) {
      return key.state == KeyState::kActive;
    });
    if (in_use == held.end()) return Forbidden("KEY_STATE", "this node seals with no ACTIVE key");
    const KeyRow* same = rows.Find(in_use->key->id());
    if (same != nullptr && same->state == KeyState::kRemoved) {
      return Forbidden("KEY_RETURNS", absl::StrCat(Name(*same),
                                                   " was removed from this store, and "
                                                   "this node still seals with it"));
    }
    const KeyRow* active = rows.active();
    const bool behind = active == nullptr || active->generation < in_use->key->generation();
    const bool row_wrong = !rows.row_status.ok() || !KeyInSystems(rows, cluster_, policy).ok();
    const std::vector<KeyRow*> damaged = DamagedRows(rows, held, policy);
    if (!behind && !row_wrong && damaged.empty()) {
      if (transaction.may_have_committed()) return absl::OkStatus();
      return Forbidden(
          "KEY_STATE",
          absl::StrCat("the table is not behind this node: ", Name(*active), " is ACTIVE"));
    }
    const KeyId id = behind ? in_use->key->id() : active->id;
    const HeldKey* key = FindHeld(held, id);
    if (key == nullptr) {
      return Forbidden("KEY_STATE", absl::StrCat("this node does not hold ", Name(*active),
                                                 ", which is ACTIVE; ask one that does"));
    }
    if (behind) {
      SOTTO_RETURN_IF_ERROR(PutBack(transaction, rows, held, policy, retire_after_ms, actor));
    } else {
      SOTTO_RETURN_IF_ERROR(MendValues(transaction, damaged, held, policy, actor));
      if (damaged.empty()) {
        SOTTO_RETURN_IF_ERROR(Note(transaction, actor, "restore", *active, "the row was no key"));
      }
    }
    // From the key itself: what stands in either table may be the damage.
    const uint64_t generation = behind ? key->key->generation() : active->generation;
    SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef numbered, WithGeneration(key->key, generation));
    SOTTO_ASSIGN_OR_RETURN(std::string value, KeyRowText(*numbered, policy));
    const absl::Cleanup wipe = [&value] { WipeText(&value); };
    return rows.row_status.ok() ? SetSystemsRow(transaction, rows.row, value)
                                : AddSystemsRow(transaction, rows.row, value);
  });
}

absl::StatusOr<std::vector<KeyEvent>> KeyTable::History(size_t limit) {
  std::vector<KeyEvent> events;
  const auto read = [&](SqlTransaction& transaction) -> absl::Status {
    SOTTO_ASSIGN_OR_RETURN(events, ReadKeyEvents(transaction, cluster_, limit));
    return absl::OkStatus();
  };
  SOTTO_RETURN_IF_ERROR(database_->Transact(SqlMode::kRead, read));
  return events;
}

}  // namespace sotto
