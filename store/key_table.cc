#include "store/key_table.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"
#include "store/systems_rows.h"

namespace sotto {
namespace {

using absl::StatusCode;

int64_t SystemMillis() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

absl::Status Forbidden(std::string_view code, std::string message) {
  return CodedError(StatusCode::kFailedPrecondition, code, message);
}

std::string Name(const KeyRow& key) {
  return absl::StrCat("generation ", key.generation, " (", ToString(key.id), ")");
}

absl::Status CheckUsable(const KeyRows& rows) {
  if (!rows.moved_to.empty()) {
    return Forbidden("STORE_MOVED", absl::StrCat("the cluster's keys were copied to ",
                                                 rows.moved_to, ", and are changed there"));
  }
  if (rows.malformed) {
    return CodedError(StatusCode::kDataLoss, "KEY_TABLE_MALFORMED",
                      "ClusterKeys or ClusterMembers has a row that sotto has not written so");
  }
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

absl::StatusOr<ClusterKeyRef> WithGeneration(const ClusterKeyRef& key, uint64_t generation) {
  if (key->generation() == generation) return key;
  return ClusterKey::Create(key->secret().Clone(), key->cluster(), generation, true);
}

absl::Status CheckBehind(const KeyRows& rows, const KeyPolicy& policy) {
  if (!IsBehind(rows, policy.generation_seen)) return absl::OkStatus();
  return Rollback(rows, policy.generation_seen);
}

// What the Systems row holds beside the table: OK and the key where it is new, null where it is
// the ACTIVE or a PREPARED one.
struct Found {
  ClusterKeyRef key;
  const KeyRow* known = nullptr;
};
absl::StatusOr<Found> LookAtRow(const KeyRows& rows, std::string_view cluster,
                                const KeyPolicy& policy) {
  KeyPolicy open = policy;
  open.generation_seen = 0;
  // What stands in both was accepted before, whatever the policy says by now.
  const KeyRow* active = rows.active();
  if (active != nullptr && rows.value == active->value) return Found{nullptr, active};
  SOTTO_ASSIGN_OR_RETURN(ClusterKeyRef key, ParseClusterKey(rows.value, cluster, open));
  const KeyRow* known = rows.Find(key->id());
  if (known == nullptr) return Found{std::move(key), nullptr};
  if (known->state == KeyState::kRetired || known->state == KeyState::kRemoved) {
    return Forbidden("KEY_RETURNS", absl::StrCat("the row ", rows.row, " holds ", Name(*known),
                                                 ", which is ", ToString(known->state).data(),
                                                 ": an old key never becomes the key again"));
  }
  SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef held, KeyOfRow(*known, cluster, open));
  if (held->secret() == key->secret()) return Found{nullptr, known};
  return CodedError(
      StatusCode::kAlreadyExists, "KEY_ID_COLLISION",
      absl::StrCat("the row ", rows.row, " holds another key with the id of ", Name(*known)));
}

}  // namespace

KeyTable::KeyTable(std::shared_ptr<Database> database, std::string cluster, Clock clock)
    : database_(std::move(database)),
      cluster_(std::move(cluster)),
      clock_(clock ? std::move(clock) : SystemMillis) {}

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
  if (transaction.dialect() != SqlDialect::kPostgres) return absl::OkStatus();
  return transaction.Run("SELECT pg_notify(?, ?)", {kKeysChannel, cluster_}).status();
}

absl::Status KeyTable::Adopt(const KeyPolicy& policy, std::string_view actor) {
  return Locked([&](SqlTransaction& transaction, KeyRows& rows) -> absl::Status {
    if (!rows.keys.empty() || rows.malformed) return absl::OkStatus();
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
    SOTTO_ASSIGN_OR_RETURN(const Found found, LookAtRow(rows, cluster_, policy));
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
    const absl::StatusOr<Found> found = LookAtRow(rows, cluster_, policy);
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
      other.retire_at_ms = now + (overtaken ? 0 : params.retire_after_ms);
      SOTTO_RETURN_IF_ERROR(SetState(transaction, cluster_, &other, KeyState::kRetired));
    }
    key->activated_ms = now;
    SOTTO_RETURN_IF_ERROR(SetState(transaction, cluster_, key, KeyState::kActive));
    if (rows.value != key->value) {
      SOTTO_RETURN_IF_ERROR(SetSystemsRow(transaction, rows.row, key->value));
    }
    return Note(transaction, params.actor, "activate", *key,
                absl::StrCat("instead of generation ", old_generation));
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

absl::StatusOr<ExternalKey> KeyTable::TakeExternal(const KeyPolicy& policy) {
  ExternalKey out = ExternalKey::kNone;
  const auto change = [&](SqlTransaction& transaction, KeyRows& rows) -> absl::Status {
    out = ExternalKey::kNone;
    SOTTO_RETURN_IF_ERROR(CheckUsable(rows));
    SOTTO_RETURN_IF_ERROR(CheckBehind(rows, policy));
    SOTTO_ASSIGN_OR_RETURN(const Found found, LookAtRow(rows, cluster_, policy));
    if (found.key == nullptr) {
      if (found.known->state == KeyState::kActive) return absl::OkStatus();
      out = ExternalKey::kTaken;
      KeyRow* known = FindRow(rows, found.known->generation);
      if (known->automatic) return absl::OkStatus();
      known->automatic = true;
      SOTTO_RETURN_IF_ERROR(SetState(transaction, cluster_, known, KeyState::kPrepared));
      return Note(transaction, "external", "prepare", *known, "written into the row " + rows.row);
    }
    SOTTO_RETURN_IF_ERROR(CheckRoom(rows));
    const bool wrapped = found.key->generation() > 1;
    if (wrapped && found.key->generation() <= rows.newest()) {
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
    out = ExternalKey::kTaken;
    return Note(transaction, "external", "prepare", row, "written into the row " + rows.row);
  };
  SOTTO_RETURN_IF_ERROR(Locked(change));
  return out;
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
      // Never back: an answer may have been under way while the member wrote its own row.
      SOTTO_RETURN_IF_ERROR(
          transaction
              .Run("UPDATE ClusterMembers SET GenerationHeld = ?, GenerationSealing = ?, "
                   "Trouble = ?, LastSeenAt = ? WHERE ClusterName = ? AND Name = ? AND "
                   "LastSeenAt <= ?",
                   {number(member.held), number(member.sealing), std::string_view(member.trouble),
                    member.last_seen_ms, std::string_view(cluster_), std::string_view(member.name),
                    member.last_seen_ms})
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

absl::Status KeyTable::Restore(const KeyPolicy& policy, std::span<const HeldKey> held,
                               std::string_view actor) {
  return Locked([&](SqlTransaction& transaction, KeyRows& rows) -> absl::Status {
    if (!rows.moved_to.empty()) return CheckUsable(rows);
    const auto in_use = std::find_if(held.begin(), held.end(), [](const HeldKey& key) {
      return key.state == KeyState::kActive;
    });
    if (in_use == held.end()) return Forbidden("KEY_STATE", "this node seals with no ACTIVE key");
    const uint64_t generation = in_use->key->generation();
    const KeyRow* active = rows.active();
    const bool behind = active == nullptr || active->generation < generation;
    const bool row_wrong = !rows.row_status.ok() || !LookAtRow(rows, cluster_, policy).ok();
    if (!behind && !row_wrong) {
      return Forbidden(
          "KEY_STATE",
          absl::StrCat("the table is not behind this node: ", Name(*active), " is ACTIVE"));
    }
    std::string value;  // of the ACTIVE key, for both tables
    const absl::Cleanup wipe_value = [&value] { WipeText(&value); };
    if (!behind) {
      value = active->value;
      SOTTO_RETURN_IF_ERROR(Note(transaction, actor, "restore", *active, "the row was no key"));
    }
    if (behind) {
      for (KeyRow& row : rows.keys) {
        if (row.state == KeyState::kRemoved) continue;
        const bool known = std::any_of(held.begin(), held.end(),
                                       [&](const HeldKey& key) { return key.key->id() == row.id; });
        // Removed everywhere, and brought back by the backup.
        if (!known || row.state == KeyState::kActive) {
          SOTTO_RETURN_IF_ERROR(SetState(transaction, cluster_, &row,
                                         known ? KeyState::kRetired : KeyState::kRemoved));
        }
      }
      for (const HeldKey& key : held) {
        KeyRow row;
        row.generation = key.key->generation();
        row.id = key.key->id();
        row.state = key.state;
        row.created_ms = row.activated_ms = Now();
        if (key.state == KeyState::kRetired) row.retire_at_ms = Now();
        row.actor = std::string(actor);
        SOTTO_ASSIGN_OR_RETURN(row.value, KeyRowText(*key.key, policy));
        const absl::Cleanup wipe = [&row] { WipeText(&row.value); };
        SOTTO_RETURN_IF_ERROR(InsertKeyRow(transaction, cluster_, row));
        if (key.state != KeyState::kActive) continue;
        value = row.value;
        SOTTO_RETURN_IF_ERROR(Note(transaction, actor, "restore", row, "the table was behind"));
      }
    }
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
