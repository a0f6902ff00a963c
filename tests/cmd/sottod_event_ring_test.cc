#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "cmd/sottod/event_ring.h"

namespace sotto {
namespace {

RingEvent Named(const std::string& member) {
  RingEvent event;
  event.member = member;
  return event;
}

std::vector<uint64_t> Numbers(const EventRing::Page& page) {
  std::vector<uint64_t> out;
  for (const RingEvent& event : page.events) out.push_back(event.seq);
  return out;
}

TEST(EventRing, NumbersFromOneAndReadsOldestFirst) {
  EventRing ring;
  EXPECT_EQ(ring.next_seq(), 1u);
  EXPECT_EQ(ring.Append(Named("a")), 1u);
  EXPECT_EQ(ring.Append(Named("b")), 2u);
  const EventRing::Page page = ring.Read(0, 10);
  EXPECT_THAT(Numbers(page), testing::ElementsAre(1, 2));
  EXPECT_EQ(page.events[1].member, "b");
  EXPECT_EQ(page.next, 3u);
  EXPECT_FALSE(page.gap);
}

TEST(EventRing, PagesJoinWithoutOverlap) {
  EventRing ring;
  for (int i = 0; i < 5; ++i) ring.Append(Named("m"));
  const EventRing::Page first = ring.Read(1, 2);
  const EventRing::Page second = ring.Read(first.next, 2);
  const EventRing::Page last = ring.Read(second.next, 2);
  EXPECT_THAT(Numbers(first), testing::ElementsAre(1, 2));
  EXPECT_THAT(Numbers(second), testing::ElementsAre(3, 4));
  EXPECT_THAT(Numbers(last), testing::ElementsAre(5));
  EXPECT_EQ(last.next, 6u);
}

TEST(EventRing, ForgetsTheOldestAndSaysSo) {
  EventRing ring(3);
  for (int i = 0; i < 5; ++i) ring.Append(Named("m"));
  EXPECT_THAT(Numbers(ring.Read(3, 10)), testing::ElementsAre(3, 4, 5));
  EXPECT_FALSE(ring.Read(3, 10).gap);
  EXPECT_TRUE(ring.Read(2, 10).gap);
  EXPECT_THAT(Numbers(ring.Read(2, 10)), testing::ElementsAre(3, 4, 5));
}

TEST(EventRing, ANumberOfAFormerLifeIsAGap) {
  EventRing ring;
  ring.Append(Named("m"));
  EXPECT_FALSE(ring.Read(2, 10).gap);
  const EventRing::Page page = ring.Read(500, 10);
  EXPECT_TRUE(page.gap);
  EXPECT_TRUE(page.events.empty());
  EXPECT_EQ(page.next, 2u);
}

TEST(EventRing, ReadLastGivesTheNewest) {
  EventRing ring(4);
  EXPECT_TRUE(ring.ReadLast(5).events.empty());
  for (int i = 0; i < 6; ++i) ring.Append(Named("m"));
  EXPECT_THAT(Numbers(ring.ReadLast(2)), testing::ElementsAre(5, 6));
  EXPECT_THAT(Numbers(ring.ReadLast(100)), testing::ElementsAre(3, 4, 5, 6));
  EXPECT_FALSE(ring.ReadLast(100).gap);
}

TEST(EventRing, TellsTheListenerAfterEachAppend) {
  EventRing ring;
  std::vector<uint64_t> seen;
  ring.SetListener([&] { seen.push_back(ring.next_seq()); });
  ring.Append(Named("a"));
  ring.Append(Named("b"));
  ring.SetListener(nullptr);
  ring.Append(Named("c"));
  EXPECT_THAT(seen, testing::ElementsAre(2, 3));
}

TEST(EventRing, ManyThreadsGetDistinctNumbers) {
  EventRing ring;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&ring] {
      for (int i = 0; i < 500; ++i) ring.Append(Named("m"));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const EventRing::Page page = ring.Read(1, 10'000);
  ASSERT_EQ(page.events.size(), 2000u);
  for (size_t i = 0; i < page.events.size(); ++i) EXPECT_EQ(page.events[i].seq, i + 1);
}

}  // namespace
}  // namespace sotto
