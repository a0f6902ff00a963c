// What this process says of itself: when it may speak at all, under which incarnation, and the
// answers to those who accuse it (design M2, M9).
#include <algorithm>
#include <utility>

#include "gossip/base/check.h"
#include "gossip/protocol_impl.h"

namespace sotto {
namespace {

constexpr size_t kAccusersAnsweredMax = 3;
// To so many others our answer is handed for an accuser that does not hear us.
constexpr size_t kHandedTo = 3;

bool ShareAddress(const std::vector<Endpoint>& a, const std::vector<Endpoint>& b) {
  return std::any_of(a.begin(), a.end(), [&b](const Endpoint& endpoint) {
    return std::find(b.begin(), b.end(), endpoint) != b.end();
  });
}

}  // namespace

// ---- start --------------------------------------------------------------------------------------

void Protocol::Impl::Start(Instant now) {
  Enter(now);
  SOTTO_CHECK(!started_);
  started_ = true;
  last_heard_ = last_answered_ = now_;
  Arm(TimerKind::kProbeTick, now_ + probe_rng_.Between(Duration(), options_.probe_interval));
  Arm(TimerKind::kIsolation, now_ + SilenceMax());
  OnRoutineTimer();
  for (const auto& [index, contact] : contacts_) first_round_.insert(index);
  for (const uint32_t index : std::set<uint32_t>(first_round_)) OnContactTimer(index);
  TryAnnounce();
}

// Speaks for the first time, once it is known under which number: the contacts have told what they
// hold of our name (or none has answered), and a twin elsewhere has been looked for.
void Protocol::Impl::TryAnnounce() {
  if (!started_ || standing_.announced || standing_.leaving || IsSilent()) return;
  if (sign_pending_ || boot_wanted_ != 0) return;
  if (!first_round_.empty() && !contact_answered_) return;
  const StatementRef& held = own_->row.owner();
  if (MustAskTwin()) {
    if (twin_asked_) return;
    twin_asked_ = true;
    BeginSync({.reason = SyncReason::kTwin, .member = self_.name}, held);
    return;
  }
  if (held && held->incarnation >= incarnation_) {
    RequestBoot(uint64_t{held->incarnation.boot_number()} + 1);
    return;
  }
  tell_announced_ = true;
  SignAlive(BroadcastClass::kJoin);
}

// Our name, said by another process at other addresses. At an address of ours it can only be a
// former life: the port is ours now.
bool Protocol::Impl::MustAskTwin() const {
  const StatementRef& held = own_->row.owner();
  if (!held || !held->alive) return false;
  const AliveClaims& claims = *held->alive;
  return claims.boot_id != self_.boot_id && claims.boot_id != cleared_ &&
         !ShareAddress(claims.addresses, self_.addresses);
}

void Protocol::Impl::OnTwinAnswered(SyncOutcome outcome, const Source* peer) {
  twin_asked_ = false;
  const StatementRef& held = own_->row.owner();
  // Its certificate may have been refused in the meantime.
  if (held && held->alive) {
    const BootId& boot_id = held->alive->boot_id;
    const bool lives = outcome != SyncOutcome::kUnreachable && outcome != SyncOutcome::kSelf &&
                       peer && peer->name == self_.name && peer->boot_id == boot_id;
    if (lives) {
      FallSilent("another process answers under this name");
      return;
    }
    // Perhaps it lives and we cannot reach it. Should it put itself above us, it was there first.
    cleared_ = boot_id;
    rival_ = boot_id;
  }
  TryAnnounce();
}

// ---- incarnation --------------------------------------------------------------------------------

void Protocol::Impl::SignAlive(BroadcastClass broadcast_class) {
  sign_class_ = sign_pending_ ? std::min(sign_class_, broadcast_class) : broadcast_class;
  sign_pending_ = true;
  actions_.push_back(SignStatement{{StatementKind::kAlive, self_.name, incarnation_, self_.tags}});
}

void Protocol::Impl::RaiseIncarnation(BroadcastClass broadcast_class) {
  if (!IsActive() || standing_.leaving) return;
  if (incarnation_.counter() == UINT32_MAX) {
    RequestBoot(uint64_t{incarnation_.boot_number()} + 1);
    return;
  }
  incarnation_ = Incarnation::Of(incarnation_.boot_number(), incarnation_.counter() + 1);
  accused_by_.clear();
  cases_.End(now_, self_.name, SuspicionCase::End::kRefuted, incarnation_);
  SignAlive(broadcast_class);
}

void Protocol::Impl::RequestBoot(uint64_t boot_number) {
  if (boot_number > UINT32_MAX) {
    FallSilent("the boot number cannot rise any further");
    return;
  }
  if (boot_number <= boot_wanted_) return;
  boot_wanted_ = static_cast<uint32_t>(boot_number);
  actions_.push_back(PersistBoot{boot_wanted_});
}

void Protocol::Impl::HandleBootPersisted(Instant now, uint32_t boot_number) {
  Enter(now);
  if (boot_wanted_ == 0 || boot_number < boot_wanted_) return;  // a later number is on its way
  boot_wanted_ = 0;
  boot_attempts_ = 0;
  Cancel(TimerKind::kBootRetry);
  incarnation_ = std::max(incarnation_, Incarnation::Of(boot_number, 0));
  accused_by_.clear();
  cases_.End(now_, self_.name, SuspicionCase::End::kRefuted, incarnation_);
  if (!standing_.announced) {
    TryAnnounce();
    return;
  }
  if (!IsActive() || standing_.leaving) return;
  tell_announced_ = true;
  SignAlive(BroadcastClass::kRefutation);
}

void Protocol::Impl::HandleBootPersistFailed(Instant now, uint32_t boot_number) {
  Enter(now);
  if (boot_wanted_ == 0 || boot_number < boot_wanted_) return;
  Arm(TimerKind::kBootRetry,
      now_ + JitteredBackOff(options_.retry_min, options_.retry_max, boot_attempts_++, sync_rng_));
}

void Protocol::Impl::FallSilent(std::string detail) {
  if (standing_.name_conflict) return;
  standing_.name_conflict = true;
  boot_wanted_ = 0;
  Cancel(TimerKind::kBootRetry);
  UpdateHash(*own_);
  Emit(EventKind::kNameConflict, *own_, {}, std::move(detail));
}

StatementRef Protocol::Impl::OwnStatement() const {
  if (standing_.name_conflict) return own_->row.owner();
  return own_leave_ ? nullptr : own_alive_;
}

// ---- what others hold of us ---------------------------------------------------------------------

bool Protocol::Impl::LearnAboutSelf(const StatementRef& statement, const MemberEntry* source) {
  const bool changed = own_->row.Merge(statement) != MergeResult::kUnchanged;
  if (!IsOwnersKind(statement->kind)) {
    if (statement->incarnation == incarnation_) {
      OnAccused(*statement, source);
    } else if (source) {
      AnswerAgain(statement, *source);
    }
  } else if (standing_.name_conflict) {
    UpdateHash(*own_);
  } else if (standing_.announced) {
    LearnRival(*statement);
  }
  return changed;
}

// Answered long ago, but the answer has not come to whoever says it still, nor perhaps to who said
// it first. If that is the same, and our answer has had its time, then nothing of ours may reach
// it: a few others are handed both, and tell it (OnStale).
void Protocol::Impl::AnswerAgain(const StatementRef& accusation, const MemberEntry& source) {
  if (!own_alive_ || accusation->incarnation >= own_alive_->incarnation) return;
  MemberEntry* member = FindMember(source.name);
  if (member && member != own_ && now_ >= member->answer_after) {
    member->answer_after = now_ + options_.gossip_interval;
    SendStatement(*member, own_alive_);
  }
  MemberEntry* signer = FindMember(accusation->signer);
  if (!signer || signer == own_) return;
  if (signer != member) {
    if (MayTell(*signer)) SendStatement(*signer, own_alive_);
    return;
  }
  if (now_ < refute_after_ + options_.probe_interval || !MayTell(*signer)) return;
  if (kPacketOverheadBytes + WireSizeMax(*own_alive_) + WireSizeMax(*accusation) >
      options_.packet_bytes_max) {
    return;
  }
  for (MemberEntry* other : PickLiving(kHandedTo, signer)) {
    Send(*other, {{}, {own_alive_, accusation}});
  }
}

// Our own name, signed with our own certificate, by another process: a former life whose number we
// have lost, or a twin. Both are outranked once; only a twin that lives can come back above that.
void Protocol::Impl::LearnRival(const Statement& statement) {
  if (statement.incarnation < incarnation_ || !IsActive() || standing_.leaving) return;
  if (own_alive_ && statement.hash == own_alive_->hash) return;
  if (statement.alive) {
    const BootId& boot_id = statement.alive->boot_id;
    if (boot_id == rival_ && boot_wanted_ == 0) {
      FallSilent("another process under this name has put itself above this one");
      return;
    }
    if (boot_id != self_.boot_id) rival_ = boot_id;
  }
  RequestBoot(uint64_t{statement.incarnation.boot_number()} + 1);
}

// Only an accusation at exactly our incarnation has effect anywhere, so only that is answered; one
// made up for a higher incarnation moves nothing.
//
// Who is not believed here is hardly believed elsewhere. It is answered as well, for all to hear,
// since others may judge it otherwise; but only as often as no suspicion can end in between.
void Protocol::Impl::OnAccused(const Statement& accusation, const MemberEntry* source) {
  if (!IsActive() || standing_.leaving || accused_by_.contains(accusation.signer)) return;
  const bool believed = !signers_.IsDiscredited(now_, accusation.signer) &&
                        signers_.TakeToken(now_, accusation.signer);
  if (!believed) ++counters_.accusations_ignored;
  accused_by_.emplace(accusation.signer, believed);
  cases_.Accuse(now_, self_.name, accusation.incarnation, accusation.signer, accusation.kind,
                accusation.evidence);
  if (source) told_by_ = source->name;
  const bool any = std::any_of(accused_by_.begin(), accused_by_.end(),
                               [](const auto& accuser) { return accuser.second; });
  const Instant at = any ? refute_after_ : std::max(refute_after_, refute_doubted_after_);
  if (now_ < at) {
    Arm(TimerKind::kRefute, at);
    return;
  }
  Refute();
}

void Protocol::Impl::Refute() {
  if (accused_by_.empty() || !IsActive() || standing_.leaving) return;
  std::vector<std::string> by;
  bool believed = false;
  for (const auto& [signer, is_believed] : accused_by_) {
    by.push_back(signer);
    believed |= is_believed;
    if (is_believed) signers_.Refuted(now_, signer);
  }
  // Nobody can keep us signing without pause: one answer serves all who accuse in the meantime.
  refute_after_ = now_ + options_.gossip_interval;
  refute_doubted_after_ = now_ + SuspicionBounds::For(options_, LivingCount()).min / 2;
  ++counters_.refutations;
  answer_to_ = by;
  if (!told_by_.empty() && !accused_by_.contains(told_by_)) answer_to_.push_back(told_by_);
  told_by_.clear();
  RaiseIncarnation(BroadcastClass::kRefutation);
  if (believed) RaiseHealth(1);
  Emit(EventKind::kAccused, *own_, by);
}

// ---- signed -------------------------------------------------------------------------------------

void Protocol::Impl::HandleSigned(Instant now, const StatementRef& statement) {
  Enter(now);
  if (IsSaidKind(statement->kind)) {
    OnSaidSigned(statement);
  } else if (!IsOwnersKind(statement->kind)) {
    OnAccusationSigned(statement);
  } else if (statement->kind == StatementKind::kLeave) {
    OnLeaveSigned(statement);
  } else {
    OnOwnAliveSigned(statement);
  }
}

void Protocol::Impl::OnOwnAliveSigned(const StatementRef& statement) {
  if (statement->incarnation != incarnation_ || IsSilent() || own_leave_) return;  // outdated
  sign_pending_ = false;
  if (ReduceTags(*statement)) return;
  const bool first = !standing_.announced;
  standing_.announced = true;
  own_alive_ = statement;
  own_->alive = statement;
  own_->row.Merge(statement);
  UpdateHash(*own_);
  if (std::exchange(tell_announced_, false)) Emit(EventKind::kAnnounced, *own_);
  if (first && contact_answered_) BeginSettling();
  Broadcast(sign_class_, statement);
  TellAccusers();
  // One made in advance for this incarnation has effect now.
  for (const StatementRef& accusation : own_->row.accusations()) {
    if (accusation->incarnation == incarnation_) OnAccused(*accusation, nullptr);
  }
}

// An Alive that no datagram holds would refute nothing. It has not left this process, so its
// incarnation serves once more.
bool Protocol::Impl::ReduceTags(const Statement& alive) {
  const std::vector<Tag>& tags = alive.alive->tags;
  if (FitsPacket(alive)) {
    fitting_tags_ = tags;
    return false;
  }
  if (tags.empty()) return false;
  // Longer addresses may be the cause: then the former tags do not fit either.
  const bool keeps_none = tags == fitting_tags_;
  if (keeps_none) fitting_tags_.clear();
  self_.tags = fitting_tags_;
  SignAlive(sign_class_);
  Emit(EventKind::kUpdated, *own_, {},
       keeps_none ? "tags do not fit a datagram; none are told"
                  : "tags do not fit a datagram; the former ones stay");
  return true;
}

void Protocol::Impl::TellAccusers() {
  const std::vector<std::string> names = std::exchange(answer_to_, {});
  for (size_t i = 0; i < std::min(names.size(), kAccusersAnsweredMax); ++i) {
    MemberEntry* member = FindMember(names[i]);
    if (member && member != own_) SendStatement(*member, own_alive_);
  }
}

// ---- commands about ourselves -------------------------------------------------------------------

void Protocol::Impl::SetTags(Instant now, std::vector<Tag> tags) {
  Enter(now);
  if (tags == self_.tags) return;
  self_.tags = std::move(tags);
  RaiseIncarnation(BroadcastClass::kUpdate);
}

void Protocol::Impl::Reannounce(Instant now, std::vector<Endpoint> addresses) {
  Enter(now);
  self_.addresses = std::move(addresses);
  RaiseIncarnation(BroadcastClass::kUpdate);
}

void Protocol::Impl::HandleRebooted(Instant now, const BootId& boot_id) {
  Enter(now);
  self_.boot_id = boot_id;
  for (auto& [name, member] : members_) {
    member.knows_us = false;
    member.hello_after = now_;
  }
  tell_announced_ = standing_.announced;
  RaiseIncarnation(BroadcastClass::kUpdate);
}

void Protocol::Impl::Leave(Instant now) {
  Enter(now);
  if (standing_.leaving || standing_.left) return;
  standing_.leaving = true;
  if (!standing_.announced || standing_.name_conflict) {
    FinishLeave();
    return;
  }
  actions_.push_back(SignStatement{{StatementKind::kLeave, self_.name, incarnation_, {}}});
}

void Protocol::Impl::OnLeaveSigned(const StatementRef& statement) {
  if (!standing_.leaving || own_leave_) return;
  own_leave_ = statement;
  own_->row.Merge(statement);
  own_->since = now_;
  UpdateHash(*own_);
  if (living_.empty()) {
    FinishLeave();
    return;
  }
  Broadcast(BroadcastClass::kDeath, statement);
  const auto targets =
      static_cast<int>(std::min(living_.size(), static_cast<size_t>(options_.gossip_fanout)));
  const int ticks = (TransmitLimit() + targets - 1) / targets;
  Arm(TimerKind::kLeaveEnd, now_ + options_.gossip_interval * (2 * ticks));
}

void Protocol::Impl::FinishLeave() {
  if (standing_.left) return;
  standing_.leaving = false;
  standing_.left = true;
  Cancel(TimerKind::kLeaveEnd);
  actions_.push_back(LeaveFinished{});
}

}  // namespace sotto
