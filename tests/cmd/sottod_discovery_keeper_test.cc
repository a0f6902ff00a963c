// The keeper of discovery rows, with real nodes over an SQLite file.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cmd/sottod/discovery_keeper.h"
#include "gossip/contacts.h"
#include "store/open_store.h"
#include "store/schema.h"
#include "tests/gossip/node_fixture.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

SqlTime Soon() { return steady_clock::now() + seconds(20); }

Endpoint At(const std::string& text) {
  const auto endpoint = ParseEndpoint(text);
  EXPECT_TRUE(endpoint.ok()) << text;
  return endpoint.value_or(Endpoint());
}

DiscoveryRow RowAt(const std::string& host, uint16_t port = 7950) { return {"id", host, port, 0}; }

class KnockCandidatesTest : public testing::Test {
 protected:
  std::vector<std::string> Of(const std::vector<DiscoveryRow>& rows,
                              const std::vector<Endpoint>& own,
                              const std::vector<Endpoint>& known = {}) {
    return KnockCandidates(rows, own, known, random_);
  }
  std::mt19937_64 random_{1};
};

TEST_F(KnockCandidatesTest, LeaveOutWhoIsKnown) {
  EXPECT_THAT(Of({RowAt("10.0.3.1"), RowAt("10.0.3.2"), RowAt("10.0.3.3"), RowAt("10.0.3.3", 8000),
                  RowAt("gw-4.internal")},
                 {At("10.0.3.1:7950")}, {At("10.0.3.3:7950")}),
              UnorderedElementsAre("10.0.3.2:7950", "10.0.3.3:8000", "gw-4.internal:7950"));
}

TEST_F(KnockCandidatesTest, OneSpellingEach) {
  EXPECT_THAT(Of({RowAt("fd00::1"), RowAt("fd00:0:0::1"), RowAt("FD00::0:1")}, {}),
              ElementsAre("[fd00::1]:7950"));
  EXPECT_THAT(Of({RowAt("fd00:0:0::1")}, {At("[fd00::1]:7950")}), IsEmpty());
}

TEST_F(KnockCandidatesTest, AnotherMachinesLoopbackIsNobodys) {
  const std::vector<DiscoveryRow> rows = {RowAt("127.0.0.1", 6379), RowAt("::1", 22),
                                          RowAt("localhost", 25)};
  EXPECT_THAT(Of(rows, {At("10.0.3.1:7950")}), IsEmpty());
  EXPECT_THAT(Of(rows, {At("127.0.0.1:7950")}), SizeIs(3));
}

class DiscoveryKeeperTest : public NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    StoreOptions options;
    options.create = true;
    auto database = OpenDatabase("sqlite:" + folder_.File("s.db"), options);
    SOTTO_ASSERT_OK(database);
    database_ = *std::move(database);
    SOTTO_ASSERT_OK(CheckStore(*database_, true));
    SOTTO_ASSERT_OK(EnsureSchema(*database_, Soon()));
  }

  std::unique_ptr<DiscoveryKeeper> Keep(Node& node, const std::string& name,
                                        milliseconds interval = milliseconds(1'000)) {
    DiscoveryKeeper::Options options;
    options.cluster = kCluster;
    options.node = name;
    options.interval = interval;
    options.log = [](const LogRecord&) {};
    return std::make_unique<DiscoveryKeeper>(std::move(options), database_, &node);
  }

  // As another node sees it.
  std::vector<DiscoveryRow> Rows() {
    auto rows = DiscoveryTable(database_, kCluster, "observer").Read(Soon());
    EXPECT_TRUE(rows.ok()) << rows.status();
    return rows.ok() ? rows->others : std::vector<DiscoveryRow>();
  }

  void Run(const std::string& sql) {
    SOTTO_ASSERT_OK(database_->Transact(SqlMode::kLocked, [&](SqlTransaction& transaction) {
      return transaction.Run(sql).status();
    }));
  }

  TempDir folder_;
  std::shared_ptr<Database> database_;
};

TEST_F(DiscoveryKeeperTest, NodesFindEachOther) {
  auto a = Start(Options("a"));
  auto b = Start(Options("b"));
  const auto of_a = Keep(*a, "a"), of_b = Keep(*b, "b");
  EXPECT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
  EXPECT_THAT(Rows(), SizeIs(2));
  SOTTO_EXPECT_OK(of_a->Report());
}

TEST_F(DiscoveryKeeperTest, TheRowGoesWithAGoodbyeAndStaysAfterACrash) {
  auto a = Start(Options("a"));
  auto b = Start(Options("b"));
  auto of_a = Keep(*a, "a"), of_b = Keep(*b, "b");
  ASSERT_TRUE(Eventually([&] { return Rows().size() == 2; }));
  of_a->Stop(/*remove=*/true);
  of_b.reset();
  const std::vector<DiscoveryRow> rows = Rows();
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].address(), Address(*b));
  of_a->Stop(/*remove=*/true);  // again: nothing
}

TEST_F(DiscoveryKeeperTest, ALostRowComesBack) {
  auto a = Start(Options("a"));
  const auto keeper = Keep(*a, "a");
  ASSERT_TRUE(Eventually([&] { return Rows().size() == 1; }));
  Run("DELETE FROM ClusterDiscovery");
  EXPECT_TRUE(Eventually([&] { return Rows().size() == 1; }));
  SOTTO_EXPECT_OK(keeper->Report());
}

TEST_F(DiscoveryKeeperTest, ADatabaseThatRefusesIsToldAndGotOver) {
  Run("ALTER TABLE ClusterDiscovery RENAME TO Elsewhere");
  auto a = Start(Options("a"));
  const auto keeper = Keep(*a, "a");
  ASSERT_TRUE(Eventually([&] { return !keeper->Report().ok(); }));
  EXPECT_THAT(keeper->Report(), HasCode("DB_TABLE_MISSING"));
  EXPECT_TRUE(a->IsResponsive(seconds(5)));
  Run("ALTER TABLE Elsewhere RENAME TO ClusterDiscovery");
  EXPECT_TRUE(Eventually([&] { return keeper->Report().ok() && Rows().size() == 1; }));
}

TEST_F(DiscoveryKeeperTest, JunkCostsAFewDialsAndTheTrueOneIsFound) {
  auto a = Start(Options("a"));
  auto b = Start(Options("b"));
  const std::string dead = Address(*Start(Options("gone")));
  const auto to_row = [](const std::string& id, const std::string& address) {
    const size_t colon = address.rfind(':');
    return absl::StrCat(
        "INSERT INTO ClusterDiscovery (Id, Type, ClusterName, Hostname, GossipPort, LastPingAt) "
        "VALUES ('",
        id, "', 'sotto', 'unit', '", address.substr(0, colon), "', ", address.substr(colon + 1),
        ", strftime('%s', 'now') * 1000)");
  };
  Run(to_row("dead", dead));
  Run(to_row("self", Address(*a)));
  Run(to_row("junk", "no such host:7950"));
  Run(to_row("zero", "0.0.0.0:7950"));
  Run(to_row("blue", Address(*b)));
  Run("UPDATE ClusterDiscovery SET ClusterName = 'blue' WHERE Id = 'blue'");
  const auto keeper = Keep(*a, "a");
  ASSERT_TRUE(Eventually([&] { return a->Stats().syncs_failed == 1; }));
  // The pause after the first failure is longer than this.
  EXPECT_FALSE(Eventually([&] { return a->Stats().syncs_failed > 1; }, milliseconds(4'000)));
  EXPECT_EQ(Alive(*a), 1u);
  EXPECT_EQ(a->Stats().tls_dialed, 0u);
  Run("UPDATE ClusterDiscovery SET ClusterName = 'unit' WHERE Id = 'blue'");
  EXPECT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
}

TEST_F(DiscoveryKeeperTest, AStarterIsTakenToTheOthersAndToItsTwin) {
  DiscoveryTable me(database_, kCluster, "a");
  const auto hints = [&] { return FirstHints(database_, kCluster, "a", {"10.0.3.1:7950"}); };
  EXPECT_THAT(hints(), IsEmpty());
  SOTTO_ASSERT_OK(me.Register("10.0.3.1", 7950, Soon()));
  EXPECT_THAT(hints(), IsEmpty()) << "its own former life";
  SOTTO_ASSERT_OK(me.Register("10.0.3.9", 7950, Soon()));
  for (int i = 2; i < 9; ++i) {
    SOTTO_ASSERT_OK(DiscoveryTable(database_, kCluster, absl::StrCat("n", i))
                        .Register(absl::StrCat("10.0.3.", i), 7950, Soon()));
  }
  const std::vector<std::string> found = hints();
  ASSERT_THAT(found, SizeIs(kHintsMax));
  EXPECT_EQ(found[0], "10.0.3.9:7950");
  EXPECT_THAT(FirstHints(database_, "another", "a", {}), IsEmpty());
}

TEST_F(DiscoveryKeeperTest, WhoHasLeftIsNotWrittenAnew) {
  auto a = Start(Options("a"));
  const auto keeper = Keep(*a, "a");
  ASSERT_TRUE(Eventually([&] { return Rows().size() == 1; }));
  ASSERT_TRUE(a->Leave(seconds(5)).ok());
  Run("DELETE FROM ClusterDiscovery");
  EXPECT_FALSE(Eventually([&] { return !Rows().empty(); }, milliseconds(2'500)));
}

}  // namespace
}  // namespace sotto
