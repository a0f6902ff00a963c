// Daemons whose Systems table lies on a database server that they share.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/json.hpp>
#include <csignal>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/support/daemon_cluster.h"
#include "tests/support/database_server.h"

namespace sotto {
namespace {

namespace json = boost::json;

std::string ContentOf(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class SharedDatabase : public DaemonTest, public testing::WithParamInterface<SqlDialect> {
 protected:
  void SetUp() override {
    MakeLab();
    server_ = GetParam() == SqlDialect::kMysql ? DatabaseServer::StartMariadb()
                                               : DatabaseServer::StartPostgres();
    database_ = server_->NewDatabase();
    std::ofstream(folder_.File("sql.pass")) << DatabaseServer::kPassword << "\n";
    ASSERT_EQ(chmod(folder_.File("sql.pass").c_str(), 0600), 0);
  }

  // Without `contacts` it has nobody to dial but those that the database tells of.
  int AddNode(bool contacts = true) {
    LabNodeSpec spec;
    spec.store_url = server_->TcpUrl(database_, "localhost", server_->TlsParameters());
    // No key has to be brought, though the others are elsewhere.
    spec.join = {"192.0.2.1:7950"};
    for (int i = 0; i < lab_->size(); ++i) spec.join.push_back(lab_->advertised(i));
    const auto node = lab_->AddNode(spec);
    EXPECT_TRUE(node.ok()) << node.status();
    const std::string folder = lab_->File(*node, "conf.d");
    EXPECT_EQ(mkdir(folder.c_str(), 0755), 0);
    std::ofstream(folder + "/store.toml")
        << "[store]\npassword_file = \"" << folder_.File("sql.pass")
        << "\"\ncreate = true\npoll = \"200ms\"\n"
        << (contacts ? "" : "[discovery]\ninterval = \"1s\"\n[gossip]\njoin = []\n");
    return *node;
  }

  std::string Sql(const std::string& sql) { return server_->Session(database_)->Run(sql); }

  std::string StatusOf(int node, std::string_view member) const {
    const auto envelope = lab_->Get(node, "/v1/status");
    if (!envelope.ok()) return std::string(envelope.status().message());
    return json::serialize(envelope->at("data").at("store").at(member));
  }

  bool AwaitStatus(int node, std::string_view member, const std::string& wanted) const {
    const auto deadline = Lab::Clock::now() + Seconds(30);
    while (StatusOf(node, member) != wanted) {
      if (Lab::Clock::now() > deadline) return false;
      std::this_thread::sleep_for(Millis(50));
    }
    return true;
  }

  std::unique_ptr<DatabaseServer> server_;
  std::string database_;
};

TEST_P(SharedDatabase, NodesThatStartAtOnceFindOneKey) {
  for (int i = 0; i < 3; ++i) AddNode();
  for (const int node : All()) ASSERT_TRUE(lab_->Start(node).ok());
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(40))) << Views();
  EXPECT_EQ(server_->Session(database_)->Run("SELECT count(*) FROM Systems"), "1");
  const std::string ok = "true";
  for (const int node : All()) EXPECT_TRUE(AwaitStatus(node, "ok", ok)) << StatusOf(node, "code");

  // The server goes away and comes back: health says so, and no member is lost.
  server_->Stop();
  EXPECT_TRUE(AwaitStatus(0, "ok", "false"));
  EXPECT_EQ(StatusOf(0, "code"), "\"DB_REFUSED\"");
  server_->Start();
  for (const int node : All()) EXPECT_TRUE(AwaitStatus(node, "ok", ok)) << StatusOf(node, "code");
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(5))) << Views();

  const std::string key = server_->Session(database_)->Run("SELECT Value FROM Systems");
  for (const int node : All()) {
    const std::string proc = absl::StrCat("/proc/", lab_->process(node)->pid());
    for (const std::string& text :
         {ContentOf(lab_->File(node, "log")), ContentOf(proc + "/cmdline"),
          ContentOf(proc + "/environ"), json::serialize(*lab_->Get(node, "/v1/status"))}) {
      EXPECT_EQ(text.find(DatabaseServer::kPassword), std::string::npos) << text;
      EXPECT_EQ(text.find(key), std::string::npos) << text;
    }
  }
}

TEST_P(SharedDatabase, NodesWithoutContactsFindEachOther) {
  for (int i = 0; i < 3; ++i) AddNode(/*contacts=*/false);
  for (const int node : All()) ASSERT_TRUE(lab_->Start(node).ok());
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(40))) << Views();
  const std::string count = "SELECT count(*) FROM ClusterDiscovery";
  EXPECT_TRUE(lab_->WaitUntil(Seconds(10), [&] { return Sql(count) == "3"; })) << Sql(count);

  // A row that somebody deletes comes back; junk and the rows of strangers do no harm.
  Sql("DELETE FROM ClusterDiscovery");
  const std::string now = Sql(GetParam() == SqlDialect::kMysql
                                  ? "SELECT UNIX_TIMESTAMP() * 1000"
                                  : "SELECT CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT)");
  Sql(absl::StrCat(
      "INSERT INTO ClusterDiscovery (Id, Type, ClusterName, Hostname, GossipPort, LastPingAt) "
      "VALUES ('a', 'sotto', 'demo', '127.0.0.1', 1, ",
      now, "), ('b', 'sotto', 'demo', 'no such host', 1, ", now,
      "), ('c', 'mattermost_app', "
      "'demo', '127.0.0.1', 2, ",
      now, "), ('d', 'sotto', 'demo', '127.0.0.1', 70000, ", now, ")"));
  EXPECT_TRUE(lab_->WaitUntil(Seconds(10), [&] { return Sql(count) == "7"; })) << Sql(count);
  EXPECT_TRUE(lab_->WaitUntil(
      Seconds(10), [&] { return lab_->LogOf(0).find("127.0.0.1:1") != std::string::npos; }));
  EXPECT_TRUE(lab_->AllAgree(All(), All())) << Views();

  // One says goodbye: its row goes. One is killed: its row stays, and grows stale.
  const std::string address = lab_->advertised(1);
  const std::string of_killed =
      absl::StrCat("SELECT LastPingAt FROM ClusterDiscovery WHERE Type = 'sotto' AND Hostname = '",
                   address.substr(0, address.rfind(':')),
                   "' AND GossipPort = ", address.substr(address.rfind(':') + 1));
  lab_->process(2)->Signal(SIGTERM);
  EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return Sql(count) == "6"; })) << Sql(count);
  lab_->Kill(1);
  const std::string last = Sql(of_killed);
  EXPECT_NE(last, "");
  EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return lab_->StatesAt(0).at("n2") == "dead"; }))
      << Views();
  EXPECT_EQ(Sql(of_killed), last);
  // Both find the way back.
  for (const int node : {1, 2}) ASSERT_TRUE(lab_->Start(node).ok());
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(40))) << Views();
  EXPECT_TRUE(lab_->WaitUntil(Seconds(10), [&] { return Sql(count) == "7"; })) << Sql(count);
}

// What it cannot write, and so does not find others by, is told.
TEST_P(SharedDatabase, AWriteThatIsRefusedIsToldByHealth) {
  AddNode(/*contacts=*/false);
  ASSERT_TRUE(lab_->Start(0).ok());
  ASSERT_TRUE(lab_->WaitUntil(Seconds(40), [&] {
    return lab_->LogOf(0).find("discovery_row_written") != std::string::npos;
  }));
  // Renamed columns: the table is there, and every write to it fails.
  Sql("ALTER TABLE ClusterDiscovery RENAME COLUMN LastPingAt TO SeenAt");
  const auto told = [&] {
    const auto envelope = lab_->Get(0, "/v1/status");
    return envelope.ok() &&
           json::serialize(*envelope).find("DISCOVERY_FAILED") != std::string::npos;
  };
  EXPECT_TRUE(lab_->WaitUntil(Seconds(15), told));
  Sql("ALTER TABLE ClusterDiscovery RENAME COLUMN SeenAt TO LastPingAt");
  EXPECT_TRUE(lab_->WaitUntil(Seconds(15), [&] { return !told(); }));
}

// A role with rights on Systems alone: the node runs on the row, and says when somebody changes it.
TEST_P(SharedDatabase, TheRowAloneServesWhoMayNotHaveMore) {
  Sql("CREATE TABLE Systems (Name VARCHAR(64) PRIMARY KEY, Value VARCHAR(1024))");
  Sql("INSERT INTO Systems VALUES ('ClusterEncryptionKey', "
      "'g4iNkpecoaaruLW6v8TJzg==')");
  if (GetParam() == SqlDialect::kPostgres) Sql("GRANT SELECT ON Systems TO reader");
  LabNodeSpec spec;
  spec.store_url =
      server_->TcpUrl(database_, "localhost", server_->TlsParameters(), DatabaseServer::kReader);
  const auto node = lab_->AddNode(spec);
  ASSERT_TRUE(node.ok()) << node.status();
  ASSERT_EQ(mkdir(lab_->File(*node, "conf.d").c_str(), 0755), 0);
  std::ofstream(lab_->File(*node, "conf.d/store.toml"))
      << "[store]\npassword_file = \"" << folder_.File("sql.pass")
      << "\"\npoll = \"200ms\"\n[discovery]\nenabled = false\n";
  ASSERT_TRUE(lab_->Start(*node).ok());
  ASSERT_TRUE(AwaitStatus(*node, "ok", "true")) << StatusOf(*node, "code");
  EXPECT_NE(lab_->LogOf(*node).find("no_key_table"), std::string::npos);
  EXPECT_TRUE(Holds(Millis(600), [&] { return StatusOf(*node, "ok") == "true"; }));
  Sql("UPDATE Systems SET Value = 'hYqPlJmeo6itsre8wcbL0NXa3+Tp7vP4'");
  EXPECT_TRUE(AwaitStatus(*node, "code", "\"KEY_CHANGED\"")) << StatusOf(*node, "code");
  Sql("UPDATE Systems SET Value = 'g4iNkpecoaaruLW6v8TJzg=='");
  EXPECT_TRUE(AwaitStatus(*node, "ok", "true")) << StatusOf(*node, "code");
}

INSTANTIATE_TEST_SUITE_P(Servers, SharedDatabase,
                         testing::Values(SqlDialect::kPostgres, SqlDialect::kMysql),
                         [](const auto& row) { return std::string(ToString(row.param)); });

}  // namespace
}  // namespace sotto
