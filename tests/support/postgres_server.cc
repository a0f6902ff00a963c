#include <postgresql/libpq-fe.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/check.h"
#include "tests/support/database_server.h"

namespace sotto {
namespace {

constexpr char kBin[] = "/usr/lib/postgresql/15/bin/";
constexpr char kAdmin[] = "administrator";

class PostgresSession : public RawSession {
 public:
  explicit PostgresSession(const std::string& settings) : conn_(PQconnectdb(settings.c_str())) {
    PQsetNoticeProcessor(
        conn_, [](void*, const char*) {}, nullptr);
  }
  ~PostgresSession() override { PQfinish(conn_); }

  bool ok() const { return PQstatus(conn_) == CONNECTION_OK; }

  std::string Run(const std::string& sql) override {
    PGresult* result = PQexec(conn_, sql.c_str());
    const ExecStatusType kind = PQresultStatus(result);
    if (kind != PGRES_TUPLES_OK && kind != PGRES_COMMAND_OK) {
      std::fprintf(stderr, "%s: %s\n", sql.c_str(), PQerrorMessage(conn_));
      SOTTO_CHECK(false);
    }
    std::string first;
    if (PQntuples(result) > 0 && PQnfields(result) > 0) first = PQgetvalue(result, 0, 0);
    PQclear(result);
    return first;
  }

 private:
  PGconn* const conn_;
};

class PostgresServer : public DatabaseServer {
 public:
  PostgresServer() : DatabaseServer(SIGINT) {
    RequireProgram(Program(), "postgresql");
    RunTool({absl::StrCat(kBin, "initdb"), "-D", Data(), "-U", kAdmin, "--auth=trust", "--no-sync",
             "--encoding=UTF8", "--locale=C", "--no-instructions"},
            120);
    std::ofstream(absl::StrCat(Data(), "/pg_hba.conf"))
        << "local all " << kAdmin << " trust\n"
        << "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
        << "host all all ::1/128 scram-sha-256\n";
    Start();
    const auto session = Session("");
    for (const char* role : {kOwner, kReader}) {
      session->Run(absl::StrCat("CREATE ROLE ", role, " LOGIN PASSWORD '", kPassword, "'"));
    }
    // New databases are copies of this one.
    Session("template1")
        ->Run(absl::StrCat("GRANT CREATE ON SCHEMA public TO ", kOwner,
                           "; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO ", kOwner,
                           "; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ", kReader));
  }

  SqlDialect dialect() const override { return SqlDialect::kPostgres; }

  std::unique_ptr<RawSession> Session(const std::string& database) const override {
    auto session = Connect(database.empty() ? "postgres" : database);
    SOTTO_CHECK(session->ok());
    return session;
  }

  std::string SocketUrl(const std::string& database, const std::string& user) const override {
    return absl::StrCat("postgres://", user, "@/", database, "?host=", folder_.path(),
                        "&port=", port_);
  }

  std::string TlsParameters(bool right_authority) const override {
    return absl::StrCat("?sslrootcert=", folder_.File(right_authority ? "ca.crt" : "other.crt"));
  }
  std::string NoTlsParameters() const override { return "?sslmode=disable"; }

  void OfferTls(bool offered) override {
    const auto session = Session("");
    session->Run(absl::StrCat("ALTER SYSTEM SET ssl = ", offered ? "on" : "off"));
    session->Run("SELECT pg_reload_conf()");
    // A new session is one of the new settings.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (Session("")->Run("SHOW ssl") != (offered ? "on" : "off")) {
      SOTTO_CHECK(std::chrono::steady_clock::now() < deadline);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  void EndSessions() override {
    Session("")->Run(absl::StrCat(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '", kOwner, "'"));
  }

 protected:
  // The quicker way where nothing is flushed to the disk.
  std::string NewDatabaseOptions() const override { return " STRATEGY file_copy"; }
  std::string Program() const override { return absl::StrCat(kBin, "postgres"); }

  std::vector<std::string> Arguments() const override {
    std::vector<std::string> arguments = {"-D", Data()};
    for (const std::string& setting :
         {absl::StrCat("port=", port_), absl::StrCat("unix_socket_directories=", folder_.path()),
          std::string("listen_addresses=127.0.0.1"), std::string("fsync=off"),
          std::string("max_connections=40"), std::string("shared_buffers=16MB"),
          absl::StrCat("ssl_cert_file=", folder_.File("server.crt")),
          absl::StrCat("ssl_key_file=", folder_.File("server.key")),
          // A deadlock is looked for after this long.
          std::string("deadlock_timeout=100ms")}) {
      arguments.insert(arguments.end(), {"-c", setting});
    }
    return arguments;
  }

  bool IsReady() const override { return Connect("postgres")->ok(); }

 private:
  std::string Data() const { return folder_.File("data"); }

  std::unique_ptr<PostgresSession> Connect(const std::string& database) const {
    return std::make_unique<PostgresSession>(absl::StrCat("host=", folder_.path(), " port=", port_,
                                                          " user=", kAdmin, " dbname=", database,
                                                          " connect_timeout=10"));
  }
};

}  // namespace

std::unique_ptr<DatabaseServer> DatabaseServer::StartPostgres() {
  auto server = std::make_unique<PostgresServer>();
  server->OfferTls(true);
  return server;
}

}  // namespace sotto
