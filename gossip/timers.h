// The deadlines of one protocol: a set of named timers with one next instant.
//
// A timer is a kind and an id; arming it anew moves it. Timers due at one instant fire in the order
// of kind and id, so that a run is the same everywhere. O(log n) each; no clock.
#ifndef SOTTO_GOSSIP_TIMERS_H_
#define SOTTO_GOSSIP_TIMERS_H_

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "gossip/time.h"

namespace sotto {

enum class TimerKind : uint8_t {
  kProbeTimeout,  // id: nonce of the probe
  kProbeEnd,      // id: nonce of the probe
  kRelayNack,     // id: nonce of the relayed ping
  kRelayEnd,      // id: nonce of the relayed ping
  kMember,        // id: the member's number; what it means depends on its state
  kWarn,          // id: the suspect's number
  kProbeTick,
  kRefute,
  kGossip,
  kContact,  // id: the contact's index
  kRetry,
  kRoutineSync,
  kJoinAgain,
  kIsolation,
  kCensus,
  kBootRetry,
  kLeaveEnd,
  kEventSync,
  kCoalesce,
  kQueryEnd,
  kAnswers,
};

struct TimerId {
  TimerKind kind = TimerKind::kProbeTimeout;
  uint64_t id = 0;
  friend auto operator<=>(const TimerId&, const TimerId&) = default;
};

class Timers {
 public:
  void Arm(TimerId timer, Instant at) {
    Cancel(timer);
    at_[timer] = at;
    order_.emplace(at, timer);
  }

  void Cancel(TimerId timer) {
    const auto it = at_.find(timer);
    if (it == at_.end()) return;
    order_.erase({it->second, timer});
    at_.erase(it);
  }

  bool IsArmed(TimerId timer) const { return at_.contains(timer); }

  Instant Next() const { return order_.empty() ? Instant::Never() : order_.begin()->first; }

  // Takes out the first timer that is due.
  std::optional<TimerId> TakeDue(Instant now) {
    if (order_.empty() || order_.begin()->first > now) return std::nullopt;
    const TimerId timer = order_.begin()->second;
    Cancel(timer);
    return timer;
  }

 private:
  std::map<TimerId, Instant> at_;
  std::set<std::pair<Instant, TimerId>> order_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_TIMERS_H_
