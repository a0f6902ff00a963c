// Probing, relays and Lifeguard's local health ([n]: memberlist's list of behaviours).
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/gossip/core_driver.h"

namespace sotto {
namespace {

using namespace testing;  // NOLINT

TEST(Probe, ALiveMemberStaysAliveAndIsTimed) {  // [23]
  CoreDriver d;
  d.Meet("a");
  const uint64_t nonce = RunToPing(d, "a");
  EXPECT_EQ(d.core.counters().probes, 1u);
  d.Sleep(Duration::Millis(7));
  d.Receive("a", {{Ack{nonce, 1}}, {}});
  EXPECT_EQ(d.core.Find("a")->rtt, Duration::Millis(7));
  d.Answer("a");
  d.RunFor(Duration::Minutes(1));
  EXPECT_EQ(d.core.counters().probes_failed, 0u);
  EXPECT_NEAR(static_cast<double>(d.core.counters().probes), 61, 1);
  EXPECT_EQ(d.Count(EventKind::kSuspected), 0u);
}

TEST(Probe, OthersAreAskedAtTheTimeoutAndTheVerdictFallsAtTheEndOfTheRound) {  // [24]
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  d.Answer({"b", "c", "d", "e"});
  RunToPing(d, "a");
  const Instant start = d.now;
  d.Forget();
  d.RunUntil(start + d.options.probe_timeout - kNanosecond);
  EXPECT_EQ(d.SentMessages<IndirectPing>(), 0u);
  EXPECT_TRUE(d.stream_pings.empty());
  d.RunUntil(start + d.options.probe_timeout);
  EXPECT_EQ(d.SentMessages<IndirectPing>(), 3u);
  EXPECT_EQ(d.SentMessages<IndirectPing>("a"), 0u);
  ASSERT_EQ(d.stream_pings.size(), 1u);
  EXPECT_EQ(d.stream_pings[0].to->subject, "a");
  d.RunUntil(start + d.options.probe_interval - kNanosecond);
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
  d.RunUntil(start + d.options.probe_interval);
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  EXPECT_EQ(d.Signed(StatementKind::kSuspect, "a"), 1u);
  EXPECT_EQ(d.core.standing().health_score, 0);  // every nack came
  // Having accused, it says what came of it.
  d.RunUntil(start + d.options.probe_interval + Duration::Seconds(24));
  d.RunFor(Duration::Seconds(1));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  EXPECT_EQ(d.Signed(StatementKind::kDead, "a"), 1u);
}

TEST(Probe, AnAckByStreamOrRelaySavesTheRound) {  // [25], [35]
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer("b");
  uint64_t nonce = RunToPing(d, "a");
  d.RunFor(d.options.probe_timeout);
  d.core.HandleStreamAck(d.now, nonce);
  d.RunFor(d.options.probe_interval - d.options.probe_timeout - kNanosecond);
  EXPECT_EQ(d.core.counters().probes_failed, 0u);

  nonce = RunToPing(d, "a");
  d.RunFor(d.options.probe_timeout);
  d.Receive("b", {{Nack{nonce}}, {}});
  d.Receive("b", {{Ack{nonce, 0}}, {}});
  d.RunFor(d.options.probe_interval - d.options.probe_timeout);
  EXPECT_EQ(d.core.counters().probes_failed, 0u);
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
  d.Receive("b", {{Ack{nonce, 0}}, {}});  // once more: its probe is gone
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
}

TEST(Probe, OnlyTheNonceFromTheRightMemberCounts) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer("b");
  const uint64_t nonce = RunToPing(d, "a");
  const Instant end = d.now + d.options.probe_interval;
  d.Receive("a", {{Ack{nonce + 1, 0}}, {}});
  d.Receive("b", {{Ack{nonce, 0}}, {}});  // not asked yet
  d.RunUntil(end);
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
}

TEST(Probe, AMemberThatRestartsDuringItsProbeIsNotAccused) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer("b");
  RunToPing(d, "a");
  d.core.HandleStatement(d.now, FakeAlive(MakeFakeProcess("a", 2), Inc(2)));
  d.Settle();
  d.RunFor(d.options.probe_interval);
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
  EXPECT_GE(d.core.counters().probes_voided, 1u);
}

TEST(Probe, OneSlowMemberDelaysNoOther) {  // probes overlap where health differs
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  d.Answer({"b", "c", "d"});
  d.RunFor(Duration::Seconds(12));
  EXPECT_GE(d.core.counters().probes, 9u);
  EXPECT_EQ(d.StateOf("b"), MemberState::kAlive);
}

TEST(Relay, PingsUnderItsOwnNonceAndForwardsTheAck) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Forget();
  d.Receive("b", {{IndirectPing{42, "a"}}, {}});
  ASSERT_EQ(d.SentMessages<Ping>("a"), 1u);
  const uint64_t nonce = std::get<Ping>(d.sent[0].packet.messages[0]).nonce;
  EXPECT_NE(nonce, 42u);
  d.Forget();
  d.Receive("b", {{Ack{nonce, 0}}, {}});  // not from the target
  EXPECT_EQ(d.SentMessages<Ack>(), 0u);
  d.Receive("a", {{Ack{nonce, 0}}, {}});
  ASSERT_EQ(d.SentMessages<Ack>("b"), 1u);
  EXPECT_EQ(std::get<Ack>(d.sent.back().packet.messages[0]).nonce, 42u);
  d.RunFor(Duration::Seconds(5));
  EXPECT_EQ(d.SentMessages<Nack>(), 0u);
}

TEST(Relay, SaysAtFourFifthsOfTheTimeoutThatItHeardNothing) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer({"a", "b"});
  d.Answer("a", false);
  d.Forget();
  const Instant start = d.now;
  d.Receive("b", {{IndirectPing{42, "a"}}, {}});
  d.RunUntil(start + Duration::Millis(400) - kNanosecond);
  EXPECT_EQ(d.SentMessages<Nack>(), 0u);
  d.RunUntil(start + Duration::Millis(400));
  EXPECT_EQ(d.SentMessages<Nack>("b"), 1u);
}

TEST(Relay, UnknownTargetsAndItselfAreRefusedAndTheTableIsBounded) {
  CoreDriver d;
  d.Meet({"a", "b"});
  std::vector<std::string> crowd;
  for (int i = 0; i < 40; ++i) crowd.push_back("n" + std::to_string(i));
  d.Meet(crowd);
  d.Forget();
  d.Receive("b", {{IndirectPing{1, "nobody"}, IndirectPing{2, "me"}}, {}});
  EXPECT_TRUE(d.sent.empty());
  for (const auto& name : crowd) {
    for (uint64_t i = 0; i < 40; ++i) d.Receive(name, {{IndirectPing{i, "a"}}, {}});
  }
  EXPECT_EQ(d.SentMessages<Ping>("a"), 1'024u);
}

TEST(Ping, IsAnsweredWithTheSetHashAlsoToTheDead) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer("b");
  d.Forget();
  d.Receive("a", {{Ping{7}}, {}});
  ASSERT_EQ(d.sent.size(), 1u);
  EXPECT_EQ(std::get<Ack>(d.sent[0].packet.messages[0]), (Ack{7, d.core.set_hash().low}));
  d.Accuse("b", "a", Inc(1));
  d.RunFor(Duration::Seconds(5));
  ASSERT_EQ(d.StateOf("a"), MemberState::kDead);
  d.Forget();
  d.Receive("a", {{Ping{8}}, {}});
  EXPECT_EQ(d.SentMessages<Ack>("a"), 1u);
  // And it learns that it is taken for dead, so that it can answer.
  EXPECT_FALSE(d.SentStatements(StatementKind::kSuspect, "a", "a").empty());
}

TEST(Health, MissedNacksCountAndSuccessHeals) {  // [27], [28], [29]
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  d.Answer({"b", "c", "d"});
  const uint64_t nonce = RunToPing(d, "a");
  d.Answer({"b", "c", "d"}, false);
  d.RunFor(d.options.probe_timeout);
  d.Receive("b", {{Nack{nonce}}, {}});
  d.Receive("b", {{Nack{nonce}}, {}});  // one relay's nack counts once
  d.RunFor(d.options.probe_interval - d.options.probe_timeout);
  EXPECT_EQ(d.core.standing().health_score, 2);  // of three relays two were silent
  d.Answer({"a", "b", "c", "d"});
  d.RunFor(Duration::Minutes(1));
  EXPECT_EQ(d.core.standing().health_score, 0);
}

TEST(Health, ScalesIntervalAndTimeoutAndSaturates) {
  CoreDriver d;
  d.Meet("a");  // no relays: one for each failed round
  RunToPing(d, "a");
  d.RunFor(d.options.probe_interval);
  ASSERT_EQ(d.core.standing().health_score, 1);
  RunToPing(d, "a");
  const int factor = d.core.standing().health_score + 1;
  ASSERT_GE(factor, 2);
  const Instant start = d.now;
  d.stream_pings.clear();
  d.RunUntil(start + factor * d.options.probe_timeout - kNanosecond);
  EXPECT_TRUE(d.stream_pings.empty());
  d.RunUntil(start + factor * d.options.probe_timeout);
  EXPECT_EQ(d.stream_pings.size(), 1u);
  CoreDriver accused;
  accused.Meet({"a", "b"});
  for (int i = 0; i < 30; ++i) {
    accused.Accuse("b", "me", accused.core.incarnation());
    accused.Sleep(Duration::Millis(200));
    accused.RunFor(Duration());
  }
  EXPECT_EQ(accused.core.standing().health_score, 8);
}

TEST(Buddy, APingOfASuspectCarriesTheSuspicion) {  // [34]
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  d.Answer({"b", "c", "d", "e"});
  d.Accuse("b", "a", Inc(1));
  RunToPing(d, "a");
  EXPECT_EQ(d.SentStatements(StatementKind::kSuspect, "a", "a").size(), 1u);
}

TEST(Hello, GoesAheadUntilTheMemberShowsThatItKnowsUs) {
  CoreDriver d;
  d.core.HandleStatement(d.now, d.AliveOf("a", Inc(1)));
  d.Settle();
  d.RunFor(Duration::Seconds(3));
  size_t hellos = 0;
  for (const auto& sent : d.sent) hellos += sent.hello ? 1 : 0;
  EXPECT_GE(hellos, 2u);
  EXPECT_LE(hellos, 4u);  // at most one a second
  EXPECT_TRUE(d.sent[0].hello);
  EXPECT_GT(d.sent.size(), hellos);
  d.Receive("a", {});
  d.sent.clear();
  d.Answer("a");
  d.RunFor(Duration::Seconds(5));
  for (const auto& sent : d.sent) EXPECT_FALSE(sent.hello);
  // Its next process knows nothing of us.
  d.core.HandleStatement(d.now, FakeAlive(MakeFakeProcess("a", 2), Inc(2)));
  d.Settle();
  d.sent.clear();
  d.RunFor(Duration::Seconds(2));
  ASSERT_FALSE(d.sent.empty());
  EXPECT_TRUE(d.sent[0].hello);
}

}  // namespace
}  // namespace sotto
