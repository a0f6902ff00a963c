// Failure detection: probes that may overlap, pings relayed for others, Lifeguard's local health,
// and when this node had better accuse nobody (design M6, M7).
#include <algorithm>
#include <iterator>
#include <utility>

#include "gossip/protocol_impl.h"

namespace sotto {
namespace {

constexpr size_t kRelaysMax = 1'024;
constexpr size_t kRelaysPerProber = 32;
// What one member may ask for: 16 statements a second, 32 at once.
constexpr Duration kWantEvery = Duration::Millis(1'000) / 16;
constexpr Duration kWantBucket = kWantEvery * 32;
// Isolation is said within this time, however sick this node believes itself to be.
constexpr Duration kSilenceBound = Duration::Seconds(8);
constexpr Duration kKeyTroubleRepeat = Duration::Seconds(60);

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
  probes_[nonce] = {member.number, member.alive->alive->boot_id, now_, false, {}};
  Arm(TimerKind::kProbeTimeout, now_ + options_.probe_timeout * HealthFactor(), nonce);
  Arm(TimerKind::kProbeEnd, now_ + ProbeRound(), nonce);
  SendMessages(member, {Ping{nonce}});
}

// No ack in time: the path may be at fault, so others try theirs, and we try a stream.
void Protocol::Impl::OnProbeTimeout(uint64_t nonce) {
  Probe& probe = probes_.at(nonce);
  MemberEntry* target = ByNumber(probe.member);
  if (!target || !target->IsLiving()) return;
  probe.indirect = true;
  const auto relays = PickLiving(static_cast<size_t>(options_.indirect_probes), target);
  for (MemberEntry* relay : relays) {
    ++counters_.indirect_asked;
    probe.relays.emplace_back(relay->number, false);
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
  ++counters_.probes_failed;
  // Relays that live say at least that they have asked. Where they say nothing, doubt ourselves.
  const auto silent = std::count_if(probe.relays.begin(), probe.relays.end(),
                                    [](const auto& relay) { return !relay.second; });
  RaiseHealth(probe.relays.empty() ? 1 : static_cast<int>(silent));
  OnProbeFailed(*member, last_heard_ > probe.started);
}

// Heard from nobody during the whole round, we are the likelier cause: the suspicion is ours alone,
// and is not signed.
void Protocol::Impl::OnProbeFailed(MemberEntry& member, bool heard_anyone) {
  Suspect(member, self_.name);
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
  return IsActive() && !standing_.leaving && !standing_.isolated && !HasKeyTrouble();
}

// ---- messages -----------------------------------------------------------------------------------

void Protocol::Impl::HandleMessage(MemberEntry& from, const Message& message, PacketBudget& budget,
                                   std::vector<Message>& replies) {
  const auto may = [this](int& left) {
    if (left == 0) ++counters_.ignored;
    return left > 0 && left-- > 0;
  };
  if (const auto* ping = std::get_if<Ping>(&message)) {
    if (may(budget.pings)) replies.push_back(Ack{ping->nonce, set_hash().low});
  } else if (const auto* ack = std::get_if<Ack>(&message)) {
    OnAck(from, *ack);
  } else if (const auto* ask = std::get_if<IndirectPing>(&message)) {
    if (may(budget.relays)) OnIndirectPing(from, *ask);
  } else if (const auto* nack = std::get_if<Nack>(&message)) {
    OnNack(from, nack->nonce);
  } else if (const auto* want = std::get_if<WantOwner>(&message)) {
    if (may(budget.wants)) OnWantOwner(from, want->name);
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
    if (MemberEntry* prober = ByNumber(relay.prober)) {
      SendMessages(*prober, {Ack{relay.nonce, set_hash().low}});
    }
    NoteView(from, ack.set_hash);
    return;
  }
  if (FinishPing(from, ack.nonce)) return NoteView(from, ack.set_hash);
  const auto it = probes_.find(ack.nonce);
  if (it == probes_.end()) return;  // late, or made up: either proves nothing
  const Probe& probe = it->second;
  const bool direct = probe.member == from.number;
  const bool by_relay = std::any_of(probe.relays.begin(), probe.relays.end(),
                                    [&](const auto& r) { return r.first == from.number; });
  if (!direct && !by_relay) {
    ++counters_.ignored;
    return;
  }
  if (direct) NoteRtt(from, now_ - probe.started);
  FinishProbe(ack.nonce);
  NoteView(from, ack.set_hash);
}

void Protocol::Impl::OnNack(const MemberEntry& from, uint64_t nonce) {
  const auto it = probes_.find(nonce);
  if (it == probes_.end()) return;
  for (auto& [relay, nacked] : it->second.relays) {
    if (relay == from.number) nacked = true;
  }
}

void Protocol::Impl::HandleStreamAck(Instant now, uint64_t nonce) {
  Enter(now);
  Heard();
  if (probes_.contains(nonce)) FinishProbe(nonce);
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
  Arm(TimerKind::kRelayNack, now_ + options_.probe_timeout * options_.nack_percent / 100, nonce);
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

// ---- our own health -----------------------------------------------------------------------------

void Protocol::Impl::RaiseHealth(int by) {
  standing_.health_score = std::min(standing_.health_score + by, options_.health_score_max);
}

void Protocol::Impl::LowerHealth() {
  standing_.health_score = std::max(standing_.health_score - 1, 0);
}

void Protocol::Impl::VoidOverdueProbes() {
  const Duration round = options_.probe_timeout;
  for (auto it = probes_.begin(); it != probes_.end();) {
    const auto next = std::next(it);
    // Whatever could have come to a verdict, or to asking others, while we did not listen.
    if (it->second.started + round <= now_) {
      ++counters_.probes_voided;
      Cancel(TimerKind::kProbeTimeout, it->first);
      Cancel(TimerKind::kProbeEnd, it->first);
      probes_.erase(it);
    }
    it = next;
  }
  while (!relays_.empty()) EndRelay(relays_.begin()->first);
}

// The refutation may be waiting to be read: no suspicion ends before there was time to hear it.
void Protocol::Impl::HoldSuspicions() {
  for (MemberEntry* member : living_) {
    if (!member->suspicion) continue;
    if (member->suspicion->deadline() > now_ + options_.probe_interval) continue;
    member->suspicion->Hold(now_ + member->suspicion->bounds().min);
    ArmStateTimer(*member);
  }
}

// ---- isolation ----------------------------------------------------------------------------------

void Protocol::Impl::Heard() {
  last_heard_ = now_;
  if (!standing_.isolated) return;
  standing_.isolated = false;
  HoldSuspicions();
  Arm(TimerKind::kIsolation, now_ + SilenceMax());
  Emit(EventKind::kReconnected, *own_, {}, "a member has been heard again");
}

// What a member's being there means: dead by our conclusion or suspect without a signature, it has
// to be told, for only its own higher incarnation can bring it back (design M4).
void Protocol::Impl::HeardFrom(MemberEntry& member) {
  if (member.IsCondemned() || member.suspicion) TellAccused(member);
}

Duration Protocol::Impl::SilenceMax() const {
  return std::min(ProbeRound() * 2, std::max(options_.probe_interval * 2, kSilenceBound));
}

void Protocol::Impl::OnIsolationTimer() {
  const Instant silent_at = last_heard_ + SilenceMax();
  if (living_.empty() || !IsActive() || now_ < silent_at) {
    Arm(TimerKind::kIsolation, std::max(silent_at, now_ + options_.probe_interval));
    return;
  }
  standing_.isolated = true;
  broadcasts_.DropAccusationsBy(self_.name);
  Emit(EventKind::kIsolated, *own_, {},
       "nobody has been heard for " + std::to_string((now_ - last_heard_).millis()) + " ms");
}

void Protocol::Impl::HandleKeyTrouble(Instant now) {
  Enter(now);
  const bool ongoing = HasKeyTrouble();
  key_trouble_until_ = now_ + ProbeRound() * 2;
  if (ongoing || now_ - key_trouble_told_ < kKeyTroubleRepeat) return;
  key_trouble_told_ = now_;
  Emit(EventKind::kKeyTrouble, *own_);
}

}  // namespace sotto
