// Which statements leave first, how often, and what replaces what.
#include "gossip/broadcast_queue.h"

#include <string>
#include <vector>

#include "gossip/messages.h"
#include "gtest/gtest.h"
#include "tests/support/fake_signer.h"

namespace sotto {
namespace {

using testing::FakeAccusation;
using testing::FakeAlive;
using testing::MakeFakeProcess;

StatementRef Alive(const std::string& name, uint32_t counter = 0) {
  return FakeAlive(MakeFakeProcess(name), Incarnation::Of(1, counter));
}

StatementRef Accuse(StatementKind kind, const std::string& subject, const std::string& by,
                    uint32_t counter = 0) {
  return FakeAccusation(kind, subject, Incarnation::Of(1, counter), by);
}

std::vector<StatementRef> TakeAll(BroadcastQueue& queue, int limit, std::string_view to = {}) {
  return queue.Take({.bytes = 100'000, .entries_max = 1'000, .transmit_limit = limit, .to = to});
}

TEST(BroadcastQueue, UrgentClassesGoFirst) {
  BroadcastQueue queue;
  const StatementRef join = Alive("j"), update = Alive("u"), refute = Alive("r");
  const StatementRef suspect = Accuse(StatementKind::kSuspect, "s", "a");
  const StatementRef dead = Accuse(StatementKind::kDead, "d", "a");
  queue.Push(BroadcastClass::kUpdate, update);
  queue.Push(BroadcastClass::kJoin, join);
  queue.Push(BroadcastClass::kSuspicion, suspect);
  queue.Push(BroadcastClass::kDeath, dead);
  queue.Push(BroadcastClass::kRefutation, refute);
  EXPECT_EQ(TakeAll(queue, 5), (std::vector<StatementRef>{refute, dead, suspect, join, update}));
  const auto one = queue.Take({.bytes = WireSizeMax(*refute), .transmit_limit = 5});
  EXPECT_EQ(one, std::vector<StatementRef>{refute});
}

TEST(BroadcastQueue, WithinAClassTheLeastSentThenTheNewest) {
  BroadcastQueue queue;
  const StatementRef a = Alive("a"), b = Alive("b");
  const size_t one = std::max(WireSizeMax(*a), WireSizeMax(*b));
  queue.Push(BroadcastClass::kJoin, a);
  queue.Push(BroadcastClass::kJoin, b);
  const BroadcastQueue::Request request{.bytes = one, .entries_max = 1, .transmit_limit = 3};
  EXPECT_EQ(queue.Take(request), std::vector<StatementRef>{b});
  EXPECT_EQ(queue.Take(request), std::vector<StatementRef>{a});
  EXPECT_EQ(queue.Take(request), std::vector<StatementRef>{b});
}

TEST(BroadcastQueue, EndsAtTheTransmitLimitExactly) {
  BroadcastQueue queue;
  queue.Push(BroadcastClass::kJoin, Alive("a"));
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(queue.Holds(*Alive("a"))) << i;
    ASSERT_EQ(TakeAll(queue, 4).size(), 1u) << i;
  }
  EXPECT_TRUE(queue.empty());
  queue.Push(BroadcastClass::kJoin, Alive("b"));
  const BroadcastQueue::Request favour{.bytes = 10'000, .transmit_limit = 1, .count = false};
  EXPECT_EQ(queue.Take(favour).size(), 1u);
  EXPECT_EQ(queue.Take(favour).size(), 1u);
}

TEST(BroadcastQueue, NewerReplacesOlderAndStartsAnew) {
  BroadcastQueue queue;
  queue.Push(BroadcastClass::kUpdate, Alive("a", 1));
  TakeAll(queue, 2);
  queue.Push(BroadcastClass::kUpdate, Alive("a", 1));  // the same: no fresh start
  queue.Push(BroadcastClass::kUpdate, Alive("a", 0));  // older
  ASSERT_EQ(TakeAll(queue, 2).size(), 1u);
  EXPECT_TRUE(queue.empty());  // two in all
  queue.Push(BroadcastClass::kUpdate, Alive("a", 1));
  TakeAll(queue, 2);
  queue.Push(BroadcastClass::kUpdate, Alive("a", 2));
  TakeAll(queue, 2);
  ASSERT_TRUE(queue.Holds(*Alive("a", 2)));
  EXPECT_FALSE(queue.Holds(*Alive("a", 1)));
  TakeAll(queue, 2);
  EXPECT_TRUE(queue.empty());
}

TEST(BroadcastQueue, ARefutationThrowsOutWhatItAnswers) {
  BroadcastQueue queue;
  const StatementRef below = Accuse(StatementKind::kSuspect, "x", "a", 1);
  const StatementRef above = Accuse(StatementKind::kSuspect, "x", "b", 2);
  const StatementRef other = Accuse(StatementKind::kSuspect, "xx", "a", 1);
  queue.Push(BroadcastClass::kSuspicion, below);
  queue.Push(BroadcastClass::kSuspicion, above);
  queue.Push(BroadcastClass::kSuspicion, other);
  queue.Push(BroadcastClass::kRefutation, Alive("x", 2));
  EXPECT_FALSE(queue.Holds(*below));
  EXPECT_TRUE(queue.Holds(*above));
  EXPECT_TRUE(queue.Holds(*other));
  EXPECT_EQ(queue.size(), 3u);
  queue.DropAccusationsBy("a");
  EXPECT_FALSE(queue.Holds(*other));
  EXPECT_EQ(queue.size(), 2u);
}

TEST(BroadcastQueue, KeepsASignersOwnWordsFromIt) {
  BroadcastQueue queue;
  const StatementRef by_a = Accuse(StatementKind::kSuspect, "x", "a");
  queue.Push(BroadcastClass::kSuspicion, by_a);
  queue.Push(BroadcastClass::kJoin, Alive("a"));
  queue.Push(BroadcastClass::kJoin, Alive("b"));
  EXPECT_EQ(TakeAll(queue, 9, "a").size(), 1u);
  EXPECT_EQ(TakeAll(queue, 9, "c").size(), 3u);
  EXPECT_EQ(queue.Take({.bytes = 9'999, .transmit_limit = 9, .except = by_a.get()}).size(), 2u);
}

TEST(BroadcastQueue, OnlyJoinsAndUpdatesRestWhenHeardAgain) {
  BroadcastQueue queue;
  const StatementRef join = Alive("a"), refute = Alive("b");
  queue.Push(BroadcastClass::kJoin, join);
  queue.Push(BroadcastClass::kRefutation, refute);
  for (int i = 0; i < 3; ++i) {
    queue.HeardAgain(*join, 3);
    queue.HeardAgain(*refute, 3);
    queue.HeardAgain(*Alive("a", 7), 3);  // another statement of the same member
  }
  EXPECT_FALSE(queue.Holds(*join));
  EXPECT_TRUE(queue.Holds(*refute));
}

TEST(BroadcastQueue, IsBoundedAndDropsTheLeastUrgentOldest) {
  BroadcastQueue queue;
  const StatementRef urgent = Alive("urgent"), oldest = Alive("oldest");
  queue.Push(BroadcastClass::kRefutation, urgent);
  queue.Push(BroadcastClass::kUpdate, oldest);
  for (size_t i = 0; i + 2 < BroadcastQueue::kEntriesMax; ++i) {
    queue.Push(BroadcastClass::kJoin, Alive("j" + std::to_string(i)));
  }
  EXPECT_TRUE(queue.Holds(*oldest));
  queue.Push(BroadcastClass::kJoin, Alive("one more"));
  EXPECT_EQ(queue.size(), BroadcastQueue::kEntriesMax);
  EXPECT_FALSE(queue.Holds(*oldest));
  EXPECT_TRUE(queue.Holds(*urgent));
}

}  // namespace
}  // namespace sotto
