// The members table: the behaviours that memberlist's suite pins down for its state machine
// (numbers in brackets are those of its list), and where ours differs by design.
#include <string>

#include "gtest/gtest.h"
#include "tests/gossip/core_driver.h"

namespace sotto {
namespace {

using namespace testing;  // NOLINT: the tests' own words

TEST(Table, AFirstAliveJoinsAndIsTold) {  // [1]
  CoreDriver d;
  d.Meet("z");
  d.Forget();
  d.core.HandleStatement(d.now, d.AliveOf("a", Inc(1)));
  d.Settle();
  EXPECT_EQ(d.Count(EventKind::kJoined, "a"), 1u);
  EXPECT_EQ(d.events.size(), 1u);
  d.RunFor(Duration::Millis(200));
  EXPECT_FALSE(d.SentStatements(StatementKind::kAlive, "a", "z").empty());
  EXPECT_TRUE(d.SentStatements(StatementKind::kAlive, "a", "a").empty());
}

TEST(Table, ARepeatedAliveChangesNothing) {  // [2]
  CoreDriver d;
  d.Meet("a");
  const SetHash hash = d.core.set_hash();
  d.Forget();
  d.Tell("a", d.AliveOf("a", Inc(1)));
  EXPECT_TRUE(d.events.empty());
  EXPECT_EQ(d.core.set_hash(), hash);
}

TEST(Table, AHigherAliveOfALivingMemberMovesNoTime) {  // [3]
  CoreDriver d;
  d.Meet("a");
  const Instant since = d.core.Find("a")->since;
  d.Sleep(Duration::Millis(100));
  d.Tell("a", d.AliveOf("a", Inc(1, 1)));
  EXPECT_EQ(d.core.Find("a")->since, since);
  EXPECT_EQ(d.IncarnationOf("a"), Inc(1, 1));
  EXPECT_EQ(d.Count(EventKind::kJoined, "a"), 1u);
  EXPECT_EQ(d.Count(EventKind::kUpdated, "a"), 0u);
}

TEST(Table, OnlyAHigherAliveEndsASuspicion) {  // [4]
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Tell("a", d.AliveOf("a", Inc(1, 5)));
  d.Accuse("b", "a", Inc(1, 5));
  ASSERT_EQ(d.StateOf("a"), MemberState::kSuspect);
  for (const Incarnation stale : {Inc(1, 4), Inc(1, 5)}) {
    d.Tell("a", d.AliveOf("a", stale));
    EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  }
  d.Tell("a", d.AliveOf("a", Inc(1, 6)));
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
  EXPECT_EQ(d.Count(EventKind::kRefuted, "a"), 1u);
  EXPECT_EQ(d.Count(EventKind::kJoined, "a"), 1u);
}

TEST(Table, ChangedTagsUpdateOnce) {  // [5]
  CoreDriver d;
  d.Meet("a");
  const StatementRef tagged = d.AliveOf("a", Inc(1, 1), {{"role", "db"}});
  d.Tell("a", tagged);
  d.Tell("a", tagged);
  EXPECT_EQ(d.Count(EventKind::kUpdated, "a"), 1u);
  EXPECT_EQ(d.core.Find("a")->claims->tags, (std::vector<Tag>{{"role", "db"}}));
}

TEST(Table, ARestartUnderAHigherBootNumberIsTheSameMemberUpdated) {
  CoreDriver d;
  d.Meet("a");
  const FakeProcess second = MakeFakeProcess("a", 2);
  d.core.HandleStatement(d.now, FakeAlive(second, Inc(2)));
  d.Settle();
  EXPECT_EQ(d.Count(EventKind::kUpdated, "a"), 1u);
  EXPECT_EQ(d.core.FindBoot(FakeBootId("a", 1)), nullptr);
  ASSERT_NE(d.core.FindBoot(FakeBootId("a", 2)), nullptr);
  EXPECT_EQ(d.core.FindBoot(FakeBootId("a", 2))->incarnation, Inc(2));
}

// [10] and [14] differ: an accusation of an unknown name, or above what is known, waits and is
// answered by asking for the member's own word, so that order does not matter (design M3).
TEST(Table, AnAccusationAboveWhatIsKnownWaitsAndAsks) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Forget();
  d.Accuse("b", "a", Inc(1, 3));
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
  EXPECT_EQ(d.SentMessages<WantOwner>("b"), 1u);
  d.Accuse("b", "stranger", Inc(1));
  EXPECT_EQ(d.core.Find("stranger"), std::nullopt);
  EXPECT_TRUE(d.events.empty());
  d.Tell("b", d.AliveOf("a", Inc(1, 3)));
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  d.Tell("b", d.AliveOf("stranger", Inc(1)));
  EXPECT_EQ(d.StateOf("stranger"), MemberState::kSuspect);
  // A name that is only accused, and says nothing for a minute, is dropped again.
  d.Accuse("b", "nobody", Inc(1));
  d.Answer({"a", "b", "stranger"});
  d.RunFor(Duration::Seconds(61));
  d.Tell("b", d.AliveOf("nobody", Inc(1)));
  EXPECT_EQ(d.StateOf("nobody"), MemberState::kAlive);
}

TEST(Table, WantOwnerIsAnsweredWithTheOwnersWord) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Forget();
  d.Receive("b", {{WantOwner{"a"}, WantOwner{"me"}, WantOwner{"nobody"}}, {}});
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "a", "b").size(), 1u);
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "me", "b").size(), 1u);
}

TEST(Table, AnAccusationBelowIsIgnored) {  // [10], [14]
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Tell("a", d.AliveOf("a", Inc(1, 2)));
  d.Accuse("b", "a", Inc(1, 1));
  d.Accuse("b", "a", Inc(1, 1), StatementKind::kDead);
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
}

// [11], but the death is this node's own conclusion and it signs nothing about it: it has not
// probed.
TEST(Table, ASuspicionEndsInDeathAtItsDeadlineAndNotBefore) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer({"a", "b"});
  d.Forget();
  const Instant start = d.now;
  d.Accuse("b", "a", Inc(1));
  ASSERT_EQ(d.StateOf("a"), MemberState::kSuspect);
  ASSERT_EQ(d.core.Find("a")->dies_at, start + Duration::Seconds(4));  // n = 3: K = 0, the minimum
  d.RunUntil(start + Duration::Seconds(4) - kNanosecond);
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  EXPECT_EQ(d.Count(EventKind::kDied), 0u);
  d.RunUntil(start + Duration::Seconds(4));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  ASSERT_EQ(d.Count(EventKind::kDied, "a"), 1u);
  EXPECT_EQ(d.EventsOf(EventKind::kDied)[0].by, std::vector<std::string>{"b"});
  EXPECT_EQ(d.Signed(StatementKind::kDead, "a"), 0u);
  EXPECT_EQ(d.Signed(StatementKind::kSuspect, "a"), 0u);
}

TEST(Table, AReceivedDeadStartsASuspicionAndBuriesNobody) {  // M4
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  d.Answer({"a", "b", "c", "d", "e"});
  const Instant start = d.now;
  d.Accuse("b", "a", Inc(1), StatementKind::kDead);
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  EXPECT_EQ(d.core.Find("a")->dies_at, start + Duration::Seconds(24));
  // Others confirm: Lifeguard's minimum from the local start, never less.
  d.Accuse("c", "a", Inc(1), StatementKind::kDead);
  EXPECT_EQ(d.core.Find("a")->dies_at, start + Duration::Seconds(14));
  d.Accuse("d", "a", Inc(1), StatementKind::kDead);
  d.Accuse("e", "a", Inc(1), StatementKind::kDead);
  EXPECT_EQ(d.core.Find("a")->dies_at, start + Duration::Seconds(4));
  d.RunUntil(start + Duration::Seconds(4) - kNanosecond);
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  d.RunUntil(start + Duration::Seconds(4));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  EXPECT_EQ(d.EventsOf(EventKind::kDied)[0].by, (std::vector<std::string>{"b", "c", "d", "e"}));
}

TEST(Table, ALateConfirmationEndsAnOverdueSuspicionOnce) {  // [32], [33]
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  d.Answer({"a", "b", "c", "d", "e"});
  d.Accuse("b", "a", Inc(1));
  d.RunFor(Duration::Seconds(6));
  d.Accuse("c", "a", Inc(1));
  d.Accuse("d", "a", Inc(1));
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  d.Accuse("e", "a", Inc(1));
  EXPECT_EQ(d.core.NextDeadline(), d.now);
  d.RunFor(Duration());
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  d.RunFor(Duration::Seconds(40));
  EXPECT_EQ(d.Count(EventKind::kDied, "a"), 1u);
  EXPECT_EQ(d.Count(EventKind::kPaused), 0u);  // an early end is not taken for a pause
}

TEST(Table, TheSameSuspicionAgainMovesNothing) {  // [12]
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  d.Accuse("b", "a", Inc(1));
  const MemberInfo before = *d.core.Find("a");
  d.Sleep(Duration::Millis(50));
  d.Forget();
  d.Accuse("b", "a", Inc(1));
  const MemberInfo after = *d.core.Find("a");
  EXPECT_EQ(after.since, before.since);
  EXPECT_EQ(after.dies_at, before.dies_at);
  EXPECT_TRUE(d.events.empty());
}

TEST(Table, ALeaveIsALeaveOnceAndNoFailure) {  // [15], serf's two leaves
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Tell("b", FakeLeave(d.Peer("a"), Inc(1)));
  EXPECT_EQ(d.StateOf("a"), MemberState::kLeft);
  d.Tell("b", FakeLeave(d.Peer("a"), Inc(1)));
  d.Tell("b", FakeLeave(d.Peer("a"), Inc(1, 1)));
  EXPECT_EQ(d.Count(EventKind::kLeft, "a"), 1u);
  d.Accuse("b", "a", Inc(1, 1));
  EXPECT_EQ(d.StateOf("a"), MemberState::kLeft);
  d.Tell("b", d.AliveOf("a", Inc(1, 1)));
  EXPECT_EQ(d.StateOf("a"), MemberState::kLeft);
  EXPECT_EQ(d.Count(EventKind::kDied), 0u);
  // It joins again; its old leave, replayed, does nothing.
  d.Tell("b", FakeAlive(d.Peer("a", 2), Inc(2)));
  EXPECT_EQ(d.Count(EventKind::kReturned, "a"), 1u);
  d.Tell("b", FakeLeave(d.Peer("a"), Inc(1, 1)));
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
}

TEST(Table, AStaleAliveDoesNotRaiseTheDead) {  // [16], peers' failure 2
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer("b");
  d.Tell("a", d.AliveOf("a", Inc(1, 1)));
  d.Accuse("b", "a", Inc(1, 1));
  d.RunFor(Duration::Seconds(5));
  ASSERT_EQ(d.StateOf("a"), MemberState::kDead);
  for (const Incarnation stale : {Inc(1), Inc(1, 1)}) {
    d.Tell("b", d.AliveOf("a", stale));
    EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  }
  // A Dead above what is known is kept too: the Alive it speaks of begins as a suspect.
  d.Accuse("b", "a", Inc(1, 3), StatementKind::kDead);
  d.Tell("b", d.AliveOf("a", Inc(1, 3)));
  EXPECT_EQ(d.Count(EventKind::kReturned, "a"), 1u);
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
}

TEST(Table, ForgettingHidesAtOnceAndOnlyTheMemberReturns) {  // M10
  CoreDriver d;
  d.Meet({"a", "b"});
  EXPECT_FALSE(d.core.Forget(d.now, "nobody"));
  EXPECT_FALSE(d.core.Forget(d.now, "me"));
  EXPECT_TRUE(d.core.Forget(d.now, "a"));
  d.Settle();
  EXPECT_EQ(d.StateOf("a"), MemberState::kForgotten);
  EXPECT_EQ(d.Signed(StatementKind::kForget, "a"), 1u);
  EXPECT_EQ(d.Count(EventKind::kForgotten, "a"), 1u);
  EXPECT_EQ(d.core.Members().size(), 2u);
  EXPECT_EQ(d.core.Members(true).size(), 3u);
  d.Tell("b", d.AliveOf("a", Inc(1)));
  EXPECT_EQ(d.StateOf("a"), MemberState::kForgotten);
  d.Tell("b", d.AliveOf("a", Inc(1, 1)));
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
}

TEST(Table, AForeignForgetHidesTheDeadAndSuspectsTheLiving) {  // M10
  CoreDriver d;
  d.Meet({"a", "b", "c"});
  d.Answer({"b", "c"});
  d.Accuse("b", "a", Inc(1), StatementKind::kForget);
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  d.RunFor(Duration::Seconds(5));
  EXPECT_EQ(d.StateOf("a"), MemberState::kForgotten);
  EXPECT_EQ(d.Count(EventKind::kDied), 0u);

  d.Answer("b", false);
  d.Accuse("c", "b", Inc(1));
  d.RunFor(Duration::Seconds(5));
  ASSERT_EQ(d.StateOf("b"), MemberState::kDead);
  d.Accuse("c", "b", Inc(1), StatementKind::kForget);
  EXPECT_EQ(d.StateOf("b"), MemberState::kForgotten);
  EXPECT_EQ(d.Count(EventKind::kForgotten), 2u);
}

TEST(Table, TheDeadAreShownThenKeptThenDropped) {  // [19], M5, peers' failures 5 and 12
  DriverSetup setup;                               // minutes for days
  setup.options.show_left = Duration::Minutes(2);
  setup.options.keep_left = Duration::Minutes(4);
  setup.options.show_dead = Duration::Minutes(6);
  setup.options.keep_dead = Duration::Minutes(14);
  CoreDriver d(setup);
  d.Meet({"a", "b", "c"});
  d.Answer("b");
  d.Tell("b", FakeLeave(d.Peer("c"), Inc(1)));
  d.Accuse("b", "a", Inc(1));
  const Instant left = d.now;
  d.RunFor(Duration::Seconds(4));
  ASSERT_EQ(d.StateOf("a"), MemberState::kDead);
  const Instant died = d.core.Find("a")->since;
  d.RunUntil(left + d.options.show_left);
  EXPECT_EQ(d.Count(EventKind::kReaped, "c"), 1u);
  d.RunUntil(left + d.options.keep_left);
  EXPECT_EQ(d.core.Find("c"), std::nullopt);
  d.RunUntil(died + d.options.show_dead - kNanosecond);
  EXPECT_EQ(d.core.Members().size(), 3u);
  d.RunUntil(died + d.options.show_dead);
  EXPECT_EQ(d.core.Members().size(), 2u);
  EXPECT_EQ(d.Count(EventKind::kReaped, "a"), 1u);
  EXPECT_NE(d.core.Find("a"), std::nullopt);
  d.RunUntil(died + d.options.keep_dead);
  EXPECT_EQ(d.core.Find("a"), std::nullopt);
  // Its address is tried on for ever, and it comes back as one that returns.
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(d.syncs.back().open);
    d.FinishSync(SyncReason::kRetry, SyncOutcome::kUnreachable);
    const size_t before = d.Syncs(SyncReason::kRetry).size();
    d.RunFor(d.options.retry_max);
    ASSERT_EQ(d.Syncs(SyncReason::kRetry).size(), before + 1);
  }
  d.Tell("b", d.AliveOf("a", Inc(1, 1)));
  EXPECT_EQ(d.Count(EventKind::kReturned, "a"), 1u);
}

TEST(Table, RowsAreBounded) {  // S8
  DriverSetup setup;
  setup.options.members_max = 10;
  CoreDriver d(setup);
  for (int i = 0; i < 30; ++i) {
    d.core.HandleStatement(d.now, d.AliveOf("n" + std::to_string(i), Inc(1)));
  }
  d.Settle();
  EXPECT_EQ(d.core.Members(true).size(), 10u);
  EXPECT_EQ(d.core.counters().ignored, 21u);
}

TEST(Table, NonsenseIsCountedAndIgnored) {
  CoreDriver d;
  d.Meet({"a", "b"});
  const uint64_t before = d.core.counters().ignored;
  Statement by_another = *d.AliveOf("a", Inc(9));
  by_another.signer = "b";
  Statement of_itself = *FakeAccusation(StatementKind::kDead, "a", Inc(1), "a");
  Statement claimless = *d.AliveOf("a", Inc(9));
  claimless.alive.reset();
  Statement nameless = *d.AliveOf("a", Inc(9));
  nameless.subject.clear();
  for (const Statement& bad : {by_another, of_itself, claimless, nameless}) {
    d.Tell("b", std::make_shared<Statement>(bad));
  }
  d.Tell("b", nullptr);
  EXPECT_EQ(d.core.counters().ignored, before + 5);
  EXPECT_EQ(d.IncarnationOf("a"), Inc(1));
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
}

TEST(Table, TheSetHashIgnoresSuspicionAndForgetsTheDead) {  // M5
  CoreDriver one, other;
  one.Meet({"a", "b", "c"});
  other.Meet({"c", "b", "a"});
  EXPECT_EQ(one.core.set_hash(), other.core.set_hash());
  one.Accuse("b", "a", Inc(1));
  EXPECT_EQ(one.core.set_hash(), other.core.set_hash());
  one.Answer({"b", "c"});
  one.RunFor(Duration::Seconds(5));
  ASSERT_EQ(one.StateOf("a"), MemberState::kDead);
  EXPECT_NE(one.core.set_hash(), other.core.set_hash());
  other.Tell("b", FakeLeave(other.Peer("a"), Inc(1)));
  EXPECT_EQ(one.core.set_hash(), other.core.set_hash());
}

}  // namespace
}  // namespace sotto
