// Failure detection: probes that may overlap, and pings relayed for others (design M6, M7).
#include <algorithm>
#include <utility>

#include "gossip/protocol_impl.h"

namespace sotto {
namespace {

constexpr size_t kRelaysMax = 1'024;
constexpr size_t kRelaysPerProber = 32;
// What one member may ask for: 16 statements a second, 32 at once.
constexpr Duration kWantEvery = Duration::Millis(1'000) / 16;
constexpr Duration kWantBucket = kWantEvery * 32;

}  // namespace

// ---- our own probes -----------------------------------------------------------------------------

void Protocol::Impl::OnProbeTick() {
  Arm(TimerKind::kProbeTick, now_ + ProbeRound());
  if (!IsActive() || standing_.leaving) return;
  if (const auto number = probe_order_.Next(probe_rng_)) StartProbe(*ByNumber(*number));
}

void Protocol::Impl::StartProbe(MemberEntry& member) {
  ++counters_.probes;
  const uint64_t nonce = nonce_rng_.Next();
  Probe& probe = probes_[nonce];
  probe.member = member.number;
  probe.boot_id = member.alive->alive->boot_id;
  probe.started = now_;
  member.asked = true;
  if (member.probes_since_datagram < UINT8_MAX) ++member.probes_since_datagram;
  if (member.probes_since_stream < UINT8_MAX) ++member.probes_since_stream;
  Arm(TimerKind::kProbeTimeout, now_ + options_.probe_timeout * HealthFactor(), nonce);
  Arm(TimerKind::kProbeEnd, now_ + ProbeRound(), nonce);
  SendMessages(member, {Ping{nonce}});
}

// No ack in time: the path may be at fault, so others try theirs, and we try a stream.
void Protocol::Impl::OnProbeTimeout(uint64_t nonce) {
  Probe& probe = probes_.at(nonce);
  if (!probe.unsent) EndSendTrouble();
  MemberEntry* target = ByNumber(probe.member);
  if (!target || !target->IsLiving()) return;
  probe.indirect = true;
  if (!target->knows_us && now_ >= target->hello_after) {
    target->must_hello = true;
    SendMessages(*target, {Ping{nonce}});
  }
  const auto relays = PickLiving(static_cast<size_t>(options_.indirect_probes), target);
  for (MemberEntry* relay : relays) {
    ++counters_.indirect_asked;
    probe.relays.push_back({.relay = relay->number});
    SendMessages(*relay, {IndirectPing{nonce, std::string(target->name)}});
  }
  actions_.push_back(SendStreamPing{target->alive, nonce});
}

void Protocol::Impl::OnProbeEnd(uint64_t nonce) {
  auto node = probes_.extract(nonce);
  if (node.empty()) return;
  const Probe& probe = node.mapped();
  Cancel(TimerKind::kProbeTimeout, nonce);
  MemberEntry* member = ByNumber(probe.member);
  const bool moot = !member || !member->IsLiving() || !IsActive() || standing_.leaving ||
                    member->alive->alive->boot_id != probe.boot_id;
  if (moot) {
    ++counters_.probes_voided;
    return;
  }
  const bool heard_anyone = last_heard_ > probe.started;
  if (HasSendTrouble() || (IsVoid(probe) && heard_anyone)) {
    ++counters_.probes_voided;
    return;
  }
  ++counters_.probes_failed;
  const Evidence evidence = EvidenceOf(probe, *member);
  // Relays that live say at least that they have asked. Where they say nothing, doubt ourselves.
  const bool expects_nacks = options_.lifeguard.nacks && !probe.relays.empty();
  const size_t silent = probe.relays.size() - probe.Nacked();
  RaiseHealth(expects_nacks ? static_cast<int>(silent) : 1);
  if (silent > 0 || probe.relays.empty()) ConsiderCensus();
  OnProbeFailed(*member, evidence, heard_anyone);
}

Evidence Protocol::Impl::EvidenceOf(const Probe& probe, const MemberEntry& member) const {
  Evidence evidence;
  evidence.direct_failed = !probe.unsent;
  evidence.relays_asked = static_cast<uint8_t>(probe.relays.size());
  evidence.relays_nacked = static_cast<uint8_t>(probe.Nacked());
  if (probe.indirect && !probe.stream_unsent) evidence.stream = Evidence::Stream::kFailed;
  evidence.health_score = static_cast<uint8_t>(standing_.health_score);
  const Duration silent = std::min(now_ - member.heard, kEvidenceSilenceMax);
  evidence.silent_for = Duration::Millis(silent.millis());
  return evidence;
}

// Our own ping did not leave this machine. Only if all those we asked say that they heard nothing
// either is there anything against the member.
bool Protocol::Impl::IsVoid(const Probe& probe) {
  return probe.unsent && (probe.relays.empty() || probe.Nacked() < probe.relays.size());
}

// Heard from nobody during the whole round, we are the likelier cause: the suspicion is ours alone,
// and is not signed.
void Protocol::Impl::OnProbeFailed(MemberEntry& member, const Evidence& evidence,
                                   bool heard_anyone) {
  Suspect(member, self_.name);
  cases_.Accuse(now_, member.name, member.row.owner()->incarnation, self_.name,
                StatementKind::kSuspect, evidence);
  if (heard_anyone && MayAccuse() && member.suspicion->HasAccuser(self_.name)) {
    RequestAccusation(member, StatementKind::kSuspect, {.broadcast = true});
  }
}

void Protocol::Impl::FinishProbe(uint64_t nonce) {
  probes_.erase(nonce);
  Cancel(TimerKind::kProbeTimeout, nonce);
  Cancel(TimerKind::kProbeEnd, nonce);
  LowerHealth();
}

bool Protocol::Impl::MayAccuse() const {
  return IsActive() && !standing_.leaving && !silent_ && !HasKeyTrouble() && !HasSendTrouble();
}

// ---- messages -----------------------------------------------------------------------------------

void Protocol::Impl::HandleMessage(MemberEntry& from, const Message& message, PacketBudget& budget,
                                   std::vector<Message>& replies) {
  const auto may = [this](int& left) {
    if (left == 0) ++counters_.ignored;
    return left > 0 && left-- > 0;
  };
  if (const auto* ping = std::get_if<Ping>(&message)) {
    if (may(budget.pings)) replies.push_back(AckOf(ping->nonce));
  } else if (const auto* ack = std::get_if<Ack>(&message)) {
    OnAck(from, *ack);
  } else if (const auto* ask = std::get_if<IndirectPing>(&message)) {
    if (may(budget.relays)) OnIndirectPing(from, *ask);
  } else if (const auto* nack = std::get_if<Nack>(&message)) {
    OnNack(from, nack->nonce);
  } else if (const auto* want = std::get_if<WantOwner>(&message)) {
    if (may(budget.wants)) OnWantOwner(from, want->name);
  } else if (const auto* receipt = std::get_if<AnswerReceipt>(&message)) {
    OnReceipt(from, receipt->answer);
  }
}

// The answer is many times as long as the question.
void Protocol::Impl::OnWantOwner(MemberEntry& from, const std::string& name) {
  const MemberEntry* member = FindMember(name);
  const StatementRef owner = member == own_ ? OwnStatement()
                             : member       ? member->row.owner()
                                            : nullptr;
  if (!owner) return;
  const Instant full_at = std::max(from.wants_full_at, now_) + kWantEvery;
  if (full_at - now_ > kWantBucket) {
    ++counters_.ignored;
    return;
  }
  from.wants_full_at = full_at;
  SendStatement(from, owner);
}

void Protocol::Impl::OnAck(MemberEntry& from, const Ack& ack) {
  const auto relayed = relays_.find(ack.nonce);
  if (relayed != relays_.end() && relayed->second.target == from.number) {
    const Relay relay = relayed->second;
    EndRelay(ack.nonce);
    Answered();
    if (MemberEntry* prober = ByNumber(relay.prober)) {
      SendMessages(*prober, {AckOf(relay.nonce)});
    }
    NoteAck(from, ack);
    return;
  }
  if (IsCensusAck(from, ack.nonce)) return Answered();
  if (FinishPing(from, ack.nonce) || OnJoinAck(from, ack)) {
    Answered();
    return NoteAck(from, ack);
  }
  const auto it = probes_.find(ack.nonce);
  if (it == probes_.end()) return;  // late, or made up: either proves nothing
  const Probe& probe = it->second;
  const bool direct = probe.member == from.number;
  const bool by_relay = std::any_of(probe.relays.begin(), probe.relays.end(),
                                    [&](const auto& r) { return r.relay == from.number; });
  if (!direct && !by_relay) {
    ++counters_.ignored;
    return;
  }
  Answered();
  if (direct) {
    NoteRtt(from, now_ - probe.started);
    EndRefusal(from.number);
    from.probes_since_datagram = 0;
  }
  FinishProbe(ack.nonce);
  NoteAck(from, ack);
}

void Protocol::Impl::OnNack(const MemberEntry& from, uint64_t nonce) {
  const auto it = probes_.find(nonce);
  if (it == probes_.end()) return;
  for (Probe::Asked& asked : it->second.relays) {
    if (asked.relay != from.number) continue;
    asked.nacked = true;
    Answered();
  }
}

void Protocol::Impl::HandleStreamAck(Instant now, uint64_t nonce) {
  Enter(now);
  Heard();
  // Over a stream only those answer who were asked, and perhaps after the census.
  if (nonce != 0 && nonce == census_stream_nonce_) return OnCensusStreamAck();
  const auto it = probes_.find(nonce);
  if (it == probes_.end()) return;
  if (MemberEntry* member = ByNumber(it->second.member)) member->probes_since_stream = 0;
  Answered();
  FinishProbe(nonce);
}

void Protocol::Impl::HandleStreamUnsent(Instant now, uint64_t nonce) {
  Enter(now);
  const auto it = probes_.find(nonce);
  if (it == probes_.end()) return;
  it->second.stream_unsent = true;
  OwnFault();
}

// ---- pings for others ---------------------------------------------------------------------------

void Protocol::Impl::OnIndirectPing(MemberEntry& from, const IndirectPing& ask) {
  MemberEntry* target = FindMember(ask.target);
  const bool full = relays_.size() >= kRelaysMax || from.relays >= kRelaysPerProber;
  if (!target || target == own_ || !target->alive || full) {
    ++counters_.ignored;
    return;
  }
  const uint64_t nonce = nonce_rng_.Next();
  relays_[nonce] = {from.number, target->number, ask.nonce};
  ++from.relays;
  if (options_.lifeguard.nacks) {
    Arm(TimerKind::kRelayNack, now_ + options_.probe_timeout * options_.nack_percent / 100, nonce);
  }
  Arm(TimerKind::kRelayEnd, now_ + options_.probe_interval * 2, nonce);
  SendMessages(*target, {Ping{nonce}});
}

void Protocol::Impl::EndRelay(uint64_t nonce) {
  const auto node = relays_.extract(nonce);
  if (node.empty()) return;
  Cancel(TimerKind::kRelayNack, nonce);
  Cancel(TimerKind::kRelayEnd, nonce);
  if (MemberEntry* prober = ByNumber(node.mapped().prober)) --prober->relays;
}

void Protocol::Impl::OnRelayNack(uint64_t nonce) {
  const Relay& relay = relays_.at(nonce);
  if (MemberEntry* prober = ByNumber(relay.prober)) SendMessages(*prober, {Nack{relay.nonce}});
}

}  // namespace sotto
