#include <mariadb/mysql.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/check.h"
#include "tests/support/database_server.h"

namespace sotto {
namespace {

class MariadbSession : public RawSession {
 public:
  MariadbSession(const std::string& socket, const std::string& database)
      : mysql_(mysql_init(nullptr)) {
    ok_ = mysql_real_connect(mysql_, nullptr, "root", "",
                             database.empty() ? nullptr : database.c_str(), 0, socket.c_str(),
                             0) != nullptr;
  }
  ~MariadbSession() override { mysql_close(mysql_); }

  bool ok() const { return ok_; }

  std::string Run(const std::string& sql) override {
    if (mysql_real_query(mysql_, sql.data(), sql.size()) != 0) {
      std::fprintf(stderr, "%s: %s\n", sql.c_str(), mysql_error(mysql_));
      SOTTO_CHECK(false);
    }
    MYSQL_RES* result = mysql_store_result(mysql_);
    if (result == nullptr) return "";
    std::string first;
    if (MYSQL_ROW row = mysql_fetch_row(result); row != nullptr && row[0] != nullptr) {
      first.assign(row[0], mysql_fetch_lengths(result)[0]);
    }
    mysql_free_result(result);
    return first;
  }

 private:
  MYSQL* const mysql_;
  bool ok_ = false;
};

class MariadbServer : public DatabaseServer {
 public:
  MariadbServer() : DatabaseServer(SIGTERM) {
    RequireProgram(Program(), "mariadb-server");
    MakeSystemTables();
    Start();
    const auto session = Session("");
    for (const char* role : {kOwner, kReader}) {
      session->Run(absl::StrCat("CREATE USER '", role, "'@'%' IDENTIFIED BY '", kPassword, "'"));
    }
    // The databases that NewDatabase makes.
    session->Run(absl::StrCat("GRANT ALL ON `db%`.* TO '", kOwner, "'@'%'"));
    session->Run(absl::StrCat("GRANT SELECT ON `db%`.* TO '", kReader, "'@'%'"));
  }

  SqlDialect dialect() const override { return SqlDialect::kMysql; }

  std::unique_ptr<RawSession> Session(const std::string& database) const override {
    auto session = std::make_unique<MariadbSession>(Socket(), database);
    SOTTO_CHECK(session->ok());
    return session;
  }

  std::string SocketUrl(const std::string& database, const std::string& user) const override {
    return absl::StrCat("mysql://", user, "@/", database, "?socket=", Socket());
  }

  std::string TlsParameters(bool right_authority) const override {
    return absl::StrCat("?ssl-ca=", folder_.File(right_authority ? "ca.crt" : "other.crt"));
  }
  std::string NoTlsParameters() const override { return "?ssl-mode=DISABLED"; }

  void OfferTls(bool offered) override {
    if (offered == offers_tls_) return;
    Stop();
    offers_tls_ = offered;
    Start();
  }

  void EndSessions() override { Session("")->Run(absl::StrCat("KILL USER '", kOwner, "'@'%'")); }

 protected:
  std::string Program() const override { return "/usr/sbin/mariadbd"; }

  std::vector<std::string> Arguments() const override {
    std::vector<std::string> arguments = {
        "--no-defaults",
        absl::StrCat("--datadir=", Data()),
        absl::StrCat("--socket=", Socket()),
        absl::StrCat("--port=", port_),
        "--bind-address=127.0.0.1",
        absl::StrCat("--pid-file=", folder_.File("mariadb.pid")),
        absl::StrCat("--tmpdir=", folder_.path()),
        "--skip-name-resolve",
        "--debug-no-sync",
        "--innodb-buffer-pool-size=32M",
        "--innodb-log-file-size=4M",
        "--innodb-flush-method=nosync",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-fast-shutdown=2",
        "--max-connections=40",
        "--character-set-server=utf8mb4",
    };
    if (!offers_tls_) {
      arguments.push_back("--skip-ssl");
    } else {
      arguments.push_back(absl::StrCat("--ssl-ca=", folder_.File("ca.crt")));
      arguments.push_back(absl::StrCat("--ssl-cert=", folder_.File("server.crt")));
      arguments.push_back(absl::StrCat("--ssl-key=", folder_.File("server.key")));
    }
    return arguments;
  }

  bool IsReady() const override { return MariadbSession(Socket(), "").ok(); }

 private:
  std::string Data() const { return folder_.File("data"); }
  std::string Socket() const { return folder_.File("sql.sock"); }

  // What mariadb-install-db does, without the tables of help texts and the waits for the disk.
  void MakeSystemTables() const {
    SOTTO_CHECK(std::filesystem::create_directories(Data() + "/mysql"));
    GiveToServer(Data());
    GiveToServer(Data() + "/mysql");
    const std::string script = folder_.File("system.sql");
    std::ofstream out(script);
    out << "USE mysql;\nSET @auth_root_socket = NULL;\nSET @skip_auth_anonymous = 1;\n";
    for (const char* part : {"mysql_system_tables.sql", "mysql_system_tables_data.sql"}) {
      std::ifstream in(absl::StrCat("/usr/share/mysql/", part));
      SOTTO_CHECK(in.good());
      out << in.rdbuf();
    }
    out.close();
    RunTool({Program(), "--no-defaults", "--bootstrap", absl::StrCat("--datadir=", Data()),
             "--debug-no-sync", "--innodb-log-file-size=4M", "--innodb-flush-method=nosync",
             "--innodb-buffer-pool-size=32M"},
            120, script);
  }

  bool offers_tls_ = true;
};

}  // namespace

std::unique_ptr<DatabaseServer> DatabaseServer::StartMariadb() {
  return std::make_unique<MariadbServer>();
}

}  // namespace sotto
