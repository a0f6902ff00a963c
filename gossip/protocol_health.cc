// Our own health: Lifeguard's score, pauses, sends that this machine refuses, isolation, and when
// this node had better accuse nobody (design M6, M7).
#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "gossip/protocol_impl.h"

namespace sotto {
namespace {

// Isolation is said within this time, however sick this node believes itself to be.
constexpr Duration kSilenceBound = Duration::Seconds(8);
constexpr Duration kTroubleRepeat = Duration::Seconds(60);

}  // namespace

// ---- the score ----------------------------------------------------------------------------------

void Protocol::Impl::RaiseHealth(int by) {
  standing_.health_score = std::min(standing_.health_score + by, options_.health_score_max);
}

void Protocol::Impl::LowerHealth() {
  standing_.health_score = std::max(standing_.health_score - 1, 0);
}

void Protocol::Impl::OwnFault() {
  if (now_ < own_fault_after_) return;
  own_fault_after_ = now_ + options_.probe_interval;
  RaiseHealth(1);
}

// Late by half a probe timeout, our answers and those to us look late as well. Longer ones are
// pauses, which Enter() notices.
void Protocol::Impl::HandleLoopLag(Instant now, Duration lag) {
  Enter(now);
  if (lag <= options_.probe_timeout / 2) return;
  ++counters_.loop_lags;
  OwnFault();
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
void Protocol::Impl::HoldSuspicions(Duration age_max) {
  for (MemberEntry* member : living_) {
    if (!member->suspicion || now_ - member->suspicion->start() > age_max) continue;
    if (member->suspicion->deadline() > now_ + options_.probe_interval) continue;
    member->suspicion->Hold(now_ + member->suspicion->bounds().min);
    ArmStateTimer(*member);
  }
}

// ---- sends that this machine refuses ------------------------------------------------------------

// The others are asked at once, for there is no answer to wait for.
void Protocol::Impl::HandleSendFailed(Instant now, std::string_view name) {
  Enter(now);
  ++counters_.sends_refused;
  const MemberEntry* member = FindMember(name);
  if (!member || !member->IsLiving()) return;
  OwnFault();
  refused_.insert(member->number);
  std::vector<uint64_t> unsent;
  for (auto& [nonce, probe] : probes_) {
    for (Probe::Asked& asked : probe.relays) {
      if (asked.relay == member->number) asked.unsent = !asked.nacked;
    }
    NoteSwallowed(probe);
    if (probe.member != member->number || probe.indirect) continue;
    probe.unsent = true;
    unsent.push_back(nonce);
  }
  if (unsent.empty()) return;
  TellRefusal(*member);
  for (const uint64_t nonce : unsent) {
    Cancel(TimerKind::kProbeTimeout, nonce);
    OnProbeTimeout(nonce);
    NoteSwallowed(probes_.at(nonce));
  }
}

// Neither the ping nor a question to any relay: what this round does not hear is this machine's
// fault, whoever else is heard or not. The stream decides nothing here, for a firewall that takes
// a SYN leaves it to run out like one that nobody answers.
void Protocol::Impl::NoteSwallowed(const Probe& probe) {
  if (probe.indirect && probe.IsSwallowed()) swallowed_since_ = std::min(swallowed_since_, now_);
}

void Protocol::Impl::EndSendTrouble() {
  const Instant since = std::exchange(swallowed_since_, Instant::Never());
  if (since == Instant::Never() || now_ - since < options_.probe_interval * 3) return;
  // A machine that lets out but a little must not put off an end without end.
  HoldSuspicions(kSendTroubleMax);
}

void Protocol::Impl::TellRefusal(const MemberEntry& to) {
  if (refusal_open_ || now_ - refusal_told_ < kTroubleRepeat) return;
  refusal_open_ = true;
  refusal_told_ = now_;
  Emit(EventKind::kSendsRefused, *own_, {},
       "this machine refuses datagrams, those to " + std::string(to.name) + " among them");
}

void Protocol::Impl::EndRefusal(uint32_t member) {
  if (refused_.erase(member) == 0 || !refused_.empty()) return;
  if (std::exchange(refusal_open_, false)) {
    Emit(EventKind::kReconnected, *own_, {}, "datagrams leave this machine again");
  }
}

// ---- isolation ----------------------------------------------------------------------------------

void Protocol::Impl::Heard() {
  last_heard_ = now_;
  if (!std::exchange(silent_, false)) return;
  if (!unanswered_) last_answered_ = now_;  // nobody could: from here on they can
  HoldSuspicions();
  CheckEventsSoon();
  Arm(TimerKind::kIsolation, now_ + SilenceMax());
  UpdateIsolated("a member has been heard again");
}

void Protocol::Impl::Answered() {
  last_answered_ = now_;
  census_unanswered_ = false;
  EndSendTrouble();
  if (std::exchange(unanswered_, false)) UpdateIsolated("a member has answered again");
}

void Protocol::Impl::UpdateIsolated(std::string detail) {
  const bool isolated = silent_ || unanswered_;
  if (isolated == standing_.isolated) return;
  standing_.isolated = isolated;
  Emit(isolated ? EventKind::kIsolated : EventKind::kReconnected, *own_, {}, std::move(detail));
}

// What a member's being there means: dead by our conclusion or suspect without a signature, it has
// to be told, for only its own higher incarnation can bring it back (design M4).
void Protocol::Impl::HeardFrom(MemberEntry& member) {
  if (member.IsCondemned() || member.suspicion) TellAccused(member);
}

Duration Protocol::Impl::SilenceMax() const {
  return std::min(ProbeRound() * 2, std::max(options_.probe_interval * 2, kSilenceBound));
}

// However sick it is: a census needs no more.
Duration Protocol::Impl::UnansweredMax() const {
  return std::max(options_.probe_interval * 2, kSilenceBound);
}

void Protocol::Impl::OnIsolationTimer() {
  const Instant silent_at = last_heard_ + SilenceMax();
  const Instant ask_at = last_heard_ + SilenceMax() * 3 / 4;
  if (living_.empty() || !IsActive()) {
    last_answered_ = now_;  // nobody was asked
    Arm(TimerKind::kIsolation, std::max(ask_at, now_ + options_.probe_interval / 2));
    return;
  }
  if (now_ >= silent_at) {
    silent_ = true;
    broadcasts_.DropAccusationsBy(self_.name);
    UpdateIsolated("nobody has been heard for " + std::to_string((now_ - last_heard_).millis()) +
                   " ms");
    return;
  }
  // The few that were probed may be the ones that are gone: before this node calls itself isolated
  // it asks many.
  if (now_ >= ask_at) ConsiderCensus();
  const Instant next = now_ < ask_at ? ask_at : silent_at;
  Arm(TimerKind::kIsolation, std::min(next, WatchAnswers()));
}

// Others are heard; but what of us? One that none hears is asked by all, until they have given it
// up, and is told so by nobody. Returns when to look again.
//
// It is said, and that is all: what this node accuses and concludes does not change. One that half
// of the others hear, and the other half answers, needs its accusations, for the refutations come
// round to it.
Instant Protocol::Impl::WatchAnswers() {
  const Instant said_at = last_answered_ + UnansweredMax();
  const Instant ask_at = last_answered_ + UnansweredMax() * 3 / 4;
  if (now_ < ask_at) return ask_at;
  if (!census_unanswered_ || unanswered_) AskAgainSoon();
  if (now_ < said_at) return said_at;
  if (census_unanswered_ && !std::exchange(unanswered_, true)) {
    UpdateIsolated("others are heard, and none has answered for " +
                   std::to_string((now_ - last_answered_).millis()) + " ms");
  }
  return now_ + options_.probe_interval / 2;
}

void Protocol::Impl::HandleKeyTrouble(Instant now) {
  Enter(now);
  const bool ongoing = HasKeyTrouble();
  key_trouble_until_ = now_ + ProbeRound() * 2;
  if (ongoing || now_ - key_trouble_told_ < kTroubleRepeat) return;
  key_trouble_told_ = now_;
  Emit(EventKind::kKeyTrouble, *own_);
}

}  // namespace sotto
