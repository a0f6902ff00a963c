// Members with real frame codecs and key agents over one real table, in virtual time: frames are
// lost, members are parted from each other and from the database, and leaders rotate all the while.
//
// No SWIM runs here: a member counts as living for another while their link is up, and 8 s
// longer. Streams lose nothing, and carry wrapped keys as in gossip/conversation.h.
//
// What the design promises, and what is counted against it (`key_drops`): a frame under a key that
// its receiver lacks, if the receiver was waited for at the key's activation, or if for all of
// kSimGraceMs the key was in the database and the receiver could reach that, or the sender held the
// key and the receiver could reach it. Whoever was cut off has until then to look
// (`excused_drops`). Units: virtual milliseconds.
// Threads: none. Errors: INTERNAL; the message says what did not hold.
#ifndef SOTTO_TESTS_SIM_ROTATION_SIM_H_
#define SOTTO_TESTS_SIM_ROTATION_SIM_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

namespace sotto {

struct RotationSimOptions {
  uint64_t seed = 1;
  size_t members = 16;
  uint64_t frames = 100'000;
};

struct RotationSimResult {
  uint64_t sealed = 0, opened = 0, lost = 0, parted = 0;
  uint64_t key_drops = 0;      // against the promise
  uint64_t excused_drops = 0;  // for a key reason, by or from who was cut off
  uint64_t other_drops = 0;    // bad tags too: none is expected
  uint64_t late_drops = 0;     // for a key reason, after all was healed and quiet
  uint64_t early_seals = 0;    // under a key that was not yet activated
  uint64_t repeated_nonces = 0;
  uint64_t removed_opened = 0;  // frames under a key that the receiver knew as removed
  uint64_t recordings = 0;      // lost frames that were sent again after their key was removed
  uint64_t prepared = 0, activated = 0, removed = 0;
  uint64_t taken = 0;    // keys that came from a member
  uint64_t trouble = 0;  // looks at a database in reach that did not end well
  bool agreed = false;   // at the end: one ACTIVE key, and all members seal with it
  uint64_t trace = 0;    // a hash of every frame and its fate
};

inline constexpr int64_t kSimPollMs = 10'000;
inline constexpr int64_t kSimGraceMs = kSimPollMs + 5'000;

absl::StatusOr<RotationSimResult> RunRotationSim(const RotationSimOptions& options);

}  // namespace sotto

#endif  // SOTTO_TESTS_SIM_ROTATION_SIM_H_
