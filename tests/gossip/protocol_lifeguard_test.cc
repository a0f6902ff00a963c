// Lifeguard, rule by rule: the tables of memberlist's suite ([n]: our list of its behaviours),
// where ours differs by design M6 (said at each), the switches, and faults of our own machine:
// sends that it refuses and a late event loop.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/gossip/core_driver.h"

namespace sotto {
namespace {

using namespace testing;  // NOLINT

DriverSetup With(LifeguardOptions lifeguard) {
  DriverSetup setup;
  setup.options.lifeguard = lifeguard;
  return setup;
}

// One failed probe of "a" with these relays' nacks, and the score after it.
int ScoreAfterFailure(DriverSetup setup, const std::vector<std::string>& relays, size_t nacks) {
  CoreDriver d(setup);
  d.Meet("a");
  d.Meet(relays);
  d.Answer(relays);
  const uint64_t nonce = RunToPing(d, "a");
  d.Answer(relays, false);
  const int before = d.core.standing().health_score;
  d.RunFor(d.options.probe_timeout);
  for (size_t i = 0; i < nacks; ++i) d.Receive(relays[i], {{Nack{nonce}}, {}});
  d.RunUntil(d.now + d.options.probe_interval - d.options.probe_timeout);
  EXPECT_EQ(d.core.counters().probes_failed, 1u);
  return d.core.standing().health_score - before;
}

// ---- the score ----------------------------------------------------------------------------------

// The paper adds one for a failed probe and one for a missed nack; memberlist, and we, add one for
// each missed nack, and one for a failed probe where no nack was to be expected.
TEST(Lifeguard, TheScoreAfterAFailedProbe) {  // [27], [28]
  const std::vector<std::string> relays = {"b", "c", "d"};
  EXPECT_EQ(ScoreAfterFailure({}, relays, 3), 0);
  EXPECT_EQ(ScoreAfterFailure({}, relays, 2), 1);
  EXPECT_EQ(ScoreAfterFailure({}, relays, 1), 2);
  EXPECT_EQ(ScoreAfterFailure({}, relays, 0), 3);
  EXPECT_EQ(ScoreAfterFailure({}, {}, 0), 1);  // nobody to ask
  // Without the mechanism nacks say nothing, and their absence neither.
  EXPECT_EQ(ScoreAfterFailure(With({.nacks = false}), relays, 3), 1);
  EXPECT_EQ(ScoreAfterFailure(With({.nacks = false}), relays, 0), 1);
}

TEST(Lifeguard, ASuccessfulProbeLowersTheScoreByOneAndNotBelowZero) {  // [28]
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer({"a", "b"});
  d.Accuse("b", "me", d.core.incarnation());
  ASSERT_EQ(d.core.standing().health_score, 1);
  const uint64_t probes = d.core.counters().probes;
  while (d.core.counters().probes == probes) d.RunUntil(d.core.NextDeadline());
  EXPECT_EQ(d.core.standing().health_score, 0);
  d.RunFor(Duration::Seconds(5));
  EXPECT_EQ(d.core.standing().health_score, 0);
}

// Three members that answer accuse us in turn, until the score is at its end.
void Sicken(CoreDriver& d) {
  const char* const by[] = {"a", "b", "c"};
  d.Meet({"a", "b", "c"});
  d.Answer({"a", "b", "c"});
  for (int i = 0; i < 21; ++i) {
    d.Accuse(by[i % 3], "me", d.core.incarnation());
    d.RunFor(d.options.gossip_interval);
  }
}

// memberlist clamps to 0..7, and does not stretch the timeout; the paper, and M6, have 0..8 and
// stretch both.
TEST(Lifeguard, TheScoreEndsAtEightAndIntervalAndTimeoutAreStretchedNinefold) {  // [29], M6
  CoreDriver d;
  Sicken(d);
  ASSERT_EQ(d.core.standing().health_score, 8);
  d.Answer({"a", "b", "c"}, false);
  RunToPing(d, "a");
  const Instant start = d.now;
  const uint64_t probes = d.core.counters().probes;
  d.stream_pings.clear();
  d.RunUntil(start + d.options.probe_timeout * 9 - kNanosecond);
  EXPECT_TRUE(d.stream_pings.empty());
  d.RunUntil(start + d.options.probe_timeout * 9);
  EXPECT_EQ(d.stream_pings.size(), 1u);
  d.RunUntil(start + d.options.probe_interval * 9 - kNanosecond);
  EXPECT_EQ(d.core.counters().probes, probes);
  d.RunUntil(start + d.options.probe_interval * 9);
  EXPECT_EQ(d.core.counters().probes, probes + 1);
}

TEST(Lifeguard, WithoutScalingTheScoreIsKeptAndStretchesNothing) {
  CoreDriver d(With({.health_scaling = false}));
  Sicken(d);
  EXPECT_GE(d.core.standing().health_score, 7);
  const uint64_t probes = d.core.counters().probes;
  d.RunFor(Duration::Seconds(10));
  EXPECT_NEAR(static_cast<double>(d.core.counters().probes - probes), 10, 1);
}

TEST(Lifeguard, WithoutNacksARelaySendsNone) {
  CoreDriver d(With({.nacks = false}));
  d.Meet({"a", "b"});
  d.Forget();
  d.Receive("b", {{IndirectPing{42, "a"}}, {}});
  ASSERT_EQ(d.SentMessages<Ping>("a"), 1u);
  d.RunFor(Duration::Seconds(5));
  EXPECT_EQ(d.SentMessages<Nack>(), 0u);
}

// ---- suspicion ----------------------------------------------------------------------------------

// Five members: 4 s to 24 s with K = 3. Each accuser counts once, the first never, and what comes
// too late fires nothing twice.
TEST(Lifeguard, IndependentAccusersShortenTheSuspicion) {  // [31], [32]
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e", "f"});
  d.Answer({"b", "c", "d", "e", "f"});
  const Instant start = d.now;
  const auto left = [&] { return *d.core.Find("a")->dies_at - start; };
  d.Accuse("b", "a", Inc(1));
  EXPECT_EQ(left(), Duration::Seconds(24));
  d.Accuse("b", "a", Inc(1));
  EXPECT_EQ(left(), Duration::Seconds(24));
  d.Accuse("c", "a", Inc(1));
  EXPECT_EQ(left(), Duration::Seconds(14));
  d.Accuse("d", "a", Inc(1));
  EXPECT_NEAR(static_cast<double>(left().millis()), 8'150, 1);
  d.Accuse("e", "a", Inc(1));
  EXPECT_EQ(left(), Duration::Seconds(4));
  d.RunUntil(start + Duration::Seconds(4));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  d.Accuse("f", "a", Inc(1));
  d.RunFor(Duration::Seconds(30));
  EXPECT_EQ(d.Count(EventKind::kDied), 1u);
}

TEST(Lifeguard, AConfirmationAfterTheNewDeadlineFiresAtOnce) {  // [33]
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  d.Answer({"b", "c", "d", "e"});
  const Instant start = d.now;
  d.Accuse("b", "a", Inc(1));
  d.Accuse("c", "a", Inc(1));
  d.RunUntil(start + Duration::Seconds(6));
  ASSERT_EQ(d.StateOf("a"), MemberState::kSuspect);
  d.Accuse("d", "a", Inc(1));
  d.Accuse("e", "a", Inc(1));
  d.RunFor(Duration());
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
}

TEST(Lifeguard, WithoutDynamicSuspicionItLastsTheMinimum) {  // [33]: K = 0
  CoreDriver d(With({.dynamic_suspicion = false}));
  d.Meet({"a", "b", "c", "d", "e", "f"});
  d.Answer({"b", "c", "d", "e", "f"});
  const Instant start = d.now;
  d.Accuse("b", "a", Inc(1));
  d.RunUntil(start + Duration::Seconds(4) - kNanosecond);
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  d.RunUntil(start + Duration::Seconds(4));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
}

// The first K independent suspicions are gossiped on; later ones are not.
TEST(Lifeguard, OnlyTheFirstAccusersAreGossipedOn) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e", "f", "g"});
  d.Answer({"b", "c", "d", "e", "f", "g"});
  d.Forget();
  for (const char* by : {"b", "c", "d", "e", "f"}) d.Accuse(by, "a", Inc(1));
  d.RunFor(Duration::Seconds(2));
  std::set<std::string> told;
  for (const auto& packet : d.sent) {
    for (const StatementRef& s : packet.packet.statements) {
      if (packet.to != "a" && s->kind == StatementKind::kSuspect) told.insert(s->signer);
    }
  }
  EXPECT_EQ(told, (std::set<std::string>{"b", "c", "d", "e"}));
}

// ---- buddy --------------------------------------------------------------------------------------

TEST(Lifeguard, WithoutBuddyASuspectHearsOfItByGossipAlone) {  // [34]
  for (const bool buddy : {true, false}) {
    CoreDriver d(With({.buddy = buddy}));
    d.Meet({"a", "b", "c", "d", "e"});
    d.Answer({"b", "c", "d", "e"});
    d.Accuse("b", "a", Inc(1));
    d.RunFor(Duration::Seconds(3));  // gossip is over
    d.Forget();
    RunToPing(d, "a");
    EXPECT_EQ(d.SentStatements(StatementKind::kSuspect, "a", "a").size(), buddy ? 1u : 0u);
    d.Forget();
    d.Receive("a", {{Ping{7}}, {}});
    EXPECT_EQ(d.SentStatements(StatementKind::kSuspect, "a", "a").empty(), !buddy);
  }
}

// ---- acks ---------------------------------------------------------------------------------------

TEST(Lifeguard, ANackDoesNotEndAProbeAndALateAckProvesNothing) {  // [35]
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer("b");
  uint64_t nonce = RunToPing(d, "a");
  d.RunFor(d.options.probe_timeout);
  d.Receive("b", {{Nack{nonce}}, {}});
  d.Receive("a", {{Ack{nonce, 0}}, {}});
  d.RunFor(d.options.probe_interval);
  ASSERT_EQ(d.StateOf("a"), MemberState::kAlive);
  nonce = RunToPing(d, "a");
  d.RunFor(d.options.probe_interval);
  ASSERT_EQ(d.StateOf("a"), MemberState::kSuspect);
  d.Receive("a", {{Ack{nonce, 0}}, {}});
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);  // only a higher incarnation clears it
}

// ---- sends that this machine refuses ([37]; memberlist#242, serf#627) ---------------------------

TEST(RefusedSends, AccuseNobodyAndAreSaid) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  d.Answer({"a", "b", "c", "d"});
  d.RunFor(Duration::Seconds(5));
  d.Forget();
  d.refusing = {"a", "b", "c", "d"};
  const Instant start = d.now;
  // The others are still heard, for they do not know yet.
  const auto hear_for = [&d](Duration span) {
    const Instant end = d.now + span;
    while (d.now < end) {
      d.Receive("a", {{Ping{1}}, {}});
      d.RunFor(Duration::Millis(500));
    }
  };
  hear_for(Duration::Minutes(1));
  EXPECT_EQ(d.Count(EventKind::kSuspected), 0u);
  EXPECT_TRUE(d.signed_statements.empty());
  EXPECT_GE(d.core.counters().probes_voided, 5u);
  EXPECT_EQ(d.core.standing().health_score, 8);
  EXPECT_EQ(d.core.standing().sends_refused, 4u);
  ASSERT_EQ(d.Count(EventKind::kSendsRefused), 1u);
  EXPECT_LE(d.EventsOf(EventKind::kSendsRefused)[0].at - start, d.options.probe_interval);
  // Over: each answer shows that one of them gets ours again.
  d.refusing.clear();
  hear_for(Duration::Minutes(2));
  EXPECT_EQ(d.core.standing().sends_refused, 0u);
  EXPECT_EQ(d.core.standing().health_score, 0);
  // Nobody has answered it, by stream neither, and but one of four was heard.
  EXPECT_EQ(d.Count(EventKind::kIsolated), 1u);
  EXPECT_FALSE(d.core.standing().isolated);
  EXPECT_FALSE(d.core.standing().minority);
  EXPECT_EQ(d.Count(EventKind::kReconnected), 2u + d.Count(EventKind::kMinority));
}

// Heard from nobody as well, the node is isolated, and still blames itself: all that it sends is
// refused, so nobody could be heard. After ten minutes it ends with the silent conclusion of the
// isolated: the dead are not believed alive for ever.
TEST(RefusedSends, WithNobodyHeardBuryNobodyForTenMinutes) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  d.Answer({"a", "b", "c", "d"});
  d.RunFor(Duration::Seconds(5));
  d.Forget();
  d.refusing = {"a", "b", "c", "d"};
  const Instant start = d.now;
  d.RunUntil(start + Duration::Minutes(10));
  EXPECT_EQ(d.Count(EventKind::kIsolated), 1u);
  EXPECT_EQ(d.Count(EventKind::kSendsRefused), 1u);
  EXPECT_EQ(d.Count(EventKind::kSuspected), 0u);
  EXPECT_GE(d.core.counters().probes_voided, 50u);
  d.RunUntil(start + Duration::Minutes(12));
  EXPECT_EQ(d.Count(EventKind::kDied), 4u);
  EXPECT_TRUE(d.signed_statements.empty());
}

// The survivor of two, whose line is dead for good, has no relay to ask.
TEST(RefusedSends, WithOneOtherComeToTheSameEnd) {
  CoreDriver d;
  d.Meet("a");
  d.Answer("a");
  d.RunFor(Duration::Seconds(5));
  d.refusing = {"a"};
  const Instant start = d.now;
  d.RunUntil(start + Duration::Minutes(10));
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
  d.RunUntil(start + Duration::Minutes(11));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  EXPECT_EQ(d.Signed(StatementKind::kDead, "a"), 0u);
}

// One that ran already is held as long, and when datagrams leave again the suspect has the shortest
// time to be asked and heard.
TEST(RefusedSends, HoldTheSuspicionsThatRun) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  d.Answer({"b", "c", "d", "e"});
  for (const char* by : {"b", "c", "d", "e"}) d.Accuse(by, "a", Inc(1));
  const Instant end = *d.core.Find("a")->dies_at;
  d.RunUntil(end - Duration::Seconds(2));
  d.refusing = {"a", "b", "c", "d", "e"};
  while (d.now < end + Duration::Minutes(5)) {
    d.Receive("b", {{Ping{1}}, {}});  // the others are heard all the while
    d.RunFor(Duration::Millis(500));
  }
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  EXPECT_GT(*d.core.Find("a")->dies_at, d.now);
  EXPECT_EQ(d.Count(EventKind::kDied), 0u);
  d.refusing.clear();
  const Instant mended = d.now;
  while (d.core.standing().sends_refused > 4) d.RunFor(Duration::Millis(100));
  EXPECT_LE(d.now - mended, Duration::Seconds(20));
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  EXPECT_GE(*d.core.Find("a")->dies_at, d.now + Duration::Seconds(3));
  d.RunFor(Duration::Seconds(10));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
}

// An answer by stream shows that not everything is refused: what others say is believed as ever.
TEST(RefusedSends, OfDatagramsAloneHoldNoSuspicion) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  d.refusing = {"a", "b", "c", "d", "e"};
  for (const char* by : {"b", "c", "d", "e"}) d.Accuse(by, "a", Inc(1));
  size_t answered = 0;
  for (int i = 0; i < 60; ++i) {
    d.RunFor(Duration::Millis(500));
    d.Receive("b", {{Ping{1}}, {}});
    for (; answered < d.stream_pings.size(); ++answered) {
      const SendStreamPing& ping = d.stream_pings[answered];
      if (ping.to->subject == "a") continue;
      d.core.HandleStreamAck(d.now, ping.nonce);
      d.Settle();
    }
  }
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  EXPECT_EQ(d.Count(EventKind::kDied), 1u);
}

// A stream that this machine does not let out is its fault, and no evidence; the verdict stays with
// the ping and the relays, or a node without file descriptors would believe the dead alive.
TEST(RefusedSends, OfAStreamAreNoEvidence) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer("b");
  const uint64_t nonce = RunToPing(d, "a");
  d.RunFor(d.options.probe_timeout);
  ASSERT_EQ(d.stream_pings.size(), 1u);
  const int before = d.core.standing().health_score;
  d.core.HandleStreamUnsent(d.now, nonce);
  d.core.HandleStreamUnsent(d.now, nonce + 1);  // of no probe
  d.Settle();
  EXPECT_EQ(d.core.standing().health_score, before + 1);
  d.RunFor(d.options.probe_interval);
  ASSERT_EQ(d.Signed(StatementKind::kSuspect, "a"), 1u);
  const std::optional<Evidence>& evidence = d.signed_statements.back()->evidence;
  ASSERT_TRUE(evidence.has_value());
  EXPECT_TRUE(evidence->direct_failed);
  EXPECT_EQ(evidence->stream, Evidence::Stream::kNotTried);
}

// To one member only: the others are asked at once, and what they say decides.
TEST(RefusedSends, ToOneMemberLeaveTheVerdictToThoseWhoCanAsk) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  d.Answer({"a", "b", "c", "d"});
  d.RunFor(Duration::Seconds(5));
  d.refusing = {"a"};
  d.Forget();
  d.RunFor(Duration::Minutes(1));
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);  // b, c and d hear it
  EXPECT_EQ(d.Count(EventKind::kSuspected), 0u);
  EXPECT_EQ(d.core.standing().sends_refused, 1u);
  EXPECT_GT(d.SentMessages<IndirectPing>(), 0u);

  // All three say that they hear nothing either: a true death is found.
  d.Answer("a", false);
  d.RunFor(Duration::Minutes(1));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  EXPECT_EQ(d.core.standing().sends_refused, 0u);
}

TEST(RefusedSends, OneSilentRelayIsEnoughToVoidTheRound) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  d.Answer({"b", "c"});
  d.refusing = {"a"};
  for (int i = 0; i < 40; ++i) {
    d.Tell("d", d.AliveOf("d", Inc(1, static_cast<uint32_t>(i + 1))));  // heard, not answering
    d.Tell("b", d.AliveOf("d", Inc(1, static_cast<uint32_t>(i + 1))));
    d.RunFor(Duration::Millis(500));
  }
  EXPECT_EQ(d.Signed(StatementKind::kSuspect, "a"), 0u);
  EXPECT_EQ(d.Count(EventKind::kSuspected, "a"), 0u);
}

// ---- a late event loop --------------------------------------------------------------------------

TEST(LoopLag, TellsOnTheScoreAtMostOnceAnInterval) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer({"a", "b"});
  const Duration allowed = d.options.probe_timeout / 2;
  d.core.HandleLoopLag(d.now, allowed);
  EXPECT_EQ(d.core.standing().health_score, 0);
  d.core.HandleLoopLag(d.now, allowed + kNanosecond);
  d.core.HandleLoopLag(d.now, Duration::Seconds(5));
  EXPECT_EQ(d.core.standing().health_score, 1);
  EXPECT_EQ(d.core.counters().loop_lags, 2u);
  // Late without end, it saturates although all probes succeed.
  for (int i = 0; i < 600; ++i) {
    d.RunFor(Duration::Millis(100));
    d.core.HandleLoopLag(d.now, allowed * 2);
  }
  EXPECT_GE(d.core.standing().health_score, 7);
  d.RunFor(Duration::Minutes(1));
  EXPECT_EQ(d.core.standing().health_score, 0);
}

}  // namespace
}  // namespace sotto
