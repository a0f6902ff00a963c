// The mergeable part of a member's row, and the one rule by which statements win (design M3).
//
// A row is O, the highest statement of the member itself, and the highest accusation of each
// accuser, the latter bounded. Merging is a join of a lattice: commutative, associative,
// idempotent; what a row holds depends on the set of statements that ever came, never on their
// order or path. What this node concludes from a row (suspect, dead) is local, lives in the
// protocol, and is not merged.
#ifndef SOTTO_GOSSIP_ROW_H_
#define SOTTO_GOSSIP_ROW_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "gossip/statement.h"

namespace sotto {

// True if `a` wins over `b`, both about one subject and both the owner's, or both of one accuser:
// higher incarnation, then higher rank (alive < left; suspect < dead < forget), then higher hash.
bool Supersedes(const Statement& a, const Statement& b);

// What a merge did to a row.
enum class MergeResult : uint8_t {
  kUnchanged,        // known, older, or beaten
  kOwner,            // O is now this statement
  kAccusation,       // this accusation stands, with effect: its incarnation is O's
  kAccusationWaits,  // it stands without effect: O of that incarnation has not been seen
};

class Row {
 public:
  explicit Row(size_t accusers_max) : accusers_max_(accusers_max) {}

  MergeResult Merge(StatementRef statement);

  // O, or null while only accusations are known.
  const StatementRef& owner() const { return owner_; }

  // By signer, sorted; all at or above O's incarnation.
  const std::vector<StatementRef>& accusations() const { return accusations_; }

  // Accusations at exactly O's incarnation.
  std::vector<StatementRef> Effective() const;

  // The one of them that `signer` has made, or null. Valid until the next Merge.
  const StatementRef* AccusationBy(std::string_view signer) const;

 private:
  void Prune();

  size_t accusers_max_;
  StatementRef owner_;
  std::vector<StatementRef> accusations_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_ROW_H_
