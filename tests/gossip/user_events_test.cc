// The store of user events as a set that merges, and what coalescing holds back.
#include "gossip/user_events.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "gossip/rng.h"
#include "tests/support/fake_signer.h"

namespace sotto {
namespace {

using Verdict = UserEventStore::Verdict;

StatementRef Event(std::string_view origin, uint64_t lamport, std::string name = "deploy") {
  return testing::FakeSaid(testing::MakeFakeProcess(origin),
                           SaidEvent{std::move(name), "", lamport}, Incarnation::Of(1, 0));
}

std::vector<uint64_t> IdsOf(const std::vector<StatementRef>& events) {
  UserEventStore store;
  for (const StatementRef& event : events) store.Insert(event);
  return store.Ids();
}

TEST(UserEventStore, TakesEachOnce) {
  UserEventStore store;
  EXPECT_EQ(store.digest(), 0u);
  const StatementRef event = Event("a", 7);
  EXPECT_EQ(store.Insert(event), Verdict::kNew);
  EXPECT_NE(store.digest(), 0u);
  EXPECT_EQ(store.highest_lamport(), 7u);
  const uint64_t digest = store.digest();
  EXPECT_EQ(store.Insert(event), Verdict::kKnown);
  EXPECT_EQ(store.digest(), digest);
  EXPECT_EQ(store.size(), 1u);
}

// Every order of six events of two origins and equal times gives the same store.
TEST(UserEventStore, EveryOrderOfArrivalGivesTheSameStore) {
  std::vector<StatementRef> events = {Event("a", 1),      Event("a", 2), Event("b", 2),
                                      Event("b", 2, "x"), Event("c", 3), Event("a", 3)};
  std::sort(events.begin(), events.end());
  const std::vector<uint64_t> expected = IdsOf(events);
  do {
    ASSERT_EQ(IdsOf(events), expected);
  } while (std::next_permutation(events.begin(), events.end()));
}

// Beyond its bounds as well: one origin too many, all too many, in shuffled orders and by way of
// others' stores.
TEST(UserEventStore, BoundsKeepItAJoin) {
  std::vector<StatementRef> events;
  for (int origin = 0; origin < 9; ++origin) {
    const int count = origin == 0 ? 100 : 30;
    for (int i = 0; i < count; ++i) {
      events.push_back(
          Event("m" + std::to_string(origin), static_cast<uint64_t>(i * 3 + origin) + 1));
    }
  }
  UserEventStore reference;
  for (const StatementRef& event : events) reference.Insert(event);
  EXPECT_EQ(reference.size(), UserEventStore::kEventsMax);
  Rng rng(4);
  for (int round = 0; round < 200; ++round) {
    rng.Shuffle(std::span<StatementRef>(events));
    UserEventStore a, b;
    const size_t cut = rng.Below(events.size());
    for (size_t i = 0; i < events.size(); ++i) (i < cut ? a : b).Insert(events[i]);
    for (const StatementRef& event : b.Compare(a.Ids()).lacking) a.Insert(event);
    for (const StatementRef& event : a.Compare(b.Ids()).lacking) b.Insert(event);
    ASSERT_EQ(a.digest(), reference.digest());
    ASSERT_EQ(a.Ids(), reference.Ids());
    ASSERT_EQ(b.Ids(), reference.Ids());
  }
}

// What fell out never comes in again: no event is told twice.
TEST(UserEventStore, WhatFellOutStaysOut) {
  UserEventStore store;
  std::vector<StatementRef> events;
  for (uint64_t i = 0; i < 1'000; ++i) events.push_back(Event("m" + std::to_string(i % 10), i + 1));
  std::set<Hash256> told;
  for (const StatementRef& event : events) {
    if (store.Insert(event) == Verdict::kNew) told.insert(event->hash);
  }
  EXPECT_EQ(told.size(), events.size());
  for (const StatementRef& event : events) EXPECT_NE(store.Insert(event), Verdict::kNew);
}

TEST(UserEventStore, OneOriginDoesNotPushOutOthers) {
  UserEventStore store;
  store.Insert(Event("quiet", 1));
  for (uint64_t i = 0; i < 500; ++i) store.Insert(Event("loud", kLamportEnd - 1 - i));
  EXPECT_EQ(store.size(), UserEventStore::kPerOriginMax + 1);
  EXPECT_EQ(store.Insert(Event("quiet", 1)), Verdict::kKnown);
  EXPECT_EQ(store.Insert(Event("quiet", 2)), Verdict::kNew);
}

TEST(UserEventStore, RefusedCertificatesGoAndOldEventsStayOut) {
  UserEventStore store;
  for (uint64_t i = 1; i <= 300; ++i) store.Insert(Event("m" + std::to_string(i % 10), i));
  const StatementRef refused = Event("m3", 293);
  const Hash256 certificates[] = {refused->certificate};
  store.DropSignedBy(certificates);
  EXPECT_LT(store.size(), UserEventStore::kEventsMax);
  EXPECT_EQ(store.Judge(*Event("m4", 4)), Verdict::kOld) << "it fell out before";
  EXPECT_EQ(store.Judge(*refused), Verdict::kNew);
}

TEST(UserEventStore, ADifferenceNamesBothSides) {
  UserEventStore a, b;
  const StatementRef both = Event("a", 1), only_a = Event("a", 2), only_b = Event("b", 2);
  for (const auto& event : {both, only_a}) a.Insert(event);
  for (const auto& event : {both, only_b}) b.Insert(event);
  const EventDifference difference = b.Compare(a.Ids());
  ASSERT_EQ(difference.lacking.size(), 1u);
  EXPECT_EQ(difference.lacking[0], only_b);
  ASSERT_EQ(difference.wanted.size(), 1u);
  EXPECT_EQ(a.Find(difference.wanted), std::vector<StatementRef>{only_a});
}

// ---- coalescing ---------------------------------------------------------------------------------

UserEvent Told(std::string name, uint64_t lamport, bool coalesce = true) {
  UserEvent event;
  event.from = "a";
  event.name = std::move(name);
  event.lamport = lamport;
  event.coalesce = coalesce;
  return event;
}

TEST(EventCoalescer, HandsOnTheNewestOfEachName) {
  EventCoalescer coalescer(Duration::Seconds(3));
  const Instant start = Instant::FromNanos(0);
  EXPECT_FALSE(coalescer.Add(start, Told("deploy", 5)));
  EXPECT_FALSE(coalescer.Add(start + Duration::Seconds(1), Told("reload", 6)));
  EXPECT_FALSE(coalescer.Add(start + Duration::Seconds(2), Told("deploy", 8)));
  EXPECT_FALSE(coalescer.Add(start + Duration::Seconds(2), Told("deploy", 7)));
  EXPECT_TRUE(coalescer.Add(start, Told("deploy", 9, false))) << "it asked not to be";
  EXPECT_EQ(coalescer.NextDue(), start + Duration::Seconds(3));
  EXPECT_TRUE(coalescer.TakeDue(start + Duration::Seconds(2)).empty());
  const auto first = coalescer.TakeDue(start + Duration::Seconds(3));
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].lamport, 8u);
  const auto second = coalescer.TakeDue(start + Duration::Seconds(4));
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].name, "reload");
  EXPECT_EQ(coalescer.NextDue(), Instant::Never());
}

TEST(EventCoalescer, IsOffWithoutAWindowAndBounded) {
  EventCoalescer off((Duration()));
  EXPECT_TRUE(off.Add(Instant(), Told("deploy", 1)));
  EventCoalescer on(Duration::Seconds(1));
  size_t passed = 0;
  for (size_t i = 0; i < EventCoalescer::kHeldMax + 10; ++i) {
    passed += on.Add(Instant(), Told("n" + std::to_string(i), 1)).has_value();
  }
  EXPECT_EQ(passed, 10u);
}

}  // namespace
}  // namespace sotto
