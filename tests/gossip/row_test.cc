// The merge rule, by enumeration: what a row holds depends on the set of statements that ever came,
// not on their order, their number or the rows they came through (design M3, S7).
#include "gossip/row.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gossip/rng.h"
#include "gtest/gtest.h"
#include "tests/support/fake_signer.h"

namespace sotto {
namespace {

using testing::FakeAccusation;
using testing::FakeAlive;
using testing::FakeLeave;
using testing::MakeFakeProcess;

Incarnation Inc(uint64_t value) { return Incarnation(value); }

// Every statement about one member: alive and left, suspect, dead and forget by three accusers,
// each at three incarnations, and a second Alive of one incarnation (an owner that contradicts
// itself).
std::vector<StatementRef> Universe() {
  std::vector<StatementRef> all;
  const testing::FakeProcess owner = MakeFakeProcess("x");
  for (uint64_t i = 1; i <= 3; ++i) {
    all.push_back(FakeAlive(owner, Inc(i)));
    all.push_back(FakeLeave(owner, Inc(i)));
    for (const char* by : {"a", "b", "c"}) {
      for (const auto kind :
           {StatementKind::kSuspect, StatementKind::kDead, StatementKind::kForget}) {
        all.push_back(FakeAccusation(kind, "x", Inc(i), by));
      }
    }
  }
  all.push_back(FakeAlive(owner, Inc(2), {{"tag", "other"}}));
  return all;
}

// What a row must hold of a set, said without any order: the oracle.
struct Expected {
  StatementRef owner;
  std::vector<StatementRef> accusations;
};

Expected Expect(const std::vector<StatementRef>& set, size_t accusers_max) {
  Expected result;
  std::map<std::string, StatementRef> by_signer;
  for (const StatementRef& s : set) {
    if (IsOwnersKind(s->kind) && (!result.owner || Supersedes(*s, *result.owner))) {
      result.owner = s;
    }
  }
  for (const StatementRef& s : set) {
    if (IsOwnersKind(s->kind)) continue;
    if (result.owner && s->incarnation < result.owner->incarnation) continue;
    StatementRef& best = by_signer[s->signer];
    if (!best || Supersedes(*s, *best)) best = s;
  }
  for (const auto& [signer, s] : by_signer) result.accusations.push_back(s);
  std::sort(result.accusations.begin(), result.accusations.end(),
            [](const auto& a, const auto& b) { return Supersedes(*a, *b); });
  if (result.accusations.size() > accusers_max) result.accusations.resize(accusers_max);
  std::sort(result.accusations.begin(), result.accusations.end(),
            [](const auto& a, const auto& b) { return a->signer < b->signer; });
  return result;
}

bool Holds(const Row& row, const Expected& expected) {
  return row.owner() == expected.owner && row.accusations() == expected.accusations;
}

Row MergeAll(const std::vector<StatementRef>& statements, size_t accusers_max) {
  Row row(accusers_max);
  for (const StatementRef& s : statements) row.Merge(s);
  return row;
}

std::vector<StatementRef> Contents(const Row& row) {
  std::vector<StatementRef> all = row.accusations();
  if (row.owner()) all.push_back(row.owner());
  return all;
}

std::string Describe(const std::vector<StatementRef>& statements) {
  std::string text;
  for (const StatementRef& s : statements) {
    text += s->signer + ":" + std::to_string(static_cast<int>(s->kind)) + "@" +
            std::to_string(s->incarnation.value()) + " ";
  }
  return text;
}

// Calls `visit` for every subset of `all` of exactly `size` elements, sorted by index.
template <typename Visit>
void ForEachSubset(const std::vector<StatementRef>& all, size_t size, size_t from,
                   std::vector<StatementRef>& chosen, const Visit& visit) {
  if (chosen.size() == size) {
    visit(chosen);
    return;
  }
  for (size_t i = from; i < all.size(); ++i) {
    chosen.push_back(all[i]);
    ForEachSubset(all, size, i + 1, chosen, visit);
    chosen.pop_back();
  }
}

// Every order of `set`, and each statement twice in a row and again at the end.
size_t CheckEveryOrder(std::vector<StatementRef> set, size_t accusers_max) {
  const Expected expected = Expect(set, accusers_max);
  std::sort(set.begin(), set.end());
  size_t orders = 0;
  do {
    Row row = MergeAll(set, accusers_max);
    ++orders;
    if (!Holds(row, expected)) {
      ADD_FAILURE() << "order matters: " << Describe(set) << "bound " << accusers_max;
      return orders;
    }
    for (const StatementRef& s : set) {
      if (row.Merge(s) != MergeResult::kUnchanged) {
        ADD_FAILURE() << "a repetition changes the row: " << Describe(set);
        return orders;
      }
    }
  } while (std::next_permutation(set.begin(), set.end()));
  return orders;
}

TEST(Row, HoldsTheSameForEveryOrderOfEverySmallSet) {
  const std::vector<StatementRef> all = Universe();
  ASSERT_EQ(all.size(), 34u);
  size_t sets = 0;
  size_t orders = 0;
  for (size_t size = 0; size <= 4; ++size) {
    std::vector<StatementRef> chosen;
    ForEachSubset(all, size, 0, chosen, [&](const std::vector<StatementRef>& set) {
      ++sets;
      orders += CheckEveryOrder(set, 2);
      if (size <= 3) orders += CheckEveryOrder(set, 8);
    });
    if (HasFailure()) return;
  }
  EXPECT_EQ(sets, 1u + 34u + 561u + 5984u + 46376u);
  EXPECT_GT(orders, 1'100'000u);
}

TEST(Row, MergingRowsIsAssociativeAndIdempotentForRandomSets) {
  const std::vector<StatementRef> all = Universe();
  Rng rng(7);
  for (int round = 0; round < 20'000; ++round) {
    const size_t bound = 1 + rng.Below(4);
    std::vector<StatementRef> parts[3];
    std::vector<StatementRef> together;
    for (auto& part : parts) {
      for (uint64_t n = rng.Below(12); n > 0; --n) part.push_back(all[rng.Below(all.size())]);
      together.insert(together.end(), part.begin(), part.end());
    }
    const Expected expected = Expect(together, bound);
    // (A + B) + C and A + (B + C), where + merges what the other row holds.
    Row left = MergeAll(parts[0], bound);
    for (const StatementRef& s : Contents(MergeAll(parts[1], bound))) left.Merge(s);
    for (const StatementRef& s : Contents(MergeAll(parts[2], bound))) left.Merge(s);
    Row right = MergeAll(parts[1], bound);
    for (const StatementRef& s : Contents(MergeAll(parts[2], bound))) right.Merge(s);
    Row outer = MergeAll(parts[0], bound);
    for (const StatementRef& s : Contents(right)) outer.Merge(s);
    ASSERT_TRUE(Holds(left, expected)) << Describe(together);
    ASSERT_TRUE(Holds(outer, expected)) << Describe(together);
    for (const StatementRef& s : Contents(left)) {
      ASSERT_EQ(left.Merge(s), MergeResult::kUnchanged);
    }
  }
}

TEST(Row, RanksBeatHashesAndIncarnationsBeatRanks) {
  const testing::FakeProcess x = MakeFakeProcess("x");
  EXPECT_TRUE(Supersedes(*FakeLeave(x, Inc(4)), *FakeAlive(x, Inc(4))));
  EXPECT_TRUE(Supersedes(*FakeAlive(x, Inc(5)), *FakeLeave(x, Inc(4))));
  const auto accuse = [](StatementKind kind, uint64_t i) {
    return FakeAccusation(kind, "x", Inc(i), "a");
  };
  EXPECT_TRUE(Supersedes(*accuse(StatementKind::kDead, 4), *accuse(StatementKind::kSuspect, 4)));
  EXPECT_TRUE(Supersedes(*accuse(StatementKind::kForget, 4), *accuse(StatementKind::kDead, 4)));
  EXPECT_TRUE(Supersedes(*accuse(StatementKind::kSuspect, 5), *accuse(StatementKind::kForget, 4)));
  const StatementRef one = FakeAlive(x, Inc(4), {{"a", "1"}});
  const StatementRef two = FakeAlive(x, Inc(4), {{"a", "2"}});
  EXPECT_NE(Supersedes(*one, *two), Supersedes(*two, *one));
  EXPECT_EQ(Supersedes(*one, *two), one->hash > two->hash);
  EXPECT_FALSE(Supersedes(*one, *one));
}

TEST(Row, AnAccusationHasEffectOnlyAtTheOwnersIncarnation) {
  Row row(8);
  const testing::FakeProcess x = MakeFakeProcess("x");
  const StatementRef early = FakeAccusation(StatementKind::kDead, "x", Inc(2), "a");
  EXPECT_EQ(row.Merge(early), MergeResult::kAccusationWaits);
  EXPECT_TRUE(row.Effective().empty());
  EXPECT_EQ(row.Merge(FakeAlive(x, Inc(1))), MergeResult::kOwner);
  EXPECT_TRUE(row.Effective().empty());
  EXPECT_EQ(row.Merge(FakeAlive(x, Inc(2))), MergeResult::kOwner);
  EXPECT_EQ(row.Effective(), std::vector<StatementRef>{early});
  ASSERT_NE(row.AccusationBy("a"), nullptr);
  EXPECT_EQ(row.AccusationBy("b"), nullptr);
  EXPECT_EQ(row.Merge(FakeAlive(x, Inc(3))), MergeResult::kOwner);
  EXPECT_TRUE(row.accusations().empty());
  EXPECT_EQ(row.Merge(early), MergeResult::kUnchanged);
}

TEST(Row, TheHighestPossibleAccusationNeitherWinsNorOverflows) {
  Row row(2);
  const testing::FakeProcess x = MakeFakeProcess("x");
  row.Merge(FakeAlive(x, Inc(7)));
  EXPECT_EQ(row.Merge(FakeAccusation(StatementKind::kDead, "x", Inc(UINT64_MAX), "a")),
            MergeResult::kAccusationWaits);
  EXPECT_TRUE(row.Effective().empty());
  EXPECT_EQ(row.Merge(FakeAlive(x, Inc(8))), MergeResult::kOwner);
  EXPECT_EQ(row.owner()->incarnation, Inc(8));
}

}  // namespace
}  // namespace sotto
