// Whether a member holds user events that this node lacks, judged by the digests on its acks.
//
// A difference is everyday while an event is under way, so none counts before this node's own set
// has been still for `settle` (or differences have stood for `settle_max`), and none in which the
// other is only where this node has been before. A pair of digests whose exchange changed nothing
// is not tried again, and a member with whom exchanges are fruitless is asked ever more rarely: no
// storms, also where one makes up digests. Bounded; no clock, no randomness.
#ifndef SOTTO_GOSSIP_DIGEST_WATCH_H_
#define SOTTO_GOSSIP_DIGEST_WATCH_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "gossip/time.h"

namespace sotto {

class DigestWatch {
 public:
  struct Limits {
    Duration settle;      // from the last change of our own set
    Duration settle_max;  // … unless a difference has stood for so long
    Duration retry_max;   // the longest pause for one member
  };
  struct Due {
    uint32_t member = 0;
    uint64_t theirs = 0;
  };

  DigestWatch(Limits limits, Instant now) : limits_(limits), changed_at_(now) {}

  // Our own set has changed.
  void NoteOwn(Instant now, uint64_t digest);
  // `member` has shown `digest`; 0 says nothing.
  void NoteTheirs(Instant now, uint32_t member, uint64_t digest);

  // Who should be asked now, the one that has differed for longest first. It is forgotten here.
  std::optional<Due> TakeDue(Instant now);
  // When TakeDue may have an answer next.
  Instant NextDue() const;

  // How an exchange with `member` ended: what our digest was, what it had shown, and whether
  // anything passed either way.
  void Finished(Instant now, const Due& with, uint64_t own_before, bool fruitful);

  Instant changed_at() const { return changed_at_; }

 private:
  static constexpr size_t kSeenMax = 64;
  static constexpr size_t kHistoryMax = 64;
  static constexpr size_t kFruitlessMax = 64;
  static constexpr size_t kBackOffsMax = 256;

  struct Seen {
    uint64_t digest = 0;
    Instant since;
  };
  struct BackOff {
    Instant until;
    int attempts = 0;
  };

  bool Counts(const Seen& seen) const;
  Instant DueAt(uint32_t member, const Seen& seen) const;

  Limits limits_;
  Instant changed_at_;
  uint64_t own_ = 0;
  std::deque<uint64_t> history_;  // what our own digest was, the newest last
  std::map<uint32_t, Seen> seen_;
  std::map<uint32_t, BackOff> back_offs_;
  std::deque<std::pair<uint64_t, uint64_t>> fruitless_;  // ours, theirs
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_DIGEST_WATCH_H_
