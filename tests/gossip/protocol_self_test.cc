// What a node says of itself: start, boot numbers, twins, refutation, leave (design M2, M9).
#include <string>

#include "gtest/gtest.h"
#include "tests/gossip/core_driver.h"

namespace sotto {
namespace {

using namespace testing;  // NOLINT

// The same name at other addresses: another process, perhaps on another host.
FakeProcess TwinOf(const CoreDriver& d) {
  FakeProcess twin = MakeFakeProcess("me", 77);
  twin.addresses = {FakeEndpoint(0xabcdef)};
  EXPECT_NE(twin.addresses, d.self.addresses);
  return twin;
}

Source SourceOf(const FakeProcess& process) { return {process.name, process.boot_id}; }

TEST(Start, WithoutContactsItAnnouncesAtOnce) {
  CoreDriver d;
  EXPECT_TRUE(d.core.standing().announced);
  ASSERT_EQ(d.Count(EventKind::kAnnounced, "me"), 1u);
  EXPECT_EQ(d.EventsOf(EventKind::kAnnounced)[0].incarnation, Inc(5));
  EXPECT_EQ(d.core.own_alive()->incarnation, Inc(5));
  EXPECT_TRUE(d.persisted.empty());  // the driver did that before
}

TEST(Start, WithContactsItListensFirst) {
  CoreDriver d({.contacts = 2});
  EXPECT_EQ(d.Syncs(SyncReason::kJoin).size(), 2u);
  EXPECT_FALSE(d.core.standing().announced);
  EXPECT_TRUE(d.core.MakeSyncTable().statements.empty());
  EXPECT_EQ(d.core.set_hash(), SetHash());
  const Source peer = SourceOf(d.Peer("a"));
  d.core.HandleSyncTable(d.now, peer, {{d.AliveOf("a", Inc(1)), d.AliveOf("b", Inc(1))}, {}});
  d.Settle();
  EXPECT_TRUE(d.signed_statements.empty());
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kMerged, &peer);
  EXPECT_TRUE(d.core.standing().announced);
  EXPECT_EQ(d.core.MakeSyncTable().statements.size(), 3u);
  // What it learned in joining is no news to the cluster; its own Alive is.
  d.RunFor(Duration::Millis(300));
  EXPECT_TRUE(d.SentStatements(StatementKind::kAlive, "b").empty());
  EXPECT_FALSE(d.SentStatements(StatementKind::kAlive, "me").empty());
}

TEST(Start, ComesUpAloneOnceEveryContactHasFailed) {
  CoreDriver d({.contacts = 2});
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kUnreachable);
  EXPECT_FALSE(d.core.standing().announced);
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kSelf);
  EXPECT_TRUE(d.core.standing().announced);
}

TEST(BootNumber, AFormerLifeIsOutrankedAndTheNumberPersistedFirst) {
  CoreDriver d({.contacts = 1});
  // Its file was rolled back: the cluster holds boot number 9 of it, at the same address.
  const StatementRef ghost = FakeAlive(MakeFakeProcess("me", 9), Inc(9, 3));
  const Source peer = SourceOf(d.Peer("a"));
  d.core.HandleSyncTable(d.now, peer, {{d.AliveOf("a", Inc(1)), ghost}, {}});
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kMerged, &peer);
  EXPECT_EQ(d.persisted, std::vector<uint32_t>{10});
  EXPECT_EQ(d.core.incarnation(), Inc(10));
  EXPECT_TRUE(d.Syncs(SyncReason::kTwin).empty());
  EXPECT_EQ(d.Signed(StatementKind::kAlive, "me"), 1u);  // nothing under the lower number
}

TEST(BootNumber, IsRaisedOverAnOldStatementSeenWhileRunning) {
  for (const bool leave : {false, true}) {
    CoreDriver d;
    d.Meet("a");
    const FakeProcess former = MakeFakeProcess("me", 9);
    d.Tell("a", leave ? FakeLeave(former, Inc(5)) : FakeAlive(former, Inc(5)));
    EXPECT_EQ(d.persisted, std::vector<uint32_t>{6}) << leave;
    EXPECT_EQ(d.core.incarnation(), Inc(6));
    EXPECT_EQ(d.Count(EventKind::kAnnounced), 2u);
    EXPECT_FALSE(d.core.standing().name_conflict);
    // Below it: no effect.
    d.Tell("a", FakeAlive(former, Inc(4)));
    EXPECT_EQ(d.persisted.size(), 1u);
  }
}

TEST(BootNumber, NothingIsAnnouncedUnderANumberThatWasNotWritten) {
  CoreDriver d;
  d.Meet("a");
  d.persist_fails = true;
  d.Tell("a", FakeAlive(MakeFakeProcess("me", 9), Inc(8)));
  d.RunFor(Duration::Seconds(10));
  EXPECT_EQ(d.core.incarnation().boot_number(), 5u);
  EXPECT_EQ(d.Count(EventKind::kAnnounced), 1u);
  d.persist_fails = false;
  d.RunFor(Duration::Seconds(31));  // tried again for ever
  EXPECT_EQ(d.persisted, std::vector<uint32_t>{9});
  EXPECT_EQ(d.core.incarnation().boot_number(), 9u);
}

TEST(BootNumber, TheLastNumberIsAConflictAndNoOverflow) {
  CoreDriver d;
  d.Meet("a");
  d.Tell("a", FakeAlive(MakeFakeProcess("me", 9), Inc(UINT32_MAX, 7)));
  EXPECT_TRUE(d.core.standing().name_conflict);
  EXPECT_EQ(d.Count(EventKind::kNameConflict), 1u);
  EXPECT_TRUE(d.persisted.empty());
  EXPECT_EQ(d.core.incarnation(), Inc(5));
}

TEST(Twin, TheStarterThatFindsItsNameAliveElsewhereStaysSilent) {
  CoreDriver d({.contacts = 1});
  const FakeProcess twin = TwinOf(d);
  const Source peer = SourceOf(d.Peer("a"));
  d.core.HandleSyncTable(d.now, peer, {{d.AliveOf("a", Inc(1)), FakeAlive(twin, Inc(2))}, {}});
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kMerged, &peer);
  ASSERT_EQ(d.Syncs(SyncReason::kTwin).size(), 1u);
  EXPECT_FALSE(d.core.standing().announced);
  const Source answer = SourceOf(twin);
  d.FinishSync(SyncReason::kTwin, SyncOutcome::kMerged, &answer);
  EXPECT_TRUE(d.core.standing().name_conflict);
  EXPECT_EQ(d.Count(EventKind::kNameConflict), 1u);
  d.sent.clear();
  d.RunFor(Duration::Minutes(5));
  EXPECT_TRUE(d.sent.empty());
  EXPECT_TRUE(d.signed_statements.empty());
  // It listens on: the table goes on with the world, and holds the other under this name.
  d.Tell("a", d.AliveOf("b", Inc(1)));
  EXPECT_EQ(d.StateOf("b"), MemberState::kAlive);
}

TEST(Twin, AStarterWhoseDoubleDoesNotAnswerGoesAboveIt) {
  CoreDriver d({.contacts = 1});
  const FakeProcess gone = TwinOf(d);
  const Source peer = SourceOf(d.Peer("a"));
  d.core.HandleSyncTable(d.now, peer, {{d.AliveOf("a", Inc(1)), FakeAlive(gone, Inc(8))}, {}});
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kMerged, &peer);
  d.FinishSync(SyncReason::kTwin, SyncOutcome::kUnreachable);
  EXPECT_EQ(d.persisted, std::vector<uint32_t>{9});
  EXPECT_TRUE(d.core.standing().announced);
  // It was alive after all, and rises above us: it was there first.
  d.core.HandleStatement(d.now, d.AliveOf("a", Inc(1)));
  d.core.HandleStatement(d.now, FakeAlive(gone, Inc(10)));
  d.Settle();
  EXPECT_TRUE(d.core.standing().name_conflict);
}

TEST(Twin, OfTwoRunningOnesExactlyOneFallsSilent) {
  // Neither could see the other at its start. Each hears every Alive of the other.
  CoreDriver one({.boot_number = 5}), two({.boot_number = 6, .seed = 2});
  two.self = TwinOf(one);
  two.core.HandleRebooted(two.now, two.self.boot_id);
  two.core.Reannounce(two.now, two.self.addresses);
  two.Settle();
  for (int i = 0; i < 10; ++i) {
    one.core.HandleStatement(one.now, two.core.own_alive());
    one.Settle();
    two.core.HandleStatement(two.now, one.core.own_alive());
    two.Settle();
  }
  EXPECT_NE(one.core.standing().name_conflict, two.core.standing().name_conflict);
  EXPECT_LE(one.persisted.size() + two.persisted.size(), 4u);
}

TEST(Refutation, RaisesTheCounterAndTellsTheAccuser) {  // [13], [17]
  CoreDriver d;
  d.Meet({"a", "b"});
  d.RunFor(Duration::Millis(10));
  d.Forget();
  d.Accuse("b", "me", Inc(5));
  EXPECT_EQ(d.core.incarnation(), Inc(5, 1));
  EXPECT_EQ(d.core.standing().health_score, 1);
  ASSERT_EQ(d.Count(EventKind::kAccused, "me"), 1u);
  EXPECT_EQ(d.events.back().by, std::vector<std::string>{"b"});
  EXPECT_EQ(d.events.back().incarnation, Inc(5, 1));
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "me", "b").size(), 1u);
  EXPECT_EQ(d.StateOf("me"), MemberState::kAlive);
  EXPECT_EQ(d.core.counters().refutations, 1u);
  // The old accusation again: answered already.
  d.Accuse("a", "me", Inc(5), StatementKind::kDead);
  EXPECT_EQ(d.core.incarnation(), Inc(5, 1));
}

TEST(Refutation, OnlyOurIncarnationIsAnswered) {  // peers' failure 3
  CoreDriver d;
  d.Meet({"a", "b"});
  for (const Incarnation other : {Inc(4), Inc(5, 1), Inc(6), Incarnation(UINT64_MAX)}) {
    d.Accuse("b", "me", other, StatementKind::kDead);
    EXPECT_EQ(d.core.incarnation(), Inc(5));
  }
  EXPECT_EQ(d.Count(EventKind::kAccused), 0u);
  // One made in advance has effect once we reach its incarnation, and is answered then.
  d.Accuse("b", "me", Inc(5, 1));
  d.Accuse("a", "me", Inc(5));
  d.RunFor(d.options.gossip_interval);
  EXPECT_GE(d.core.incarnation(), Inc(5, 1));
  EXPECT_EQ(d.StateOf("me"), MemberState::kAlive);
}

TEST(Refutation, AnswersAtMostOnceAGossipInterval) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Accuse("b", "me", Inc(5));
  d.Accuse("b", "me", Inc(5, 1));
  d.Accuse("a", "me", Inc(5, 1));
  EXPECT_EQ(d.core.incarnation(), Inc(5, 1));
  const Instant next = d.now + d.options.gossip_interval;
  d.RunUntil(next - kNanosecond);
  EXPECT_EQ(d.core.incarnation(), Inc(5, 1));
  d.RunUntil(next);
  EXPECT_EQ(d.core.incarnation(), Inc(5, 2));
  EXPECT_EQ(d.EventsOf(EventKind::kAccused).back().by, (std::vector<std::string>{"a", "b"}));
}

TEST(Tags, AreSignedAnewUnderAHigherCounter) {
  CoreDriver d;
  d.core.SetTags(d.now, {{"role", "db"}});
  d.Settle();
  EXPECT_EQ(d.core.incarnation(), Inc(5, 1));
  EXPECT_EQ(d.core.own_alive()->alive->tags, (std::vector<Tag>{{"role", "db"}}));
  d.core.SetTags(d.now, {{"role", "db"}});
  d.Settle();
  EXPECT_EQ(d.core.incarnation(), Inc(5, 1));
  d.core.Reannounce(d.now, d.self.addresses);
  d.Settle();
  EXPECT_EQ(d.core.incarnation(), Inc(5, 2));
}

TEST(Reboot, ANewBootIdIsAnnouncedByHello) {  // W7
  CoreDriver d;
  d.Meet("a");
  d.RunFor(Duration::Seconds(1));
  d.Forget();
  d.self.boot_id = FakeBootId("me", 2);
  d.core.HandleRebooted(d.now, d.self.boot_id);
  d.Settle();
  EXPECT_EQ(d.core.incarnation(), Inc(5, 1));
  EXPECT_EQ(d.core.own_alive()->alive->boot_id, d.self.boot_id);
  d.RunFor(d.options.gossip_interval);
  ASSERT_FALSE(d.sent.empty());
  EXPECT_TRUE(d.sent[0].hello);
}

TEST(Leave, IsSaidOftenEnoughAndEnds) {
  CoreDriver d;
  d.Meet({"a", "b", "c"});
  d.Answer({"a", "b", "c"});
  d.RunFor(Duration::Seconds(2));
  d.Forget();
  d.core.Leave(d.now);
  d.Settle();
  EXPECT_TRUE(d.core.standing().leaving);
  EXPECT_FALSE(d.left);
  // Accused while leaving: no answer.
  d.Accuse("a", "me", d.core.incarnation());
  EXPECT_EQ(d.Count(EventKind::kAccused), 0u);
  d.RunFor(Duration::Seconds(1));
  EXPECT_TRUE(d.left);
  EXPECT_TRUE(d.core.standing().left);
  EXPECT_EQ(d.StateOf("me"), MemberState::kLeft);
  EXPECT_EQ(d.SentStatements(StatementKind::kLeave, "me").size(), 4u);  // 4 × one digit
  for (const char* peer : {"a", "b", "c"}) {
    EXPECT_FALSE(d.SentStatements(StatementKind::kLeave, "me", peer).empty()) << peer;
  }
  d.sent.clear();
  d.RunFor(Duration::Minutes(20));
  EXPECT_TRUE(d.sent.empty());
  EXPECT_EQ(d.Count(EventKind::kDied), 0u);
  EXPECT_EQ(d.core.MakeSyncTable().statements.size(), 3u);
}

TEST(Leave, AloneOrUnannouncedItIsOverAtOnce) {
  CoreDriver alone;
  alone.core.Leave(alone.now);
  alone.Settle();
  EXPECT_TRUE(alone.left);
  CoreDriver joining({.contacts = 1});
  joining.core.Leave(joining.now);
  joining.Settle();
  EXPECT_TRUE(joining.left);
  EXPECT_TRUE(joining.signed_statements.empty());
  joining.FinishSync(SyncReason::kJoin, SyncOutcome::kUnreachable);
  EXPECT_FALSE(joining.core.standing().announced);
}

}  // namespace
}  // namespace sotto
