// One connection to an SQL database, the same for SQLite, PostgreSQL and MySQL; one driver a file.
//
// Nothing here knows a table. Statements are written once for the three dialects; where these
// differ, a caller asks dialect() or takes the text from the functions below. A statement has "?"
// where a value goes, and no "?" elsewhere.
// Threads: a connection serves one call at a time. Blocking: never on a node's strand. Each call
// ends by its deadline, also where a server accepts and never answers; the connection is then of
// no more use. On SQLite the deadline bounds a statement's own work; waiting for locks is the
// caller's (database.h).
// Errors, told apart the same way for all three:
//   DB_LOCKED            UNAVAILABLE          another program holds a lock
//   DB_CONFLICT          ABORTED              serialization failure, deadlock: begin again
//   DB_CONNECTION_LOST   UNAVAILABLE          the server closed the connection
//   DB_TIMEOUT           DEADLINE_EXCEEDED    no answer by the deadline
//   DB_REFUSED           UNAVAILABLE          nothing listens there, or it is starting or stopping
//   DB_HOST_UNKNOWN      UNAVAILABLE          the host's name has no address
//   DB_HOST_UNREACHABLE  UNAVAILABLE          no way to that address
//   DB_TOO_MANY_CLIENTS  UNAVAILABLE          the server has no connection left
//   DB_TLS_NOT_OFFERED, DB_TLS_UNTRUSTED, DB_TLS_WRONG_NAME, DB_TLS_FAILED  UNAUTHENTICATED
//   DB_AUTH_FAILED       UNAUTHENTICATED      user or password, or no rule lets this user in
//   DB_DATABASE_MISSING  NOT_FOUND            the server has no such database
//   DB_MISSING           NOT_FOUND            no such database file
//   DB_TABLE_MISSING     NOT_FOUND            the statement names a table that is not there
//   DB_PERMISSION        PERMISSION_DENIED    this role may not do that
//   DB_READ_ONLY         PERMISSION_DENIED    the database takes no writes
//   DB_UNREADABLE        PERMISSION_DENIED    this user may not open the file or socket
//   DB_FULL              RESOURCE_EXHAUSTED   no space on the disk
//   DB_DUPLICATE         ALREADY_EXISTS       a key that must be unique is there already
//   DB_CORRUPT, DB_NOT_A_DATABASE  DATA_LOSS
//   DB_UNAVAILABLE       UNAVAILABLE          anything else
// Messages hold no value that was given to a statement.
#ifndef SOTTO_STORE_SQL_H_
#define SOTTO_STORE_SQL_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sotto {

using SqlTime = std::chrono::steady_clock::time_point;

enum class SqlDialect : uint8_t { kSqlite, kPostgres, kMysql };

// "SQLite", "PostgreSQL", "MySQL".
std::string_view ToString(SqlDialect dialect);

// What goes into a statement: NULL, a number, a text. The text is borrowed for the call.
using SqlParam = std::variant<std::monostate, int64_t, std::string_view>;

// A value of a type that we store nothing in: "real", "blob", "bytea".
struct SqlOther {
  std::string type;
};
using SqlValue = std::variant<std::monostate, int64_t, std::string, SqlOther>;
using SqlRow = std::vector<SqlValue>;

// Its texts are overwritten when it goes: a row may hold a key.
struct SqlResult {
  std::vector<SqlRow> rows;
  int64_t changed = 0;  // rows that were inserted, matched by UPDATE, or deleted

  SqlResult() = default;
  ~SqlResult();
  SqlResult(SqlResult&&) = default;
  SqlResult& operator=(SqlResult&& other) noexcept;
  SqlResult(const SqlResult&) = delete;
  SqlResult& operator=(const SqlResult&) = delete;

  // The value as a number or text; null where it is of another type, or out of range.
  const int64_t* Number(size_t row, size_t column) const;
  const std::string* Text(size_t row, size_t column) const;
};

enum class SqlMode : uint8_t {
  // Sees one state of the database, changes nothing.
  kRead,
  // As if no other transaction ran (serializable; on SQLite it holds the write lock). What runs
  // into another one ends with DB_CONFLICT.
  kWrite,
  // For work that begins by taking a lock which all others take too (a row FOR UPDATE): each
  // statement sees what was committed before it (on SQLite it holds the write lock).
  kLocked,
};

struct SqlNotification {
  std::string channel;
  std::string payload;
};

class SqlConnection {
 public:
  SqlConnection() = default;
  SqlConnection(const SqlConnection&) = delete;
  SqlConnection& operator=(const SqlConnection&) = delete;
  virtual ~SqlConnection() = default;

  virtual SqlDialect dialect() const = 0;

  // False once it is lost or, on SQLite, its file was replaced or removed: then make another.
  virtual bool IsUsable() = 0;

  virtual absl::StatusOr<SqlResult> Run(std::string_view sql, std::span<const SqlParam> params,
                                        SqlTime deadline) = 0;

  // Servers give up on locks a good while before the deadline, so that DB_LOCKED can be told from
  // DB_TIMEOUT; and on a statement at the deadline, whether we still listen or not.
  virtual absl::Status Begin(SqlMode mode, SqlTime deadline) = 0;
  // After DB_CONNECTION_LOST and DB_TIMEOUT nobody can say whether it took effect.
  virtual absl::Status Commit(SqlTime deadline) = 0;
  virtual absl::Status Rollback(SqlTime deadline) = 0;

  // Asks for notifications of `channel` (lower-case letters, digits, "_").
  // UNIMPLEMENTED DB_NO_NOTIFY: not PostgreSQL; poll instead.
  virtual absl::Status Listen(std::string_view channel, SqlTime deadline);
  // The next one, or nullopt at `until` or once `wake_fd` (-1: none) is readable.
  virtual absl::StatusOr<std::optional<SqlNotification>> WaitForNotification(SqlTime until,
                                                                             int wake_fd);
};

// Makes connections to one database. Threads: one call at a time; what it has made is independent.
class SqlDriver {
 public:
  SqlDriver() = default;
  SqlDriver(const SqlDriver&) = delete;
  SqlDriver& operator=(const SqlDriver&) = delete;
  virtual ~SqlDriver() = default;

  virtual SqlDialect dialect() const = 0;
  // For logs and `status`; without a password.
  virtual const std::string& display_url() const = 0;
  // With `may_create` it may make the database file (SQLite).
  virtual absl::StatusOr<std::unique_ptr<SqlConnection>> Connect(bool may_create,
                                                                 SqlTime deadline) = 0;
};

// " FOR UPDATE" at the end of a SELECT; nothing on SQLite, whose writers hold the whole database.
std::string_view SqlForUpdate(SqlDialect dialect);

// "INSERT INTO table (a, b) VALUES (?, ?) …": adds the row unless its key is there; `changed` does
// not tell which (MySQL). `columns` begins with the key's.
std::string SqlInsertIfAbsent(SqlDialect dialect, std::string_view table,
                              std::span<const std::string_view> columns);

// The same, and sets every column beyond the first `key_columns` where the key is there.
std::string SqlUpsert(SqlDialect dialect, std::string_view table,
                      std::span<const std::string_view> columns, size_t key_columns);

}  // namespace sotto

#endif  // SOTTO_STORE_SQL_H_
