#include "gossip/protocol.h"

#include <algorithm>
#include <utility>

#include "gossip/base/check.h"
#include "gossip/fixed_point.h"
#include "gossip/protocol_impl.h"

namespace sotto {
namespace {

// What others take of one member, above what it allows itself: a partition that heals, and clocks
// that differ, must not look like a storm.
constexpr int kSayRateMultiple = 4;
// Answers that one member may have passed on, in a burst and a second.
constexpr int kAnswerRelayBurst = 32;
constexpr int kAnswerRelaysPerS = 16;
// An answer may come by itself and through five relays: a multiple of what a member may answer.
constexpr int kReceiptBurst = 128;
constexpr int kReceiptsPerS = 64;

}  // namespace

Protocol::Impl::Impl(const ProtocolOptions& options, SelfIdentity self, uint32_t contacts,
                     uint64_t seed, Instant now)
    : options_(options),
      self_(std::move(self)),
      now_(now),
      probe_rng_(seed),
      gossip_rng_(probe_rng_.Fork()),
      sync_rng_(probe_rng_.Fork()),
      nonce_rng_(probe_rng_.Fork()),
      incarnation_(Incarnation::Of(std::max(self_.boot_number, 1U), 0)),
      set_hasher_(self_.cluster),
      hash_changed_at_(now),
      signers_(options.accusation_burst, options.accusations_per_s),
      last_heard_(now),
      last_answered_(now),
      key_trouble_until_(now),
      key_trouble_told_(now - Duration::Hours(1)),
      own_fault_after_(now),
      refusal_told_(now - Duration::Hours(1)),
      census_after_(now),
      gossip_after_(now),
      retries_(options.retry_min, options.retry_max),
      retry_after_(now),
      expect_after_(now),
      hash_sync_after_(now),
      coalescer_(options.event_coalesce),
      digests_({options.sync_settle, options.sync_settle_max, options.sync_interval}, now),
      say_rates_(options.event_burst * kSayRateMultiple, options.events_per_s * kSayRateMultiple),
      answer_rates_(kAnswerRelayBurst, kAnswerRelaysPerS),
      receipt_rates_(kReceiptBurst, kReceiptsPerS),
      say_full_at_(now),
      events_begun_(contacts == 0) {
  SOTTO_CHECK(!options_.Validate());
  own_ = FindOrCreate(self_.name, {});
  own_->since = now;
  unlisted_.clear();
  Cancel(TimerKind::kMember, own_->number);
  for (uint32_t i = 0; i < contacts; ++i) contacts_[i];
}

// ---- inputs -------------------------------------------------------------------------------------

void Protocol::Impl::Enter(Instant now) {
  SOTTO_CHECK(now >= now_);
  now_ = now;
  const Duration late_max = std::max(options_.gossip_interval * 2, options_.probe_timeout);
  // Any input may be the first after a pause, not only the timer that is overdue.
  if (timers_.Next() != Instant::Never() && now_ - timers_.Next() > late_max) OnPause();
}

// This process did not run for a while, so silence proves nothing: neither of the probed nor of
// those whose refutation may lie unread in a socket buffer (design M7).
void Protocol::Impl::OnPause() {
  const Duration late = now_ - timers_.Next();
  VoidOverdueProbes();
  HoldSuspicions();
  VoidCensus();
  if (late > options_.sync_settle_max) CheckEventsSoon();
  last_heard_ = last_answered_ = now_;
  Arm(TimerKind::kIsolation, now_ + SilenceMax());
  OwnFault();
  // Overdue periodic work is done once, now; only a change of the timers' state ends the lateness.
  while (timers_.Next() <= now_) {
    if (const auto timer = timers_.TakeDue(now_)) Fire(*timer);
  }
  Emit(EventKind::kPaused, *own_, {}, std::to_string(late.millis()) + " ms late");
}

void Protocol::Impl::HandleTimeout(Instant now) {
  Enter(now);
  while (const auto timer = timers_.TakeDue(now_)) Fire(*timer);
}

void Protocol::Impl::Fire(TimerId timer) {
  switch (timer.kind) {
    case TimerKind::kProbeTimeout:
      return OnProbeTimeout(timer.id);
    case TimerKind::kProbeEnd:
      return OnProbeEnd(timer.id);
    case TimerKind::kRelayNack:
      return OnRelayNack(timer.id);
    case TimerKind::kRelayEnd:
      return EndRelay(timer.id);
    case TimerKind::kMember:
      return OnMemberTimer(*ByNumber(timer.id));
    case TimerKind::kWarn:
      return WarnSuspect(*ByNumber(timer.id));
    case TimerKind::kProbeTick:
      return OnProbeTick();
    case TimerKind::kRefute:
      return Refute();
    case TimerKind::kGossip:
      return OnGossipTick();
    case TimerKind::kContact:
      return OnContactTimer(static_cast<uint32_t>(timer.id));
    case TimerKind::kRetry:
      return OnRetryTimer();
    case TimerKind::kRoutineSync:
      return OnRoutineTimer();
    case TimerKind::kJoinAgain:
      return OnJoinTimer();
    case TimerKind::kIsolation:
      return OnIsolationTimer();
    case TimerKind::kCensus:
      return OnCensusTimer();
    case TimerKind::kBootRetry:
      actions_.push_back(PersistBoot{boot_wanted_});
      return;
    case TimerKind::kLeaveEnd:
      return FinishLeave();
    case TimerKind::kEventSync:
      return OnEventSyncTimer();
    case TimerKind::kCoalesce:
      return OnCoalesceTimer();
    case TimerKind::kQueryEnd:
      return EndQueries();
    case TimerKind::kAnswers:
      return SendAnswers();
  }
}

void Protocol::Impl::HandlePacket(Instant now, const Source& from, const Packet& packet) {
  Enter(now);
  MemberEntry* member = FindMember(from.name);
  if (!member || member == own_ || !member->alive || !started_) {
    ++counters_.ignored;
    return;
  }
  Heard();
  for (const StatementRef& statement : packet.statements) Learn(statement, member, false);
  // The row may have moved on to a later process of that name.
  if (member->alive->alive->boot_id != from.boot_id) {
    ++counters_.ignored;
    return;
  }
  member->knows_us = true;
  member->heard = now_;
  member->must_hello = false;
  last_heard_from_ = member->number;
  std::vector<Message> replies;
  PacketBudget budget;
  for (const Message& message : packet.messages) HandleMessage(*member, message, budget, replies);
  if (!replies.empty()) SendMessages(*member, std::move(replies));
  HeardFrom(*member);
}

void Protocol::Impl::HandleStatement(Instant now, const StatementRef& statement) {
  Enter(now);
  Learn(statement, nullptr, false);
  if (!statement || !statement->alive || statement->subject == self_.name) return;
  MemberEntry* member = FindMember(statement->subject);
  if (!member || !member->row.owner()) return;
  // A process that starts below what is known of its name cannot be heard until it knows: it must
  // raise its boot number above that.
  if (Supersedes(*member->row.owner(), *statement) && member->alive &&
      member->alive->alive->boot_id != statement->alive->boot_id) {
    SendToStale(statement, *member);
  }
}

void Protocol::Impl::HandleWallClock(Instant now, int64_t unix_s) {
  Enter(now);
  wall_unix_s_ = unix_s;
  std::vector<MemberEntry*> expired;
  for (MemberEntry* member : living_) {
    if (HasExpired(*member)) expired.push_back(member);
  }
  const bool doubted = expired.size() * 2 > living_.size();
  if (doubted && !clock_suspect_) {
    Emit(EventKind::kClockSuspect, *own_, {},
         std::to_string(expired.size()) + " of " + std::to_string(living_.size()) +
             " certificates would have ended");
  }
  clock_suspect_ = doubted;
  if (doubted) {
    // So many at once tell on this machine's clock, or on the authority: hiding them helps nobody.
    wall_unix_s_ = 0;
    return;
  }
  std::sort(expired.begin(), expired.end(),
            [](const MemberEntry* a, const MemberEntry* b) { return a->name < b->name; });
  for (MemberEntry* member : expired) {
    member->expired = true;
    Condemn(*member, MemberState::kDead, {}, "certificate expired");
  }
}

void Protocol::Impl::HandleUntrusted(Instant now, std::span<const Hash256> certificates) {
  Enter(now);
  const auto is_refused = [certificates](const StatementRef& statement) {
    return statement && std::find(certificates.begin(), certificates.end(),
                                  statement->certificate) != certificates.end();
  };
  // Also the dead and those that left: their datagrams would still be opened.
  for (auto& [name, member] : members_) {
    if (is_refused(member.alive) || is_refused(member.row.owner())) Refuse(member);
  }
  DropUntrustedEvents(certificates);
  retries_.RemoveIf(is_refused);
  std::erase_if(lost_, [this](const std::string& name) { return !retries_.Contains(name); });
  ArmRetry();
}

// ---- outputs and views --------------------------------------------------------------------------

std::vector<Action> Protocol::Impl::TakeActions() { return std::exchange(actions_, {}); }

void Protocol::Impl::Emit(EventKind kind, const MemberEntry& about, std::vector<std::string> by,
                          std::string detail) {
  Incarnation incarnation = incarnation_;
  if (&about != own_) {
    incarnation = about.row.owner() ? about.row.owner()->incarnation : Incarnation();
  }
  actions_.push_back(EmitEvent{
      {kind, now_, std::string(about.name), incarnation, std::move(by), std::move(detail)}});
}

MemberInfo Protocol::Impl::InfoOf(const MemberEntry& member) const {
  MemberInfo info;
  info.name = std::string(member.name);
  info.state = member.state;
  info.since = member.since;
  info.owner = member.row.owner();
  if (info.owner) info.incarnation = info.owner->incarnation;
  if (member.alive) info.claims = {member.alive, &*member.alive->alive};
  info.rtt = member.rtt;
  if (&member == own_) {
    info.is_self = true;
    info.incarnation = incarnation_;
    info.state = own_leave_ ? MemberState::kLeft : MemberState::kAlive;
    return info;
  }
  info.accusers = AccusersOf(member);
  if (member.suspicion) info.dies_at = EndOf(*member.suspicion);
  return info;
}

std::vector<MemberInfo> Protocol::Impl::Members(bool all) const {
  std::vector<MemberInfo> result;
  result.reserve(members_.size());
  for (const auto& [name, member] : members_) {
    const bool shown = &member == own_ || (member.listed && (all || !member.hidden));
    if (shown) result.push_back(InfoOf(member));
  }
  return result;
}

std::optional<MemberInfo> Protocol::Impl::Find(std::string_view name) const {
  const MemberEntry* member = FindMember(name);
  if (!member || (member != own_ && !member->listed)) return std::nullopt;
  return InfoOf(*member);
}

StatementRef Protocol::Impl::FindBoot(const BootId& boot_id) const {
  const auto it = boots_.find(boot_id);
  return it == boots_.end() ? nullptr : it->second->alive;
}

ViewAgreement Protocol::Impl::view_agreement() const {
  ViewAgreement result;
  for (const MemberEntry* member : living_) {
    if (!member->view) continue;
    ++result.known;
    if (*member->view == set_hash().low) ++result.agree;
  }
  return result;
}

Standing Protocol::Impl::standing() const {
  Standing result = standing_;
  result.broadcasts_queued = broadcasts_.size();
  result.sends_refused = refused_.size();
  return result;
}

bool Protocol::Impl::IsActive() const { return started_ && standing_.announced && !IsSilent(); }

int Protocol::Impl::TransmitLimit() const {
  return options_.retransmit_mult * DecimalDigits(LivingCount());
}

// ---- the public face ----------------------------------------------------------------------------

Protocol::Protocol(const ProtocolOptions& options, SelfIdentity self, uint32_t contacts,
                   uint64_t seed, Instant now)
    : impl_(std::make_unique<Impl>(options, std::move(self), contacts, seed, now)) {}
Protocol::~Protocol() = default;
Protocol::Protocol(Protocol&&) noexcept = default;
Protocol& Protocol::operator=(Protocol&&) noexcept = default;

void Protocol::Start(Instant now) { impl_->Start(now); }
void Protocol::HandleTimeout(Instant now) { impl_->HandleTimeout(now); }
void Protocol::HandlePacket(Instant now, const Source& from, const Packet& packet) {
  impl_->HandlePacket(now, from, packet);
}
void Protocol::HandleStatement(Instant now, const StatementRef& statement) {
  impl_->HandleStatement(now, statement);
}
void Protocol::HandleSigned(Instant now, const StatementRef& statement) {
  impl_->HandleSigned(now, statement);
}
void Protocol::HandleBootPersisted(Instant now, uint32_t boot_number) {
  impl_->HandleBootPersisted(now, boot_number);
}
void Protocol::HandleBootPersistFailed(Instant now, uint32_t boot_number) {
  impl_->HandleBootPersistFailed(now, boot_number);
}
void Protocol::HandleStreamAck(Instant now, uint64_t nonce) { impl_->HandleStreamAck(now, nonce); }
void Protocol::HandleStreamUnsent(Instant now, uint64_t nonce) {
  impl_->HandleStreamUnsent(now, nonce);
}
void Protocol::HandleSyncFinished(Instant now, SyncId id, SyncOutcome outcome, const Source* peer) {
  impl_->HandleSyncFinished(now, id, outcome, peer);
}
void Protocol::HandleSendFailed(Instant now, std::string_view member) {
  impl_->HandleSendFailed(now, member);
}
void Protocol::HandleLoopLag(Instant now, Duration lag) { impl_->HandleLoopLag(now, lag); }
void Protocol::SeekSync(Instant now) { impl_->SeekSync(now); }
void Protocol::HandleKeyTrouble(Instant now) { impl_->HandleKeyTrouble(now); }
void Protocol::HandleWallClock(Instant now, int64_t unix_s) { impl_->HandleWallClock(now, unix_s); }
void Protocol::HandleUntrusted(Instant now, std::span<const Hash256> certificates) {
  impl_->HandleUntrusted(now, certificates);
}
void Protocol::HandleRebooted(Instant now, const BootId& boot_id) {
  impl_->HandleRebooted(now, boot_id);
}
SyncTable Protocol::MakeSyncTable() const { return impl_->MakeSyncTable(); }
bool Protocol::HandleSyncTable(Instant now, const Source& from, const SyncTable& table) {
  return impl_->HandleSyncTable(now, from, table);
}
std::vector<StatementRef> Protocol::TombstonesFor(const SyncTable& other) const {
  return impl_->TombstonesFor(other);
}
SetHash Protocol::set_hash() const { return impl_->set_hash(); }
uint64_t Protocol::event_digest() const { return impl_->event_digest(); }
uint64_t Protocol::event_clock() const { return impl_->event_clock(); }
std::vector<uint64_t> Protocol::EventIds() const { return impl_->events().Ids(); }
EventDifference Protocol::CompareEvents(std::span<const uint64_t> theirs) const {
  return impl_->events().Compare(theirs);
}
std::vector<StatementRef> Protocol::FindEvents(std::span<const uint64_t> ids) const {
  return impl_->events().Find(ids);
}
void Protocol::HandleSyncEvents(Instant now, const Source& from, SyncSide side,
                                std::span<const StatementRef> events, uint64_t clock) {
  impl_->HandleSyncEvents(now, from, side, events, clock);
}
Say Protocol::PrepareEvent(Instant now, std::string_view name, std::string_view payload,
                           bool coalesce) {
  return impl_->PrepareEvent(now, name, payload, coalesce);
}
Say Protocol::PrepareQuery(Instant now, const QueryRequest& request) {
  return impl_->PrepareQuery(now, request);
}
Say Protocol::PrepareAnswer(Instant now, const Hash256& query, std::string_view payload) {
  return impl_->PrepareAnswer(now, query, payload);
}
void Protocol::AddContact(Instant now, ContactId contact) { impl_->AddContact(now, contact); }

bool Protocol::Knock(Instant now, ContactId contact) { return impl_->Knock(now, contact); }
void Protocol::Leave(Instant now) { impl_->Leave(now); }
void Protocol::SetTags(Instant now, std::vector<Tag> tags) { impl_->SetTags(now, std::move(tags)); }
void Protocol::Reannounce(Instant now, std::vector<Endpoint> addresses) {
  impl_->Reannounce(now, std::move(addresses));
}
uint64_t Protocol::PingMember(Instant now, std::string_view member) {
  return impl_->PingMember(now, member);
}
bool Protocol::Forget(Instant now, std::string_view name) { return impl_->Forget(now, name); }
std::vector<Action> Protocol::TakeActions() { return impl_->TakeActions(); }
Instant Protocol::NextDeadline() const { return impl_->NextDeadline(); }
std::vector<MemberInfo> Protocol::Members(bool all) const { return impl_->Members(all); }
std::optional<MemberInfo> Protocol::Find(std::string_view name) const { return impl_->Find(name); }
StatementRef Protocol::FindBoot(const BootId& boot_id) const { return impl_->FindBoot(boot_id); }
std::vector<SuspicionCase> Protocol::CasesOf(std::string_view name) const {
  return impl_->CasesOf(name);
}
Standing Protocol::standing() const { return impl_->standing(); }
ViewAgreement Protocol::view_agreement() const { return impl_->view_agreement(); }
const ProtocolCounters& Protocol::counters() const { return impl_->counters(); }
Incarnation Protocol::incarnation() const { return impl_->incarnation(); }
const StatementRef& Protocol::own_alive() const { return impl_->own_alive(); }

}  // namespace sotto
