#include "store/kek_rekey.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/envelope.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"
#include "store/kek_backup_internal.h"
#include "store/schema.h"
#include "store/systems_rows.h"

namespace sotto {
namespace {

using absl::StatusCode;
using internal::BackupEntry;

std::string WhereOf(const KeyRow& row) { return absl::StrCat("generation ", row.generation); }
std::string WhereOf(const KeyRows& rows) { return absl::StrCat("the row ", rows.row); }

// Opens whatever was ever accepted: for looking at, not for going on with.
KeyPolicy AnyKey(const KeyPolicy& policy) {
  return {.allow_weak = true, .allow_hex_looking = true, .keks = policy.keks, .accept_plain = true};
}

absl::StatusOr<ClusterKeyRef> KeyOfSystems(const KeyRows& rows, std::string_view cluster,
                                           const KeyPolicy& policy) {
  KeyPolicy open = policy;
  open.generation_seen = 0;
  return ParseClusterKey(rows.value, cluster, open);
}

absl::Status CheckRows(const KeyRows& rows) {
  SOTTO_RETURN_IF_ERROR(CheckWellFormed(rows));
  return rows.row_status;
}

class Survey {
 public:
  Survey(std::string_view cluster, const KeyPolicy& policy)
      : cluster_(cluster), policy_(AnyKey(policy)) {
    if (policy_.keks == nullptr) return;
    for (const KekRef& kek : policy_.keks->keks()) {
      const bool active = out_.keks.empty();
      out_.keks.push_back(
          {kek->id(), active ? KekState::kActive : KekState::kSafeToRemove, {}, false});
    }
  }

  void Add(const KeyRow& row) {
    if (row.state == KeyState::kRemoved) return;
    if (KekUsage* usage = UsageOf(row.value, WhereOf(row))) {
      usage->generations.push_back(row.generation);
      if (usage->state == KekState::kMissing) return;
      Open(WhereOf(row), KeyOfRow(row, cluster_, policy_).status());
    }
  }
  void AddSystems(const KeyRows& rows) {
    if (!rows.row_status.ok()) return Open(WhereOf(rows), rows.row_status);
    if (KekUsage* usage = UsageOf(rows.value, WhereOf(rows))) {
      usage->systems = true;
      if (usage->state == KekState::kMissing) return;
      Open(WhereOf(rows), KeyOfSystems(rows, cluster_, policy_).status());
    }
  }

  KekSurvey Take() {
    std::stable_sort(out_.keks.begin(), out_.keks.end(), [](const KekUsage& a, const KekUsage& b) {
      return RankOf(a.state) < RankOf(b.state);
    });
    return std::move(out_);
  }

 private:
  static int RankOf(KekState state) {
    if (state == KekState::kMissing) return 2;
    return state == KekState::kLegacy ? 1 : 0;
  }
  void Open(std::string where, const absl::Status& status) {
    if (!status.ok()) out_.troubles.push_back({std::move(where), status});
  }
  // Null where the value is not of any form.
  KekUsage* UsageOf(std::string_view value, const std::string& where) {
    std::optional<KekId> id;
    if (IsWrappedKey(value)) {
      const absl::StatusOr<WrappedKey> wrapped = ParseWrappedKey(value);
      Open(where, wrapped.status());
      if (!wrapped.ok()) return nullptr;
      id = wrapped->kek;
    }
    for (KekUsage& usage : out_.keks) {
      if (usage.id != id) continue;
      if (usage.state == KekState::kSafeToRemove) usage.state = KekState::kRekeyPending;
      return &usage;
    }
    out_.keks.push_back({id, id ? KekState::kMissing : KekState::kLegacy, {}, false});
    return &out_.keks.back();
  }

  const std::string_view cluster_;
  const KeyPolicy policy_;
  KekSurvey out_;
};

// One value of the store, and what is to stand there.
struct Slot {
  const KeyRow* row = nullptr;  // null: the Systems row
  ClusterKeyRef key;
  std::string wanted;  // empty: what stands there
};

class Change {
 public:
  Change(Database& database, const RekeyParams& params) : database_(database), params_(params) {}

  using Planner = absl::Status (Change::*)();
  absl::StatusOr<RekeyReport> Run(Planner plan, std::string_view action);

  absl::Status PlanRekey();
  absl::Status PlanRollBack();

  absl::Status ReadBackup();

 private:
  std::vector<KekId> FutureKeks() const;
  void Say(std::string_view step) const {
    if (params_.progress) params_.progress(step);
  }
  absl::Status Attempt(SqlTransaction& transaction, Planner plan, std::string_view action);
  absl::Status Open();
  absl::Status Backup();
  absl::Status Write(SqlTransaction& transaction, std::string_view action);
  absl::Status PutBack(const BackupEntry& entry);
  absl::Status PutSystemsBack(const BackupEntry& entry);
  Slot* MirrorOfSystems();
  const std::string& TextOf(const Slot& slot) const {
    return slot.row != nullptr ? slot.row->value : rows_.value;
  }
  void Skip(std::string where, std::string why) {
    report_.skipped.push_back({std::move(where), std::move(why)});
  }

  Database& database_;
  const RekeyParams& params_;
  bool has_tables_ = true;
  std::vector<BackupEntry> entries_;  // to put back
  bool wrote_backup_ = false;         // by an earlier attempt of this call
  // Of one attempt.
  KeyRows rows_;
  std::vector<Slot> slots_;  // the last one is the Systems row
  RekeyReport report_;
};

// The row whose text the Systems row repeats; null if none does.
Slot* Change::MirrorOfSystems() {
  for (Slot& slot : slots_) {
    if (slot.row != nullptr && slot.row->value == rows_.value) return &slot;
  }
  return nullptr;
}

absl::Status Change::Open() {
  for (Slot& slot : slots_) {
    auto key = slot.row != nullptr ? KeyOfRow(*slot.row, params_.cluster, params_.policy)
                                   : KeyOfSystems(rows_, params_.cluster, params_.policy);
    if (!key.ok()) {
      return WithContext(key.status(),
                         absl::StrCat(database_.display_url(), ", ",
                                      slot.row ? WhereOf(*slot.row) : WhereOf(rows_)));
    }
    slot.key = *std::move(key);
  }
  return absl::OkStatus();
}

absl::Status Change::PlanRekey() {
  SOTTO_RETURN_IF_ERROR(Open());
  const Kek& active = *params_.policy.keks->active();
  const auto is_done = [&](const Slot& slot) { return WrappingKekOf(TextOf(slot)) == active.id(); };
  for (Slot& slot : slots_) {
    if (slot.row == nullptr || is_done(slot)) continue;
    SOTTO_ASSIGN_OR_RETURN(slot.wanted, WrapKey(*slot.key, active));
  }
  Slot& systems = slots_.back();
  if (const Slot* mirror = MirrorOfSystems()) {
    systems.wanted = mirror->wanted;
  } else if (!is_done(systems)) {
    const auto same = std::find_if(slots_.begin(), slots_.end() - 1, [&](const Slot& slot) {
      return slot.key->id() == systems.key->id() && slot.key->secret() == systems.key->secret();
    });
    if (same != slots_.end() - 1) {
      systems.wanted = same->wanted.empty() ? same->row->value : same->wanted;
    } else {
      SOTTO_ASSIGN_OR_RETURN(systems.wanted, WrapKey(*systems.key, active));
    }
  }
  return Backup();
}

absl::Status Change::Backup() {
  if (params_.backup.empty()) return absl::OkStatus();
  std::vector<BackupEntry> entries;
  for (const Slot& slot : slots_) {
    if (slot.wanted.empty()) continue;
    if (!IsWrappedKey(TextOf(slot))) {
      return CodedError(StatusCode::kFailedPrecondition, "KEK_BACKUP_PLAIN",
                        absl::StrCat(slot.row ? WhereOf(*slot.row) : WhereOf(rows_),
                                     " holds its key unwrapped, and a backup never does; nothing "
                                     "was changed"));
    }
    entries.push_back({slot.row ? "" : rows_.row, slot.key->generation(), ToString(slot.key->id()),
                       TextOf(slot)});
  }
  if (entries.empty() || params_.dry_run) return absl::OkStatus();
  Say("backup");
  const std::string text = internal::KekBackupText(params_.cluster, entries);
  if (wrote_backup_) return AtomicWrite(params_.backup, text, 0600);
  absl::Status status = AtomicCreate(params_.backup, text, 0600);
  if (ErrorCode(status) == "FILE_EXISTS") {
    FileRules rules;
    rules.bytes_max = kPlainFileBytesMax;
    rules.also_owner = params_.also_owner;
    const auto there = ReadSecretFile(params_.backup, rules);
    const bool same = there.ok() && std::equal(text.begin(), text.end(), there->view().begin(),
                                               there->view().end());
    if (same) status = absl::OkStatus();
  }
  SOTTO_RETURN_IF_ERROR(status);
  wrote_backup_ = report_.backed_up = true;
  return absl::OkStatus();
}

absl::Status Change::PutBack(const BackupEntry& entry) {
  const std::string where = absl::StrCat("generation ", entry.generation);
  const auto slot = std::find_if(slots_.begin(), slots_.end() - 1, [&](const Slot& candidate) {
    return candidate.row->generation == entry.generation;
  });
  if (slot == slots_.end() - 1) {
    const bool removed = rows_.Find(entry.generation) != nullptr;
    Skip(where, removed ? "it was removed since, and never returns" : "it is not there any more");
    return absl::OkStatus();
  }
  if (ToString(slot->row->id) != entry.id) {
    Skip(where, "another key is there: " + ToString(slot->row->id));
    return absl::OkStatus();
  }
  if (slot->row->value == entry.value) return absl::OkStatus();
  KeyRow candidate = *slot->row;
  candidate.value = entry.value;
  const auto key = KeyOfRow(candidate, params_.cluster, AnyKey(params_.policy));
  if (!key.ok()) return WithContext(key.status(), absl::StrCat("the backup, ", where));
  // What is there may be unreadable: that is what a backup is for.
  const auto held = KeyOfRow(*slot->row, params_.cluster, AnyKey(params_.policy));
  if (held.ok() && (*held)->secret() != (*key)->secret()) {
    Skip(where, "another key of that id is there");
    return absl::OkStatus();
  }
  slot->wanted = entry.value;
  return absl::OkStatus();
}

absl::Status Change::PutSystemsBack(const BackupEntry& entry) {
  if (entry.row != rows_.row) {
    Skip("the row " + entry.row, "the cluster's row is " + rows_.row + " by now");
    return absl::OkStatus();
  }
  Slot& systems = slots_.back();
  if (rows_.value == entry.value || !systems.wanted.empty()) return absl::OkStatus();
  const auto held = KeyOfSystems(rows_, params_.cluster, AnyKey(params_.policy));
  const bool same =
      held.ok() && (*held)->generation() == entry.generation && ToString((*held)->id()) == entry.id;
  if (!same || MirrorOfSystems() != nullptr) {
    Skip(WhereOf(rows_), "another value is there by now");
    return absl::OkStatus();
  }
  KeyRows candidate;
  candidate.value = entry.value;
  const auto key = KeyOfSystems(candidate, params_.cluster, AnyKey(params_.policy));
  if (!key.ok()) return WithContext(key.status(), "the backup, the row " + entry.row);
  if ((*key)->secret() != (*held)->secret() || (*key)->generation() != entry.generation) {
    Skip(WhereOf(rows_), "another key of that id is there");
    return absl::OkStatus();
  }
  systems.wanted = entry.value;
  return absl::OkStatus();
}

absl::Status Change::PlanRollBack() {
  for (const BackupEntry& entry : entries_) {
    if (entry.row.empty()) SOTTO_RETURN_IF_ERROR(PutBack(entry));
  }
  // The mirror goes along, whether the backup has it or not.
  if (const Slot* mirror = MirrorOfSystems()) slots_.back().wanted = mirror->wanted;
  for (const BackupEntry& entry : entries_) {
    if (!entry.row.empty()) SOTTO_RETURN_IF_ERROR(PutSystemsBack(entry));
  }
  return absl::OkStatus();
}

absl::Status Change::ReadBackup() {
  FileRules rules;
  rules.bytes_max = kPlainFileBytesMax;
  rules.also_owner = params_.also_owner;
  SOTTO_ASSIGN_OR_RETURN(const SecretBytes bytes, ReadSecretFile(params_.backup, rules));
  const std::string text(bytes.view().begin(), bytes.view().end());
  auto entries = internal::ParseKekBackup(text, params_.cluster);
  if (!entries.ok()) return WithContext(entries.status(), params_.backup);
  entries_ = *std::move(entries);
  return absl::OkStatus();
}

absl::Status Change::Write(SqlTransaction& transaction, std::string_view action) {
  for (const Slot& slot : slots_) {
    if (slot.wanted.empty()) continue;
    Say(slot.row ? WhereOf(*slot.row) : "systems");
    SOTTO_RETURN_IF_ERROR(
        slot.row ? SetKeyValue(transaction, params_.cluster, slot.row->generation, slot.wanted)
                 : SetSystemsRow(transaction, rows_.row, slot.wanted));
  }
  KeyEvent event{params_.now_ms, params_.actor, std::string(action), "", 0, {}};
  event.detail = absl::StrCat(report_.changed, " values",
                              report_.backed_up || !entries_.empty() ? ", with a backup" : "");
  if (const KeyRow* active = rows_.active()) {
    event.generation = active->generation;
    event.id = active->id;
  }
  SOTTO_RETURN_IF_ERROR(InsertKeyEvent(transaction, params_.cluster, event));
  Say("commit");
  return NotifyKeys(transaction, params_.cluster);
}

absl::Status Change::Attempt(SqlTransaction& transaction, Planner plan, std::string_view action) {
  Say("lock");
  const RekeyReport before = std::move(report_);
  report_ = {};
  report_.backed_up = wrote_backup_;
  slots_.clear();
  SOTTO_ASSIGN_OR_RETURN(rows_,
                         ReadKeyRows(transaction, params_.cluster, /*lock=*/true, has_tables_));
  SOTTO_RETURN_IF_ERROR(CheckNotMoved(rows_));
  SOTTO_RETURN_IF_ERROR(CheckRows(rows_));
  for (const KeyRow& row : rows_.keys) {
    if (row.state != KeyState::kRemoved) slots_.push_back({&row, nullptr, ""});
  }
  slots_.push_back({nullptr, nullptr, ""});
  Say("open");
  SOTTO_RETURN_IF_ERROR((this->*plan)());
  report_.changed = static_cast<size_t>(std::count_if(
      slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot.wanted.empty(); }));
  report_.as_they_were = slots_.size() - report_.changed;
  if (report_.changed == 0 && transaction.may_have_committed()) report_ = before;
  if (params_.dry_run || report_.changed == 0) return absl::OkStatus();
  return Write(transaction, action);
}

// Of the backup, or the one that wraps.
std::vector<KekId> Change::FutureKeks() const {
  if (entries_.empty()) return {params_.policy.keks->active()->id()};
  std::set<KekId> keks;
  for (const BackupEntry& entry : entries_) {
    if (const auto kek = WrappingKekOf(entry.value)) keks.insert(*kek);
  }
  return {keks.begin(), keks.end()};
}

absl::StatusOr<RekeyReport> Change::Run(Planner plan, std::string_view action) {
  if (params_.policy.keks == nullptr) {
    return CodedError(StatusCode::kFailedPrecondition, "KEK_NONE",
                      "no key-encryption key is given");
  }
  if (params_.allow) SOTTO_RETURN_IF_ERROR(params_.allow(FutureKeks()));
  if (params_.dry_run) {
    SOTTO_ASSIGN_OR_RETURN(const int64_t version, ReadSchemaVersion(database_, params_.deadline));
    has_tables_ = version > 0;
  } else {
    SOTTO_RETURN_IF_ERROR(EnsureSchema(database_, params_.deadline));
  }
  SOTTO_RETURN_IF_ERROR(database_.Transact(
      SqlMode::kLocked,
      [&](SqlTransaction& transaction) { return Attempt(transaction, plan, action); },
      params_.deadline));
  return std::move(report_);
}

}  // namespace

std::string_view ToString(KekState state) {
  switch (state) {
    case KekState::kActive:
      return "active";
    case KekState::kRekeyPending:
      return "retired, rekey pending";
    case KekState::kSafeToRemove:
      return "retired, SAFE TO REMOVE";
    case KekState::kLegacy:
      return "legacy";
    case KekState::kMissing:
      break;
  }
  return "MISSING KEY";
}

KekSurvey SurveyKeks(const KeyRows& rows, std::string_view cluster, const KeyPolicy& policy) {
  Survey survey(cluster, policy);
  for (const KeyRow& row : rows.keys) survey.Add(row);
  survey.AddSystems(rows);
  return survey.Take();
}

absl::StatusOr<KekSurvey> SurveyStore(Database& database, std::string_view cluster,
                                      const KeyPolicy& policy, SqlTime deadline) {
  SOTTO_ASSIGN_OR_RETURN(const int64_t version, ReadSchemaVersion(database, deadline));
  KekSurvey survey;
  const auto read = [&](SqlTransaction& transaction) -> absl::Status {
    SOTTO_ASSIGN_OR_RETURN(const KeyRows rows,
                           ReadKeyRows(transaction, cluster, /*lock=*/false, version > 0));
    if (!rows.malformed.empty() || ErrorCode(rows.row_status) == "KEY_MISSING")
      return CheckRows(rows);
    survey = SurveyKeks(rows, cluster, policy);
    return absl::OkStatus();
  };
  SOTTO_RETURN_IF_ERROR(database.Transact(SqlMode::kRead, read, deadline));
  return survey;
}

absl::StatusOr<RekeyReport> RekeyStore(Database& database, const RekeyParams& params) {
  return Change(database, params).Run(&Change::PlanRekey, "kek rekey");
}

absl::StatusOr<RekeyReport> RollBackStore(Database& database, const RekeyParams& params) {
  Change change(database, params);
  SOTTO_RETURN_IF_ERROR(change.ReadBackup());
  return change.Run(&Change::PlanRollBack, "kek rollback");
}

}  // namespace sotto
