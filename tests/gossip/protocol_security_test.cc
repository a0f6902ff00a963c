// Members with a valid certificate and bad intentions, and what they cannot do.
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/gossip/core_driver.h"

namespace sotto {
namespace {

using namespace testing;  // NOLINT

std::vector<std::string> Names(int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back("n" + std::to_string(i));
  return names;
}

TEST(Security, OneMemberThatAccusesEverybodyEvictsNobody) {
  CoreDriver d;
  const auto names = Names(20);
  d.Meet(names);
  d.Meet("mallory");
  d.Answer(names);
  d.Answer("mallory");
  // For two minutes it accuses everybody, at every incarnation they take. The living answer within
  // a second, as they do.
  uint32_t counter = 0;
  for (int round = 0; round < 120; ++round) {
    for (const auto& name : names) {
      d.Accuse("mallory", name, d.IncarnationOf(name),
               round % 2 == 0 ? StatementKind::kDead : StatementKind::kSuspect);
    }
    d.Accuse("mallory", "me", d.core.incarnation(), StatementKind::kDead);
    d.RunFor(Duration::Millis(700));
    ++counter;
    for (const auto& name : names) {
      if (d.StateOf(name) == MemberState::kSuspect) d.Tell(name, d.AliveOf(name, Inc(1, counter)));
    }
    d.RunFor(Duration::Millis(300));
  }
  EXPECT_EQ(d.Count(EventKind::kDied), 0u);
  EXPECT_EQ(d.StateOf("me"), MemberState::kAlive);
  // It is believed less and less: eight times, and then hardly.
  EXPECT_LE(d.Count(EventKind::kSuspected), 16u + 3u * 20u);
  EXPECT_GT(d.core.counters().accusations_ignored, 1'000u);
}

TEST(Security, WhoIsNotBelievedIsPassedOnToTheAccusedAlone) {
  CoreDriver d;
  const auto names = Names(12);
  d.Meet(names);
  d.Meet({"mallory", "b"});
  d.Answer(names);
  d.Answer({"mallory", "b"});
  for (int i = 0; i < 8; ++i) {
    d.Accuse("mallory", names[static_cast<size_t>(i)], Inc(1));
    d.Tell("b", d.AliveOf(names[static_cast<size_t>(i)], Inc(1, 1)));
  }
  d.RunFor(Duration::Seconds(20));
  d.Forget();
  d.Accuse("mallory", "n9", Inc(1));
  EXPECT_EQ(d.StateOf("n9"), MemberState::kAlive);
  EXPECT_EQ(d.core.standing().broadcasts_queued, 0u);
  ASSERT_EQ(d.sent.size(), 1u);
  EXPECT_EQ(d.sent[0].to, "n9");
  // Relayed by another, it goes nowhere: nobody multiplies it.
  d.Tell("b", FakeAccusation(StatementKind::kSuspect, "n10", Inc(1), "mallory"));
  EXPECT_EQ(d.StateOf("n10"), MemberState::kAlive);
  EXPECT_EQ(d.sent.size(), 1u);
  // Another's word about the same counts.
  d.Accuse("b", "n9", Inc(1));
  EXPECT_EQ(d.StateOf("n9"), MemberState::kSuspect);
}

TEST(Security, AnAccusationAtTheTopOfTheRangeMovesNothing) {  // peers' failure 3
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer({"a", "b"});
  for (const auto kind : {StatementKind::kSuspect, StatementKind::kDead, StatementKind::kForget}) {
    d.Accuse("b", "a", Incarnation(UINT64_MAX), kind);
    d.Accuse("b", "me", Incarnation(UINT64_MAX), kind);
  }
  d.RunFor(Duration::Minutes(2));
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
  EXPECT_EQ(d.core.incarnation(), Inc(5));
  d.Tell("a", d.AliveOf("a", Inc(1, 1)));
  EXPECT_EQ(d.IncarnationOf("a"), Inc(1, 1));
}

TEST(Security, ACrowdOfWaitingAccusationsHidesNoTrueOne) {
  CoreDriver d;
  const auto crowd = Names(30);
  d.Meet(crowd);
  d.Meet({"a", "b"});
  d.Answer(crowd);
  d.Answer("b");
  for (const auto& name : crowd)
    d.Accuse(name, "a", Incarnation(UINT64_MAX), StatementKind::kForget);
  d.Accuse("b", "a", Inc(1));
  EXPECT_EQ(d.StateOf("a"), MemberState::kSuspect);
  d.RunFor(Duration::Minutes(2));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
}

TEST(Security, OurOwnProbeFindsTheDeadInSpiteOfACrowd) {
  CoreDriver d;
  const auto crowd = Names(10);
  d.Meet(crowd);
  d.Meet("a");
  d.Answer(crowd);
  for (const auto& name : crowd)
    d.Accuse(name, "a", Incarnation(UINT64_MAX), StatementKind::kForget);
  d.RunFor(Duration::Minutes(3));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  EXPECT_EQ(d.Count(EventKind::kDied), 1u);
}

TEST(Security, NamesMadeUpByAccusersAreBoundedAndForgotten) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer({"a", "b"});
  for (int i = 0; i < 5'000; ++i) d.Accuse("b", "ghost" + std::to_string(i), Inc(1));
  EXPECT_EQ(d.core.Members(true).size(), 3u);
  EXPECT_EQ(d.core.counters().ignored, 5'000u - 16u);
  d.RunFor(Duration::Seconds(70));
  const uint64_t before = d.core.counters().ignored;
  d.Accuse("b", "one more", Inc(1));
  EXPECT_EQ(d.core.counters().ignored, before);
}

TEST(Security, WantsCannotAmplify) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Forget();
  for (int i = 0; i < 100; ++i) d.Accuse("b", "a", Inc(1, 100 + static_cast<uint32_t>(i)));
  EXPECT_EQ(d.SentMessages<WantOwner>(), 1u);
  std::vector<Message> pings(500, Ping{1});
  d.Forget();
  d.Receive("b", {pings, {}});
  EXPECT_EQ(d.SentMessages<Ack>(), 16u);
}

// Old accusations move nobody to send much at anybody, whoever says them again.
TEST(Security, StaleAccusationsCannotAmplify) {
  CoreDriver d;
  d.Meet({"a", "b", "mallory", "c", "e"});
  d.Answer({"a", "b", "mallory", "c", "e"});
  d.Tell("b", d.AliveOf("b", Inc(1, 9)));
  d.RunFor(Duration::Seconds(5));
  const Duration interval = d.options.probe_interval;
  // What "a" once said of "b", replayed by a third: nothing at all.
  const StatementRef of_b = FakeAccusation(StatementKind::kSuspect, "b", Inc(1), "a");
  d.Forget();
  for (int i = 0; i < 100; ++i) d.Tell("mallory", of_b);
  EXPECT_EQ(d.sent.size(), 0u);
  // By "a" or "b", or by both: four at once, and then one an interval. Never more than came.
  for (int i = 0; i < 100; ++i) d.Tell(i % 2 == 0 ? "a" : "b", of_b);
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "b", "a").size(), 4u);
  EXPECT_LE(d.sent.size(), 8u);
  d.RunFor(interval * 10);
  // What "a" once said of us, replayed by a third: "a" gets the answer at the same rate.
  d.Accuse("a", "me", Inc(5));
  ASSERT_EQ(d.core.incarnation(), Inc(5, 1));
  d.RunFor(interval * 10);
  const StatementRef of_me = FakeAccusation(StatementKind::kSuspect, "me", Inc(5), "a");
  d.Forget();
  for (int i = 0; i < 100; ++i) d.Tell("mallory", of_me);
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "me", "a").size(), 4u);
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "me", "mallory").size(), 1u);
  EXPECT_EQ(d.SentStatements(StatementKind::kSuspect, "me").size(), 0u) << "handed to nobody";
  // By "a" itself: handed to three others, at the same rate.
  d.RunFor(interval * 10);
  d.Forget();
  for (int i = 0; i < 100; ++i) d.Tell("a", of_me);
  EXPECT_EQ(d.SentStatements(StatementKind::kSuspect, "me").size(), 12u);
  EXPECT_EQ(d.core.incarnation(), Inc(5, 1));
}

TEST(Security, AHundredSignersCannotShortenBelowTheMinimum) {
  CoreDriver d;
  const auto crowd = Names(100);
  d.Meet(crowd);
  d.Meet("a");
  d.Answer(crowd);
  d.Answer("a");
  for (const auto& name : crowd) d.Accuse(name, "a", Inc(1), StatementKind::kDead);
  // n = 102: 4 s × log10(102).
  EXPECT_GT(*d.core.Find("a")->dies_at, d.now + Duration::Millis(8'000));
  d.RunFor(Duration::Seconds(8));
  EXPECT_EQ(d.Count(EventKind::kDied), 0u);
  d.Tell("a", d.AliveOf("a", Inc(1, 1)));
  d.RunFor(Duration::Seconds(20));
  EXPECT_EQ(d.Count(EventKind::kDied), 0u);
}

TEST(Security, APacketFromAnUnknownNameOrAFormerProcessGetsNoAnswer) {
  CoreDriver d;
  d.Meet("a");
  d.Forget();
  const uint64_t before = d.core.counters().ignored;
  d.Receive("nobody", {{Ping{1}}, {}});
  d.Receive("a", {{Ping{1}}, {}}, 2);
  d.Receive("me", {{Ping{1}}, {}});
  EXPECT_TRUE(d.sent.empty());
  EXPECT_EQ(d.core.counters().ignored, before + 3);
}

TEST(Security, NamesMadeUpBySomeKeepNobodyFromJoining) {
  DriverSetup setup;
  setup.options.members_max = 120;
  CoreDriver d(setup);
  const auto names = Names(20);
  d.Meet(names);
  for (const auto& name : names) {
    for (int i = 0; i < 30; ++i) d.Accuse(name, "ghost-" + name + std::to_string(i), Inc(1));
  }
  // The table is full of ghosts; those that speak for themselves get in all the same.
  const auto more = [] {
    std::vector<std::string> result;
    for (int i = 0; i < 50; ++i) result.push_back("new" + std::to_string(i));
    return result;
  }();
  d.Meet(more);
  EXPECT_EQ(d.core.Members(true).size(), 71u);
  d.Tell("n0", FakeLeave(d.Peer("gone"), Inc(1)));
  EXPECT_EQ(d.StateOf("gone"), MemberState::kLeft);
  // At their time the ghosts that are left end without harm.
  d.RunFor(Duration::Seconds(70));
  EXPECT_EQ(d.StateOf("gone"), MemberState::kLeft);
}

TEST(Security, AReplayedOldAliveDoesNotKeepTheAccusedFromHearing) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer({"a", "b"});
  d.Tell("b", FakeAlive(d.Peer("a", 2), Inc(3)));
  // Dead here by our own silent conclusion: it has to be told.
  d.Answer({"a", "b"}, false);
  d.RunFor(Duration::Minutes(2));
  ASSERT_EQ(d.StateOf("a"), MemberState::kDead);
  const StatementRef old = d.AliveOf("a", Inc(1));
  d.core.HandleStatement(d.now, old);
  d.Settle();
  d.Forget();
  d.Receive("a", {}, 2);
  EXPECT_EQ(d.SentStatements(StatementKind::kDead, "a", "a").size(), 1u);
  // The former process is told at most once a second.
  d.core.HandleStatement(d.now, old);
  d.Settle();
  EXPECT_TRUE(d.SentStatements(StatementKind::kAlive, "a", "a").empty());
}

class Refused : public ::testing::Test {
 protected:
  void Refuse(const StatementRef& statement) {
    const Hash256 certificate = statement->certificate;
    d.core.HandleUntrusted(d.now, std::span(&certificate, 1));
    d.Settle();
  }
  StatementRef Reissued(const char* name, Incarnation incarnation, uint32_t life = 2) {
    auto s = std::make_shared<Statement>(*FakeAlive(d.Peer(name, life), incarnation));
    s->certificate.bytes[0] ^= 1;
    return s;
  }
  CoreDriver d;
};

TEST_F(Refused, TheLivingIsDeadAtOnceAndSentNothing) {
  d.Meet({"a", "b"});
  d.Answer("b");
  Refuse(d.AliveOf("a", Inc(1)));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  ASSERT_EQ(d.Count(EventKind::kDied, "a"), 1u);
  EXPECT_EQ(d.EventsOf(EventKind::kDied)[0].detail, "certificate refused");
  EXPECT_EQ(d.core.FindBoot(FakeBootId("a")), nullptr);
  d.Forget();
  d.Receive("a", {{Ping{1}, WantOwner{"b"}}, {}});
  d.Tell("b", d.AliveOf("c", Inc(1)));  // there is something to gossip
  d.Answer("c");
  d.RunFor(Duration::Minutes(5));
  for (const auto& sent : d.sent) EXPECT_NE(sent.to, "a");
  EXPECT_TRUE(d.Syncs(SyncReason::kRetry).empty());
  EXPECT_TRUE(d.core.TombstonesFor({{d.AliveOf("a", Inc(1))}, {"a"}}).empty());
}

TEST_F(Refused, TheDeadAndThoseThatLeftAreHeardNoLonger) {
  d.Meet({"a", "b", "c"});
  d.Answer({"c"});
  d.Tell("b", FakeLeave(d.Peer("b"), Inc(1)));
  d.Accuse("c", "a", Inc(1));
  while (d.StateOf("a") != MemberState::kDead) d.RunFor(Duration::Seconds(1));
  d.Answer({"a", "b"});
  ASSERT_NE(d.core.FindBoot(FakeBootId("a")), nullptr);
  ASSERT_NE(d.core.FindBoot(FakeBootId("b")), nullptr);
  Refuse(d.AliveOf("a", Inc(1)));
  Refuse(d.AliveOf("b", Inc(1)));
  EXPECT_EQ(d.core.FindBoot(FakeBootId("a")), nullptr);
  EXPECT_EQ(d.core.FindBoot(FakeBootId("b")), nullptr);
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  EXPECT_EQ(d.StateOf("b"), MemberState::kLeft);
  const size_t retries = d.Syncs(SyncReason::kRetry).size();
  d.Forget();
  d.Receive("a", {{Ping{1}}, {}});
  d.Receive("b", {{Ping{1}}, {}});
  d.RunFor(Duration::Minutes(2));
  for (const auto& sent : d.sent) EXPECT_EQ(sent.to, "c");
  EXPECT_EQ(d.Syncs(SyncReason::kRetry).size(), retries);
}

TEST_F(Refused, AThiefsHighestIncarnationDoesNotStopTheReissued) {
  d.Meet({"a", "b"});
  d.Tell("b", FakeAlive(d.Peer("a", 66), Inc(UINT32_MAX, UINT32_MAX)));
  ASSERT_EQ(d.IncarnationOf("a"), Inc(UINT32_MAX, UINT32_MAX));
  const SetHash with = d.core.set_hash();
  Refuse(d.AliveOf("a", Inc(1)));
  ASSERT_EQ(d.StateOf("a"), MemberState::kDead);
  EXPECT_NE(d.core.set_hash(), with);
  d.Tell("b", Reissued("a", Inc(2)));
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
  EXPECT_EQ(d.IncarnationOf("a"), Inc(2));
  EXPECT_EQ(d.Count(EventKind::kReturned, "a"), 1u);
  EXPECT_NE(d.core.FindBoot(FakeBootId("a", 2)), nullptr);
  // It is probed, suspected and buried as any other.
  d.Answer({"b"});
  d.RunFor(Duration::Minutes(2));
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
}

TEST_F(Refused, ALostNameIsDialledNoLonger) {
  DriverSetup setup;
  setup.options.show_dead = Duration::Minutes(1);
  setup.options.keep_dead = Duration::Minutes(2);
  CoreDriver e(setup);
  e.Meet({"a", "b"});
  e.Answer("b");
  e.RunFor(Duration::Minutes(10));
  ASSERT_FALSE(e.core.Find("a").has_value());
  ASSERT_FALSE(e.Syncs(SyncReason::kRetry).empty());
  while (true) {
    bool open = false;
    for (const auto& sync : e.Syncs(SyncReason::kRetry)) open |= sync.open;
    if (!open) break;
    e.FinishSync(SyncReason::kRetry, SyncOutcome::kUnreachable);
  }
  const size_t before = e.Syncs(SyncReason::kRetry).size();
  const Hash256 certificate = e.AliveOf("a", Inc(1))->certificate;
  e.core.HandleUntrusted(e.now, std::span(&certificate, 1));
  e.Settle();
  e.RunFor(Duration::Minutes(5));
  EXPECT_EQ(e.Syncs(SyncReason::kRetry).size(), before);
}

TEST(Security, JunkUnderTheBootIdOfACrashedPeerDoesNotKeepItAlive) {
  CoreDriver d;
  d.Meet("a");
  d.Answer("a");
  d.RunFor(Duration::Seconds(5));
  d.Answer("a", false);
  const Instant crash = d.now;
  while (d.now < crash + Duration::Seconds(60) && d.StateOf("a") != MemberState::kDead) {
    d.core.HandleKeyTrouble(d.now);
    d.Settle();
    d.RunFor(Duration::Millis(500));
  }
  EXPECT_EQ(d.StateOf("a"), MemberState::kDead);
  // Six times the minimum, and in silence: the keys may be at fault.
  EXPECT_GE(d.now, crash + Duration::Seconds(24));
  EXPECT_LE(d.now, crash + Duration::Seconds(35));
  EXPECT_EQ(d.Signed(StatementKind::kSuspect, "a"), 0u);
  EXPECT_EQ(d.Signed(StatementKind::kDead, "a"), 0u);
}

TEST(Security, WhatOnePacketMayAskForIsBounded) {
  CoreDriver d;
  d.Meet({"a", "b", "c"});
  std::vector<Message> wants(100, WantOwner{"a"});
  d.Forget();
  d.Receive("b", {wants, {}});
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "a", "b").size(), 4u);
  // And in a second, whatever the number of packets; another has its own measure.
  for (int i = 0; i < 100; ++i) d.Receive("b", {wants, {}});
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "a", "b").size(), 32u);
  d.Receive("c", {wants, {}});
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "a", "c").size(), 4u);
  d.now += Duration::Millis(125);
  d.Receive("b", {wants, {}});
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "a", "b").size(), 34u);
}

TEST(Security, PingsForOthersAreBoundedForEach) {
  CoreDriver d;
  d.Meet({"a", "b", "c"});
  d.Forget();
  std::vector<Message> asks;
  for (uint64_t i = 0; i < 20; ++i) asks.push_back(IndirectPing{i, "a"});
  d.Receive("b", {asks, {}});
  EXPECT_EQ(d.SentMessages<Ping>("a"), 4u);
  for (int i = 0; i < 100; ++i) d.Receive("b", {asks, {}});
  EXPECT_EQ(d.SentMessages<Ping>("a"), 32u);
  d.Receive("c", {asks, {}});
  EXPECT_EQ(d.SentMessages<Ping>("a"), 36u);
  // Those that are over make room.
  d.RunFor(Duration::Seconds(3));
  d.Forget();
  d.Receive("b", {asks, {}});
  EXPECT_EQ(d.SentMessages<Ping>("a"), 4u);
}

TEST(Security, AnAccuserWithoutEndIsAnsweredLessAndLess) {
  CoreDriver d;
  d.Meet({"a", "b", "mallory"});
  d.Answer({"a", "b", "mallory"});
  const Instant start = d.now;
  while (d.now < start + Duration::Seconds(50)) {
    // At our incarnation, and in advance for the next.
    d.Accuse("mallory", "me", d.core.incarnation());
    d.Accuse("mallory", "me", Inc(5, d.core.incarnation().counter() + 1));
    d.RunFor(Duration::Millis(50));
  }
  // Eight at the full rate, and then one in half of the shortest suspicion, 2 s.
  EXPECT_GE(d.core.counters().refutations, 8u + 20u);
  EXPECT_LE(d.core.counters().refutations, 8u + 27u);
  // Yet no accusation stands for as long as a suspicion lasts: it may be believed elsewhere.
  d.RunFor(Duration::Seconds(2));
  EXPECT_EQ(d.core.own_alive()->incarnation, d.core.incarnation());
  const Incarnation before = d.core.incarnation();
  d.Accuse("mallory", "me", before);
  d.RunFor(Duration::Seconds(2));
  EXPECT_GT(d.core.own_alive()->incarnation, before);
  d.Forget();
  // Whoever is believed is answered at once.
  d.Accuse("mallory", "me", d.core.incarnation());
  const Incarnation accused = d.core.incarnation();
  d.Accuse("b", "me", accused);
  d.RunFor(Duration::Millis(200));
  EXPECT_GT(d.core.incarnation(), accused);
  EXPECT_FALSE(d.SentStatements(StatementKind::kAlive, "me", "b").empty());
}

TEST(Security, AnAliveThatNoDatagramHoldsIsNotTold) {
  DriverSetup setup;
  setup.options.packet_bytes_max = 1'024;
  CoreDriver d(setup);
  d.Meet({"a", "b"});
  d.Answer({"a", "b"});
  d.core.SetTags(d.now, {{"k", "v"}});
  d.Settle();
  d.core.SetTags(d.now, {{"k", std::string(2'000, 'x')}});
  d.Settle();
  ASSERT_EQ(d.core.own_alive()->alive->tags.size(), 1u);
  EXPECT_EQ(d.core.own_alive()->alive->tags[0].value, "v");
  EXPECT_EQ(d.core.own_alive()->incarnation, d.core.incarnation());
  ASSERT_EQ(d.Count(EventKind::kUpdated, "me"), 1u);
  EXPECT_EQ(d.EventsOf(EventKind::kUpdated, "me")[0].detail,
            "tags do not fit a datagram; the former ones stay");
  // It can still answer.
  d.RunFor(Duration::Seconds(5));
  d.Forget();
  d.Accuse("b", "me", d.core.incarnation());
  d.RunFor(Duration::Seconds(1));
  EXPECT_FALSE(d.SentStatements(StatementKind::kAlive, "me", "a").empty());
  EXPECT_EQ(d.Count(EventKind::kUpdated, "me"), 0u);
}

TEST(Security, TheTombstonesOfOneSyncAreBounded) {
  CoreDriver d;
  d.Meet("a");
  SyncTable theirs;
  for (int i = 0; i < 8'200; ++i) {
    const std::string name = "n" + std::to_string(i);
    d.core.HandleStatement(d.now, FakeLeave(d.Peer(name), Inc(1)));
    theirs.dead_names.push_back(name);
  }
  d.Settle();
  EXPECT_EQ(d.core.TombstonesFor(theirs).size(), 8'192u);
  theirs.dead_names.resize(100);
  EXPECT_EQ(d.core.TombstonesFor(theirs).size(), 100u);
}

TEST(Determinism, TheSameInputsGiveTheSameActions) {
  const auto run = [](uint64_t seed) {
    DriverSetup setup;
    setup.seed = seed;
    CoreDriver d(setup);
    d.Meet(Names(30));
    d.Answer(Names(25));
    d.RunFor(Duration::Minutes(2));
    std::string trace;
    for (const auto& sent : d.sent) {
      trace += std::to_string(sent.at.nanos()) + sent.to + ":";
      for (const Message& message : sent.packet.messages) {
        trace += std::to_string(message.index());
        if (const auto* ping = std::get_if<Ping>(&message)) trace += std::to_string(ping->nonce);
      }
      for (const auto& s : sent.packet.statements) trace += s->signer + s->subject;
    }
    for (const Event& event : d.events) {
      trace += std::string(ToString(event.kind)) + event.member;
    }
    return trace;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
  EXPECT_GT(run(1).size(), 5'000u);
}

}  // namespace
}  // namespace sotto
