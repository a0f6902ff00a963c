// The timer of one suspicion: Lifeguard's, which starts long and falls with independent
// confirmations.
//
//   end = start + max(min, max − (max − min) · log(C + 1) / log(K + 1))        (Lifeguard, section
//   3) min = α · max(1, log10 n) · probe interval,  max = β · min
//
// C counts distinct accusers after the first; K are expected. With fewer than K + 2 members, or
// with the mechanism switched off, K is 0, and the timer runs for the minimum. Integers only
// (design M6). Holds no clock: the caller arms a timer for deadline() and asks again after each
// change.
#ifndef SOTTO_GOSSIP_SUSPICION_H_
#define SOTTO_GOSSIP_SUSPICION_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "gossip/options.h"
#include "gossip/time.h"

namespace sotto {

struct SuspicionBounds {
  Duration min;
  Duration max;
  int confirmations = 0;  // K

  // For a cluster of `members` alive and suspect ones, this node among them.
  static SuspicionBounds For(const ProtocolOptions& options, size_t members);

  // How long the suspicion lasts with `confirmed` of K.
  Duration After(int confirmed) const;
};

class Suspicion {
 public:
  Suspicion(const SuspicionBounds& bounds, Instant start, std::string_view accuser);

  // True if `accuser` is a new one among the first K after the one who began it: only these move
  // the timer, and only their statements are worth gossiping on.
  bool Confirm(std::string_view accuser);

  // Whether Confirm would be true.
  bool WouldCount(std::string_view accuser) const;

  bool HasAccuser(std::string_view accuser) const;

  // Keeps the suspicion from ending before `until`: this node was not able to listen.
  void Hold(Instant until);

  Instant deadline() const;

  // When to warn the suspect next, so that one lost word buries nobody: at a third of the minimum,
  // and then each time after twice as long.
  Instant NextWarning();

  Instant start() const { return start_; }
  // When it would end had nobody confirmed it.
  Instant latest() const { return start_ + bounds_.max; }
  const SuspicionBounds& bounds() const { return bounds_; }
  // Those that counted: the first, and up to K more; sorted.
  const std::vector<std::string>& accusers() const { return accusers_; }

 private:
  SuspicionBounds bounds_;
  Instant start_;
  Instant hold_until_;
  std::vector<std::string> accusers_;
  int warnings_ = 0;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_SUSPICION_H_
