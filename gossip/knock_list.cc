#include "gossip/knock_list.h"

#include <algorithm>

#include "gossip/base/check.h"

namespace sotto {
namespace {

constexpr Duration kPerKnock = Duration::Seconds(1);

Duration PauseAfter(int failures) {
  Duration pause = KnockList::kPauseMin;
  for (int i = 1; i < failures && pause < KnockList::kPauseMax; ++i) pause = pause * 2;
  return std::min(pause, KnockList::kPauseMax);
}

}  // namespace

bool KnockList::Begin(Instant now, std::string_view address) {
  if (in_flight_ >= kInFlightMax) return false;
  const auto held = entries_.find(address);
  if (held != entries_.end() && (held->second.in_flight || now < held->second.rests_until)) {
    return false;
  }
  const Instant full_at = std::max(full_at_, now) + kPerKnock;
  if (full_at > now + kPerKnock * kBurst) return false;
  full_at_ = full_at;
  if (held == entries_.end()) MakeRoom();
  entries_[std::string(address)].in_flight = true;
  ++in_flight_;
  return true;
}

void KnockList::End(Instant now, std::string_view address, bool answered) {
  const auto it = entries_.find(address);
  SOTTO_CHECK(it != entries_.end() && it->second.in_flight);
  Entry& entry = it->second;
  entry.in_flight = false;
  --in_flight_;
  entry.failures = answered ? 0 : std::min(entry.failures + 1, 32);
  entry.rests_until = now + (answered ? kPauseAnswered : PauseAfter(entry.failures));
}

// The one that rests for the shortest time is the least loss.
void KnockList::MakeRoom() {
  if (entries_.size() < kRememberedMax) return;
  auto victim = entries_.end();
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (it->second.in_flight) continue;
    if (victim == entries_.end() || it->second.rests_until < victim->second.rests_until) {
      victim = it;
    }
  }
  SOTTO_CHECK(victim != entries_.end());
  entries_.erase(victim);
}

}  // namespace sotto
