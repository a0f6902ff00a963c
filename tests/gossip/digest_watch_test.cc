// When a difference of digests is worth a sync, and when it is not.
#include "gossip/digest_watch.h"

#include <gtest/gtest.h>

namespace sotto {
namespace {

constexpr Duration kSettle = Duration::Seconds(5);
constexpr Duration kSettleMax = Duration::Seconds(60);

class DigestWatchTest : public ::testing::Test {
 protected:
  Instant At(int64_t seconds) const { return start_ + Duration::Seconds(seconds); }

  Instant start_ = Instant::FromNanos(1'000);
  DigestWatch watch_{{kSettle, kSettleMax, Duration::Minutes(10)}, start_};
};

TEST_F(DigestWatchTest, ADifferenceIsAskedAboutOnceStill) {
  watch_.NoteOwn(At(0), 1);
  watch_.NoteTheirs(At(1), 7, 2);
  EXPECT_EQ(watch_.NextDue(), At(6));
  EXPECT_FALSE(watch_.TakeDue(At(5)));
  const auto due = watch_.TakeDue(At(6));
  ASSERT_TRUE(due);
  EXPECT_EQ(due->member, 7u);
  EXPECT_EQ(due->theirs, 2u);
  EXPECT_FALSE(watch_.TakeDue(At(100))) << "asked";
}

TEST_F(DigestWatchTest, WhatGossipBringsInTimeIsNotAskedFor) {
  watch_.NoteOwn(At(0), 1);
  watch_.NoteTheirs(At(1), 7, 2);
  watch_.NoteOwn(At(2), 2);
  EXPECT_EQ(watch_.NextDue(), Instant::Never());
  watch_.NoteTheirs(At(3), 7, 2);
  EXPECT_EQ(watch_.NextDue(), Instant::Never());
}

TEST_F(DigestWatchTest, WhoIsBehindIsNotAsked) {
  watch_.NoteOwn(At(0), 1);
  watch_.NoteOwn(At(1), 2);
  watch_.NoteTheirs(At(2), 7, 1);
  watch_.NoteTheirs(At(2), 8, 0);
  EXPECT_EQ(watch_.NextDue(), Instant::Never());
}

TEST_F(DigestWatchTest, UnderASteadyStreamOnlyAfterTheLongTime) {
  watch_.NoteOwn(At(0), 100);
  for (int second = 1; second < 60; ++second) {
    watch_.NoteOwn(At(second), static_cast<uint64_t>(100 + second));
    watch_.NoteTheirs(At(second), 7, static_cast<uint64_t>(1'000 + second));
    EXPECT_FALSE(watch_.TakeDue(At(second))) << second;
  }
  EXPECT_TRUE(watch_.TakeDue(At(61)));
}

TEST_F(DigestWatchTest, FruitlessPairsAreNotTriedAgain) {
  watch_.NoteOwn(At(0), 1);
  watch_.NoteTheirs(At(1), 7, 2);
  const auto due = watch_.TakeDue(At(6));
  ASSERT_TRUE(due);
  watch_.Finished(At(6), *due, 1, false);
  // The same digest at another member is no news either.
  watch_.NoteTheirs(At(7), 7, 2);
  watch_.NoteTheirs(At(7), 8, 2);
  EXPECT_EQ(watch_.NextDue(), Instant::Never());
}

// A member that shows another digest each time costs ever less.
TEST_F(DigestWatchTest, AMemberThatMakesUpDigestsIsAskedEverMoreRarely) {
  watch_.NoteOwn(At(0), 1);
  int asked = 0;
  for (int64_t second = 1; second < 3'600; ++second) {
    watch_.NoteTheirs(At(second), 7, static_cast<uint64_t>(1'000 + second));
    if (const auto due = watch_.TakeDue(At(second))) {
      ++asked;
      watch_.Finished(At(second), *due, 1, false);
    }
  }
  EXPECT_GE(asked, 5);
  EXPECT_LE(asked, 15);
  // An honest one is asked in time all the same.
  watch_.NoteTheirs(At(4'000), 8, 2);
  const auto due = watch_.TakeDue(At(4'005));
  ASSERT_TRUE(due);
}

TEST_F(DigestWatchTest, AFruitfulExchangeForgives) {
  watch_.NoteOwn(At(0), 1);
  watch_.NoteTheirs(At(1), 7, 2);
  auto due = watch_.TakeDue(At(6));
  ASSERT_TRUE(due);
  watch_.NoteOwn(At(7), 3);
  watch_.Finished(At(7), *due, 1, true);
  watch_.NoteTheirs(At(8), 7, 4);
  EXPECT_EQ(watch_.NextDue(), At(13));
}

}  // namespace
}  // namespace sotto
