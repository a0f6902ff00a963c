#include "cmd/sottod/key_desk.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/cluster_key.h"
#include "store/unix_time.h"

namespace sotto {
namespace {

using Clock = std::chrono::steady_clock;

// A progress display asks twice a second; the members are asked once.
constexpr std::chrono::milliseconds kAskAgain{900};

std::string Lower(std::string_view state) {
  std::string out(state);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

std::string KekText(const std::string& value) {
  const std::optional<KekId> kek = WrappingKekOf(value);
  return kek ? ToString(*kek) : std::string();
}

absl::Status CheckSystemsRow(const KeyRows& rows, const std::string& cluster,
                             const KeyPolicy& policy) {
  SOTTO_RETURN_IF_ERROR(rows.row_status);
  SOTTO_ASSIGN_OR_RETURN(const SystemsKey found, KeyInSystems(rows, cluster, policy));
  if (found.known != nullptr && found.known->state == KeyState::kActive) return absl::OkStatus();
  const KeyId id = found.known != nullptr ? found.known->id : found.key->id();
  return CodedError(
      absl::StatusCode::kFailedPrecondition, "ROW_CHANGED",
      absl::StrCat("it holds ", ToString(id), ", written by hand; the leader rotates to it"));
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

KeyDesk::KeyDesk(KeyKeeper* keeper, Node* node, std::string store_url)
    : keeper_(keeper), node_(node), store_url_(std::move(store_url)) {}

void KeyDesk::AskOnce(KeyTable* table, uint64_t generation) {
  const std::lock_guard lock(ask_mutex_);
  if (Clock::now() - asked_ < kAskAgain) return;
  keeper_->Ask(table, generation);
  asked_ = Clock::now();
}

// ---- what there is ------------------------------------------------------------------------------

absl::StatusOr<KeyOverview> KeyDesk::Keys(bool ask, bool removed) {
  KeyOverview out;
  const std::shared_ptr<const NodeView> view = node_->View();
  out.cluster = keeper_->agent().cluster();
  out.store_url = store_url_;
  out.leader = view->leader;
  out.retire_after_s = keeper_->rotation().retire_after_ms / 1'000;
  const KeyReport report = keeper_->Report();
  out.store = report.status;
  out.blocked = report.blocked;

  const bool is_away = keeper_->store_away() && !report.status.ok();
  if (is_away) keeper_->Wake(KeyWake::kHint);
  absl::StatusOr<std::shared_ptr<KeyTable>> table =
      is_away ? absl::StatusOr<std::shared_ptr<KeyTable>>(report.status) : keeper_->Table();
  absl::StatusOr<KeyRows> rows = table.ok() ? (*table)->Read() : table.status();
  if (ask) {
    const bool rotating = rows.ok() && rows->next() != nullptr;
    AskOnce(rows.ok() ? table->get() : nullptr, rotating ? rows->newest() : 0);
    if (table.ok()) rows = (*table)->Read();
  }
  if (rows.ok() && rows->keys.empty()) {
    out.store = CodedError(absl::StatusCode::kNotFound, "KEY_TABLE_EMPTY",
                           "ClusterKeys has no row of this cluster");
    AddHeldKeys(&out);
    AddMembers(*rows, &out);
  } else if (rows.ok()) {
    AddKeys(*rows, removed, &out);
    AddMembers(*rows, &out);
    out.next_rotation_ms = NextRotationAt(*rows, keeper_->rotation());
  } else {
    out.store = rows.status();
    AddHeldKeys(&out);
    AddMembers(KeyRows(), &out);
  }
  return out;
}

void KeyDesk::AddKeys(const KeyRows& rows, bool removed, KeyOverview* out) const {
  const KeyRing ring = keeper_->agent().ring();
  const uint64_t sealed = node_->Stats().frames_sealed;
  for (auto row = rows.keys.rbegin(); row != rows.keys.rend(); ++row) {
    if (row->state == KeyState::kRemoved && !removed) continue;
    KeyRowView view;
    view.generation = row->generation;
    view.id = row->id;
    view.state = Lower(ToString(row->state));
    view.kek = KekText(row->value);
    const RingKey* held = ring.Find(row->id);
    if (held != nullptr) view.algorithm = held->key->algorithm();
    view.held_here = held != nullptr;
    view.seals_here = row->id == ring.sealing;
    if (view.seals_here) view.frames_sealed = sealed;
    view.created_ms = row->created_ms;
    view.activated_ms = row->activated_ms;
    view.retire_at_ms = row->retire_at_ms;
    view.actor = row->actor;
    view.automatic = row->automatic;
    out->keys.push_back(std::move(view));
  }
}

// Without the table: what this node has.
void KeyDesk::AddHeldKeys(KeyOverview* out) const {
  const KeyRing ring = keeper_->agent().ring();
  for (const RingKey& held : ring.keys) {
    KeyRowView view;
    view.generation = held.key->generation();
    view.id = held.key->id();
    view.seals_here = held.key->id() == ring.sealing;
    view.state = view.seals_here ? "active" : Lower(ToString(held.state));
    view.kek = KekText(held.wrapped);
    view.algorithm = held.key->algorithm();
    view.held_here = true;
    if (view.seals_here) view.frames_sealed = node_->Stats().frames_sealed;
    out->keys.push_back(std::move(view));
  }
}

void KeyDesk::AddMembers(const KeyRows& rows, KeyOverview* out) const {
  const KeyAnswers answers = keeper_->Answers();
  const KeyClaim own = keeper_->agent().Claim();
  const int64_t now_ms = UnixMillis();
  std::map<std::string, KeyHolderView> holders;
  for (const KeyMember& row : rows.members) {
    KeyHolderView& holder = holders[row.name];
    holder.held = row.held;
    holder.sealing = row.sealing;
    holder.trouble = row.trouble;
    holder.seen_s_ago = std::max<double>(0, static_cast<double>(now_ms - row.last_seen_ms) / 1e3);
    holder.in_store = true;
  }
  const NodeStats stats = node_->Stats();
  const std::shared_ptr<const NodeView> view = node_->View();
  for (const MemberInfo& member : view->members) {
    const bool gone = member.state > MemberState::kDead && !holders.contains(member.name);
    if (gone) continue;
    KeyHolderView& holder = holders[member.name];
    holder.state = member.state;
    const auto answer = answers.find(member.name);
    const KeyClaim* claim = nullptr;
    if (member.is_self) {
      claim = &own;
      holder.seen_s_ago = 0;
      holder.key_drops = stats.drops[static_cast<size_t>(DropReason::kUnknownKey)] +
                         stats.drops[static_cast<size_t>(DropReason::kBadTag)];
    } else if (answer != answers.end()) {
      claim = &answer->second.claim;
      holder.seen_s_ago = static_cast<double>(now_ms - answer->second.at_ms) / 1e3;
      holder.key_drops = claim->key_drops;
    }
    if (claim == nullptr) continue;
    holder.answered = true;
    holder.trouble = claim->trouble;
    for (const KekId& kek : claim->keks) holder.keks.push_back(ToString(kek));
    const KeyRow* held = rows.FindLive(claim->held_id);
    const KeyRow* sealing = rows.FindLive(claim->sealing_id);
    // Its own number counts where there is no table to translate it. Neither number falls, so of
    // row and answer the higher one is the newer one.
    const auto generation = [&rows](const KeyRow* row, uint64_t told) {
      return row != nullptr ? row->generation : rows.keys.empty() ? told : 0;
    };
    const auto raise = [](std::optional<uint64_t>* known, uint64_t told) {
      if (told > known->value_or(0)) *known = told;
    };
    raise(&holder.held, generation(held, claim->held));
    raise(&holder.sealing, generation(sealing, claim->sealing));
  }
  for (auto& [name, holder] : holders) {
    holder.name = name;
    out->members.push_back(std::move(holder));
  }
}

// ---- the steps ----------------------------------------------------------------------------------

void KeyDesk::Tell(KeyTable* table, uint64_t generation) {
  keeper_->Wake(KeyWake::kNow);
  const std::lock_guard lock(ask_mutex_);
  keeper_->Ask(table, generation);
  asked_ = Clock::now();
}

absl::StatusOr<PrepareOutcome> KeyDesk::PrepareKey(const PrepareOrder& order) {
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<KeyTable> table, keeper_->Table());
  const KeyPolicy policy = keeper_->agent().policy();
  SOTTO_ASSIGN_OR_RETURN(KeyRows rows, table->Read());
  SOTTO_RETURN_IF_ERROR(CheckShared(rows, keeper_->Living(rows)));
  const KeyTable::PrepareParams params{nullptr, false, order.actor};
  absl::StatusOr<KeyTable::Prepared> prepared = table->Prepare(policy, params);
  if (ErrorCode(prepared.status()) == "ROW_CHANGED") {
    // Somebody has written a key into the row: that is the one to go on with.
    SOTTO_RETURN_IF_ERROR(table->TakeExternal(policy));
    prepared = table->Prepare(policy, params);
  }
  SOTTO_RETURN_IF_ERROR(prepared.status());
  SOTTO_ASSIGN_OR_RETURN(rows, table->Read());
  PrepareOutcome out;
  out.generation = prepared->generation;
  out.id = prepared->id;
  out.resumed = prepared->resumed;
  if (const KeyRow* active = rows.active()) {
    out.active_generation = active->generation;
    out.active_id = active->id;
  }
  if (const KeyRow* next = rows.Find(out.generation)) out.kek = KekText(next->value);
  Tell(table.get(), out.generation);
  return out;
}

// Members with a store of their own have no row here; what they say counts, by the key's id.
absl::Status KeyDesk::CheckUnsharedHold(const KeyRows& rows,
                                        const std::vector<LivingMember>& living,
                                        const ActivateOrder& order,
                                        std::vector<std::string>* must) const {
  std::vector<std::string> lacking;
  for (const LivingMember& member : living) {
    if (Contains(order.skip, member.name)) continue;
    if (rows.FindMember(member.name) != nullptr) {
      must->push_back(member.name);
    } else if (member.held.value_or(0) < order.generation) {
      lacking.push_back(member.name);
    }
  }
  if (lacking.empty()) return absl::OkStatus();
  return CodedError(absl::StatusCode::kFailedPrecondition, "KEY_NOT_SPREAD",
                    absl::StrCat("generation ", order.generation, " is not held by ",
                                 absl::StrJoin(lacking, ", "), ", which ",
                                 lacking.size() == 1 ? "has" : "have", " another store"));
}

absl::Status KeyDesk::ActivateKey(const ActivateOrder& order) {
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<KeyTable> table, keeper_->Table());
  SOTTO_ASSIGN_OR_RETURN(KeyRows rows, table->Read());
  std::vector<LivingMember> living = keeper_->Living(rows);
  if (!Lacking(rows, living, order.generation).empty()) {
    AskOnce(table.get(), order.generation);
    SOTTO_ASSIGN_OR_RETURN(rows, table->Read());
    living = keeper_->Living(rows);
  }
  KeyTable::ActivateParams params;
  params.generation = order.generation;
  params.actor = order.actor;
  params.retire_after_ms =
      order.retire_after_s ? *order.retire_after_s * 1'000 : keeper_->rotation().retire_after_ms;
  const KeyRow* row = rows.Find(order.generation);
  if (row != nullptr && row->state == KeyState::kPrepared) {
    SOTTO_RETURN_IF_ERROR(CheckUnsharedHold(rows, living, order, &params.must_hold));
  }
  params.without = order.skip;
  SOTTO_RETURN_IF_ERROR(table->Activate(keeper_->agent().policy(), params));
  Tell(table.get(), order.generation);
  return absl::OkStatus();
}

// Known members that have no row here: they have another store, and only their own word tells what
// they seal with.
absl::Status KeyDesk::CheckUnsharedNeed(const KeyRows& rows, const RemoveOrder& order) const {
  const KeyAnswers answers = keeper_->Answers();
  std::vector<std::string> needed;
  const std::shared_ptr<const NodeView> view = node_->View();
  for (const MemberInfo& member : view->members) {
    const bool gone = member.state > MemberState::kDead;
    const bool counts = !gone && !member.is_self && rows.FindMember(member.name) == nullptr;
    if (!counts || Contains(order.lock_out, member.name)) continue;
    const auto answer = answers.find(member.name);
    const KeyRow* sealing =
        answer == answers.end() ? nullptr : rows.FindLive(answer->second.claim.sealing_id);
    if (sealing == nullptr || sealing->generation <= order.generation) {
      needed.push_back(member.name);
    }
  }
  if (needed.empty()) return absl::OkStatus();
  return CodedError(absl::StatusCode::kFailedPrecondition, "KEY_STILL_NEEDED",
                    absl::StrCat(absl::StrJoin(needed, ", "), needed.size() == 1 ? " has" : " have",
                                 " no row in this store, and did not say that a newer key than "
                                 "generation ",
                                 order.generation, " is sealed with there"));
}

absl::Status KeyDesk::TryRemove(KeyTable& table, const RemoveOrder& order) {
  SOTTO_ASSIGN_OR_RETURN(const KeyRows rows, table.Read());
  const KeyRow* row = rows.Find(order.generation);
  if (row != nullptr && row->state == KeyState::kRetired) {
    SOTTO_RETURN_IF_ERROR(CheckUnsharedNeed(rows, order));
  }
  return table.Remove({order.generation, order.lock_out, order.actor});
}

absl::Status KeyDesk::RemoveKey(const RemoveOrder& order) {
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<KeyTable> table, keeper_->Table());
  // A living member's row may be older than what it does.
  AskOnce(table.get(), order.generation);
  absl::Status status = TryRemove(*table, order);
  if (ErrorCode(status) == "KEY_STILL_NEEDED") {
    Tell(table.get(), order.generation);
    status = TryRemove(*table, order);
  }
  SOTTO_RETURN_IF_ERROR(status);
  Tell(table.get(), order.generation);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<KeyHistoryRow>> KeyDesk::KeyHistory(uint64_t limit) {
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<KeyTable> table, keeper_->Table());
  SOTTO_ASSIGN_OR_RETURN(const std::vector<KeyEvent> events, table->History(limit));
  std::vector<KeyHistoryRow> out;
  for (const KeyEvent& event : events) {
    out.push_back(
        {event.at_ms, event.actor, event.action, event.detail, event.generation, event.id});
  }
  return out;
}

absl::StatusOr<bool> KeyDesk::ForgetMember(std::string_view name) {
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<KeyTable> table, keeper_->Table());
  return table->ForgetMember(name);
}

// ---- verify -------------------------------------------------------------------------------------

std::vector<KeyTable::HeldKey> KeyDesk::Held() const {
  const KeyRing ring = keeper_->agent().ring();
  std::vector<KeyTable::HeldKey> held;
  for (const RingKey& key : ring.keys) {
    // What no table has confirmed is not written into one.
    if (!key.provisional) held.push_back({key.key, ring.StateOf(key)});
  }
  return held;
}

absl::StatusOr<std::vector<KeyCheck>> KeyDesk::VerifyKeys(bool repair, const std::string& actor) {
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<KeyTable> table, keeper_->Table());
  bool repaired = false;
  if (repair) {
    const absl::Status status = table->Restore(keeper_->agent().policy(), Held(),
                                               keeper_->rotation().retire_after_ms, actor);
    repaired = status.ok();
    if (!status.ok() && ErrorCode(status) != "KEY_STATE") return status;
    if (repaired) Tell(table.get(), keeper_->agent().ring().newest());
  }
  SOTTO_ASSIGN_OR_RETURN(KeyRows rows, table->Read());
  std::vector<KeyCheck> checks;
  const auto add = [&](std::string name, absl::Status status) {
    checks.push_back({std::move(name), std::move(status), false});
  };
  const KeyRow* active = rows.active();
  add("the table has exactly one ACTIVE key",
      active != nullptr ? absl::OkStatus()
                        : CodedError(absl::StatusCode::kFailedPrecondition, "KEY_STATE",
                                     "ClusterKeys has not exactly one ACTIVE key"));
  add("the table is not older than this node",
      IsBehind(rows, keeper_->agent().generation_seen())
          ? Rollback(rows, keeper_->agent().generation_seen())
          : absl::OkStatus());
  for (const KeyRow& row : rows.keys) {
    if (row.state == KeyState::kRemoved) continue;
    absl::StatusOr<ClusterKeyRef> key = KeyOfRow(row, table->cluster(), keeper_->agent().policy());
    absl::Status status = key.ok() ? SelfTestKey(**key) : key.status();
    add(absl::StrCat("generation ", row.generation, " (", ToString(row.id),
                     ") opens, seals and opens again"),
        std::move(status));
  }
  add(absl::StrCat("the row ", rows.row, " holds the ACTIVE key"),
      CheckSystemsRow(rows, table->cluster(), keeper_->agent().policy()));
  add("the keys are changed in this store", CheckNotMoved(rows));
  const std::vector<LivingMember> living = keeper_->Living(rows);
  add("every living member shares this store", CheckShared(rows, living));
  add("every living member holds the ACTIVE key", [&]() -> absl::Status {
    const std::vector<std::string> names =
        active == nullptr ? std::vector<std::string>() : Lacking(rows, living, active->generation);
    if (names.empty()) return absl::OkStatus();
    return CodedError(
        absl::StatusCode::kFailedPrecondition, "KEY_NOT_SPREAD",
        absl::StrCat(absl::StrJoin(names, ", "), names.size() == 1 ? " lacks" : " lack",
                     " generation ", active->generation));
  }());
  if (repaired) {
    checks.insert(checks.begin(), {"the table and the row were set to what this node holds",
                                   absl::OkStatus(), true});
  }
  return checks;
}

}  // namespace sotto
