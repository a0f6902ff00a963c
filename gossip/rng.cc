#include "gossip/rng.h"

#include "gossip/base/check.h"
#include "gossip/fixed_point.h"

namespace sotto {
namespace {

uint64_t SplitMix(uint64_t& state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

uint64_t RotateLeft(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

}  // namespace

Rng::Rng(uint64_t seed) {
  for (uint64_t& word : state_) word = SplitMix(seed);
}

uint64_t Rng::Next() {
  const uint64_t result = RotateLeft(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = RotateLeft(state_[3], 45);
  return result;
}

uint64_t Rng::Below(uint64_t bound) {
  SOTTO_CHECK(bound > 0);
  // The high half of a 64 × 64 bit product; the low half tells when a value would be
  // over-represented.
  Uint128 product = Uint128{Next()} * bound;
  if (static_cast<uint64_t>(product) < bound) {
    const uint64_t threshold = (0 - bound) % bound;
    while (static_cast<uint64_t>(product) < threshold) product = Uint128{Next()} * bound;
  }
  return static_cast<uint64_t>(product >> 64);
}

Duration Rng::Between(Duration low, Duration high) {
  SOTTO_CHECK(low <= high);
  const uint64_t span = static_cast<uint64_t>(high.nanos()) - static_cast<uint64_t>(low.nanos());
  if (span == UINT64_MAX) return Duration::Nanos(static_cast<int64_t>(Next()));
  const uint64_t value = static_cast<uint64_t>(low.nanos()) + Below(span + 1);
  return Duration::Nanos(static_cast<int64_t>(value));
}

}  // namespace sotto
