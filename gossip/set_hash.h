// A hash of a set that can be kept while the set changes: the sum of its elements' hashes (M5).
//
// Two 64-bit sums of a keyed hash of (name, hash of the owner's statement), over the members that
// are alive or suspect. The key comes from the cluster's name: two clusters' tables never look
// alike. Additive, so order does not matter and an element leaves as it came. It detects
// differences between honest tables; it is not a commitment against a member that makes up
// statements to collide. Hash: SipHash-2-4 (Aumasson and Bernstein, 2012) under two derived keys.
#ifndef SOTTO_GOSSIP_SET_HASH_H_
#define SOTTO_GOSSIP_SET_HASH_H_

#include <cstdint>
#include <string_view>

#include "gossip/member.h"

namespace sotto {

struct SetHash {
  uint64_t low = 0;
  uint64_t high = 0;
  friend auto operator<=>(const SetHash&, const SetHash&) = default;
};

class SetHasher {
 public:
  explicit SetHasher(std::string_view cluster);

  void Add(std::string_view name, const Hash256& statement);
  void Remove(std::string_view name, const Hash256& statement);
  SetHash value() const { return value_; }

 private:
  SetHash Element(std::string_view name, const Hash256& statement) const;

  uint64_t key_low_[2];
  uint64_t key_high_[2];
  SetHash value_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_SET_HASH_H_
