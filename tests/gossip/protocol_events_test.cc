// User events in the core: once each, by whatever path; rates; clocks; what a malicious member can
// do with them.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/gossip/core_driver.h"
#include "tests/support/fake_signer.h"

namespace sotto {
namespace {

using testing::CoreDriver;
using testing::DriverSetup;
using testing::Inc;

StatementRef EventOf(std::string_view by, uint64_t lamport, std::string name = "deploy",
                     Incarnation incarnation = Inc(1)) {
  return testing::FakeSaid(testing::MakeFakeProcess(by), SaidEvent{std::move(name), "v1", lamport},
                           incarnation);
}

size_t TimesSent(const CoreDriver& driver, const StatementRef& event) {
  size_t times = 0;
  for (const auto& packet : driver.sent) {
    times += static_cast<size_t>(
        std::count_if(packet.packet.statements.begin(), packet.packet.statements.end(),
                      [&](const StatementRef& sent) { return sent->hash == event->hash; }));
  }
  return times;
}

TEST(ProtocolEvents, OursIsToldHereAndSpread) {
  CoreDriver me;
  me.Meet({"a", "b", "c"});
  me.Answer({"a", "b", "c"});
  EXPECT_EQ(me.SayEvent("deploy:web", "v1.2"), SayVerdict::kOk);
  ASSERT_EQ(me.user_events.size(), 1u);
  EXPECT_EQ(me.user_events[0].from, "me");
  EXPECT_EQ(me.user_events[0].payload, "v1.2");
  EXPECT_FALSE(me.user_events[0].replayed);
  me.RunFor(Duration::Seconds(5));
  EXPECT_GE(TimesSent(me, me.signed_statements.back()), 3u);
}

TEST(ProtocolEvents, AnothersIsToldOnceAndPassedOn) {
  CoreDriver me;
  me.Meet({"a", "b", "c"});
  me.Answer({"a", "b", "c"});
  const StatementRef event = EventOf("a", 9);
  me.Tell("a", event);
  me.Tell("b", event);
  me.core.HandleStatement(me.now, event);
  me.Settle();
  ASSERT_EQ(me.user_events.size(), 1u);
  EXPECT_EQ(me.user_events[0].from, "a");
  EXPECT_EQ(me.core.event_clock(), 9u);
  EXPECT_EQ(me.core.counters().events_duplicate, 2u);
  me.RunFor(Duration::Seconds(5));
  EXPECT_GE(TimesSent(me, event), 1u);
  me.SayEvent("next");
  EXPECT_EQ(me.user_events.back().lamport, 10u) << "later than what was heard";
}

TEST(ProtocolEvents, NeverEnterTheTable) {
  CoreDriver me;
  me.Meet("a");
  const SetHash before = me.core.set_hash();
  const size_t rows = me.core.MakeSyncTable().statements.size();
  me.Tell("a", EventOf("a", 1));
  EXPECT_EQ(me.core.set_hash(), before);
  EXPECT_EQ(me.core.MakeSyncTable().statements.size(), rows);
  SyncTable table;
  table.statements = {EventOf("a", 2, "smuggled")};
  EXPECT_FALSE(me.core.HandleSyncTable(me.now, {"a", testing::FakeBootId("a")}, table));
  me.Settle();
  EXPECT_EQ(me.user_events.size(), 1u) << "tables carry membership only";
}

TEST(ProtocolEvents, NamesAndSizesAreJudgedAtTheSource) {
  CoreDriver me;
  me.Meet("a");
  EXPECT_EQ(me.SayEvent(""), SayVerdict::kInvalid);
  EXPECT_EQ(me.SayEvent("a b"), SayVerdict::kInvalid);
  EXPECT_EQ(me.SayEvent("-a"), SayVerdict::kInvalid);
  EXPECT_EQ(me.SayEvent(std::string(65, 'n')), SayVerdict::kInvalid);
  EXPECT_EQ(me.SayEvent("_sotto/ping"), SayVerdict::kReserved);
  const Say large = me.core.PrepareEvent(me.now, "deploy", std::string(1'100, 'x'), true);
  EXPECT_EQ(large.result.verdict, SayVerdict::kTooLarge);
  EXPECT_EQ(large.result.payload_max, kUserEventBytesMax - 6);
  EXPECT_EQ(me.SayEvent("deploy", std::string(large.result.payload_max + 1, 'x')),
            SayVerdict::kTooLarge);
  EXPECT_EQ(me.SayEvent("deploy", std::string(large.result.payload_max, 'x')), SayVerdict::kOk);
}

// The longest names leave less room, and what is promised fits.
TEST(ProtocolEvents, ALongNameLeavesLessRoom) {
  DriverSetup setup;
  setup.name = std::string(kMemberNameBytesMax, 'n');
  CoreDriver me(setup);
  me.Meet("a");
  const Say large = me.core.PrepareEvent(me.now, "deploy", std::string(1'018, 'x'), true);
  ASSERT_EQ(large.result.verdict, SayVerdict::kTooLarge);
  EXPECT_LT(large.result.payload_max, 1'018u);
  EXPECT_GT(large.result.payload_max, 800u);
  me.Forget();
  EXPECT_EQ(me.SayEvent("deploy", std::string(large.result.payload_max, 'x')), SayVerdict::kOk);
  me.RunFor(Duration::Seconds(2));
  EXPECT_GE(TimesSent(me, me.user_events.empty() ? nullptr : me.signed_statements.back()), 1u);
}

TEST(ProtocolEvents, TheSourceIsBounded) {
  CoreDriver me;
  me.Meet("a");
  for (int i = 0; i < 16; ++i) ASSERT_EQ(me.SayEvent("e" + std::to_string(i)), SayVerdict::kOk);
  const Say refused = me.core.PrepareEvent(me.now, "more", {}, true);
  EXPECT_EQ(refused.result.verdict, SayVerdict::kRateLimited);
  EXPECT_EQ(refused.result.wait, Duration::Millis(250));
  me.RunFor(Duration::Millis(249));
  EXPECT_EQ(me.SayEvent("more"), SayVerdict::kRateLimited);
  me.RunFor(Duration::Millis(1));
  EXPECT_EQ(me.SayEvent("more"), SayVerdict::kOk);
}

TEST(ProtocolEvents, NothingIsSaidBeforeWeAreAnnouncedOrAfterLeaving) {
  DriverSetup setup;
  setup.contacts = 1;
  CoreDriver me(setup);
  EXPECT_EQ(me.SayEvent("early"), SayVerdict::kNotReady);
  CoreDriver other;
  other.Meet("a");
  other.core.Leave(other.now);
  other.Settle();
  EXPECT_EQ(other.SayEvent("late"), SayVerdict::kNotReady);
}

// ---- what a member may do to others -------------------------------------------------------------

TEST(ProtocolEvents, AFloodIsNeitherToldNorPassedOnNorKept) {
  CoreDriver me;
  me.Meet({"a", "b"});
  std::vector<StatementRef> flood;
  for (uint64_t i = 1; i <= 500; ++i) flood.push_back(EventOf("a", i, "e" + std::to_string(i)));
  for (const StatementRef& event : flood) me.Tell("b", event);
  EXPECT_EQ(me.user_events.size(), 64u) << "four times the burst of a node";
  EXPECT_EQ(me.core.counters().events_rate_limited, 500u - 64u);
  EXPECT_EQ(TimesSent(me, flood.back()), 0u);
  EXPECT_LE(me.core.EventIds().size(), 64u);
  // Another member is heard all the same.
  me.Tell("b", EventOf("b", 1, "mine"));
  EXPECT_EQ(me.user_events.back().name, "mine");
}

TEST(ProtocolEvents, TimesFarAheadAreRefused) {
  CoreDriver me;
  me.Meet({"a", "b"});
  me.Tell("a", EventOf("a", kLamportEnd - 1));
  me.Tell("a", EventOf("a", uint64_t{1} << 40));
  EXPECT_TRUE(me.user_events.empty());
  EXPECT_EQ(me.core.counters().events_ahead, 2u);
  EXPECT_EQ(me.core.event_clock(), 0u);
  me.Tell("b", EventOf("b", 1));
  EXPECT_EQ(me.user_events.size(), 1u);
}

TEST(ProtocolEvents, WhatCannotBeIsIgnored) {
  CoreDriver me;
  me.Meet({"a", "b"});
  const uint64_t before = me.core.counters().ignored;
  me.Tell("a", EventOf("a", 0));
  me.Tell("a", EventOf("a", kLamportEnd));
  me.Tell("a", EventOf("a", 1, "_sotto/ping"));
  auto forged = std::make_shared<Statement>(*EventOf("a", 5));
  forged->subject = "b";  // said in another's name: the codec lets none through
  me.Tell("a", forged);
  auto empty = std::make_shared<Statement>(*EventOf("a", 6));
  empty->said = nullptr;
  me.Tell("a", empty);
  EXPECT_TRUE(me.user_events.empty());
  EXPECT_EQ(me.core.counters().ignored, before + 5);
}

// ---- starting, and those who were away ----------------------------------------------------------

class Joiner {
 public:
  Joiner() : me(Setup()) {}

  static DriverSetup Setup() {
    DriverSetup setup;
    setup.contacts = 1;
    return setup;
  }
  // The contact tells its table and these events.
  void Join(const std::vector<StatementRef>& events, uint64_t clock,
            const std::vector<std::string>& members = {"a"},
            SyncReason reason = SyncReason::kJoin) {
    const Source contact = SourceOf("a");
    SyncTable table;
    for (const std::string& name : members) table.statements.push_back(me.AliveOf(name, Inc(1)));
    me.core.HandleSyncTable(me.now, contact, table);
    me.core.HandleSyncEvents(me.now, contact, SyncSide::kClient, events, clock);
    me.Settle();
    me.FinishSync(reason, SyncOutcome::kMerged, &contact);
    me.Receive("a", {});
  }
  // A sync of events in which this end was `side`.
  void Hear(std::string_view peer, SyncSide side, const std::vector<StatementRef>& events,
            uint64_t clock) {
    me.core.HandleSyncEvents(me.now, SourceOf(peer), side, events, clock);
    me.Settle();
  }
  static Source SourceOf(std::string_view peer) {
    return {std::string(peer), testing::FakeBootId(peer)};
  }
  // Runs until the tables have been compared, all of them agreeing, or this has led to a sync.
  void RunToComparison(uint64_t their_hash) {
    const Instant latest = me.now + me.options.join_settle * 2;
    while (me.now < latest) {
      me.RunFor(Duration::Millis(10));
      for (const auto& packet : std::exchange(me.sent, {})) {
        for (const Message& message : packet.packet.messages) {
          const auto* ping = std::get_if<Ping>(&message);
          if (ping) me.Receive(packet.to, {{Ack{ping->nonce, their_hash, 0}}, {}});
        }
      }
    }
  }
  QueryKey Ask(uint64_t lamport) {
    SaidQuery query;
    query.name = "load";
    query.lamport = lamport;
    query.timeout_ms = 5'000;
    const auto said = testing::FakeSaid(testing::MakeFakeProcess("b"), query, Inc(1));
    me.Tell("a", said);
    return KeyOfQuery(said->hash);
  }

  CoreDriver me;
};

TEST(ProtocolEvents, AStarterIsToldHistoryAsHistory) {
  Joiner joiner;
  const StatementRef old = EventOf("b", 7);
  joiner.Join({old}, 9);
  ASSERT_EQ(joiner.me.user_events.size(), 1u);
  EXPECT_TRUE(joiner.me.user_events[0].replayed);
  EXPECT_EQ(joiner.me.core.event_clock(), 9u);
  // Replayed by somebody: known. One that the contact did not hold, of before: history as well.
  joiner.me.Tell("a", old);
  EXPECT_EQ(joiner.me.user_events.size(), 1u);
  joiner.me.Tell("a", EventOf("b", 8));
  ASSERT_EQ(joiner.me.user_events.size(), 2u);
  EXPECT_TRUE(joiner.me.user_events[1].replayed);
  joiner.me.Tell("a", EventOf("b", 10));
  ASSERT_EQ(joiner.me.user_events.size(), 3u);
  EXPECT_FALSE(joiner.me.user_events[2].replayed);
  EXPECT_EQ(TimesSent(joiner.me, old), 0u) << "the cluster knows it";
}

// Who dials a starter before its contact has answered is anybody. A clock of nothing would make old
// words news; one at its end would make this node deaf.
TEST(ProtocolEvents, WhoDialsAStarterSetsNoStart) {
  for (const uint64_t lie : {uint64_t{0}, kLamportEnd - 2}) {
    Joiner joiner;
    joiner.me.core.HandleStatement(joiner.me.now, joiner.me.AliveOf("liar", Inc(1)));
    joiner.Hear("liar", SyncSide::kServer, {EventOf("b", 3)}, lie);
    ASSERT_EQ(joiner.me.user_events.size(), 1u);
    EXPECT_TRUE(joiner.me.user_events[0].replayed) << "nothing is news before we have joined";
    joiner.Join({EventOf("b", 7)}, 9, {"a", "b"});
    EXPECT_EQ(joiner.me.core.event_clock(), 9u) << lie;
    joiner.Hear("liar", SyncSide::kServer, {}, lie);
    joiner.me.Tell("a", EventOf("b", 8));
    EXPECT_TRUE(joiner.me.user_events.back().replayed) << lie;
    joiner.Ask(9);
    EXPECT_TRUE(joiner.me.queries.empty()) << "an old one does not run again";
    joiner.Ask(10);
    EXPECT_EQ(joiner.me.queries.size(), 1u) << "this node is not deaf";
    joiner.me.Tell("a", EventOf("b", 11));
    ASSERT_EQ(joiner.me.user_events.size(), 4u);
    EXPECT_FALSE(joiner.me.user_events.back().replayed);
  }
}

// It began without contacts, and so knew of no start.
TEST(ProtocolEvents, OneThatJoinsLaterIsToldHistoryAsHistory) {
  CoreDriver me;
  me.core.AddContact(me.now, ContactId{0});
  me.Settle();
  const Source contact = Joiner::SourceOf("a");
  me.core.HandleSyncTable(me.now, contact, {{me.AliveOf("a", Inc(1))}, {}});
  const StatementRef events[] = {EventOf("b", 7)};
  me.core.HandleSyncEvents(me.now, contact, SyncSide::kClient, events, 9);
  me.Settle();
  me.FinishSync(SyncReason::kJoin, SyncOutcome::kMerged, &contact);
  ASSERT_EQ(me.user_events.size(), 1u);
  EXPECT_TRUE(me.user_events[0].replayed);
  me.Tell("a", EventOf("b", 10));
  EXPECT_FALSE(me.user_events[1].replayed);
  // Another contact, once it has joined: what that one tells is news.
  me.core.AddContact(me.now, ContactId{1});
  me.core.HandleSyncEvents(me.now, Joiner::SourceOf("c"), SyncSide::kServer, {}, 500);
  me.Settle();
  EXPECT_EQ(me.core.event_clock(), 10u);
}

// A hint that leads nowhere takes nothing from a node that is alone: what is said later is news.
TEST(ProtocolEvents, AFailedKnockLeavesTheStartBegun) {
  CoreDriver me;
  ASSERT_TRUE(me.core.Knock(me.now, ContactId{7}));
  me.Settle();
  me.FinishSync(SyncReason::kJoin, SyncOutcome::kUnreachable);
  me.Meet("a");
  const StatementRef events[] = {EventOf("b", 7)};
  me.core.HandleSyncEvents(me.now, Joiner::SourceOf("a"), SyncSide::kClient, events, 9);
  me.Settle();
  ASSERT_EQ(me.user_events.size(), 1u);
  EXPECT_FALSE(me.user_events[0].replayed);
}

// The first contact was starting too, and knew of nothing.
TEST(ProtocolEvents, AStarterDoesNotTakeItsStartFromAStarter) {
  Joiner joiner;
  joiner.Join({}, 0, {"a", "b"});
  joiner.RunToComparison(4711);
  ASSERT_EQ(joiner.me.Syncs(SyncReason::kJoinAgain).size(), 1u);
  const std::string peer =
      std::get<StatementRef>(joiner.me.Syncs(SyncReason::kJoinAgain)[0].call.target)->subject;
  joiner.Hear(peer, SyncSide::kClient, {EventOf("b", 7), EventOf("a", 5)}, kLamportEnd - 2);
  ASSERT_EQ(joiner.me.user_events.size(), 2u);
  for (const UserEvent& event : joiner.me.user_events) EXPECT_TRUE(event.replayed);
  EXPECT_EQ(joiner.me.core.event_clock(), 7u) << "a member's mere word moves nothing";
  const Source source = Joiner::SourceOf(peer);
  joiner.me.FinishSync(SyncReason::kJoinAgain, SyncOutcome::kMerged, &source);
  joiner.me.Tell("a", EventOf("b", 6));
  EXPECT_TRUE(joiner.me.user_events.back().replayed);
  joiner.me.Tell("a", EventOf("b", 8));
  EXPECT_FALSE(joiner.me.user_events.back().replayed);
}

// Nor a contact that has nobody to tell of, and is asked again once it has joined.
TEST(ProtocolEvents, AStarterAsksAContactThatWasStartingAgain) {
  Joiner joiner;
  joiner.Join({}, 0, {});
  joiner.RunToComparison(4711);
  joiner.me.RunFor(Duration::Seconds(30));
  joiner.Join({EventOf("b", 7)}, 9, {"a", "b"}, SyncReason::kRetry);
  ASSERT_EQ(joiner.me.user_events.size(), 1u);
  EXPECT_TRUE(joiner.me.user_events[0].replayed);
  EXPECT_EQ(joiner.me.core.event_clock(), 9u);
}

// After that the start stays as it is.
TEST(ProtocolEvents, WhatIsMissedOnceSettledIsNews) {
  Joiner joiner;
  joiner.Join({}, 0, {"a", "b"});
  joiner.RunToComparison(joiner.me.core.set_hash().low);
  EXPECT_TRUE(joiner.me.Syncs(SyncReason::kJoinAgain).empty());
  joiner.Hear("b", SyncSide::kClient, {EventOf("b", 7)}, 9);
  ASSERT_EQ(joiner.me.user_events.size(), 1u);
  EXPECT_FALSE(joiner.me.user_events[0].replayed);
}

// Everybody was restarted; somebody kept an event of before and sends it again.
TEST(ProtocolEvents, OfAFormerLifeOfItsSenderIsHistory) {
  CoreDriver me;
  me.Meet("b");
  me.core.HandleStatement(me.now, me.AliveOf("a", Inc(2)));
  me.Settle();
  me.Tell("b", EventOf("a", 3, "deploy", Inc(1)));
  ASSERT_EQ(me.user_events.size(), 1u);
  EXPECT_TRUE(me.user_events[0].replayed);
  me.Tell("b", EventOf("a", 4, "deploy", Inc(2)));
  EXPECT_FALSE(me.user_events[1].replayed);
}

TEST(ProtocolEvents, OneThatWasAwayIsToldNewsByASync) {
  CoreDriver me;
  me.Meet({"a", "b"});
  const StatementRef missed = EventOf("b", 4);
  const StatementRef events[] = {missed, EventOf("b", kLamportEnd - 5)};
  me.core.HandleSyncEvents(me.now, {"a", testing::FakeBootId("a")}, SyncSide::kServer, events,
                           kLamportEnd - 1);
  me.Settle();
  ASSERT_EQ(me.user_events.size(), 1u);
  EXPECT_FALSE(me.user_events[0].replayed);
  EXPECT_EQ(me.core.event_clock(), 4u) << "a clock that is merely claimed moves nothing";
  me.RunFor(Duration::Seconds(3));
  EXPECT_GE(TimesSent(me, missed), 1u) << "others may lack it too";
}

// The digest on an ack shows that something was missed; a cluster without events shows none.
TEST(ProtocolEvents, AcksTellWhoLacksSomething) {
  CoreDriver me;
  me.Meet({"a", "b", "c"});
  me.Receive("a", {{Ping{77}}, {}});
  const auto ack_of = [&](uint64_t nonce) {
    for (const auto& packet : me.sent) {
      for (const Message& message : packet.packet.messages) {
        const auto* ack = std::get_if<Ack>(&message);
        if (ack && ack->nonce == nonce) return *ack;
      }
    }
    return Ack{};
  };
  EXPECT_EQ(ack_of(77).events, 0u);
  me.SayEvent("deploy");
  me.Receive("a", {{Ping{78}}, {}});
  EXPECT_EQ(ack_of(78).events, me.core.event_digest());
  EXPECT_NE(ack_of(78).events, 0u);
  me.Answer({"a", "b", "c"});
  me.RunFor(Duration::Minutes(6));
  me.Receive("a", {{Ping{79}}, {}});
  EXPECT_EQ(ack_of(79).events, 0u) << "no longer news";
}

TEST(ProtocolEvents, ADifferenceStartsOneSyncOfEventsAlone) {
  CoreDriver me;
  me.Meet("a");
  me.RunFor(Duration::Seconds(1));
  const auto answer_pings = [&](uint64_t digest) {
    for (int second = 0; second < 20; ++second) {
      for (const auto& packet : std::exchange(me.sent, {})) {
        for (const Message& message : packet.packet.messages) {
          const auto* ping = std::get_if<Ping>(&message);
          if (!ping) continue;
          me.Receive("a", {{Ack{ping->nonce, me.core.set_hash().low, digest}}, {}});
        }
      }
      me.RunFor(Duration::Seconds(1));
    }
  };
  answer_pings(4711);
  ASSERT_EQ(me.Syncs(SyncReason::kEvents).size(), 1u);
  EXPECT_TRUE(me.Syncs(SyncReason::kHash).empty());
  const Source peer{"a", testing::FakeBootId("a")};
  me.FinishSync(SyncReason::kEvents, SyncOutcome::kEqual, &peer);
  answer_pings(4711);
  EXPECT_EQ(me.Syncs(SyncReason::kEvents).size(), 1u) << "it brought nothing: not again";
}

TEST(ProtocolEvents, ALongSleepAsksOnce) {
  CoreDriver me;
  me.Meet({"a", "b", "c"});
  me.Answer({"a", "b", "c"});
  me.RunFor(Duration::Seconds(5));
  me.Sleep(Duration::Minutes(10));
  me.RunFor(Duration::Seconds(10));
  EXPECT_EQ(me.Syncs(SyncReason::kEvents).size(), 1u);
  me.RunFor(Duration::Seconds(30));
  EXPECT_EQ(me.Syncs(SyncReason::kEvents).size(), 1u);
}

TEST(ProtocolEvents, CoalescingHandsOnTheNewest) {
  DriverSetup setup;
  setup.options.event_coalesce = Duration::Seconds(2);
  CoreDriver me(setup);
  me.Meet("a");
  for (uint64_t i = 1; i <= 5; ++i) me.Tell("a", EventOf("a", i));
  EXPECT_TRUE(me.user_events.empty());
  me.RunFor(Duration::Seconds(2));
  ASSERT_EQ(me.user_events.size(), 1u);
  EXPECT_EQ(me.user_events[0].lamport, 5u);
}

TEST(ProtocolEvents, RefusedCertificatesTakeTheirEventsWithThem) {
  CoreDriver me;
  me.Meet({"a", "b"});
  const StatementRef event = EventOf("a", 1);
  me.Tell("a", event);
  EXPECT_NE(me.core.event_digest(), 0u);
  const Hash256 refused[] = {event->certificate};
  me.core.HandleUntrusted(me.now, refused);
  me.Settle();
  EXPECT_EQ(me.core.event_digest(), 0u);
}

}  // namespace
}  // namespace sotto
