#include "store/sqlite_systems_table.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <functional>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"

namespace sotto {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr char kCreateTable[] =
    "CREATE TABLE IF NOT EXISTS Systems (Name VARCHAR(64) PRIMARY KEY, Value VARCHAR(1024))";
// typeof and length first: a row of the wrong shape is told without being copied.
constexpr char kGet[] =
    "SELECT typeof(Value), length(CAST(Value AS BLOB)), Value FROM Systems WHERE Name = ?1 LIMIT 2";
constexpr char kInsert[] =
    "INSERT INTO Systems (Name, Value) SELECT ?1, ?2 "
    "WHERE NOT EXISTS (SELECT 1 FROM Systems WHERE Name = ?1)";
constexpr char kUpdate[] = "UPDATE Systems SET Value = ?2 WHERE Name = ?1";
constexpr char kHasTable[] =
    "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = 'Systems' "
    "COLLATE NOCASE";

// One row can be no longer than this for SQLite itself: room for a foreign row, not for a flood.
constexpr int kSqliteBytesMax = 1 << 20;
constexpr milliseconds kRetryFirst{5};
constexpr milliseconds kRetryMax{100};

struct StatementCloser {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using SqlStatement = std::unique_ptr<sqlite3_stmt, StatementCloser>;

struct ConnectionCloser {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using Connection = std::unique_ptr<sqlite3, ConnectionCloser>;

// Which file this is, so that a replaced one is noticed.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  friend bool operator==(const FileId&, const FileId&) = default;
};

absl::Status DbError(absl::StatusCode kind, std::string_view code, const std::string& path,
                     std::string_view message) {
  return CodedError(kind, code,
                    absl::StrCat(path, ": ", absl::string_view(message.data(), message.size())));
}

absl::Status MissingFile(const std::string& path) {
  return DbError(absl::StatusCode::kNotFound, "DB_MISSING", path, "there is no such database file");
}

absl::Status MissingTable(const std::string& path) {
  return DbError(absl::StatusCode::kNotFound, "DB_TABLE_MISSING", path,
                 "the database has no table Systems");
}

// An SQLite result to a status. `rc` is the extended code.
absl::Status FromSqlite(int rc, const std::string& path, const char* detail) {
  const std::string text = absl::StrCat(detail == nullptr ? sqlite3_errstr(rc) : detail);
  switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return DbError(absl::StatusCode::kUnavailable, "DB_LOCKED", path,
                     "another program keeps the database locked");
    case SQLITE_NOTADB:
      return DbError(absl::StatusCode::kDataLoss, "DB_NOT_A_DATABASE", path,
                     "the file is not an SQLite database");
    case SQLITE_CORRUPT:
      return DbError(absl::StatusCode::kDataLoss, "DB_CORRUPT", path,
                     absl::StrCat("the database is damaged: ", text));
    case SQLITE_READONLY:
      return DbError(absl::StatusCode::kPermissionDenied, "DB_READ_ONLY", path,
                     absl::StrCat("this user may not write the database: ", text));
    case SQLITE_FULL:
      return DbError(absl::StatusCode::kResourceExhausted, "DB_FULL", path,
                     "no space is left for the database");
    case SQLITE_TOOBIG:
      return DbError(absl::StatusCode::kInvalidArgument, "KEY_TOO_LONG", path,
                     "the row's value is longer than 1024 bytes");
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return DbError(absl::StatusCode::kPermissionDenied, "DB_UNREADABLE", path, text);
    default:
      return DbError(absl::StatusCode::kUnavailable, "DB_UNAVAILABLE", path,
                     absl::StrCat(text, " (SQLite ", rc, ")"));
  }
}

bool IsBusy(const absl::Status& status) { return ErrorCode(status) == "DB_LOCKED"; }

milliseconds Jittered(milliseconds base) {
  thread_local std::minstd_rand random(std::random_device{}());
  const auto half = base.count() / 2;
  return milliseconds(half + static_cast<int64_t>(random() % static_cast<uint64_t>(half + 1)));
}

class SqliteSystemsTable : public SystemsTable {
 public:
  SqliteSystemsTable(std::string path, StoreOptions options)
      : path_(std::move(path)), options_(std::move(options)) {}

  absl::Status Open();

  absl::StatusOr<std::string> Get(std::string_view name) override;
  absl::StatusOr<std::string> InsertIfAbsent(std::string_view name,
                                             std::string_view value) override;
  absl::Status Replace(std::string_view name, const std::optional<std::string>& expected,
                       std::string_view value) override;
  std::string DisplayUrl() const override { return absl::StrCat("sqlite:", path_); }

 private:
  // `step` until it is not DB_LOCKED, or the deadline has passed.
  absl::Status Retry(const std::function<absl::Status()>& step);
  absl::Status Connect();
  absl::Status Configure();
  absl::Status CreateFile();
  absl::Status Prepare(const char* sql, SqlStatement* statement);
  absl::Status Execute(const char* sql);
  absl::Status Bind(sqlite3_stmt* statement, int index, std::string_view text);
  absl::Status EnsureTable();
  // The connection, opened again where the file under it was replaced.
  absl::Status Ready();
  absl::StatusOr<std::string> GetOnce(std::string_view name);
  absl::Status WriteOnce(const char* sql, std::string_view name, std::string_view value);
  // `body` in one transaction that holds the write lock from its start.
  absl::Status Transaction(const std::function<absl::Status()>& body);
  absl::Status LastError(int rc) const;

  const std::string path_;
  const StoreOptions options_;
  std::mutex mutex_;  // one connection, one call at a time
  Connection db_;     // null, or configured
  FileId file_;
  bool made_here_ = false;
};

absl::Status SqliteSystemsTable::Retry(const std::function<absl::Status()>& step) {
  const Clock::time_point deadline = Clock::now() + options_.deadline;
  milliseconds pause = kRetryFirst;
  while (true) {
    absl::Status status = step();
    const Clock::time_point now = Clock::now();
    if (!IsBusy(status) || now >= deadline) return status;
    const auto left = std::chrono::ceil<milliseconds>(deadline - now);
    std::this_thread::sleep_for(std::min(Jittered(pause), left));
    pause = std::min(pause * 2, kRetryMax);
  }
}

// Made by us rather than by SQLite, so that no moment passes in which the file has the umask's
// mode.
absl::Status SqliteSystemsTable::CreateFile() {
  const absl::Status made = AtomicCreate(path_, "", 0600);
  if (made.ok()) made_here_ = true;
  if (made.ok() || ErrorCode(made) == "FILE_EXISTS") return absl::OkStatus();
  if (ErrorCode(made) == "DISK_FULL") {
    return DbError(absl::StatusCode::kResourceExhausted, "DB_FULL", path_, made.message().data());
  }
  if (ErrorCode(made) == "FILE_MISSING") {
    return DbError(absl::StatusCode::kNotFound, "DB_MISSING", path_, "its folder does not exist");
  }
  return DbError(absl::StatusCode::kPermissionDenied, "DB_READ_ONLY", path_,
                 "this user may not make the file");
}

absl::Status SqliteSystemsTable::Connect() {
  db_.reset();
  if (access(path_.c_str(), F_OK) != 0) {
    if (errno == EACCES) {
      return DbError(absl::StatusCode::kPermissionDenied, "DB_UNREADABLE", path_,
                     "this user may not look into its folder");
    }
    if (!options_.create) return MissingFile(path_);
    SOTTO_RETURN_IF_ERROR(CreateFile());
  }
  const absl::Status rules =
      CheckSecretFile(path_, {.bytes_max = 0, .secret = true, .also_owner = options_.also_owner});
  if (ErrorCode(rules) == "FILE_MISSING") return MissingFile(path_);
  if (ErrorCode(rules) == "FILE_UNREADABLE") {
    return DbError(absl::StatusCode::kPermissionDenied, "DB_UNREADABLE", path_,
                   "this user may not read the database");
  }
  SOTTO_RETURN_IF_ERROR(rules);
  struct stat info {};
  if (stat(path_.c_str(), &info) != 0) return MissingFile(path_);
  file_ = {info.st_dev, info.st_ino};
  sqlite3* raw = nullptr;
  const int rc = sqlite3_open_v2(
      path_.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      options_.sqlite_vfs.empty() ? nullptr : options_.sqlite_vfs.c_str());
  db_.reset(raw);
  const absl::Status status =
      rc == SQLITE_OK ? Configure() : FromSqlite(rc, path_, raw ? sqlite3_errmsg(raw) : nullptr);
  if (!status.ok()) db_.reset();
  return status;
}

absl::Status SqliteSystemsTable::Configure() {
  sqlite3_limit(db_.get(), SQLITE_LIMIT_LENGTH, kSqliteBytesMax);
  // Our own loop waits, with jitter and one deadline for the whole call.
  sqlite3_busy_timeout(db_.get(), 0);
  // A key must not be used before it would survive the loss of power. Schemas of a foreign file may
  // not call functions with effects. Neither lasts in the file.
  SOTTO_RETURN_IF_ERROR(Execute("PRAGMA synchronous = FULL"));
  return Execute("PRAGMA trusted_schema = OFF");
}

absl::Status SqliteSystemsTable::Prepare(const char* sql, SqlStatement* statement) {
  sqlite3_stmt* raw = nullptr;
  const int rc = sqlite3_prepare_v2(db_.get(), sql, -1, &raw, nullptr);
  statement->reset(raw);
  return rc == SQLITE_OK ? absl::OkStatus() : LastError(rc);
}

absl::Status SqliteSystemsTable::LastError(int rc) const {
  const int extended = sqlite3_extended_errcode(db_.get());
  const char* text = sqlite3_errmsg(db_.get());
  // SQLite has no code of its own for this.
  if (std::string_view(text).starts_with("no such table")) return MissingTable(path_);
  return FromSqlite(extended != SQLITE_OK ? extended : rc, path_, text);
}

absl::Status SqliteSystemsTable::Execute(const char* sql) {
  SqlStatement statement;
  SOTTO_RETURN_IF_ERROR(Prepare(sql, &statement));
  int rc = SQLITE_ROW;
  while (rc == SQLITE_ROW) rc = sqlite3_step(statement.get());
  return rc == SQLITE_DONE ? absl::OkStatus() : LastError(rc);
}

absl::Status SqliteSystemsTable::Bind(sqlite3_stmt* statement, int index, std::string_view text) {
  const int rc = sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()),
                                   SQLITE_STATIC);
  return rc == SQLITE_OK ? absl::OkStatus() : LastError(rc);
}

absl::Status SqliteSystemsTable::EnsureTable() {
  SqlStatement statement;
  SOTTO_RETURN_IF_ERROR(Prepare(kHasTable, &statement));
  const int rc = sqlite3_step(statement.get());
  if (rc == SQLITE_ROW) return absl::OkStatus();
  if (rc != SQLITE_DONE) return LastError(rc);
  statement.reset();
  if (!options_.create) return MissingTable(path_);
  // Only for a file made here: the mode lasts in the file, and another program's is left alone.
  if (made_here_) SOTTO_RETURN_IF_ERROR(Execute("PRAGMA journal_mode = WAL"));
  return Transaction([this] { return Execute(kCreateTable); });
}

absl::Status SqliteSystemsTable::Open() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return Retry([this] {
    if (db_ == nullptr) SOTTO_RETURN_IF_ERROR(Connect());
    return EnsureTable();
  });
}

absl::Status SqliteSystemsTable::Ready() {
  struct stat info {};
  const bool is_there = stat(path_.c_str(), &info) == 0;
  if (db_ != nullptr && is_there && file_ == FileId{info.st_dev, info.st_ino}) {
    return absl::OkStatus();
  }
  // Reading on from an unlinked file would show yesterday's key for ever. A database that went away
  // at run time is never made anew: that is for the start alone.
  db_.reset();
  if (!is_there && errno == ENOENT) return MissingFile(path_);
  return Connect();
}

absl::StatusOr<std::string> SqliteSystemsTable::GetOnce(std::string_view name) {
  SqlStatement statement;
  SOTTO_RETURN_IF_ERROR(Prepare(kGet, &statement));
  SOTTO_RETURN_IF_ERROR(Bind(statement.get(), 1, name));
  int rc = sqlite3_step(statement.get());
  if (rc == SQLITE_DONE) {
    return DbError(absl::StatusCode::kNotFound, "ROW_MISSING", path_,
                   absl::StrCat("Systems has no row ", std::string(name)));
  }
  if (rc != SQLITE_ROW) return LastError(rc);
  const auto* type_text = sqlite3_column_text(statement.get(), 0);
  if (type_text == nullptr) return LastError(SQLITE_NOMEM);
  const std::string type = reinterpret_cast<const char*>(type_text);
  if (type != "text") {
    return DbError(
        absl::StatusCode::kInvalidArgument, "KEY_ROW_TYPE", path_,
        absl::StrCat("the value of ", std::string(name), " is of type ", type, ", not text"));
  }
  if (sqlite3_column_int64(statement.get(), 1) > static_cast<int64_t>(kValueBytesMax)) {
    return DbError(absl::StatusCode::kInvalidArgument, "KEY_TOO_LONG", path_,
                   absl::StrCat("the value of ", std::string(name), " is longer than ",
                                kValueBytesMax, " bytes"));
  }
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), 2));
  const auto size = static_cast<size_t>(sqlite3_column_bytes(statement.get(), 2));
  if (text == nullptr) return LastError(SQLITE_NOMEM);
  std::string value(text, size);
  rc = sqlite3_step(statement.get());
  if (rc == SQLITE_DONE) return value;
  WipeText(&value);
  if (rc != SQLITE_ROW) return LastError(rc);
  return DbError(absl::StatusCode::kInvalidArgument, "KEY_ROW_DUPLICATE", path_,
                 absl::StrCat("Systems holds several rows ", std::string(name)));
}

absl::Status SqliteSystemsTable::WriteOnce(const char* sql, std::string_view name,
                                           std::string_view value) {
  SqlStatement statement;
  SOTTO_RETURN_IF_ERROR(Prepare(sql, &statement));
  SOTTO_RETURN_IF_ERROR(Bind(statement.get(), 1, name));
  SOTTO_RETURN_IF_ERROR(Bind(statement.get(), 2, value));
  const int rc = sqlite3_step(statement.get());
  return rc == SQLITE_DONE ? absl::OkStatus() : LastError(rc);
}

absl::Status SqliteSystemsTable::Transaction(const std::function<absl::Status()>& body) {
  SOTTO_RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
  absl::Status status = body();
  if (status.ok()) status = Execute("COMMIT");
  // A COMMIT that failed leaves the transaction open, unless SQLite has rolled back by itself.
  if (!status.ok() && sqlite3_get_autocommit(db_.get()) == 0) {
    if (!Execute("ROLLBACK").ok()) db_.reset();
  }
  return status;
}

absl::Status CheckSizes(std::string_view name, std::string_view value) {
  if (name.empty() || name.size() > SystemsTable::kNameBytesMax) {
    return CodedError(absl::StatusCode::kInvalidArgument, "ROW_NAME_INVALID",
                      absl::StrCat("a row's name of ", name.size(), " bytes, want 1 to ",
                                   SystemsTable::kNameBytesMax));
  }
  if (value.size() > SystemsTable::kValueBytesMax) {
    return CodedError(absl::StatusCode::kInvalidArgument, "KEY_TOO_LONG",
                      absl::StrCat("a value of ", value.size(), " bytes, want at most ",
                                   SystemsTable::kValueBytesMax));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SqliteSystemsTable::Get(std::string_view name) {
  SOTTO_RETURN_IF_ERROR(CheckSizes(name, {}));
  const std::lock_guard<std::mutex> lock(mutex_);
  absl::StatusOr<std::string> value;
  const absl::Status status = Retry([&] {
    const absl::Status ready = Ready();
    if (!ready.ok()) return ready;
    value = GetOnce(name);
    return value.status();
  });
  if (!status.ok()) return status;
  return value;
}

absl::StatusOr<std::string> SqliteSystemsTable::InsertIfAbsent(std::string_view name,
                                                               std::string_view value) {
  SOTTO_RETURN_IF_ERROR(CheckSizes(name, value));
  const std::lock_guard<std::mutex> lock(mutex_);
  absl::StatusOr<std::string> held;
  const auto insert_and_read = [&] {
    const absl::Status inserted = WriteOnce(kInsert, name, value);
    if (!inserted.ok()) return inserted;
    held = GetOnce(name);
    return held.status();
  };
  const absl::Status status = Retry([&] {
    const absl::Status ready = Ready();
    return ready.ok() ? Transaction(insert_and_read) : ready;
  });
  if (!status.ok()) return status;
  return held;
}

absl::Status SqliteSystemsTable::Replace(std::string_view name,
                                         const std::optional<std::string>& expected,
                                         std::string_view value) {
  SOTTO_RETURN_IF_ERROR(CheckSizes(name, value));
  const std::lock_guard<std::mutex> lock(mutex_);
  return Retry([&]() -> absl::Status {
    SOTTO_RETURN_IF_ERROR(Ready());
    return Transaction([&]() -> absl::Status {
      absl::StatusOr<std::string> held = GetOnce(name);
      const bool is_absent = ErrorCode(held.status()) == "ROW_MISSING";
      if (!held.ok() && !is_absent) return held.status();
      const bool fits = is_absent ? !expected.has_value() : expected == *held;
      if (held.ok()) WipeText(&*held);
      if (!fits) {
        return DbError(absl::StatusCode::kAborted, "ROW_CHANGED", path_,
                       absl::StrCat("the row ", std::string(name), " holds another value by now"));
      }
      return WriteOnce(is_absent ? kInsert : kUpdate, name, value);
    });
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<SystemsTable>> OpenSqliteSystemsTable(const std::string& path,
                                                                     const StoreOptions& options) {
  auto table = std::make_unique<SqliteSystemsTable>(path, options);
  SOTTO_RETURN_IF_ERROR(table->Open());
  return table;
}

}  // namespace sotto
