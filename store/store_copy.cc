#include "store/store_copy.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/cluster_key.h"
#include "store/key_rows.h"
#include "store/open_store.h"
#include "store/schema.h"
#include "store/systems_rows.h"

namespace sotto {
namespace {

using absl::StatusCode;

constexpr size_t kMovedToBytesMax = 512;  // the column's
constexpr std::string_view kAction = "store copy";
constexpr std::string_view kMoveColumns[] = {"ClusterName", "MovedTo", "MovedAt", "Actor"};

// What one store holds of the cluster.
struct Holding {
  KeyRows rows;
  std::vector<SqlRow> history;  // At, Id, Actor, Action, Generation, KeyId, Detail; oldest first
  bool history_cut = false;
};

absl::StatusOr<Holding> ReadHolding(SqlTransaction& transaction, const std::string& cluster,
                                    bool lock) {
  Holding out;
  SOTTO_ASSIGN_OR_RETURN(out.rows, ReadKeyRows(transaction, cluster, lock));
  SOTTO_ASSIGN_OR_RETURN(
      SqlResult result,
      transaction.Run(absl::StrCat("SELECT At, Id, Actor, Action, Generation, KeyId, Detail FROM "
                                   "ClusterKeyHistory WHERE ClusterName = ? ORDER BY At DESC, Id "
                                   "LIMIT ",
                                   kCopiedEventsMax + 1),
                      {cluster}));
  out.history_cut = result.rows.size() > kCopiedEventsMax;
  if (out.history_cut) result.rows.pop_back();
  out.history = std::move(result.rows);
  result.rows.clear();
  return out;
}

std::string Spelled(const SqlValue& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return absl::StrCat("n", *number);
  if (const auto* text = std::get_if<std::string>(&value)) return absl::StrCat("t", *text);
  return std::holds_alternative<std::monostate>(value) ? "-" : "?";
}

// Rows of a history in one order, whatever the database's collation makes of theirs.
std::vector<std::string> Spelled(const std::vector<SqlRow>& history) {
  std::vector<std::string> out;
  for (const SqlRow& row : history) {
    std::string line;
    for (const SqlValue& value : row) {
      const std::string text = Spelled(value);
      absl::StrAppend(&line, text.size(), ":", text);
    }
    out.push_back(std::move(line));
  }
  std::sort(out.begin(), out.end());
  return out;
}

bool IsSame(const KeyRow& a, const KeyRow& b) {
  return a.generation == b.generation && a.id == b.id && a.state == b.state && a.value == b.value &&
         a.created_ms == b.created_ms && a.activated_ms == b.activated_ms &&
         a.retire_at_ms == b.retire_at_ms && a.actor == b.actor && a.automatic == b.automatic;
}

bool IsSame(const KeyMember& a, const KeyMember& b) {
  return a.name == b.name && a.held == b.held && a.sealing == b.sealing && a.trouble == b.trouble &&
         a.last_seen_ms == b.last_seen_ms;
}

template <typename Row>
bool AreSame(const std::vector<Row>& a, const std::vector<Row>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Row& left, const Row& right) { return IsSame(left, right); });
}

// The first table in which the two differ; empty if none.
std::string DifferenceOf(const Holding& a, const Holding& b) {
  if (!b.rows.row_status.ok() || a.rows.value != b.rows.value) return "Systems";
  if (!b.rows.malformed.empty() || !AreSame(a.rows.keys, b.rows.keys)) return "ClusterKeys";
  if (!AreSame(a.rows.members, b.rows.members)) return "ClusterMembers";
  return Spelled(a.history) == Spelled(b.history) ? "" : "ClusterKeyHistory";
}

class Copy {
 public:
  Copy(Database& source, Database& target, const StoreCopyParams& params)
      : source_(source), target_(target), params_(params) {}

  absl::StatusOr<StoreCopyReport> Run();

 private:
  enum class Found : uint8_t { kNothing, kUnfinished, kFinished };

  void Say(int step) const {
    if (params_.progress) params_.progress(step);
  }
  absl::Status CheckSource(const KeyRows& rows) const;
  absl::StatusOr<Found> LookAtTarget(const Holding& from, const KeyRows& held) const;
  absl::Status Refused(std::string_view what) const;
  absl::Status ReadAndWrite(SqlTransaction& source);
  absl::Status Write(SqlTransaction& target, const Holding& from);
  absl::Status WriteRows(SqlTransaction& target, const Holding& from) const;
  absl::Status WriteHistory(SqlTransaction& target, const std::vector<SqlRow>& history) const;
  absl::Status Clear(SqlTransaction& target) const;
  absl::Status Compare(const Holding& from);
  absl::Status Point(SqlTransaction& transaction, const std::string& to, bool anew) const;
  absl::Status Note(SqlTransaction& transaction, const std::string& detail) const;
  absl::Status Finish();

  Database& source_;
  Database& target_;
  const StoreCopyParams& params_;
  StoreCopyReport report_;
  KeyEvent event_;  // for both histories
  Found found_ = Found::kNothing;
};

absl::Status Copy::CheckSource(const KeyRows& rows) const {
  const std::string& url = source_.display_url();
  const bool is_ours = rows.moved_to == target_.display_url();
  if (!is_ours) SOTTO_RETURN_IF_ERROR(WithContext(CheckNotMoved(rows), url));
  if (!rows.row_status.ok()) return rows.row_status;
  return WithContext(CheckWellFormed(rows), url);
}

absl::Status Copy::Refused(std::string_view what) const {
  return CodedError(StatusCode::kAlreadyExists, "STORE_NOT_EMPTY",
                    absl::StrCat(target_.display_url(), " holds ", std::string(what), " of ",
                                 params_.cluster, " already; nothing was written"));
}

absl::StatusOr<Copy::Found> Copy::LookAtTarget(const Holding& from, const KeyRows& held) const {
  const bool points_back = held.moved_to == source_.display_url();
  if (!held.moved_to.empty() && !points_back) {
    return Refused(absl::StrCat("keys that were copied to ", held.moved_to));
  }
  if (points_back) {
    // What is newer there was not made by a copy of this source.
    if (held.newest() <= from.rows.newest()) return Found::kUnfinished;
    return Refused(absl::StrCat("the newer generation ", held.newest()));
  }
  const bool own_row = held.row_status.ok() && held.row == ClusterKeyRowOf(params_.cluster);
  if (!held.malformed.empty()) return Refused("unreadable rows");
  // Without any row of the cluster, the row of all clusters is somebody else's.
  if (held.keys.empty() && held.members.empty() && !own_row) {
    const bool same_row = held.row_status.ok() && held.value == from.rows.value;
    if (from.rows.moved_to.empty() || !same_row) return Found::kNothing;
  }
  if (from.rows.moved_to.empty()) return Refused("keys");
  // It has moved already, and lives on there.
  for (const KeyRow& key : from.rows.keys) {
    const KeyRow* there = held.Find(key.generation);
    if (there == nullptr || there->id != key.id) {
      return Refused(absl::StrCat("other keys than the source: no generation ", key.generation,
                                  " with the id ", ToString(key.id), ", and keys"));
    }
  }
  return Found::kFinished;
}

absl::Status Copy::Clear(SqlTransaction& target) const {
  for (const std::string table : {"ClusterKeys", "ClusterMembers", "ClusterKeyHistory"}) {
    SOTTO_RETURN_IF_ERROR(
        target.Run(absl::StrCat("DELETE FROM ", table, " WHERE ClusterName = ?"), {params_.cluster})
            .status());
  }
  return absl::OkStatus();
}

// `anew`: nobody else may have pointed anywhere at the same moment.
absl::Status Copy::Point(SqlTransaction& transaction, const std::string& to, bool anew) const {
  const SqlParam values[] = {params_.cluster, to, params_.now_ms, params_.actor};
  const std::string sql =
      anew ? "INSERT INTO ClusterMoves (ClusterName, MovedTo, MovedAt, Actor) VALUES (?, ?, ?, ?)"
           : SqlUpsert(transaction.dialect(), "ClusterMoves", kMoveColumns, 1);
  const absl::Status status = transaction.Run(sql, values).status();
  if (ErrorCode(status) != "DB_DUPLICATE") return status;
  return CodedError(
      StatusCode::kAborted, "DB_CONFLICT",
      absl::StrCat(transaction.where(), ": another copy was begun at the same moment"));
}

absl::Status Copy::WriteHistory(SqlTransaction& target, const std::vector<SqlRow>& history) const {
  for (const SqlRow& row : history) {
    std::vector<SqlParam> values = {std::string_view(params_.cluster)};
    for (const SqlValue& value : row) {
      if (const auto* number = std::get_if<int64_t>(&value)) {
        values.emplace_back(*number);
      } else if (const auto* text = std::get_if<std::string>(&value)) {
        values.emplace_back(std::string_view(*text));
      } else {
        values.emplace_back();
      }
    }
    SOTTO_RETURN_IF_ERROR(
        target
            .Run("INSERT INTO ClusterKeyHistory (ClusterName, At, Id, Actor, Action, Generation, "
                 "KeyId, Detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                 values)
            .status());
  }
  return absl::OkStatus();
}

absl::Status Copy::WriteRows(SqlTransaction& target, const Holding& from) const {
  for (const KeyRow& key : from.rows.keys) {
    SOTTO_RETURN_IF_ERROR(InsertKeyRow(target, params_.cluster, key));
  }
  for (const KeyMember& member : from.rows.members) {
    SOTTO_RETURN_IF_ERROR(WriteKeyMember(target, params_.cluster, member));
  }
  return WriteHistory(target, from.history);
}

absl::Status Copy::Write(SqlTransaction& target, const Holding& from) {
  SOTTO_ASSIGN_OR_RETURN(const KeyRows held, ReadKeyRows(target, params_.cluster, /*lock=*/true));
  SOTTO_ASSIGN_OR_RETURN(found_, LookAtTarget(from, held));
  report_.row = held.row_status.ok() ? held.row : from.rows.row;
  if (found_ == Found::kFinished) return absl::OkStatus();
  if (found_ == Found::kNothing) {
    SOTTO_RETURN_IF_ERROR(Point(target, source_.display_url(), /*anew=*/true));
  }
  SOTTO_RETURN_IF_ERROR(Clear(target));
  SOTTO_RETURN_IF_ERROR(WriteRows(target, from));
  if (!held.row_status.ok()) {
    // A row of the wrong shape is not ours to overwrite.
    if (ErrorCode(held.row_status) != "KEY_MISSING") return held.row_status;
    return AddSystemsRow(target, report_.row, from.rows.value);
  }
  if (held.value == from.rows.value) return absl::OkStatus();
  const std::string own_row = ClusterKeyRowOf(params_.cluster);
  if (found_ == Found::kUnfinished && (held.row == own_row || held.row == from.rows.row)) {
    return SetSystemsRow(target, held.row, from.rows.value);
  }
  // The row of all clusters holds another one's key; our own wins over it.
  report_.row = own_row;
  return AddSystemsRow(target, own_row, from.rows.value);
}

absl::Status Copy::Compare(const Holding& from) {
  Holding back;
  const auto read = [&](SqlTransaction& target) -> absl::Status {
    SOTTO_ASSIGN_OR_RETURN(back, ReadHolding(target, params_.cluster, /*lock=*/false));
    return absl::OkStatus();
  };
  SOTTO_RETURN_IF_ERROR(target_.Transact(SqlMode::kRead, read, params_.deadline));
  const std::string table = DifferenceOf(from, back);
  if (table.empty()) return absl::OkStatus();
  return CodedError(StatusCode::kDataLoss, "STORE_COPY_DIFFERS",
                    absl::StrCat(target_.display_url(), ": what was read back from ", table,
                                 " is not what was written; the source is as it was"));
}

absl::Status Copy::Note(SqlTransaction& transaction, const std::string& detail) const {
  KeyEvent event = event_;
  event.detail = detail;
  return InsertKeyEvent(transaction, params_.cluster, event);
}

absl::Status Copy::ReadAndWrite(SqlTransaction& source) {
  Say(1);
  SOTTO_ASSIGN_OR_RETURN(const Holding from, ReadHolding(source, params_.cluster, /*lock=*/true));
  SOTTO_RETURN_IF_ERROR(CheckSource(from.rows));
  if (const KeyRow* active = from.rows.active()) {
    event_.generation = active->generation;
    event_.id = active->id;
  }
  report_.keys = from.rows.keys.size();
  report_.members = from.rows.members.size();
  report_.events = from.history.size();
  report_.history_cut = from.history_cut;
  Say(2);
  SOTTO_RETURN_IF_ERROR(target_.Transact(
      SqlMode::kWrite, [&](SqlTransaction& target) { return Write(target, from); },
      params_.deadline));
  report_.copied = found_ != Found::kFinished;
  if (!report_.copied) return absl::OkStatus();
  Say(3);
  SOTTO_RETURN_IF_ERROR(Compare(from));
  Say(4);
  if (!from.rows.moved_to.empty()) return absl::OkStatus();
  SOTTO_RETURN_IF_ERROR(Point(source, target_.display_url(), /*anew=*/true));
  return Note(source, absl::StrCat("to ", target_.display_url()));
}

absl::Status Copy::Finish() {
  Say(5);
  return target_.Transact(
      SqlMode::kLocked,
      [&](SqlTransaction& target) -> absl::Status {
        SOTTO_ASSIGN_OR_RETURN(
            const SqlResult gone,
            target.Run("DELETE FROM ClusterMoves WHERE ClusterName = ? AND MovedTo = ?",
                       {params_.cluster, source_.display_url()}));
        if (gone.changed == 0) return absl::OkStatus();
        return Note(target, absl::StrCat("from ", source_.display_url()));
      },
      params_.deadline);
}

absl::StatusOr<StoreCopyReport> Copy::Run() {
  for (const Database* database : {&source_, &target_}) {
    if (database->display_url().size() <= kMovedToBytesMax) continue;
    return CodedError(StatusCode::kInvalidArgument, "STORE_URL_INVALID",
                      absl::StrCat("a store's URL of ", database->display_url().size(),
                                   " bytes, want at most ", kMovedToBytesMax));
  }
  if (source_.display_url() == target_.display_url()) {
    return CodedError(StatusCode::kInvalidArgument, "STORE_SAME",
                      absl::StrCat(source_.display_url(), " is the source and the target"));
  }
  event_ = {params_.now_ms, params_.actor, std::string(kAction), "", 0, {}};
  SOTTO_RETURN_IF_ERROR(CheckStore(source_, /*create=*/false));
  SOTTO_RETURN_IF_ERROR(EnsureSchema(source_, params_.deadline));
  SOTTO_RETURN_IF_ERROR(CheckStore(target_, /*create=*/true));
  SOTTO_RETURN_IF_ERROR(EnsureSchema(target_, params_.deadline));
  SOTTO_RETURN_IF_ERROR(source_.Transact(
      SqlMode::kLocked, [&](SqlTransaction& source) { return ReadAndWrite(source); },
      params_.deadline));
  SOTTO_RETURN_IF_ERROR(Finish());
  return report_;
}

}  // namespace

absl::StatusOr<StoreCopyReport> CopyStore(Database& source, Database& target,
                                          const StoreCopyParams& params) {
  return Copy(source, target, params).Run();
}

}  // namespace sotto
