// A joiner looks for what it has missed: it compares tables with a few members, and syncs with one
// that differs (docs/decisions/0015).
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tests/gossip/core_driver.h"

namespace sotto::testing {
namespace {

// One that has joined through "a" and knows `others` besides.
class Joiner : public ::testing::Test {
 protected:
  Joiner() : d({.contacts = 1}) {
    SyncTable table{{d.AliveOf("a", Inc(1))}, {}};
    for (const std::string& name : others) table.statements.push_back(d.AliveOf(name, Inc(1)));
    const Source contact = SourceOf("a");
    d.core.HandleSyncTable(d.now, contact, table);
    d.Settle();
    d.FinishSync(SyncReason::kJoin, SyncOutcome::kMerged, &contact);
    announced = d.now;
  }

  Source SourceOf(std::string_view peer) const { return {std::string(peer), d.Peer(peer).boot_id}; }
  // Pings since the test began, and who got them.
  std::vector<std::pair<std::string, uint64_t>> Pings() const {
    std::vector<std::pair<std::string, uint64_t>> pings;
    for (const auto& sent : d.sent) {
      for (const Message& message : sent.packet.messages) {
        if (const auto* ping = std::get_if<Ping>(&message))
          pings.emplace_back(sent.to, ping->nonce);
      }
    }
    return pings;
  }
  // Runs to the comparison, which follows one to one and a half settling times after the news.
  void RunToComparison() {
    for (int i = 0; i < 400 && Pings().size() < 3; ++i) d.RunFor(Duration::Millis(1));
  }
  void Ack(const std::pair<std::string, uint64_t>& ping, uint64_t hash) {
    d.Receive(ping.first, {{sotto::Ack{ping.second, hash, 0}}, {}});
  }
  size_t SyncsAgain() const { return d.Syncs(SyncReason::kJoinAgain).size(); }

  const std::vector<std::string> others = {"b", "c", "d", "e"};
  CoreDriver d;
  Instant announced;
};

TEST_F(Joiner, ComparesWithThreeOnceItsTableIsStill) {
  d.RunUntil(announced + d.options.join_settle - kNanosecond);
  EXPECT_TRUE(Pings().empty());
  RunToComparison();
  std::set<std::string> asked;
  for (const auto& ping : Pings()) asked.insert(ping.first);
  EXPECT_EQ(asked.size(), 3u);
  EXPECT_LE(d.now - announced, d.options.join_settle / 2 * 3 + Duration::Millis(1));
  EXPECT_EQ(SyncsAgain(), 0u);
}

TEST_F(Joiner, NeedsNoSecondSyncWhereAllAgree) {
  RunToComparison();
  const auto pings = Pings();
  ASSERT_GE(pings.size(), 3u);
  for (const auto& ping : pings) Ack(ping, d.core.set_hash().low);
  d.RunFor(d.options.probe_timeout);
  EXPECT_EQ(SyncsAgain(), 0u);
}

TEST_F(Joiner, SyncsWithTheFirstThatDiffersAndComparesAgain) {
  RunToComparison();
  const auto pings = Pings();
  ASSERT_GE(pings.size(), 3u);
  Ack(pings[0], d.core.set_hash().low);
  EXPECT_EQ(SyncsAgain(), 0u);
  Ack(pings[1], d.core.set_hash().low + 1);
  ASSERT_EQ(SyncsAgain(), 1u);
  Ack(pings[2], d.core.set_hash().low + 2);
  EXPECT_EQ(SyncsAgain(), 1u) << "one sync at a time";

  const Source peer = SourceOf(pings[1].first);
  d.core.HandleSyncTable(d.now, peer, {{d.AliveOf("f", Inc(1))}, {}});
  d.Settle();
  d.FinishSync(SyncReason::kJoinAgain, SyncOutcome::kMerged, &peer);
  d.Forget();
  RunToComparison();
  const auto again = Pings();
  ASSERT_GE(again.size(), 3u);
  for (const auto& ping : again) Ack(ping, d.core.set_hash().low);
  d.RunFor(d.options.probe_timeout);
  EXPECT_EQ(SyncsAgain(), 1u);
}

TEST_F(Joiner, NewsMakesAComparisonOutdated) {
  RunToComparison();
  const auto pings = Pings();
  ASSERT_GE(pings.size(), 3u);
  const uint64_t before = d.core.set_hash().low;
  d.Tell("b", d.AliveOf("f", Inc(1)));
  Ack(pings[0], before);  // that one differs from us by what we have just heard
  EXPECT_EQ(SyncsAgain(), 0u);
}

TEST_F(Joiner, SyncsWithSomebodyIfNobodyAnswers) {
  RunToComparison();
  EXPECT_EQ(SyncsAgain(), 0u);
  d.RunFor(d.options.probe_timeout);
  EXPECT_EQ(SyncsAgain(), 1u);
}

// Members keep coming: it does not wait for ever.
TEST_F(Joiner, ComparesAtTheLatestAfterTheLongestTime) {
  const Instant latest = announced + d.options.join_settle_max;
  int newcomer = 0;
  while (d.now + d.options.join_settle < latest) {
    d.Tell("b", d.AliveOf("new" + std::to_string(newcomer++), Inc(1)));
    d.RunFor(d.options.join_settle / 2);
    for (const auto& ping : Pings()) Ack(ping, d.core.set_hash().low);
    d.Forget();
    EXPECT_EQ(SyncsAgain(), 0u);
  }
  for (int i = 0; i < 20 && SyncsAgain() == 0; ++i) {
    d.Tell("b", d.AliveOf("new" + std::to_string(newcomer++), Inc(1)));
    d.RunFor(d.options.join_settle / 2);
    for (const auto& ping : Pings()) Ack(ping, 1);
    d.Forget();
  }
  EXPECT_EQ(SyncsAgain(), 1u);
}

// A member that shows made-up hashes costs eight syncs, ever further apart.
TEST_F(Joiner, EndsAfterAFewSyncsWhateverOthersShow) {
  for (int i = 0; i < 600; ++i) {
    d.RunFor(Duration::Millis(100));
    for (const auto& ping : Pings()) Ack(ping, 1);
    d.Forget();
    const Source peer = SourceOf("b");
    for (const auto& sync : d.Syncs(SyncReason::kJoinAgain)) {
      if (sync.open) d.FinishSync(SyncReason::kJoinAgain, SyncOutcome::kEqual, &peer);
    }
  }
  const auto syncs = d.Syncs(SyncReason::kJoinAgain);
  ASSERT_EQ(syncs.size(), 8u);
  for (size_t i = 2; i < 6; ++i) {
    EXPECT_GE((syncs[i].at - syncs[i - 1].at) * 2, (syncs[i - 1].at - syncs[i - 2].at) * 3) << i;
  }
  EXPECT_GE(syncs[7].at - syncs[6].at, d.options.join_settle * 32);
}

}  // namespace
}  // namespace sotto::testing
