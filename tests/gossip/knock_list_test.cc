#include "gossip/knock_list.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace sotto {
namespace {

constexpr Duration kSecond = Duration::Seconds(1);

TEST(KnockList, AFailedAddressRestsEverLonger) {
  KnockList list;
  Instant now;
  for (const int pause_s : {10, 20, 40, 80, 160, 320, 600, 600, 600}) {
    ASSERT_TRUE(list.Begin(now, "10.0.3.1:7950")) << pause_s;
    EXPECT_FALSE(list.Begin(now, "10.0.3.1:7950"));  // in flight
    list.End(now, "10.0.3.1:7950", false);
    EXPECT_FALSE(list.Begin(now + Duration::Seconds(pause_s) - Duration::Nanos(1), "10.0.3.1:7950"))
        << pause_s;
    now = now + Duration::Seconds(pause_s);
  }
}

TEST(KnockList, OneThatAnsweredRestsForAMoment) {
  KnockList list;
  Instant now;
  ASSERT_TRUE(list.Begin(now, "a:1"));
  list.End(now, "a:1", false);
  now = now + KnockList::kPauseMin;
  ASSERT_TRUE(list.Begin(now, "a:1"));
  list.End(now, "a:1", true);
  EXPECT_FALSE(list.Begin(now, "a:1"));
  now = now + KnockList::kPauseAnswered;
  ASSERT_TRUE(list.Begin(now, "a:1"));
  list.End(now, "a:1", false);
  EXPECT_TRUE(list.Begin(now + KnockList::kPauseMin, "a:1"));  // counted from the start again
}

TEST(KnockList, FewAtOnce) {
  KnockList list;
  const Instant now;
  for (size_t i = 0; i < KnockList::kInFlightMax; ++i) {
    EXPECT_TRUE(list.Begin(now, absl::StrCat("a:", i)));
  }
  EXPECT_FALSE(list.Begin(now, "b:1"));
  list.End(now, "a:0", false);
  EXPECT_TRUE(list.Begin(now, "b:1"));
  EXPECT_EQ(list.in_flight(), KnockList::kInFlightMax);
}

TEST(KnockList, JunkIsBoundedInRateAndMemory) {
  KnockList list;
  Instant now;
  int begun = 0;
  for (int i = 0; i < 100'000; ++i) {
    const std::string address = absl::StrCat("10.9.", i / 256 % 256, ".", i % 256, ":", 1 + i);
    if (list.Begin(now, address)) {
      ++begun;
      list.End(now, address, false);
    }
    now = now + Duration::Millis(10);
  }
  EXPECT_GE(begun, 1'000);
  EXPECT_LE(begun, 1'000 + KnockList::kBurst);
  EXPECT_EQ(list.size(), KnockList::kRememberedMax);
  EXPECT_TRUE(list.Begin(now + kSecond, "gw-2:7950"));
}

}  // namespace
}  // namespace sotto
