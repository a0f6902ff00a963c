// What the store promises where a server stands behind it, on each of the servers.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/systems_rows.h"
#include "tests/store/sql_relay.h"
#include "tests/store/store_under_test.h"
#include "tests/support/other_user.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::Eq;

StoreUnderTest& Store() { return StoreUnderTest::Get(); }
DatabaseServer& Server() { return *Store().server(); }
bool IsMysql() { return Store().dialect() == SqlDialect::kMysql; }

StoreOptions Within(milliseconds deadline) {
  StoreOptions options = Server().Options();
  options.deadline = deadline;
  return options;
}

std::string UrlAt(uint16_t port, const std::string& database) {
  return absl::StrCat(IsMysql() ? "mysql://" : "postgres://", DatabaseServer::kOwner,
                      "@127.0.0.1:", port, "/", database, Server().NoTlsParameters());
}

// The server's certificate is for that name alone.
std::string TlsUrlAt(uint16_t port, const std::string& database) {
  return absl::StrCat(IsMysql() ? "mysql://" : "postgres://", DatabaseServer::kOwner,
                      "@localhost:", port, "/", database, Server().TlsParameters());
}

// ---- connections that end -----------------------------------------------------------------------

TEST(ServerConformance, AnEndedSessionIsReplaced) {
  const auto table = OpenTable(NewStore());
  SOTTO_ASSERT_OK(table->InsertIfAbsent("a", "1"));
  Server().EndSessions();
  EXPECT_THAT(table->Get("a"), IsOkAndHolds(Eq("1")));
  Server().EndSessions();
  EXPECT_THAT(table->InsertIfAbsent("a", "2"), IsOkAndHolds(Eq("1")));
  Server().EndSessions();
  SOTTO_EXPECT_OK(table->Replace("a", "1", "2"));
}

TEST(ServerConformance, ASessionEndedInATransactionBeginsAgain) {
  const std::string database = NewStore();
  const auto base = OpenBase(database);
  int attempts = 0;
  const auto body = [&](SqlTransaction& transaction) -> absl::Status {
    SOTTO_RETURN_IF_ERROR(AddSystemsRow(transaction, "a", "1"));
    if (++attempts == 1) Server().EndSessions();
    EXPECT_FALSE(transaction.may_have_committed());
    return AddSystemsRow(transaction, "b", "2");
  };
  SOTTO_EXPECT_OK(base->Transact(SqlMode::kWrite, body));
  EXPECT_EQ(attempts, 2);
  EXPECT_EQ(Store().Session(database)->Run("SELECT count(*) FROM Systems"), "2");
}

TEST(ServerConformance, ARestartInMidRunIsSurvived) {
  const std::string database = NewStore();
  std::atomic<bool> is_over{false};
  std::atomic<int> rows{0};
  std::thread writer([&] {
    const auto table = OpenTable(database, Within(seconds(60)));
    while (!is_over) {
      const std::string name = absl::StrCat("row ", rows.load());
      ASSERT_THAT(table->InsertIfAbsent(name, "v"), IsOkAndHolds(Eq("v")));
      ++rows;
    }
  });
  const auto await_rows = [&](int count) {
    const auto deadline = steady_clock::now() + seconds(60);
    while (rows < count && steady_clock::now() < deadline) std::this_thread::yield();
    ASSERT_GE(rows, count);
  };
  await_rows(5);
  Server().Stop();
  // Before a first connection a dead server is told at once.
  const auto start = steady_clock::now();
  EXPECT_THAT(OpenSystemsTable(Store().Url(database), Within(seconds(30))), HasCode("DB_REFUSED"));
  EXPECT_LT(steady_clock::now() - start, seconds(15));
  Server().Start();
  await_rows(rows + 5);
  is_over = true;
  writer.join();
  EXPECT_EQ(Store().Session(database)->Run("SELECT count(*) FROM Systems"),
            std::to_string(rows.load()));
}

TEST(ServerConformance, ALostAnswerToCommitIsAskedForAgain) {
  const std::string database = NewStore();
  SqlRelay relay(Server().port());
  const auto opened = OpenSystemsTable(UrlAt(relay.port(), database), Within(seconds(30)));
  SOTTO_ASSERT_OK(opened);
  SystemsTable& table = **opened;
  relay.LoseCommitAnswers(1);
  EXPECT_THAT(table.InsertIfAbsent("a", "1"), IsOkAndHolds(Eq("1")));
  relay.LoseCommitAnswers(1);
  SOTTO_EXPECT_OK(table.Replace("a", "1", "2"));
  relay.LoseCommitAnswers(1);
  SOTTO_EXPECT_OK(table.Replace("b", std::nullopt, "3"));
  relay.LoseCommitAnswers(1);
  EXPECT_THAT(table.Get("a"), IsOkAndHolds(Eq("2")));
  EXPECT_EQ(relay.lost(), 4);
  // What the row held before is no excuse.
  EXPECT_THAT(table.Replace("a", "1", "2"), HasCode("ROW_CHANGED"));
  EXPECT_EQ(Store().Session(database)->Run("SELECT count(*) FROM Systems"), "2");
}

TEST(ServerConformance, ABodyLearnsThatItMayHaveCommitted) {
  const std::string database = NewStore();
  SqlRelay relay(Server().port());
  const auto base = OpenDatabase(UrlAt(relay.port(), database), Within(seconds(30)));
  SOTTO_ASSERT_OK(base);
  relay.LoseCommitAnswers(1);
  std::vector<bool> told;
  SOTTO_EXPECT_OK((*base)->Transact(SqlMode::kLocked, [&](SqlTransaction& transaction) {
    told.push_back(transaction.may_have_committed());
    return told.size() == 1 ? AddSystemsRow(transaction, "a", "1") : absl::OkStatus();
  }));
  EXPECT_EQ(told, (std::vector<bool>{false, true}));
  EXPECT_THAT(OpenTable(database)->Get("a"), IsOkAndHolds(Eq("1")));
}

// ---- servers that do not answer -----------------------------------------------------------------

TEST(ServerConformance, ASilentServerHoldsNobodyBeyondTheDeadline) {
  const SqlRelay silent(0);
  for (const std::string& url : {UrlAt(silent.port(), "db"),
                                 absl::StrCat(IsMysql() ? "mysql" : "postgres", "://me@localhost:",
                                              silent.port(), "/db", Server().TlsParameters())}) {
    const auto start = steady_clock::now();
    EXPECT_THAT(OpenSystemsTable(url, Within(milliseconds(400))), HasCode("DB_TIMEOUT"));
    EXPECT_LT(steady_clock::now() - start, milliseconds(10'000));
  }
}

TEST(ServerConformance, AServerThatFallsSilentHoldsNobodyBeyondTheDeadline) {
  const std::string database = NewStore();
  for (const bool tls : {false, true}) {
    SqlRelay relay(Server().port());
    const std::string url = tls ? TlsUrlAt(relay.port(), database) : UrlAt(relay.port(), database);
    const auto table = OpenSystemsTable(url, Within(seconds(2)));
    SOTTO_ASSERT_OK(table);
    relay.Mute();
    for (int i = 0; i < 2; ++i) {
      const auto start = steady_clock::now();
      EXPECT_THAT((*table)->Get("a"), HasCode("DB_TIMEOUT")) << (tls ? "over TLS" : "");
      EXPECT_LT(steady_clock::now() - start, seconds(5));
    }
  }
}

TEST(ServerConformance, ASlowStatementEndsOnTheServerToo) {
  const std::string database = NewStore();
  const auto base = OpenBase(database, seconds(30));
  const auto start = steady_clock::now();
  const auto sleep = [](SqlTransaction& transaction) {
    return transaction.Run(IsMysql() ? "SELECT SLEEP(60)" : "SELECT pg_sleep(60)").status();
  };
  EXPECT_THAT(base->Transact(SqlMode::kRead, sleep, start + milliseconds(700)),
              HasCode("DB_TIMEOUT"));
  EXPECT_LT(steady_clock::now() - start, seconds(5));
  const auto session = Server().Session("");
  const std::string running =
      IsMysql() ? "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SL%'"
                : "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE "
                  "'SELECT pg_sl%'";
  while (session->Run(running) != "0" && steady_clock::now() < start + seconds(20)) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_EQ(session->Run(running), "0");
  SOTTO_EXPECT_OK(base->Transact(SqlMode::kRead, [](SqlTransaction& transaction) {
    return transaction.Run("SELECT 1").status();
  }));
}

// ---- why a connection does not come about -------------------------------------------------------

TEST(ServerConformance, EveryCauseHasItsCode) {
  const std::string database = NewStore();
  const TempDir folder;
  std::ofstream(folder.File("wrong")) << "not-this-one-55\n";
  ASSERT_EQ(chmod(folder.File("wrong").c_str(), 0600), 0);
  StoreOptions right = Within(seconds(20));
  StoreOptions wrong = right;
  wrong.password = "file:" + folder.File("wrong");
  StoreOptions none = right;
  none.password.clear();
  DatabaseServer& server = Server();
  uint16_t closed = 0;
  {
    const SqlRelay gone(0);
    closed = gone.port();
  }
  const std::string tls = server.TlsParameters();
  const struct {
    const char* name;
    std::string url;
    const StoreOptions& options;
    const char* code;
  } rows[] = {
      {"socket", server.SocketUrl(database), right, ""},
      {"loopback without TLS", server.TcpUrl(database, "127.0.0.1", server.NoTlsParameters()),
       right, ""},
      {"TLS", server.TcpUrl(database, "localhost", tls), right, ""},
      {"unknown authority", server.TcpUrl(database, "localhost", server.TlsParameters(false)),
       right, "DB_TLS_UNTRUSTED"},
      {"the system's authorities", server.TcpUrl(database, "localhost", ""), right,
       access(std::string(kSystemAuthorities).c_str(), R_OK) == 0 ? "DB_TLS_UNTRUSTED"
                                                                  : "FILE_MISSING"},
      {"wrong name", server.TcpUrl(database, "127.0.0.1", tls), right, "DB_TLS_WRONG_NAME"},
      {"wrong password", server.SocketUrl(database), wrong, "DB_AUTH_FAILED"},
      {"wrong password over TLS", server.TcpUrl(database, "localhost", tls), wrong,
       "DB_AUTH_FAILED"},
      {"no password", server.SocketUrl(database), none, "DB_AUTH_FAILED"},
      {"unknown user", server.SocketUrl(database, "nemo"), right, "DB_AUTH_FAILED"},
      {"missing database", server.SocketUrl("db999"), right, "DB_DATABASE_MISSING"},
      {"unknown host", server.TcpUrl(database, "db.invalid", tls), right, "DB_HOST_UNKNOWN"},
      {"refused", UrlAt(closed, database), right, "DB_REFUSED"},
      {"no socket",
       IsMysql() ? absl::StrCat("mysql://me@/db?socket=", folder.File("none"))
                 : absl::StrCat("postgres://me@/db?host=", folder.path()),
       right, "DB_REFUSED"},
      {"no file of authorities",
       server.TcpUrl(database, "localhost",
                     absl::StrCat(IsMysql() ? "?ssl-ca=" : "?sslrootcert=", folder.File("none"))),
       right, "FILE_MISSING"},
  };
  for (const auto& row : rows) {
    const auto table = OpenSystemsTable(row.url, row.options);
    const std::string message(table.status().message());
    EXPECT_EQ(ErrorCode(table.status()), row.code) << row.name << ": " << message;
    EXPECT_EQ(table.ok(), *row.code == '\0') << row.name;
    for (const char* secret : {DatabaseServer::kPassword, "not-this-one"}) {
      EXPECT_EQ(message.find(secret), std::string::npos) << row.name << ": " << message;
    }
  }
  server.OfferTls(false);
  EXPECT_THAT(OpenSystemsTable(server.TcpUrl(database, "localhost", tls), right),
              HasCode("DB_TLS_NOT_OFFERED"));
  server.OfferTls(true);
  SOTTO_EXPECT_OK(OpenSystemsTable(server.TcpUrl(database, "localhost", tls), right));
}

TEST(ServerConformance, TheEnvironmentHasNoSay) {
  const std::string database = NewStore();
  const TempDir home;
  std::ofstream(home.File(".pgpass")) << "*:*:*:*:" << DatabaseServer::kPassword << "\n";
  std::ofstream(home.File(".my.cnf")) << "[client]\nhost=192.0.2.1\nuser=nemo\npassword=x\n";
  ASSERT_EQ(chmod(home.File(".pgpass").c_str(), 0600), 0);
  const std::string old_home = getenv("HOME") == nullptr ? "/" : getenv("HOME");
  const std::vector<std::pair<std::string, std::string>> variables = {
      {"HOME", home.path()},
      {"PGHOST", "192.0.2.1"},
      {"PGHOSTADDR", "192.0.2.1"},
      {"PGPORT", "1"},
      {"PGDATABASE", "other"},
      {"PGUSER", "nemo"},
      {"PGPASSWORD", DatabaseServer::kPassword},
      {"PGPASSFILE", home.File(".pgpass")},
      {"PGSERVICE", "nowhere"},
      {"PGSERVICEFILE", home.File("none")},
      {"PGSSLMODE", "require"},
      {"PGREQUIRESSL", "1"},
      {"PGSSLROOTCERT", home.File("none")},
      {"PGSSLCERT", home.File(".pgpass")},
      {"PGSSLMINPROTOCOLVERSION", "TLSv9"},
      {"PGREQUIREPEER", "nemo"},
      {"PGOPTIONS", "-c default_transaction_read_only=on -c search_path=nowhere"},
      {"PGCLIENTENCODING", "LATIN1"},
      {"PGTARGETSESSIONATTRS", "read-only"},
      {"PGCHANNELBINDING", "require"},
      {"PGCONNECT_TIMEOUT", "1"},
      {"PGGSSENCMODE", "require"},
      {"PGDATESTYLE", "nonsense"},
      {"MYSQL_HOST", "192.0.2.1"},
      {"MYSQL_TCP_PORT", "1"},
      {"MYSQL_UNIX_PORT", "/none"},
      {"MARIADB_UNIX_PORT", "/none"},
      {"MYSQL_PWD", DatabaseServer::kPassword},
      {"MYSQL_HOME", home.path()},
      {"MARIADB_HOME", home.path()},
  };
  for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
  StoreOptions none = Within(seconds(20));
  none.password.clear();
  std::vector<absl::Status> with, without;
  for (const std::string& url :
       {Server().SocketUrl(database),
        Server().TcpUrl(database, "127.0.0.1", Server().NoTlsParameters()),
        Server().TcpUrl(database, "localhost", Server().TlsParameters())}) {
    const auto table = OpenSystemsTable(url, Within(seconds(20)));
    with.push_back(table.ok() ? (*table)->InsertIfAbsent("ключ", "ключ").status() : table.status());
    without.push_back(OpenSystemsTable(url, none).status());
  }
  for (const auto& [name, value] : variables) unsetenv(name.c_str());
  setenv("HOME", old_home.c_str(), 1);
  for (const absl::Status& status : with) SOTTO_EXPECT_OK(status);
  for (const absl::Status& status : without) EXPECT_THAT(status, HasCode("DB_AUTH_FAILED"));
}

// ---- rights and space ---------------------------------------------------------------------------

TEST(ServerConformance, ARoleThatMayOnlyRead) {
  const std::string database = NewStore();
  SOTTO_ASSERT_OK(OpenTable(database)->InsertIfAbsent("a", "1"));
  const auto table =
      OpenSystemsTable(Server().SocketUrl(database, DatabaseServer::kReader), Within(seconds(20)));
  SOTTO_ASSERT_OK(table);
  EXPECT_THAT((*table)->Get("a"), IsOkAndHolds(Eq("1")));
  EXPECT_THAT((*table)->InsertIfAbsent("a", "2"), IsOkAndHolds(Eq("1")));
  EXPECT_THAT((*table)->InsertIfAbsent("b", "2"), HasCode("DB_PERMISSION"));
  EXPECT_THAT((*table)->Replace("a", "1", "2"), HasCode("DB_PERMISSION"));
  EXPECT_THAT((*table)->Get("a"), IsOkAndHolds(Eq("1")));
}

TEST(ServerConformance, AServerThatTakesNoWrites) {
  const std::string database = NewStore();
  const auto table = OpenTable(database);
  SOTTO_ASSERT_OK(table->InsertIfAbsent("a", "1"));
  // On PostgreSQL only a standby refuses: a setting of the database is for the client to override.
  const auto session = Server().Session(database);
  session->Run(IsMysql()
                   ? "SET GLOBAL read_only = 1"
                   : "ALTER DATABASE " + database + " SET default_transaction_read_only = on");
  Server().EndSessions();
  EXPECT_THAT(table->Get("a"), IsOkAndHolds(Eq("1")));
  if (IsMysql()) {
    EXPECT_THAT(table->InsertIfAbsent("b", "1"), HasCode("DB_READ_ONLY"));
    session->Run("SET GLOBAL read_only = 0");
  }
  EXPECT_THAT(table->InsertIfAbsent("b", "1"), IsOkAndHolds(Eq("1")));
}

TEST(ServerConformance, AFullDisk) {
  const std::string folder = Server().NewFolder("small");
  const std::string settings = absl::StrCat("size=1m,mode=0700,uid=", kOtherUser);
  if (geteuid() != 0 || mount("none", folder.c_str(), "tmpfs", 0, settings.c_str()) != 0) {
    GTEST_SKIP() << "needs a small file system of its own";
  }
  const std::string database = NewStore(/*table=*/false);
  const auto session = Server().Session(database);
  if (IsMysql()) {
    session->Run(absl::StrCat(Store().MattermostTable(), " DATA DIRECTORY = '", folder, "'"));
  } else {
    session->Run(absl::StrCat("CREATE TABLESPACE small LOCATION '", folder, "'"));
    session->Run(absl::StrCat(Store().MattermostTable(), " TABLESPACE small"));
  }
  const auto table = OpenTable(database);
  const std::string value(1024, 'v');
  absl::Status status;
  int rows = 0;
  for (; rows < 3000 && status.ok(); ++rows) {
    status = table->InsertIfAbsent(absl::StrCat("row ", rows), value).status();
  }
  EXPECT_THAT(status, HasCode("DB_FULL"));
  EXPECT_GT(rows, 2);
  // What was there before stays, and can be read.
  EXPECT_THAT(table->Get("row 0"), IsOkAndHolds(Eq(value)));
  EXPECT_THAT(table->Get(absl::StrCat("row ", rows - 1)), HasCode("ROW_MISSING"));
  session->Run("DROP TABLE Systems");
  if (!IsMysql()) session->Run("DROP TABLESPACE small");
  EXPECT_EQ(umount2(folder.c_str(), MNT_DETACH), 0);
}

// ---- notifications ------------------------------------------------------------------------------

TEST(ServerConformance, NotifiesWhoListens) {
  const std::string database = NewStore();
  const auto base = OpenBase(database);
  const auto connection = base->Connect(steady_clock::now() + seconds(20));
  SOTTO_ASSERT_OK(connection);
  const absl::Status status =
      (*connection)->Listen("sotto_keys", steady_clock::now() + seconds(20));
  if (IsMysql()) {
    EXPECT_THAT(status, HasCode("DB_NO_NOTIFY"));
    EXPECT_THAT((*connection)->WaitForNotification(steady_clock::now(), -1),
                HasCode("DB_NO_NOTIFY"));
    return;
  }
  SOTTO_ASSERT_OK(status);
  const auto nothing =
      (*connection)->WaitForNotification(steady_clock::now() + milliseconds(20), -1);
  SOTTO_ASSERT_OK(nothing);
  EXPECT_FALSE(nothing->has_value());
  SOTTO_EXPECT_OK(base->Transact(SqlMode::kWrite, [](SqlTransaction& transaction) {
    return transaction.Run("SELECT pg_notify('sotto_keys', ?)", {std::string_view("13")}).status();
  }));
  const auto told = (*connection)->WaitForNotification(steady_clock::now() + seconds(20), -1);
  SOTTO_ASSERT_OK(told);
  ASSERT_TRUE(told->has_value());
  EXPECT_EQ((*told)->channel, "sotto_keys");
  EXPECT_EQ((*told)->payload, "13");
  // Woken by a descriptor, long before its time.
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  const auto start = steady_clock::now();
  const auto woken = (*connection)->WaitForNotification(start + seconds(60), ends[0]);
  SOTTO_ASSERT_OK(woken);
  EXPECT_FALSE(woken->has_value());
  EXPECT_LT(steady_clock::now() - start, seconds(30));
  close(ends[0]);
  close(ends[1]);
  Server().EndSessions();
  EXPECT_THAT((*connection)->WaitForNotification(steady_clock::now() + seconds(20), -1),
              HasCode("DB_CONNECTION_LOST"));
}

}  // namespace
}  // namespace sotto
