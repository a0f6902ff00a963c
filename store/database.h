// A database that is there as long as the process is: connects when it is first needed, again after
// a connection was lost, and runs transactions that are repeated until they are through.
//
// Threads: safe; transactions run one at a time on one connection, and a call that waits for its
// turn waits until its deadline at most. Blocking: never on a node's strand. Each call ends by its
// deadline, its pauses included; only a lock of SQLite's own disk calls can hold it longer.
// Errors: those of sql.h; whatever the body returns. DB_LOCKED, DB_CONFLICT, DB_CONNECTION_LOST,
// DB_TOO_MANY_CLIENTS, and DB_REFUSED once there was a connection, are tried again after short
// pauses with jitter; at the deadline the most telling of them is returned.
#ifndef SOTTO_STORE_DATABASE_H_
#define SOTTO_STORE_DATABASE_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/sql.h"

namespace sotto {

// What a body sees of its transaction.
class SqlTransaction {
 public:
  SqlTransaction(SqlConnection& connection, std::string_view where, SqlTime deadline,
                 bool may_have_committed)
      : connection_(connection),
        where_(where),
        deadline_(deadline),
        may_have_committed_(may_have_committed) {}

  absl::StatusOr<SqlResult> Run(std::string_view sql, std::span<const SqlParam> params);
  absl::StatusOr<SqlResult> Run(std::string_view sql, std::initializer_list<SqlParam> params = {}) {
    return Run(sql, std::span<const SqlParam>(params.begin(), params.size()));
  }

  SqlDialect dialect() const { return connection_.dialect(); }
  // The database's display URL, for messages.
  const std::string& where() const { return where_; }
  SqlTime deadline() const { return deadline_; }
  // The answer to an earlier COMMIT of this call was lost: what the body is about to do may be done
  // already, by itself.
  bool may_have_committed() const { return may_have_committed_; }

 private:
  SqlConnection& connection_;
  const std::string where_;
  const SqlTime deadline_;
  const bool may_have_committed_;
};

class Database {
 public:
  // Called once for each attempt, so it starts from nothing each time; an error rolls back.
  using Body = std::function<absl::Status(SqlTransaction&)>;

  // `deadline`: of calls that name none. `may_create`: as SqlDriver::Connect, for the first
  // connection alone; a database that goes away at run time is never made anew.
  Database(std::unique_ptr<SqlDriver> driver, std::chrono::milliseconds deadline, bool may_create);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  SqlDialect dialect() const { return driver_->dialect(); }
  const std::string& display_url() const { return driver_->display_url(); }

  absl::Status Transact(SqlMode mode, const Body& body) {
    return Transact(mode, body, std::chrono::steady_clock::now() + default_deadline_);
  }
  absl::Status Transact(SqlMode mode, const Body& body, SqlTime deadline);

  // A connection of the caller's own, for Listen. One attempt.
  absl::StatusOr<std::unique_ptr<SqlConnection>> Connect(SqlTime deadline);

 private:
  class Turn;
  struct Attempt {
    absl::Status status;
    bool may_have_committed = false;
  };

  absl::Status Ready(SqlTime deadline);
  Attempt Try(SqlMode mode, const Body& body, SqlTime deadline, bool may_have_committed);
  bool IsWorthRetrying(const absl::Status& status) const;

  const std::unique_ptr<SqlDriver> driver_;
  const std::chrono::milliseconds default_deadline_;
  std::mutex mutex_;  // guards is_taken_
  std::condition_variable free_;
  bool is_taken_ = false;
  // What follows belongs to the call whose turn it is.
  std::unique_ptr<SqlConnection> connection_;
  bool may_create_;
  bool was_connected_ = false;
};

}  // namespace sotto

#endif  // SOTTO_STORE_DATABASE_H_
