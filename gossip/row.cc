#include "gossip/row.h"

#include <algorithm>
#include <compare>
#include <utility>

namespace sotto {
namespace {

// The rank of a statement among those of its group (the owner's, or one accuser's).
int Rank(StatementKind kind) {
  switch (kind) {
    case StatementKind::kAlive:
    case StatementKind::kSuspect:
      return 0;
    case StatementKind::kLeave:
    case StatementKind::kDead:
      return 1;
    case StatementKind::kForget:
      return 2;
    case StatementKind::kUserEvent:
    case StatementKind::kQuery:
    case StatementKind::kAnswer:
      break;  // in no row
  }
  return 0;
}

auto SignerBefore(const std::string& signer) {
  return [&signer](const StatementRef& held) { return held->signer < signer; };
}

}  // namespace

bool Supersedes(const Statement& a, const Statement& b) {
  if (a.incarnation != b.incarnation) return a.incarnation > b.incarnation;
  if (Rank(a.kind) != Rank(b.kind)) return Rank(a.kind) > Rank(b.kind);
  return a.hash > b.hash;
}

MergeResult Row::Merge(StatementRef statement) {
  const Statement& s = *statement;
  if (IsOwnersKind(s.kind)) {
    if (owner_ && !Supersedes(s, *owner_)) return MergeResult::kUnchanged;
    owner_ = std::move(statement);
    Prune();
    return MergeResult::kOwner;
  }
  if (owner_ && s.incarnation < owner_->incarnation) return MergeResult::kUnchanged;
  const auto at =
      std::partition_point(accusations_.begin(), accusations_.end(), SignerBefore(s.signer));
  if (at != accusations_.end() && (*at)->signer == s.signer) {
    if (!Supersedes(s, **at)) return MergeResult::kUnchanged;
    *at = statement;
  } else {
    accusations_.insert(at, statement);
  }
  Prune();
  if (std::find(accusations_.begin(), accusations_.end(), statement) == accusations_.end()) {
    return MergeResult::kUnchanged;
  }
  const bool has_effect = owner_ && s.incarnation == owner_->incarnation;
  return has_effect ? MergeResult::kAccusation : MergeResult::kAccusationWaits;
}

std::vector<StatementRef> Row::Effective() const {
  std::vector<StatementRef> result;
  for (const StatementRef& accusation : accusations_) {
    if (owner_ && accusation->incarnation == owner_->incarnation) result.push_back(accusation);
  }
  return result;
}

const StatementRef* Row::AccusationBy(std::string_view signer) const {
  for (const StatementRef& accusation : accusations_) {
    const bool has_effect = owner_ && accusation->incarnation == owner_->incarnation;
    if (has_effect && accusation->signer == signer) return &accusation;
  }
  return nullptr;
}

// The bound keeps the highest statements of a total order over accusers, so what falls out could
// never come back by another order of arrival: the truncation is itself part of the join.
void Row::Prune() {
  if (owner_) {
    std::erase_if(accusations_, [this](const StatementRef& accusation) {
      return accusation->incarnation < owner_->incarnation;
    });
  }
  while (accusations_.size() > accusers_max_) {
    accusations_.erase(std::min_element(
        accusations_.begin(), accusations_.end(),
        [](const StatementRef& a, const StatementRef& b) { return Supersedes(*b, *a); }));
  }
  if (accusations_.empty()) accusations_.shrink_to_fit();
}

}  // namespace sotto
