#include "store/key_rows.h"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "crypto/envelope.h"
#include "crypto/secure_random.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"
#include "store/systems_rows.h"

namespace sotto {
namespace {

// More keys and members than a cluster ever has: a table that was filled by somebody must not fill
// the memory of every node.
constexpr int64_t kKeyRowsMax = 4'096;
constexpr int64_t kMemberRowsMax = 16'384;
// One rotation a second for 30'000 years: a higher number was written to break ours.
constexpr int64_t kGenerationMax = 1'000'000'000'000;
// Of the columns Actor and Detail (schema.cc).
constexpr size_t kActorMax = 128;
constexpr size_t kDetailMax = 1'024;

// At most `max` bytes, which are at most as many characters; never a part of one.
std::string_view Cut(std::string_view text, size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xc0) == 0x80) --max;
  return text.substr(0, max);
}

constexpr std::string_view kKeyColumns[] = {"ClusterName", "Generation", "KeyId",       "State",
                                            "Value",       "CreatedAt",  "ActivatedAt", "RetireAt",
                                            "Actor",       "Automatic"};
constexpr std::string_view kMemberColumns[] = {"ClusterName",       "Name",    "GenerationHeld",
                                               "GenerationSealing", "Trouble", "LastSeenAt"};

bool IsNull(const SqlResult& result, size_t row, size_t column) {
  return std::holds_alternative<std::monostate>(result.rows[row][column]);
}

// A number that may be absent; false if it is something else.
bool ReadNumber(const SqlResult& result, size_t row, size_t column, int64_t* out) {
  const int64_t* number = result.Number(row, column);
  if (number == nullptr) return IsNull(result, row, column);
  *out = *number;
  return *number >= 0;
}

bool ReadText(const SqlResult& result, size_t row, size_t column, std::string* out) {
  const std::string* text = result.Text(row, column);
  if (text == nullptr) return IsNull(result, row, column);
  *out = *text;
  return true;
}

bool ReadKeyRow(const SqlResult& result, size_t i, KeyRow* out) {
  const int64_t* generation = result.Number(i, 0);
  const std::string* id = result.Text(i, 1);
  const std::string* state = result.Text(i, 2);
  if (generation == nullptr || id == nullptr || state == nullptr) return false;
  if (*generation < 1 || *generation > kGenerationMax) return false;
  const std::optional<KeyId> parsed_id = ParseKeyId(*id);
  const std::optional<KeyState> parsed_state = ParseKeyState(*state);
  if (!parsed_id || !parsed_state) return false;
  out->generation = static_cast<uint64_t>(*generation);
  out->id = *parsed_id;
  out->state = *parsed_state;
  int64_t automatic = 0;
  const bool ok = ReadText(result, i, 3, &out->value) &&
                  ReadNumber(result, i, 4, &out->created_ms) &&
                  ReadNumber(result, i, 5, &out->activated_ms) &&
                  ReadNumber(result, i, 6, &out->retire_at_ms) &&
                  ReadText(result, i, 7, &out->actor) && ReadNumber(result, i, 8, &automatic);
  out->automatic = automatic != 0;
  return ok && (out->state == KeyState::kRemoved || !out->value.empty());
}

bool ReadMemberRow(const SqlResult& result, size_t i, KeyMember* out) {
  const std::string* name = result.Text(i, 0);
  if (name == nullptr || name->empty()) return false;
  out->name = *name;
  int64_t held = 0;
  int64_t sealing = 0;
  const bool ok = ReadNumber(result, i, 1, &held) && ReadNumber(result, i, 2, &sealing) &&
                  ReadText(result, i, 3, &out->trouble) &&
                  ReadNumber(result, i, 4, &out->last_seen_ms);
  if (held > 0) out->held = static_cast<uint64_t>(held);
  if (sealing > 0) out->sealing = static_cast<uint64_t>(sealing);
  return ok;
}

// Each id is one key's. Of a live key and a removed one it is the live one's, else a row that
// anybody can add would take the ACTIVE key away.
void DropDoubles(KeyRows* out) {
  std::vector<KeyRow> kept;
  for (const bool live : {true, false}) {
    for (KeyRow& row : out->keys) {
      if ((row.state != KeyState::kRemoved) != live) continue;
      const bool is_double = std::any_of(
          kept.begin(), kept.end(), [&row](const KeyRow& other) { return other.id == row.id; });
      if (is_double) {
        out->malformed = absl::StrCat("ClusterKeys, the row of generation ", row.generation,
                                      ", with the id of another one");
        WipeText(&row.value);
      } else {
        kept.push_back(std::move(row));
      }
    }
  }
  std::sort(kept.begin(), kept.end(),
            [](const KeyRow& a, const KeyRow& b) { return a.generation < b.generation; });
  out->keys = std::move(kept);
}

absl::Status ReadKeys(SqlTransaction& transaction, std::string_view cluster, KeyRows* out) {
  SOTTO_ASSIGN_OR_RETURN(
      const SqlResult result,
      transaction.Run(absl::StrCat("SELECT Generation, KeyId, State, Value, CreatedAt, "
                                   "ActivatedAt, RetireAt, Actor, Automatic FROM ClusterKeys WHERE "
                                   "ClusterName = ? ORDER BY Generation DESC LIMIT ",
                                   kKeyRowsMax),
                      {cluster}));
  for (size_t i = result.rows.size(); i-- > 0;) {
    KeyRow row;
    if (ReadKeyRow(result, i, &row)) {
      out->keys.push_back(std::move(row));
    } else {
      WipeText(&row.value);
      const int64_t* generation = result.Number(i, 0);
      out->malformed = generation == nullptr
                           ? "ClusterKeys, a row without a generation"
                           : absl::StrCat("ClusterKeys, the row of generation ", *generation);
    }
  }
  DropDoubles(out);
  return absl::OkStatus();
}

absl::Status ReadMembers(SqlTransaction& transaction, std::string_view cluster, KeyRows* out) {
  SOTTO_ASSIGN_OR_RETURN(
      const SqlResult result,
      transaction.Run(absl::StrCat("SELECT Name, GenerationHeld, GenerationSealing, Trouble, "
                                   "LastSeenAt FROM ClusterMembers WHERE ClusterName = ? LIMIT ",
                                   kMemberRowsMax),
                      {cluster}));
  for (size_t i = 0; i < result.rows.size(); ++i) {
    KeyMember member;
    if (ReadMemberRow(result, i, &member)) {
      out->members.push_back(std::move(member));
    } else {
      out->malformed = absl::StrCat("ClusterMembers, the row of \"",
                                    absl::CHexEscape(member.name.substr(0, 64)), "\"");
    }
  }
  // By bytes, whatever the collation.
  std::sort(out->members.begin(), out->members.end(),
            [](const KeyMember& a, const KeyMember& b) { return a.name < b.name; });
  return absl::OkStatus();
}

absl::Status ReadRowInUse(SqlTransaction& transaction, std::string_view cluster, bool lock,
                          KeyRows* out) {
  const RowLock mode = lock ? RowLock::kForUpdate : RowLock::kNone;
  for (const std::string& row : {ClusterKeyRowOf(cluster), std::string(kClusterKeyRow)}) {
    absl::StatusOr<std::string> value = ReadSystemsRow(transaction, row, mode);
    out->row = row;
    if (value.ok()) {
      out->value = *std::move(value);
      return absl::OkStatus();
    }
    const std::string code = ErrorCode(value.status());
    if (code == "ROW_MISSING") continue;
    // What the row is, not what became of the database.
    if (!code.starts_with("KEY_")) return value.status();
    out->row_status = value.status();
    return absl::OkStatus();
  }
  out->row_status =
      CodedError(absl::StatusCode::kNotFound, "KEY_MISSING",
                 absl::StrCat(transaction.where(), ": Systems has neither a row ",
                              ClusterKeyRowOf(cluster), " nor ", std::string(kClusterKeyRow)));
  return absl::OkStatus();
}

// A number, or NULL for none.
SqlParam OrNull(const std::optional<uint64_t>& number) {
  return number ? SqlParam(static_cast<int64_t>(*number)) : SqlParam();
}
SqlParam OrNull(int64_t ms) { return ms != 0 ? SqlParam(ms) : SqlParam(); }

}  // namespace

std::string_view ToString(KeyState state) {
  switch (state) {
    case KeyState::kPrepared:
      return "PREPARED";
    case KeyState::kActive:
      return "ACTIVE";
    case KeyState::kRetired:
      return "RETIRED";
    case KeyState::kRemoved:
      break;
  }
  return "REMOVED";
}

std::optional<KeyState> ParseKeyState(std::string_view text) {
  for (const KeyState state :
       {KeyState::kPrepared, KeyState::kActive, KeyState::kRetired, KeyState::kRemoved}) {
    if (ToString(state) == text) return state;
  }
  return std::nullopt;
}

KeyRows::~KeyRows() {
  WipeText(&value);
  for (KeyRow& key : keys) WipeText(&key.value);
}

KeyRows& KeyRows::operator=(KeyRows&& other) noexcept {
  if (this == &other) return *this;
  KeyRows old;
  std::swap(old.row, row);
  std::swap(old.value, value);
  std::swap(old.keys, keys);
  row = std::move(other.row);
  value = std::move(other.value);
  row_status = std::move(other.row_status);
  keys = std::move(other.keys);
  members = std::move(other.members);
  moved_to = std::move(other.moved_to);
  malformed = std::move(other.malformed);
  return *this;
}

const KeyRow* KeyRows::active() const {
  const KeyRow* found = nullptr;
  for (const KeyRow& key : keys) {
    if (key.state != KeyState::kActive) continue;
    if (found != nullptr) return nullptr;
    found = &key;
  }
  return found;
}

const KeyRow* KeyRows::next() const {
  const KeyRow* in_use = active();
  for (auto it = keys.rbegin(); it != keys.rend(); ++it) {
    if (it->state != KeyState::kPrepared) continue;
    return in_use == nullptr || it->generation > in_use->generation ? &*it : nullptr;
  }
  return nullptr;
}

const KeyRow* KeyRows::Find(uint64_t generation) const {
  for (const KeyRow& key : keys) {
    if (key.generation == generation) return &key;
  }
  return nullptr;
}

const KeyRow* KeyRows::Find(KeyId id) const {
  for (const KeyRow& key : keys) {
    if (key.id == id) return &key;
  }
  return nullptr;
}

const KeyRow* KeyRows::FindLive(KeyId id) const {
  const KeyRow* key = Find(id);
  return key == nullptr || key->state == KeyState::kRemoved ? nullptr : key;
}

const KeyMember* KeyRows::FindMember(std::string_view name) const {
  for (const KeyMember& member : members) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

uint64_t KeyRows::newest() const { return keys.empty() ? 0 : keys.back().generation; }

std::vector<std::string> NeededBy(const KeyRows& rows, uint64_t generation) {
  std::vector<std::string> names;
  for (const KeyMember& member : rows.members) {
    if (member.sealing.value_or(0) <= generation) names.push_back(member.name);
  }
  return names;
}

absl::Status CheckNotMoved(const KeyRows& rows) {
  if (rows.moved_to.empty()) return absl::OkStatus();
  return CodedError(
      absl::StatusCode::kFailedPrecondition, "STORE_MOVED",
      absl::StrCat("the cluster's keys were copied to ", rows.moved_to, ", and are changed there"));
}

absl::Status CheckWellFormed(const KeyRows& rows) {
  if (rows.malformed.empty()) return absl::OkStatus();
  return CodedError(absl::StatusCode::kDataLoss, "KEY_TABLE_MALFORMED",
                    absl::StrCat(rows.malformed, ": sotto has not written it so"));
}

absl::Status CheckRoom(const KeyRows& rows) {
  const auto live = std::count_if(rows.keys.begin(), rows.keys.end(), [](const KeyRow& key) {
    return key.state != KeyState::kRemoved;
  });
  if (static_cast<size_t>(live) < Keyring::kKeysMax) return absl::OkStatus();
  const auto oldest = std::find_if(rows.keys.begin(), rows.keys.end(), [](const KeyRow& key) {
    return key.state == KeyState::kRetired;
  });
  std::string why = "remove one first";
  if (oldest != rows.keys.end()) {
    const std::vector<std::string> names = NeededBy(rows, oldest->generation);
    why = absl::StrCat("generation ", oldest->generation, " (", ToString(oldest->id), ")");
    why = names.empty()
              ? absl::StrCat("remove ", why, " first")
              : absl::StrCat("bring back or forget ", absl::StrJoin(names, ", "),
                             ": by their records they seal with nothing newer than ", why);
  }
  return CodedError(absl::StatusCode::kResourceExhausted, "KEY_RING_FULL",
                    absl::StrCat(Keyring::kKeysMax, " keys are in use; ", why));
}

bool IsBehind(const KeyRows& rows, uint64_t generation_seen) {
  const KeyRow* active = rows.active();
  if (active == nullptr || active->generation >= generation_seen) return false;
  const KeyRow* seen = rows.Find(generation_seen);
  return seen == nullptr || seen->state != KeyState::kPrepared;
}

absl::Status Rollback(const KeyRows& rows, uint64_t generation_seen) {
  const KeyRow* active = rows.active();
  return CodedError(absl::StatusCode::kFailedPrecondition, "KEY_ROLLBACK",
                    absl::StrCat("the database's ACTIVE key is of generation ",
                                 active == nullptr ? 0 : active->generation,
                                 ", and this node has used generation ", generation_seen,
                                 ": an old backup was restored"));
}

absl::StatusOr<KeyRows> ReadKeyRows(SqlTransaction& transaction, std::string_view cluster,
                                    bool lock, bool tables) {
  KeyRows out;
  // The lock first: what is read after it has been committed before it.
  SOTTO_RETURN_IF_ERROR(ReadRowInUse(transaction, cluster, lock, &out));
  if (!tables) return out;
  SOTTO_RETURN_IF_ERROR(ReadKeys(transaction, cluster, &out));
  SOTTO_RETURN_IF_ERROR(ReadMembers(transaction, cluster, &out));
  SOTTO_ASSIGN_OR_RETURN(
      const SqlResult moved,
      transaction.Run("SELECT MovedTo FROM ClusterMoves WHERE ClusterName = ?", {cluster}));
  if (const std::string* to = moved.Text(0, 0)) out.moved_to = *to;
  return out;
}

absl::Status NotifyKeys(SqlTransaction& transaction, std::string_view cluster) {
  if (transaction.dialect() != SqlDialect::kPostgres) return absl::OkStatus();
  return transaction.Run("SELECT pg_notify(?, ?)", {kKeysChannel, cluster}).status();
}

absl::Status InsertKeyRow(SqlTransaction& transaction, std::string_view cluster,
                          const KeyRow& row) {
  const std::string id = ToString(row.id);
  const SqlParam value = row.value.empty() ? SqlParam() : SqlParam(std::string_view(row.value));
  const SqlParam params[] = {cluster,
                             static_cast<int64_t>(row.generation),
                             std::string_view(id),
                             ToString(row.state),
                             value,
                             row.created_ms,
                             OrNull(row.activated_ms),
                             OrNull(row.retire_at_ms),
                             Cut(row.actor, kActorMax),
                             int64_t{row.automatic ? 1 : 0}};
  return transaction.Run(SqlUpsert(transaction.dialect(), "ClusterKeys", kKeyColumns, 2), params)
      .status();
}

absl::Status WriteKeyMember(SqlTransaction& transaction, std::string_view cluster,
                            const KeyMember& member) {
  const SqlParam params[] = {cluster,
                             std::string_view(member.name),
                             OrNull(member.held),
                             OrNull(member.sealing),
                             std::string_view(member.trouble),
                             member.last_seen_ms};
  return transaction
      .Run(SqlUpsert(transaction.dialect(), "ClusterMembers", kMemberColumns, 2), params)
      .status();
}

absl::Status InsertKeyEvent(SqlTransaction& transaction, std::string_view cluster,
                            const KeyEvent& event) {
  // Rows of one millisecond are kept apart by chance.
  std::array<uint8_t, 8> random{};
  SOTTO_RETURN_IF_ERROR(FillRandom(random));
  std::string row_id;
  for (const uint8_t byte : random) absl::StrAppend(&row_id, absl::Hex(byte, absl::kZeroPad2));
  const std::string key_id = ToString(event.id);
  const SqlParam params[] = {cluster,
                             event.at_ms,
                             std::string_view(row_id),
                             Cut(event.actor, kActorMax),
                             std::string_view(event.action),
                             static_cast<int64_t>(event.generation),
                             std::string_view(key_id),
                             Cut(event.detail, kDetailMax)};
  return transaction
      .Run(
          "INSERT INTO ClusterKeyHistory (ClusterName, At, Id, Actor, Action, Generation, KeyId, "
          "Detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
          params)
      .status();
}

absl::StatusOr<std::vector<KeyEvent>> ReadKeyEvents(SqlTransaction& transaction,
                                                    std::string_view cluster, size_t limit) {
  SOTTO_ASSIGN_OR_RETURN(
      const SqlResult result,
      transaction.Run(
          absl::StrCat("SELECT At, Actor, Action, Generation, KeyId, Detail FROM ClusterKeyHistory "
                       "WHERE ClusterName = ? ORDER BY At DESC, Id LIMIT ",
                       std::min<size_t>(limit, 10'000)),
          {cluster}));
  std::vector<KeyEvent> events;
  for (size_t i = 0; i < result.rows.size(); ++i) {
    KeyEvent event;
    int64_t generation = 0;
    std::string id;
    const bool ok = ReadNumber(result, i, 0, &event.at_ms) &&
                    ReadText(result, i, 1, &event.actor) && ReadText(result, i, 2, &event.action) &&
                    ReadNumber(result, i, 3, &generation) && ReadText(result, i, 4, &id) &&
                    ReadText(result, i, 5, &event.detail);
    if (!ok) continue;
    event.generation = static_cast<uint64_t>(generation);
    event.id = ParseKeyId(id).value_or(KeyId{});
    events.push_back(std::move(event));
  }
  return events;
}

absl::Status SetKeyValue(SqlTransaction& transaction, std::string_view cluster, uint64_t generation,
                         std::string_view value) {
  const SqlParam stored = value.empty() ? SqlParam() : SqlParam(value);
  return transaction
      .Run("UPDATE ClusterKeys SET Value = ? WHERE ClusterName = ? AND Generation = ?",
           {stored, cluster, static_cast<int64_t>(generation)})
      .status();
}

absl::StatusOr<ClusterKeyRef> KeyOfRow(const KeyRow& row, std::string_view cluster,
                                       const KeyPolicy& policy) {
  KeyPolicy open = policy;
  open.generation_seen = 0;  // a row that is RETIRED is older; the caller looks at the ACTIVE one
  SOTTO_ASSIGN_OR_RETURN(ClusterKeyRef key, ParseClusterKey(row.value, cluster, open));
  const bool fits =
      key->id() == row.id && (!IsWrappedKey(row.value) || key->generation() == row.generation);
  if (!fits) {
    return CodedError(
        absl::StatusCode::kDataLoss, "KEY_CORRUPT",
        absl::StrCat("ClusterKeys says that generation ", row.generation, " is ", ToString(row.id),
                     ", and holds ", ToString(key->id()), " of generation ", key->generation(),
                     ": a value was moved between rows, or changed"));
  }
  if (key->generation() == row.generation) return key;
  return ClusterKey::Create(key->secret().Clone(), cluster, row.generation, /*allow_weak=*/true);
}

absl::StatusOr<SystemsKey> KeyInSystems(const KeyRows& rows, std::string_view cluster,
                                        const KeyPolicy& policy) {
  KeyPolicy open = policy;
  open.generation_seen = 0;
  // What stands in both was accepted before, whatever the policy says by now.
  const KeyRow* active = rows.active();
  if (active != nullptr && rows.value == active->value) return SystemsKey{nullptr, active};
  SOTTO_ASSIGN_OR_RETURN(ClusterKeyRef key, ParseClusterKey(rows.value, cluster, open));
  const KeyRow* known = rows.Find(key->id());
  if (known == nullptr) return SystemsKey{std::move(key), nullptr};
  const std::string name =
      absl::StrCat("generation ", known->generation, " (", ToString(known->id), ")");
  if (known->state == KeyState::kRetired || known->state == KeyState::kRemoved) {
    return CodedError(
        absl::StatusCode::kFailedPrecondition, "KEY_RETURNS",
        absl::StrCat("the row ", rows.row, " holds ", name, ", which is ",
                     ToString(known->state).data(), ": an old key never becomes the key again"));
  }
  SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef held, KeyOfRow(*known, cluster, open));
  if (held->secret() == key->secret()) return SystemsKey{nullptr, known};
  return CodedError(absl::StatusCode::kAlreadyExists, "KEY_ID_COLLISION",
                    absl::StrCat("the row ", rows.row, " holds another key with the id of ", name));
}

}  // namespace sotto
