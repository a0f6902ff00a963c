// A node that is itself the sick one: paused, isolated, keyless, in the minority; and certificates
// that end (design M7, M8, W8).
#include <map>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "tests/gossip/core_driver.h"

namespace sotto {
namespace {

using namespace testing;  // NOLINT

TEST(Pause, AnybodySuspectedBeforeIsGivenTimeToBeHeard) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  d.Answer({"b", "c", "d"});
  d.Accuse("b", "a", Inc(1));
  d.RunFor(Duration::Seconds(1));
  ASSERT_EQ(d.StateOf("a"), MemberState::kSuspect);
  d.Sleep(Duration::Seconds(60));  // well past the suspicion's end
  const Instant woke = d.now;
  d.RunFor(Duration());
  EXPECT_EQ(d.Count(EventKind::kPaused, "me"), 1u);
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  EXPECT_EQ(d.Count(EventKind::kDied), 0u);
  EXPECT_EQ(d.Count(EventKind::kIsolated), 0u);
  // The refutation that waited in the socket is read.
  d.Tell("a", d.AliveOf("a", Inc(1, 1)));
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
  d.Answer("a");
  d.RunUntil(woke + Duration::Minutes(1));
  EXPECT_EQ(d.Count(EventKind::kDied), 0u);
  EXPECT_EQ(d.Count(EventKind::kPaused), 1u);
}

TEST(Pause, OfTwentySecondsAccusesNobody) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  d.Answer({"a", "b", "c", "d"});
  d.RunFor(Duration::Seconds(10));
  for (int i = 0; i < 5; ++i) {
    // Stopped in the middle of a probe whose ack is never read.
    d.Answer({"a", "b", "c", "d"}, false);
    const uint64_t probes = d.core.counters().probes;
    while (d.core.counters().probes == probes) d.RunUntil(d.core.NextDeadline());
    d.Sleep(Duration::Seconds(20));
    d.Answer({"a", "b", "c", "d"});
    d.RunFor(Duration::Seconds(10));
  }
  EXPECT_EQ(d.Count(EventKind::kPaused), 5u);
  EXPECT_EQ(d.Count(EventKind::kSuspected), 0u);
  EXPECT_EQ(d.Signed(StatementKind::kSuspect, "a"), 0u);
  EXPECT_GE(d.core.counters().probes_voided, 5u);
}

TEST(Pause, IsNoticedByAnyInputAndNotByLittleLateness) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer({"a", "b"});
  d.RunFor(Duration::Seconds(3));
  const Duration allowed =
      Duration::Millis(500);  // the greater of 2 × 200 ms and the probe timeout
  d.now = d.core.NextDeadline() + allowed;
  d.Receive("a", {});
  EXPECT_EQ(d.Count(EventKind::kPaused), 0u);
  d.RunFor(Duration::Seconds(1));
  d.now = d.core.NextDeadline() + allowed + kNanosecond;
  d.Receive("a", {});
  EXPECT_EQ(d.Count(EventKind::kPaused), 1u);
  d.RunFor(Duration::Seconds(1));
  EXPECT_EQ(d.Count(EventKind::kPaused), 1u);
}

TEST(Isolation, IsSaidWithinTenSecondsAndNothingIsSigned) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  d.Answer({"a", "b", "c", "d", "e"});
  d.RunFor(Duration::Seconds(10));
  d.Forget();
  d.Answer({"a", "b", "c", "d", "e"}, false);
  const Instant cut = d.now;
  d.RunFor(Duration::Seconds(10));
  ASSERT_EQ(d.Count(EventKind::kIsolated), 1u);
  EXPECT_GE(d.EventsOf(EventKind::kIsolated)[0].at, cut + Duration::Seconds(1));
  EXPECT_TRUE(d.core.standing().isolated);
  d.RunFor(Duration::Minutes(10));
  // It concludes what it must, and says nothing of it.
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    EXPECT_EQ(d.StateOf(name), MemberState::kDead) << name;
  }
  EXPECT_TRUE(d.signed_statements.empty());
  EXPECT_EQ(d.Count(EventKind::kMinority), 1u);
}

TEST(Isolation, SuspicionsRunToTheirMaximum) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  for (const char* by : {"b", "c", "d"}) d.Accuse(by, "a", Inc(1));
  const Instant start = d.now;
  // Just longer than isolation takes to be noticed.
  ASSERT_GT(*d.core.Find("a")->dies_at, start + Duration::Seconds(8));
  ASSERT_LT(*d.core.Find("a")->dies_at, start + Duration::Seconds(9));
  d.RunUntil(start + Duration::Seconds(24) - kNanosecond);
  ASSERT_TRUE(d.core.standing().isolated);
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  d.RunUntil(start + Duration::Seconds(24));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
}

TEST(Isolation, EndsWithTheFirstWordAndTheUnsignedSuspicionIsThenTold) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.RunFor(Duration::Seconds(10));
  ASSERT_TRUE(d.core.standing().isolated);
  ASSERT_TRUE(d.signed_statements.size() <= 1u);  // its own Alive
  const bool suspects_a = d.StateOf("a") != MemberState::kAlive;
  ASSERT_TRUE(suspects_a || d.StateOf("b") != MemberState::kAlive);
  const std::string who = suspects_a ? "a" : "b";
  d.Forget();
  d.Receive(who, {});
  EXPECT_EQ(d.Count(EventKind::kReconnected), 1u);
  EXPECT_FALSE(d.core.standing().isolated);
  // It can only come back by answering, so it is told, and nobody else.
  const auto kind =
      d.StateOf(who) == MemberState::kDead ? StatementKind::kDead : StatementKind::kSuspect;
  EXPECT_EQ(d.Signed(kind, who), 1u);
  EXPECT_EQ(d.SentStatements(kind, who).size(), 1u);
  EXPECT_EQ(d.SentStatements(kind, who, who).size(), 1u);
  d.Tell(who, d.AliveOf(who, Inc(1, 1)));
  EXPECT_EQ(d.StateOf(who), MemberState::kAlive);
}

TEST(Isolation, TheSurvivorOfTwoEndsWithTheTruth) {
  CoreDriver d;
  d.Meet("a");
  d.Answer("a");
  d.RunFor(Duration::Seconds(5));
  d.Answer("a", false);
  d.RunFor(Duration::Seconds(12));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  EXPECT_EQ(d.Count(EventKind::kDied, "a"), 1u);
  EXPECT_EQ(d.Signed(StatementKind::kDead, "a"), 0u);
}

TEST(Isolation, AloneIsNotIsolated) {
  CoreDriver d;
  d.RunFor(Duration::Minutes(10));
  EXPECT_FALSE(d.core.standing().isolated);
  d.Meet("a");
  d.Answer("a");
  d.RunFor(Duration::Seconds(1));
  EXPECT_EQ(d.Count(EventKind::kIsolated), 0u);
  d.Tell("a", FakeLeave(d.Peer("a"), Inc(1)));
  d.RunFor(Duration::Minutes(10));
  EXPECT_EQ(d.Count(EventKind::kIsolated), 0u);
  EXPECT_EQ(d.Count(EventKind::kMinority), 0u);
}

// Everybody asks us, and nobody answers.
class Mute : public ::testing::Test {
 protected:
  Mute() {
    d.Meet(peers);
    d.Answer(peers);
    d.RunFor(Duration::Seconds(5));
    d.Answer(peers, false);
    d.Forget();
  }
  // Hears every peer every 200 ms, as far as `each` lets it be asked.
  template <typename F>
  void HearFor(Duration span, F each) {
    const Instant end = d.now + span;
    while (d.now < end) {
      for (const std::string& peer : peers) d.Receive(peer, {{Ping{1}}, {}});
      each();
      d.RunFor(Duration::Millis(200));
    }
  }
  // What many were asked under at once, or 0.
  uint64_t CensusNonce() const {
    std::map<uint64_t, std::set<std::string>> asked;
    for (const CoreDriver::Sent& sent : d.sent) {
      for (const Message& message : sent.packet.messages) {
        if (const auto* ping = std::get_if<Ping>(&message)) asked[ping->nonce].insert(sent.to);
      }
    }
    for (const auto& [nonce, members] : asked) {
      if (members.size() >= 3) return nonce;
    }
    return 0;
  }
  const std::vector<std::string> peers = {"a", "b", "c", "d", "e"};
  CoreDriver d;
};

TEST_F(Mute, IsSaidAsIsolatedWithinTenSecondsAndChangesNothingElse) {
  const Instant cut = d.now;
  HearFor(Duration::Seconds(10), [] {});
  ASSERT_EQ(d.Count(EventKind::kIsolated), 1u);
  EXPECT_GE(d.EventsOf(EventKind::kIsolated)[0].at, cut + Duration::Seconds(7));
  EXPECT_NE(d.EventsOf(EventKind::kIsolated)[0].detail.find("none has answered"),
            std::string::npos);
  EXPECT_TRUE(d.core.standing().isolated);
  EXPECT_FALSE(d.core.standing().minority);
  EXPECT_GE(d.stream_pings.size(), 3u) << "streams were tried as well";
  // What it accuses it goes on to accuse: the refutations may reach it by others.
  HearFor(Duration::Seconds(20), [] {});
  EXPECT_GT(d.signed_statements.size(), 0u);
  EXPECT_EQ(d.Count(EventKind::kIsolated), 1u);
  d.Answer("a");
  HearFor(Duration::Seconds(10), [] {});
  EXPECT_FALSE(d.core.standing().isolated);
  EXPECT_EQ(d.Count(EventKind::kReconnected), 1u);
}

TEST_F(Mute, IsNotWhomOneAnswersByStream) {
  size_t answered = 0;
  HearFor(Duration::Minutes(2), [&] {
    for (; answered < d.stream_pings.size(); ++answered) {
      d.core.HandleStreamAck(d.now, d.stream_pings[answered].nonce);
      d.Settle();
    }
  });
  EXPECT_GT(answered, 0u);
  EXPECT_EQ(d.Count(EventKind::kIsolated), 0u);
}

// It is the datagrams then: that few are heard, and none answers them, makes no minority.
TEST_F(Mute, NorIsItInAMinority) {
  d.refusing.insert(peers.begin(), peers.end());
  size_t answered = 0;
  const Instant end = d.now + Duration::Minutes(2);
  while (d.now < end) {
    d.Receive("a", {{Ping{1}}, {}});
    for (; answered < d.stream_pings.size(); ++answered) {
      d.core.HandleStreamAck(d.now, d.stream_pings[answered].nonce);
      d.Settle();
    }
    d.RunFor(Duration::Millis(200));
  }
  EXPECT_GT(answered, 0u);
  EXPECT_EQ(d.Count(EventKind::kMinority), 0u);
  EXPECT_EQ(d.Count(EventKind::kIsolated), 0u);
  EXPECT_EQ(d.Count(EventKind::kDied), 0u);
}

TEST_F(Mute, IsNotClearedByAcksThatAnswerNothing) {
  HearFor(Duration::Seconds(20), [&] { d.Receive("a", {{Ack{12'345, 0}, Nack{12'345}}, {}}); });
  EXPECT_EQ(d.Count(EventKind::kIsolated), 1u);
  EXPECT_TRUE(d.core.standing().isolated);
}

// Nor by acks of a census that is not under way, or that has not asked their sender.
TEST_F(Mute, IsNotClearedByAcksThatNoCensusWaitsFor) {
  uint64_t nonce = 0;
  HearFor(Duration::Seconds(10), [&] {
    d.Receive("a", {{Ack{0, 0}}, {}});
    if (nonce == 0 && (nonce = CensusNonce()) != 0) d.Meet("late");
    if (nonce != 0) d.Receive("late", {{Ack{nonce, 0}}, {}});
  });
  ASSERT_NE(nonce, 0u);
  ASSERT_TRUE(d.core.standing().isolated);
  d.Receive("a", {{Ack{nonce, 0}}, {}});
  HearFor(Duration::Seconds(1), [] {});
  EXPECT_TRUE(d.core.standing().isolated);
  EXPECT_EQ(d.Count(EventKind::kReconnected), 0u);
}

TEST(KeyTrouble, SignsNothingForTwoRoundsAndSaysSoOnce) {
  CoreDriver d;
  d.Meet({"a", "b", "c"});
  d.Answer({"b", "c"});
  for (int i = 0; i < 40; ++i) {
    d.core.HandleKeyTrouble(d.now);
    d.Settle();
    d.RunFor(Duration::Millis(500));
  }
  EXPECT_EQ(d.Count(EventKind::kKeyTrouble), 1u);
  // It suspects, for itself and for longer than the shortest time, 4 s.
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  EXPECT_GT(*d.core.Find("a")->dies_at, d.now);
  EXPECT_EQ(d.Signed(StatementKind::kSuspect, "a"), 0u);
  // When it is over the others are told, before it comes to an end.
  d.Tell("b", d.AliveOf("a", Inc(1, 1)));
  d.RunFor(Duration::Seconds(20));
  EXPECT_EQ(d.Count(EventKind::kSuspected, "a"), 2u);
  EXPECT_EQ(d.Signed(StatementKind::kSuspect, "a"), 1u);
}

TEST(Minority, IsLessThanHalfAndSaidOnceEachWay) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  d.Answer({"a", "d"});
  const auto kill = [&d](const char* name) {
    d.Accuse("d", name, d.IncarnationOf(name));
    while (d.StateOf(name) != MemberState::kDead) d.RunFor(Duration::Seconds(1));
  };
  kill("b");
  kill("c");
  EXPECT_EQ(d.Count(EventKind::kMinority), 0u);  // 3 of 5
  d.Answer("a", false);
  kill("a");
  EXPECT_EQ(d.Count(EventKind::kMinority), 1u);  // 2 of 5
  EXPECT_TRUE(d.core.standing().minority);
  d.Answer("a");
  d.Tell("d", d.AliveOf("a", Inc(1, 9)));
  EXPECT_EQ(d.events.back().kind, EventKind::kReturned);
  d.RunFor(Duration::Seconds(6));  // a census, if the last one was worse
  EXPECT_FALSE(d.core.standing().minority);
  EXPECT_GE(d.Count(EventKind::kReconnected), 1u);
}

class Expiry : public ::testing::Test {
 protected:
  static constexpr int64_t kEnd = 1'800'000'000;
  StatementRef Until(const char* name, int64_t not_after, uint32_t counter = 1) {
    FakeProcess process = MakeFakeProcess(name);
    process.not_after_unix_s = not_after;
    return FakeAlive(process, Inc(1, counter));
  }
  CoreDriver d;
};

TEST_F(Expiry, AnHourPastTheEndAMemberNoLongerCounts) {
  d.Meet({"a", "b", "c"});
  d.Tell("a", Until("a", kEnd));
  for (const char* name : {"b", "c"}) d.Tell(name, Until(name, kEnd + 86'400));
  d.core.HandleWallClock(d.now, kEnd + 3'600);
  d.Settle();
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
  d.core.HandleWallClock(d.now, kEnd + 3'601);
  d.Settle();
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  ASSERT_EQ(d.Count(EventKind::kDied, "a"), 1u);
  EXPECT_EQ(d.EventsOf(EventKind::kDied)[0].detail, "certificate expired");
  d.Receive("a", {});
  EXPECT_EQ(d.Signed(StatementKind::kDead, "a"), 0u);  // it could answer nothing
  d.Tell("a", Until("a", kEnd, 2));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  d.Tell("a", Until("a", kEnd + 86'400, 3));
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
}

TEST_F(Expiry, IfMostWouldEndAtOnceTheClockIsDoubted) {
  d.Meet({"a", "b", "c"});
  for (const char* name : {"a", "b"}) d.Tell(name, Until(name, kEnd));
  for (int i = 0; i < 3; ++i) {
    d.core.HandleWallClock(d.now, kEnd + 90'000);
    d.Settle();
  }
  EXPECT_EQ(d.Count(EventKind::kClockSuspect), 1u);
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
  EXPECT_EQ(d.StateOf("b"), MemberState::kAlive);
}

}  // namespace
}  // namespace sotto
