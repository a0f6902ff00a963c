// ClusterDiscovery on each of the three databases.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "store/discovery.h"
#include "store/schema.h"
#include "tests/store/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace sotto {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::Eq;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr int64_t kNow = 1'764'000'000'000;
constexpr int64_t kMinute = 60'000;
constexpr int64_t kDay = 24 * 60 * kMinute;

StoreUnderTest& Store() { return StoreUnderTest::Get(); }

SqlTime Soon() { return std::chrono::steady_clock::now() + seconds(30); }

std::vector<std::string> Addresses(const absl::StatusOr<DiscoveryRows>& rows) {
  std::vector<std::string> out;
  if (!rows.ok()) return {std::string(rows.status().message())};
  for (const DiscoveryRow& row : rows->others) out.push_back(row.address());
  return out;
}

class DiscoveryConformance : public testing::Test {
 protected:
  void SetUp() override {
    database_ = NewStore();
    base_ = OpenBase(database_);
    ASSERT_TRUE(EnsureSchema(*base_, Soon()).ok());
    session_ = Store().Session(database_);
  }

  DiscoveryTable Table(const std::string& node, const std::string& cluster = "edge") {
    return DiscoveryTable(base_, cluster, node, [this] { return now_ms_; });
  }

  // A row by another hand; each value as SQL.
  void Insert(const std::string& id, const std::string& values) {
    session_->Run(absl::StrCat(
        "INSERT INTO ClusterDiscovery (Id, Type, ClusterName, Hostname, GossipPort, LastPingAt) "
        "VALUES ('",
        id, "', ", values, ")"));
  }
  void InsertSound(const std::string& id, const std::string& host, int64_t last_ping_ms) {
    Insert(id, absl::StrCat("'sotto', 'edge', '", host, "', 7950, ", last_ping_ms));
  }
  std::string Count(const std::string& where = "1 = 1") {
    return session_->Run("SELECT count(*) FROM ClusterDiscovery WHERE " + where);
  }

  std::string database_;
  std::shared_ptr<Database> base_;
  std::unique_ptr<RawSession> session_;
  int64_t now_ms_ = kNow;
};

TEST(DiscoveryId, IsStableAndOfItsNode) {
  const std::string id = DiscoveryId("edge", "gw-1");
  EXPECT_EQ(id, DiscoveryId("edge", "gw-1"));
  EXPECT_EQ(id.size(), 26u);
  EXPECT_EQ(id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789"), std::string::npos) << id;
  EXPECT_NE(id, DiscoveryId("edge", "gw-2"));
  EXPECT_NE(id, DiscoveryId("edg", "egw-1"));
  EXPECT_NE(id, DiscoveryId("edge2", "gw-1"));
}

TEST_F(DiscoveryConformance, NodesOfOneHostFindEachOther) {
  DiscoveryTable one = Table("gw-1"), two = Table("gw-2");
  EXPECT_THAT(one.Register("10.0.3.11", 7950, Soon()), IsOkAndHolds(true));
  EXPECT_THAT(two.Register("10.0.3.11", 7951, Soon()), IsOkAndHolds(true));
  EXPECT_THAT(Addresses(one.Read(Soon())), ElementsAre("10.0.3.11:7951"));
  EXPECT_THAT(Addresses(two.Read(Soon())), ElementsAre("10.0.3.11:7950"));
  const auto rows = one.Read(Soon());
  ASSERT_TRUE(rows.ok() && rows->own.has_value());
  EXPECT_EQ(rows->own->address(), "10.0.3.11:7950");
  EXPECT_EQ(rows->own->last_ping_ms, kNow);
}

TEST_F(DiscoveryConformance, ARestartedNodeGoesOnWithItsRow) {
  EXPECT_THAT(Table("gw-1").Register("10.0.3.11", 7950, Soon()), IsOkAndHolds(true));
  now_ms_ += kMinute;
  EXPECT_THAT(Table("gw-1").Register("fd00::11", 8000, Soon()), IsOkAndHolds(false));
  EXPECT_EQ(Count(), "1");
  EXPECT_EQ(session_->Run("SELECT CreateAt FROM ClusterDiscovery"), absl::StrCat(kNow));
  EXPECT_EQ(session_->Run("SELECT Port FROM ClusterDiscovery"), "8000");
  EXPECT_THAT(Addresses(Table("gw-2").Read(Soon())), ElementsAre("[fd00::11]:8000"));
}

TEST_F(DiscoveryConformance, ALostRowIsWrittenAnew) {
  DiscoveryTable table = Table("gw-1");
  EXPECT_THAT(table.Register("10.0.3.11", 7950, Soon()), IsOkAndHolds(true));
  session_->Run("DELETE FROM ClusterDiscovery");
  EXPECT_THAT(table.Register("10.0.3.11", 7950, Soon()), IsOkAndHolds(true));
  EXPECT_EQ(Count(), "1");
}

TEST_F(DiscoveryConformance, OnlyTheOwnRowIsRemoved) {
  DiscoveryTable one = Table("gw-1"), two = Table("gw-2");
  SOTTO_ASSERT_OK(one.Register("10.0.3.11", 7950, Soon()));
  SOTTO_ASSERT_OK(two.Register("10.0.3.12", 7950, Soon()));
  EXPECT_THAT(one.Remove(Soon()), IsOkAndHolds(true));
  EXPECT_THAT(one.Remove(Soon()), IsOkAndHolds(false));
  EXPECT_EQ(session_->Run("SELECT Hostname FROM ClusterDiscovery"), "10.0.3.12");
}

TEST_F(DiscoveryConformance, StaleAndFutureRowsAreIgnored) {
  InsertSound("stale", "10.0.3.1", kNow - 30 * kMinute);
  InsertSound("fresh", "10.0.3.2", kNow - 29 * kMinute);
  InsertSound("ahead", "10.0.3.3", kNow + 29 * kMinute);
  InsertSound("future", "10.0.3.4", kNow + 30 * kMinute);
  InsertSound("negative", "10.0.3.5", -1);
  Insert("never", "'sotto', 'edge', '10.0.3.6', 7950, NULL");
  Insert("end-of-time", "'sotto', 'edge', '10.0.3.7', 7950, 9223372036854775807");
  EXPECT_THAT(Addresses(Table("gw-1").Read(Soon())), ElementsAre("10.0.3.3:7950", "10.0.3.2:7950"));
}

TEST_F(DiscoveryConformance, OthersRowsAreNotRead) {
  Insert("mattermost", absl::StrCat("'mattermost_app', 'edge', '10.0.3.1', 8074, ", kNow));
  Insert("blue", absl::StrCat("'sotto', 'blue', '10.0.3.2', 7950, ", kNow));
  Insert("upper", absl::StrCat("'sotto', 'EDGE', '10.0.3.3', 7950, ", kNow));
  Insert("shout", absl::StrCat("'SOTTO', 'edge', '10.0.3.4', 7950, ", kNow));
  Insert("nobody", absl::StrCat("NULL, NULL, '10.0.3.5', 7950, ", kNow));
  const auto rows = Table("gw-1").Read(Soon());
  EXPECT_THAT(Addresses(rows), IsEmpty());
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->malformed, 0u);
}

TEST_F(DiscoveryConformance, MalformedRowsAreLeftOut) {
  const std::vector<std::string> hosts = {
      "''",        "'0.0.0.0'",     "'::'",          "'224.0.0.1'", "'255.255.255.255'",
      "'ff02::1'", "'gw 1'",        "'gw-1;rm'",     "'10.0.3'",    "'1234'",
      "'-gw'",     "'gw/1'",        "'fe80::1%2'",   "'[fd00::1]'", "'10.0.3.1:7950'",
      "'gw-1\n2'", "'http://gw-1'", "'gw.example.1'"};
  int count = 0;
  for (const std::string& host : hosts) {
    Insert(absl::StrCat("h", ++count), absl::StrCat("'sotto', 'edge', ", host, ", 7950, ", kNow));
  }
  for (const std::string port : {"NULL", "0", "-1", "65536", "2147483647"}) {
    Insert(absl::StrCat("p", ++count),
           absl::StrCat("'sotto', 'edge', '10.0.3.1', ", port, ", ", kNow));
  }
  InsertSound("name", "gw-2.internal", kNow);
  InsertSound("v6", "fd00::12", kNow);
  const auto rows = Table("gw-1").Read(Soon());
  EXPECT_THAT(Addresses(rows), UnorderedElementsAre("gw-2.internal:7950", "[fd00::12]:7950"));
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->malformed, static_cast<size_t>(count));
  Insert("null", absl::StrCat("'sotto', 'edge', NULL, 7950, ", kNow));
  Insert("long", absl::StrCat("'sotto', 'edge', '", std::string(300, 'a'), "', 7950, ", kNow));
  EXPECT_THAT(Addresses(Table("gw-1").Read(Soon())), SizeIs(2));
}

TEST_F(DiscoveryConformance, AHundredThousandRowsAreBounded) {
  const bool is_postgres = Store().dialect() == SqlDialect::kPostgres;
  // Ten rows, joined with themselves five times over.
  session_->Run("CREATE TABLE Digits (D INTEGER)");
  session_->Run("INSERT INTO Digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)");
  const std::string number = "a.D + 10 * b.D + 100 * c.D + 1000 * d.D + 10000 * e.D";
  const std::string text = is_postgres ? "CAST(" + number + " AS text)"
                           : Store().dialect() == SqlDialect::kMysql
                               ? "CAST(" + number + " AS CHAR)"
                               : "CAST(" + number + " AS TEXT)";
  session_->Run(absl::StrCat(
      "INSERT INTO ClusterDiscovery (Id, Type, ClusterName, Hostname, GossipPort, LastPingAt) "
      "SELECT ",
      text, ", 'sotto', 'edge', '10.9.9.9', 7950, ", kNow, " - (", number,
      ") FROM Digits a, Digits b, Digits c, Digits d, Digits e"));
  ASSERT_EQ(Count(), "100000");
  DiscoveryTable table = Table("gw-1");
  EXPECT_THAT(table.Register("10.0.3.11", 7950, Soon()), IsOkAndHolds(true));
  const auto begun = std::chrono::steady_clock::now();
  const auto rows = table.Read(Soon());
  SOTTO_ASSERT_OK(rows);
  EXPECT_LE(rows->others.size(), kDiscoveryRowsMax);
  EXPECT_GE(rows->others.size(), kDiscoveryRowsMax - 1);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(10));
  // Those refreshed last.
  EXPECT_GT(rows->others.back().last_ping_ms, kNow - 2 * static_cast<int64_t>(kDiscoveryRowsMax));
}

TEST_F(DiscoveryConformance, CleansUpWhatIsOldAndOurs) {
  InsertSound("old", "10.0.3.1", kNow - 7 * kDay - 1);
  InsertSound("young", "10.0.3.2", kNow - 7 * kDay + 1);
  const std::string ancient = absl::StrCat(kNow - 30 * kDay);
  Insert("mattermost", "'mattermost_app', 'edge', '10.0.3.3', 8074, " + ancient);
  Insert("blue", "'sotto', 'blue', '10.0.3.4', 7950, " + ancient);
  Insert("upper", "'sotto', 'EDGE', '10.0.3.5', 7950, " + ancient);
  EXPECT_THAT(Table("gw-1").CleanUp(Soon()), IsOkAndHolds(Eq(size_t{1})));
  EXPECT_EQ(Count("Id = 'old'"), "0");
  EXPECT_EQ(Count(), "4");
  for (int i = 0; i < 100; ++i) {
    InsertSound(absl::StrCat("old", i), "10.0.3.1", kNow - 8 * kDay);
  }
  EXPECT_THAT(Table("gw-1").CleanUp(Soon()), IsOkAndHolds(Eq(kDiscoveryCleanedMax)));
  EXPECT_THAT(Table("gw-1").CleanUp(Soon()), IsOkAndHolds(Eq(100 - kDiscoveryCleanedMax)));
}

TEST_F(DiscoveryConformance, ManyRegisterAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this, t] {
      DiscoveryTable table(OpenBase(database_), "edge", absl::StrCat("gw-", t / 2),
                           [] { return kNow; });
      for (int round = 0; round < 5; ++round) {
        SOTTO_EXPECT_OK(table.Register("10.0.3.11", static_cast<uint16_t>(7950 + t), Soon()));
        SOTTO_EXPECT_OK(table.Read(Soon()));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Count(), "4");
}

TEST_F(DiscoveryConformance, MattermostsOwnTableServes) {
  const std::string database = NewStore();
  const auto session = Store().Session(database);
  session->Run(
      Store().dialect() == SqlDialect::kMysql
          ? "CREATE TABLE ClusterDiscovery (Id varchar(26) NOT NULL, Type varchar(64) DEFAULT "
            "NULL, ClusterName varchar(64) DEFAULT NULL, Hostname text, GossipPort int(11) DEFAULT "
            "NULL, Port int(11) DEFAULT NULL, CreateAt bigint(20) DEFAULT NULL, LastPingAt "
            "bigint(20) DEFAULT NULL, PRIMARY KEY (Id)) DEFAULT CHARSET=utf8mb4"
          : "CREATE TABLE clusterdiscovery (id VARCHAR(26) PRIMARY KEY, type VARCHAR(64), "
            "clustername VARCHAR(64), hostname VARCHAR(512), gossipport INTEGER, port INTEGER, "
            "createat BIGINT, lastpingat BIGINT)");
  const auto base = OpenBase(database);
  const auto clock = [] { return kNow; };
  DiscoveryTable one(base, "edge", "gw-1", clock), two(base, "edge", "gw-2", clock);
  EXPECT_THAT(one.Register("10.0.3.11", 7950, Soon()), IsOkAndHolds(true));
  EXPECT_THAT(one.Register("10.0.3.11", 7950, Soon()), IsOkAndHolds(false));
  EXPECT_THAT(Addresses(two.Read(Soon())), ElementsAre("10.0.3.11:7950"));
  // On MySQL its collation takes upper and lower case for one.
  DiscoveryTable shout(base, "EDGE", "gw-3", clock);
  EXPECT_THAT(Addresses(shout.Read(Soon())), IsEmpty());
  EXPECT_THAT(one.Remove(Soon()), IsOkAndHolds(true));
}

TEST_F(DiscoveryConformance, WithoutTheTableOrTheRightItSaysSo) {
  const auto bare = OpenBase(NewStore());
  DiscoveryTable table(bare, "edge", "gw-1");
  EXPECT_THAT(table.Register("10.0.3.11", 7950, Soon()).status(), HasCode("DB_TABLE_MISSING"));
  EXPECT_THAT(table.Read(Soon()).status(), HasCode("DB_TABLE_MISSING"));
  DatabaseServer* server = Store().server();
  if (server == nullptr) return;  // SQLite knows files, not roles
  auto reader =
      OpenDatabase(server->SocketUrl(database_, DatabaseServer::kReader), server->Options());
  SOTTO_ASSERT_OK(reader);
  InsertSound("fresh", "10.0.3.2", kNow);
  if (Store().dialect() == SqlDialect::kPostgres) {
    session_->Run(absl::StrCat("GRANT SELECT ON ClusterDiscovery TO ", DatabaseServer::kReader));
  }
  DiscoveryTable readable(*reader, "edge", "gw-1", [] { return kNow; });
  EXPECT_THAT(Addresses(readable.Read(Soon())), ElementsAre("10.0.3.2:7950"));
  EXPECT_THAT(readable.Register("10.0.3.11", 7950, Soon()).status(), HasCode("DB_PERMISSION"));
}

}  // namespace
}  // namespace sotto
