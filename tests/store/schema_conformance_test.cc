// The tables of our own, on each of the three databases.
#include <gtest/gtest.h>

#include <chrono>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gossip/base/coded_error.h"
#include "store/schema.h"
#include "tests/store/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace sotto {
namespace {

using std::chrono::seconds;
using testing::Eq;

StoreUnderTest& Store() { return StoreUnderTest::Get(); }

SqlTime Soon() { return std::chrono::steady_clock::now() + seconds(30); }

// As Mattermost's migrations have it.
std::string MattermostDiscovery() {
  return Store().dialect() == SqlDialect::kMysql
             ? "CREATE TABLE ClusterDiscovery (Id varchar(26) NOT NULL, Type varchar(64) DEFAULT "
               "NULL, ClusterName varchar(64) DEFAULT NULL, Hostname text, GossipPort int(11) "
               "DEFAULT NULL, Port int(11) DEFAULT NULL, CreateAt bigint(20) DEFAULT NULL, "
               "LastPingAt bigint(20) DEFAULT NULL, PRIMARY KEY (Id)) DEFAULT CHARSET=utf8mb4"
             : "CREATE TABLE clusterdiscovery (id VARCHAR(26) PRIMARY KEY, type VARCHAR(64), "
               "clustername VARCHAR(64), hostname VARCHAR(512), gossipport INTEGER, port INTEGER, "
               "createat BIGINT, lastpingat BIGINT)";
}

TEST(SchemaConformance, MakesTheTablesOnce) {
  const std::string database = NewStore();
  const auto base = OpenBase(database);
  EXPECT_THAT(ReadSchemaVersion(*base, Soon()), IsOkAndHolds(Eq(0)));
  SOTTO_ASSERT_OK(EnsureSchema(*base, Soon()));
  EXPECT_THAT(ReadSchemaVersion(*base, Soon()), IsOkAndHolds(Eq(kSchemaVersion)));
  const auto session = Store().Session(database);
  session->Run(
      "INSERT INTO ClusterKeys (ClusterName, Generation, KeyId, State, Value, CreatedAt, Actor, "
      "Automatic) VALUES ('edge', 1, '9f3c-21aa', 'ACTIVE', 'v', 1764000000000, 'root', 0)");
  session->Run(
      "INSERT INTO ClusterMembers (ClusterName, Name, GenerationHeld, GenerationSealing, "
      "LastSeenAt) VALUES ('edge', 'gw-1', 1, 1, 1764000000000), ('edge', 'GW-1', 1, 1, 1)");
  session->Run(
      "INSERT INTO ClusterKeyHistory (ClusterName, At, Id, Actor, Action, Generation, KeyId, "
      "Detail) VALUES ('edge', 1, 'a', 'root', 'prepare', 1, '9f3c-21aa', 'by hand')");
  session->Run("INSERT INTO ClusterDiscovery (Id, GossipPort, LastPingAt) VALUES ('a', 7950, 1)");
  SOTTO_EXPECT_OK(EnsureSchema(*base, Soon()));
  EXPECT_EQ(session->Run("SELECT count(*) FROM ClusterMembers"), "2");
  EXPECT_EQ(session->Run("SELECT count(*) FROM SottoSchema"), "1");
}

TEST(SchemaConformance, ManyMakeThemAtOnce) {
  for (int round = 0; round < 2; ++round) {
    const std::string database = NewStore();
    std::vector<std::thread> threads;
    for (int t = 0; t < 5; ++t) {
      threads.emplace_back([&] { SOTTO_EXPECT_OK(EnsureSchema(*OpenBase(database), Soon())); });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(Store().Session(database)->Run("SELECT count(*) FROM SottoSchema"), "1");
  }
}

TEST(SchemaConformance, LeavesMattermostsDiscoveryAsItIs) {
  const std::string database = NewStore();
  const auto session = Store().Session(database);
  session->Run(MattermostDiscovery());
  session->Run("INSERT INTO ClusterDiscovery (Id, Hostname) VALUES ('x', 'app-1')");
  SOTTO_ASSERT_OK(EnsureSchema(*OpenBase(database), Soon()));
  EXPECT_EQ(session->Run("SELECT Hostname FROM ClusterDiscovery WHERE Id = 'x'"), "app-1");
}

TEST(SchemaConformance, ANewerOneIsLeftAlone) {
  const std::string database = NewStore();
  const auto session = Store().Session(database);
  session->Run("CREATE TABLE SottoSchema (Version BIGINT NOT NULL PRIMARY KEY, AppliedAt BIGINT)");
  session->Run("INSERT INTO SottoSchema VALUES (99, 1)");
  const auto base = OpenBase(database);
  const absl::Status status = EnsureSchema(*base, Soon());
  EXPECT_THAT(status, HasCode("SCHEMA_NEWER"));
  EXPECT_NE(status.message().find("99"), absl::string_view::npos);
  EXPECT_EQ(session->Run("SELECT count(*) FROM SottoSchema"), "1");
  EXPECT_THAT(base->Transact(SqlMode::kRead,
                             [](SqlTransaction& transaction) {
                               return transaction.Run("SELECT 1 FROM ClusterKeys").status();
                             }),
              HasCode("DB_TABLE_MISSING"));
}

// One that was killed between its statements: some tables are there, the step is not recorded.
TEST(SchemaConformance, CompletesWhatWasBegun) {
  const std::string database = NewStore();
  const auto session = Store().Session(database);
  std::istringstream lines(SchemaSql(Store().dialect()));
  std::string line;
  for (int i = 0; i < 3 && std::getline(lines, line, ';'); ++i) session->Run(line);
  SOTTO_ASSERT_OK(EnsureSchema(*OpenBase(database), Soon()));
  EXPECT_EQ(session->Run("SELECT count(*) FROM ClusterKeyHistory"), "0");
  EXPECT_EQ(session->Run("SELECT max(Version) FROM SottoSchema"), std::to_string(kSchemaVersion));
}

TEST(SchemaConformance, TheTextDoesTheSameByHand) {
  const std::string database = NewStore();
  const auto session = Store().Session(database);
  for (int round = 0; round < 2; ++round) {
    std::istringstream lines(SchemaSql(Store().dialect()));
    for (std::string line; std::getline(lines, line, ';') && line != "\n";) session->Run(line);
  }
  if (DatabaseServer* server = Store().server(); server != nullptr) {
    // A role that may only read finds nothing to do.
    auto reader =
        OpenDatabase(server->SocketUrl(database, DatabaseServer::kReader), server->Options());
    SOTTO_ASSERT_OK(reader);
    SOTTO_EXPECT_OK(EnsureSchema(**reader, Soon()));
  }
  EXPECT_THAT(ReadSchemaVersion(*OpenBase(database), Soon()), IsOkAndHolds(Eq(kSchemaVersion)));
}

TEST(SchemaConformance, ARoleThatMayMakeNoTablesIsToldWhatToRun) {
  DatabaseServer* server = Store().server();
  if (server == nullptr) return;  // SQLite knows files, not roles
  const std::string database = NewStore();
  auto reader =
      OpenDatabase(server->SocketUrl(database, DatabaseServer::kReader), server->Options());
  SOTTO_ASSERT_OK(reader);
  const absl::Status status = EnsureSchema(**reader, Soon());
  EXPECT_THAT(status, HasCode("SCHEMA_NOT_ALLOWED"));
  EXPECT_NE(status.message().find("CREATE TABLE IF NOT EXISTS SottoSchema"),
            absl::string_view::npos)
      << status;
  // With the bookkeeping there, it is the next one.
  std::istringstream lines(SchemaSql(Store().dialect()));
  std::string first;
  std::getline(lines, first, ';');
  Store().Session(database)->Run(first);
  const absl::Status next = EnsureSchema(**reader, Soon());
  EXPECT_THAT(next, HasCode("SCHEMA_NOT_ALLOWED"));
}

TEST(SqlText, IsRightInEachDialect) {
  constexpr std::string_view kColumns[] = {"A", "B", "C"};
  EXPECT_EQ(SqlInsertIfAbsent(SqlDialect::kPostgres, "T", kColumns),
            "INSERT INTO T (A, B, C) VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
  EXPECT_EQ(SqlUpsert(SqlDialect::kSqlite, "T", kColumns, 2),
            "INSERT INTO T (A, B, C) VALUES (?, ?, ?) ON CONFLICT (A, B) DO UPDATE SET C = "
            "excluded.C");
  EXPECT_EQ(SqlUpsert(SqlDialect::kMysql, "T", kColumns, 1),
            "INSERT INTO T (A, B, C) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE B = VALUES(B), C = "
            "VALUES(C)");
}

// … and the database at hand takes it.
TEST(SchemaConformance, UpsertsAndInsertsIfAbsent) {
  const std::string database = NewStore();
  const auto base = OpenBase(database);
  SOTTO_ASSERT_OK(EnsureSchema(*base, Soon()));
  constexpr std::string_view kColumns[] = {"ClusterName", "Name", "GenerationHeld", "LastSeenAt"};
  const auto put = [&](bool upsert, int64_t held) {
    return base->Transact(SqlMode::kLocked, [&](SqlTransaction& transaction) {
      const std::string sql =
          upsert ? SqlUpsert(transaction.dialect(), "ClusterMembers", kColumns, 2)
                 : SqlInsertIfAbsent(transaction.dialect(), "ClusterMembers", kColumns);
      return transaction
          .Run(sql, {std::string_view("edge"), std::string_view("gw-1"), held, int64_t{1}})
          .status();
    });
  };
  const auto session = Store().Session(database);
  SOTTO_EXPECT_OK(put(false, 1));
  SOTTO_EXPECT_OK(put(false, 2));
  EXPECT_EQ(session->Run("SELECT GenerationHeld FROM ClusterMembers"), "1");
  SOTTO_EXPECT_OK(put(true, 3));
  EXPECT_EQ(session->Run("SELECT GenerationHeld FROM ClusterMembers"), "3");
  EXPECT_EQ(session->Run("SELECT count(*) FROM ClusterMembers"), "1");
}

}  // namespace
}  // namespace sotto
