#include "store/database.h"

#include <algorithm>
#include <random>
#include <thread>
#include <utility>

#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/sql_internal.h"

namespace sotto {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kRetryFirst{5};
constexpr milliseconds kRetryMax{100};
// For a ROLLBACK after a deadline has passed: the connection may still be good.
constexpr milliseconds kRollbackTime{200};

milliseconds Jittered(milliseconds base) {
  thread_local std::minstd_rand random(std::random_device{}());
  const auto half = base.count() / 2;
  return milliseconds(half + static_cast<int64_t>(random() % static_cast<uint64_t>(half + 1)));
}

// How much a failure tells about why a call did not get through; the last one of the highest rank
// is returned.
int RankOf(const absl::Status& status) {
  const std::string code = ErrorCode(status);
  if (code == "DB_LOCKED" || code == "DB_CONFLICT") return 3;
  if (code == "DB_TIMEOUT") return 1;
  if (code == "DB_CONNECTION_LOST") return 2;
  return 3;
}

}  // namespace

absl::StatusOr<SqlResult> SqlTransaction::Run(std::string_view sql,
                                              std::span<const SqlParam> params) {
  return connection_.Run(sql, params, deadline_);
}

// One call's hold on the connection.
class Database::Turn {
 public:
  Turn(Database& database, SqlTime deadline) : database_(database) {
    std::unique_lock<std::mutex> lock(database_.mutex_);
    is_mine_ = database_.free_.wait_until(lock, deadline, [&] { return !database_.is_taken_; });
    if (is_mine_) database_.is_taken_ = true;
  }
  ~Turn() {
    if (!is_mine_) return;
    {
      const std::lock_guard<std::mutex> lock(database_.mutex_);
      database_.is_taken_ = false;
    }
    database_.free_.notify_one();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  bool is_mine() const { return is_mine_; }

 private:
  Database& database_;
  bool is_mine_ = false;
};

Database::Database(std::unique_ptr<SqlDriver> driver, milliseconds deadline, bool may_create)
    : driver_(std::move(driver)), default_deadline_(deadline), may_create_(may_create) {
  SOTTO_CHECK(driver_ != nullptr);
}

absl::StatusOr<std::unique_ptr<SqlConnection>> Database::Connect(SqlTime deadline) {
  const Turn turn(*this, deadline);  // the driver serves one call at a time
  if (!turn.is_mine()) {
    return internal::DbTimeout(display_url(), "another call of this process used the connection");
  }
  return driver_->Connect(/*may_create=*/false, deadline);
}

absl::Status Database::Ready(SqlTime deadline) {
  if (connection_ != nullptr && connection_->IsUsable()) return absl::OkStatus();
  connection_.reset();
  SOTTO_ASSIGN_OR_RETURN(connection_, driver_->Connect(may_create_, deadline));
  may_create_ = false;
  was_connected_ = true;
  return absl::OkStatus();
}

Database::Attempt Database::Try(SqlMode mode, const Body& body, SqlTime deadline,
                                bool may_have_committed) {
  absl::Status status = Ready(deadline);
  if (!status.ok()) return {status, may_have_committed};
  status = connection_->Begin(mode, deadline);
  if (status.ok()) {
    SqlTransaction transaction(*connection_, display_url(), deadline, may_have_committed);
    status = body(transaction);
    if (status.ok()) {
      status = connection_->Commit(deadline);
      if (status.ok()) return {status, may_have_committed};
      const std::string code = ErrorCode(status);
      may_have_committed |= code == "DB_CONNECTION_LOST" || code == "DB_TIMEOUT";
    }
  }
  // A server may end a session and answer the body with something else first.
  if (!connection_->Rollback(std::max(deadline, Clock::now() + kRollbackTime)).ok()) {
    connection_.reset();
  }
  return {status, may_have_committed};
}

bool Database::IsWorthRetrying(const absl::Status& status) const {
  const std::string code = ErrorCode(status);
  for (const char* passing :
       {"DB_LOCKED", "DB_CONFLICT", "DB_CONNECTION_LOST", "DB_TOO_MANY_CLIENTS"}) {
    if (code == passing) return true;
  }
  // A server that restarts. Before the first connection it is more likely a wrong address.
  return was_connected_ && (code == "DB_REFUSED" || code == "DB_HOST_UNREACHABLE");
}

absl::Status Database::Transact(SqlMode mode, const Body& body, SqlTime deadline) {
  const Turn turn(*this, deadline);
  if (!turn.is_mine()) {
    return internal::DbTimeout(display_url(), "another call of this process used the connection");
  }
  milliseconds pause = kRetryFirst;
  bool may_have_committed = false;
  absl::Status telling;  // OK: none so far
  while (true) {
    Attempt attempt = Try(mode, body, deadline, may_have_committed);
    if (attempt.status.ok()) return attempt.status;
    may_have_committed = attempt.may_have_committed;
    const bool is_best = telling.ok() || RankOf(attempt.status) >= RankOf(telling);
    if (is_best) telling = attempt.status;
    const SqlTime now = Clock::now();
    if (now >= deadline) return telling;
    if (!IsWorthRetrying(attempt.status)) {
      return ErrorCode(attempt.status) == "DB_TIMEOUT" ? telling : attempt.status;
    }
    const auto left = std::chrono::ceil<milliseconds>(deadline - now);
    std::this_thread::sleep_for(std::min(Jittered(pause), left));
    pause = std::min(pause * 2, kRetryMax);
  }
}

}  // namespace sotto
