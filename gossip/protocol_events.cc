// What members say to all: Lamport times, each event once, the rate of each, and finding those that
// were missed (design W9, M11).
#include <algorithm>
#include <string>
#include <utility>

#include "gossip/base/check.h"
#include "gossip/protocol_impl.h"

namespace sotto {
namespace {

// An event may lie this far ahead of the clock, and no farther: its sender could otherwise bring
// everybody's clock to its end by a single one. At the rate of one sender that takes 2^30 events.
constexpr uint64_t kLamportAheadMax = uint64_t{1} << 32;
// Digests are shown on acks for so long after the last change; later, the tables' syncs do.
constexpr Duration kDigestShown = Duration::Minutes(5);

}  // namespace

// ---- what we say --------------------------------------------------------------------------------

SayResult Protocol::Impl::MaySay(const Said& said, size_t payload_bytes) const {
  SayResult result;
  if (!IsActive() || standing_.leaving) {
    result.verdict = SayVerdict::kNotReady;
    return result;
  }
  // Its own bound first, then what a packet of ours holds with our name in it.
  const size_t name_bytes = std::visit(
      [](const auto& s) {
        if constexpr (requires { s.name; }) return s.name.size();
        return size_t{0};
      },
      said);
  const size_t limit =
      std::holds_alternative<SaidAnswer>(said) ? kAnswerBytesMax : kUserEventBytesMax;
  const size_t whole = SaidStatementBytesMax(said, self_.cluster.size(), self_.name.size());
  const size_t frame = kPacketOverheadBytes + kStatementFrameBytes;
  const size_t fixed = whole - payload_bytes + frame;
  const size_t room = options_.packet_bytes_max - std::min(options_.packet_bytes_max, fixed);
  const size_t most = std::min(limit - std::min(limit, name_bytes), room);
  if (payload_bytes > most || fixed > options_.packet_bytes_max) {
    result.verdict = SayVerdict::kTooLarge;
    result.payload_max = most;
    return result;
  }
  if (std::holds_alternative<SaidAnswer>(said)) return result;
  const Duration token = Duration::Seconds(1) / options_.events_per_s;
  const Instant full_at = std::max(say_full_at_, now_) + token;
  const Duration over = full_at - now_ - token * options_.event_burst;
  if (over > Duration()) {
    result.verdict = SayVerdict::kRateLimited;
    result.wait = over;
  }
  return result;
}

uint64_t Protocol::Impl::SpendSay() {
  say_full_at_ = std::max(say_full_at_, now_) + Duration::Seconds(1) / options_.events_per_s;
  return ++lamport_;
}

Say Protocol::Impl::PrepareEvent(Instant now, std::string_view name, std::string_view payload,
                                 bool coalesce) {
  Enter(now);
  if (!IsValidSaidName(name)) return {{SayVerdict::kInvalid}, {}};
  if (IsInternalName(name)) return {{SayVerdict::kReserved}, {}};
  SaidEvent event{std::string(name), std::string(payload), lamport_ + 1, coalesce};
  const SayResult may = MaySay(event, payload.size());
  if (may.verdict != SayVerdict::kOk) return {may, {}};
  event.lamport = SpendSay();
  return {{},
          StatementDraft{StatementKind::kUserEvent,
                         self_.name,
                         incarnation_,
                         {},
                         {},
                         std::make_shared<const Said>(std::move(event))}};
}

void Protocol::Impl::OnSaidSigned(const StatementRef& statement) {
  SOTTO_CHECK(statement->said != nullptr);
  switch (statement->kind) {
    case StatementKind::kUserEvent:
      ++counters_.events_sent;
      HearEvent(statement, Path::kOwn);
      return;
    case StatementKind::kQuery:
      return OnQuerySigned(statement);
    default:
      return OnAnswerSigned(statement);
  }
}

// ---- what we hear -------------------------------------------------------------------------------

void Protocol::Impl::HearSaid(const StatementRef& statement, const MemberEntry* source) {
  const bool sound = statement->said && statement->signer == statement->subject &&
                     IsSoundSaid(*statement->said) && !IsSilent();
  if (!sound) {
    ++counters_.ignored;
    return;
  }
  if (std::holds_alternative<SaidEvent>(*statement->said)) {
    HearEvent(statement, Path::kGossip);
  } else if (std::holds_alternative<SaidQuery>(*statement->said)) {
    HearQuery(statement);
  } else {
    HearAnswer(statement, source);
  }
}

bool Protocol::Impl::WitnessLamport(uint64_t lamport) {
  if (lamport >= kLamportEnd || lamport > lamport_ + kLamportAheadMax) return false;
  lamport_ = std::max(lamport_, lamport);
  return true;
}

bool Protocol::Impl::IsOfFormerLife(const Statement& statement) const {
  const MemberEntry* member = FindMember(statement.signer);
  const Incarnation known = member == own_                  ? incarnation_
                            : member && member->row.owner() ? member->row.owner()->incarnation
                                                            : Incarnation();
  return statement.incarnation.boot_number() < known.boot_number();
}

bool Protocol::Impl::HearEvent(const StatementRef& statement, Path path) {
  switch (events_.Judge(*statement)) {
    case UserEventStore::Verdict::kKnown:
      ++counters_.events_duplicate;
      return false;
    case UserEventStore::Verdict::kOld:
      ++counters_.events_old;
      return false;
    case UserEventStore::Verdict::kNew:
      break;
  }
  if (path != Path::kOwn) {
    if (!WitnessLamport(std::get<SaidEvent>(*statement->said).lamport)) {
      ++counters_.events_ahead;
      return false;
    }
    // Neither delivered nor passed on nor kept: the cluster's cost of one sender is bounded.
    if (!say_rates_.TakeToken(now_, statement->signer)) {
      ++counters_.events_rate_limited;
      return false;
    }
  }
  events_.Insert(statement);
  NoteEvents();
  // A joiner learns what its contact's cluster knows already: Broadcast() is mute until then.
  Broadcast(BroadcastClass::kEvent, statement);
  Deliver(statement);
  return true;
}

void Protocol::Impl::Deliver(const StatementRef& statement) {
  const auto& said = std::get<SaidEvent>(*statement->said);
  // What comes before we have announced ourselves cannot be told from what is long past.
  const bool early = !events_begun_ && !standing_.announced;
  const bool replayed =
      early || telling_history_ || said.lamport <= start_lamport_ || IsOfFormerLife(*statement);
  UserEvent event{statement->signer, said.name, said.payload,   said.lamport,
                  said.coalesce,     replayed,  statement->hash};
  ++counters_.events_delivered;
  if (auto passed = coalescer_.Add(now_, std::move(event))) {
    actions_.push_back(DeliverUserEvent{*std::move(passed)});
  } else {
    Arm(TimerKind::kCoalesce, coalescer_.NextDue());
  }
}

void Protocol::Impl::OnCoalesceTimer() {
  for (UserEvent& event : coalescer_.TakeDue(now_)) {
    actions_.push_back(DeliverUserEvent{std::move(event)});
  }
  if (coalescer_.NextDue() != Instant::Never()) Arm(TimerKind::kCoalesce, coalescer_.NextDue());
}

// Their certificate is refused: nobody else would take them from us any longer.
void Protocol::Impl::DropUntrustedEvents(std::span<const Hash256> certificates) {
  events_.DropSignedBy(certificates);
  NoteEvents();
}

// ---- what was missed ----------------------------------------------------------------------------

void Protocol::Impl::NoteEvents() {
  digests_.NoteOwn(now_, events_.digest());
  ArmEventSync();
}

uint64_t Protocol::Impl::ShownEventDigest() const {
  return now_ < digests_.changed_at() + kDigestShown ? events_.digest() : 0;
}

void Protocol::Impl::NoteAck(MemberEntry& from, const Ack& ack) {
  NoteView(from, ack.set_hash);
  if (ack.events == 0) return;
  digests_.NoteTheirs(now_, from.number, ack.events);
  ArmEventSync();
}

void Protocol::Impl::ArmEventSync() {
  if (event_sync_ || check_events_) return;
  const Instant due = digests_.NextDue();
  if (due == Instant::Never()) {
    Cancel(TimerKind::kEventSync);
  } else {
    Arm(TimerKind::kEventSync, due);
  }
}

// We were away for longer than others show their digests after an event.
void Protocol::Impl::CheckEventsSoon() {
  if (event_sync_) return;
  check_events_ = true;
  Arm(TimerKind::kEventSync, now_ + options_.sync_settle);
}

void Protocol::Impl::OnEventSyncTimer() {
  const bool check = std::exchange(check_events_, false);
  if (event_sync_ || !IsActive() || standing_.leaving || living_.empty()) return;
  const MemberEntry* member = nullptr;
  DigestWatch::Due with;
  while (!member) {
    const auto due = digests_.TakeDue(now_);
    if (!due) break;
    const MemberEntry* found = ByNumber(due->member);
    if (!found || found == own_ || !found->IsLiving()) continue;
    member = found;
    with = *due;
  }
  if (!member && check) {
    member = living_[sync_rng_.Below(living_.size())];
    with.member = member->number;
  }
  if (!member) return ArmEventSync();
  event_sync_ = EventSync{with, events_.digest()};
  BeginSync({.reason = SyncReason::kEvents, .member = std::string(member->name)}, member->alive);
}

void Protocol::Impl::OnEventSyncFinished() {
  const EventSync sync = *std::exchange(event_sync_, std::nullopt);
  digests_.Finished(now_, sync.with, sync.own_before, events_.digest() != sync.own_before);
  ArmEventSync();
}

bool Protocol::Impl::IsFromContact(const Source& from) const {
  bool has_contact = false;
  for (const auto& [id, sync] : syncs_) {
    if (!sync.contact && sync.member == from.name) return false;
    has_contact |= sync.contact.has_value();
  }
  return has_contact;
}

void Protocol::Impl::TakeStart(std::span<const StatementRef> events, uint64_t clock) {
  uint64_t highest = clock;
  for (const StatementRef& event : events) {
    if (!event || !event->said || !std::holds_alternative<SaidEvent>(*event->said)) continue;
    highest = std::max(highest, std::get<SaidEvent>(*event->said).lamport);
  }
  // The first that knows of anything is believed; the others, as far as anybody's word.
  const bool first = start_lamport_ == 0;
  if (highest >= kLamportEnd || (!first && highest > lamport_ + kLamportAheadMax)) return;
  start_lamport_ = std::max(start_lamport_, highest);
  lamport_ = std::max(lamport_, highest);
}

void Protocol::Impl::HandleSyncEvents(Instant now, const Source& from, SyncSide side,
                                      std::span<const StatementRef> events, uint64_t clock) {
  Enter(now);
  Heard();
  if (IsSilent()) return;
  // Who dials a starter tells it nothing about its start: anybody could be the first to do so.
  const bool starting = side == SyncSide::kClient && !events_begun_;
  const bool contact = starting && IsFromContact(from);
  if (contact) TakeStart(events, clock);
  // Only contacts are taken at their word. A member that we have picked shows signed events.
  telling_history_ = starting && !contact && start_lamport_ == 0;
  uint64_t highest = 0;
  for (const StatementRef& event : events) {
    const bool sound = event && event->kind == StatementKind::kUserEvent && event->said &&
                       event->signer == event->subject && IsSoundSaid(*event->said) &&
                       std::holds_alternative<SaidEvent>(*event->said);
    if (!sound) {
      ++counters_.ignored;
    } else if (HearEvent(event, Path::kSync)) {
      highest = std::max(highest, std::get<SaidEvent>(*event->said).lamport);
    }
  }
  if (std::exchange(telling_history_, false)) start_lamport_ = highest;
  // No contact has ever answered, and so no settling will end.
  if (starting && !contact && standing_.announced && !contact_answered_) events_begun_ = true;
}

}  // namespace sotto
