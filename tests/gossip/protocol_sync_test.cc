// When syncs begin, when they do not, and what tables tell (design W10, M5, M8).
#include <algorithm>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "tests/gossip/core_driver.h"

namespace sotto {
namespace {

using namespace testing;  // NOLINT

Source SourceOf(std::string_view name) { return {std::string(name), FakeBootId(name)}; }

// Answers every ping of the next `d` with a hash of the test's choosing.
class HashedPeers {
 public:
  HashedPeers(CoreDriver& driver, uint64_t hash) : d_(driver), hash_(hash) {}
  void set_hash(uint64_t hash) { hash_ = hash; }
  void RunFor(Duration duration) {
    const Instant end = d_.now + duration;
    while (d_.core.NextDeadline() <= end) {
      const size_t from = d_.sent.size();
      d_.RunUntil(std::max(d_.now, d_.core.NextDeadline()));
      for (size_t i = from; i < d_.sent.size(); ++i) {
        const CoreDriver::Sent sent = d_.sent[i];
        for (const Message& message : sent.packet.messages) {
          if (const auto* ping = std::get_if<Ping>(&message)) {
            d_.Receive(sent.to, {{Ack{ping->nonce, hash_}}, {}});
          }
        }
      }
    }
    d_.RunUntil(end);
  }

 private:
  CoreDriver& d_;
  uint64_t hash_;
};

TEST(Table, TellsTheLivingWithTheirAccusationsAndNamesTheDead) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "gone"});
  d.Answer({"a", "b", "c"});
  d.Accuse("b", "gone", Inc(1));
  d.RunFor(Duration::Seconds(25));
  ASSERT_EQ(d.StateOf("gone"), MemberState::kDead);
  d.Tell("b", FakeLeave(d.Peer("c"), Inc(1)));
  d.Accuse("b", "a", Inc(1));
  const SyncTable table = d.core.MakeSyncTable();
  EXPECT_EQ(table.dead_names, std::vector<std::string>{"gone"});
  std::vector<std::string> said;
  for (const StatementRef& s : table.statements) said.push_back(s->signer + ">" + s->subject);
  EXPECT_EQ(said, (std::vector<std::string>{"a>a", "b>a", "b>b", "me>me"}));
}

TEST(Table, TombstonesGoOnlyToThoseWhoDoNotKnow) {  // M5
  CoreDriver d;
  d.Meet({"a", "b", "gone", "left"});
  d.Answer({"a", "b"});
  d.Accuse("b", "gone", Inc(1));
  d.Tell("b", FakeLeave(d.Peer("left"), Inc(1)));
  d.RunFor(Duration::Seconds(25));
  ASSERT_EQ(d.StateOf("gone"), MemberState::kDead);
  EXPECT_TRUE(d.core.TombstonesFor({}).empty());
  // They call it alive: our reasons.
  const auto about_gone = d.core.TombstonesFor({{d.AliveOf("gone", Inc(1))}, {}});
  ASSERT_GE(about_gone.size(), 2u);
  EXPECT_EQ(about_gone[0]->kind, StatementKind::kAlive);
  EXPECT_EQ(about_gone[1]->kind, StatementKind::kSuspect);
  // They know better than we do.
  EXPECT_TRUE(d.core.TombstonesFor({{d.AliveOf("gone", Inc(1, 1))}, {}}).empty());
  // They call it dead: only that it has left is news.
  EXPECT_EQ(d.core.TombstonesFor({{}, {"gone", "left", "nobody"}}).size(), 1u);
  EXPECT_EQ(d.core.TombstonesFor({{d.AliveOf("left", Inc(1))}, {"left"}}).size(), 1u);
}

TEST(Table, MergesWhatTheOtherTells) {  // memberlist's 18 and 21
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer({"a", "b"});
  const SyncTable told{
      {d.AliveOf("a", Inc(1, 1)), d.AliveOf("b", Inc(1)),
       FakeAccusation(StatementKind::kDead, "b", Inc(1), "x"), d.AliveOf("new", Inc(1))},
      {}};
  EXPECT_TRUE(d.core.HandleSyncTable(d.now, SourceOf("x"), told));
  d.Settle();
  EXPECT_EQ(d.IncarnationOf("a"), Inc(1, 1));
  EXPECT_EQ(d.StateOf("b"), MemberState::kSuspect);
  EXPECT_EQ(d.Count(EventKind::kJoined, "new"), 1u);
  EXPECT_EQ(d.Count(EventKind::kDied), 0u);
  EXPECT_FALSE(d.core.HandleSyncTable(d.now, SourceOf("x"), told));
}

TEST(Routine, HappensAboutEverySyncInterval) {
  CoreDriver d;
  d.Meet({"a", "b"});
  d.Answer({"a", "b"});
  const Instant start = d.now;
  d.RunUntil(start + Duration::Minutes(8) - kNanosecond);
  EXPECT_TRUE(d.Syncs(SyncReason::kRoutine).empty());
  d.RunUntil(start + Duration::Minutes(100));
  EXPECT_GE(d.Syncs(SyncReason::kRoutine).size(), 8u);
  EXPECT_LE(d.Syncs(SyncReason::kRoutine).size(), 12u);
  EXPECT_TRUE(d.Syncs(SyncReason::kHash).empty());
}

TEST(HashSync, WaitsUntilOurOwnTableHasBeenStill) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  HashedPeers peers(d, 4711);
  const Instant start = d.now;
  peers.RunFor(Duration::Seconds(30));
  ASSERT_EQ(d.Syncs(SyncReason::kHash).size(), 1u);  // one at a time: it is still open
  EXPECT_GE(d.Syncs(SyncReason::kHash)[0].at, start + d.options.sync_settle);
  EXPECT_LE(d.Syncs(SyncReason::kHash)[0].at, start + Duration::Seconds(8));
}

TEST(HashSync, NeedsMostOfTheLastFourToDiffer) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  d.Answer({"a", "b"});  // with our hash
  for (int i = 0; i < 40; ++i) {
    const size_t from = d.sent.size();
    d.RunFor(Duration::Millis(400));
    for (size_t k = from; k < d.sent.size(); ++k) {
      const CoreDriver::Sent sent = d.sent[k];
      if (sent.to == "a" || sent.to == "b") continue;
      for (const Message& message : sent.packet.messages) {
        if (const auto* ping = std::get_if<Ping>(&message)) {
          d.Receive(sent.to, {{Ack{ping->nonce, 99}}, {}});
        }
      }
    }
  }
  EXPECT_EQ(d.core.view_agreement().known, 4u);
  EXPECT_EQ(d.core.view_agreement().agree, 2u);
  EXPECT_TRUE(d.Syncs(SyncReason::kHash).empty());
}

TEST(HashSync, APairThatChangedNothingIsNotTriedAgain) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  HashedPeers peers(d, 4711);
  peers.RunFor(Duration::Seconds(10));
  ASSERT_EQ(d.Syncs(SyncReason::kHash).size(), 1u);
  d.FinishSync(SyncReason::kHash, SyncOutcome::kMerged);
  peers.RunFor(Duration::Minutes(7));
  EXPECT_EQ(d.Syncs(SyncReason::kHash).size(), 1u);
  peers.set_hash(4712);  // theirs has changed
  peers.RunFor(Duration::Minutes(1));
  EXPECT_EQ(d.Syncs(SyncReason::kHash).size(), 2u);
}

TEST(HashSync, OneThatFoundNobodyIsTriedAgainWithinRetryMax) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  HashedPeers peers(d, 4711);
  peers.RunFor(Duration::Seconds(10));
  for (size_t tried = 1; tried <= 8; ++tried) {
    ASSERT_EQ(d.Syncs(SyncReason::kHash).size(), tried);
    d.FinishSync(SyncReason::kHash,
                 tried % 2 == 0 ? SyncOutcome::kBusy : SyncOutcome::kUnreachable);
    // The back-off, and four acks to see the difference anew.
    peers.RunFor(d.options.retry_max + Duration::Seconds(6));
  }
}

TEST(HashSync, OneThatChangedSomethingMayBeFollowedAtOnce) {
  CoreDriver d;
  d.Meet({"a", "b", "c", "d"});
  HashedPeers peers(d, 4711);
  peers.RunFor(Duration::Seconds(10));
  const auto target = std::get<StatementRef>(d.Syncs(SyncReason::kHash)[0].call.target);
  d.core.HandleSyncTable(d.now, SourceOf(target->subject), {{d.AliveOf("e", Inc(1))}, {}});
  d.Settle();
  d.FinishSync(SyncReason::kHash, SyncOutcome::kMerged);
  peers.RunFor(Duration::Seconds(20));
  EXPECT_EQ(d.Syncs(SyncReason::kHash).size(), 2u);
}

TEST(HashSync, PendingSuspicionsPutItOffToTheMaximum) {
  DriverSetup setup;
  setup.options.suspicion_alpha = 50;  // a suspicion that outlasts the wait
  CoreDriver d(setup);
  d.Meet({"a", "b", "c", "d", "e"});
  HashedPeers peers(d, 4711);
  d.Accuse("b", "a", Inc(1));
  const Instant start = d.now;
  peers.RunFor(Duration::Seconds(80));
  ASSERT_EQ(d.Syncs(SyncReason::kHash).size(), 1u);
  EXPECT_GE(d.Syncs(SyncReason::kHash)[0].at, start + d.options.sync_settle_max);
}

TEST(Contacts, AreTriedForEverWithBackOff) {  // M8
  CoreDriver d({.contacts = 1});
  std::vector<Instant> at;
  while (d.now < Instant::FromNanos(1'000'000'000'000) + Duration::Minutes(10)) {
    const auto joins = d.Syncs(SyncReason::kJoin);
    if (joins.back().open) {
      at.push_back(joins.back().at);
      d.FinishSync(SyncReason::kJoin, SyncOutcome::kUnreachable);
    }
    d.RunUntil(std::max(d.now, d.core.NextDeadline()));
  }
  ASSERT_GE(at.size(), 600u / 30u);
  EXPECT_LE(at[1] - at[0], d.options.retry_min);
  for (size_t i = 1; i < at.size(); ++i) EXPECT_LE(at[i] - at[i - 1], d.options.retry_max);
  EXPECT_GE(at.back() - at[at.size() - 2], d.options.retry_max / 2);
}

TEST(Contacts, WhoseMemberLivesAreLeftAlone) {
  CoreDriver d({.contacts = 1});
  const Source peer = SourceOf("a");
  d.core.HandleSyncTable(d.now, peer, {{d.AliveOf("a", Inc(1)), d.AliveOf("b", Inc(1))}, {}});
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kMerged, &peer);
  d.Answer({"a", "b"});
  d.RunFor(Duration::Minutes(5));
  EXPECT_EQ(d.Syncs(SyncReason::kJoin).size(), 1u);
  EXPECT_TRUE(d.Syncs(SyncReason::kRetry).empty());
  // Once it is dead here, the contact is dialled again, soon: its name may resolve elsewhere.
  d.Answer("a", false);
  while (d.StateOf("a") != MemberState::kDead) d.RunFor(Duration::Seconds(1));
  d.RunFor(Duration::Seconds(5));
  const auto retries = d.Syncs(SyncReason::kRetry);
  EXPECT_TRUE(std::any_of(retries.begin(), retries.end(), [](const auto& sync) {
    return std::holds_alternative<ContactId>(sync.call.target);
  }));
}

// Two that start at one moment have equal, empty tables: neither has told of itself yet.
TEST(Contacts, OneThatWasStartingAsWellIsAskedAgainSoon) {
  CoreDriver d({.contacts = 1});
  const Source peer = SourceOf("a");
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kEqual, &peer);
  ASSERT_TRUE(d.core.standing().announced);
  EXPECT_EQ(d.Syncs(SyncReason::kRetry).size(), 0u);
  d.RunFor(d.options.retry_min);
  EXPECT_EQ(d.Syncs(SyncReason::kRetry).size(), 1u);
  // Once it is in the table, it is left alone.
  d.Meet("a");
  d.Answer("a");
  d.FinishSync(SyncReason::kRetry, SyncOutcome::kMerged, &peer);
  d.RunFor(Duration::Minutes(5));
  EXPECT_EQ(d.Syncs(SyncReason::kRetry).size(), 1u);
}

TEST(Contacts, CanBeAddedWhileRunning) {
  CoreDriver d;
  d.core.AddContact(d.now, ContactId{3});
  d.Settle();
  ASSERT_EQ(d.Syncs(SyncReason::kJoin).size(), 1u);
  EXPECT_EQ(std::get<ContactId>(d.syncs[0].call.target), ContactId{3});
  d.core.AddContact(d.now, ContactId{3});
  d.Settle();
  EXPECT_EQ(d.syncs.size(), 1u);
  // Added again, it is dialled at once, in the middle of its back-off.
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kUnreachable);
  d.core.AddContact(d.now, ContactId{3});
  d.Settle();
  EXPECT_EQ(d.syncs.size(), 2u);
  // But not while its member is alive here.
  d.Meet("a");
  d.Answer("a");
  const Source peer = SourceOf("a");
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kMerged, &peer);
  d.core.AddContact(d.now, ContactId{3});
  d.Settle();
  EXPECT_EQ(d.syncs.size(), 2u);
}

TEST(Knocks, AreDialledOnceAndForgotten) {
  CoreDriver d;
  ASSERT_TRUE(d.core.Knock(d.now, ContactId{7}));
  d.Settle();
  ASSERT_EQ(d.Syncs(SyncReason::kJoin).size(), 1u);
  EXPECT_EQ(std::get<ContactId>(d.syncs[0].call.target), ContactId{7});
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kUnreachable);
  d.RunFor(Duration::Minutes(10));
  EXPECT_EQ(d.Syncs(SyncReason::kJoin).size(), 1u);
  EXPECT_EQ(d.Syncs(SyncReason::kRetry).size(), 0u);
  // The index is free again, and an answer ends it as well.
  ASSERT_TRUE(d.core.Knock(d.now, ContactId{7}));
  d.Meet("a");
  d.Answer("a");
  const Source peer = SourceOf("a");
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kMerged, &peer);
  d.RunFor(Duration::Minutes(10));
  EXPECT_EQ(d.Syncs(SyncReason::kJoin).size(), 2u);
  EXPECT_EQ(d.StateOf("a"), MemberState::kAlive);
}

TEST(Knocks, BeforeTheStartComeBeforeTheFirstWord) {  // M9
  CoreDriver d({.start = false});
  ASSERT_TRUE(d.core.Knock(d.now, ContactId{7}));
  d.core.Start(d.now);
  d.Settle();
  ASSERT_EQ(d.Syncs(SyncReason::kJoin).size(), 1u);
  EXPECT_FALSE(d.core.standing().announced);
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kUnreachable);
  EXPECT_TRUE(d.core.standing().announced);
  d.RunFor(Duration::Minutes(10));
  EXPECT_EQ(d.Syncs(SyncReason::kJoin).size(), 1u);
}

TEST(Knocks, FindOneThatWasThereFirstUnderOurName) {  // M9
  CoreDriver d({.start = false});
  ASSERT_TRUE(d.core.Knock(d.now, ContactId{7}));
  d.core.Start(d.now);
  d.Settle();
  const Source twin = {"me", FakeBootId("another")};
  d.FinishSync(SyncReason::kJoin, SyncOutcome::kEqual, &twin);
  EXPECT_TRUE(d.core.standing().name_conflict);
  EXPECT_FALSE(d.core.standing().announced);
  EXPECT_FALSE(d.core.Knock(d.now, ContactId{8})) << "who is silent dials nobody";
}

TEST(Knocks, ALeaverDialsNobody) {
  CoreDriver d;
  d.Meet("a");
  d.core.Leave(d.now);
  EXPECT_FALSE(d.core.Knock(d.now, ContactId{7}));
  d.Settle();
  EXPECT_EQ(d.syncs.size(), 0u);
}

TEST(Retry, AtMostThreeAtOnceAndAllAgainWhenOneIsBack) {  // M8
  CoreDriver d;
  std::vector<std::string> lost;
  for (int i = 0; i < 20; ++i) lost.push_back("n" + std::to_string(i));
  d.Meet(lost);
  d.Meet("b");
  d.Answer("b");
  for (const auto& name : lost) {
    d.Accuse("b", name, Inc(1));
    d.RunFor(Duration::Millis(500));  // within what one signer may do
  }
  d.RunFor(Duration::Minutes(4));
  for (const auto& name : lost) ASSERT_EQ(d.StateOf(name), MemberState::kDead) << name;
  size_t open = 0;
  for (const auto& sync : d.syncs) open += sync.open && sync.call.reason == SyncReason::kRetry;
  EXPECT_EQ(open, 3u);
  // All fail for a while: each waits longer and longer, up to the maximum.
  for (const Instant end = d.now + Duration::Minutes(5); d.now < end;) {
    for (auto& sync : d.syncs) {
      if (!sync.open || sync.call.reason != SyncReason::kRetry) continue;
      sync.open = false;
      d.core.HandleSyncFinished(d.now, sync.call.id, SyncOutcome::kUnreachable, nullptr);
    }
    d.Settle();
    d.RunFor(Duration::Millis(100));
  }
  d.syncs.clear();
  d.RunFor(Duration::Millis(1));
  const Instant back = d.now;
  d.Tell("b", d.AliveOf("n0", Inc(1, 1)));
  EXPECT_EQ(d.Count(EventKind::kReturned, "n0"), 1u);
  std::set<std::string> tried;
  while (d.now < back + Duration::Seconds(7)) {
    for (auto& sync : d.syncs) {
      if (!sync.open || sync.call.reason != SyncReason::kRetry) continue;
      sync.open = false;
      tried.insert(std::get<StatementRef>(sync.call.target)->subject);
      d.core.HandleSyncFinished(d.now, sync.call.id, SyncOutcome::kUnreachable, nullptr);
    }
    d.Settle();
    d.RunFor(Duration::Millis(50));
  }
  EXPECT_EQ(tried.size(), 19u);
}

}  // namespace
}  // namespace sotto
