// Dissemination: to whom, how often, how much (design W9).
#include <map>
#include <set>
#include <string>

#include "gossip/messages.h"
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

size_t SizeOf(const Packet& packet) {
  size_t size = kPacketOverheadBytes;
  for (const Message& message : packet.messages) size += WireSizeMax(message);
  for (const StatementRef& statement : packet.statements) size += WireSizeMax(*statement);
  return size;
}

TEST(Gossip, RestsWhenThereIsNothingToSay) {
  CoreDriver d;
  d.Meet(Names(5));
  d.Answer(Names(5));
  d.RunFor(Duration::Seconds(20));
  d.Forget();
  d.RunFor(Duration::Seconds(30));
  for (const auto& sent : d.sent) {
    EXPECT_TRUE(sent.packet.statements.empty());
    EXPECT_FALSE(sent.packet.messages.empty());
  }
  EXPECT_EQ(d.core.standing().broadcasts_queued, 0u);
}

TEST(Gossip, EachNodeTellsSoOftenAndNoOftener) {
  CoreDriver d;
  d.Meet(Names(12));
  d.Answer(Names(12));
  d.RunFor(Duration::Seconds(20));
  d.Forget();
  d.core.SetTags(d.now, {{"a", "b"}});
  d.Settle();
  d.RunFor(Duration());  // the first news after a quiet time goes out at once
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "me").size(), 3u);
  std::set<std::string> targets;
  for (const auto& sent : d.sent) targets.insert(sent.to);
  EXPECT_EQ(targets.size(), 3u);
  d.RunFor(Duration::Seconds(20));
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "me").size(), 8u);  // 4 × digits(13)
}

TEST(Gossip, TicksAreAnIntervalApart) {
  CoreDriver d;
  d.Meet(Names(40));
  d.RunFor(Duration::Millis(400));
  std::map<Instant, int> packets;
  for (const auto& sent : d.sent) {
    if (sent.packet.messages.empty() && !sent.packet.statements.empty()) ++packets[sent.at];
  }
  ASSERT_GE(packets.size(), 2u);
  const Duration apart = std::next(packets.begin())->first - packets.begin()->first;
  EXPECT_EQ(apart, d.options.gossip_interval);
}

TEST(Gossip, NoPacketIsAboveTheBudgetAndABacklogFillsSeveral) {
  CoreDriver d;
  d.Meet(Names(100));
  d.RunFor(Duration::Millis(250));
  std::map<std::pair<Instant, std::string>, size_t> packets;
  size_t bytes = 0;
  for (const auto& sent : d.sent) {
    ASSERT_LE(SizeOf(sent.packet), d.options.packet_bytes_max);
    if (!sent.packet.messages.empty() || sent.packet.statements.empty()) continue;
    ++packets[{sent.at, sent.to}];
    bytes += SizeOf(sent.packet);
  }
  size_t most = 0;
  for (const auto& [key, count] : packets) most = std::max(most, count);
  EXPECT_GT(most, 5u);
  // Two ticks at 256 KiB a second are at most 105 KB.
  EXPECT_LE(bytes, 2u * 262'144u / 5u + 2u * 3u * 1'232u);
}

TEST(Gossip, EveryStatementOfABacklogGetsOut) {
  CoreDriver d;
  d.Meet(Names(100));
  d.Answer(Names(100));
  d.RunFor(Duration::Seconds(5));
  for (const std::string& name : Names(100)) {
    EXPECT_GE(d.SentStatements(StatementKind::kAlive, name).size(), 8u) << name;
    EXPECT_LE(d.SentStatements(StatementKind::kAlive, name).size(), 12u) << name;
  }
  EXPECT_EQ(d.core.standing().broadcasts_queued, 0u);
}

TEST(Gossip, OnlyTheFirstConfirmationsAreToldOn) {
  CoreDriver d;
  d.Meet(Names(9));
  d.Answer(Names(9));
  d.Answer("n0", false);
  d.RunFor(Duration::Seconds(10));
  d.Forget();
  if (d.StateOf("n0") == MemberState::kSuspect) {
    d.Tell("n0", d.AliveOf("n0", Inc(1, 1)));
    d.Answer("n0");
  }
  const Incarnation at = d.IncarnationOf("n0");
  d.Forget();
  for (int i = 1; i <= 8; ++i) d.Accuse("n" + std::to_string(i), "n0", at);
  d.Answer("n0");
  d.RunFor(Duration::Seconds(2));
  std::set<std::string> told;
  for (const auto& sent : d.sent) {
    if (sent.to == "n0") continue;  // the accused itself may be told by any
    for (const auto& s : sent.packet.statements) {
      if (s->subject == "n0" && s->kind == StatementKind::kSuspect) told.insert(s->signer);
    }
  }
  EXPECT_EQ(told, (std::set<std::string>{"n1", "n2", "n3", "n4"}));
}

TEST(Gossip, ReachesTheRecentlyDeadAndNotTheLongDead) {  // memberlist's 20
  CoreDriver d;
  d.Meet({"a", "b", "c"});
  d.Answer({"b", "c"});
  d.Accuse("b", "a", Inc(1));
  d.RunFor(Duration::Seconds(5));
  ASSERT_EQ(d.StateOf("a"), MemberState::kDead);
  d.Forget();
  d.core.SetTags(d.now, {{"n", "1"}});
  d.Settle();
  d.RunFor(Duration::Seconds(1));
  EXPECT_FALSE(d.SentStatements(StatementKind::kSuspect, "a", "a").empty());
  d.RunFor(Duration::Seconds(60));
  d.Forget();
  d.core.SetTags(d.now, {{"n", "2"}});
  d.Settle();
  d.RunFor(Duration::Seconds(2));
  for (const auto& sent : d.sent) EXPECT_NE(sent.to, "a");
}

TEST(Gossip, AStatementTooLargeForAPacketIsLeftToStreams) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.RunFor(Duration::Seconds(3));
  const size_t before = d.core.standing().broadcasts_queued;
  Statement big = *d.AliveOf("c", Inc(1));
  big.bytes.resize(2'000, 'x');
  d.Tell("a", std::make_shared<Statement>(big));
  EXPECT_EQ(d.StateOf("c"), MemberState::kAlive);
  EXPECT_EQ(d.core.standing().broadcasts_queued, before);
}

TEST(Gossip, ADeadMemberThatIsHeardIsToldAndComesBack) {  // M4
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer("b");
  d.Accuse("b", "a", Inc(1));
  d.RunFor(Duration::Seconds(5));
  ASSERT_EQ(d.StateOf("a"), MemberState::kDead);
  d.Forget();
  d.Receive("a", {});
  EXPECT_EQ(d.SentStatements(StatementKind::kSuspect, "a", "a").size(), 1u);
  d.Receive("a", {});  // not for each packet
  EXPECT_EQ(d.SentStatements(StatementKind::kSuspect, "a", "a").size(), 1u);
  d.Tell("a", d.AliveOf("a", Inc(1, 1)));
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
  EXPECT_EQ(d.Count(EventKind::kReturned, "a"), 1u);
}

TEST(Warning, AskTheSuspectAndWhoeverIsHeardSoThatOneLostWordBuriesNobody) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  d.Answer({"b", "c", "d", "e"});
  const Instant start = d.now;
  d.Accuse("b", "a", Inc(1));
  d.Receive("c", {});
  const Instant third = start + Duration::Seconds(4) / 3;
  d.RunUntil(third - kNanosecond);
  d.Receive("c", {});  // the last one heard
  d.Forget();
  d.RunUntil(third);
  ASSERT_EQ(d.SentMessages<WantOwner>("c"), 1u);
  // And one at random, for whom we hear may not hear us.
  const size_t first = d.SentMessages<WantOwner>();
  EXPECT_LE(first, 2u);
  EXPECT_EQ(d.SentStatements(StatementKind::kSuspect, "a", "c").size(), 1u);
  EXPECT_GE(d.SentMessages<Ping>("a"), 1u);
  EXPECT_GE(d.SentStatements(StatementKind::kSuspect, "a", "a").size(), 1u);
  // And again after twice as long each time, until it ends.
  d.RunUntil(third + Duration::Seconds(4) / 3 - Duration::Millis(1));
  EXPECT_EQ(d.SentMessages<WantOwner>(), first);
  d.RunUntil(start + Duration::Seconds(12));
  EXPECT_GE(d.SentMessages<WantOwner>(), 5u);  // at 4/3, 8/3, 16/3, 32/3 s, one or two
  EXPECT_LE(d.SentMessages<WantOwner>(), 8u);
  ASSERT_EQ(d.StateOf("a"), MemberState::kSuspect);
  d.Tell("c", d.AliveOf("a", Inc(1, 1)));
  d.Answer("a");
  d.Forget();
  d.RunFor(Duration::Minutes(1));
  EXPECT_EQ(d.SentMessages<WantOwner>(), 0u);
}

TEST(Warning, WhoRepeatsAnAnsweredAccusationIsAnsweredAgain) {
  CoreDriver d;
  d.Meet({"a", "b", "c"});
  d.Answer({"a", "b", "c"});
  d.Accuse("b", "me", Inc(5));
  d.RunFor(Duration::Seconds(5));
  d.Forget();
  d.Tell("c", FakeAccusation(StatementKind::kSuspect, "me", Inc(5), "b"));
  ASSERT_EQ(d.SentStatements(StatementKind::kAlive, "me", "c").size(), 1u);
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "me", "b").size(), 1u);  // who said it first
  EXPECT_EQ(d.sent.size(), 2u);
  EXPECT_EQ(d.sent[0].packet.statements[0]->incarnation, Inc(5, 1));
  d.Tell("c", FakeAccusation(StatementKind::kSuspect, "me", Inc(5), "b"));
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "me", "c").size(), 1u);  // a gossip interval
  EXPECT_EQ(d.Count(EventKind::kAccused), 0u);
}

// consul#5928: who does not hear us accuses us still, and hears others.
TEST(Stale, ItsSignerIsToldByOthersWhatItDoesNotHearFromUs) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d", "e"});
  d.Answer({"a", "b", "c", "d", "e"});
  const StatementRef accusation = FakeAccusation(StatementKind::kSuspect, "me", Inc(5), "a");
  d.Tell("a", accusation);
  ASSERT_EQ(d.core.incarnation(), Inc(5, 1));
  // The answer has its time.
  d.RunFor(d.options.probe_interval);
  d.Forget();
  d.Tell("a", accusation);
  EXPECT_EQ(d.sent.size(), 1u);
  d.RunFor(d.options.probe_interval);
  d.Forget();
  d.Tell("a", accusation);
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "me", "a").size(), 1u);
  size_t handed = 0;
  for (const CoreDriver::Sent& sent : d.sent) {
    if (sent.to == "a") continue;
    ++handed;
    ASSERT_EQ(sent.packet.statements.size(), 2u);
    EXPECT_EQ(sent.packet.statements[0], d.core.own_alive());
    EXPECT_EQ(sent.packet.statements[1], accusation);
  }
  EXPECT_EQ(handed, 3u);
  EXPECT_EQ(d.core.incarnation(), Inc(5, 1)) << "it is answered already";
}

TEST(Stale, WhoIsAskedByTheSubjectTellsTheSigner) {
  CoreDriver d;
  d.Meet({"a", "b", "c"});
  const StatementRef answer = d.AliveOf("b", Inc(1, 1));
  const StatementRef accusation = FakeAccusation(StatementKind::kSuspect, "b", Inc(1), "a");
  d.Forget();
  d.Receive("b", {{}, {answer, accusation}});
  ASSERT_EQ(d.SentStatements(StatementKind::kAlive, "b", "a").size(), 1u);
  EXPECT_EQ(d.SentStatements(StatementKind::kSuspect, "b").size(), 0u);
  EXPECT_EQ(d.StateOf("b"), MemberState::kAlive);
}

TEST(Stale, WhoHearsItFromTheSignerTellsItAndTheSubject) {
  CoreDriver d;
  d.Meet({"a", "b", "c"});
  d.Tell("b", d.AliveOf("b", Inc(1, 1)));
  d.RunFor(Duration::Seconds(2));
  d.Forget();
  d.Accuse("a", "b", Inc(1), StatementKind::kDead);
  EXPECT_EQ(d.sent.size(), 2u);
  EXPECT_EQ(d.SentStatements(StatementKind::kAlive, "b", "a").size(), 1u);
  EXPECT_EQ(d.SentStatements(StatementKind::kDead, "b", "b").size(), 1u);
}

TEST(Gossip, AStarterBelowItsOwnPastIsToldSo) {  // peers' failures 1 and 15
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer("b");
  d.Tell("b", FakeAlive(MakeFakeProcess("a", 3), Inc(100)));
  d.Accuse("b", "a", Inc(100));
  d.RunFor(Duration::Seconds(5));
  ASSERT_EQ(d.StateOf("a"), MemberState::kDead);
  d.Forget();
  const StatementRef fresh = FakeAlive(MakeFakeProcess("a", 4), Inc(1));
  d.core.HandleStatement(d.now, fresh);
  d.Settle();
  ASSERT_EQ(d.sent.size(), 1u);
  EXPECT_TRUE(d.sent[0].hello);
  ASSERT_EQ(d.sent[0].packet.statements.size(), 1u);
  EXPECT_EQ(d.sent[0].packet.statements[0]->incarnation, Inc(100));
  d.core.HandleStatement(d.now, fresh);
  d.Settle();
  EXPECT_EQ(d.sent.size(), 1u);  // at most once a second
  d.core.HandleStatement(d.now, FakeAlive(MakeFakeProcess("a", 4), Inc(101)));
  d.Settle();
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
}

}  // namespace
}  // namespace sotto
