// A census: when much is silent, many are asked at once, so that a node knows within seconds
// whether it is in the minority of what it knew, or whether nobody answers it at all; probes one by
// one would take as many intervals as there are members.
#include <algorithm>

#include "gossip/protocol_impl.h"

namespace sotto {
namespace {

// So many are drawn and asked; whoever does not answer, as often as this, a probe timeout apart.
constexpr size_t kCensusSample = 48;
constexpr int kCensusRounds = 5;
// If the first round brings no answer, so many of them are asked over a stream as well.
constexpr size_t kCensusStreams = 3;
constexpr Duration kCensusEvery = Duration::Seconds(10);
constexpr Duration kCensusAgain = Duration::Seconds(5);

}  // namespace

void Protocol::Impl::ConsiderCensus() {
  if (!census_.empty() || now_ < census_after_ || living_.size() < 2) return;
  if (!IsActive() || standing_.leaving) return;
  census_after_ = now_ + kCensusEvery;
  census_began_ = now_;
  census_round_ = 0;
  do census_nonce_ = nonce_rng_.Next();
  while (census_nonce_ == 0);
  census_of_ = living_.size();
  for (const MemberEntry* member : PickLiving(kCensusSample, nullptr)) {
    census_.push_back(member->number);
  }
  AskCensus();
}

// Pings alone: broadcasts that ride along would be spent on those who may not be there. Who has
// been heard is there; while nobody has answered, all are asked, for we may be heard by none.
void Protocol::Impl::AskCensus() {
  const bool answered = last_answered_ >= census_began_;
  for (const uint32_t number : census_) {
    MemberEntry* member = ByNumber(number);
    if (!member || !member->IsLiving()) continue;
    if (answered && member->heard >= census_began_) continue;
    Send(*member, {{Ping{census_nonce_}}, {}});
  }
  if (!answered && census_round_ == 1) AskCensusByStream();
  Arm(TimerKind::kCensus, now_ + options_.probe_timeout);
}

// It was drawn at random, so that any few of it will do.
void Protocol::Impl::AskCensusByStream() {
  size_t asked = 0;
  census_stream_nonce_ = census_nonce_;
  for (const uint32_t number : census_) {
    const MemberEntry* member = ByNumber(number);
    if (!member || !member->IsLiving()) continue;
    actions_.push_back(SendStreamPing{member->alive, census_nonce_});
    if (++asked == kCensusStreams) return;
  }
}

// Nobody by datagram, and by stream at once: our datagrams are lost, and that nobody answers them
// says nothing of the members.
void Protocol::Impl::OnCensusStreamAck() {
  Answered();
  if (census_.empty()) return;
  census_.clear();
  census_nonce_ = 0;
  few_answer_ = false;
  Cancel(TimerKind::kCensus);
  CheckMinority();
}

bool Protocol::Impl::IsCensusAck(const MemberEntry& from, uint64_t nonce) const {
  return nonce != 0 && nonce == census_nonce_ &&
         std::find(census_.begin(), census_.end(), from.number) != census_.end();
}

void Protocol::Impl::AskAgainSoon() {
  census_after_ = std::min(census_after_, census_began_ + kCensusAgain);
  ConsiderCensus();
}

void Protocol::Impl::OnCensusTimer() {
  if (census_.empty()) return ConsiderCensus();
  const auto answered = static_cast<size_t>(
      std::count_if(census_.begin(), census_.end(), [this](const uint32_t number) {
        const MemberEntry* member = ByNumber(number);
        return member && member->heard >= census_began_;
      }));
  const bool most = answered * 4 >= census_.size() * 3 && last_answered_ >= census_began_;
  if (!most && ++census_round_ < kCensusRounds) return AskCensus();
  // Of those who were alive here when it began: some may have been buried since.
  const size_t reached = 1 + census_of_ * answered / census_.size();
  census_.clear();
  census_nonce_ = 0;
  census_unanswered_ = last_answered_ < census_began_ && last_heard_ >= census_began_;
  few_answer_ = reached * 2 < LivingCount() + dead_shown_;
  CheckMinority();
  if (!few_answer_) return;
  census_after_ = now_ + kCensusAgain;
  Arm(TimerKind::kCensus, census_after_);
}

// What was not heard while this process did not run proves nothing.
void Protocol::Impl::VoidCensus() {
  census_.clear();
  census_nonce_ = 0;
  census_unanswered_ = false;
  if (!few_answer_) return Cancel(TimerKind::kCensus);
  census_after_ = now_;
  Arm(TimerKind::kCensus, now_ + options_.probe_timeout);
}

}  // namespace sotto
