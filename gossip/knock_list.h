// Which addresses a node has knocked at (Node::Knock), so that a false hint costs one failed dial,
// and the same one no more than a dial now and then.
//
// A failed address rests for kPauseMin, then twice as long each time, up to kPauseMax. How many are
// dialled at once, how many a second, and how many are remembered, is bounded, whoever makes the
// hints. No clock, no timers.
#ifndef SOTTO_GOSSIP_KNOCK_LIST_H_
#define SOTTO_GOSSIP_KNOCK_LIST_H_

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "gossip/time.h"

namespace sotto {

class KnockList {
 public:
  static constexpr Duration kPauseMin = Duration::Seconds(10);
  static constexpr Duration kPauseMax = Duration::Minutes(10);
  // After one that led to a member, or to one that was busy or still starting.
  static constexpr Duration kPauseAnswered = Duration::Seconds(1);
  static constexpr size_t kInFlightMax = 4;
  static constexpr size_t kRememberedMax = 256;
  // So many in a burst, then one a second.
  static constexpr int kBurst = 16;

  // Whether the address may be dialled now; it counts as in flight until End.
  bool Begin(Instant now, std::string_view address);
  void End(Instant now, std::string_view address, bool answered);

  size_t in_flight() const { return in_flight_; }
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Instant rests_until;
    int failures = 0;
    bool in_flight = false;
  };

  void MakeRoom();

  std::map<std::string, Entry, std::less<>> entries_;
  size_t in_flight_ = 0;
  Instant full_at_;  // the bucket, as the instant it will be full again (GCRA)
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_KNOCK_LIST_H_
