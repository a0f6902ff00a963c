// State exchange: contacts and the dead dialled for ever, routine and hash syncs, what a table
// tells (design W10, M5, M8).
#include <algorithm>
#include <utility>

#include "gossip/base/check.h"
#include "gossip/protocol_impl.h"

namespace sotto {
namespace {

constexpr size_t kRetriesInFlightMax = 3;
constexpr size_t kDeadNamesMax = 1'024;
// Tombstones told in one sync; the rest follow in a later one, when these are known there.
constexpr size_t kTombstonesMax = 8'192;
constexpr size_t kFruitlessMax = 64;
constexpr Duration kExpectSpread = Duration::Seconds(1);
constexpr Duration kExpectEvery = Duration::Seconds(5);

bool Succeeded(SyncOutcome outcome) {
  return outcome == SyncOutcome::kEqual || outcome == SyncOutcome::kMerged;
}

}  // namespace

// ---- tables -------------------------------------------------------------------------------------

SyncTable Protocol::Impl::MakeSyncTable() const {
  SyncTable table;
  for (const auto& [name, member] : members_) {
    if (&member == own_) {
      if (StatementRef own = OwnStatement()) table.statements.push_back(std::move(own));
    } else if (member.IsLiving()) {
      table.statements.push_back(member.row.owner());
      const auto& accusations = member.row.accusations();
      table.statements.insert(table.statements.end(), accusations.begin(), accusations.end());
    } else if (member.listed && member.state == MemberState::kDead &&
               table.dead_names.size() < kDeadNamesMax) {
      table.dead_names.push_back(name);
    }
  }
  // Before we announce, whoever holds that our name has left tells us under which number.
  if (!standing_.announced) table.dead_names.push_back(self_.name);
  return table;
}

bool Protocol::Impl::HandleSyncTable(Instant now, const Source& from, const SyncTable& table) {
  Enter(now);
  Heard();
  Answered();
  MemberEntry* source = FindMember(from.name);
  // A joiner learns what its contact's cluster knows already.
  const bool quiet = !standing_.announced;
  bool changed = false;
  for (const StatementRef& statement : table.statements) {
    // One without a word of itself may have to make room for another in the middle of this.
    if (source && !source->listed) source = nullptr;
    if (!statement || IsSaidKind(statement->kind)) {
      ++counters_.ignored;  // no table holds them
      continue;
    }
    changed |= Learn(statement, source, quiet);
    if (!source) source = FindMember(from.name);
  }
  for (auto& [id, sync] : syncs_) {
    if (sync.member == from.name) sync.learned |= changed;
  }
  source = FindMember(from.name);
  if (source && source != own_ && source->alive && source->alive->alive->boot_id == from.boot_id) {
    HeardFrom(*source);
  }
  return changed;
}

std::vector<StatementRef> Protocol::Impl::TombstonesFor(const SyncTable& other) const {
  std::vector<StatementRef> result;
  std::set<std::string_view> done;
  for (const StatementRef& theirs : other.statements) {
    if (result.size() >= kTombstonesMax) return result;
    if (!theirs || theirs->kind != StatementKind::kAlive) continue;
    const MemberEntry* member = FindMember(theirs->subject);
    if (!member || member == own_ || !member->listed || member->IsLiving()) continue;
    if (!member->row.owner() || member->row.owner()->incarnation < theirs->incarnation) continue;
    if (!done.insert(member->name).second) continue;
    result.push_back(member->row.owner());
    for (StatementRef& accusation : member->row.Effective()) {
      result.push_back(std::move(accusation));
    }
  }
  for (const std::string& name : other.dead_names) {
    if (result.size() >= kTombstonesMax) return result;
    const MemberEntry* member = FindMember(name);
    if (!member || member == own_ || !member->listed || !member->row.owner()) continue;
    if (member->state != MemberState::kLeft || !done.insert(member->name).second) continue;
    result.push_back(member->row.owner());
  }
  return result;
}

// ---- syncs --------------------------------------------------------------------------------------

void Protocol::Impl::BeginSync(Sync sync, SyncTarget target) {
  ++counters_.syncs_started;
  const SyncId id{next_sync_++};
  sync.own_hash = set_hash().low;
  actions_.push_back(StartSync{id, sync.reason, std::move(target)});
  syncs_.emplace(id.value, std::move(sync));
}

void Protocol::Impl::HandleSyncFinished(Instant now, SyncId id, SyncOutcome outcome,
                                        const Source* peer) {
  Enter(now);
  auto node = syncs_.extract(id.value);
  SOTTO_CHECK(!node.empty());
  const Sync& sync = node.mapped();
  const bool reached =
      peer && outcome != SyncOutcome::kUnreachable && outcome != SyncOutcome::kSelf;
  if (reached) {
    Heard();
    Answered();
    MemberEntry* member = FindMember(peer->name);
    if (member && member != own_ && member->alive &&
        member->alive->alive->boot_id == peer->boot_id) {
      HeardFrom(*member);
    }
  }
  // A contact that is our own name, run by another process: it was there first (M9).
  if (reached && !standing_.announced && peer->name == self_.name &&
      peer->boot_id != self_.boot_id) {
    FallSilent("another process answers under this name");
  }
  if (sync.contact) {
    OnContactFinished(*sync.contact, outcome, peer);
  } else if (sync.reason == SyncReason::kTwin) {
    OnTwinAnswered(outcome, peer);
  } else if (sync.reason == SyncReason::kRetry) {
    --retries_in_flight_;
    if (reached && Succeeded(outcome)) ExpectReturns();
    ArmRetry();
  } else if (sync.reason == SyncReason::kJoinAgain) {
    OnJoinSyncFinished(sync);
  } else if (sync.reason == SyncReason::kHash) {
    OnHashSyncFinished(sync, outcome);
  } else if (sync.reason == SyncReason::kEvents) {
    OnEventSyncFinished();
  }
}

// ---- contacts -----------------------------------------------------------------------------------

void Protocol::Impl::AddContact(Instant now, ContactId contact) {
  Enter(now);
  const Contact& entry = contacts_[contact.index];
  ExpectStart();
  if (!started_) return;
  // Asked for again: the back-off is over, unless who answers there is alive here.
  const MemberEntry* member = entry.member.empty() ? nullptr : FindMember(entry.member);
  if (!member || (member != own_ && !member->IsLiving())) OnContactTimer(contact.index);
}

void Protocol::Impl::ExpectStart() {
  if (members_.size() != 1) return;
  events_begun_ = false;
  if (standing_.announced) contact_answered_ = false;
}

bool Protocol::Impl::Knock(Instant now, ContactId contact) {
  Enter(now);
  if (IsSilent() || standing_.leaving) return false;
  SOTTO_CHECK(!contacts_.contains(contact.index));
  ExpectStart();
  contacts_[contact.index].once = true;
  if (started_) OnContactTimer(contact.index);
  return true;
}

void Protocol::Impl::OnContactTimer(uint32_t index) {
  Contact& contact = contacts_.at(index);
  if (contact.in_flight || IsSilent() || standing_.leaving) return;
  const MemberEntry* member = contact.member.empty() ? nullptr : FindMember(contact.member);
  if (member && (member == own_ || member->IsLiving())) {
    Arm(TimerKind::kContact, now_ + sync_rng_.Between(options_.retry_max / 2, options_.retry_max),
        index);
    return;
  }
  contact.in_flight = true;
  const SyncReason reason = contact.member.empty() ? SyncReason::kJoin : SyncReason::kRetry;
  BeginSync({.reason = reason, .contact = index}, ContactId{index});
}

void Protocol::Impl::OnContactFinished(uint32_t index, SyncOutcome outcome, const Source* peer) {
  Contact& contact = contacts_.at(index);
  contact.in_flight = false;
  const bool answered = Succeeded(outcome) && peer;
  if (outcome == SyncOutcome::kSelf) contact.member = self_.name;
  if (answered) {
    contact.member = peer->name;
    if (!std::exchange(contact_answered_, true) && standing_.announced) BeginSettling();
  }
  first_round_.erase(index);
  if (contact.once) {
    ForgetKnock(index, answered);
    return TryAnnounce();
  }
  // One that answered without a word of itself was starting as well: until it is in the table, it
  // is asked again soon.
  const bool known = answered && FindMember(peer->name) != nullptr;
  // One that is busy lives, and says when to come again: it is no worse for being asked anew.
  const bool busy = outcome == SyncOutcome::kBusy;
  contact.attempts = known || outcome == SyncOutcome::kSelf ? 0 : contact.attempts + (busy ? 0 : 1);
  const Duration wait = busy ? sync_rng_.Between(options_.retry_min, options_.retry_min * 2)
                        : contact.attempts == 0
                            ? sync_rng_.Between(options_.retry_max / 2, options_.retry_max)
                            : JitteredBackOff(options_.retry_min, options_.retry_max,
                                              contact.attempts - 1, sync_rng_);
  Arm(TimerKind::kContact, now_ + wait, index);
  TryAnnounce();
}

void Protocol::Impl::ForgetKnock(uint32_t index, bool answered) {
  contacts_.erase(index);
  // Nobody is left to ask how far a cluster is: as at a start without contacts.
  if (!answered && contacts_.empty() && members_.size() == 1) events_begun_ = true;
}

void Protocol::Impl::ScheduleContactOf(const MemberEntry& member) {
  for (const auto& [index, contact] : contacts_) {
    if (contact.member != member.name || contact.in_flight) continue;
    Arm(TimerKind::kContact,
        now_ + JitteredBackOff(options_.retry_min, options_.retry_max, 1, sync_rng_), index);
  }
}

// ---- the dead and the lost ----------------------------------------------------------------------

void Protocol::Impl::ArmRetry() {
  if (retries_.size() == 0 || retries_in_flight_ >= kRetriesInFlightMax) {
    Cancel(TimerKind::kRetry);
    return;
  }
  Arm(TimerKind::kRetry, std::max(retries_.NextDue(), retry_after_));
}

void Protocol::Impl::OnRetryTimer() {
  if (IsSilent() || standing_.leaving) return;
  retry_after_ = now_ + options_.retry_min / 4;
  if (IsActive() && retries_in_flight_ < kRetriesInFlightMax) {
    if (auto due = retries_.TakeDue(now_, sync_rng_)) {
      ++retries_in_flight_;
      BeginSync({.reason = SyncReason::kRetry, .member = due->name}, std::move(due->to));
    }
  }
  ArmRetry();
}

// One is back: a partition may be over, and then the others are back as well.
void Protocol::Impl::ExpectReturns() {
  if (now_ < expect_after_) return;
  expect_after_ = now_ + kExpectEvery;
  retries_.ExpectAll(now_, kExpectSpread, sync_rng_);
  ArmRetry();
}

// ---- routine ------------------------------------------------------------------------------------

void Protocol::Impl::OnRoutineTimer() {
  const Duration interval = options_.sync_interval;
  Arm(TimerKind::kRoutineSync, now_ + sync_rng_.Between(interval / 5 * 4, interval / 5 * 6));
  StartRoutineSync();
}

void Protocol::Impl::StartRoutineSync() {
  if (!IsActive() || standing_.leaving || living_.empty()) return;
  const MemberEntry* member = living_[sync_rng_.Below(living_.size())];
  BeginSync({.reason = SyncReason::kRoutine, .member = std::string(member->name)}, member->alive);
}

void Protocol::Impl::SeekSync(Instant now) {
  Enter(now);
  if (now_ < seek_after_) return;
  seek_after_ = now_ + Duration::Seconds(1);
  StartRoutineSync();
  // Who holds no key of the others may take all of them for dead.
  if (living_.empty()) ExpectReturns();
}

// ---- hash syncs ---------------------------------------------------------------------------------

void Protocol::Impl::NoteView(MemberEntry& from, uint64_t hash) {
  from.view = hash;
  std::erase_if(views_, [&from](const auto& view) { return view.first == from.number; });
  views_.emplace_back(from.number, hash);
  if (views_.size() > kViewsMax) views_.erase(views_.begin());
  ConsiderHashSync();
}

void Protocol::Impl::ConsiderHashSync() {
  const size_t needed = std::min(kViewsMax, living_.size());
  const uint64_t own = set_hash().low;
  std::vector<std::pair<MemberEntry*, uint64_t>> differing;
  for (const auto& [number, hash] : views_) {
    MemberEntry* member = ByNumber(number);
    if (member && member->IsLiving() && hash != own) differing.emplace_back(member, hash);
  }
  if (views_.size() < needed || differing.size() * 2 <= needed) {
    differ_since_ = Instant::Never();
    return;
  }
  differ_since_ = std::min(differ_since_, now_);
  if (hash_sync_in_flight_ || now_ < hash_sync_after_ || !IsActive() || standing_.leaving) return;
  if (now_ < hash_changed_at_ + options_.sync_settle) return;
  const bool busy = !broadcasts_.empty() || suspicions_ > 0;
  if (busy && now_ < differ_since_ + options_.sync_settle_max) return;
  std::erase_if(differing, [&](const auto& view) {
    return std::find(fruitless_.begin(), fruitless_.end(), std::pair(own, view.second)) !=
           fruitless_.end();
  });
  if (differing.empty()) return;
  const auto& [member, hash] = differing[sync_rng_.Below(differing.size())];
  hash_sync_in_flight_ = true;
  BeginSync({.reason = SyncReason::kHash, .member = std::string(member->name), .their_hash = hash},
            member->alive);
}

void Protocol::Impl::OnHashSyncFinished(const Sync& sync, SyncOutcome outcome) {
  hash_sync_in_flight_ = false;
  views_.clear();  // older than what was just exchanged
  differ_since_ = Instant::Never();
  if (!Succeeded(outcome)) {
    // Busy, or out of reach: nothing is known about the tables yet.
    hash_sync_after_ = now_ + JitteredBackOff(options_.retry_min, options_.retry_max,
                                              hash_sync_failures_++, sync_rng_);
    return;
  }
  hash_sync_failures_ = 0;
  if (sync.learned || set_hash().low != sync.own_hash) {
    hash_sync_attempts_ = 0;
    return;
  }
  fruitless_.emplace_back(sync.own_hash, sync.their_hash);
  if (fruitless_.size() > kFruitlessMax) fruitless_.pop_front();
  const Duration first = std::max(options_.sync_settle, options_.probe_interval);
  hash_sync_after_ = now_ + JitteredBackOff(first, std::max(first, options_.sync_interval),
                                            hash_sync_attempts_++, sync_rng_);
}

}  // namespace sotto
