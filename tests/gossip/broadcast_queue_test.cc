// Which statements leave first, how often, and what replaces what.
#include "gossip/broadcast_queue.h"

#include <algorithm>
#include <map>
#include <memory>
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

// What a member says; `number` tells one from another.
StatementRef Say(const std::string& who, uint32_t number, size_t bytes = 0) {
  auto said = std::make_shared<Statement>(*testing::FakeSaid(
      MakeFakeProcess(who), SaidEvent{"deploy", "", number + 1}, Incarnation::Of(1, number)));
  said->bytes.resize(std::max(said->bytes.size(), bytes), 'x');
  return said;
}

StatementRef OfClass(BroadcastClass c, const std::string& name, uint32_t number = 0) {
  if (c == BroadcastClass::kEvent) return Say(name, number);
  if (c == BroadcastClass::kDeath) return Accuse(StatementKind::kDead, name, "by", number);
  if (c == BroadcastClass::kSuspicion) return Accuse(StatementKind::kSuspect, name, "by", number);
  return Alive(name, number);
}

constexpr BroadcastClass kAll[] = {BroadcastClass::kRefutation, BroadcastClass::kDeath,
                                   BroadcastClass::kSuspicion,  BroadcastClass::kJoin,
                                   BroadcastClass::kUpdate,     BroadcastClass::kEvent};

constexpr size_t kPacketRoom = 1'150;

TEST(BroadcastQueue, WhatMembersSayReplacesNothing) {
  BroadcastQueue queue;
  queue.Push(BroadcastClass::kJoin, Alive("a", 1));
  queue.Push(BroadcastClass::kEvent, Say("a", 1));
  queue.Push(BroadcastClass::kEvent, Say("a", 2));
  queue.Push(BroadcastClass::kEvent, Say("a", 2));
  queue.Push(BroadcastClass::kRefutation, Alive("a", 9));
  EXPECT_EQ(queue.size(BroadcastClass::kEvent), 2u);
  EXPECT_TRUE(queue.Holds(*Say("a", 1)));
  EXPECT_TRUE(queue.Holds(*Say("a", 2)));
  EXPECT_FALSE(queue.Holds(*Say("a", 3)));
  // Repeating an event must not silence it.
  for (int i = 0; i < 9; ++i) queue.HeardAgain(*Say("a", 1), 3);
  EXPECT_TRUE(queue.Holds(*Say("a", 1)));
}

// A storm of each class in turn, fresh with every packet: one entry of each other class is out
// within the packets in which its share adds up to its length, and all of them are sent as often as
// they should be.
TEST(BroadcastQueue, AStormOfOneClassStarvesNoOther) {
  for (const BroadcastClass storm : kAll) {
    BroadcastQueue queue;
    uint32_t number = 0;
    const auto blow = [&](int count) {
      for (int i = 0; i < count; ++i, ++number) {
        queue.Push(storm, OfClass(storm, "storm" + std::to_string(number), 1));
      }
    };
    blow(4'000);
    std::vector<StatementRef> others;
    for (const BroadcastClass c : kAll) {
      if (c == storm) continue;
      others.push_back(OfClass(c, "lone" + std::to_string(static_cast<int>(c))));
      queue.Push(c, others.back());
    }
    constexpr int kLimit = 4;
    constexpr int kPackets = 4 * kLimit;  // 10 % of 1150 bytes, for an entry of 250
    for (int i = 0; i < kPackets; ++i) {
      const auto taken = queue.Take({.bytes = kPacketRoom, .transmit_limit = kLimit});
      size_t bytes = 0;
      for (const StatementRef& statement : taken) bytes += WireSizeMax(*statement);
      EXPECT_LE(bytes, kPacketRoom);
      EXPECT_GE(bytes, kPacketRoom - 300);  // nothing is left unused
      blow(20);
    }
    for (const StatementRef& lone : others) {
      EXPECT_FALSE(queue.Holds(*lone)) << static_cast<int>(storm) << " starves " << lone->subject;
    }
  }
}

// With a storm in all classes at once each gets at least its share, and what is long is only later.
TEST(BroadcastQueue, StormsInAllClassesGetTheirShares) {
  BroadcastQueue queue;
  for (const BroadcastClass c : kAll) {
    for (uint32_t i = 0; i < 2'000; ++i) {
      const std::string name = std::to_string(static_cast<int>(c)) + "-" + std::to_string(i);
      const bool is_event = c == BroadcastClass::kEvent;
      queue.Push(c, is_event ? Say(name, i, 1'100) : OfClass(c, name));
    }
  }
  std::map<int, size_t> sent;
  constexpr size_t kPackets = 400;
  for (size_t i = 0; i < kPackets; ++i) {
    for (const StatementRef& statement : queue.Take({.bytes = kPacketRoom, .transmit_limit = 9})) {
      const bool is_event = IsSaidKind(statement->kind);
      sent[is_event ? 5 : statement->subject[0] - '0'] += WireSizeMax(*statement);
    }
  }
  for (const BroadcastClass c : kAll) {
    const int i = static_cast<int>(c);
    const size_t share = kBroadcastShares[static_cast<size_t>(i)] * kPacketRoom * kPackets / 100;
    EXPECT_GE(sent[i] + 4'096, share) << i;
  }
  EXPECT_GT(sent[0], sent[4]);
}

TEST(BroadcastQueue, UrgentEntriesGoFirstInEachPacketOfAStorm) {
  BroadcastQueue queue;
  for (uint32_t i = 0; i < 3'000; ++i) queue.Push(BroadcastClass::kEvent, Say("e", i));
  for (const BroadcastClass c : kAll) queue.Push(c, OfClass(c, "one"));
  // Room for all: in the order of urgency, and at once.
  const auto taken = queue.Take({.bytes = 10'000, .transmit_limit = 9});
  ASSERT_GT(taken.size(), 6u);
  EXPECT_EQ(taken[0]->kind, StatementKind::kAlive);
  EXPECT_TRUE(queue.Holds(*taken[0]));
  // Room for one: the most urgent.
  const StatementRef refute = Alive("urgent");
  queue.Push(BroadcastClass::kRefutation, refute);
  BroadcastQueue calm = queue;
  EXPECT_EQ(calm.Take({.bytes = WireSizeMax(*refute), .transmit_limit = 9}).front(), refute);
}

// A large packet is bounded by its entries, not by its bytes.
TEST(BroadcastQueue, SharesHoldForTheNumberOfEntriesToo) {
  BroadcastQueue queue;
  for (uint32_t i = 0; i < 3'000; ++i) {
    queue.Push(BroadcastClass::kRefutation, Alive("r" + std::to_string(i)));
  }
  const StatementRef said = Say("e", 1);
  queue.Push(BroadcastClass::kEvent, said);
  const auto taken = queue.Take({.bytes = 60'000, .entries_max = 32, .transmit_limit = 9});
  ASSERT_EQ(taken.size(), 32u);
  EXPECT_EQ(taken.back(), said);
}

TEST(BroadcastQueue, AFavourSavesNothingUp) {
  BroadcastQueue queue;
  const StatementRef said = Say("e", 1, 1'000);
  for (uint32_t i = 0; i < 100; ++i) {
    queue.Push(BroadcastClass::kRefutation, Alive("r" + std::to_string(i)));
  }
  queue.Push(BroadcastClass::kEvent, said);
  for (int i = 0; i < 50; ++i) {
    for (const auto& taken :
         queue.Take({.bytes = kPacketRoom, .transmit_limit = 9, .count = false})) {
      EXPECT_NE(taken, said);
    }
  }
}

TEST(BroadcastQueue, IsBoundedAndAStormPushesOutItsOwn) {
  for (const BroadcastClass storm : kAll) {
    BroadcastQueue queue;
    std::vector<StatementRef> others;
    for (const BroadcastClass c : kAll) {
      if (c == storm) continue;
      for (uint32_t i = 0; i < 50; ++i) {
        const std::string name = std::to_string(static_cast<int>(c)) + "-" + std::to_string(i);
        others.push_back(OfClass(c, name));
        queue.Push(c, others.back());
      }
    }
    for (size_t i = 0; i < BroadcastQueue::kEntriesMax + 500; ++i) {
      queue.Push(storm, OfClass(storm, "s" + std::to_string(i)));
    }
    const size_t most = storm == BroadcastClass::kEvent ? BroadcastQueue::kEntriesKept
                                                        : BroadcastQueue::kEntriesMax - 250;
    EXPECT_EQ(queue.size(storm), most);
    for (const StatementRef& other : others) ASSERT_TRUE(queue.Holds(*other)) << other->subject;
    EXPECT_FALSE(queue.Holds(*OfClass(storm, "s0")));  // the oldest
  }
}

// Two storms at once: the less urgent gives way, down to what is kept for it.
TEST(BroadcastQueue, WhatIsKeptForAClassIsItsOwn) {
  BroadcastQueue queue;
  for (size_t i = 0; i < 9'000; ++i)
    queue.Push(BroadcastClass::kJoin, Alive("j" + std::to_string(i)));
  for (size_t i = 0; i < 20'000; ++i) {
    queue.Push(BroadcastClass::kDeath, OfClass(BroadcastClass::kDeath, "d" + std::to_string(i)));
  }
  EXPECT_EQ(queue.size(), BroadcastQueue::kEntriesMax);
  EXPECT_EQ(queue.size(BroadcastClass::kJoin), BroadcastQueue::kEntriesKept);
}

}  // namespace
}  // namespace sotto
