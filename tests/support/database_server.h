// A PostgreSQL or MariaDB server of a test's own: made in a folder below /tmp, run as an ordinary
// user, reached through a private Unix socket and a free port of 127.0.0.1, gone at the end.
//
// Nothing of the machine's own clusters is used. There are two roles beside the administrator:
// kOwner may do everything in the databases that NewDatabase makes, kReader may read what is there.
// Where the server's programs are missing, the process ends with the line that installs them. A
// server that does not do as it should ends the process. Threads: one at a time.
#ifndef SOTTO_TESTS_SUPPORT_DATABASE_SERVER_H_
#define SOTTO_TESTS_SUPPORT_DATABASE_SERVER_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cmd/demo/process.h"
#include "store/open_store.h"
#include "store/sql.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_pki.h"

namespace sotto {

// The administrator's session with a database: what another program does to it.
class RawSession {
 public:
  RawSession() = default;
  RawSession(const RawSession&) = delete;
  RawSession& operator=(const RawSession&) = delete;
  virtual ~RawSession() = default;
  // The first column of the first row, or empty. Ends the test's process if the server refuses.
  virtual std::string Run(const std::string& sql) = 0;
};

class DatabaseServer {
 public:
  static constexpr char kOwner[] = "sotto";
  static constexpr char kReader[] = "reader";
  static constexpr char kPassword[] = "correct-horse-7431";

  static std::unique_ptr<DatabaseServer> StartPostgres();
  static std::unique_ptr<DatabaseServer> StartMariadb();

  DatabaseServer(const DatabaseServer&) = delete;
  DatabaseServer& operator=(const DatabaseServer&) = delete;
  virtual ~DatabaseServer();

  virtual SqlDialect dialect() const = 0;

  // Makes an empty database; its name.
  std::string NewDatabase();
  // An administrator's session with it.
  virtual std::unique_ptr<RawSession> Session(const std::string& database) const = 0;

  // Through the socket, as `user`.
  virtual std::string SocketUrl(const std::string& database,
                                const std::string& user = kOwner) const = 0;
  // Through TCP to `host`; `parameters` as "?sslmode=…".
  std::string TcpUrl(const std::string& database, const std::string& host,
                     const std::string& parameters, const std::string& user = kOwner) const;
  // With the two roles' password.
  StoreOptions Options() const;
  // "?sslrootcert=…", the authority that made the server's certificate; or another one.
  virtual std::string TlsParameters(bool right_authority = true) const = 0;
  virtual std::string NoTlsParameters() const = 0;
  // The certificate is for "localhost" alone.
  virtual void OfferTls(bool offered) = 0;

  // Ends every session of kOwner.
  virtual void EndSessions() = 0;
  // Stops it in good order; starts it again on the same port.
  void Stop();
  void Start();

  uint16_t port() const { return port_; }
  // A folder of the server's user, for a tablespace.
  std::string NewFolder(const std::string& name) const;

 protected:
  explicit DatabaseServer(int stop_signal);

  virtual std::string Program() const = 0;
  // At the end of CREATE DATABASE.
  virtual std::string NewDatabaseOptions() const { return ""; }
  virtual std::vector<std::string> Arguments() const = 0;
  virtual bool IsReady() const = 0;

  // Runs a program as the server's user to its end; `input` is the file that it reads, or none.
  void RunTool(const std::vector<std::string>& argv, int limit_s,
               const std::string& input = "") const;
  static void GiveToServer(const std::string& path);
  [[noreturn]] void Fail(const std::string& what) const;

  const TempDir folder_;
  const int stop_signal_;
  const TestPki pki_;
  uint16_t port_ = 0;

 private:
  void WriteFiles();

  int databases_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

// Ends the process unless `path` is a program.
void RequireProgram(const std::string& path, const std::string& package);

}  // namespace sotto

#endif  // SOTTO_TESTS_SUPPORT_DATABASE_SERVER_H_
