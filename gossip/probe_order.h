// SWIM's shuffled round-robin: every member once in each round, in a fresh random order.
//
// New members go in at a random place, so that the time until a member's first probe does not tell
// when it joined; the wait between two probes of one member is at most two rounds.
#ifndef SOTTO_GOSSIP_PROBE_ORDER_H_
#define SOTTO_GOSSIP_PROBE_ORDER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "gossip/rng.h"

namespace sotto {

class ProbeOrder {
 public:
  void Insert(uint32_t member, Rng& rng) {
    const auto at = static_cast<size_t>(rng.Below(members_.size() + 1));
    members_.insert(members_.begin() + static_cast<std::ptrdiff_t>(at), member);
    // One that lands before the place reached waits for the next round.
    if (at < next_) ++next_;
  }

  void Remove(uint32_t member) {
    const auto it = std::find(members_.begin(), members_.end(), member);
    if (it == members_.end()) return;
    if (static_cast<size_t>(it - members_.begin()) < next_) --next_;
    members_.erase(it);
  }

  std::optional<uint32_t> Next(Rng& rng) {
    if (members_.empty()) return std::nullopt;
    if (next_ >= members_.size()) {
      rng.Shuffle(std::span<uint32_t>(members_));
      next_ = 0;
    }
    return members_[next_++];
  }

 private:
  std::vector<uint32_t> members_;
  size_t next_ = 0;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_PROBE_ORDER_H_
