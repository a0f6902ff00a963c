// Packets: what rides on each, to whom broadcasts go, and telling the accused (design W9, M11).
#include <algorithm>
#include <span>
#include <utility>

#include "gossip/protocol_impl.h"

namespace sotto {
namespace {

constexpr Duration kHelloEvery = Duration::Seconds(1);
constexpr size_t kStatementsPerPacket = 32;
constexpr size_t kEntriesPerTick = 4'096;
// What a signer is told unasked: so much at once, and as much again in so many probe intervals.
constexpr int kToldBurst = 4;

}  // namespace

// ---- the queue and its tick ---------------------------------------------------------------------

bool Protocol::Impl::FitsPacket(const Statement& statement) const {
  return kPacketOverheadBytes + WireSizeMax(statement) <= options_.packet_bytes_max;
}

void Protocol::Impl::Broadcast(BroadcastClass broadcast_class, const StatementRef& statement) {
  if (!IsActive()) return;
  // What no packet holds goes over streams: a hash sync finds it missing.
  if (!FitsPacket(*statement)) return;
  broadcasts_.Push(broadcast_class, statement);
  ArmGossip();
}

// The first news after a quiet interval goes out at once; what follows waits for the tick.
void Protocol::Impl::ArmGossip() {
  if (broadcasts_.empty() || timers_.IsArmed({TimerKind::kGossip, 0})) return;
  if (living_.empty() && recently_dead_.empty()) return;
  Arm(TimerKind::kGossip, gossip_after_);
}

void Protocol::Impl::OnGossipTick() {
  gossip_after_ = now_ + options_.gossip_interval;
  while (!recently_dead_.empty() && recently_dead_.front().first + options_.gossip_to_dead < now_) {
    recently_dead_.pop_front();
  }
  if (!IsActive()) return;
  const auto share =
      static_cast<size_t>(options_.gossip_bytes_per_s * options_.gossip_interval.millis() / 1'000 /
                          options_.gossip_fanout);
  const size_t bytes = std::max(share, options_.packet_bytes_max);
  for (MemberEntry* member : PickLiving(static_cast<size_t>(options_.gossip_fanout), nullptr)) {
    GossipTo(*member, bytes, true);
  }
  // One that seems dead is told too, at nobody's expense: it may be able to answer.
  if (!recently_dead_.empty()) {
    const auto at = gossip_rng_.Below(recently_dead_.size());
    MemberEntry* member = ByNumber(recently_dead_[at].second);
    if (member && member->IsCondemned()) GossipTo(*member, options_.packet_bytes_max, false);
  }
  if (own_leave_ && !broadcasts_.Holds(*own_leave_)) FinishLeave();
  ArmGossip();
}

void Protocol::Impl::GossipTo(MemberEntry& member, size_t bytes, bool count) {
  Packet packet;
  size_t used = kPacketOverheadBytes;
  const StatementRef accusation = AccusationAbout(member);
  if (accusation) {
    used += WireSizeMax(*accusation);
    packet.statements.push_back(accusation);
  }
  const size_t room = bytes - std::min(bytes, used);
  std::vector<StatementRef> taken = broadcasts_.Take({.bytes = room,
                                                      .entries_max = kEntriesPerTick,
                                                      .transmit_limit = TransmitLimit(),
                                                      .to = member.name,
                                                      .except = accusation.get(),
                                                      .count = count});
  if (taken.empty()) return;
  for (StatementRef& statement : taken) {
    const size_t size = WireSizeMax(*statement);
    const bool full =
        used + size > options_.packet_bytes_max || packet.statements.size() >= kStatementsPerPacket;
    if (full) {
      Send(member, std::exchange(packet, {}));
      used = kPacketOverheadBytes;
    }
    used += size;
    packet.statements.push_back(std::move(statement));
  }
  Send(member, std::move(packet));
}

std::vector<MemberEntry*> Protocol::Impl::PickLiving(size_t count, const MemberEntry* except) {
  std::vector<MemberEntry*> pool;
  const size_t available = living_.size() - (except && except->IsLiving() ? 1 : 0);
  count = std::min(count, available);
  if (count * 2 >= available) {
    for (MemberEntry* member : living_) {
      if (member != except) pool.push_back(member);
    }
    gossip_rng_.Shuffle(std::span<MemberEntry*>(pool));
    pool.resize(count);
    return pool;
  }
  // Few of many: draw until they differ.
  while (pool.size() < count) {
    MemberEntry* member = living_[gossip_rng_.Below(living_.size())];
    const bool taken = std::find(pool.begin(), pool.end(), member) != pool.end();
    if (member != except && !taken) pool.push_back(member);
  }
  return pool;
}

// ---- packets ------------------------------------------------------------------------------------

// Messages go out at once; an accusation of the receiver and as many broadcasts as fit ride along.
void Protocol::Impl::SendMessages(MemberEntry& member, std::vector<Message> messages) {
  if (!IsActive() || !member.alive) return;
  Packet packet;
  size_t used = kPacketOverheadBytes;
  for (const Message& message : messages) used += WireSizeMax(message);
  packet.messages = std::move(messages);
  const StatementRef accusation = AccusationAbout(member);
  if (accusation && used + WireSizeMax(*accusation) <= options_.packet_bytes_max) {
    used += WireSizeMax(*accusation);
    packet.statements.push_back(accusation);
    member.tell_after = now_ + options_.probe_interval / 2;
  }
  const size_t room = options_.packet_bytes_max - std::min(options_.packet_bytes_max, used);
  for (StatementRef& statement : broadcasts_.Take({.bytes = room,
                                 .entries_max = kStatementsPerPacket,
                                 .transmit_limit = TransmitLimit(),
                                 .to = member.name,
                                 .except = accusation.get()})) {
    packet.statements.push_back(std::move(statement));
  }
  Send(member, std::move(packet));
}

void Protocol::Impl::SendStatement(MemberEntry& member, const StatementRef& statement) {
  if (!FitsPacket(*statement)) return;
  Send(member, {{}, {statement}});
}

void Protocol::Impl::Send(MemberEntry& member, Packet packet) {
  if (!IsActive() || !member.alive) return;
  const bool hello =
      !member.knows_us && now_ >= member.hello_after && (member.must_hello || !IsKnownToAll());
  if (hello) member.hello_after = now_ + kHelloEvery;
  actions_.push_back(SendPacket{member.alive, std::move(packet), hello});
}

// Our Alive is in the tables of the members who acked last, so that very likely all hold it: hellos
// cost more than all else that a resting node sends. Who does not answer gets one all the same.
bool Protocol::Impl::IsKnownToAll() const {
  const uint64_t own = set_hash().low;
  return views_.size() >= std::min(kViewsMax, living_.size()) &&
         std::all_of(views_.begin(), views_.end(),
                     [own](const auto& view) { return view.second == own; });
}

void Protocol::Impl::SendToStale(const StatementRef& to, MemberEntry& member) {
  const StatementRef& owner = member.row.owner();
  if (!IsActive() || now_ < member.stale_after || !FitsPacket(*owner)) return;
  member.stale_after = now_ + kHelloEvery;
  actions_.push_back(SendPacket{to, {{}, {owner}}, true});
}

// ---- the accused --------------------------------------------------------------------------------

StatementRef Protocol::Impl::AccusationAbout(const MemberEntry& member) const {
  if (member.row.accusations().empty()) return nullptr;
  if (!member.IsCondemned() && !member.suspicion) return nullptr;
  if (member.suspicion && !options_.lifeguard.buddy) return nullptr;
  if (const StatementRef* own = OwnAccusationOf(member)) return *own;
  const std::vector<StatementRef> effective = member.row.Effective();
  return effective.empty() ? nullptr : effective.front();
}

void Protocol::Impl::TellAccused(MemberEntry& member) {
  if (member.expired || now_ < member.tell_after || !IsActive()) return;
  if (member.suspicion && !options_.lifeguard.buddy) return;
  const StatementRef accusation = AccusationAbout(member);
  // A suspect's accusation rides on its next ping; only one that nobody has signed must be made.
  if (accusation && member.suspicion) return;
  member.tell_after = now_ + options_.probe_interval / 2;
  if (accusation) {
    SendStatement(member, accusation);
    return;
  }
  const StatementKind kind = member.suspicion ? StatementKind::kSuspect : StatementKind::kDead;
  RequestAccusation(member, kind, {.tell = true});
}

bool Protocol::Impl::MayTell(MemberEntry& signer) {
  const Instant full_at = std::max(signer.told_full_at, now_) + options_.probe_interval;
  if (full_at - now_ > options_.probe_interval * kToldBurst) return false;
  signer.told_full_at = full_at;
  return true;
}

// Two cases alone, so that an old accusation that somebody else replays makes nobody send anything:
// its signer says it still, or its subject asks for this (AnswerAgain). In the former the subject
// is told as well, for it may have a way to the signer that we lack. In the latter what is sent is
// no more than what came.
void Protocol::Impl::OnStale(MemberEntry& member, const StatementRef& accusation,
                             const MemberEntry& source) {
  MemberEntry* signer = FindMember(accusation->signer);
  if (!signer || signer == own_) return;
  const bool by_signer = source.number == signer->number;
  if ((!by_signer && source.number != member.number) || !MayTell(*signer)) return;
  SendStatement(*signer, member.row.owner());
  if (by_signer && member.IsLiving()) SendStatement(member, accusation);
}

// Its answer may have been lost on the way to us, or the accusation on the way to it. Both are
// asked for: a ping carries the accusation, and whoever we hear is asked what the suspect says of
// itself.
void Protocol::Impl::WarnSuspect(MemberEntry& member) {
  Arm(TimerKind::kWarn, member.suspicion->NextWarning(), member.number);
  if (!IsActive() || standing_.leaving) return;
  // Unsigned so far, for we had heard nobody: by now we have, and the suspect must be able to
  // answer.
  if (last_heard_ > member.since && MayAccuse() && member.suspicion->HasAccuser(self_.name)) {
    RequestAccusation(member, StatementKind::kSuspect, {.broadcast = true});
  }
  if (!options_.lifeguard.buddy) return;
  SendMessages(member, {Ping{nonce_rng_.Next()}});
  MemberEntry* heard = ByNumber(last_heard_from_);
  if (heard && heard != own_ && heard != &member && heard->IsLiving()) AskAbout(member, *heard);
  // Whom we hear may not hear us.
  for (MemberEntry* other : PickLiving(1, &member)) {
    if (other != heard) AskAbout(member, *other);
  }
}

void Protocol::Impl::AskAbout(const MemberEntry& member, MemberEntry& other) {
  Packet packet{{WantOwner{std::string(member.name)}}, {}};
  // It may not have heard of the accusation either; through it the suspect will.
  if (const StatementRef accusation = AccusationAbout(member)) {
    packet.statements.push_back(accusation);
  }
  Send(other, std::move(packet));
}

}  // namespace sotto
