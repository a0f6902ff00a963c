// Pings that the application asks for, and the round trips that are told.
#include <string>

#include "gtest/gtest.h"
#include "tests/gossip/core_driver.h"

namespace sotto {
namespace {

using namespace testing;  // NOLINT

Packet AckOf(uint64_t nonce) { return {{Ack{nonce, 1}}, {}}; }

TEST(Ping, IsAnsweredByTheMemberItselfAndTimed) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Forget();
  const uint64_t nonce = d.core.PingMember(d.now, "a");
  ASSERT_NE(0u, nonce);
  d.Settle();
  EXPECT_EQ(1u, d.SentMessages<Ping>("a"));
  d.Sleep(Duration::Millis(3));
  // Another member's ack, and one with another nonce, are no answers.
  d.Receive("b", AckOf(nonce));
  d.Receive("a", AckOf(nonce + 1));
  EXPECT_TRUE(d.pongs.empty());
  EXPECT_TRUE(d.measured_rtts.empty());
  d.Receive("a", AckOf(nonce));
  ASSERT_EQ(1u, d.pongs.size());
  EXPECT_EQ(nonce, d.pongs[0].nonce);
  EXPECT_EQ(Duration::Millis(3), d.pongs[0].rtt);
  ASSERT_EQ(1u, d.measured_rtts.size());
  EXPECT_EQ("a", d.measured_rtts[0].member);
  EXPECT_EQ(Duration::Millis(3), d.core.Find("a")->rtt);
  // Once.
  d.Receive("a", AckOf(nonce));
  EXPECT_EQ(1u, d.pongs.size());
}

TEST(Ping, ThatIsNotAnsweredAccusesNobody) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer({"a", "b"});
  d.RunFor(Duration::Seconds(3));
  d.Answer("a", false);
  d.Forget();
  const uint64_t probes = d.core.counters().probes;
  ASSERT_NE(0u, d.core.PingMember(d.now, "a"));
  d.Settle();
  d.Answer("a");  // the probes are answered again, the ping is not
  d.RunFor(Duration::Seconds(30));
  EXPECT_GT(d.core.counters().probes, probes + 20);
  EXPECT_EQ(0u, d.Count(EventKind::kSuspected));
  EXPECT_TRUE(d.pongs.empty());
  EXPECT_EQ(0, d.core.standing().health_score);
}

TEST(Ping, ReachesAMemberThatIsCalledDead) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer("b");
  d.RunFor(Duration::Minutes(5));
  ASSERT_EQ(MemberState::kDead, d.StateOf("a"));
  d.Forget();
  EXPECT_NE(0u, d.core.PingMember(d.now, "a"));
  d.Settle();
  EXPECT_EQ(1u, d.SentMessages<Ping>("a"));
}

TEST(Ping, HasNoOneToAskAndABound) {
  CoreDriver d;
  d.Meet("a");
  EXPECT_EQ(0u, d.core.PingMember(d.now, "nobody"));
  EXPECT_EQ(0u, d.core.PingMember(d.now, d.self.name));
  for (size_t i = 0; i < Protocol::kPingsMax; ++i) {
    ASSERT_NE(0u, d.core.PingMember(d.now, "a")) << i;
  }
  EXPECT_EQ(0u, d.core.PingMember(d.now, "a"));
  d.Answer("a");
  d.RunFor(Duration::Seconds(61));
  EXPECT_NE(0u, d.core.PingMember(d.now, "a"));  // the unanswered are forgotten
}

TEST(Ping, RoundTripsOfProbesAreToldOnlyWhenTheMemberAnsweredItself) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer({"a", "b"});
  d.RunFor(Duration::Seconds(10));
  EXPECT_EQ(d.core.counters().probes, d.measured_rtts.size());
  EXPECT_GT(d.measured_rtts.size(), 8u);
}

}  // namespace
}  // namespace sotto
