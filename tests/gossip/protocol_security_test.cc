// Members with a valid certificate and bad intentions, and what they cannot do.
#include <string>

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
  EXPECT_GE(d.core.counters().ignored, 5'000u - 1'024u);
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
