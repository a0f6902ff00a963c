// A small seeded generator that gives the same numbers on every machine.
//
// The core's only randomness: shuffles, fan-out, jitter, the 64 bits of a ping. Nothing secret
// comes from it; the driver seeds it from the system's generator in production and from a constant
// in tests. Algorithm: xoshiro256** 1.0 seeded by splitmix64 (Blackman and Vigna, "Scrambled linear
// pseudorandom number generators", ACM TOMS 47, 2021). One independent stream for each concern
// keeps choices from correlating with one another.
#ifndef SOTTO_GOSSIP_RNG_H_
#define SOTTO_GOSSIP_RNG_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "gossip/time.h"

namespace sotto {

class Rng {
 public:
  explicit Rng(uint64_t seed);

  uint64_t Next();

  // Uniform in [0, bound), without bias (Lemire's method). `bound` must be at least 1.
  uint64_t Below(uint64_t bound);

  // Uniform in [low, high]. `low` must not exceed `high`.
  Duration Between(Duration low, Duration high);

  // True in `numerator` of `denominator` cases.
  bool Chance(uint64_t numerator, uint64_t denominator) { return Below(denominator) < numerator; }

  // A generator whose numbers are independent of this one's.
  Rng Fork() { return Rng(Next()); }

  // Fisher and Yates.
  template <typename T>
  void Shuffle(std::span<T> items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[Below(i)]);
  }

 private:
  uint64_t state_[4];
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_RNG_H_
