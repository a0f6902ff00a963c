// What statements do to the table, and what this node concludes from them (design M3, M4, M5).
#include <algorithm>
#include <tuple>
#include <utility>

#include "gossip/base/check.h"
#include "gossip/protocol_impl.h"

namespace sotto {
namespace {

// Names that are accused and have never said anything themselves: so many, for so long.
constexpr size_t kUnlistedMax = 1'024;
constexpr int64_t kUnlistedPerAccuser = 16;
constexpr Duration kUnlistedKeep = Duration::Seconds(60);

constexpr int64_t kCertificateGraceS = 3'600;

bool IsSound(const StatementRef& statement) {
  if (!statement || statement->subject.empty() || statement->signer.empty()) return false;
  if (IsSaidKind(statement->kind)) return false;
  if (statement->alive.has_value() != (statement->kind == StatementKind::kAlive)) return false;
  return (statement->signer == statement->subject) == IsOwnersKind(statement->kind);
}

BroadcastClass ClassOf(StatementKind accusation) {
  return accusation == StatementKind::kSuspect ? BroadcastClass::kSuspicion
                                               : BroadcastClass::kDeath;
}

// The order of Row within one accuser.
bool IsAtLeast(StatementKind held, StatementKind wanted) {
  return static_cast<int>(held) >= static_cast<int>(wanted);
}

}  // namespace

// ---- rows ---------------------------------------------------------------------------------------

MemberEntry* Protocol::Impl::FindMember(std::string_view name) {
  const auto it = members_.find(name);
  return it == members_.end() ? nullptr : &it->second;
}

const MemberEntry* Protocol::Impl::FindMember(std::string_view name) const {
  const auto it = members_.find(name);
  return it == members_.end() ? nullptr : &it->second;
}

MemberEntry* Protocol::Impl::ByNumber(uint64_t number) {
  const auto it = by_number_.find(static_cast<uint32_t>(number));
  return it == by_number_.end() ? nullptr : it->second;
}

// Whoever makes up names must not use up the room that others need.
bool Protocol::Impl::MayBringUp(std::string_view accuser) const {
  if (members_.size() >= options_.members_max || unlisted_.size() >= kUnlistedMax) return false;
  const auto by = std::count_if(unlisted_.begin(), unlisted_.end(),
                                [accuser](const auto& entry) { return entry.second == accuser; });
  return by < kUnlistedPerAccuser;
}

MemberEntry* Protocol::Impl::FindOrCreate(std::string_view name, std::string_view accuser) {
  if (MemberEntry* member = FindMember(name)) return member;
  if (!accuser.empty() && !MayBringUp(accuser)) return nullptr;
  if (members_.size() >= options_.members_max) {
    // A name that speaks for itself goes before one that is only spoken of.
    if (unlisted_.empty()) return nullptr;
    Drop(*ByNumber(unlisted_.begin()->first));
  }
  const auto it =
      members_
          .emplace(std::piecewise_construct, std::forward_as_tuple(name),
                   std::forward_as_tuple(next_number_, static_cast<size_t>(options_.accusers_max)))
          .first;
  MemberEntry& member = it->second;
  member.name = it->first;
  by_number_.emplace(next_number_, &member);
  unlisted_.emplace(next_number_++, accuser);
  // A lost member that comes back is no newcomer.
  member.told = retries_.Contains(name);
  if (member.told) std::erase(lost_, name);
  Arm(TimerKind::kMember, now_ + kUnlistedKeep, member.number);
  return &member;
}

bool Protocol::Impl::Learn(const StatementRef& statement, const MemberEntry* source, bool quiet) {
  if (statement && IsSaidKind(statement->kind)) {
    HearSaid(statement, source);
    return false;
  }
  if (!IsSound(statement)) {
    ++counters_.ignored;
    return false;
  }
  if (statement->subject == self_.name) return LearnAboutSelf(statement, source);
  const bool is_owners = IsOwnersKind(statement->kind);
  MemberEntry* member = FindOrCreate(
      statement->subject, is_owners ? std::string_view() : std::string_view(statement->signer));
  if (!member) {
    ++counters_.ignored;
    return false;
  }
  const StatementRef previous = member->row.owner();
  const MergeResult result = member->row.Merge(statement);
  switch (result) {
    case MergeResult::kOwner:
      OnOwnerChanged(*member, previous, quiet);
      return true;
    case MergeResult::kAccusationWaits:
      // Its accuser knows a statement of the member's that we lack.
      if (now_ >= member->ask_after) {
        member->ask_after = now_ + options_.probe_interval;
        if (MemberEntry* asked = source ? FindMember(source->name) : nullptr) {
          SendMessages(*asked, {WantOwner{std::string(member->name)}});
        }
      }
      return true;
    case MergeResult::kAccusation:
    case MergeResult::kUnchanged:
      break;
  }
  if (is_owners) {
    broadcasts_.HeardAgain(*statement, TransmitLimit());
  } else if (previous && previous->incarnation == statement->incarnation) {
    // Also when the row has no room for it: a crowd of accusers must not hide a true one.
    OnEffective(*member, statement, source, result == MergeResult::kAccusation && !quiet);
  } else if (previous && source && previous->incarnation > statement->incarnation) {
    OnStale(*member, statement, *source);
  }
  return result != MergeResult::kUnchanged;
}

// ---- the owner's statements ---------------------------------------------------------------------

void Protocol::Impl::OnOwnerChanged(MemberEntry& member, const StatementRef& previous, bool quiet) {
  unlisted_.erase(member.number);
  if (member.row.owner()->kind == StatementKind::kLeave) {
    OnOwnerLeft(member, quiet);
  } else {
    OnOwnerAlive(member, previous, quiet);
  }
  for (const StatementRef& accusation : member.row.Effective()) {
    OnEffective(member, accusation, nullptr, !quiet);
  }
}

void Protocol::Impl::OnOwnerAlive(MemberEntry& member, const StatementRef& previous, bool quiet) {
  const StatementRef alive = member.row.owner();
  const StatementRef last = member.alive;
  const bool risen = !previous || alive->incarnation > previous->incarnation;
  const bool restarted = !last || last->alive->boot_id != alive->alive->boot_id;
  const bool changed = restarted || last->alive->addresses != alive->alive->addresses ||
                       last->alive->tags != alive->alive->tags;
  AdoptAlive(member, alive);
  if (HasExpired(member)) {
    if (!member.listed || member.IsLiving()) {
      member.expired = true;
      Condemn(member, MemberState::kDead, {}, "certificate expired");
    }
    return;
  }
  BroadcastClass broadcast_class = changed ? BroadcastClass::kUpdate : BroadcastClass::kRefutation;
  if (!member.listed || !member.IsLiving()) {
    // Two statements of one incarnation: the conclusion stands, whichever of them wins.
    if (!risen) return;
    const bool was_dead = member.listed && member.state == MemberState::kDead;
    if (restarted) broadcast_class = BroadcastClass::kJoin;
    member.expired = false;
    SetState(member, MemberState::kAlive);
    retries_.Remove(member.name);
    Emit(std::exchange(member.told, true) ? EventKind::kReturned : EventKind::kJoined, member);
    if (was_dead) {
      cases_.Returned(member.name, alive->incarnation);
      ExpectReturns();
    }
  } else if (member.state == MemberState::kSuspect && risen) {
    // A process that was started anew does not prove its accusers wrong.
    EndSuspicion(member, restarted ? SuspicionEnd::kMoot : SuspicionEnd::kRefuted);
    SetState(member, MemberState::kAlive);
    Emit(EventKind::kRefuted, member);
    if (changed) Emit(EventKind::kUpdated, member);
    broadcast_class = BroadcastClass::kRefutation;
  } else {
    UpdateHash(member);
    if (changed) Emit(EventKind::kUpdated, member);
  }
  if (!quiet) Broadcast(broadcast_class, alive);
}

void Protocol::Impl::AdoptAlive(MemberEntry& member, const StatementRef& alive) {
  const BootId& boot_id = alive->alive->boot_id;
  if (!member.alive || member.alive->alive->boot_id != boot_id) {
    ForgetBoot(member);
    boots_.try_emplace(boot_id, &member);
    member.knows_us = false;
    member.heard = now_;
    member.hello_after = now_;
    member.rtt.reset();
    member.view.reset();
    member.asked = false;
    member.probes_since_datagram = member.probes_since_stream = UINT8_MAX;
  }
  member.alive = alive;
}

void Protocol::Impl::OnOwnerLeft(MemberEntry& member, bool quiet) {
  EndSuspicion(member, SuspicionEnd::kMoot);
  const bool was_forgotten = member.listed && member.state == MemberState::kForgotten;
  const bool news = member.listed && member.state != MemberState::kLeft && !was_forgotten;
  SetState(member, MemberState::kLeft);
  if (was_forgotten && !member.hidden) {
    member.hidden = true;
    ArmStateTimer(member);
  }
  retries_.Remove(member.name);
  if (news && member.told) Emit(EventKind::kLeft, member);
  if (!quiet) Broadcast(BroadcastClass::kDeath, member.row.owner());
}

// ---- accusations --------------------------------------------------------------------------------

void Protocol::Impl::OnEffective(MemberEntry& member, const StatementRef& accusation,
                                 const MemberEntry* source, bool tell_on) {
  const std::string& signer = accusation->signer;
  if (!member.IsLiving()) {
    if (member.state == MemberState::kForgotten) return;
    if (accusation->kind == StatementKind::kForget) {
      Condemn(member, MemberState::kForgotten, {signer}, {});
      if (tell_on) Broadcast(BroadcastClass::kDeath, accusation);
    }
    return;
  }
  const auto note = [&] {
    cases_.Accuse(now_, member.name, accusation->incarnation, signer, accusation->kind,
                  accusation->evidence);
  };
  if (member.suspicion && !member.suspicion->WouldCount(signer)) {
    // One that counts already may have become more certain.
    const bool counts = member.suspicion->HasAccuser(signer);
    if (counts) note();
    if (counts && tell_on) Broadcast(ClassOf(accusation->kind), accusation);
    return;
  }
  if (signer != self_.name) {
    const bool in_rate = signers_.TakeToken(now_, signer);
    const bool believed = !signers_.IsDiscredited(now_, signer);
    // Who is not believed may still be mistaken in good faith, on a bad link: what it says to us
    // itself goes to the accused alone, whose answer then reaches it.
    if (in_rate && !believed && source && source->name == signer) SendStatement(member, accusation);
    if (!in_rate || !believed) {
      ++counters_.accusations_ignored;
      return;
    }
  }
  Suspect(member, signer);
  note();
  if (tell_on) Broadcast(ClassOf(accusation->kind), accusation);
}

bool Protocol::Impl::Suspect(MemberEntry& member, std::string_view accuser) {
  if (member.suspicion) {
    if (!member.suspicion->Confirm(accuser)) return false;
    ArmStateTimer(member);
    return true;
  }
  const SuspicionBounds bounds = SuspicionBounds::For(options_, LivingCount());
  member.suspicion = std::make_unique<Suspicion>(bounds, now_, accuser);
  ++suspicions_;
  SetState(member, MemberState::kSuspect);
  Emit(EventKind::kSuspected, member, {std::string(accuser)});
  Arm(TimerKind::kWarn, member.suspicion->NextWarning(), member.number);
  // Many at once: is it they, or we?
  if (suspicions_ >= 2 && suspicions_ * 4 >= living_.size()) ConsiderCensus();
  return true;
}

void Protocol::Impl::OnSuspicionOver(MemberEntry& member) {
  if (const Instant end = EndOf(*member.suspicion); now_ < end) {
    Arm(TimerKind::kMember, end, member.number);
    return;
  }
  const std::vector<StatementRef> effective = member.row.Effective();
  const bool forget = std::any_of(effective.begin(), effective.end(), [](const StatementRef& a) {
    return a->kind == StatementKind::kForget;
  });
  Condemn(member, forget ? MemberState::kForgotten : MemberState::kDead, AccusersOf(member), {});
  // Those who accused say what came of it; the others are silent, or n nodes would sign n verdicts.
  if (OwnAccusationOf(member) && MayAccuse()) {
    RequestAccusation(member, StatementKind::kDead, {.broadcast = true});
  }
}

// Whoever hears nobody, or cannot open what it hears, is the likelier cause, and takes its time;
// yet an outsider that causes it must not keep the dead alive for ever. While nothing leaves this
// machine nobody could answer it: so long none ends.
Instant Protocol::Impl::EndOf(const Suspicion& suspicion) const {
  Instant end = suspicion.deadline();
  if (silent_) end = std::max(end, suspicion.latest());
  if (HasKeyTrouble()) {
    end = std::max(end, suspicion.start() + suspicion.bounds().min * options_.suspicion_beta);
  }
  if (HasSendTrouble()) end = std::max(end, now_ + suspicion.bounds().min);
  return end;
}

void Protocol::Impl::Condemn(MemberEntry& member, MemberState state, std::vector<std::string> by,
                             std::string detail) {
  EndSuspicion(member, state == MemberState::kDead && !member.expired ? SuspicionEnd::kConfirmed
                                                                      : SuspicionEnd::kMoot);
  SetState(member, state);
  if (state == MemberState::kDead) {
    recently_dead_.emplace_back(now_, member.number);
    if (member.alive) retries_.Add(now_, member.name, member.alive, sync_rng_);
    ScheduleContactOf(member);
  } else {
    retries_.Remove(member.name);
  }
  ArmRetry();
  if (!member.told) return;
  Emit(state == MemberState::kDead ? EventKind::kDied : EventKind::kForgotten, member,
       std::move(by), std::move(detail));
}

void Protocol::Impl::EndSuspicion(MemberEntry& member, SuspicionEnd end) {
  if (!member.suspicion) return;
  EndCase(member, end);
  if (end != SuspicionEnd::kMoot) {
    for (const std::string& accuser : AccusersOf(member)) {
      if (accuser == self_.name) continue;
      if (end == SuspicionEnd::kRefuted) {
        signers_.Refuted(now_, accuser);
      } else {
        signers_.Confirmed(now_, accuser);
      }
    }
  }
  member.suspicion.reset();
  --suspicions_;
  Cancel(TimerKind::kWarn, member.number);
}

void Protocol::Impl::EndCase(const MemberEntry& member, SuspicionEnd end) {
  const StatementRef& owner = member.row.owner();
  const bool left = owner && owner->kind == StatementKind::kLeave;
  if (end == SuspicionEnd::kConfirmed) {
    cases_.End(now_, member.name, SuspicionCase::End::kDied);
  } else if (end == SuspicionEnd::kRefuted) {
    cases_.End(now_, member.name, SuspicionCase::End::kRefuted, owner->incarnation);
  } else {
    cases_.End(now_, member.name, left ? SuspicionCase::End::kLeft : SuspicionCase::End::kMoot);
  }
}

std::vector<std::string> Protocol::Impl::AccusersOf(const MemberEntry& member) const {
  std::vector<std::string> result;
  if (member.suspicion) result = member.suspicion->accusers();
  for (const StatementRef& accusation : member.row.Effective()) {
    result.push_back(accusation->signer);
  }
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

void Protocol::Impl::RequestAccusation(MemberEntry& member, StatementKind kind, Accuse how) {
  if (!IsActive() || !member.row.owner()) return;
  if (const StatementRef* held = OwnAccusationOf(member); held && IsAtLeast((*held)->kind, kind)) {
    if (how.tell) SendStatement(member, *held);
    return;
  }
  Accuse& wanted = accusations_wanted_[{std::string(member.name), kind}];
  wanted.broadcast |= how.broadcast;
  wanted.tell |= how.tell;
  StatementDraft draft;
  draft.kind = kind;
  draft.subject = std::string(member.name);
  draft.incarnation = member.row.owner()->incarnation;
  if (kind != StatementKind::kForget) {
    draft.evidence = cases_.EvidenceOf(member.name, draft.incarnation, self_.name);
  }
  actions_.push_back(SignStatement{std::move(draft)});
}

void Protocol::Impl::OnAccusationSigned(const StatementRef& statement) {
  const auto it = accusations_wanted_.find({statement->subject, statement->kind});
  if (it == accusations_wanted_.end()) return;
  const Accuse how = it->second;
  accusations_wanted_.erase(it);
  MemberEntry* member = FindMember(statement->subject);
  // The member may have answered while we signed.
  if (!member || !member->row.owner() ||
      member->row.owner()->incarnation != statement->incarnation) {
    return;
  }
  member->row.Merge(statement);
  if (how.broadcast) Broadcast(ClassOf(statement->kind), statement);
  if (how.tell) SendStatement(*member, statement);
}

bool Protocol::Impl::Forget(Instant now, std::string_view name) {
  Enter(now);
  if (name == self_.name) return false;
  MemberEntry* member = FindMember(name);
  if (!member || !member->listed) {
    if (!retries_.Contains(name)) return false;
    retries_.Remove(name);
    std::erase(lost_, name);
    return true;
  }
  if (member->state == MemberState::kForgotten) return true;
  RequestAccusation(*member, StatementKind::kForget, {.broadcast = true});
  Condemn(*member, MemberState::kForgotten, {self_.name}, {});
  return true;
}

// ---- states -------------------------------------------------------------------------------------

void Protocol::Impl::SetState(MemberEntry& member, MemberState state) {
  const bool counted = member.listed && member.state == MemberState::kDead && !member.hidden;
  if (!member.listed || member.state != state) member.since = now_;
  member.listed = true;
  member.state = state;
  member.hidden = state == MemberState::kForgotten;
  const bool counts = state == MemberState::kDead;
  dead_shown_ += counts ? 1 : 0;
  dead_shown_ -= counted ? 1 : 0;
  SetLiving(member, state == MemberState::kAlive || state == MemberState::kSuspect);
  UpdateHash(member);
  ArmStateTimer(member);
  CheckMinority();
}

void Protocol::Impl::SetLiving(MemberEntry& member, bool living) {
  if (living == member.IsLiving()) return;
  if (living) {
    if (living_.empty()) last_heard_ = last_answered_ = now_;
    member.living_slot = static_cast<int32_t>(living_.size());
    living_.push_back(&member);
    probe_order_.Insert(member.number, probe_rng_);
    ArmGossip();
    return;
  }
  MemberEntry* last = living_.back();
  living_[static_cast<size_t>(member.living_slot)] = last;
  last->living_slot = member.living_slot;
  living_.pop_back();
  member.living_slot = -1;
  probe_order_.Remove(member.number);
  EndRefusal(member.number);
}

void Protocol::Impl::UpdateHash(MemberEntry& member) {
  StatementRef now_in = member.IsLiving() ? member.row.owner() : nullptr;
  if (&member == own_) now_in = OwnStatement();
  if (now_in == member.in_hash) return;
  if (member.in_hash) set_hasher_.Remove(member.name, member.in_hash->hash);
  if (now_in) set_hasher_.Add(member.name, now_in->hash);
  member.in_hash = std::move(now_in);
  hash_changed_at_ = now_;
}

void Protocol::Impl::ArmStateTimer(MemberEntry& member) {
  const bool hidden = member.hidden;
  switch (member.state) {
    case MemberState::kAlive:
      return Cancel(TimerKind::kMember, member.number);
    case MemberState::kSuspect:
      return Arm(TimerKind::kMember, member.suspicion->deadline(), member.number);
    case MemberState::kDead:
    case MemberState::kForgotten:
      return Arm(TimerKind::kMember,
                 member.since + (hidden ? options_.keep_dead : options_.show_dead), member.number);
    case MemberState::kLeft:
      return Arm(TimerKind::kMember,
                 member.since + (hidden ? options_.keep_left : options_.show_left), member.number);
  }
}

void Protocol::Impl::OnMemberTimer(MemberEntry& member) {
  if (!member.listed || member.hidden) {
    Drop(member);
    return;
  }
  if (member.state == MemberState::kSuspect) {
    OnSuspicionOver(member);
    return;
  }
  if (member.state == MemberState::kDead) --dead_shown_;
  member.hidden = true;
  ArmStateTimer(member);
  if (member.told) Emit(EventKind::kReaped, member);
  CheckMinority();
}

void Protocol::Impl::Drop(MemberEntry& member) {
  SOTTO_CHECK(!member.IsLiving() && &member != own_);
  unlisted_.erase(member.number);
  if (retries_.Contains(member.name)) {
    // The name and the address outlive the tombstone: a partition may last longer than any.
    lost_.emplace_back(member.name);
    if (lost_.size() > options_.lost_members_max) {
      retries_.Remove(lost_.front());
      lost_.pop_front();
    }
  }
  ForgetBoot(member);
  Cancel(TimerKind::kMember, member.number);
  by_number_.erase(member.number);
  members_.erase(members_.find(member.name));
}

void Protocol::Impl::ForgetBoot(const MemberEntry& member) {
  if (!member.alive) return;
  const auto it = boots_.find(member.alive->alive->boot_id);
  if (it != boots_.end() && it->second == &member) boots_.erase(it);
}

// A thief may have spoken at the highest incarnation there is. The row goes with the certificate,
// so that the member can come back under another at any incarnation; its name stays, as dead if it
// was alive.
void Protocol::Impl::Refuse(MemberEntry& member) {
  member.row = Row(static_cast<size_t>(options_.accusers_max));
  if (&member == own_) {
    // A rival's word under our name. Ours is signed anew when our own certificate changes.
    if (own_alive_ && !standing_.name_conflict) own_->row.Merge(own_alive_);
    UpdateHash(*own_);
    return;
  }
  ForgetBoot(member);
  EndSuspicion(member, SuspicionEnd::kMoot);
  member.alive.reset();
  member.knows_us = false;
  member.expired = true;
  // It is sent nothing, and dialled no longer.
  retries_.Remove(member.name);
  std::erase_if(recently_dead_,
                [&member](const auto& entry) { return entry.second == member.number; });
  if (!member.IsLiving()) return;
  SetState(member, MemberState::kDead);
  if (member.told) Emit(EventKind::kDied, member, {}, "certificate refused");
}

void Protocol::Impl::CheckMinority() {
  const bool buried = LivingCount() * 2 < LivingCount() + dead_shown_;
  const bool minority = buried || (few_answer_ && !living_.empty());
  if (minority == standing_.minority) return;
  standing_.minority = minority;
  Emit(minority ? EventKind::kMinority : EventKind::kReconnected, *own_, {},
       buried == minority
           ? std::to_string(LivingCount()) + " of " + std::to_string(LivingCount() + dead_shown_) +
                 " members are alive here"
           : "fewer than half of the members answer");
}

bool Protocol::Impl::HasExpired(const MemberEntry& member) const {
  if (wall_unix_s_ == 0 || !member.alive) return false;
  const int64_t not_after = member.alive->alive->not_after_unix_s;
  return not_after > 0 && not_after < wall_unix_s_ - kCertificateGraceS;
}

}  // namespace sotto
